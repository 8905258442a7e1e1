//! The wavelets behind the geometric transformations and the four frequency bands of the image filter.
//!
//! The bands are one octave each, made of Daubechies' least asymmetric wavelet with two vanishing moments (Karras et
//! al. 2020, appendix B.2; the coefficients are the standard tables).

/// Low-pass of the `sym6` wavelet, which resamples images; orthogonal, so that up and down again is the identity.
pub(super) const SYM6: [f32; 12] = [
    0.015_404_109,
    0.003_490_712,
    -0.117_990_11,
    -0.048_311_744,
    0.491_055_94,
    0.787_641_14,
    0.337_929_42,
    -0.072_637_52,
    -0.021_060_292,
    0.044_724_9,
    0.001_767_712,
    -0.007_800_708_3,
];

/// Low-pass of the `sym2` wavelet.
const SYM2: [f64; 4] =
    [-0.129_409_522_550_921_45, 0.224_143_868_041_857_35, 0.836_516_303_737_469, 0.482_962_913_144_690_25];

/// Frequency bands, the lowest first.
pub(super) const BANDS: usize = 4;
/// Pixels that a filter reaches to each side.
pub(super) const REACH: usize = 21;
/// Power of natural images in each band: as 1/f, summed over octaves.
const POWER: [f64; BANDS] = [10.0 / 13.0, 1.0 / 13.0, 1.0 / 13.0, 1.0 / 13.0];

/// What a gain on one band makes of all four, so that natural images keep their power.
pub(super) fn band_gains(band: usize, gain: f64) -> [f64; BANDS] {
    let mut gains = [1.0; BANDS];
    gains[band] = gain;
    let power: f64 = gains.iter().zip(POWER).map(|(gain, power)| power * gain * gain).sum();
    gains.map(|gain| gain / power.sqrt())
}

/// Taps of the filter that multiplies the bands with `gains`; 2·[`REACH`] + 1 of them.
pub(super) fn kernel(gains: &[f64; BANDS]) -> Vec<f32> {
    let bank = bank();
    let tap = |k: usize| gains.iter().zip(&bank).map(|(gain, band)| gain * band[k]).sum::<f64>() as f32;
    (0..2 * REACH + 1).map(tap).collect()
}

/// One filter for each band; together they are the identity.
fn bank() -> [Vec<f64>; BANDS] {
    let high: Vec<f64> = SYM2.iter().enumerate().map(|(k, tap)| if k % 2 == 0 { *tap } else { -tap }).collect();
    let low2 = autocorrelation(&SYM2);
    let high2 = autocorrelation(&high);
    let mut bank: [Vec<f64>; BANDS] = std::array::from_fn(|band| vec![if band == 0 { 1.0 } else { 0.0 }]);
    for octave in 1..BANDS {
        bank = bank.map(|band| convolve(&spread(&band), &low2));
        let middle = (bank[octave].len() - high2.len()) / 2;
        bank[octave][middle..].iter_mut().zip(&high2).for_each(|(to, from)| *to += from);
    }
    bank
}

/// Half of the taps filtered with themselves.
fn autocorrelation(taps: &[f64]) -> Vec<f64> {
    let reversed: Vec<f64> = taps.iter().rev().copied().collect();
    convolve(taps, &reversed).into_iter().map(|tap| tap / 2.0).collect()
}

/// Puts zeros between the taps.
fn spread(taps: &[f64]) -> Vec<f64> {
    let mut spread = vec![0.0; 2 * taps.len() - 1];
    spread.iter_mut().step_by(2).zip(taps).for_each(|(to, from)| *to = *from);
    spread
}

fn convolve(a: &[f64], b: &[f64]) -> Vec<f64> {
    let mut sum = vec![0.0; a.len() + b.len() - 1];
    for (i, a) in a.iter().enumerate() {
        sum[i..].iter_mut().zip(b).for_each(|(to, b)| *to += a * b);
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bands_together_change_nothing() {
        let taps = kernel(&[1.0; BANDS]);
        for (k, tap) in taps.into_iter().enumerate() {
            let expected = if k == REACH { 1.0 } else { 0.0 };
            assert!((tap - expected).abs() < 1e-6, "tap {k} is {tap}");
        }
    }

    #[test]
    fn a_gain_of_one_changes_no_band() {
        assert!((0..BANDS).all(|band| band_gains(band, 1.0).iter().all(|gain| (gain - 1.0).abs() < 1e-12)));
    }

    #[test]
    fn resampling_filters_are_orthogonal() {
        for shift in 0..6 {
            let product: f32 = SYM6[2 * shift..].iter().zip(&SYM6).map(|(a, b)| a * b).sum();
            assert!((product - if shift == 0 { 1.0 } else { 0.0 }).abs() < 1e-6, "shift {shift}: {product}");
        }
    }
}
