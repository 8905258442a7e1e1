//! The discriminator: image and label to a logit (Karras et al. 2020, figure 7; minibatch standard deviation from
//! Karras et al. 2018, section 3; label projection from Miyato and Koyama 2018).

mod learning;

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;

use crate::error::{Error, Result};
use crate::grad::Dual;
use crate::ops::features::{Features, is_served};
use crate::ops::{self, Activation, BiasAct, Filter};
use crate::stylegan2::config::{Architecture, DiscriminatorConfig, Resolution};
use crate::stylegan2::layer::DiscriminatorLayer;
use crate::stylegan2::linear::{Conv, ConvSpec, FullyConnected};
use crate::stylegan2::mapping::{Mapping, MappingDims};
use crate::stylegan2::synthesis::scaled_act;
use crate::stylegan2::weights::Weights;

/// All layers of one resolution above 4 px.
#[derive(Clone, Debug)]
pub struct DiscriminatorBlock {
    resolution: Resolution,
    from_rgb: Option<Conv>,
    conv0: Conv,
    conv1: Conv,
    /// The 1x1 convolution beside a residual block.
    skip: Option<Conv>,
    /// Shrinks the image for the next block of the skip architecture.
    pyramid: Option<Filter>,
}

impl DiscriminatorBlock {
    fn new(vb: &VarBuilder<'_>, resolution: Resolution, config: &DiscriminatorConfig, filter: &Filter) -> Result<Self> {
        let half = resolution.half().expect("the network's blocks begin above 4 px");
        let (width, below) = (config.channels.at(resolution), config.channels.at(half));
        let residual = config.architecture == Architecture::Resnet;
        let gain = if residual { 0.5f64.sqrt() } else { 1.0 };
        let spec = |kernel, down, gain| ConvSpec {
            kernel,
            up: 1,
            down,
            act: scaled_act(config.activation, gain, config.conv_clamp),
        };
        let shrink = ConvSpec { kernel: 1, up: 1, down: 2, act: scaled_act(Activation::Linear, gain, None) };
        Ok(DiscriminatorBlock {
            resolution,
            from_rgb: from_rgb(vb, resolution, config, filter)?,
            conv0: Conv::with_bias(&vb.pp("conv0"), (width, width), filter, &spec(3, 1, 1.0))?,
            conv1: Conv::with_bias(&vb.pp("conv1"), (width, below), filter, &spec(3, 2, gain))?,
            skip: residual.then(|| Conv::without_bias(&vb.pp("skip"), (width, below), filter, &shrink)).transpose()?,
            pyramid: (config.architecture == Architecture::Skip).then(|| filter.clone()),
        })
    }

    /// Resolution of the block's input; its output has half of it.
    pub fn resolution(&self) -> Resolution {
        self.resolution
    }

    /// Runs the block. The first one takes the image alone.
    ///
    /// # Errors
    /// [`Error::Value`] when the block needs an image or features that are not there.
    pub fn forward(&self, x: Option<Dual>, image: Option<Dual>) -> Result<(Dual, Option<Dual>)> {
        let x = read_image(x, image.as_ref(), self.from_rgb.as_ref())?;
        let image = match (&self.pyramid, &image) {
            (Some(filter), Some(image)) => Some(ops::downsample2d(image, filter, 2)?),
            _ => None,
        };
        let shortcut = self.skip.as_ref().map(|skip| skip.forward(&x)).transpose()?;
        let x = self.conv1.forward(&self.conv0.forward(&x)?)?;
        let x = match shortcut {
            Some(shortcut) => x.add(&shortcut)?,
            None => x,
        };
        Ok((x, image))
    }
}

/// The layer that reads the image at `resolution`, if there is one.
fn from_rgb(
    vb: &VarBuilder<'_>,
    resolution: Resolution,
    config: &DiscriminatorConfig,
    filter: &Filter,
) -> Result<Option<Conv>> {
    if resolution != config.resolution && config.architecture != Architecture::Skip {
        return Ok(None);
    }
    // The published epilogue does not clamp its image layer.
    let clamp = config.conv_clamp.filter(|_| resolution > Resolution::R4);
    let spec = ConvSpec { kernel: 1, up: 1, down: 1, act: scaled_act(config.activation, 1.0, clamp) };
    let channels = (config.img_channels, config.channels.at(resolution));
    Ok(Some(Conv::with_bias(&vb.pp("fromrgb"), channels, filter, &spec)?))
}

/// Adds what is read from the image to the features, where there is either.
fn read_image(x: Option<Dual>, image: Option<&Dual>, from_rgb: Option<&Conv>) -> Result<Dual> {
    let read = match (from_rgb, image) {
        (Some(from_rgb), Some(image)) => Some(from_rgb.forward(image)?),
        _ => None,
    };
    match (x, read) {
        (Some(x), Some(read)) => x.add(&read),
        (Some(only), None) | (None, Some(only)) => Ok(only),
        (None, None) => Err(Error::value("discriminator input", "nothing", "an image or features")),
    }
}

/// The layers at 4 px, which end in one number an image.
#[derive(Clone, Debug)]
struct Epilogue {
    from_rgb: Option<Conv>,
    group_size: Option<usize>,
    num_channels: usize,
    conv: Conv,
    fc: FullyConnected,
    out: FullyConnected,
}

impl Epilogue {
    fn new(vb: &VarBuilder<'_>, config: &DiscriminatorConfig, filter: &Filter) -> Result<Self> {
        let width = config.channels.at(Resolution::R4);
        let act = BiasAct { clamp: config.conv_clamp, ..BiasAct::new(config.activation) };
        let spec = ConvSpec { kernel: 3, up: 1, down: 1, act };
        let logits = if config.c_dim > 0 { config.cmap_dim } else { 1 };
        let inputs = width + config.mbstd_num_channels;
        Ok(Epilogue {
            from_rgb: from_rgb(vb, Resolution::R4, config, filter)?,
            group_size: config.mbstd_group_size,
            num_channels: config.mbstd_num_channels,
            conv: Conv::with_bias(&vb.pp("conv"), (inputs, width), filter, &spec)?,
            fc: FullyConnected::new(&vb.pp("fc"), (width * 16, width), config.activation, 1.0)?,
            out: FullyConnected::new(&vb.pp("out"), (width, logits), Activation::Linear, 1.0)?,
        })
    }

    /// # Shapes
    /// `x` `[N, C, 4, 4]`, `image` `[N, img_channels, 4, 4]` → `[N, 1 or cmap_dim]`
    fn forward(&self, x: Option<Dual>, image: Option<&Dual>) -> Result<Dual> {
        let mut x = read_image(x, image, self.from_rgb.as_ref())?;
        if self.num_channels > 0 {
            x = ops::minibatch_std(&x, self.group_size, self.num_channels)?;
        }
        let x = match is_served(&x) && self.conv.learns_in_blocks() {
            true => self.conv.learn(&Features::enter(&x)?)?.leave()?,
            false => self.conv.forward(&x)?,
        }; // [N, C, 4, 4]
        let (n, c, h, w) = x.dims4()?;
        self.out.forward(&self.fc.forward(&x.reshape((n, c * h * w))?)?)
    }
}

/// A StyleGAN2 discriminator that is ready to run.
#[derive(Clone, Debug)]
pub struct Discriminator {
    config: DiscriminatorConfig,
    blocks: Vec<DiscriminatorBlock>,
    epilogue: Epilogue,
    mapping: Option<Mapping>,
}

impl Discriminator {
    /// Builds the network on the variables of `vb`, under the canonical names.
    ///
    /// # Errors
    /// [`Error::Value`] for an impossible configuration, candle's error for a missing variable.
    pub fn new(config: &DiscriminatorConfig, vb: &VarBuilder<'_>) -> Result<Self> {
        config.check()?;
        let filter = Filter::new(&config.resample_filter)?;
        let mut blocks = Vec::new();
        for resolution in config.resolution.ladder().rev().filter(|&resolution| resolution > Resolution::R4) {
            blocks.push(DiscriminatorBlock::new(&vb.pp(format!("b{resolution}")), resolution, config, &filter)?);
        }
        let dims = MappingDims { z: 0, c: config.c_dim, w: config.cmap_dim };
        let mapping = (config.c_dim > 0).then(|| Mapping::new(&config.mapping, dims, &vb.pp("mapping"))).transpose()?;
        let epilogue = Epilogue::new(&vb.pp("b4"), config, &filter)?;
        Ok(Discriminator { config: config.clone(), blocks, epilogue, mapping })
    }

    /// Builds the network for judging; the tensors are shared, not copied.
    ///
    /// # Errors
    /// As [`Discriminator::new`].
    pub fn from_weights(config: &DiscriminatorConfig, weights: &Weights<DiscriminatorLayer>) -> Result<Self> {
        Self::new(config, &weights.var_builder(DType::F32, &Device::Cpu))
    }

    /// What the discriminator looks like.
    pub fn config(&self) -> &DiscriminatorConfig {
        &self.config
    }

    /// The blocks, highest resolution first, for those who want to see what flows between them.
    pub fn blocks(&self) -> &[DiscriminatorBlock] {
        &self.blocks
    }

    /// Maps labels `[N, c_dim]` to `[N, cmap_dim]`; `None` for an unconditional network.
    ///
    /// # Errors
    /// [`Error::Value`] when a label is missing or not wanted.
    pub fn map_label(&self, label: Option<&Tensor>) -> Result<Option<Dual>> {
        match (&self.mapping, label) {
            (Some(mapping), label) => mapping.forward(None, label).map(Some),
            (None, Some(_)) => Err(Error::value("label", "given", "none, the network is unconditional")),
            (None, None) => Ok(None),
        }
    }

    /// What the epilogue reads.
    fn features(&self, image: &Dual) -> Result<(Option<Dual>, Option<Dual>)> {
        if let Some(x) = self.learn(image)? {
            return Ok((Some(x), None));
        }
        let (mut x, mut image) = (None, Some(image.clone()));
        for block in &self.blocks {
            let (next, smaller) = block.forward(x, image)?;
            (x, image) = (Some(next), smaller);
        }
        Ok((x, image))
    }

    /// Judges images; the images of a batch share their minibatch statistics.
    ///
    /// # Shapes
    /// `image` `[N, img_channels, R, R]`, `label` `[N, c_dim]` → `[N, 1]`
    ///
    /// # Errors
    /// [`Error::Value`] when a label is missing or not wanted, or the batch does not divide into groups.
    pub fn forward(&self, image: &Dual, label: Option<&Tensor>) -> Result<Dual> {
        let (x, image) = self.features(image)?;
        let logits = self.epilogue.forward(x, image.as_ref())?;
        match self.map_label(label)? {
            None => Ok(logits),
            Some(cmap) => {
                let scale = 1.0 / (self.config.cmap_dim as f64).sqrt();
                logits.mul(&cmap)?.sum_keepdim(1)?.scale(scale)
            }
        }
    }
}
