//! Which phases a step consists of, and what lazy regularisation does to the optimiser. Nothing here but arithmetic.

use toonify_networks::optim::AdamConfig;

/// A part of a step after which one network is moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Phase<K> {
    /// What is computed.
    pub kind: K,
    /// Which network moves, an index into those of the recipe.
    pub player: usize,
    /// The phase takes place every so many steps, in step 0 for the first time.
    pub interval: u64,
}

/// The phases of a training in their order within a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule<K>(Vec<Phase<K>>);

impl<K: Copy> Schedule<K> {
    /// Takes the phases in their order; an interval of 0 counts as 1.
    pub fn new(phases: Vec<Phase<K>>) -> Self {
        let at_least_1 = |phase: Phase<K>| Phase { interval: phase.interval.max(1), ..phase };
        Schedule(phases.into_iter().map(at_least_1).collect())
    }

    /// The phases of step `step`, counted from 0.
    pub fn at(&self, step: u64) -> Vec<Phase<K>> {
        self.0.iter().filter(|phase| step.is_multiple_of(phase.interval)).copied().collect()
    }
}

/// Adam for a network that takes part in a regularisation phase every `interval` steps, beside its main phase.
///
/// The optimiser then moves (interval + 1) / interval times a step, so learning rate and memory are shortened in
/// proportion (Karras et al. 2020, "Analyzing and Improving the Image Quality of StyleGAN", appendix B).
pub fn lazily(config: AdamConfig, learning_rate: f64, interval: Option<u64>) -> (AdamConfig, f64) {
    let Some(interval) = interval else { return (config, learning_rate) };
    let ratio = interval as f64 / (interval + 1) as f64;
    let betas = (config.betas.0.powf(ratio), config.betas.1.powf(ratio));
    (AdamConfig { betas, ..config }, learning_rate * ratio)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Kind {
        G,
        Path,
        D,
        R1,
    }

    #[test]
    fn regularisation_comes_at_its_interval_and_in_its_place() {
        use Kind::{D, G, Path, R1};
        let phase = |kind, player, interval| Phase { kind, player, interval };
        let schedule = Schedule::new(vec![phase(G, 0, 1), phase(Path, 0, 4), phase(D, 1, 0), phase(R1, 1, 16)]);
        let check = |step, expected: &[Kind]| {
            let kinds: Vec<Kind> = schedule.at(step).iter().map(|phase| phase.kind).collect();
            assert_eq!(kinds, expected, "step {step}");
        };
        check(0, &[G, Path, D, R1]);
        check(1, &[G, D]);
        check(4, &[G, Path, D]);
        check(15, &[G, D]);
        check(16, &[G, Path, D, R1]);
        check(20, &[G, Path, D]);
        check(u64::MAX, &[G, D]);
    }

    #[test]
    fn adam_is_shortened_in_proportion() {
        let published = AdamConfig { betas: (0.0, 0.99), eps: 1e-8 };
        let check = |interval, learning_rate: f64, beta2: f64| {
            let (config, rate) = lazily(published, 0.0025, interval);
            assert!(
                (rate - learning_rate).abs() < 1e-15 && (config.betas.1 - beta2).abs() < 1e-15,
                "{config:?} {rate}"
            );
            assert_eq!((config.betas.0, config.eps), (0.0, 1e-8));
        };
        check(None, 0.0025, 0.99);
        check(Some(4), 0.002, 0.991_991_967_822_865_7);
        check(Some(16), 0.002_352_941_176_470_588, 0.990_585_457_307_433_2);
    }
}
