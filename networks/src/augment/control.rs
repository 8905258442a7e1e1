//! The probability of augmentation, and its control by how much the discriminator overfits.

use serde::{Deserialize, Serialize};

/// How the probability p is set.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Probability {
    /// No augmentation.
    None,
    /// The same p throughout.
    Fixed(f64),
    /// p follows the discriminator.
    Adaptive(Adaptive),
}

/// Adaptive discriminator augmentation: p grows while the discriminator is too sure of the training images (Karras et
/// al. 2020, section 3.1, with the overfitting heuristic r_t).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Adaptive {
    /// The mean sign of the discriminator's output for reals that is aimed at.
    pub target: f64,
    /// Steps between two changes of p.
    pub interval: usize,
    /// Thousands of images in which p could go from 0 to 1.
    pub speed_kimg: f64,
}

impl Adaptive {
    /// The published control: every 4 steps, 500 kimg from 0 to 1, target 0.6.
    pub const PUBLISHED: Adaptive = Adaptive { target: 0.6, interval: 4, speed_kimg: 500.0 };

    /// Whether p changes when so many steps are done.
    pub fn is_due(&self, steps: u64) -> bool {
        steps > 0 && steps.is_multiple_of(self.interval.max(1) as u64)
    }

    /// The next p, given the mean sign over all reals since the last change and the images of a step. There is no upper
    /// bound; without a mean (NaN) p stays. Rounded to single precision as the published buffer is.
    pub fn next(&self, p: f32, mean_sign: f64, batch_size: usize) -> f32 {
        let difference = mean_sign - self.target;
        if difference == 0.0 || difference.is_nan() {
            return p;
        }
        let step = (batch_size * self.interval) as f64 / (self.speed_kimg * 1000.0);
        (p + (difference.signum() * step) as f32).max(0.0)
    }
}

impl Probability {
    /// p before the first step.
    pub fn initial(&self) -> f32 {
        match self {
            Probability::Fixed(p) => *p as f32,
            Probability::None | Probability::Adaptive(_) => 0.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p_does_not_fall_below_zero_and_ignores_what_is_not_a_number() {
        assert_eq!(Adaptive::PUBLISHED.next(0.0, -1.0, 64), 0.0);
        assert_eq!(Adaptive::PUBLISHED.next(0.25, f64::NAN, 64), 0.25);
    }

    #[test]
    fn p_changes_after_every_fourth_step() {
        let due: Vec<u64> = (0..10).filter(|&steps| Adaptive::PUBLISHED.is_due(steps)).collect();
        assert_eq!(due, [4, 8]);
    }
}
