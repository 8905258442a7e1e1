//! What an encoder learns from: images of its generator with the `w` that made them, and photos, for which nobody knows it.

use anyhow::Result;
use candle_core::{Device, Tensor};
use toonify_networks::latent::Z;
use toonify_networks::projection::WStatistics;
use toonify_networks::random::RandomState;
use toonify_networks::stylegan2::{Generator, Noise};

use crate::train::source::{self, Source};

/// Images, with the answers to the first of them.
pub(super) struct Lesson {
    /// `[N, C, R, R]` in [-1, 1].
    pub images: Tensor,
    /// Offsets of the first images' `w` from its average, in units of its spread in one dimension, `[M, w_dim]`.
    pub offsets: Tensor,
}

impl Lesson {
    /// Adds photos behind the images whose `w` is known.
    pub fn with(self, photos: &Tensor) -> Result<Lesson> {
        Ok(Lesson { images: Tensor::cat(&[&self.images, photos], 0)?, ..self })
    }
}

/// Spread of `w` around its average in one dimension.
pub(super) fn spread(statistics: &WStatistics) -> Result<f64> {
    let w_dim = statistics.w_avg.elem_count() as f64;
    // A generator that knows one face only has no spread; then any unit will do.
    Ok((statistics.w_std / w_dim.sqrt()).max(1e-6))
}

/// Images of a generator, without end.
pub(super) struct Samples<'a> {
    generator: &'a Generator,
    statistics: &'a WStatistics,
    rng: RandomState,
    batch_size: usize,
}

impl<'a> Samples<'a> {
    /// Starts the random numbers at `seed`.
    pub fn new(generator: &'a Generator, statistics: &'a WStatistics, (seed, batch_size): (u32, usize)) -> Self {
        Samples { generator, statistics, rng: RandomState::new(seed), batch_size }
    }

    fn draw(&mut self) -> Result<Lesson> {
        let config = self.generator.config();
        let drawn: Vec<f32> =
            self.rng.gauss_vec(self.batch_size * config.z_dim).into_iter().map(|x| x as f32).collect();
        let z = Z::new(Tensor::from_vec(drawn, (self.batch_size, config.z_dim), &Device::Cpu)?, config.z_dim)?;
        let w = self.generator.map(&z, None)?;
        let noise = Noise::random(config, self.batch_size, &mut self.rng, &Device::Cpu)?;
        let images = self.generator.render(&w.broadcast(config.num_ws())?, &noise)?.clamp(-1f32, 1f32)?;
        let offsets = (w.tensor().broadcast_sub(&self.statistics.w_avg)? / spread(self.statistics)?)?;
        Ok(Lesson { images: images.detach(), offsets: offsets.detach() })
    }
}

impl Iterator for Samples<'_> {
    type Item = Result<Lesson>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(self.draw())
    }
}

/// Batches of photos, without end.
pub(super) fn photos<'a>(source: &'a dyn Source, seed: u32, count: usize) -> impl Iterator<Item = Result<Tensor>> + 'a {
    let mut order = source.order(seed);
    std::iter::repeat_with(move || {
        let indices: Vec<usize> = order.by_ref().take(count).collect();
        Ok(source::batch(source, &indices)?.images)
    })
}
