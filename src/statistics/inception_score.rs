//! Inception score: how sure a classifier is of each image, and how various its answers are (Salimans et al. 2016,
//! "Improved Techniques for Training GANs", section 4).

use anyhow::{Result, ensure};
use ndarray::{ArrayView2, Axis};
use serde::Serialize;

/// What the measure says.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct InceptionScore {
    /// Mean over the splits.
    pub mean: f64,
    /// Population standard deviation over the splits.
    pub std: f64,
}

/// exp of the mean Kullback–Leibler divergence of an image's class probabilities `[N, classes]` from their mean, over
/// `splits` parts of the images in order.
///
/// # Errors
/// When there are fewer images than splits, or no split.
pub fn inception_score(probabilities: ArrayView2<'_, f32>, splits: usize) -> Result<InceptionScore> {
    let count = probabilities.nrows();
    ensure!(
        splits > 0 && count >= splits,
        "an inception score over {splits} parts needs as many images, found {count}"
    );
    let scores: Vec<f64> = (0..splits)
        .map(|split| {
            let range = split * count / splits..(split + 1) * count / splits;
            of_split(probabilities.slice(ndarray::s![range, ..]))
        })
        .collect();
    let mean = scores.iter().sum::<f64>() / splits as f64;
    let variance = scores.iter().map(|score| (score - mean).powi(2)).sum::<f64>() / splits as f64;
    Ok(InceptionScore { mean, std: variance.sqrt() })
}

fn of_split(probabilities: ArrayView2<'_, f32>) -> f64 {
    let probabilities = probabilities.mapv(f64::from);
    let marginal = probabilities.sum_axis(Axis(0)) / probabilities.nrows() as f64;
    // p·ln p is 0 where p is.
    let terms = probabilities.indexed_iter().filter(|(_, p)| **p > 0.0);
    let sum: f64 = terms.map(|((_, class), &p)| p * (p.ln() - marginal[class].ln())).sum();
    (sum / probabilities.nrows() as f64).exp()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array2;

    #[test]
    fn sure_and_various_answers_score_the_number_of_classes() {
        let sure = Array2::from_shape_fn((40, 4), |(image, class)| if image % 4 == class { 1.0 } else { 0.0 });
        let score = inception_score(sure.view(), 10).unwrap();
        assert!((score.mean - 4.0).abs() < 1e-12 && score.std < 1e-12, "{score:?}");
        let unsure = Array2::from_elem((40, 4), 0.25);
        assert!((inception_score(unsure.view(), 10).unwrap().mean - 1.0).abs() < 1e-12);
        assert!(inception_score(unsure.view(), 41).is_err() && inception_score(unsure.view(), 0).is_err());
    }
}
