//! Fréchet distance of features, each set taken for a normal distribution (Heusel et al. 2017, "GANs Trained by a Two
//! Time-Scale Update Rule Converge to a Local Nash Equilibrium", equation 6).
//!
//! The trace of √(A·B) is that of √(√A·B·√A), which is symmetric: its eigenvalues are real, and none is negative but by
//! rounding. A general matrix root, which the published code uses, fails where features are fewer than their length.

use anyhow::{Result, anyhow, ensure};
use faer::{Mat, Side};
use ndarray::{Array1, Array2, ArrayView2, Axis};

use crate::statistics::gram::product;

/// Sums over features that arrive in batches.
#[derive(Clone, Debug)]
pub struct Moments {
    count: usize,
    sum: Array1<f64>,
    /// Σ x·xᵀ
    outer: Array2<f64>,
}

impl Moments {
    /// Begins with no features of length `length`.
    pub fn new(length: usize) -> Moments {
        Moments { count: 0, sum: Array1::zeros(length), outer: Array2::zeros((length, length)) }
    }

    /// Adds the rows of `features` `[N, F]`.
    ///
    /// # Panics
    /// When their length is not that of the others.
    pub fn add(&mut self, features: ArrayView2<'_, f32>) {
        let features = features.mapv(f64::from);
        self.count += features.nrows();
        self.sum += &features.sum_axis(Axis(0));
        self.outer += &product(features.t(), features.view());
    }

    /// Mean and population covariance of all features so far.
    ///
    /// # Errors
    /// When there are none.
    pub fn gaussian(&self) -> Result<Gaussian> {
        ensure!(self.count > 0, "a distribution needs at least one image");
        let n = self.count as f64;
        let mean = &self.sum / n;
        let column = mean.view().insert_axis(Axis(1));
        let covariance = &self.outer / n - column.dot(&column.t());
        Ok(Gaussian { count: self.count, mean, covariance })
    }
}

/// Features as a normal distribution.
#[derive(Clone, Debug)]
pub struct Gaussian {
    /// How many features it was made of.
    pub count: usize,
    /// Mean, `[F]`.
    pub mean: Array1<f64>,
    /// Population covariance, `[F, F]`.
    pub covariance: Array2<f64>,
}

/// A normal distribution with a root of its covariance, against which others can be measured quickly.
#[derive(Clone, Debug)]
pub struct FeatureRoot {
    /// The distribution.
    pub gaussian: Gaussian,
    /// A matrix R with R·Rᵀ = covariance, `[F, F]`.
    pub root: Array2<f64>,
}

impl FeatureRoot {
    /// Takes the root of a distribution's covariance.
    ///
    /// # Errors
    /// When a number of it is not finite.
    pub fn new(gaussian: Gaussian) -> Result<FeatureRoot> {
        let eigen = matrix(&gaussian.covariance)?.self_adjoint_eigen(Side::Lower).map_err(unsolved)?;
        let root = |(row, column)| eigen.U()[(row, column)] * eigen.S()[column].max(0.0).sqrt();
        Ok(FeatureRoot { root: Array2::from_shape_fn(gaussian.covariance.dim(), root), gaussian })
    }
}

/// |m₁ − m₂|² + tr(C₁ + C₂ − 2·√(C₁·C₂)).
///
/// # Errors
/// When the features have different lengths, or one of them is not a number.
pub fn frechet_distance(a: &FeatureRoot, b: &Gaussian) -> Result<f64> {
    let (mean, covariance) = (&a.gaussian.mean, &a.gaussian.covariance);
    ensure!(mean.len() == b.mean.len(), "features of lengths {} and {} cannot be compared", mean.len(), b.mean.len());
    let between: f64 = (mean - &b.mean).mapv(|x| x * x).sum();
    let product = product(a.root.t(), product(b.covariance.view(), a.root.view()).view());
    // Rounding leaves the product slightly asymmetric.
    let symmetric = (&product + &product.t()) / 2.0;
    let values = matrix(&symmetric)?.self_adjoint_eigenvalues(Side::Lower).map_err(unsolved)?;
    let roots: f64 = values.iter().map(|value| value.max(0.0).sqrt()).sum();
    Ok(between + covariance.diag().sum() + b.covariance.diag().sum() - 2.0 * roots)
}

fn matrix(array: &Array2<f64>) -> Result<Mat<f64>> {
    ensure!(array.iter().all(|x| x.is_finite()), "a feature is not a finite number");
    Ok(Mat::from_fn(array.nrows(), array.ncols(), |row, column| array[[row, column]]))
}

fn unsolved(error: impl std::fmt::Debug) -> anyhow::Error {
    anyhow!("the eigenvalues of a covariance were not found ({error:?})")
}

#[cfg(test)]
mod tests {
    use super::*;
    use toonify_networks::random::RandomState;

    fn features(rows: usize, seed: u32) -> Array2<f32> {
        let drawn = RandomState::new(seed).gauss_vec(rows * 5);
        Array2::from_shape_vec((rows, 5), drawn.into_iter().map(|x| x as f32).collect()).unwrap()
    }

    fn gaussian(features: &Array2<f32>) -> Gaussian {
        let mut moments = Moments::new(features.ncols());
        moments.add(features.view());
        moments.gaussian().unwrap()
    }

    #[test]
    fn batches_do_not_matter() {
        let all = features(20, 1);
        let mut parts = Moments::new(5);
        all.axis_chunks_iter(Axis(0), 7).for_each(|part| parts.add(part));
        let (whole, parts) = (gaussian(&all), parts.gaussian().unwrap());
        assert_eq!(parts.count, 20);
        assert!((&whole.mean - &parts.mean).iter().all(|x| x.abs() < 1e-12));
        assert!((&whole.covariance - &parts.covariance).iter().all(|x| x.abs() < 1e-12));
    }

    #[test]
    fn a_distribution_is_at_no_distance_from_itself() {
        // Three features of length five: the covariance has no inverse.
        for rows in [40, 3] {
            let one = gaussian(&features(rows, 2));
            let distance = frechet_distance(&FeatureRoot::new(one.clone()).unwrap(), &one).unwrap();
            assert!(distance.abs() < 1e-7, "{distance}");
        }
    }

    #[test]
    fn moving_and_stretching_give_the_distance_of_the_formula() {
        // Of x and s·x + m the distance is |m̄₂ − m̄₁|² + (s − 1)²·tr C.
        let one = features(60, 3);
        let (a, b) = (gaussian(&one), gaussian(&one.mapv(|x| 3.0 * x + 0.5)));
        let moved: f64 = (&a.mean - &b.mean).mapv(|x| x * x).sum();
        let expected = moved + 4.0 * a.covariance.diag().sum();
        let root = |gaussian: &Gaussian| FeatureRoot::new(gaussian.clone()).unwrap();
        let both = [frechet_distance(&root(&a), &b), frechet_distance(&root(&b), &a)];
        for distance in both.map(Result::unwrap) {
            assert!((distance / expected - 1.0).abs() < 1e-6, "{distance} instead of {expected}");
        }
    }

    #[test]
    fn few_images_with_many_features_have_a_distance() {
        // A third of the features is always 0, as after a ReLU, and there are far fewer images than features.
        let of = |rows: usize, seed| {
            let drawn = RandomState::new(seed).gauss_vec(rows * 300);
            let value = |(row, column)| if column % 3 == 0 { 0.0 } else { 3.0 * drawn[row * 300 + column] as f32 };
            gaussian(&Array2::from_shape_fn((rows, 300), value))
        };
        let (a, b) = (of(60, 1), of(30, 2));
        let distance = frechet_distance(&FeatureRoot::new(a.clone()).unwrap(), &b).unwrap();
        let back = frechet_distance(&FeatureRoot::new(b).unwrap(), &a).unwrap();
        // Rounding leaves about 1e-10 where eigenvalues are 0, and so 1e-5 for each of their roots.
        assert!(distance > 100.0 && (distance / back - 1.0).abs() < 1e-5, "{distance} {back}");
    }

    #[test]
    fn what_cannot_be_compared_is_refused() {
        let one = FeatureRoot::new(gaussian(&features(9, 4))).unwrap();
        let mut other = gaussian(&features(9, 5));
        other.covariance[[1, 2]] = f64::NAN;
        assert!(frechet_distance(&one, &other).is_err());
        assert!(frechet_distance(&one, &gaussian(&Array2::zeros((2, 4)))).is_err());
        assert!(Moments::new(4).gaussian().is_err());
    }
}
