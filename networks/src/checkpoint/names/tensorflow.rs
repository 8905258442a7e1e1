//! The TensorFlow networks' variables. Matrices are `[I, O]`, kernels `[kh, kw, I, O]`; the kernels that up-sample are
//! stored the other way round, and the bias of a style lacks the 1 that it starts from.

use crate::checkpoint::names::{Rule, Turn, rule};
use crate::stylegan2::{DiscriminatorLayer, DiscriminatorSlot, Layer, Resolution, Slot, Term};

/// Variables that training needed and networks do not.
pub(crate) const LEFTOVERS: [&str; 1] = ["lod"];

/// A tensor of the generator.
pub(crate) fn generator(layer: &Layer) -> Rule {
    match *layer {
        Layer::WAvg => rule("dlatent_avg", Turn::Same),
        Layer::Const => rule("synthesis/4x4/Const/const", Turn::Reshape),
        Layer::Embed(term) => dense("mapping/LabelEmbed", term),
        Layer::Fc(index, term) => dense(&format!("mapping/Dense{index}"), term),
        Layer::Block { resolution, slot, term: Term::NoiseConst } => {
            rule(format!("synthesis/noise{}", noise_number(resolution, slot)), Turn::Reshape)
        }
        Layer::Block { resolution, slot, term } => {
            let r = resolution.px();
            let (name, kernel) = match slot {
                Slot::Conv0 => ("Conv0_up", Turn::ToOihwReversed),
                Slot::Conv1 if resolution == Resolution::R4 => ("Conv", Turn::ToOihw),
                Slot::Conv1 => ("Conv1", Turn::ToOihw),
                Slot::ToRgb => ("ToRGB", Turn::ToOihw),
                Slot::Skip => ("Skip", Turn::ToOihwReversed),
            };
            convolution(&format!("synthesis/{r}x{r}/{name}"), kernel, term)
        }
    }
}

/// A tensor of the discriminator.
pub(crate) fn discriminator(layer: &DiscriminatorLayer) -> Rule {
    match *layer {
        DiscriminatorLayer::Embed(term) => dense("LabelEmbed", term),
        DiscriminatorLayer::Fc(index, term) => dense(&format!("Mapping{index}"), term),
        DiscriminatorLayer::Block { resolution, slot, term } => {
            let r = resolution.px();
            match slot {
                DiscriminatorSlot::FromRgb => convolution(&format!("{r}x{r}/FromRGB"), Turn::ToOihw, term),
                DiscriminatorSlot::Conv0 => convolution(&format!("{r}x{r}/Conv0"), Turn::ToOihw, term),
                DiscriminatorSlot::Conv1 => convolution(&format!("{r}x{r}/Conv1_down"), Turn::ToOihw, term),
                DiscriminatorSlot::Skip => convolution(&format!("{r}x{r}/Skip"), Turn::ToOihw, term),
                DiscriminatorSlot::Conv => convolution("4x4/Conv", Turn::ToOihw, term),
                DiscriminatorSlot::Fc => dense("4x4/Dense0", term),
                DiscriminatorSlot::Out => dense("Output", term),
            }
        }
    }
}

fn dense(name: &str, term: Term) -> Rule {
    convolution(name, Turn::Transpose, term)
}

fn convolution(name: &str, weight: Turn, term: Term) -> Rule {
    match term {
        Term::Weight => rule(format!("{name}/weight"), weight),
        Term::Bias => rule(format!("{name}/bias"), Turn::Same),
        Term::AffineWeight => rule(format!("{name}/mod_weight"), Turn::Transpose),
        Term::AffineBias => rule(format!("{name}/mod_bias"), Turn::AddOne),
        Term::NoiseStrength => rule(format!("{name}/noise_strength"), Turn::Same),
        Term::NoiseConst => rule(format!("{name}/noise"), Turn::Reshape),
    }
}

/// Noise images are counted from the lowest resolution, which has one; each other resolution has two.
fn noise_number(resolution: Resolution, slot: Slot) -> usize {
    let above = resolution.log2() - Resolution::R4.log2();
    match slot {
        Slot::Conv0 => (2 * above).saturating_sub(1),
        Slot::Conv1 | Slot::ToRgb | Slot::Skip => 2 * above,
    }
}
