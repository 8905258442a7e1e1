//! The averaged generator: it follows the one in training slowly, and is the one that renders images (Yazıcı et al. 2019,
//! "The Unusual Effectiveness of Averaging in GAN Training").

use anyhow::Result;
use serde::{Deserialize, Serialize};
use toonify_networks::optim::follow;
use toonify_networks::stylegan2::{Layer, Parameters};

/// How slowly the average follows.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct EmaConfig {
    /// Thousands of images after which half of the past is forgotten.
    pub half_life_kimg: f64,
    /// At the start of a training the half-life is at most this share of the images seen so far.
    pub rampup: Option<f64>,
}

impl EmaConfig {
    /// Share of the average that is kept in a step of `batch_size` images after `images` others.
    pub fn keep(&self, batch_size: u64, images: u64) -> f64 {
        let mut half_life = self.half_life_kimg * 1000.0;
        if let Some(rampup) = self.rampup {
            half_life = half_life.min(images as f64 * rampup);
        }
        0.5f64.powf(batch_size as f64 / half_life.max(1e-8))
    }
}

/// Moves the average towards the generator; what is not learnt is copied.
///
/// # Errors
/// When the two are built differently.
pub fn move_average(average: &Parameters<Layer>, generator: &Parameters<Layer>, keep: f64) -> Result<()> {
    for ((layer, average), (_, value)) in average.iter().zip(generator.iter()) {
        follow(average, value, if layer.is_buffer() { 0.0 } else { keep })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(config: (f64, Option<f64>), batch_size: u64, images: u64, expected: f64) {
        let config = EmaConfig { half_life_kimg: config.0, rampup: config.1 };
        let found = config.keep(batch_size, images);
        assert!((found - expected).abs() < 1e-12, "{config:?}, {batch_size} after {images}: {found}");
    }

    #[test]
    fn the_average_keeps_what_the_published_one_keeps() {
        check((0.05, Some(0.05)), 4, 0, 0.0);
        check((0.05, Some(0.05)), 4, 4, 9.536_743_164_062_5e-7);
        check((0.05, Some(0.05)), 4, 8, 0.000_976_562_5);
        check((0.02, None), 8, 0, 0.757_858_283_255_199);
        check((0.02, None), 8, 1_000_000, 0.757_858_283_255_199);
        check((10.0, Some(0.05)), 32, 1_000_000, 0.5f64.powf(32.0 / 10_000.0));
    }
}
