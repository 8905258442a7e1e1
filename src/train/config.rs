//! The published configurations (Karras et al. 2020, "Training Generative Adversarial Networks with Limited Data",
//! appendix C, and the options of its trainer).

use toonify_networks::ops::Activation;
use toonify_networks::stylegan2::{
    Architecture, Channels, DiscriminatorConfig, GeneratorConfig, MappingConfig, Resolution,
};

use crate::train::ema::EmaConfig;

/// A configuration by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named {
    /// Chosen by resolution and number of processors.
    Auto,
    /// Of the StyleGAN2 paper, config F at 1024 px.
    Stylegan2,
    /// FFHQ and LSUN Cat at 256 px.
    Paper256,
    /// BreCaHAD and AFHQ at 512 px.
    Paper512,
    /// MetFaces at 1024 px.
    Paper1024,
    /// CIFAR-10 at 32 px.
    Cifar,
}

/// What a configuration decides.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Configuration {
    /// Processors that the batch was divided among; each took `batch_size / ref_gpus` images at once.
    pub ref_gpus: u64,
    /// Thousands of images.
    pub kimg: u64,
    /// Images a step.
    pub batch_size: u64,
    /// Group of the minibatch standard deviation.
    pub mbstd_group: usize,
    /// Feature maps, as a multiple of 32768 / resolution.
    pub fmaps: f64,
    /// Learning rate of both networks.
    pub learning_rate: f64,
    /// Weight of R1.
    pub gamma: f64,
    /// The averaged generator.
    pub ema: EmaConfig,
    /// Layers of the mapping network.
    pub map_layers: usize,
}

impl Named {
    /// The configuration for images of this size on so many processors.
    pub fn resolve(self, resolution: Resolution, gpus: u64) -> Configuration {
        let (px, gpus) = (resolution.px() as u64, gpus.max(1));
        let row = |ref_gpus, kimg, batch_size, mbstd_group, fmaps| Configuration {
            ref_gpus,
            kimg,
            batch_size,
            mbstd_group,
            fmaps,
            learning_rate: 0.0025,
            gamma: 1.0,
            ema: EmaConfig { half_life_kimg: 20.0, rampup: None },
            map_layers: 8,
        };
        let ema = |half_life_kimg, rampup| EmaConfig { half_life_kimg, rampup };
        match self {
            Named::Auto => {
                let batch = (gpus * (4096 / px).min(32)).min(64).max(gpus);
                Configuration {
                    learning_rate: if px >= 1024 { 0.002 } else { 0.0025 },
                    gamma: 0.0002 * (px * px) as f64 / batch as f64,
                    ema: ema(batch as f64 * 10.0 / 32.0, Some(0.05)),
                    map_layers: 2,
                    ..row(gpus, 25_000, batch, (batch / gpus).min(4) as usize, if px >= 512 { 1.0 } else { 0.5 })
                }
            }
            Named::Stylegan2 => {
                Configuration { learning_rate: 0.002, gamma: 10.0, ema: ema(10.0, None), ..row(8, 25_000, 32, 4, 1.0) }
            }
            Named::Paper256 => row(8, 25_000, 64, 8, 0.5),
            Named::Paper512 => Configuration { gamma: 0.5, ..row(8, 25_000, 64, 8, 1.0) },
            Named::Paper1024 => {
                Configuration { learning_rate: 0.002, gamma: 2.0, ema: ema(10.0, None), ..row(8, 25_000, 32, 4, 1.0) }
            }
            Named::Cifar => {
                let ema = ema(500.0, Some(0.05));
                Configuration { gamma: 0.01, ema, map_layers: 2, ..row(2, 100_000, 64, 32, 1.0) }
            }
        }
    }

    /// Weight of path length regularisation.
    pub fn path_length_weight(self) -> f64 {
        if self == Named::Cifar { 0.0 } else { 2.0 }
    }

    /// Probability of style mixing.
    pub fn style_mixing(self) -> f64 {
        if self == Named::Cifar { 0.0 } else { 0.9 }
    }

    /// How the discriminator's blocks are joined.
    pub fn discriminator(self) -> Architecture {
        if self == Named::Cifar { Architecture::Orig } else { Architecture::Resnet }
    }
}

/// Sizes of both networks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sizes {
    /// Side of the images.
    pub resolution: Resolution,
    /// 1 for gray, 3 for RGB.
    pub img_channels: usize,
    /// Length of a label; 0 without labels.
    pub c_dim: usize,
    /// Feature maps at resolution r: `channel_base / r`, …
    pub channel_base: usize,
    /// … but at most so many.
    pub channel_max: usize,
    /// Length of `z` and of `w`.
    pub latent_dim: usize,
}

/// Blocks that the published trainer computes in half precision, and the bound on their outputs that comes with it.
const NUM_FP16_RES: usize = 4;
const CONV_CLAMP: f64 = 256.0;
const FILTER: [f32; 4] = [1.0, 3.0, 3.0, 1.0];

/// The published generator.
pub fn generator(sizes: &Sizes, map_layers: usize) -> GeneratorConfig {
    GeneratorConfig {
        z_dim: sizes.latent_dim,
        c_dim: sizes.c_dim,
        w_dim: sizes.latent_dim,
        resolution: sizes.resolution,
        img_channels: sizes.img_channels,
        mapping: mapping(map_layers, sizes.latent_dim),
        channels: Channels::from_base(sizes.channel_base, sizes.channel_max, sizes.resolution),
        architecture: Architecture::Skip,
        activation: Activation::Lrelu,
        conv_clamp: Some(CONV_CLAMP),
        num_fp16_res: NUM_FP16_RES,
        use_noise: true,
        resample_filter: FILTER.to_vec(),
    }
}

/// The published discriminator; its label network has 8 layers.
pub fn discriminator(
    sizes: &Sizes,
    architecture: Architecture,
    mbstd_group: usize,
    freeze_layers: usize,
) -> DiscriminatorConfig {
    let channels = Channels::from_base(sizes.channel_base, sizes.channel_max, sizes.resolution);
    let width = channels.at(Resolution::R4);
    DiscriminatorConfig {
        c_dim: sizes.c_dim,
        resolution: sizes.resolution,
        img_channels: sizes.img_channels,
        cmap_dim: if sizes.c_dim > 0 { width } else { 0 },
        mapping: mapping(8, width),
        channels,
        architecture,
        activation: Activation::Lrelu,
        conv_clamp: Some(CONV_CLAMP),
        num_fp16_res: NUM_FP16_RES,
        mbstd_group_size: Some(mbstd_group),
        mbstd_num_channels: 1,
        freeze_layers,
        resample_filter: FILTER.to_vec(),
    }
}

fn mapping(num_layers: usize, width: usize) -> MappingConfig {
    MappingConfig {
        num_layers,
        embed_features: width,
        layer_features: width,
        activation: Activation::Lrelu,
        lr_multiplier: 0.01,
        w_avg_beta: 0.995,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(named: Named, (px, gpus): (usize, u64), batch: (u64, u64, usize), gamma: f64, half_life: f64) {
        let found = named.resolve(Resolution::new(px).unwrap(), gpus);
        assert_eq!((found.batch_size, found.batch_size / found.ref_gpus, found.mbstd_group), batch, "{named:?} {px}");
        assert!(
            (found.gamma - gamma).abs() < 1e-12 && (found.ema.half_life_kimg - half_life).abs() < 1e-12,
            "{found:?}"
        );
    }

    #[test]
    fn configurations_are_the_published_ones() {
        check(Named::Auto, (64, 1), (32, 32, 4), 0.0256, 10.0);
        check(Named::Auto, (256, 1), (16, 16, 4), 0.8192, 5.0);
        check(Named::Auto, (1024, 8), (32, 4, 4), 6.5536, 10.0);
        check(Named::Paper256, (256, 1), (64, 8, 8), 1.0, 20.0);
        check(Named::Stylegan2, (1024, 1), (32, 4, 4), 10.0, 10.0);
        check(Named::Cifar, (32, 1), (64, 32, 32), 0.01, 500.0);
        let auto = Named::Auto.resolve(Resolution::R1024, 1);
        assert_eq!((auto.learning_rate, auto.fmaps, auto.map_layers), (0.002, 1.0, 2));
    }
}
