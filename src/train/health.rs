//! What goes wrong with a training, told from its numbers, with advice.

use crate::train::fit::NOT_FINITE;
use crate::train::tally::Tally;

/// An illness of a training.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Illness {
    /// Losses are not numbers any more.
    NotANumber,
    /// Some gradients were not finite and were replaced.
    Exploding,
    /// The discriminator tells all images apart, and the generator learns nothing any more.
    DiscriminatorWins,
    /// The augmentation probability is so high that augmentations leak into generated images.
    AugmentationRunsAway,
    /// All generated images look alike.
    Collapse,
}

impl Illness {
    /// What it is and what to do about it.
    pub fn advice(self) -> &'static str {
        match self {
            Illness::NotANumber => {
                "a loss is not a number any more: the networks are lost. Go on from an older snapshot with a smaller --lr \
                 or a larger --gamma"
            }
            Illness::Exploding => {
                "some gradients were not finite and were replaced. If this goes on, use a smaller --lr or a larger --gamma"
            }
            Illness::DiscriminatorWins => {
                "the discriminator is sure of every image and the generator no longer learns from it: use a larger --gamma, \
                 more augmentation (--aug ada, --target), or freeze fewer layers"
            }
            Illness::AugmentationRunsAway => {
                "the augmentation probability is above 0.8, where augmentations show in generated images: the set is too \
                 small for so long a training. Take an earlier snapshot, a higher --target, or gather more images"
            }
            Illness::Collapse => {
                "generated images look alike: the generator has collapsed. Take an earlier snapshot and use a larger --gamma \
                 or a smaller --lr"
            }
        }
    }
}

/// Probability above which augmentations leak (Karras et al. 2020, "Training Generative Adversarial Networks with Limited
/// Data", section 2.2).
const LEAKING: f32 = 0.8;
/// Mean sign of the discriminator's output at which it is sure of all images.
const SURE: f64 = 0.99;
/// Loss of the generator that no longer learns: it is judged wrong with a probability of 1 − 1e-6.
const HOPELESS: f64 = 14.0;

/// Diagnoses the numbers of a tick; `p` is the augmentation probability when it follows the discriminator.
pub fn diagnose(tally: &Tally, p: Option<f32>) -> Vec<Illness> {
    let mean = |name: &str| tally.mean(name);
    let mut found = Vec::new();
    let losses = ["Loss/G/loss", "Loss/D/loss", "Loss/G/reg", "Loss/D/reg"];
    if losses.iter().any(|name| mean(name).is_some_and(|loss| !loss.is_finite())) {
        found.push(Illness::NotANumber);
    } else if mean(NOT_FINITE).is_some_and(|count| count > 0.0) {
        found.push(Illness::Exploding);
    }
    let sure = mean("Loss/signs/real").is_some_and(|sign| sign > SURE);
    if sure && mean("Loss/G/loss").is_some_and(|loss| loss > HOPELESS) {
        found.push(Illness::DiscriminatorWins);
    }
    if p.is_some_and(|p| p > LEAKING) {
        found.push(Illness::AugmentationRunsAway);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(numbers: &[(&str, f64)], p: Option<f32>, expected: &[Illness]) {
        let mut tally = Tally::default();
        numbers.iter().for_each(|(name, value)| tally.add(name, *value));
        assert_eq!(diagnose(&tally, p), expected, "{numbers:?} {p:?}");
    }

    #[test]
    fn each_illness_is_named_and_a_healthy_training_has_none() {
        check(&[("Loss/G/loss", 0.9), ("Loss/signs/real", 0.6), (NOT_FINITE, 0.0)], Some(0.3), &[]);
        check(&[("Loss/D/loss", f64::NAN), (NOT_FINITE, 9.0)], None, &[Illness::NotANumber]);
        check(&[("Loss/D/loss", 1.0), (NOT_FINITE, 0.5)], None, &[Illness::Exploding]);
        check(&[("Loss/G/loss", 20.0), ("Loss/signs/real", 1.0)], None, &[Illness::DiscriminatorWins]);
        check(&[("Loss/G/loss", 2.0), ("Loss/signs/real", 1.0)], None, &[]);
        check(&[], Some(0.9), &[Illness::AugmentationRunsAway]);
    }
}
