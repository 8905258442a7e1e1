//! NVIDIA's PyTorch networks: the canonical names are theirs.

use crate::checkpoint::names::{Rule, Turn, rule};
use crate::stylegan2::{DiscriminatorLayer, Layer};

/// A tensor of the generator.
pub(crate) fn generator(layer: &Layer) -> Rule {
    rule(layer.to_string(), Turn::Same)
}

/// A tensor of the discriminator.
pub(crate) fn discriminator(layer: &DiscriminatorLayer) -> Rule {
    rule(layer.to_string(), Turn::Same)
}

/// Part of a buffer's name that says it is a filter, which the configuration determines.
pub(crate) const FILTER: &str = "resample_filter";

/// Layers of the generator whose filter is used, others only carry one: the image path of every block, the up-sampling
/// convolution and the residual path.
pub(crate) fn generator_filters(name: &str) -> bool {
    let Some((_, layer)) = name.strip_prefix("synthesis.b").and_then(|name| name.split_once('.')) else { return false };
    matches!(layer, "resample_filter" | "conv0.resample_filter" | "skip.resample_filter")
}

/// Layers of the discriminator whose filter is used: the image path of every block, the down-sampling convolution and
/// the residual path.
pub(crate) fn discriminator_filters(name: &str) -> bool {
    let Some((_, layer)) = name.split_once('.') else { return false };
    matches!(layer, "resample_filter" | "conv1.resample_filter" | "skip.resample_filter")
}
