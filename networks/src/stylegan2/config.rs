//! What a StyleGAN2 network looks like: everything needed to build it, nothing about where it came from.
//!
//! Follows the options of StyleGAN2-ADA (Karras et al. 2020, "Training Generative Adversarial Networks with Limited
//! Data"); the architectures are those of figure 7 of "Analyzing and Improving the Image Quality of StyleGAN".

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::ops::Activation;

/// Side of a square image or feature map in pixels: a power of two from 4 to 1024.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "usize", into = "usize")]
pub struct Resolution(u16);

impl Resolution {
    /// The smallest resolution, at which every generator starts.
    pub const R4: Resolution = Resolution(4);
    /// The largest resolution that the published networks have.
    pub const R1024: Resolution = Resolution(1024);

    /// Checks that `px` is a power of two from 4 to 1024.
    ///
    /// # Errors
    /// [`Error::Value`] for any other number.
    pub fn new(px: usize) -> Result<Self> {
        if px.is_power_of_two() && (4..=1024).contains(&px) {
            Ok(Resolution(px as u16))
        } else {
            Err(Error::value("resolution", px, "a power of two from 4 to 1024"))
        }
    }

    /// Side in pixels.
    pub fn px(self) -> usize {
        usize::from(self.0)
    }

    /// Exponent of two: 2 for 4 px, 10 for 1024 px.
    pub fn log2(self) -> usize {
        self.0.ilog2() as usize
    }

    /// All resolutions from 4 px up to this one.
    pub fn ladder(self) -> impl DoubleEndedIterator<Item = Resolution> + Clone {
        (2..=self.0.ilog2()).map(|exponent| Resolution(1 << exponent))
    }

    /// The next smaller resolution, if there is one.
    pub fn half(self) -> Option<Resolution> {
        (self > Self::R4).then_some(Resolution(self.0 / 2))
    }
}

impl TryFrom<usize> for Resolution {
    type Error = Error;
    fn try_from(px: usize) -> Result<Self> {
        Self::new(px)
    }
}

impl From<Resolution> for usize {
    fn from(resolution: Resolution) -> usize {
        resolution.px()
    }
}

impl fmt::Display for Resolution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Resolution {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        let px = text.parse().map_err(|_| Error::value("resolution", text, "a power of two from 4 to 1024"))?;
        Self::new(px)
    }
}

/// How the blocks of a network are joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Architecture {
    /// A plain chain of convolutions.
    Orig,
    /// RGB images are summed (generator) or read (discriminator) at every resolution.
    Skip,
    /// Residual blocks.
    Resnet,
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Architecture::Orig => "orig",
            Architecture::Skip => "skip",
            Architecture::Resnet => "resnet",
        })
    }
}

/// Number of feature channels at each resolution, from 4 px upwards.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Channels(Vec<usize>);

impl Channels {
    /// The published rule: `min(base / resolution, max)`.
    pub fn from_base(base: usize, max: usize, resolution: Resolution) -> Self {
        Channels(resolution.ladder().map(|r| (base / r.px()).min(max)).collect())
    }

    /// Takes the widths one by one, 4 px first.
    pub fn from_widths(widths: Vec<usize>) -> Self {
        Channels(widths)
    }

    /// Channels at `resolution`; 0 where the list does not reach.
    pub fn at(&self, resolution: Resolution) -> usize {
        self.0.get(resolution.log2() - 2).copied().unwrap_or(0)
    }

    fn check(&self, resolution: Resolution) -> Result<()> {
        let fits =
            self.0.len() == resolution.log2() - 1 && self.0.iter().all(|&width| (1..=MAX_WIDTH).contains(&width));
        if fits {
            return Ok(());
        }
        let expected = format!("{} widths from 1 to {MAX_WIDTH} for {resolution} px", resolution.log2() - 1);
        Err(Error::value("channels", format!("{:?}", self.0), expected))
    }
}

/// Widest layer that a configuration may ask for; keeps shape arithmetic far from overflow.
const MAX_WIDTH: usize = 1 << 16;

/// The multi-layer perceptron in front of a network: `z` and label to `w`, or label to the discriminator's `cmap`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MappingConfig {
    /// Number of fully connected layers.
    pub num_layers: usize,
    /// Width of the label embedding; 0 without labels.
    pub embed_features: usize,
    /// Width of the layers in between.
    pub layer_features: usize,
    /// Activation of every layer.
    pub activation: Activation,
    /// Learning-rate multiplier of the layers.
    pub lr_multiplier: f64,
    /// Decay of the running average of `w`.
    pub w_avg_beta: f64,
}

/// Everything needed to build a generator.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GeneratorConfig {
    /// Length of the input latent `z`.
    pub z_dim: usize,
    /// Number of label classes or label values; 0 for an unconditional network.
    pub c_dim: usize,
    /// Length of the intermediate latent `w`.
    pub w_dim: usize,
    /// Side of the images.
    pub resolution: Resolution,
    /// 1 for gray, 3 for RGB.
    pub img_channels: usize,
    /// The mapping network.
    pub mapping: MappingConfig,
    /// Feature channels at each resolution.
    pub channels: Channels,
    /// How the blocks are joined.
    pub architecture: Architecture,
    /// Activation of the convolutions.
    pub activation: Activation,
    /// Bound on the output of every convolution.
    pub conv_clamp: Option<f64>,
    /// How many of the highest resolutions the published code runs in half precision (here: only when
    /// [`Generator::with_arithmetic`](crate::stylegan2::Generator::with_arithmetic) asks for it).
    pub num_fp16_res: usize,
    /// Whether noise is added after the convolutions.
    pub use_noise: bool,
    /// Taps of the resampling filter before normalisation, usually `[1, 3, 3, 1]`.
    pub resample_filter: Vec<f32>,
}

impl GeneratorConfig {
    /// Number of `w` vectors that one image takes: one for each convolution and one for the last ToRGB.
    pub fn num_ws(&self) -> usize {
        2 * self.resolution.log2() - 2
    }

    /// Whether the published code computes the block at `resolution` in half precision: the last `num_fp16_res`
    /// resolutions, but never 4 px.
    pub fn is_half(&self, resolution: Resolution) -> bool {
        let above = self.resolution.log2().saturating_sub(resolution.log2());
        resolution > Resolution::R4 && above < self.num_fp16_res
    }

    /// Checks every bound that building the network relies on.
    ///
    /// # Errors
    /// [`Error::Value`] naming the first setting that is out of range.
    pub fn check(&self) -> Result<()> {
        within("z_dim", self.z_dim, 0)?;
        within("c_dim", self.c_dim, 0)?;
        within("w_dim", self.w_dim, 1)?;
        within("img_channels", self.img_channels, 1)?;
        self.mapping.check("mapping num_layers")?;
        let embed = if self.c_dim > 0 { self.mapping.embed_features } else { 0 };
        if self.z_dim + embed == 0 {
            return Err(Error::value("z_dim", 0, "at least 1 without labels"));
        }
        self.mapping.check_widths(self.z_dim + embed, self.w_dim)?;
        check_filter(&self.resample_filter)?;
        self.channels.check(self.resolution)
    }
}

/// Everything needed to build a discriminator.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DiscriminatorConfig {
    /// Number of label classes or label values; 0 for an unconditional network.
    pub c_dim: usize,
    /// Side of the images.
    pub resolution: Resolution,
    /// 1 for gray, 3 for RGB.
    pub img_channels: usize,
    /// Length of the mapped label; 0 without labels.
    pub cmap_dim: usize,
    /// The mapping network of the labels; unused when `c_dim` is 0.
    pub mapping: MappingConfig,
    /// Feature channels at each resolution.
    pub channels: Channels,
    /// How the blocks are joined.
    pub architecture: Architecture,
    /// Activation of the convolutions.
    pub activation: Activation,
    /// Bound on the output of every convolution.
    pub conv_clamp: Option<f64>,
    /// How many of the highest resolutions the published code runs in half precision (here: f32, clamps kept).
    pub num_fp16_res: usize,
    /// Images in one group of the minibatch standard deviation; `None` for the whole batch.
    pub mbstd_group_size: Option<usize>,
    /// Feature maps that the minibatch standard deviation appends; 0 leaves it out.
    pub mbstd_num_channels: usize,
    /// Freeze-D: layers, counted from the image, that are not trained.
    pub freeze_layers: usize,
    /// Taps of the resampling filter before normalisation, usually `[1, 3, 3, 1]`.
    pub resample_filter: Vec<f32>,
}

impl DiscriminatorConfig {
    /// Checks every bound that building the network relies on.
    ///
    /// # Errors
    /// [`Error::Value`] naming the first setting that is out of range.
    pub fn check(&self) -> Result<()> {
        within("c_dim", self.c_dim, 0)?;
        within("cmap_dim", self.cmap_dim, usize::from(self.c_dim > 0))?;
        within("img_channels", self.img_channels, 1)?;
        within("mbstd_num_channels", self.mbstd_num_channels, 0)?;
        if self.mbstd_group_size == Some(0) {
            return Err(Error::value("mbstd_group_size", 0, "at least 1"));
        }
        self.mapping.check("discriminator mapping num_layers")?;
        if self.c_dim > 0 {
            self.mapping.check_widths(self.mapping.embed_features, self.cmap_dim)?;
        }
        check_filter(&self.resample_filter)?;
        self.channels.check(self.resolution)
    }
}

impl MappingConfig {
    fn check(&self, what: &'static str) -> Result<()> {
        if self.num_layers > MAX_MAPPING_LAYERS {
            return Err(Error::value(what, self.num_layers, format!("at most {MAX_MAPPING_LAYERS}")));
        }
        within("embed_features", self.embed_features, 0)?;
        within("layer_features", self.layer_features, 0)
    }

    /// Checks a network that is really used: without layers its input is its output, so the two must be equally wide.
    fn check_widths(&self, inputs: usize, outputs: usize) -> Result<()> {
        within("layer_features", self.layer_features, usize::from(self.num_layers > 1))?;
        if self.num_layers > 0 || inputs == outputs {
            return Ok(());
        }
        Err(Error::value("width of a mapping network without layers", inputs, format!("{outputs}, its output width")))
    }
}

const MAX_MAPPING_LAYERS: usize = 256;

fn within(what: &'static str, found: usize, least: usize) -> Result<()> {
    if (least..=MAX_WIDTH).contains(&found) {
        return Ok(());
    }
    Err(Error::value(what, found, format!("{least} to {MAX_WIDTH}")))
}

fn check_filter(taps: &[f32]) -> Result<()> {
    let sum: f32 = taps.iter().sum();
    if (1..=64).contains(&taps.len()) && sum.is_finite() && sum != 0.0 {
        return Ok(());
    }
    Err(Error::value("resample_filter", format!("{taps:?}"), "1 to 64 taps with a sum other than 0"))
}
