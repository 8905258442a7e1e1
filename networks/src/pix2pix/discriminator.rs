//! The discriminator of patches: each number that comes out judges one patch of the picture, given the photo (Isola et
//! al. 2017, section 3.2.2). Features are normalised within each image, as the paper does with its batches of one.

use candle_core::{DType, Device};
use candle_nn::VarBuilder;

use crate::error::Result;
use crate::grad::Dual;
use crate::ops::{self, Activation, BiasAct, Convolution};
use crate::pix2pix::layer::Part;
use crate::pix2pix::{PatchConfig, PatchLayer};
use crate::stylegan2::Weights;

/// Keeps the normalisation of constant features finite.
const EPSILON: f64 = 1e-5;
/// Slope of the leaky ReLU (appendix 6.1.2).
const SLOPE: f64 = 0.2;

/// A patch discriminator.
#[derive(Clone, Debug)]
pub struct PatchDiscriminator {
    config: PatchConfig,
    layers: Vec<PatchConv>,
}

#[derive(Clone, Debug)]
struct PatchConv {
    weight: Dual,
    bias: Dual,
    stride: usize,
}

/// What a patch discriminator saw.
#[derive(Clone, Debug)]
pub struct PatchOpinion {
    /// `[N, 1, H', W']`: positive where the patch looks like one of the true pictures.
    pub logits: Dual,
    /// The features of each layer below, first layer first, for comparing pictures (Wang et al. 2018, "High-Resolution
    /// Image Synthesis and Semantic Manipulation with Conditional GANs", equation 4).
    pub features: Vec<Dual>,
}

impl PatchDiscriminator {
    /// Builds the network on the variables of `vb`, under the names of [`PatchLayer`].
    ///
    /// # Errors
    /// [`Error::Value`](crate::Error::Value) for an impossible configuration, candle's error for a missing variable.
    pub fn new(config: &PatchConfig, vb: &VarBuilder<'_>) -> Result<Self> {
        config.check()?;
        let mut layers = Vec::new();
        let shapes: std::collections::BTreeMap<_, _> =
            <PatchLayer as crate::stylegan2::TensorName>::all(config).into_iter().collect();
        for conv in 0..config.shrinking + 2 {
            let get = |part| {
                let layer = PatchLayer { conv, part };
                vb.get(shapes[&layer].as_slice(), &layer.to_string())
            };
            let stride = if conv < config.shrinking { 2 } else { 1 };
            layers.push(PatchConv { weight: get(Part::Weight)?.into(), bias: get(Part::Bias)?.into(), stride });
        }
        Ok(PatchDiscriminator { config: config.clone(), layers })
    }

    /// Builds the network for judging; the tensors are shared, not copied.
    ///
    /// # Errors
    /// As [`PatchDiscriminator::new`].
    pub fn from_weights(config: &PatchConfig, weights: &Weights<PatchLayer>) -> Result<Self> {
        Self::new(config, &weights.var_builder(DType::F32, &Device::Cpu))
    }

    /// What the discriminator looks like.
    pub fn config(&self) -> &PatchConfig {
        &self.config
    }

    /// Judges pictures beside the photos that they were made from.
    ///
    /// # Shapes
    /// photo `[N, C, H, W]`, picture `[N, 3, H, W]`, together `img_channels`; at least as large as a patch needs
    ///
    /// # Errors
    /// When the shapes do not fit, or the image is too small.
    pub fn judge(&self, photo: &Dual, picture: &Dual) -> Result<PatchOpinion> {
        let mut x = Dual::cat(&[photo, picture], 1)?;
        let mut features = Vec::new();
        let last = self.layers.len() - 1;
        for (index, layer) in self.layers.iter().enumerate() {
            let spec = Convolution { stride: layer.stride, padding: [1; 4], groups: 1 };
            x = ops::conv2d(&x, &layer.weight, &spec)?;
            if index == last {
                break;
            }
            let act = BiasAct { alpha: Some(SLOPE), gain: Some(1.0), ..BiasAct::new(Activation::Lrelu) };
            // The first layer is not normalised (appendix 6.1.2); the others' bias comes after.
            if index > 0 {
                x = normalised(&x)?;
            }
            x = ops::bias_act(&x, Some(&layer.bias), &act)?;
            features.push(x.clone());
        }
        let bias = &self.layers[last].bias;
        let logits = ops::bias_act(&x, Some(bias), &BiasAct::new(Activation::Linear))?;
        Ok(PatchOpinion { logits, features })
    }
}

/// Zero mean and unit variance over the pixels of each channel of each image.
fn normalised(x: &Dual) -> Result<Dual> {
    let centred = x.sub(&x.mean_keepdim((2, 3))?)?;
    let variance = centred.sqr()?.mean_keepdim((2, 3))?; // [N, C, 1, 1]
    centred.mul(&variance.shift(EPSILON)?.rsqrt()?)
}
