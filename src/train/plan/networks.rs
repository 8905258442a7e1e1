//! The two networks of a configuration.

use toonify_networks::ops::Activation;
use toonify_networks::stylegan2::{
    Architecture, Channels, DiscriminatorConfig, GeneratorConfig, MappingConfig, Resolution,
};

use crate::train::plan::config::Base;
use crate::train::plan::options::{Config, Options};
use crate::train::plan::{DataFacts, PlanError, require};

const DISCRIMINATOR_MAPPING_LAYERS: usize = 8;

/// Generator and discriminator for these images.
pub(super) fn configs(
    options: &Options,
    base: &Base,
    facts: &DataFacts,
) -> Result<(GeneratorConfig, DiscriminatorConfig), PlanError> {
    let resolution = Resolution::new(facts.resolution).map_err(|error| PlanError(format!("--data: {error}")))?;
    require(base.channel_base >= facts.resolution, "--cbase must be at least the resolution of the images")?;
    let channels = Channels::from_base(base.channel_base, base.channel_max, resolution);
    let c_dim = if options.cond.is_on() { facts.label_dim } else { 0 };
    // Single precision needs no clamps; the published code removes both together.
    let (conv_clamp, num_fp16_res) = if options.machine.fp32.is_on() { (None, 0) } else { (Some(256.0), 4) };
    let generator = GeneratorConfig {
        z_dim: base.latent_dim,
        c_dim,
        w_dim: base.latent_dim,
        resolution,
        img_channels: facts.channels,
        mapping: mapping(base.mapping_layers, c_dim, base.latent_dim),
        channels: channels.clone(),
        architecture: Architecture::Skip,
        activation: Activation::Lrelu,
        conv_clamp,
        num_fp16_res,
        use_noise: true,
        resample_filter: vec![1.0, 3.0, 3.0, 1.0],
    };
    let cmap_dim = if c_dim > 0 { channels.at(Resolution::R4) } else { 0 };
    let discriminator = DiscriminatorConfig {
        c_dim,
        resolution,
        img_channels: facts.channels,
        cmap_dim,
        mapping: mapping(DISCRIMINATOR_MAPPING_LAYERS, c_dim, cmap_dim),
        channels,
        architecture: architecture(base.config),
        activation: Activation::Lrelu,
        conv_clamp,
        num_fp16_res,
        mbstd_group_size: Some(base.mbstd_group_size),
        mbstd_num_channels: 1,
        freeze_layers: usize::try_from(options.freezed.unwrap_or(0)).unwrap_or(0),
        resample_filter: vec![1.0, 3.0, 3.0, 1.0],
    };
    Ok((generator, discriminator))
}

fn mapping(num_layers: usize, c_dim: usize, width: usize) -> MappingConfig {
    MappingConfig {
        num_layers,
        embed_features: if c_dim > 0 { width } else { 0 },
        layer_features: width,
        activation: Activation::Lrelu,
        lr_multiplier: 0.01,
        w_avg_beta: 0.995,
    }
}

/// Small images do without residual blocks.
fn architecture(config: Config) -> Architecture {
    match config {
        Config::Cifar => Architecture::Orig,
        Config::Auto | Config::Stylegan2 | Config::Paper256 | Config::Paper512 | Config::Paper1024 => {
            Architecture::Resnet
        }
    }
}
