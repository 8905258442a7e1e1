//! The generator that benchmarks time.

use toonify_networks::ops::Activation;
use toonify_networks::stylegan2::{Architecture, Channels, GeneratorConfig, MappingConfig, Resolution};

/// The published `paper256` generator: channel_base 16384, channel_max 512, 8 mapping layers.
pub fn config() -> GeneratorConfig {
    let resolution = Resolution::new(256).unwrap();
    GeneratorConfig {
        z_dim: 512,
        c_dim: 0,
        w_dim: 512,
        resolution,
        img_channels: 3,
        mapping: MappingConfig {
            num_layers: 8,
            embed_features: 0,
            layer_features: 512,
            activation: Activation::Lrelu,
            lr_multiplier: 0.01,
            w_avg_beta: 0.995,
        },
        channels: Channels::from_base(16384, 512, resolution),
        architecture: Architecture::Skip,
        activation: Activation::Lrelu,
        conv_clamp: Some(256.0),
        num_fp16_res: 4,
        use_noise: true,
        resample_filter: vec![1.0, 3.0, 3.0, 1.0],
    }
}
