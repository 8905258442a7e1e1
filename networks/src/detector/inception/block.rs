//! Blocks of Inception with their weights.

use std::collections::BTreeMap;

use candle_core::Tensor;

use super::Dialect;
use super::plan::{BlockPlan, ConvPlan, Reach, StepPlan};
use crate::detector::average_pool::{Border, average_pool_3x3};
use crate::error::Result;
use crate::ops::{Convolution, Edge, MaxPool, max_pool2d};
use crate::perceptual::{ConvRelu, take};

/// In what the networks of the two sets of weights differ.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Variant {
    /// What averages count at the edges.
    pub border: Border,
    /// What the last block does before its last convolution.
    last: Pool,
    /// The gray that is 0 inside.
    pub gray: f64,
}

impl Variant {
    /// The network that FID is defined for.
    pub const FID: Variant = Variant { border: Border::Left, last: Pool::Maximum, gray: 128.0 };
    /// torchvision's.
    pub const TORCHVISION: Variant = Variant { border: Border::Zeros, last: Pool::Average(Border::Zeros), gray: 127.5 };
}

/// Pooling over windows of 3×3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pool {
    /// Average, one for each pixel.
    Average(Border),
    /// Maximum, one for each pixel.
    Maximum,
    /// Maximum, one for every other pixel.
    Halve,
}

/// A block with its weights.
pub(super) struct Block(Vec<Vec<Step>>);

enum Step {
    Conv(ConvRelu),
    Fork([ConvRelu; 2]),
    Pool(Pool),
}

impl Block {
    /// Takes the weights of a block out of a state dict.
    pub fn take(
        plan: &BlockPlan,
        variant: Variant,
        dialect: Dialect,
        tensors: &mut BTreeMap<String, Tensor>,
    ) -> Result<Block> {
        let mut source = Source { block: plan.names, dialect, tensors };
        let mut branches = Vec::new();
        for steps in &plan.branches {
            let (mut branch, mut inputs) = (Vec::new(), plan.inputs);
            for step in steps {
                branch.push(match step {
                    StepPlan::Conv(conv) => Step::Conv(source.conv(conv, inputs)?),
                    StepPlan::Fork([a, b]) => Step::Fork([source.conv(a, inputs)?, source.conv(b, inputs)?]),
                    StepPlan::Average => Step::Pool(Pool::Average(variant.border)),
                    StepPlan::LastPool => Step::Pool(variant.last),
                    StepPlan::Halve => Step::Pool(Pool::Halve),
                });
                if let StepPlan::Conv(conv) = step {
                    inputs = conv.out;
                }
            }
            branches.push(branch);
        }
        Ok(Block(branches))
    }

    /// # Shapes
    /// `[N, I, H, W]` → `[N, O, H', W']`
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let branch = |steps: &Vec<Step>| steps.iter().try_fold(x.clone(), |x, step| step.forward(&x));
        Ok(Tensor::cat(&self.0.iter().map(branch).collect::<Result<Vec<_>>>()?, 1)?)
    }
}

impl Step {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        match self {
            Step::Conv(conv) => conv.forward(x),
            Step::Fork([a, b]) => Ok(Tensor::cat(&[a.forward(x)?, b.forward(x)?], 1)?),
            Step::Pool(pool) => pool.forward(x),
        }
    }
}

impl Pool {
    fn forward(self, x: &Tensor) -> Result<Tensor> {
        let maximum = |x: &Tensor, stride| max_pool2d(x, &MaxPool { kernel: 3, stride, edge: Edge::Drop });
        match self {
            Pool::Average(border) => average_pool_3x3(x, border),
            // No feature is below the zeros around them.
            Pool::Maximum => maximum(&x.pad_with_zeros(2, 1, 1)?.pad_with_zeros(3, 1, 1)?, 1),
            Pool::Halve => maximum(x, 2),
        }
    }
}

/// The state dict and the block whose weights are taken from it.
struct Source<'t> {
    block: [&'static str; 2],
    dialect: Dialect,
    tensors: &'t mut BTreeMap<String, Tensor>,
}

impl Source<'_> {
    /// A convolution with its batch normalisation folded into it.
    fn conv(&mut self, plan: &ConvPlan, inputs: usize) -> Result<ConvRelu> {
        const EPS: f64 = 1e-3;
        let which = match self.dialect {
            Dialect::Published => 0,
            Dialect::Torchvision => 1,
        };
        let path = [self.block[which], plan.names[which]].into_iter().filter(|part| !part.is_empty());
        let path = path.collect::<Vec<_>>().join(".");
        let ConvPlan { out, kernel: [kh, kw], reach, .. } = *plan;
        let [weight, shift, mean, variance] = match self.dialect {
            Dialect::Published => ["weight", "beta", "mean", "var"].map(|name| format!("layers.{path}.{name}")),
            Dialect::Torchvision => {
                ["conv.weight", "bn.bias", "bn.running_mean", "bn.running_var"].map(|name| format!("{path}.{name}"))
            }
        };
        let weight = take(self.tensors, &weight, &[out, inputs, kh, kw])?;
        let mut each = |name: &str| take(self.tensors, name, &[out]);
        let (shift, mean, variance) = (each(&shift)?, each(&mean)?, each(&variance)?);
        let mut scale = (variance + EPS)?.sqrt()?.recip()?;
        if self.dialect == Dialect::Torchvision {
            scale = (scale * take(self.tensors, &format!("{path}.bn.weight"), &[out])?)?;
        }
        let weight = weight.broadcast_mul(&scale.reshape((out, 1, 1, 1))?)?;
        ConvRelu::new(weight, &(shift - (mean * scale)?)?, convolution([kh, kw], reach))
    }
}

fn convolution([kh, kw]: [usize; 2], reach: Reach) -> Convolution {
    let (x, y) = match reach {
        Reach::Same => ((kw / 2) as isize, (kh / 2) as isize),
        Reach::Inside | Reach::Halving => (0, 0),
    };
    let stride = if reach == Reach::Halving { 2 } else { 1 };
    Convolution { stride, padding: [x, x, y, y], groups: 1 }
}
