//! The state dicts of rosinality's stylegan2-pytorch: always the skip generator and the residual discriminator.
//!
//! Kernels of the generator have a first axis of extent 1; nothing is transposed or reversed.

use crate::checkpoint::names::{Rule, Turn, rule};
use crate::stylegan2::{DiscriminatorLayer, DiscriminatorSlot, Layer, Resolution, Slot, Term};

/// Where `latent_avg`, which lies beside the state dicts, is put among the generator's tensors.
pub(crate) const W_AVG: &str = "latent_avg";

/// Whether a buffer holds a resampling filter, which the configuration determines.
pub(crate) fn is_filter(name: &str) -> bool {
    name.ends_with(".kernel")
}

/// A tensor of the generator.
pub(crate) fn generator(layer: &Layer) -> Rule {
    match *layer {
        Layer::WAvg => rule(W_AVG, Turn::Reshape),
        Layer::Const => rule("input.input", Turn::Reshape),
        Layer::Embed(term) => rule(format!("style.embed.{}", plain(term)), Turn::Same),
        // The first element of `style` normalises and has no tensors.
        Layer::Fc(index, term) => rule(format!("style.{}.{}", index + 1, plain(term)), Turn::Same),
        Layer::Block { resolution, slot, term } => block(resolution, slot, term),
    }
}

fn block(resolution: Resolution, slot: Slot, term: Term) -> Rule {
    let name = slot_name(resolution, slot);
    match term {
        Term::Weight => rule(format!("{name}.conv.weight"), Turn::Reshape),
        Term::Bias if slot == Slot::ToRgb => rule(format!("{name}.bias"), Turn::Reshape),
        Term::Bias => rule(format!("{name}.activate.bias"), Turn::Same),
        Term::AffineWeight => rule(format!("{name}.conv.modulation.weight"), Turn::Same),
        Term::AffineBias => rule(format!("{name}.conv.modulation.bias"), Turn::Same),
        Term::NoiseStrength => rule(format!("{name}.noise.weight"), Turn::Reshape),
        Term::NoiseConst => rule(format!("noises.noise_{}", noise_number(resolution, slot)), Turn::Reshape),
    }
}

/// What the layer of a block is called; the 4 px block stands apart.
pub(crate) fn slot_name(resolution: Resolution, slot: Slot) -> String {
    let above = resolution.log2() - Resolution::R4.log2();
    match (above.checked_sub(1), slot) {
        (None, Slot::ToRgb) => "to_rgb1".to_owned(),
        (None, Slot::Conv0 | Slot::Conv1 | Slot::Skip) => "conv1".to_owned(),
        (Some(k), Slot::Conv0) => format!("convs.{}", 2 * k),
        (Some(k), Slot::Conv1) => format!("convs.{}", 2 * k + 1),
        (Some(k), Slot::ToRgb) => format!("to_rgbs.{k}"),
        (Some(k), Slot::Skip) => format!("skips.{k}"),
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

fn plain(term: Term) -> &'static str {
    match term {
        Term::Weight => "weight",
        Term::Bias => "bias",
        Term::AffineWeight => "modulation.weight",
        Term::AffineBias => "modulation.bias",
        Term::NoiseConst => "noise",
        Term::NoiseStrength => "noise.weight",
    }
}

/// A tensor of the discriminator, whose blocks are counted from the image.
///
/// The count depends on the resolution of the images, which a layer does not know: hence the second argument.
pub(crate) fn discriminator(layer: &DiscriminatorLayer, image: Resolution) -> Rule {
    let DiscriminatorLayer::Block { resolution, slot, term } = *layer else {
        return rule(format!("label.{layer}"), Turn::Same);
    };
    let block = image.log2().saturating_sub(resolution.log2()) + 1;
    let term = plain(term);
    let weight = term == "weight";
    let name = match slot {
        DiscriminatorSlot::FromRgb if weight => "convs.0.0.weight".to_owned(),
        DiscriminatorSlot::FromRgb => format!("convs.0.1.{term}"),
        DiscriminatorSlot::Conv0 if weight => format!("convs.{block}.conv1.0.weight"),
        DiscriminatorSlot::Conv0 => format!("convs.{block}.conv1.1.{term}"),
        DiscriminatorSlot::Conv1 if weight => format!("convs.{block}.conv2.1.weight"),
        DiscriminatorSlot::Conv1 => format!("convs.{block}.conv2.2.{term}"),
        DiscriminatorSlot::Skip => format!("convs.{block}.skip.1.{term}"),
        DiscriminatorSlot::Conv if weight => "final_conv.0.weight".to_owned(),
        DiscriminatorSlot::Conv => format!("final_conv.1.{term}"),
        DiscriminatorSlot::Fc => format!("final_linear.0.{term}"),
        DiscriminatorSlot::Out => format!("final_linear.1.{term}"),
    };
    rule(name, Turn::Same)
}
