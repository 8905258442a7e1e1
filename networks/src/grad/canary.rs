//! Proof, at run time, that gradients of gradients are right.

use candle_core::{DType, Device, Tensor, Var};

use super::Dual;
use crate::error::{Error, Result};
use crate::ops::{Activation, BiasAct, Filter, ResampleConv, bias_act, conv2d_resample};
use crate::random::RandomState;

/// The environment variable that lets candle keep the graph of gradients. candle reads it once for each thread, at the
/// thread's first backward pass. Only tests need it, as an oracle.
pub const DOUBLE_BACKWARD_VARIABLE: &str = "CANDLE_GRAD_DO_NOT_DETACH";

/// Whether the process asks candle to keep the graph of gradients.
#[expect(clippy::disallowed_methods, reason = "candle reads this setting from nowhere else")]
pub(crate) fn graph_of_gradients_is_kept() -> bool {
    std::env::var(DOUBLE_BACKWARD_VARIABLE).is_ok_and(|value| !value.is_empty() && value != "0")
}

/// Tells by trying whether candle keeps the graph of gradients on this thread: whether (x³)'' is 6x.
///
/// # Errors
/// When candle cannot differentiate at all.
pub fn double_backward_is_on() -> Result<bool> {
    let x = Var::from_tensor(&Tensor::new(2.0f64, &Device::Cpu)?)?;
    let first = x.sqr()?.mul(&x)?.backward()?;
    let Some(first) = first.get(&x) else { return Ok(false) };
    let second = first.backward()?;
    match second.get(&x) {
        Some(second) => Ok((second.to_scalar::<f64>()? - 12.0).abs() < 1e-9),
        None => Ok(false),
    }
}

/// Step of the finite differences, and the largest relative difference that passes: the error of central differences
/// is of the order of the step squared.
const STEP: f64 = 1e-5;
const TOLERANCE: f64 = 1e-6;

/// Compares the gradient of R1's penalty, computed with duals and one backward pass, with finite differences, on a tiny
/// discriminator with 3×3 kernels.
///
/// # Errors
/// [`Error::Value`] when they differ, in which case no regulariser can be trusted.
pub fn canary() -> Result<()> {
    let net = TinyDiscriminator::new()?;
    compare(net.penalty_derivative()?, net.penalty_difference()?)
}

fn compare(exact: f64, expected: f64) -> Result<()> {
    if (exact - expected).abs() <= TOLERANCE * expected.abs() {
        return Ok(());
    }
    Err(Error::value("second-order gradient", exact, format!("{expected}, by finite differences")))
}

/// Two convolutions, one of them with a change of resolution, and a square: every kind of curvature that R1 meets.
struct TinyDiscriminator {
    images: Tensor,
    weights: [Tensor; 2],
    /// Where in the space of weights the derivative is taken.
    directions: [Tensor; 2],
    bias: Tensor,
    filter: Filter,
}

impl TinyDiscriminator {
    fn new() -> Result<Self> {
        let mut random = RandomState::new(5);
        let mut draw = |shape: &[usize]| {
            let numbers = random.gauss_vec(shape.iter().product());
            Tensor::from_vec(numbers, shape, &Device::Cpu)
        };
        Ok(TinyDiscriminator {
            images: draw(&[2, 2, 6, 5])?,
            weights: [draw(&[3, 2, 3, 3])?, draw(&[2, 3, 3, 3])?],
            directions: [draw(&[3, 2, 3, 3])?, draw(&[2, 3, 3, 3])?],
            bias: draw(&[3])?,
            filter: Filter::new(&[1.0, 3.0, 3.0, 1.0])?,
        })
    }

    fn score(&self, images: &Dual, weights: [&Tensor; 2]) -> Result<Dual> {
        let same = ResampleConv { padding: [1; 4], ..Default::default() };
        let half = ResampleConv { down: 2, ..same };
        let lrelu = BiasAct::new(Activation::Lrelu);
        let x = conv2d_resample(images, &weights[0].into(), &self.filter, &same)?;
        let x = bias_act(&x, Some(&(&self.bias).into()), &lrelu)?;
        let x = conv2d_resample(&x, &weights[1].into(), &self.filter, &half)?;
        x.sqr()?.shift(1.0)?.rsqrt()?.softplus()?.sum_all()
    }

    /// The gradient of the score with respect to the images.
    fn image_gradient(&self, weights: [&Tensor; 2]) -> Result<Tensor> {
        let images = Var::from_tensor(&self.images)?;
        let gradients = self.score(&images.as_tensor().into(), weights)?.into_value().backward()?;
        let gradient = gradients.get(&images).ok_or_else(|| Error::value("image gradient", "absent", "present"))?;
        Ok(gradient.detach())
    }

    /// Along the direction: the gradient of |v|² is that of 2·(derivative of the score along v), v held fixed.
    fn penalty_derivative(&self) -> Result<f64> {
        let weights = [Var::from_tensor(&self.weights[0])?, Var::from_tensor(&self.weights[1])?];
        let along = self.image_gradient([&self.weights[0], &self.weights[1]])?;
        let images = Dual::with_tangent(self.images.clone(), along)?;
        let score = self.score(&images, [&weights[0], &weights[1]])?;
        let slope = score.tangent().ok_or_else(|| Error::value("tangent", "absent", "present"))?.affine(2.0, 0.0)?;
        let gradients = slope.backward()?;
        let mut sum = 0.0;
        for (weight, direction) in weights.iter().zip(&self.directions) {
            let gradient = gradients.get(weight).ok_or_else(|| Error::value("gradient", "absent", "present"))?;
            sum += gradient.mul(direction)?.sum_all()?.to_dtype(DType::F64)?.to_scalar::<f64>()?;
        }
        Ok(sum)
    }

    fn penalty_difference(&self) -> Result<f64> {
        let penalty = |step: f64| -> Result<f64> {
            let first = (&self.weights[0] + self.directions[0].affine(step, 0.0)?)?;
            let second = (&self.weights[1] + self.directions[1].affine(step, 0.0)?)?;
            Ok(self.image_gradient([&first, &second])?.sqr()?.sum_all()?.to_scalar::<f64>()?)
        };
        Ok((penalty(STEP)? - penalty(-STEP)?) / (2.0 * STEP))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_canary_sings() -> Result<()> {
        canary()
    }

    /// What a second `backward()` gives when candle has detached the first gradient: no derivative at all.
    #[test]
    fn the_canary_stops_singing_without_the_second_order() -> Result<()> {
        let expected = TinyDiscriminator::new()?.penalty_difference()?;
        assert!(expected.abs() > 1e-3, "the penalty does depend on the weights");
        assert!(compare(0.0, expected).is_err());
        assert!(compare(expected * (1.0 + 1e-5), expected).is_err());
        assert!(compare(f64::NAN, expected).is_err());
        Ok(())
    }
}
