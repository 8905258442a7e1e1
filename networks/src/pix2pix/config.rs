//! What a student and its discriminator look like: everything needed to build them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Height and width that a student computes with are multiples of this; other images are padded by their border.
pub const MULTIPLE: usize = 8;
/// Side of the squares of pixels that become channels at the entry.
pub const FOLD: usize = 4;
/// Colours of what comes out.
pub const COLOURS: usize = 3;
/// Widest layer, most blocks, and most channels of an image that a configuration may ask for.
const LIMITS: (usize, usize, usize) = (1024, 64, 16);

/// How the convolutions of the residual blocks are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BlockKind {
    /// 3x3 over all channels.
    Plain,
    /// 3x3 within each channel, then 1x1 over all channels (Howard et al. 2017, "MobileNets"): an eighth of the
    /// weights and of the products, but not of the time.
    Separable,
}

/// The student's generator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StudentConfig {
    /// Channels of the input: red, green, blue, and what is beside them, such as depth.
    pub img_channels: usize,
    /// Channels at a quarter of the resolution.
    pub fine_width: usize,
    /// Channels at an eighth of the resolution.
    pub coarse_width: usize,
    /// Residual blocks at a quarter of the resolution, after the image has grown again.
    pub fine_blocks: usize,
    /// Residual blocks at an eighth of the resolution.
    pub coarse_blocks: usize,
    /// Channels at half the resolution.
    pub exit_width: usize,
    /// Convolutions of the residual blocks.
    pub block: BlockKind,
}

/// The sizes of student that are offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Preset {
    /// For the weakest machines.
    Tiny,
    /// Real time on a CPU.
    Small,
    /// When there is a graphics card, or time.
    Base,
}

impl Preset {
    /// All of them, smallest first.
    pub const ALL: [Preset; 3] = [Preset::Tiny, Preset::Small, Preset::Base];

    /// The generator of this size for images of `img_channels` channels.
    pub fn config(self, block: BlockKind, img_channels: usize) -> StudentConfig {
        let (fine_width, coarse_width, fine_blocks, coarse_blocks, exit_width) = match self {
            Preset::Tiny => (32, 64, 1, 3, 8),
            Preset::Small => (48, 96, 1, 4, 16),
            Preset::Base => (64, 160, 2, 8, 32),
        };
        StudentConfig { img_channels, fine_width, coarse_width, fine_blocks, coarse_blocks, exit_width, block }
    }
}

impl fmt::Display for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Preset::Tiny => "tiny",
            Preset::Small => "small",
            Preset::Base => "base",
        })
    }
}

impl FromStr for Preset {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        let found = Preset::ALL.into_iter().find(|preset| preset.to_string() == text);
        found.ok_or_else(|| Error::value("preset", text, "tiny, small or base"))
    }
}

impl StudentConfig {
    /// Checks that a network of this configuration can be built.
    ///
    /// # Errors
    /// [`Error::Value`] for the first setting out of bounds.
    pub fn check(&self) -> Result<()> {
        let (widest, most_blocks, most_channels) = LIMITS;
        check("channels of the image", self.img_channels, (COLOURS, most_channels))?;
        check("channels at a quarter", self.fine_width, (1, widest))?;
        check("channels at an eighth", self.coarse_width, (1, widest))?;
        check("channels at half", self.exit_width, (1, widest))?;
        check("blocks at a quarter", self.fine_blocks, (0, most_blocks))?;
        check("blocks at an eighth", self.coarse_blocks, (0, most_blocks))
    }
}

fn check(what: &'static str, found: usize, (least, most): (usize, usize)) -> Result<()> {
    if (least..=most).contains(&found) {
        return Ok(());
    }
    Err(Error::value(what, found, format!("from {least} to {most}")))
}

/// The discriminator that judges patches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PatchConfig {
    /// Channels of the photo and of the picture that is judged, together.
    pub img_channels: usize,
    /// Channels after the first layer; they double from layer to layer, up to eight times this.
    pub width: usize,
    /// Layers that halve the resolution: 3 see patches of 70 px.
    pub shrinking: usize,
}

impl PatchConfig {
    /// The published discriminator of 70 px patches (appendix 6.1.2).
    pub fn published(img_channels: usize) -> PatchConfig {
        PatchConfig { img_channels, width: 64, shrinking: 3 }
    }

    /// Checks that a network of this configuration can be built.
    ///
    /// # Errors
    /// [`Error::Value`] for the first setting out of bounds.
    pub fn check(&self) -> Result<()> {
        let (widest, _, most_channels) = LIMITS;
        check("channels of both images", self.img_channels, (1, 2 * most_channels))?;
        check("channels of the first layer", self.width, (1, widest))?;
        check("shrinking layers", self.shrinking, (1, 6))
    }

    /// Side in pixels of the patch that one number judges.
    pub fn patch_px(&self) -> usize {
        // Two layers of step 1 at the end, each with a kernel of 4; then backwards through the shrinking ones.
        (0..self.shrinking).fold(7, |seen, _| seen * 2 + 2)
    }
}
