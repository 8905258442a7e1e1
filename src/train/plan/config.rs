//! The published configurations (Karras et al. 2020, "Training Generative Adversarial Networks with Limited Data",
//! appendix D and figure 24).

use crate::train::plan::options::Config;

/// Numbers that a configuration fixes and options may change.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Base {
    pub config: Config,
    pub kimg: usize,
    pub batch_size: usize,
    pub batch_gpu: usize,
    pub mbstd_group_size: usize,
    pub channel_base: usize,
    pub channel_max: usize,
    pub rate: f64,
    pub gamma: f64,
    pub ema_kimg: f64,
    pub ema_rampup: Option<f64>,
    pub mapping_layers: usize,
    pub latent_dim: usize,
}

/// A configuration for a fixed resolution and number of devices.
struct Row {
    gpus: usize,
    kimg: usize,
    batch: usize,
    mbstd: usize,
    channel_base: usize,
    rate: f64,
    gamma: f64,
    ema_kimg: f64,
    ema_rampup: Option<f64>,
    mapping_layers: usize,
}

/// Most channels anywhere.
const CHANNEL_MAX: usize = 512;
/// Length of z and w.
const LATENT_DIM: usize = 512;
/// Channels times resolution.
const WIDE: usize = 32768;
const NARROW: usize = 16384;

/// The published rows share all that is not named.
const PAPER: Row = Row {
    gpus: 8,
    kimg: 25_000,
    batch: 64,
    mbstd: 8,
    channel_base: WIDE,
    rate: 0.0025,
    gamma: 1.0,
    ema_kimg: 20.0,
    ema_rampup: None,
    mapping_layers: 8,
};

impl Base {
    /// The numbers of `config` for images of `resolution` px on `gpus` devices.
    pub fn new(config: Config, resolution: usize, gpus: usize) -> Self {
        let large = Row { batch: 32, mbstd: 4, rate: 0.002, ema_kimg: 10.0, ..PAPER };
        let row = match config {
            Config::Auto => auto(resolution, gpus),
            Config::Stylegan2 => Row { gamma: 10.0, ..large },
            Config::Paper256 => Row { channel_base: NARROW, ..PAPER },
            Config::Paper512 => Row { gamma: 0.5, ..PAPER },
            Config::Paper1024 => Row { gamma: 2.0, ..large },
            Config::Cifar => Row {
                gpus: 2,
                kimg: 100_000,
                mbstd: 32,
                gamma: 0.01,
                ema_kimg: 500.0,
                ema_rampup: Some(0.05),
                mapping_layers: 2,
                ..PAPER
            },
        };
        Base {
            config,
            kimg: row.kimg,
            batch_size: row.batch,
            batch_gpu: row.batch / row.gpus,
            mbstd_group_size: row.mbstd,
            channel_base: row.channel_base,
            channel_max: CHANNEL_MAX,
            rate: row.rate,
            gamma: row.gamma,
            ema_kimg: row.ema_kimg,
            ema_rampup: row.ema_rampup,
            mapping_layers: row.mapping_layers,
            latent_dim: LATENT_DIM,
        }
    }

    /// Weight of path length regularisation, and probability of style mixing; the small images of CIFAR-10 do without.
    pub fn regularisers(&self) -> (f64, f64) {
        match self.config {
            Config::Cifar => (0.0, 0.0),
            Config::Auto | Config::Stylegan2 | Config::Paper256 | Config::Paper512 | Config::Paper1024 => (2.0, 0.9),
        }
    }
}

/// The published heuristics: as many images as fit, and R1 in proportion to the pixels.
fn auto(resolution: usize, gpus: usize) -> Row {
    let fitting = (4096 / resolution.max(1)).min(32);
    let batch = (gpus * fitting).min(64).max(gpus);
    Row {
        gpus,
        batch,
        mbstd: (batch / gpus).min(4),
        channel_base: if resolution >= 512 { WIDE } else { NARROW },
        rate: if resolution >= 1024 { 0.002 } else { 0.0025 },
        gamma: 0.0002 * (resolution * resolution) as f64 / batch as f64,
        ema_kimg: batch as f64 * 10.0 / 32.0,
        ema_rampup: Some(0.05),
        mapping_layers: 2,
        ..PAPER
    }
}
