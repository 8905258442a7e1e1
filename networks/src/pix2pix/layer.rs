//! Typed names of the tensors of a student and of its discriminator; `Display` and `FromStr` are inverses.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result};
use crate::pix2pix::config::{COLOURS, FOLD};
use crate::pix2pix::{BlockKind, PatchConfig, StudentConfig};
use crate::stylegan2::TensorName;

/// First or second convolution of a residual block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Half {
    /// Followed by an activation.
    First,
    /// Added to what went into the block.
    Second,
}

/// One convolution of the student, in the order in which they run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Unit {
    /// Reads the folded image at a quarter of the resolution.
    Entry,
    /// Shrinks to an eighth.
    Shrink,
    /// A residual block at an eighth, from 0.
    Coarse(usize, Half),
    /// 1x1, before the features grow to a quarter.
    Grow,
    /// A residual block at a quarter, from 0.
    Fine(usize, Half),
    /// Makes the features that unfold to half the resolution.
    Detail,
    /// Makes the colours that unfold to the whole resolution.
    Colour,
}

/// What a tensor is within its convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// 3x3 kernels of single channels, `[I, 1, 3, 3]`.
    Depthwise,
    /// Kernels over all channels, `[O, I, k, k]`.
    Weight,
    /// `[O]`
    Bias,
}

/// One tensor of a student.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StudentLayer {
    /// The convolution.
    pub unit: Unit,
    /// Which of its tensors.
    pub part: Part,
}

impl Unit {
    /// Every convolution of a student, in the order in which they run.
    pub fn all(config: &StudentConfig) -> Vec<Unit> {
        let pairs = |count: usize, unit: fn(usize, Half) -> Unit| {
            (0..count).flat_map(move |block| [unit(block, Half::First), unit(block, Half::Second)])
        };
        let mut units = vec![Unit::Entry, Unit::Shrink];
        units.extend(pairs(config.coarse_blocks, Unit::Coarse));
        units.push(Unit::Grow);
        units.extend(pairs(config.fine_blocks, Unit::Fine));
        units.extend([Unit::Detail, Unit::Colour]);
        units
    }

    /// Channels that go in and come out.
    pub fn channels(self, config: &StudentConfig) -> (usize, usize) {
        let (fine, coarse, exit) = (config.fine_width, config.coarse_width, config.exit_width);
        match self {
            Unit::Entry => (config.img_channels * FOLD * FOLD, fine),
            Unit::Shrink => (fine, coarse),
            Unit::Coarse(..) => (coarse, coarse),
            Unit::Grow => (coarse, fine),
            Unit::Fine(..) => (fine, fine),
            Unit::Detail => (fine, 4 * exit),
            Unit::Colour => (exit, 4 * COLOURS),
        }
    }

    /// How the convolution is made.
    pub fn kind(self, config: &StudentConfig) -> BlockKind {
        match self {
            Unit::Coarse(..) | Unit::Fine(..) => config.block,
            Unit::Entry | Unit::Shrink | Unit::Grow | Unit::Detail | Unit::Colour => BlockKind::Plain,
        }
    }

    /// Side of the kernel, and step.
    pub fn kernel(self) -> (usize, usize) {
        match self {
            Unit::Shrink => (3, 2),
            Unit::Grow => (1, 1),
            Unit::Entry | Unit::Coarse(..) | Unit::Fine(..) | Unit::Detail | Unit::Colour => (3, 1),
        }
    }

    /// The tensors of the convolution with their shapes.
    fn tensors(self, config: &StudentConfig) -> Vec<(Part, Vec<usize>)> {
        let ((inputs, outputs), (kernel, _step)) = (self.channels(config), self.kernel());
        let bias = (Part::Bias, vec![outputs]);
        match self.kind(config) {
            BlockKind::Plain => vec![(Part::Weight, vec![outputs, inputs, kernel, kernel]), bias],
            BlockKind::Separable => vec![
                (Part::Depthwise, vec![inputs, 1, kernel, kernel]),
                (Part::Weight, vec![outputs, inputs, 1, 1]),
                bias,
            ],
        }
    }
}

impl TensorName for StudentLayer {
    type Config = StudentConfig;

    fn all(config: &StudentConfig) -> Vec<(StudentLayer, Vec<usize>)> {
        let tensors = |unit: Unit| unit.tensors(config).into_iter().map(move |(part, shape)| (unit, part, shape));
        let all = Unit::all(config).into_iter().flat_map(tensors);
        all.map(|(unit, part, shape)| (StudentLayer { unit, part }, shape)).collect()
    }
}

const PARTS: [(Part, &str); 3] = [(Part::Depthwise, "depthwise"), (Part::Weight, "weight"), (Part::Bias, "bias")];
const HALVES: [(Half, &str); 2] = [(Half::First, "conv0"), (Half::Second, "conv1")];

fn name_of<T: PartialEq>(table: &[(T, &'static str)], value: T) -> &'static str {
    table.iter().find(|(entry, _)| *entry == value).expect("the table lists every value").1
}

fn named<T: Copy>(table: &[(T, &'static str)], name: &str) -> Option<T> {
    table.iter().find(|(_, entry)| *entry == name).map(|(value, _)| *value)
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unit::Entry => f.write_str("entry"),
            Unit::Shrink => f.write_str("shrink"),
            Unit::Coarse(block, half) => write!(f, "coarse{block}.{}", name_of(&HALVES, *half)),
            Unit::Grow => f.write_str("grow"),
            Unit::Fine(block, half) => write!(f, "fine{block}.{}", name_of(&HALVES, *half)),
            Unit::Detail => f.write_str("detail"),
            Unit::Colour => f.write_str("colour"),
        }
    }
}

fn unit(text: &str) -> Option<Unit> {
    let block = |rest: &str| {
        let (index, half) = rest.split_once('.')?;
        let canonical = index == "0" || !index.starts_with(['0', '+']);
        Some((index.parse().ok().filter(|_| canonical)?, named(&HALVES, half)?))
    };
    match text {
        "entry" => Some(Unit::Entry),
        "shrink" => Some(Unit::Shrink),
        "grow" => Some(Unit::Grow),
        "detail" => Some(Unit::Detail),
        "colour" => Some(Unit::Colour),
        _ => match (text.strip_prefix("coarse"), text.strip_prefix("fine")) {
            (Some(rest), _) => block(rest).map(|(index, half)| Unit::Coarse(index, half)),
            (_, Some(rest)) => block(rest).map(|(index, half)| Unit::Fine(index, half)),
            (None, None) => None,
        },
    }
}

impl fmt::Display for StudentLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.unit, name_of(&PARTS, self.part))
    }
}

impl FromStr for StudentLayer {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        let parsed = text
            .rsplit_once('.')
            .and_then(|(of, part)| Some(StudentLayer { unit: unit(of)?, part: named(&PARTS, part)? }));
        parsed.ok_or_else(|| Error::value("tensor name", text, "one of a student, such as `coarse0.conv1.weight`"))
    }
}

/// One tensor of a patch discriminator: `conv3.weight`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PatchLayer {
    /// Index of the convolution, from 0.
    pub conv: usize,
    /// [`Part::Weight`] or [`Part::Bias`].
    pub part: Part,
}

impl TensorName for PatchLayer {
    type Config = PatchConfig;

    fn all(config: &PatchConfig) -> Vec<(PatchLayer, Vec<usize>)> {
        let width = |conv: usize| config.width << conv.min(3);
        let last = config.shrinking + 1;
        let mut list = Vec::new();
        for conv in 0..=last {
            let inputs = conv.checked_sub(1).map_or(config.img_channels, width);
            let outputs = if conv == last { 1 } else { width(conv) };
            list.push((PatchLayer { conv, part: Part::Weight }, vec![outputs, inputs, 4, 4]));
            list.push((PatchLayer { conv, part: Part::Bias }, vec![outputs]));
        }
        list
    }
}

impl fmt::Display for PatchLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "conv{}.{}", self.conv, name_of(&PARTS, self.part))
    }
}

impl FromStr for PatchLayer {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        let parsed = text.strip_prefix("conv").and_then(|rest| rest.split_once('.')).and_then(|(conv, part)| {
            let canonical = conv == "0" || !conv.starts_with(['0', '+']);
            let part = named(&PARTS, part).filter(|part| *part != Part::Depthwise)?;
            Some(PatchLayer { conv: conv.parse().ok().filter(|_| canonical)?, part })
        });
        parsed.ok_or_else(|| Error::value("tensor name", text, "one of a patch discriminator, such as `conv0.bias`"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pix2pix::Preset;

    #[test]
    fn names_are_read_as_they_are_written() {
        for block in [BlockKind::Plain, BlockKind::Separable] {
            for (name, _) in StudentLayer::all(&Preset::Small.config(block, 4)) {
                assert_eq!(name.to_string().parse::<StudentLayer>().unwrap(), name);
            }
        }
        for (name, _) in PatchLayer::all(&PatchConfig::published(6)) {
            assert_eq!(name.to_string().parse::<PatchLayer>().unwrap(), name);
        }
    }

    #[test]
    fn other_names_are_refused() {
        for text in ["", "entry", "entry.depth", "coarse.conv0.weight", "coarse00.conv0.weight", "fine0.conv2.bias"] {
            assert!(text.parse::<StudentLayer>().is_err(), "{text}");
        }
        for text in ["conv.weight", "conv01.weight", "conv0.depthwise", "fc0.weight"] {
            assert!(text.parse::<PatchLayer>().is_err(), "{text}");
        }
    }
}
