//! Arithmetic that a network costs, for measuring how near the machine's limit it runs.

use crate::stylegan2::config::GeneratorConfig;
use crate::stylegan2::layer::{Layer, Slot, TensorName, Term};

impl GeneratorConfig {
    /// Multiply-adds of the synthesis network for one image: convolutions counted directly, tap by tap, an up-sampling
    /// convolution at the resolution of its input; filters and activations left out.
    pub fn multiply_adds(&self) -> u64 {
        Layer::all(self).iter().map(|(layer, shape)| layer_cost(*layer, shape)).sum()
    }
}

fn layer_cost(layer: Layer, shape: &[usize]) -> u64 {
    let elements: u64 = shape.iter().map(|&length| length as u64).product();
    match layer {
        Layer::Block { resolution, slot, term: Term::Weight } => {
            let side = match slot {
                Slot::Conv0 | Slot::Skip => resolution.px() / 2,
                Slot::Conv1 | Slot::ToRgb => resolution.px(),
            };
            elements * (side * side) as u64
        }
        Layer::Block { term: Term::AffineWeight, .. } => elements,
        Layer::Block { .. } | Layer::Embed(_) | Layer::Fc(..) | Layer::WAvg | Layer::Const => 0,
    }
}
