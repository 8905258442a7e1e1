//! The latents of StyleGAN2: `z`, `w` and one `w` a layer, each its own type, and the truncation trick.

use candle_core::{D, Device, Tensor};

use crate::error::{Error, Result};
use crate::random::RandomState;

/// Number that makes one `z`, as the published tools count them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seed(pub u32);

/// Input latents, `[N, z_dim]`, drawn from the standard normal distribution.
#[derive(Clone, Debug)]
pub struct Z(Tensor);

/// Intermediate latents, `[N, w_dim]`.
#[derive(Clone, Debug)]
pub struct W(Tensor);

/// Intermediate latents for each layer, `[N, num_ws, w_dim]`; what the synthesis network takes (the papers' W+).
#[derive(Clone, Debug)]
pub struct WPlus(Tensor);

impl Z {
    /// Checks that `tensor` is `[N, z_dim]`.
    ///
    /// # Errors
    /// [`Error::Shape`] for any other shape.
    pub fn new(tensor: Tensor, z_dim: usize) -> Result<Z> {
        expect("z", &tensor, &[0, z_dim])?;
        Ok(Z(tensor))
    }

    /// Draws one latent a seed: NumPy's `RandomState(seed).randn(1, z_dim)`, rounded to f32.
    ///
    /// # Errors
    /// Only when the device refuses the tensor.
    pub fn from_seeds(seeds: &[Seed], z_dim: usize, device: &Device) -> Result<Z> {
        let drawn: Vec<f32> = seeds
            .iter()
            .flat_map(|seed| RandomState::new(seed.0).gauss_vec(z_dim))
            .map(|number| number as f32)
            .collect();
        Ok(Z(Tensor::from_vec(drawn, (seeds.len(), z_dim), device)?))
    }

    /// Interpolates along the great circle from these latents to `other`, `t` for each; results have length 1
    /// (Shoemake 1985; the published path length metric interpolates so).
    ///
    /// # Errors
    /// [`Error::Value`] when there are not as many `t` as latents, candle's error when the latents are not equally many.
    pub fn slerp(&self, other: &Z, t: &[f64]) -> Result<Z> {
        if t.len() != self.0.dim(0)? {
            return Err(Error::value("number of t", t.len(), self.0.dim(0)?));
        }
        let of_length_one = |x: &Tensor| -> Result<Tensor> { Ok(x.broadcast_div(&x.sqr()?.sum_keepdim(1)?.sqrt()?)?) };
        let (a, b) = (of_length_one(&self.0)?, of_length_one(&other.0)?);
        let cosine = (&a * &b)?.sum_keepdim(1)?; // [N, 1]
        let across = of_length_one(&(b - a.broadcast_mul(&cosine)?)?)?;
        let cosines: Vec<f64> = cosine.to_dtype(candle_core::DType::F64)?.flatten_all()?.to_vec1()?;
        let angles = cosines.iter().zip(t).map(|(cosine, t)| t * cosine.clamp(-1.0, 1.0).acos()).collect();
        let angles = Tensor::from_vec(angles, (t.len(), 1), a.device())?.to_dtype(a.dtype())?;
        Ok(Z(of_length_one(&(a.broadcast_mul(&angles.cos()?)? + across.broadcast_mul(&angles.sin()?)?)?)?))
    }

    /// The numbers, `[N, z_dim]`.
    pub fn tensor(&self) -> &Tensor {
        &self.0
    }
}

impl W {
    /// Checks that `tensor` is `[N, w_dim]`.
    ///
    /// # Errors
    /// [`Error::Shape`] for any other shape.
    pub fn new(tensor: Tensor, w_dim: usize) -> Result<W> {
        expect("w", &tensor, &[0, w_dim])?;
        Ok(W(tensor))
    }

    /// The numbers, `[N, w_dim]`.
    pub fn tensor(&self) -> &Tensor {
        &self.0
    }

    /// Gives every layer the same `w`.
    ///
    /// # Errors
    /// Only when the tensor operation fails.
    pub fn broadcast(&self, num_ws: usize) -> Result<WPlus> {
        let (n, w_dim) = self.0.dims2()?;
        Ok(WPlus(self.0.unsqueeze(1)?.broadcast_as((n, num_ws, w_dim))?.contiguous()?))
    }
}

impl WPlus {
    /// Checks that `tensor` is `[N, num_ws, w_dim]`.
    ///
    /// # Errors
    /// [`Error::Shape`] for any other shape.
    pub fn new(tensor: Tensor, num_ws: usize, w_dim: usize) -> Result<WPlus> {
        expect("w", &tensor, &[0, num_ws, w_dim])?;
        Ok(WPlus(tensor))
    }

    /// The numbers, `[N, num_ws, w_dim]`.
    pub fn tensor(&self) -> &Tensor {
        &self.0
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.0.dims()[0]
    }

    /// Whether there is no image in it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The latents of images `start..start + count`.
    ///
    /// # Errors
    /// Only when the range is outside the batch.
    pub fn narrow(&self, start: usize, count: usize) -> Result<WPlus> {
        Ok(WPlus(self.0.narrow(0, start, count)?))
    }

    /// The latents of all images of all parts, which have equally many layers.
    ///
    /// # Errors
    /// When there are no parts or they differ in layers or lengths.
    pub fn cat(parts: &[WPlus]) -> Result<WPlus> {
        let tensors: Vec<&Tensor> = parts.iter().map(|part| &part.0).collect();
        Ok(WPlus(Tensor::cat(&tensors, 0)?))
    }

    /// The latents on the straight way to `other`: 0 is here, 1 is there.
    ///
    /// # Errors
    /// When the two do not have the same shape.
    pub fn interpolate(&self, other: &WPlus, t: f64) -> Result<WPlus> {
        Ok(WPlus(lerp(&self.0, &other.0, t)?))
    }

    /// Pulls the latents towards `w_avg` `[w_dim]` (Karras et al. 2019, section 2.2).
    ///
    /// # Errors
    /// Only when `w_avg` has another length.
    pub fn truncate(&self, w_avg: &Tensor, truncation: &Truncation) -> Result<WPlus> {
        if truncation.psi == 1.0 {
            return Ok(self.clone());
        }
        let (_n, num_ws, _w_dim) = self.0.dims3()?;
        let cutoff = truncation.cutoff.unwrap_or(num_ws).min(num_ws);
        let low = lerp(w_avg, &self.0.narrow(1, 0, cutoff)?, truncation.psi)?;
        Ok(WPlus(Tensor::cat(&[low, self.0.narrow(1, cutoff, num_ws - cutoff)?], 1)?))
    }

    /// Style mixing: takes the given layers from `styles` and all others from `self`; both hold the same images.
    ///
    /// # Errors
    /// [`Error::Value`] for a layer that the network does not have.
    pub fn mix(&self, styles: &WPlus, layers: &[usize]) -> Result<WPlus> {
        let num_ws = self.0.dim(1)?;
        if let Some(layer) = layers.iter().find(|&&layer| layer >= num_ws) {
            return Err(Error::value("style layer", layer, format!("0 to {}", num_ws - 1)));
        }
        let source = |layer: usize| if layers.contains(&layer) { &styles.0 } else { &self.0 };
        let picked = (0..num_ws).map(|layer| Ok(source(layer).narrow(1, layer, 1)?)).collect::<Result<Vec<_>>>()?;
        Ok(WPlus(Tensor::cat(&picked, 1)?))
    }
}

/// How far latents are pulled towards the average, and in how many layers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Truncation {
    /// 1 leaves a latent alone, 0 gives the average face, negative numbers its opposite.
    pub psi: f64,
    /// Only the first layers are truncated; `None` truncates all.
    pub cutoff: Option<usize>,
}

impl Truncation {
    /// Leaves every latent alone.
    pub const NONE: Truncation = Truncation { psi: 1.0, cutoff: None };
}

/// Linear interpolation from `a` to `b`, evaluated from the nearer end as PyTorch does it.
fn lerp(a: &Tensor, b: &Tensor, t: f64) -> Result<Tensor> {
    let step = b.broadcast_sub(a)?;
    Ok(if t.abs() < 0.5 { (step * t)?.broadcast_add(a)? } else { (b - (step * (1.0 - t))?)? })
}

/// Compares the last dimensions with `expected`; the first, the batch, is free.
fn expect(name: &str, tensor: &Tensor, expected: &[usize]) -> Result<()> {
    let found = tensor.dims();
    if found.len() == expected.len() && found[1..] == expected[1..] {
        return Ok(());
    }
    let expected = [&found[..found.len().min(1)], &expected[1..]].concat();
    Err(Error::Shape { name: name.to_owned(), expected, found: found.to_vec() })
}

/// Turns classes into one-hot labels `[N, c_dim]`.
///
/// # Errors
/// [`Error::Value`] for a class that the network does not know.
pub fn one_hot(classes: &[usize], c_dim: usize, device: &Device) -> Result<Tensor> {
    if let Some(class) = classes.iter().find(|&&class| class >= c_dim) {
        return Err(Error::value("class", class, format!("0 to {}", c_dim.saturating_sub(1))));
    }
    let classes: Vec<u32> = classes.iter().map(|&class| class as u32).collect();
    let columns = Tensor::arange(0u32, c_dim as u32, device)?;
    let rows = Tensor::new(classes, device)?.unsqueeze(D::Minus1)?;
    Ok(rows.broadcast_eq(&columns)?.to_dtype(candle_core::DType::F32)?)
}
