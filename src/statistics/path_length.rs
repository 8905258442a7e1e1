//! Perceptual path length: how much the image changes for a small step in latent space (Karras et al. 2019, "A
//! Style-Based Generator Architecture for Generative Adversarial Networks", section 4.1).

use anyhow::{Result, ensure};

/// Path lengths of many steps.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PathLength {
    /// Mean without outliers.
    pub mean: f64,
    /// Lowest length that counts.
    pub low: f64,
    /// Highest length that counts.
    pub high: f64,
}

/// The mean of `distances`, each already divided by the square of its step, without the lowest and highest 1 %.
///
/// # Errors
/// When there are none, or one is not a number.
pub fn path_length(distances: &[f64]) -> Result<PathLength> {
    ensure!(!distances.is_empty(), "a path length needs at least one path");
    ensure!(distances.iter().all(|distance| distance.is_finite()), "a path has no finite length");
    let mut sorted = distances.to_vec();
    sorted.sort_by(f64::total_cmp);
    let last = (sorted.len() - 1) as f64;
    // NumPy's percentiles with `lower` and `higher`: the order statistics next to them.
    let (low, high) = (sorted[(last * 0.01).floor() as usize], sorted[(last * 0.99).ceil() as usize]);
    let kept: Vec<f64> = distances.iter().copied().filter(|distance| (low..=high).contains(distance)).collect();
    Ok(PathLength { mean: kept.iter().sum::<f64>() / kept.len() as f64, low, high })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outliers_do_not_count() {
        let mut distances: Vec<f64> = (0..1000).map(f64::from).collect();
        distances[999] = 1e9;
        let PathLength { mean, low, high } = path_length(&distances).unwrap();
        assert_eq!((low, high), (9.0, 990.0));
        assert!((mean - 499.5).abs() < 1e-9);
        assert_eq!(path_length(&[2.0]).unwrap().mean, 2.0);
        assert!(path_length(&[]).is_err() && path_length(&[1.0, f64::NAN]).is_err());
    }
}
