//! Kernel inception distance: the squared maximum mean discrepancy of features under the kernel (x·y/F + 1)³, without
//! bias (Bińkowski et al. 2018, "Demystifying MMD GANs", section 4), averaged over random subsets.

use anyhow::{Result, ensure};
use ndarray::{Array2, ArrayView2, Axis};
use rayon::prelude::*;
use toonify_networks::random::RandomState;

use crate::statistics::gram::products;

/// The rows of both sets that are compared with each other, equally many of each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subset {
    /// Rows of the generated images' features.
    pub fake: Vec<usize>,
    /// Rows of the real images' features.
    pub real: Vec<usize>,
}

/// Draws subsets without replacement, generated rows first, as NumPy's `RandomState.choice` does.
pub fn subsets(count: usize, size: usize, (fakes, reals): (usize, usize), rng: &mut RandomState) -> Vec<Subset> {
    let size = size.min(fakes).min(reals);
    let mut choice = |rows: usize| {
        let mut order: Vec<usize> = (0..rows).collect();
        rng.shuffle(&mut order);
        order.truncate(size);
        order
    };
    (0..count).map(|_| Subset { fake: choice(fakes), real: choice(reals) }).collect()
}

/// The mean of the subsets' distances; features are `[N, F]`.
///
/// # Errors
/// When the features have different lengths, there is no subset, or one has fewer than two rows or unequally many.
pub fn kernel_distance(fake: ArrayView2<'_, f32>, real: ArrayView2<'_, f32>, subsets: &[Subset]) -> Result<f64> {
    let (length, other) = (fake.ncols(), real.ncols());
    ensure!(length == other, "features of lengths {length} and {other} cannot be compared");
    ensure!(!subsets.is_empty(), "a kernel distance needs at least one subset");
    let fits = |subset: &Subset| subset.fake.len() == subset.real.len() && subset.fake.len() >= 2;
    ensure!(subsets.iter().all(fits), "a kernel distance needs subsets of two images or more, equally many of each");
    let pick = |features: ArrayView2<'_, f32>, rows: &[usize]| features.select(Axis(0), rows).mapv(f64::from);
    let distances = subsets.par_iter().map(|subset| of_subset(&pick(fake, &subset.fake), &pick(real, &subset.real)));
    let distances: Vec<f64> = distances.collect();
    Ok(distances.iter().sum::<f64>() / subsets.len() as f64)
}

/// Unbiased estimate for as many rows of each.
fn of_subset(x: &Array2<f64>, y: &Array2<f64>) -> f64 {
    let n = x.nrows() as f64;
    let within = |rows: &Array2<f64>| {
        let kernel = kernel(rows, rows);
        (kernel.sum() - kernel.diag().sum()) / (n - 1.0)
    };
    (within(x) + within(y) - 2.0 * kernel(x, y).sum() / n) / n
}

fn kernel(x: &Array2<f64>, y: &Array2<f64>) -> Array2<f64> {
    let length = x.ncols() as f64;
    products(x.view(), y.view()).mapv_into(|product| (product / length + 1.0).powi(3))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn two_points_each_give_the_number_worked_out_by_hand() {
        // The kernel is 1 for x₁x₂, 1.5³ for y₁y₂, and 1, 1, 1.5³, 1.5³ between the sets.
        let (x, y) = (array![[0f32, 0.0], [1.0, 0.0]], array![[1f32, 1.0], [1.0, 0.0]]);
        let subset = Subset { fake: vec![0, 1], real: vec![0, 1] };
        let (xx, yy, xy) = (1.0, 1.5f64.powi(3), 1.0 + 1.0 + 2.0 * 1.5f64.powi(3));
        let expected = (2.0 * xx + 2.0 * yy - 2.0 * xy / 2.0) / 2.0;
        assert!((kernel_distance(x.view(), y.view(), &[subset]).unwrap() - expected).abs() < 1e-12);
    }

    #[test]
    fn subsets_have_no_row_twice_and_are_no_larger_than_the_sets() {
        for subset in subsets(5, 100, (40, 30), &mut RandomState::new(0)) {
            for (rows, count) in [(&subset.fake, 40), (&subset.real, 30)] {
                let mut sorted = rows.clone();
                sorted.sort_unstable();
                sorted.dedup();
                assert_eq!(sorted.len(), 30);
                assert!(sorted.iter().all(|row| *row < count));
            }
        }
    }

    #[test]
    fn what_cannot_be_compared_is_refused() {
        let (x, y) = (Array2::<f32>::zeros((3, 2)), Array2::<f32>::zeros((3, 4)));
        let pair = || Subset { fake: vec![0, 1], real: vec![0, 1] };
        assert!(kernel_distance(x.view(), y.view(), &[pair()]).is_err());
        assert!(kernel_distance(x.view(), x.view(), &[]).is_err());
        assert!(kernel_distance(x.view(), x.view(), &[Subset { fake: vec![0], real: vec![1] }]).is_err());
    }
}
