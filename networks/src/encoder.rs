//! The projection encoder: a small convolutional network from an image to the latents that would have made it, the
//! starting point of a projection.
//!
//! Layers are those of the discriminator: equalised learning rate, and down-sampling convolutions with a smoothing filter
//! (Karras et al. 2020, section 2). Large images are averaged down first. The outputs are offsets from the average `w`,
//! in units of how widely `w` spreads: one `w` for all layers, and by how much each layer departs from it, as in
//! Tov et al. 2021, "Designing an Encoder for StyleGAN Image Manipulation", section 4.1.

mod file;

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::grad::Dual;
use crate::latent::{W, WPlus};
use crate::ops::{Activation, BiasAct, Filter};
use crate::perceptual::scale::averaged;
use crate::random::RandomState;
use crate::stylegan2::GeneratorConfig;
use crate::stylegan2::linear::{Conv, ConvSpec, FullyConnected};

pub use file::{EncoderFile, EncoderHistory, read_encoder, write_encoder};

/// What an encoder looks like.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EncoderConfig {
    /// Side of the images of its generator, in pixels.
    pub resolution_px: usize,
    /// Channels of the images, 1 or 3.
    pub img_channels: usize,
    /// Number of layers that take a `w`.
    pub num_ws: usize,
    /// Length of `w`.
    pub w_dim: usize,
    /// Side to which images are averaged down before the first layer, in pixels.
    pub seen_px: usize,
    /// Channels of the first layer; each halving of the image doubles them.
    pub first_channels: usize,
    /// Channels at most.
    pub most_channels: usize,
}

impl EncoderConfig {
    /// The usual encoder for a generator: it sees at most 64 px.
    pub fn for_generator(generator: &GeneratorConfig) -> Self {
        let (resolution_px, num_ws) = (generator.resolution.px(), generator.num_ws());
        let (img_channels, w_dim, seen_px) = (generator.img_channels, generator.w_dim, resolution_px.min(64));
        EncoderConfig { resolution_px, img_channels, num_ws, w_dim, seen_px, first_channels: 32, most_channels: 256 }
    }

    /// Checks that a network can be built.
    ///
    /// # Errors
    /// [`Error::Value`] for sides that are no powers of two from 8 to 1024, or for widths of 0 or beyond all use.
    pub fn check(&self) -> Result<()> {
        const WIDEST: usize = 4096;
        let sides = [self.seen_px, self.resolution_px];
        let is_side = |px: &usize| px.is_power_of_two() && (8..=1024).contains(px);
        if !sides.iter().all(is_side) || self.seen_px > self.resolution_px {
            return Err(Error::value("encoder's image size", format!("{sides:?}"), "powers of two from 8 to 1024"));
        }
        let widths = [self.img_channels, self.num_ws, self.w_dim, self.first_channels, self.most_channels];
        if widths.iter().any(|width| !(1..=WIDEST).contains(width)) {
            return Err(Error::value("encoder's widths", format!("{widths:?}"), format!("from 1 to {WIDEST}")));
        }
        Ok(())
    }

    /// Sides of the features that are halved, and their channels, largest first.
    fn ladder(&self) -> Vec<(usize, usize)> {
        let sides = std::iter::successors(Some(self.seen_px), |px| (*px > 8).then_some(px / 2));
        let width = |step: u32| self.first_channels.saturating_mul(1 << step).min(self.most_channels);
        sides.zip(0..).map(|(px, step)| (px, width(step))).collect()
    }

    /// Channels at 4 px.
    fn last_channels(&self) -> usize {
        self.ladder().last().map_or(self.most_channels, |(_, width)| (2 * width).min(self.most_channels))
    }

    /// Names and shapes of all tensors, in order.
    pub fn tensors(&self) -> Vec<(String, Vec<usize>)> {
        let ladder = self.ladder();
        let mut all = Vec::new();
        let mut layer = |name: String, shape: Vec<usize>| {
            all.push((format!("{name}.bias"), vec![shape[0]]));
            all.push((format!("{name}.weight"), shape));
        };
        layer("from_image".to_owned(), vec![ladder[0].1, self.img_channels, 3, 3]);
        for (index, (px, width)) in ladder.iter().enumerate() {
            let next = ladder.get(index + 1).map_or(self.last_channels(), |(_, width)| *width);
            layer(format!("b{px}.conv0"), vec![*width, *width, 3, 3]);
            layer(format!("b{px}.conv1"), vec![next, *width, 3, 3]);
        }
        layer("fc".to_owned(), vec![self.w_dim, self.last_channels() * 16]);
        layer("shared".to_owned(), vec![self.w_dim, self.w_dim]);
        layer("each".to_owned(), vec![self.num_ws * self.w_dim, self.w_dim]);
        all.push(("w_avg".to_owned(), vec![self.w_dim]));
        all.push(("w_std".to_owned(), vec![1]));
        all
    }
}

/// Names of the tensors that training does not move.
const FIXED: [&str; 2] = ["w_avg", "w_std"];

/// Whether training moves the tensor of this name.
pub fn is_learnt(name: &str) -> bool {
    !FIXED.contains(&name)
}

/// Draws the numbers that training starts from: weights of unit variance, biases of 0.
///
/// # Errors
/// [`Error::Value`] for an impossible configuration.
pub fn random_tensors(
    config: &EncoderConfig,
    (w_avg, w_std): (&Tensor, f64),
    rng: &mut RandomState,
) -> Result<Vec<(String, Tensor)>> {
    config.check()?;
    let make = |(name, shape): (String, Vec<usize>)| {
        let count = shape.iter().product();
        let tensor = match name.as_str() {
            "w_avg" => w_avg.reshape(shape)?.to_dtype(DType::F32)?,
            "w_std" => Tensor::new(&[w_std as f32], &Device::Cpu)?,
            // So that the first answer is the average.
            "shared.weight" | "each.weight" => Tensor::zeros(shape, DType::F32, &Device::Cpu)?,
            _ if shape.len() == 1 => Tensor::zeros(shape, DType::F32, &Device::Cpu)?,
            _ => {
                let drawn: Vec<f32> = rng.gauss_vec(count).into_iter().map(|x| x as f32).collect();
                Tensor::from_vec(drawn, shape, &Device::Cpu)?
            }
        };
        Ok((name, tensor))
    };
    config.tensors().into_iter().map(make).collect()
}

/// How far the latents of images are from the average `w`, in units of [`Encoder::w_std`].
pub struct Offsets {
    /// One `w` for all layers, `[N, w_dim]`.
    pub shared: Tensor,
    /// By how much each layer departs from it, `[N, num_ws, w_dim]`.
    pub each: Tensor,
}

/// An encoder that is ready to run.
#[derive(Clone, Debug)]
pub struct Encoder {
    config: EncoderConfig,
    from_image: Conv,
    /// Convolutions from the largest features to 4 px, two each side.
    halving: Vec<Conv>,
    fc: FullyConnected,
    shared: FullyConnected,
    each: FullyConnected,
    w_avg: Tensor,
    /// Root of the mean squared distance from the average, for one dimension.
    w_std: Tensor,
}

impl Encoder {
    /// Builds the network on the variables of `vb`.
    ///
    /// # Errors
    /// [`Error::Value`] for an impossible configuration, candle's error for a missing variable.
    pub fn new(config: &EncoderConfig, vb: &VarBuilder<'_>) -> Result<Self> {
        config.check()?;
        let filter = Filter::new(&[1.0, 3.0, 3.0, 1.0])?;
        let act = BiasAct::new(Activation::Lrelu);
        let spec = |down| ConvSpec { kernel: 3, up: 1, down, act };
        let ladder = config.ladder();
        let conv = |name: &str, channels, down| Conv::with_bias(&vb.pp(name), channels, &filter, &spec(down));
        let halving = ladder.iter().enumerate().flat_map(|(index, (px, width))| {
            let next = ladder.get(index + 1).map_or(config.last_channels(), |(_, width)| *width);
            [conv(&format!("b{px}.conv0"), (*width, *width), 1), conv(&format!("b{px}.conv1"), (*width, next), 2)]
        });
        let (w_dim, lrelu) = (config.w_dim, Activation::Lrelu);
        let fc = |name: &str, inputs, outputs, act| FullyConnected::new(&vb.pp(name), (inputs, outputs), act, 1.0);
        Ok(Encoder {
            from_image: conv("from_image", (config.img_channels, ladder[0].1), 1)?,
            halving: halving.collect::<Result<_>>()?,
            fc: fc("fc", config.last_channels() * 16, w_dim, lrelu)?,
            shared: fc("shared", w_dim, w_dim, Activation::Linear)?,
            each: fc("each", w_dim, config.num_ws * w_dim, Activation::Linear)?,
            w_avg: vb.get(config.w_dim, "w_avg")?,
            w_std: vb.get(1, "w_std")?,
            config: config.clone(),
        })
    }

    /// What the encoder looks like.
    pub fn config(&self) -> &EncoderConfig {
        &self.config
    }

    /// Looks at images.
    ///
    /// # Shapes
    /// images `[N, img_channels, R, R]` in \[-1, 1\]
    ///
    /// # Errors
    /// [`Error::Shape`] for images of another size.
    pub fn offsets(&self, images: &Tensor) -> Result<Offsets> {
        let (n, r) = (images.dim(0)?, self.config.resolution_px);
        let expected = vec![n, self.config.img_channels, r, r];
        if images.dims() != expected {
            return Err(Error::Shape { name: "images".to_owned(), expected, found: images.dims().to_vec() });
        }
        let seen = match r / self.config.seen_px {
            1 => images.clone(),
            factor => averaged(images, factor)?,
        };
        let x = self.from_image.forward(&Dual::from(&seen))?;
        let x = self.halving.iter().try_fold(x, |x, conv| conv.forward(&x))?; // [N, C, 4, 4]
        let features = self.fc.forward(&x.linear(|x| x.flatten_from(1))?)?; // [N, w_dim]
        let each = self.each.forward(&features)?.into_value();
        Ok(Offsets {
            shared: self.shared.forward(&features)?.into_value(),
            each: each.reshape((n, self.config.num_ws, self.config.w_dim))?,
        })
    }

    /// The one `w` of each image.
    ///
    /// # Errors
    /// Only when the tensor operation fails.
    pub fn w(&self, offsets: &Offsets) -> Result<W> {
        W::new(self.absolute(&offsets.shared)?, self.config.w_dim)
    }

    /// The latents of each image, a `w` for every layer.
    ///
    /// # Errors
    /// Only when the tensor operation fails.
    pub fn w_plus(&self, offsets: &Offsets) -> Result<WPlus> {
        let layers = offsets.each.broadcast_add(&offsets.shared.unsqueeze(1)?)?;
        WPlus::new(self.absolute(&layers)?, self.config.num_ws, self.config.w_dim)
    }

    fn absolute(&self, offsets: &Tensor) -> Result<Tensor> {
        Ok(offsets.broadcast_mul(&self.w_std)?.broadcast_add(&self.w_avg)?)
    }

    /// Average of `w`, `[w_dim]`.
    pub fn w_avg(&self) -> &Tensor {
        &self.w_avg
    }

    /// Root of the mean squared distance from it, for one dimension; `[1]`.
    pub fn w_std(&self) -> &Tensor {
        &self.w_std
    }
}
