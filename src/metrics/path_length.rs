//! Perceptual path length of a generator, as published.

use anyhow::Result;
use candle_core::Tensor;
use toonify_networks::latent::{W, WPlus, Z};
use toonify_networks::perceptual::{Perception, distances};
use toonify_networks::stylegan2::Generator;

use crate::metrics::images::{Images, Sampler};
use crate::metrics::listener::Listener;
use crate::statistics::measure::{Path, PathSampling, PathSpace, View};
use crate::statistics::{PathLength, path_length};

/// Length of a step.
const EPSILON: f64 = 1e-4;
/// Paths at once; the published tool takes two.
const AT_ONCE: usize = 2;

/// Who walks, where, and who looks.
pub(super) struct Walk<'a> {
    /// The generator.
    pub generator: &'a Generator,
    /// How images are told apart.
    pub perception: &'a dyn Perception,
    /// Whose labels a conditional generator takes.
    pub reals: &'a dyn Images,
    /// Along which paths.
    pub path: Path,
}

impl Walk<'_> {
    /// Measures `count` paths, drawn from `seed`.
    ///
    /// # Errors
    /// What the networks return.
    pub fn measure(&self, count: usize, seed: u32, listener: &mut Listener<'_>) -> Result<PathLength> {
        let mut sampler = Sampler::new(self.generator, self.reals, seed);
        let mut lengths = Vec::with_capacity(count);
        listener.started(format!("walking {count} paths in latent space"));
        while lengths.len() < count {
            lengths.extend(self.steps(&mut sampler, AT_ONCE.min(count - lengths.len()))?);
            listener.progress(lengths.len(), count, "paths")?;
        }
        path_length(&lengths)
    }

    /// Squared distances after a step each, in units of squared steps.
    fn steps(&self, sampler: &mut Sampler<'_>, count: usize) -> Result<Vec<f64>> {
        let at = match self.path.sampling {
            PathSampling::Full => sampler.uniform(count),
            PathSampling::End => vec![0.0; count],
        };
        let next: Vec<f64> = at.iter().map(|t| t + EPSILON).collect();
        let (from, to) = (sampler.z(count)?, sampler.z(count)?);
        let labels = sampler.labels(count)?;
        let ws = self.ends((&from, &to), labels.as_ref(), [&at, &next])?;
        // Both ends see the same noise, and so do all paths of a batch.
        let images = self.generator.render(&ws, &sampler.noise(1)?)?;
        let images = seen(&images, self.path.view)?.affine(127.5, 127.5)?;
        let squares = distances(self.perception, &images.narrow(0, 0, count)?, &images.narrow(0, count, count)?)?;
        Ok(squares.into_iter().map(|square| square / (EPSILON * EPSILON)).collect())
    }

    /// Latents of the beginnings and ends of all steps, `[2·count, num_ws, w_dim]`.
    fn ends(&self, (from, to): (&Z, &Z), labels: Option<&Tensor>, at: [&[f64]; 2]) -> Result<WPlus> {
        let map = |z: &Z| self.generator.map(z, labels);
        let [begin, end] = match self.path.space {
            PathSpace::Z => [map(&from.slerp(to, at[0])?)?, map(&from.slerp(to, at[1])?)?],
            PathSpace::W => {
                let (from, to) = (map(from)?, map(to)?);
                [between(&from, &to, at[0])?, between(&from, &to, at[1])?]
            }
        };
        let config = self.generator.config();
        Ok(W::new(Tensor::cat(&[begin.tensor(), end.tensor()], 0)?, config.w_dim)?.broadcast(config.num_ws())?)
    }
}

/// Points on straight lines.
fn between(from: &W, to: &W, t: &[f64]) -> Result<W> {
    let (from, to) = (from.tensor(), to.tensor());
    let t: Vec<f32> = t.iter().map(|t| *t as f32).collect();
    let t = Tensor::from_vec(t, (from.dim(0)?, 1), from.device())?;
    Ok(W::new((from + (to - from)?.broadcast_mul(&t)?)?, from.dim(1)?)?)
}

/// The part of images that is looked at.
fn seen(images: &Tensor, view: View) -> Result<Tensor> {
    let eighth = images.dim(2)? / 8;
    Ok(match view {
        View::Whole => images.clone(),
        View::Face if eighth == 0 => images.clone(),
        View::Face => images.narrow(2, 3 * eighth, 4 * eighth)?.narrow(3, 2 * eighth, 4 * eighth)?.contiguous()?,
    })
}
