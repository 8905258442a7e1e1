//! The student as a list of steps, from which everything else follows: training, rendering, files for other programs,
//! and what it costs.

use crate::pix2pix::config::{COLOURS, FOLD, MULTIPLE};
use crate::pix2pix::layer::{Half, Part, StudentLayer, Unit};
use crate::pix2pix::{BlockKind, StudentConfig};
use crate::stylegan2::TensorName;

/// Slope of the leaky ReLU for negative numbers.
pub const SLOPE: f64 = 0.2;

/// The result of a step, by its index in the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Value(pub usize);

/// One operation on the results of earlier ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// The image, `[N, C, H, W]` in \[-1, 1\]; always the first step and no other.
    Image,
    /// Squares of [`FOLD`] pixels become channels, `[N, C·16, H/4, W/4]`; channel c, row y, column x become c·16 + y·4 + x.
    Fold(Value),
    /// A convolution of one of the values.
    Conv(Value, Conv),
    /// Every pixel becomes four.
    Double(Value),
    /// Sum of two values.
    Add(Value, Value),
    /// Four channels become a square of 2x2 pixels (Shi et al. 2016, "Real-Time Single Image and Video
    /// Super-Resolution", section 3.2); channel c·4 + y·2 + x becomes channel c, row y, column x.
    Unfold(Value),
    /// Adds the colours of the image.
    AddColours(Value),
}

/// A convolution with zeros around the image, so that step 1 keeps its size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv {
    /// The kernel.
    pub weight: StudentLayer,
    /// The bias, of which a depthwise convolution has none.
    pub bias: Option<StudentLayer>,
    /// Channels that go in and come out.
    pub channels: (usize, usize),
    /// Side of the kernel, and step.
    pub kernel: (usize, usize),
    /// Groups of channels: 1, or as many as there are channels.
    pub groups: usize,
    /// Whether a leaky ReLU of slope [`SLOPE`] follows.
    pub activation: Activated,
}

/// Whether an activation follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activated {
    /// It does.
    Yes,
    /// It does not.
    No,
}

/// One step, with the place of its result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// What is computed.
    pub op: Op,
    /// Channels of the result.
    pub channels: usize,
    /// How many times smaller than the image the result is.
    pub shrunk: usize,
}

impl StudentConfig {
    /// The network; the last step's result is the picture, about \[-1, 1\].
    pub fn steps(&self) -> Vec<Step> {
        let mut list = List { config: self, steps: Vec::new() };
        let image = list.push(Op::Image, self.img_channels, 1);
        let folded = list.push(Op::Fold(image), self.img_channels * FOLD * FOLD, FOLD);
        let fine = list.conv(folded, Unit::Entry, FOLD);
        let mut x = list.conv(fine, Unit::Shrink, MULTIPLE);
        for block in 0..self.coarse_blocks {
            x = list.residual(x, |half| Unit::Coarse(block, half), MULTIPLE);
        }
        let x = list.conv(x, Unit::Grow, MULTIPLE);
        let x = list.push(Op::Double(x), self.fine_width, FOLD);
        let mut x = list.push(Op::Add(x, fine), self.fine_width, FOLD);
        for block in 0..self.fine_blocks {
            x = list.residual(x, |half| Unit::Fine(block, half), FOLD);
        }
        let x = list.conv(x, Unit::Detail, FOLD);
        let x = list.push(Op::Unfold(x), self.exit_width, 2);
        let x = list.conv(x, Unit::Colour, 2);
        let x = list.push(Op::Unfold(x), COLOURS, 1);
        list.push(Op::AddColours(x), COLOURS, 1);
        list.steps
    }

    /// Number of weights and biases.
    pub fn parameters(&self) -> u64 {
        StudentLayer::all(self).iter().map(|(_, shape)| shape.iter().product::<usize>() as u64).sum()
    }

    /// Multiply-adds of the convolutions for an image of `height` by `width` pixels, counted directly, tap by tap.
    pub fn multiply_adds(&self, height: usize, width: usize) -> u64 {
        let cost = |step: &Step| match step.op {
            Op::Conv(_, conv) => {
                let (inputs, outputs) = conv.channels;
                let taps = conv.kernel.0 * conv.kernel.0 * inputs / conv.groups;
                (taps * outputs * (height / step.shrunk) * (width / step.shrunk)) as u64
            }
            Op::Image | Op::Fold(_) | Op::Double(_) | Op::Add(..) | Op::Unfold(_) | Op::AddColours(_) => 0,
        };
        self.steps().iter().map(cost).sum()
    }
}

/// The steps so far.
struct List<'a> {
    config: &'a StudentConfig,
    steps: Vec<Step>,
}

impl List<'_> {
    fn push(&mut self, op: Op, channels: usize, shrunk: usize) -> Value {
        self.steps.push(Step { op, channels, shrunk });
        Value(self.steps.len() - 1)
    }

    /// A convolution of a unit; two of them where it is separable.
    fn conv(&mut self, x: Value, unit: Unit, shrunk: usize) -> Value {
        let ((inputs, outputs), kernel) = (unit.channels(self.config), unit.kernel());
        let layer = |part| StudentLayer { unit, part };
        let linear =
            matches!(unit, Unit::Coarse(_, Half::Second) | Unit::Fine(_, Half::Second) | Unit::Grow | Unit::Colour);
        let plain = Conv {
            weight: layer(Part::Weight),
            bias: Some(layer(Part::Bias)),
            channels: (inputs, outputs),
            kernel,
            groups: 1,
            activation: if linear { Activated::No } else { Activated::Yes },
        };
        match unit.kind(self.config) {
            BlockKind::Plain => self.push(Op::Conv(x, plain), outputs, shrunk),
            BlockKind::Separable => {
                let depthwise = Conv {
                    weight: layer(Part::Depthwise),
                    bias: None,
                    channels: (inputs, inputs),
                    groups: inputs,
                    activation: Activated::No,
                    ..plain
                };
                let x = self.push(Op::Conv(x, depthwise), inputs, shrunk);
                self.push(Op::Conv(x, Conv { kernel: (1, 1), ..plain }), outputs, shrunk)
            }
        }
    }

    /// x + conv(act(conv(x)))
    fn residual(&mut self, x: Value, unit: impl Fn(Half) -> Unit, shrunk: usize) -> Value {
        let y = self.conv(x, unit(Half::First), shrunk);
        let y = self.conv(y, unit(Half::Second), shrunk);
        let channels = self.steps[x.0].channels;
        self.push(Op::Add(y, x), channels, shrunk)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pix2pix::Preset;

    #[test]
    fn presets_cost_what_the_documents_say() {
        let check = |preset: Preset, block, parameters, mega| {
            let config = preset.config(block, 3);
            assert_eq!(config.parameters(), parameters, "{preset}");
            assert_eq!(config.multiply_adds(256, 256) / 1_000_000, mega, "{preset}");
        };
        check(Preset::Tiny, BlockKind::Plain, 284_620, 431);
        check(Preset::Tiny, BlockKind::Separable, 75_660, 168);
        check(Preset::Small, BlockKind::Plain, 802_348, 1_123);
        check(Preset::Small, BlockKind::Separable, 183_436, 378);
        check(Preset::Base, BlockKind::Plain, 4_044_332, 4_955);
        check(Preset::Base, BlockKind::Separable, 661_804, 1_096);
    }

    #[test]
    fn steps_only_use_earlier_results() {
        for block in [BlockKind::Plain, BlockKind::Separable] {
            for (index, step) in Preset::Base.config(block, 3).steps().iter().enumerate() {
                let used = match step.op {
                    Op::Image => continue,
                    Op::Fold(x) | Op::Conv(x, _) | Op::Double(x) | Op::Unfold(x) | Op::AddColours(x) => x,
                    Op::Add(x, y) => Value(x.0.max(y.0)),
                };
                assert!(used.0 < index, "step {index}");
            }
        }
    }
}
