//! An endless order of images: shuffled at first, then kept in slow motion, so that no two rounds are alike. The published
//! training loop draws its images so (`InfiniteSampler`); of several processes, the r-th of n takes `skip(r).step_by(n)`.

use toonify_networks::random::RandomState;

/// Indices of images, without end.
#[derive(Clone)]
pub struct Sampler {
    order: Vec<usize>,
    window: usize,
    position: usize,
    random: RandomState,
}

impl Sampler {
    /// The order of `count` images for `seed`.
    ///
    /// # Panics
    /// When there is no image.
    pub fn new(count: usize, seed: u32) -> Sampler {
        assert!(count > 0, "an order of no images");
        let mut random = RandomState::new(seed);
        let mut order: Vec<usize> = (0..count).collect();
        random.shuffle(&mut order);
        let window = (count as f64 * 0.5).round_ties_even() as usize;
        Sampler { order, window, position: 0, random }
    }
}

impl Iterator for Sampler {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        let count = self.order.len();
        let here = self.position % count;
        let index = self.order[here];
        if self.window >= 2 {
            // The image that was just seen changes places with one from the half round before it.
            let back = self.random.below(self.window as u64) as usize;
            self.order.swap(here, (here + count - back) % count);
        }
        self.position += 1;
        Some(index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_image_comes_and_no_two_rounds_are_alike() {
        let drawn: Vec<usize> = Sampler::new(20, 1).take(100).collect();
        assert!((0..20).all(|index| drawn.contains(&index)));
        assert_ne!(drawn[..20], drawn[20..40]);
        assert_eq!(drawn, Sampler::new(20, 1).take(100).collect::<Vec<_>>());
        assert_ne!(drawn, Sampler::new(20, 2).take(100).collect::<Vec<_>>());
    }

    #[test]
    fn one_image_and_two_images_are_enough() {
        assert_eq!(Sampler::new(1, 0).take(3).collect::<Vec<_>>(), [0, 0, 0]);
        assert_eq!(Sampler::new(2, 3).take(4).collect::<Vec<_>>(), [1, 0, 1, 0]);
    }
}
