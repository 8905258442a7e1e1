//! Sliced Wasserstein distance of small patches at every scale (Karras et al. 2018, "Progressive Growing of GANs for
//! Improved Quality, Stability, and Variation", section 5 and appendix). It needs no network.
//!
//! Coarse scales say whether the large structures are right, fine ones whether textures are. As published, distances
//! are times 1000.

mod patches;
mod pyramid;

use anyhow::{Result, ensure};
use ndarray::{Array2, ArrayView2};
use rayon::prelude::*;
use serde::Serialize;
use toonify_networks::random::RandomState;

use patches::Level;
pub use patches::{PatchPlan, Patches};

/// What the measure says.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct WassersteinDistance {
    /// Side of the images of each scale, finest first, and the distance there, times 1000.
    pub levels: Vec<(usize, f64)>,
    /// Mean over the scales.
    pub mean: f64,
}

/// Random directions along which distributions are compared.
const DIRECTIONS: usize = 512;
/// Directions of one task: enough for a matrix product, few enough for the memory.
const AT_ONCE: usize = 8;

/// Compares patches of equally many images of one size along directions drawn from `seed`.
///
/// # Errors
/// When the two differ in number, size or channels of their images, or there are none.
pub fn sliced_wasserstein(a: &Patches, b: &Patches, seed: u32) -> Result<WassersteinDistance> {
    ensure!(a.images() > 0, "a distance needs at least one image");
    ensure!(a.is_like(b), "sets of {} and of {} cannot be compared", a.describe(), b.describe());
    let directions = Directions::draw(a.values_in_a_patch(), seed);
    let of_level = |(a, b): (&Level, &Level)| (a.px, 1e3 * directions.distance(a, b));
    let levels: Vec<(usize, f64)> = a.levels().iter().zip(b.levels()).map(of_level).collect();
    let mean = levels.iter().map(|(_, distance)| distance).sum::<f64>() / levels.len() as f64;
    Ok(WassersteinDistance { levels, mean })
}

/// Unit vectors in the space of patches, one a column.
struct Directions(Array2<f64>);

impl Directions {
    /// NumPy's `RandomState(seed).randn(length, DIRECTIONS)`, columns brought to length 1.
    fn draw(length: usize, seed: u32) -> Directions {
        let drawn = RandomState::new(seed).gauss_vec(length * DIRECTIONS);
        let mut columns = Array2::from_shape_vec((length, DIRECTIONS), drawn).expect("as many numbers as were drawn");
        for mut column in columns.columns_mut() {
            let norm = column.dot(&column).sqrt();
            column /= norm;
        }
        Directions(columns)
    }

    /// Mean distance of the sorted projections, over all directions.
    fn distance(&self, a: &Level, b: &Level) -> f64 {
        let blocks: Vec<_> = self.0.axis_chunks_iter(ndarray::Axis(1), AT_ONCE).collect();
        let of_block = |block: ArrayView2<'_, f64>| {
            let (a, b) = (sorted_projections(a, block), sorted_projections(b, block));
            a.iter().zip(&b).map(|(a, b)| mean_difference(a, b)).sum::<f64>()
        };
        let sums: Vec<f64> = blocks.into_par_iter().map(of_block).collect();
        sums.iter().sum::<f64>() / DIRECTIONS as f64
    }
}

/// Patches of one product.
const ROWS: usize = 1024;

/// Projections of all patches, their channels normalised, on each direction, in ascending order.
fn sorted_projections(level: &Level, directions: ArrayView2<'_, f64>) -> Vec<Vec<f32>> {
    let (weights, offsets) = level.normalising(directions);
    let mut projections = vec![Vec::with_capacity(level.count()); directions.ncols()];
    for rows in level.blocks(ROWS) {
        let rows = rows.mapv(f32::from);
        for (projection, (column, offset)) in
            projections.iter_mut().zip(rows.dot(&weights).columns().into_iter().zip(&offsets))
        {
            projection.extend(column.iter().map(|value| value - offset));
        }
    }
    projections.iter_mut().for_each(sort);
    projections
}

/// Sorts finite numbers by way of integers, which sort faster.
fn sort(numbers: &mut Vec<f32>) {
    const SIGN: u32 = 1 << 31;
    let ordered = |bits: u32| if bits & SIGN == 0 { bits | SIGN } else { !bits };
    let back = |key: u32| if key & SIGN == 0 { !key } else { key & !SIGN };
    let mut keys: Vec<u32> = numbers.iter().map(|number| ordered(number.to_bits())).collect();
    keys.sort_unstable();
    numbers.clear();
    numbers.extend(keys.into_iter().map(|key| f32::from_bits(back(key))));
}

fn mean_difference(a: &[f32], b: &[f32]) -> f64 {
    let sum: f64 = a.iter().zip(b).map(|(a, b)| f64::from((a - b).abs())).sum();
    sum / a.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pictures(count: usize, px: usize, seed: u32) -> Vec<Vec<u8>> {
        let mut rng = RandomState::new(seed);
        (0..count).map(|_| (0..px * px * 3).map(|_| rng.below(256) as u8).collect()).collect()
    }

    fn patches(pictures: &[Vec<u8>], px: usize, seed: u32) -> Patches {
        let mut patches = Patches::new(px, 3, PatchPlan::published(seed)).unwrap();
        pictures.chunks(3).for_each(|batch| patches.add(batch));
        patches
    }

    #[test]
    fn sorting_is_sorting() {
        let mut numbers: Vec<f32> = RandomState::new(1).gauss_vec(999).into_iter().map(|x| x as f32).collect();
        numbers.extend([0.0, -0.0, 1e-40, -3e38]);
        let mut expected = numbers.clone();
        expected.sort_by(f32::total_cmp);
        sort(&mut numbers);
        assert_eq!(numbers, expected);
    }

    #[test]
    fn a_set_is_at_no_distance_from_itself_and_near_another_of_its_kind() {
        let one = pictures(30, 32, 1);
        let of =
            |other: &[Vec<u8>], seed| sliced_wasserstein(&patches(&one, 32, 1), &patches(other, 32, seed), 0).unwrap();
        assert_eq!(of(&one, 1).mean, 0.0);
        let alike = of(&pictures(30, 32, 2), 2);
        // Gray, and a grain that is four times as coarse.
        let coarse =
            |picture: &Vec<u8>| (0..32 * 32 * 3).map(|i| picture[i / 3 / 128 * 384 + i / 3 % 32 / 4 * 3]).collect();
        let unlike = of(&one.iter().map(coarse).collect::<Vec<_>>(), 2);
        assert_eq!(alike.levels.iter().map(|(px, _)| *px).collect::<Vec<_>>(), [32, 16]);
        assert!(alike.mean > 0.0 && unlike.mean > 3.0 * alike.mean, "{alike:?} {unlike:?}");
    }

    #[test]
    fn brightness_and_contrast_of_a_whole_set_do_not_count() {
        let one = pictures(4, 16, 3);
        let pale: Vec<Vec<u8>> = one.iter().map(|picture| picture.iter().map(|byte| byte / 2 + 64).collect()).collect();
        let distance = sliced_wasserstein(&patches(&one, 16, 1), &patches(&pale, 16, 1), 0).unwrap();
        assert!(distance.mean < 10.0, "{distance:?}");
    }

    #[test]
    fn sets_of_other_sizes_are_refused() {
        let one = patches(&pictures(4, 16, 1), 16, 1);
        for other in [patches(&pictures(3, 16, 1), 16, 1), patches(&pictures(4, 32, 1), 32, 1)] {
            assert!(sliced_wasserstein(&one, &other, 0).is_err());
        }
        assert!(Patches::new(4, 3, PatchPlan::published(0)).is_err());
    }
}
