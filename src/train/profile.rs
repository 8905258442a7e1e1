//! Where the time of a step goes.

use std::time::{Duration, Instant};

use serde::Serialize;

/// Parts of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Reading images.
    Data,
    /// Networks, losses and their gradients.
    Networks,
    /// Augmenting images; it happens within [`Part::Networks`], from which it is taken out.
    Augmentation,
    /// Cleaning gradients up and moving weights.
    Optimiser,
    /// Moving the averaged generator.
    Average,
    /// Writing down what happened.
    Logging,
    /// Pictures and snapshots, and what is done with them at once, such as measuring; it happens within [`Part::Logging`],
    /// from which it is taken out. How often it comes is up to the user, so it is no part of the loop.
    Snapshots,
}

const PARTS: [(Part, &str); 7] = [
    (Part::Data, "data"),
    (Part::Networks, "networks"),
    (Part::Augmentation, "augmentation"),
    (Part::Optimiser, "optimiser"),
    (Part::Average, "average"),
    (Part::Logging, "logging"),
    (Part::Snapshots, "snapshots"),
];

/// Time spent in each part.
#[derive(Clone, Debug, Default)]
pub struct Profile {
    spent: [Duration; PARTS.len()],
}

/// One row of a finished profile.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Share {
    /// The part.
    pub part: &'static str,
    /// Time spent in it.
    pub seconds: f64,
    /// Of all time.
    pub share: f64,
}

impl Profile {
    /// Runs `work` on the account of `part`.
    pub fn time<T>(&mut self, part: Part, work: impl FnOnce() -> T) -> T {
        let started = Instant::now();
        let result = work();
        self.add(part, started.elapsed());
        result
    }

    /// Puts time on the account of `part`.
    pub fn add(&mut self, part: Part, time: Duration) {
        self.spent[part as usize] += time;
    }

    /// Every part with its share of the whole.
    pub fn shares(&self) -> Vec<Share> {
        let of = |part: Part| {
            let all = self.spent[part as usize];
            let within = match part {
                Part::Networks => self.spent[Part::Augmentation as usize],
                Part::Logging => self.spent[Part::Snapshots as usize],
                _ => Duration::ZERO,
            };
            all.saturating_sub(within).as_secs_f64()
        };
        let total: f64 = PARTS.iter().map(|(part, _)| of(*part)).sum();
        let row = |(part, name): &(Part, &'static str)| {
            let seconds = of(*part);
            Share { part: name, seconds, share: if total > 0.0 { seconds / total } else { 0.0 } }
        };
        PARTS.iter().map(row).collect()
    }

    /// The share of the loop itself in the steps: everything but the networks, without snapshots.
    pub fn overhead(&self) -> f64 {
        let seconds = |parts: &[&str]| -> f64 {
            let shares = self.shares().into_iter();
            shares.filter(|share| !parts.contains(&share.part)).map(|share| share.seconds).sum()
        };
        let steps = seconds(&["snapshots"]);
        if steps > 0.0 { seconds(&["snapshots", "networks"]) / steps } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_sum_to_one_and_augmentation_is_taken_out_of_the_networks() {
        let mut profile = Profile::default();
        profile.add(Part::Networks, Duration::from_secs(8));
        profile.add(Part::Augmentation, Duration::from_secs(1));
        profile.add(Part::Data, Duration::from_secs(2));
        let shares = profile.shares();
        assert_eq!(shares[1], Share { part: "networks", seconds: 7.0, share: 0.7 });
        assert!((shares.iter().map(|share| share.share).sum::<f64>() - 1.0).abs() < 1e-12);
        assert!((profile.overhead() - 0.3).abs() < 1e-12);
        assert_eq!(Profile::default().overhead(), 0.0);
        profile.add(Part::Logging, Duration::from_secs(5));
        profile.add(Part::Snapshots, Duration::from_secs(5));
        assert_eq!((profile.shares()[5].seconds, profile.shares()[6].seconds), (0.0, 5.0));
        assert!((profile.overhead() - 0.3).abs() < 1e-12, "snapshots are no part of the loop");
    }

    #[test]
    fn time_is_put_on_the_right_account() {
        let mut profile = Profile::default();
        assert_eq!(profile.time(Part::Optimiser, || 7), 7);
        let spent: Vec<bool> = profile.spent.iter().map(|time| !time.is_zero()).collect();
        assert_eq!(spent, [false, false, false, true, false, false, false]);
    }
}
