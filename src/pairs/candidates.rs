//! The latents of pairs: a function of their index, so that any run, whenever it stops, makes the same.

use anyhow::Result;
use candle_core::{Device, Tensor};
use toonify_networks::latent::{Truncation, WPlus, Z};
use toonify_networks::random::RandomState;
use toonify_networks::stylegan2::Generator;

use super::{DrawPlan, read_projected};

/// Every so many candidates one is a projected photo, where there are any.
const PROJECTED_EVERY: u64 = 4;
/// How far a projected photo is moved towards a random face, at most, so that no two pairs are equal.
const LARGEST_STEP: f64 = 0.3;

/// Latents by index.
pub(super) struct Candidates<'a> {
    draw: &'a DrawPlan,
    generator: &'a Generator,
    projected: Vec<WPlus>,
}

impl<'a> Candidates<'a> {
    pub fn open(draw: &'a DrawPlan, generator: &'a Generator) -> Result<Self> {
        let mut projected = Vec::new();
        for ws in read_projected(&draw.projected, generator)? {
            for index in 0..ws.len() {
                projected.push(ws.narrow(index, 1)?);
            }
        }
        Ok(Candidates { draw, generator, projected })
    }

    /// The latents `first .. first + count`.
    pub fn latents(&self, first: u64, count: u64) -> Result<WPlus> {
        let config = self.generator.config();
        let all = (first..first + count).map(|index| self.latent(index)).collect::<Result<Vec<_>>>()?;
        let tensors: Vec<&Tensor> = all.iter().map(WPlus::tensor).collect();
        Ok(WPlus::new(Tensor::cat(&tensors, 0)?, config.num_ws(), config.w_dim)?)
    }

    fn latent(&self, index: u64) -> Result<WPlus> {
        let mut rng = RandomState::new(self.draw.seed.wrapping_add(index as u32));
        let num_ws = self.generator.config().num_ws();
        let mut ws = self.random(&mut rng)?;
        if rng.uniform() < self.draw.mixing {
            let other = self.random(&mut rng)?;
            let cut = 1 + rng.below(num_ws as u64 - 1) as usize;
            let parts = [ws.tensor().narrow(1, 0, cut)?, other.tensor().narrow(1, cut, num_ws - cut)?];
            ws = WPlus::new(Tensor::cat(&parts, 1)?, num_ws, self.generator.config().w_dim)?;
        }
        if self.projected.is_empty() || !index.is_multiple_of(PROJECTED_EVERY) {
            return Ok(ws);
        }
        let photo = &self.projected[(index / PROJECTED_EVERY) as usize % self.projected.len()];
        let share = rng.uniform() * LARGEST_STEP;
        let moved = ((photo.tensor() * (1.0 - share))? + (ws.tensor() * share)?)?;
        Ok(WPlus::new(moved, num_ws, self.generator.config().w_dim)?)
    }

    /// A face at a truncation of its own.
    fn random(&self, rng: &mut RandomState) -> Result<WPlus> {
        let config = self.generator.config();
        let z: Vec<f32> = (0..config.z_dim).map(|_| rng.gauss() as f32).collect();
        let z = Z::new(Tensor::from_vec(z, (1, config.z_dim), &Device::Cpu)?, config.z_dim)?;
        let (low, high) = self.draw.truncation;
        let truncation = Truncation { psi: low + (high - low) * rng.uniform(), cutoff: None };
        let w = self.generator.map(&z, None)?.broadcast(config.num_ws())?;
        Ok(w.truncate(self.generator.w_avg(), &truncation)?)
    }
}
