//! Precision and recall: which share of each set lies within the other's neighbourhoods (Kynkäänniemi et al. 2019,
//! "Improved Precision and Recall Metric for Assessing Generative Models", section 2).

use anyhow::{Result, ensure};
use half::f16;
use ndarray::{Array2, ArrayView2, Axis};
use rayon::prelude::*;
use serde::Serialize;

use crate::statistics::gram::squared_distances;

/// What the measure says.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct PrecisionRecall {
    /// Share of the generated images that look like a real one.
    pub precision: f64,
    /// Share of the real images that look like a generated one.
    pub recall: f64,
}

/// Compares features `[N, F]`; the neighbourhood of an image reaches to its `k`-th nearest neighbour in its own set.
///
/// Features, distances and radii are rounded to half precision, as in the published code.
///
/// # Errors
/// When the features have different lengths or a set has no `k` neighbours.
pub fn precision_recall(
    real: ArrayView2<'_, f32>,
    fake: ArrayView2<'_, f32>,
    neighbours: usize,
) -> Result<PrecisionRecall> {
    let (length, other) = (real.ncols(), fake.ncols());
    ensure!(length == other, "features of lengths {length} and {other} cannot be compared");
    let fewest = real.nrows().min(fake.nrows());
    ensure!(fewest > neighbours, "{neighbours} neighbours need more than {neighbours} images a set, found {fewest}");
    let rounded = |features: ArrayView2<'_, f32>| features.mapv(|x| f64::from(f16::from_f32(x)));
    let (real, fake) = (rounded(real), rounded(fake));
    Ok(PrecisionRecall {
        precision: covered(&fake, &real, &reaches(&real, neighbours)),
        recall: covered(&real, &fake, &reaches(&fake, neighbours)),
    })
}

/// Rows of which the distances to all others are in memory at once, in each thread.
const BLOCK: usize = 256;

/// How far each row's neighbourhood reaches: largest squared distance that is rounded to no more than that of its
/// `neighbours`-th nearest, itself not counted.
fn reaches(rows: &Array2<f64>, neighbours: usize) -> Vec<f64> {
    let blocks: Vec<_> = rows.axis_chunks_iter(Axis(0), BLOCK).collect();
    let of_block = |block: ArrayView2<'_, f64>| {
        let squares = squared_distances(block, rows.view());
        let nearest = |distances: ndarray::ArrayView1<'_, f64>| {
            let mut distances = distances.to_vec();
            reach(f16::from_f64(distances.select_nth_unstable_by(neighbours, f64::total_cmp).1.sqrt()))
        };
        squares.rows().into_iter().map(nearest).collect::<Vec<_>>()
    };
    blocks.into_par_iter().flat_map_iter(of_block).collect()
}

/// Square of the largest number that is rounded to `radius` or less.
fn reach(radius: f16) -> f64 {
    if !radius.is_finite() {
        return f64::INFINITY;
    }
    let next = f16::from_bits(radius.to_bits() + 1);
    let middle = (f64::from(radius) + f64::from(next)) / 2.0;
    // Halves are rounded to the even one of both.
    let largest = if radius.to_bits().is_multiple_of(2) { middle } else { middle.next_down() };
    largest * largest
}

/// Share of `probes` within the radius of at least one of `centres`.
fn covered(probes: &Array2<f64>, centres: &Array2<f64>, reaches: &[f64]) -> f64 {
    let blocks: Vec<_> = probes.axis_chunks_iter(Axis(0), BLOCK).collect();
    let of_block = |block: ArrayView2<'_, f64>| {
        let squares = squared_distances(block, centres.view());
        squares.rows().into_iter().filter(|row| row.iter().zip(reaches).any(|(square, reach)| square <= reach)).count()
    };
    let inside: usize = blocks.into_par_iter().map(of_block).sum();
    inside as f64 / probes.nrows() as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{Array1, concatenate};

    /// Points on a line, a step apart.
    fn line(from: f32, count: usize) -> Array2<f32> {
        Array1::range(from, from + count as f32, 1.0).insert_axis(Axis(1))
    }

    #[test]
    fn a_set_covers_itself_and_nothing_far_away() {
        let check = |fake: Array2<f32>, precision: f64, recall: f64| {
            let found = precision_recall(line(0.0, 10).view(), fake.view(), 3).unwrap();
            assert_eq!(found, PrecisionRecall { precision, recall });
        };
        check(line(0.0, 10), 1.0, 1.0);
        check(line(100.0, 10), 0.0, 0.0);
        // Half of the generated points are far off; the neighbourhoods of the others still reach all real ones.
        check(concatenate![Axis(0), line(0.0, 10), line(100.0, 10)], 0.5, 1.0);
        // A collapsed generator is precise and recalls little.
        check(Array2::from_elem((10, 1), 4.0), 1.0, 0.1);
    }

    #[test]
    fn a_reach_is_where_rounding_changes() {
        for bits in [f16::ONE.to_bits(), 0x3c01, 0x3bff, 0x5640, 0x0000] {
            let radius = f16::from_bits(bits);
            let largest = reach(radius).sqrt();
            assert_eq!(f16::from_f64(largest * 0.999_999), radius);
            assert!(f16::from_f64(largest * 1.000_001) > radius);
        }
    }

    #[test]
    fn what_cannot_be_compared_is_refused() {
        assert!(precision_recall(line(0.0, 3).view(), line(0.0, 9).view(), 3).is_err());
        assert!(precision_recall(line(0.0, 9).view(), Array2::zeros((9, 2)).view(), 3).is_err());
    }
}
