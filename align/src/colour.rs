//! Giving a new face the light of the photo: mean and spread of each channel are matched in YCbCr, where brightness and
//! the two colours are nearly independent (after Reinhard and others, "Color transfer between images", 2001).
//!
//! The match is one affine map of RGB, so it costs twelve multiplications a pixel.

use crate::warp::Pixel;

/// Whether a new face takes on the colours of the photo.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ColourMatch {
    /// Colours stay as they are.
    #[default]
    Off,
    /// Mean and spread become those of the face that is replaced.
    MeanAndSpread,
}

/// Mean and standard deviation of Y, Cb and Cr.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Statistics {
    mean: [f64; 3],
    spread: [f64; 3],
}

impl Statistics {
    /// Takes pixels with their weights; `None` when the weights are all 0.
    pub(crate) fn of(pixels: impl Iterator<Item = (Pixel, f32)>) -> Option<Self> {
        let (mut total, mut sum, mut squares) = (0.0, [0.0; 3], [0.0; 3]);
        for ([r, g, b, _], weight) in pixels {
            let weight = f64::from(weight);
            let value = ycbcr([r, g, b].map(f64::from));
            total += weight;
            for channel in 0..3 {
                sum[channel] += weight * value[channel];
                squares[channel] += weight * value[channel] * value[channel];
            }
        }
        let mean = sum.map(|sum| sum / total);
        let spread = [0, 1, 2].map(|c| (squares[c] / total - mean[c] * mean[c]).max(0.0).sqrt());
        (total > 0.0).then_some(Statistics { mean, spread })
    }
}

/// Brightness and two colour differences of ITU-R BT.601, all in levels.
fn ycbcr([r, g, b]: [f64; 3]) -> [f64; 3] {
    let y = 0.299 * r + 0.587 * g + 0.114 * b;
    [y, (b - y) / 1.772, (r - y) / 1.402]
}

/// The way back from [`ycbcr`].
fn rgb([y, cb, cr]: [f64; 3]) -> [f64; 3] {
    let (r, b) = (y + 1.402 * cr, y + 1.772 * cb);
    [r, (y - 0.299 * r - 0.114 * b) / 0.587, b]
}

/// An affine map of RGB.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct ColourMap {
    /// What comes out for black, and what a level of each input channel adds.
    columns: [Pixel; 4],
}

/// A channel's spread is changed by at most this factor either way, so that flat drawings do not turn into noise.
const MAX_GAIN: f64 = 2.0;

impl ColourMap {
    /// The map that gives pixels of statistics `from` those of `to`.
    pub(crate) fn new(from: &Statistics, to: &Statistics) -> Self {
        let gain = [0, 1, 2].map(|c| {
            let gain = to.spread[c] / from.spread[c];
            if gain.is_finite() { gain.clamp(1.0 / MAX_GAIN, MAX_GAIN) } else { 1.0 }
        });
        let apply = |colour: [f64; 3]| {
            let value = ycbcr(colour);
            rgb([0, 1, 2].map(|c| (value[c] - from.mean[c]) * gain[c] + to.mean[c]))
        };
        let black = apply([0.0; 3]);
        let column = |channel: usize| {
            let mut unit = [0.0; 3];
            unit[channel] = 1.0;
            let [r, g, b] = apply(unit);
            [(r - black[0]) as f32, (g - black[1]) as f32, (b - black[2]) as f32, 0.0]
        };
        let [r, g, b] = black.map(|v| v as f32);
        ColourMap { columns: [[r, g, b, 0.0], column(0), column(1), column(2)] }
    }

    /// Maps a pixel.
    #[inline(always)]
    pub(crate) fn apply(&self, pixel: Pixel) -> Pixel {
        let [black, red, green, blue] = &self.columns;
        std::array::from_fn(|i| black[i] + red[i] * pixel[0] + green[i] * pixel[1] + blue[i] * pixel[2])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pixels(gain: f32, offset: f32) -> Vec<(Pixel, f32)> {
        (0..200u32)
            .map(|i| ([i * 7 % 90, i * 11 % 70, i * 5 % 110, 0].map(|v| v as f32 * gain + offset), 1.0))
            .collect()
    }

    #[test]
    fn matched_pixels_have_the_statistics_asked_for() {
        let (from, to) = (pixels(1.0, 30.0), pixels(1.6, 5.0));
        let target = Statistics::of(to.into_iter()).expect("weights are 1");
        let map = ColourMap::new(&Statistics::of(from.iter().copied()).expect("weights are 1"), &target);
        let matched = Statistics::of(from.iter().map(|&(p, w)| (map.apply(p), w))).expect("weights are 1");
        for channel in 0..3 {
            assert!((matched.mean[channel] - target.mean[channel]).abs() < 1e-3);
            assert!((matched.spread[channel] - target.spread[channel]).abs() < 1e-3);
        }
    }

    #[test]
    fn equal_statistics_change_nothing() {
        let statistics = Statistics::of(pixels(1.0, 0.0).into_iter()).expect("weights are 1");
        let pixel = ColourMap::new(&statistics, &statistics).apply([12.0, 200.0, 99.0, 0.0]);
        assert!(pixel.iter().zip([12.0, 200.0, 99.0, 0.0]).all(|(a, b)| (a - b).abs() < 1e-3), "{pixel:?}");
    }

    #[test]
    fn flat_colours_are_moved_but_not_stretched() {
        let flat = Statistics::of([([50.0, 50.0, 50.0, 0.0], 1.0)].into_iter()).expect("the weight is 1");
        let target = Statistics::of(pixels(1.0, 0.0).into_iter()).expect("weights are 1");
        let map = ColourMap::new(&flat, &target);
        let step = map.apply([60.0, 60.0, 60.0, 0.0])[0] - map.apply([50.0, 50.0, 50.0, 0.0])[0];
        assert!((step - 10.0).abs() < 1e-3, "{step}");
        assert_eq!(Statistics::of([([0.0; 4], 0.0)].into_iter()), None);
    }
}
