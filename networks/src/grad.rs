//! Gradients of gradients: dual numbers, on which every operator and network of this crate is written.
//!
//! A [`Dual`] is a tensor together with its derivative along one direction. Running a network on duals gives its value
//! and its directional derivative (forward mode), and both stay part of candle's graph, so that one ordinary backward
//! pass over the derivative gives a gradient of a gradient (Pearlmutter 1994, "Fast Exact Multiplication by the
//! Hessian"). The regularisers of StyleGAN2 are computed in this way. candle's own backward detaches the gradients that
//! it returns; [`canary`] proves that the way round it works.

mod canary;
mod gathering;

use candle_core::Tensor;
use candle_core::shape::Dims;

use crate::error::{Error, Result};
use crate::ops::softplus::{sigmoid, softplus};

pub(crate) use canary::graph_of_gradients_is_kept;
pub use canary::{DOUBLE_BACKWARD_VARIABLE, canary, double_backward_is_on};
pub(crate) use gathering::{add_gradients, hand_over};

/// A tensor and, where one is wanted, its derivative along a direction, of the same shape and type.
///
/// Without a tangent every operation costs what it costs on the bare tensor.
#[derive(Clone, Debug)]
pub struct Dual {
    value: Tensor,
    tangent: Option<Tensor>,
}

impl From<Tensor> for Dual {
    fn from(value: Tensor) -> Self {
        Dual { value, tangent: None }
    }
}

impl From<&Tensor> for Dual {
    fn from(value: &Tensor) -> Self {
        value.clone().into()
    }
}

impl Dual {
    /// Joins a value and its tangent.
    ///
    /// # Errors
    /// [`Error::Shape`] when the shapes differ, a candle error when the types do.
    pub fn with_tangent(value: Tensor, tangent: Tensor) -> Result<Self> {
        if value.dims() != tangent.dims() {
            let (expected, found) = (value.dims().to_vec(), tangent.dims().to_vec());
            return Err(Error::Shape { name: "tangent".into(), expected, found });
        }
        if value.dtype() != tangent.dtype() {
            let (lhs, rhs) = (value.dtype(), tangent.dtype());
            return Err(candle_core::Error::DTypeMismatchBinaryOp { lhs, rhs, op: "dual" }.bt().into());
        }
        Ok(Dual { value, tangent: Some(tangent) })
    }

    /// The value.
    pub fn value(&self) -> &Tensor {
        &self.value
    }

    /// The derivative along the direction, `None` for a constant.
    pub fn tangent(&self) -> Option<&Tensor> {
        self.tangent.as_ref()
    }

    /// The value alone.
    pub fn into_value(self) -> Tensor {
        self.value
    }

    /// Shape of the value.
    pub fn dims(&self) -> &[usize] {
        self.value.dims()
    }

    /// Shape of a matrix.
    ///
    /// # Errors
    /// When the tensor has another number of axes.
    pub fn dims2(&self) -> Result<(usize, usize)> {
        Ok(self.value.dims2()?)
    }

    /// Shape of a batch of feature maps.
    ///
    /// # Errors
    /// When the tensor has another number of axes.
    pub fn dims4(&self) -> Result<(usize, usize, usize, usize)> {
        Ok(self.value.dims4()?)
    }

    /// Applies a linear function: to the value and, as it is its own derivative, to the tangent.
    ///
    /// # Errors
    /// Those of `f`.
    pub fn linear<E>(&self, f: impl Fn(&Tensor) -> std::result::Result<Tensor, E>) -> Result<Dual>
    where
        Error: From<E>,
    {
        let tangent = self.tangent.as_ref().map(&f).transpose()?;
        Ok(Dual { value: f(&self.value)?, tangent })
    }

    /// Applies a function that is linear in each of its two arguments, by the product rule.
    ///
    /// # Errors
    /// Those of `f`.
    pub fn bilinear<E>(
        &self,
        other: &Dual,
        f: impl Fn(&Tensor, &Tensor) -> std::result::Result<Tensor, E>,
    ) -> Result<Dual>
    where
        Error: From<E>,
    {
        let left = self.tangent.as_ref().map(|tangent| f(tangent, &other.value)).transpose()?;
        let right = other.tangent.as_ref().map(|tangent| f(&self.value, tangent)).transpose()?;
        let tangent = match (left, right) {
            (Some(left), Some(right)) => Some((left + right)?),
            (left, right) => left.or(right),
        };
        Ok(Dual { value: f(&self.value, &other.value)?, tangent })
    }

    /// Applies `y = f(x)` to each element; `df(x, y)` is its derivative, and must itself be differentiable by candle.
    ///
    /// # Errors
    /// Those of `f` and `df`.
    pub fn map<E, F>(
        &self,
        f: impl Fn(&Tensor) -> std::result::Result<Tensor, E>,
        df: impl Fn(&Tensor, &Tensor) -> std::result::Result<Tensor, F>,
    ) -> Result<Dual>
    where
        Error: From<E> + From<F>,
    {
        let value = f(&self.value)?;
        let tangent = match &self.tangent {
            Some(tangent) => Some(tangent.mul(&df(&self.value, &value)?)?),
            None => None,
        };
        Ok(Dual { value, tangent })
    }

    /// Sum, with broadcasting.
    ///
    /// # Errors
    /// When the shapes cannot be broadcast to one another.
    pub fn add(&self, other: &Dual) -> Result<Dual> {
        let value = self.value.broadcast_add(&other.value)?;
        let tangent = match (&self.tangent, &other.tangent) {
            (Some(left), Some(right)) => Some(left.broadcast_add(right)?),
            (Some(one), None) | (None, Some(one)) => Some(one.broadcast_as(value.shape())?),
            (None, None) => None,
        };
        Ok(Dual { value, tangent })
    }

    /// Difference, with broadcasting.
    ///
    /// # Errors
    /// When the shapes cannot be broadcast to one another.
    pub fn sub(&self, other: &Dual) -> Result<Dual> {
        let value = self.value.broadcast_sub(&other.value)?;
        let tangent = match (&self.tangent, &other.tangent) {
            (Some(left), Some(right)) => Some(left.broadcast_sub(right)?),
            (Some(left), None) => Some(left.broadcast_as(value.shape())?),
            (None, Some(right)) => Some(right.neg()?.broadcast_as(value.shape())?),
            (None, None) => None,
        };
        Ok(Dual { value, tangent })
    }

    /// Product of elements, with broadcasting.
    ///
    /// # Errors
    /// When the shapes cannot be broadcast to one another.
    pub fn mul(&self, other: &Dual) -> Result<Dual> {
        self.bilinear(other, |a, b| a.broadcast_mul(b))
    }

    /// Product with a number.
    ///
    /// # Errors
    /// When candle cannot compute with the type.
    pub fn scale(&self, factor: f64) -> Result<Dual> {
        if factor == 1.0 { Ok(self.clone()) } else { self.linear(|x| x.affine(factor, 0.0)) }
    }

    /// Sum with a number.
    ///
    /// # Errors
    /// When candle cannot compute with the type.
    pub fn shift(&self, offset: f64) -> Result<Dual> {
        Ok(Dual { value: self.value.affine(1.0, offset)?, tangent: self.tangent.clone() })
    }

    /// Product of matrices.
    ///
    /// # Errors
    /// When the inner sizes differ.
    pub fn matmul(&self, other: &Dual) -> Result<Dual> {
        self.bilinear(other, |a, b| a.matmul(b))
    }

    /// Exchanges the last two axes.
    ///
    /// # Errors
    /// When there are fewer than two.
    pub fn t(&self) -> Result<Dual> {
        self.linear(|x| x.t())
    }

    /// Square of each element.
    ///
    /// # Errors
    /// When candle cannot compute with the type.
    pub fn sqr(&self) -> Result<Dual> {
        self.map(|x| x.sqr(), |x, _| x.affine(2.0, 0.0))
    }

    /// Square root of each element.
    ///
    /// # Errors
    /// When candle cannot compute with the type.
    pub fn sqrt(&self) -> Result<Dual> {
        self.map(|x| x.sqrt(), |_, y| y.recip()?.affine(0.5, 0.0))
    }

    /// One over the square root of each element.
    ///
    /// # Errors
    /// When candle cannot compute with the type.
    pub fn rsqrt(&self) -> Result<Dual> {
        self.map(|x| x.sqrt()?.recip(), |_, y| y.sqr()?.mul(y)?.affine(-0.5, 0.0))
    }

    /// The same elements in another shape.
    ///
    /// # Errors
    /// When the number of elements differs.
    pub fn reshape<S: Into<candle_core::Shape>>(&self, shape: S) -> Result<Dual> {
        let shape = shape.into();
        self.linear(|x| x.reshape(&shape))
    }

    /// Elements `start .. start + len` along an axis.
    ///
    /// # Errors
    /// When they do not exist.
    pub fn narrow(&self, dim: usize, start: usize, len: usize) -> Result<Dual> {
        self.linear(|x| x.narrow(dim, start, len))
    }

    /// Joins tensors along an axis.
    ///
    /// # Errors
    /// When there are none, or the other axes differ.
    pub fn cat(parts: &[&Dual], dim: usize) -> Result<Dual> {
        let values: Vec<&Tensor> = parts.iter().map(|part| &part.value).collect();
        let value = Tensor::cat(&values, dim)?;
        if parts.iter().all(|part| part.tangent.is_none()) {
            return Ok(value.into());
        }
        let tangent_or_zeros = |part: &&Dual| match &part.tangent {
            Some(tangent) => Ok(tangent.clone()),
            None => part.value.zeros_like(),
        };
        let tangents = parts.iter().map(tangent_or_zeros).collect::<candle_core::Result<Vec<_>>>()?;
        Ok(Dual { value, tangent: Some(Tensor::cat(&tangents, dim)?) })
    }

    /// Mean over axes, which stay with length 1.
    ///
    /// # Errors
    /// When an axis does not exist.
    pub fn mean_keepdim(&self, dims: impl Dims + Clone) -> Result<Dual> {
        self.linear(|x| x.mean_keepdim(dims.clone()))
    }

    /// Sum over axes, which stay with length 1.
    ///
    /// # Errors
    /// When an axis does not exist.
    pub fn sum_keepdim(&self, dims: impl Dims + Clone) -> Result<Dual> {
        self.linear(|x| x.sum_keepdim(dims.clone()))
    }

    /// Sum of all elements, as a scalar.
    ///
    /// # Errors
    /// When candle cannot compute with the type.
    pub fn sum_all(&self) -> Result<Dual> {
        self.linear(|x| x.sum_all())
    }

    /// log(1 + eˣ), safe for every x.
    ///
    /// # Errors
    /// When candle cannot compute with the type.
    pub fn softplus(&self) -> Result<Dual> {
        self.map(softplus, |x, _| sigmoid(x))
    }
}
