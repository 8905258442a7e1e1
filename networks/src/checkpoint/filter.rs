//! Resampling filters stored beside the weights: checked against the configuration, which they must not contradict.

use crate::checkpoint::ImportError;
use crate::checkpoint::array::Array;

/// Filters with fewer taps are stored as their outer product, longer ones as they are.
const FEWEST_SEPARABLE_TAPS: usize = 8;

/// Compares the stored filters, which the file multiplied by `gain`, with the taps of the configuration. The stored ones
/// win when they agree with each other: they are what the file's network computes with.
///
/// # Errors
/// [`ImportError::Malformed`] when they differ from each other or are not the outer product of a row of taps.
pub(crate) fn settle(taps: Vec<f32>, gain: f32, stored: &[(String, Array<'_>)]) -> Result<Vec<f32>, ImportError> {
    let Some((first_name, first)) = stored.first() else { return Ok(taps) };
    let reference = first.to_f32(first_name)?;
    for (name, array) in stored {
        if array.shape() != first.shape() || !close(&array.to_f32(name)?, &reference) {
            let found = format!("the filter {:?}", array.shape());
            return Err(ImportError::malformed(
                format!("tensor `{name}`"),
                format!("the filter of `{first_name}`"),
                found,
            ));
        }
    }
    if close(&outer(&taps, gain), &reference) {
        return Ok(taps);
    }
    let own = row_sums(&reference, first.shape());
    if close(&outer(&own, gain), &reference) {
        return Ok(own);
    }
    let expected = format!("a filter made of one row of taps, such as {taps:?}");
    Err(ImportError::malformed(format!("tensor `{first_name}`"), expected, format!("{reference:?}")))
}

/// The stored form of a filter: normalised to a sum of `gain`, two-dimensional when short.
pub(crate) fn outer(taps: &[f32], gain: f32) -> Vec<f32> {
    if taps.len() >= FEWEST_SEPARABLE_TAPS {
        let sum: f32 = taps.iter().sum();
        return taps.iter().map(|tap| tap / sum * gain.sqrt()).collect();
    }
    let product: Vec<f32> = taps.iter().flat_map(|y| taps.iter().map(move |x| y * x)).collect();
    let sum: f32 = product.iter().sum();
    product.iter().map(|value| value / sum * gain).collect()
}

/// Taps whose outer product the filter might be.
fn row_sums(filter: &[f32], shape: &[usize]) -> Vec<f32> {
    match shape {
        [_, width] if *width > 0 => filter.chunks(*width).map(|row| row.iter().sum()).collect(),
        _ => filter.to_vec(),
    }
}

fn close(left: &[f32], right: &[f32]) -> bool {
    // Rounding of the division by the sum; a different filter differs by far more.
    const TOLERANCE: f32 = 1e-6;
    left.len() == right.len() && left.iter().zip(right).all(|(a, b)| (a - b).abs() <= TOLERANCE * (1.0 + a.abs()))
}
