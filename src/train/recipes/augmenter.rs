//! Augmentation during a training: what is drawn for each batch, and how p follows the discriminator.

use anyhow::Result;
use candle_core::{DType, Tensor};
use serde::{Deserialize, Serialize};
use toonify_networks::augment::{AugmentSet, Augmentation, Chance, Probability};
use toonify_networks::draws::Draws;

/// Which transformations there are, and how their probability is set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AugmentSettings {
    /// The transformations.
    pub set: AugmentSet,
    /// Their probability p.
    pub probability: Probability,
}

impl AugmentSettings {
    /// Images as they are.
    pub const OFF: AugmentSettings = AugmentSettings { set: AugmentSet::NONE, probability: Probability::None };
}

/// What changes while a training goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AugmentState {
    /// The probability.
    pub p: f32,
    /// Sum of the signs that the discriminator gave to real images since p changed last.
    pub signs: f64,
    /// How many there were.
    pub count: u64,
}

/// Draws augmentations, and keeps p.
#[derive(Clone, Debug)]
pub struct Augmenter {
    settings: AugmentSettings,
    /// In place of p: the same percentile of every distribution.
    percentile: Option<f64>,
    /// What a snapshot keeps.
    pub state: AugmentState,
}

impl Augmenter {
    /// Starts with the p that the settings begin with.
    pub fn new(settings: AugmentSettings) -> Self {
        let state = AugmentState { p: settings.probability.initial(), ..AugmentState::default() };
        Augmenter { settings, percentile: None, state }
    }

    /// Applies every transformation at one percentile of its distribution: nothing is random then.
    pub fn at_percentile(set: AugmentSet, percentile: f64) -> Self {
        let settings = AugmentSettings { set, probability: Probability::Fixed(1.0) };
        Augmenter { percentile: Some(percentile), ..Augmenter::new(settings) }
    }

    /// The probability now.
    pub fn p(&self) -> f32 {
        self.state.p
    }

    /// Whether the probability follows the discriminator.
    pub fn follows(&self) -> bool {
        matches!(self.settings.probability, Probability::Adaptive(_))
    }

    /// Draws what happens to a batch like `images` `[N, C, H, W]`; `None` when images stay as they are.
    ///
    /// # Errors
    /// When the images cannot be augmented in this way: gray ones in colour, or too small ones.
    pub fn draw(&self, images: &Tensor, draws: &mut dyn Draws) -> Result<Option<Augmentation>> {
        let chance = match (self.percentile, self.settings.probability) {
            (Some(percentile), _) => Chance::Percentile(percentile),
            (None, Probability::None) => return Ok(None),
            (None, Probability::Fixed(p)) if p <= 0.0 => return Ok(None),
            (None, _) => Chance::Probability(f64::from(self.state.p)),
        };
        let (n, c, h, w) = images.dims4()?;
        Ok(Some(Augmentation::draw(&self.settings.set, chance, [n, c, h, w], draws)?))
    }

    /// Takes note of what the discriminator says about real images.
    ///
    /// # Errors
    /// Only when the tensor cannot be read.
    pub fn note(&mut self, signs: &Tensor) -> Result<()> {
        let signs = signs.to_dtype(DType::F64)?;
        self.state.signs += signs.sum_all()?.to_scalar::<f64>()?;
        self.state.count += signs.elem_count() as u64;
        Ok(())
    }

    /// Lets p follow when `steps` steps of `batch_size` images are done.
    pub fn follow(&mut self, steps: u64, batch_size: u64) {
        let Probability::Adaptive(adaptive) = self.settings.probability else { return };
        if adaptive.is_due(steps) {
            let mean = self.state.signs / self.state.count as f64;
            let p = adaptive.next(self.state.p, mean, batch_size as usize);
            self.state = AugmentState { p, ..AugmentState::default() };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;
    use toonify_networks::augment::Adaptive;

    #[test]
    fn p_rises_while_the_discriminator_is_sure_and_falls_afterwards() {
        let adaptive = Adaptive { target: 0.5, interval: 2, speed_kimg: 1.0 };
        let probability = Probability::Adaptive(adaptive);
        let mut augmenter = Augmenter::new(AugmentSettings { set: "bgc".parse().unwrap(), probability });
        let mut seen = Vec::new();
        for (step, signs) in [[1f32, 1.0], [1.0, 0.0], [-1.0, 1.0], [-1.0, 1.0]].iter().enumerate() {
            augmenter.note(&Tensor::new(signs, &Device::Cpu).unwrap()).unwrap();
            augmenter.follow(step as u64 + 1, 10);
            seen.push(augmenter.state.p);
        }
        assert_eq!(seen, [0.0, 0.02, 0.02, 0.0]);
        assert_eq!(augmenter.state.count, 0);
    }

    #[test]
    fn nothing_is_drawn_when_nothing_can_happen() {
        let images = Tensor::zeros((2, 3, 8, 8), DType::F32, &Device::Cpu).unwrap();
        let mut random = toonify_networks::random::RandomState::new(1);
        let set: AugmentSet = "bgc".parse().unwrap();
        for probability in [Probability::None, Probability::Fixed(0.0)] {
            let augmenter = Augmenter::new(AugmentSettings { set: set.clone(), probability });
            assert!(augmenter.draw(&images, &mut random).unwrap().is_none());
        }
        let half = Augmenter::new(AugmentSettings { set, probability: Probability::Fixed(0.5) });
        assert!(half.draw(&images, &mut random).unwrap().is_some());
    }
}
