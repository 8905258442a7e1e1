//! The synthesis network: one `w` a layer to an image (Karras et al. 2020, figures 2 and 7).
//!
//! Modulation is unfused: the style scales a layer's input and the demodulation its output, so that all images of a batch
//! share the weights.

mod learning;
mod rendering;

use candle_core::Device;
use candle_nn::VarBuilder;

use crate::draws::Draws;
use crate::error::{Error, Result};
use crate::grad::Dual;
use crate::ops::{self, Activation, Arithmetic, BiasAct, Demodulation, Filter, ModulatedConv, Orientation};
use crate::pool::in_pool;
use crate::stylegan2::config::{Architecture, GeneratorConfig, Resolution};
use crate::stylegan2::linear::{Conv, ConvSpec, FullyConnected};

/// What is added after each convolution, before its bias.
#[derive(Clone, Debug)]
pub enum Noise {
    /// The fixed noise images of the checkpoint.
    Const,
    /// Nothing.
    None,
    /// An image `[N or 1, 1, R, R]` for each convolution, 4 px first.
    Given(Vec<Dual>),
}

impl Noise {
    /// Draws fresh noise for `batch` images.
    ///
    /// # Errors
    /// Only when the device refuses a tensor.
    pub fn random(config: &GeneratorConfig, batch: usize, draws: &mut dyn Draws, device: &Device) -> Result<Noise> {
        let mut images = Vec::new();
        for resolution in config.resolution.ladder() {
            let r = resolution.px();
            for _ in convolutions(resolution) {
                images.push(draws.normal(&[batch, 1, r, r])?.to_device(device)?.into());
            }
        }
        Ok(Noise::Given(images))
    }
}

/// Indices, over the whole network, of the convolutions in the block at `resolution`; also those of their `w`.
fn convolutions(resolution: Resolution) -> std::ops::RangeInclusive<usize> {
    let last = 2 * resolution.log2() - 4;
    last.saturating_sub(1)..=last
}

/// What flows from block to block.
#[derive(Clone, Debug)]
pub struct Features {
    /// Feature maps `[N, C, R, R]`.
    pub x: Dual,
    /// The image so far, `[N, img_channels, R, R]`; in the `orig` and `resnet` architectures only after the last block.
    pub image: Option<Dual>,
}

/// A convolution whose input channels are scaled by a style, with noise, bias and activation.
#[derive(Clone, Debug)]
struct StyledConv {
    affine: FullyConnected,
    weight: Dual,
    bias: Dual,
    noise: Option<NoiseInput>,
    up: usize,
    filter: Filter,
    act: BiasAct,
    arithmetic: Arithmetic,
}

/// The learnt strength of a layer's noise, and its fixed noise image.
#[derive(Clone, Debug)]
struct NoiseInput {
    constant: Dual,
    strength: Dual,
}

impl StyledConv {
    fn new(vb: &VarBuilder<'_>, channels: (usize, usize), resolution: Resolution, site: &Site<'_>) -> Result<Self> {
        let (config, (inputs, outputs), r) = (site.config, channels, resolution.px());
        let noise = if config.use_noise {
            let constant = vb.get((r, r), "noise_const")?.reshape((1, 1, r, r))?.into();
            Some(NoiseInput { constant, strength: vb.get((), "noise_strength")?.into() })
        } else {
            None
        };
        Ok(StyledConv {
            affine: FullyConnected::new(&vb.pp("affine"), (config.w_dim, inputs), Activation::Linear, 1.0)?,
            weight: vb.get((outputs, inputs, 3, 3), "weight")?.into(),
            bias: vb.get(outputs, "bias")?.into(),
            noise,
            up: site.up,
            filter: site.filter.clone(),
            act: scaled_act(config.activation, site.gain, config.conv_clamp),
            arithmetic: Arithmetic::Single,
        })
    }

    /// What is added after the convolution.
    fn noise(&self, noise: NoiseOf<'_>) -> Result<Option<Dual>> {
        Ok(match (&self.noise, noise) {
            (None, _) | (_, NoiseOf::None) => None,
            (Some(own), NoiseOf::Const) => Some(own.constant.mul(&own.strength)?),
            (Some(own), NoiseOf::Given(image)) => Some(image.mul(&own.strength)?),
        })
    }

    /// # Shapes
    /// `x` `[N, I, H, W]`, `w` `[N, w_dim]` → `[N, O, H·up, W·up]`
    fn forward(&self, x: &Dual, w: &Dual, noise: NoiseOf<'_>) -> Result<Dual> {
        let styles = self.affine.forward(w)?; // [N, I]
        let noise = self.noise(noise)?;
        let spec = ModulatedConv {
            up: self.up,
            down: 1,
            padding: 1,
            demodulate: Demodulation::On,
            orientation: if self.up == 1 { Orientation::Correlation } else { Orientation::Convolution },
            filter: &self.filter,
            noise: noise.as_ref(),
        };
        let y = self.arithmetic.modulated_conv2d(x, &self.weight, &styles, &spec)?;
        self.arithmetic.bias_act(&y, Some(&self.bias), &self.act)
    }
}

/// The noise of one layer.
#[derive(Clone, Copy)]
enum NoiseOf<'a> {
    Const,
    None,
    Given(&'a Dual),
}

impl Noise {
    fn of(&self, index: usize) -> Result<NoiseOf<'_>> {
        Ok(match self {
            Noise::Const => NoiseOf::Const,
            Noise::None => NoiseOf::None,
            Noise::Given(images) => NoiseOf::Given(images.get(index).ok_or_else(|| {
                Error::value("number of noise images", images.len(), format!("at least {}", index + 1))
            })?),
        })
    }
}

/// What the layers of a network share, and what sets one apart from the next.
struct Site<'a> {
    config: &'a GeneratorConfig,
    filter: &'a Filter,
    up: usize,
    gain: f64,
}

/// Scales an activation's output, and its clamp with it.
pub(crate) fn scaled_act(activation: Activation, gain: f64, clamp: Option<f64>) -> BiasAct {
    BiasAct {
        gain: Some(activation.default_gain() * gain),
        clamp: clamp.map(|clamp| clamp * gain),
        ..BiasAct::new(activation)
    }
}

/// The 1x1 convolution from features to the image; styled, but neither demodulated nor noisy.
#[derive(Clone, Debug)]
struct ToRgb {
    affine: FullyConnected,
    weight: Dual,
    bias: Dual,
    filter: Filter,
    act: BiasAct,
    arithmetic: Arithmetic,
}

impl ToRgb {
    fn new(vb: &VarBuilder<'_>, inputs: usize, config: &GeneratorConfig, filter: &Filter) -> Result<Self> {
        Ok(ToRgb {
            affine: FullyConnected::new(&vb.pp("affine"), (config.w_dim, inputs), Activation::Linear, 1.0)?,
            weight: vb.get((config.img_channels, inputs, 1, 1), "weight")?.into(),
            bias: vb.get(config.img_channels, "bias")?.into(),
            filter: filter.clone(),
            act: BiasAct { clamp: config.conv_clamp, ..BiasAct::new(Activation::Linear) },
            arithmetic: Arithmetic::Single,
        })
    }

    /// # Shapes
    /// `x` `[N, I, R, R]`, `w` `[N, w_dim]` → `[N, img_channels, R, R]`
    fn forward(&self, x: &Dual, w: &Dual) -> Result<Dual> {
        let (_outputs, inputs, _, _) = self.weight.dims4()?;
        let styles = self.affine.forward(w)?.scale(1.0 / (inputs as f64).sqrt())?; // [N, I]
        let spec = ModulatedConv {
            up: 1,
            down: 1,
            padding: 0,
            demodulate: Demodulation::Off,
            orientation: Orientation::Correlation,
            filter: &self.filter,
            noise: None,
        };
        let y = self.arithmetic.modulated_conv2d(x, &self.weight, &styles, &spec)?;
        self.arithmetic.bias_act(&y, Some(&self.bias), &self.act)
    }
}

/// What a block begins with.
#[derive(Clone, Debug)]
enum Entry {
    /// The learnt constant `[1, C, 4, 4]`.
    Const(Dual),
    /// The block below, grown by a convolution; beside it a 1x1 convolution in residual networks.
    Grow { conv0: Box<StyledConv>, skip: Option<Box<Conv>> },
}

/// All layers of one resolution.
#[derive(Clone, Debug)]
pub struct SynthesisBlock {
    resolution: Resolution,
    entry: Entry,
    conv1: StyledConv,
    to_rgb: Option<ToRgb>,
    filter: Filter,
    arithmetic: Arithmetic,
}

impl SynthesisBlock {
    fn new(vb: &VarBuilder<'_>, resolution: Resolution, config: &GeneratorConfig, filter: &Filter) -> Result<Self> {
        let width = config.channels.at(resolution);
        let residual = config.architecture == Architecture::Resnet && resolution > Resolution::R4;
        let gain = if residual { 0.5f64.sqrt() } else { 1.0 };
        let entry = match resolution.half() {
            None => Entry::Const(vb.get((width, 4, 4), "const")?.unsqueeze(0)?.into()),
            Some(half) => {
                let channels = (config.channels.at(half), width);
                let site = Site { config, filter, up: 2, gain: 1.0 };
                let conv0 = Box::new(StyledConv::new(&vb.pp("conv0"), channels, resolution, &site)?);
                let skip = ConvSpec { kernel: 1, up: 2, down: 1, act: scaled_act(Activation::Linear, gain, None) };
                let skip = residual.then(|| Conv::without_bias(&vb.pp("skip"), channels, filter, &skip)).transpose()?;
                Entry::Grow { conv0, skip: skip.map(Box::new) }
            }
        };
        let site = Site { config, filter, up: 1, gain };
        let has_rgb = config.architecture == Architecture::Skip || resolution == config.resolution;
        Ok(SynthesisBlock {
            resolution,
            entry,
            conv1: StyledConv::new(&vb.pp("conv1"), (width, width), resolution, &site)?,
            to_rgb: has_rgb.then(|| ToRgb::new(&vb.pp("torgb"), width, config, filter)).transpose()?,
            filter: filter.clone(),
            arithmetic: Arithmetic::Single,
        })
    }

    /// Changes the arithmetic of the features, and of everything that makes them or reads them.
    fn set_arithmetic(&mut self, arithmetic: Arithmetic) {
        self.arithmetic = arithmetic;
        self.conv1.arithmetic = arithmetic;
        if let Entry::Grow { conv0, skip } = &mut self.entry {
            conv0.arithmetic = arithmetic;
            skip.iter_mut().for_each(|skip| skip.set_arithmetic(arithmetic));
        }
        self.to_rgb.iter_mut().for_each(|to_rgb| to_rgb.arithmetic = arithmetic);
    }

    /// Resolution of the block's output.
    pub fn resolution(&self) -> Resolution {
        self.resolution
    }

    /// Runs the block; the first takes no features.
    ///
    /// # Shapes
    /// `ws` `[N, num_ws, w_dim]`, all of them: the block picks its own
    ///
    /// # Errors
    /// [`Error::Value`] when noise images or features are missing.
    pub fn forward(&self, below: Option<Features>, ws: &Dual, noise: &Noise) -> Result<Features> {
        let (convolutions, n) = (convolutions(self.resolution), ws.dims()[0]);
        let w_at = |index: usize| -> Result<Dual> {
            let w_dim = ws.dims()[2];
            ws.narrow(1, index, 1)?.reshape((n, w_dim))
        };
        let (first, last) = (*convolutions.start(), *convolutions.end());
        let (x, shortcut) = match (&self.entry, &below) {
            (Entry::Const(constant), _) => {
                let (_one, c, h, w) = constant.dims4()?;
                (constant.linear(|x| x.broadcast_as((n, c, h, w))?.contiguous())?, None)
            }
            (Entry::Grow { conv0, skip }, Some(below)) => {
                let x = self.arithmetic.round(&below.x)?;
                let shortcut = skip.as_ref().map(|skip| skip.forward(&x)).transpose()?;
                (conv0.forward(&x, &w_at(first)?, noise.of(first)?)?, shortcut)
            }
            (Entry::Grow { .. }, None) => return Err(Error::value("features", "none", "those of the block below")),
        };
        let mut x = self.conv1.forward(&x, &w_at(last)?, noise.of(last)?)?;
        if let Some(shortcut) = shortcut {
            x = self.arithmetic.round(&x.add(&shortcut)?)?;
        }
        let image = below.and_then(|below| below.image);
        let mut image = image.map(|image| ops::upsample2d(&image, &self.filter, 2)).transpose()?;
        if let Some(to_rgb) = &self.to_rgb {
            let rgb = to_rgb.forward(&x, &w_at(last + 1)?)?;
            image = Some(match image {
                Some(image) => image.add(&rgb)?,
                None => rgb,
            });
        }
        Ok(Features { x, image })
    }

    /// The styles of the block's layers for one `w` `[N, w_dim]`, each `[N, I]`, under the names of the layers.
    ///
    /// # Errors
    /// [`Error::Shape`] when `w` has another length.
    pub fn styles(&self, w: &Dual) -> Result<Vec<(&'static str, Dual)>> {
        let mut styles = Vec::new();
        if let Entry::Grow { conv0, .. } = &self.entry {
            styles.push(("conv0", conv0.affine.forward(w)?));
        }
        styles.push(("conv1", self.conv1.affine.forward(w)?));
        if let Some(to_rgb) = &self.to_rgb {
            styles.push(("torgb", to_rgb.affine.forward(w)?));
        }
        Ok(styles)
    }
}

/// The synthesis network: its blocks, 4 px first.
#[derive(Clone, Debug)]
pub struct Synthesis {
    blocks: Vec<SynthesisBlock>,
}

impl Synthesis {
    pub(crate) fn new(config: &GeneratorConfig, vb: &VarBuilder<'_>) -> Result<Self> {
        let filter = Filter::new(&config.resample_filter)?;
        let block =
            |resolution: Resolution| SynthesisBlock::new(&vb.pp(format!("b{resolution}")), resolution, config, &filter);
        Ok(Synthesis { blocks: config.resolution.ladder().map(block).collect::<Result<_>>()? })
    }

    /// Changes the precision of the blocks that the published code computes in half precision.
    pub(crate) fn set_arithmetic(&mut self, arithmetic: Arithmetic, config: &GeneratorConfig) {
        for block in self.blocks.iter_mut().filter(|block| config.is_half(block.resolution)) {
            block.set_arithmetic(arithmetic);
        }
    }

    /// The blocks, 4 px first, for those who want to see what flows between them.
    pub fn blocks(&self) -> &[SynthesisBlock] {
        &self.blocks
    }

    /// Renders images.
    ///
    /// # Shapes
    /// `ws` `[N, num_ws, w_dim]` → `[N, img_channels, R, R]`, about [-1, 1]
    ///
    /// # Errors
    /// [`Error::Value`] when `noise` does not have an image for every convolution.
    pub fn forward(&self, ws: &Dual, noise: &Noise) -> Result<Dual> {
        in_pool(|| self.forward_here(ws, noise))
    }

    fn forward_here(&self, ws: &Dual, noise: &Noise) -> Result<Dual> {
        if let Some(image) = self.render(ws, noise)? {
            return Ok(image);
        }
        if let Some(image) = self.learn(ws, noise)? {
            return Ok(image);
        }
        let mut features = None;
        for block in &self.blocks {
            features = Some(block.forward(features, ws, noise)?);
        }
        let image = features.and_then(|features| features.image);
        Ok(image.expect("the last block of every architecture has a ToRGB layer"))
    }
}
