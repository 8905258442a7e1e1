//! Upsample, filter, downsample: the linear operator under every change of resolution.
//!
//! Zeros are inserted after each pixel, the image is padded or cropped, filtered where the filter fits, and every n-th
//! pixel is kept. The adjoint is the same operator with the two factors exchanged and the filter turned round, so
//! gradients of every order are this operator again (Karras et al. 2020, "Analyzing and Improving the Image Quality of
//! StyleGAN", appendix B; the operator is the `upfirdn` of signal processing).

mod cpu;
mod operator;
pub mod reference;

use crate::error::{Error, Result};
use crate::grad::Dual;
use crate::ops::{Filter, Orientation};

pub(crate) use operator::{Resampler, Sources};

/// What [`upfirdn2d`] does besides filtering.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Resample {
    /// Upsampling factors along x and y.
    pub up: (usize, usize),
    /// Downsampling factors along x and y.
    pub down: (usize, usize),
    /// Zeros around the upsampled image: left, right, top, bottom; negative numbers crop.
    pub padding: [isize; 4],
    /// Which way round the filter lies.
    pub orientation: Orientation,
    /// Factor on the result.
    pub gain: f64,
}

impl Default for Resample {
    fn default() -> Self {
        Resample { up: (1, 1), down: (1, 1), padding: [0; 4], orientation: Orientation::Convolution, gain: 1.0 }
    }
}

/// Pads, upsamples, filters and downsamples.
///
/// # Shapes
/// x `[N, C, H, W]` → `[N, C, (H·up + y0 + y1 − fh)/down + 1, (W·up + x0 + x1 − fw)/down + 1]`, rounded down
///
/// # Errors
/// [`Error::Value`] for a factor of 0 or a filter that is larger than the padded image.
pub fn upfirdn2d(x: &Dual, filter: &Filter, spec: &Resample) -> Result<Dual> {
    let (_, _, h, w) = x.dims4()?;
    let resampler = Resampler::for_size((h, w), filter, spec)?;
    x.linear(|x| resampler.clone().apply(x))
}

/// Filters without changing the size (but for extra padding in `spec`).
///
/// # Shapes
/// x `[N, C, H, W]` → `[N, C, H + y0 + y1, W + x0 + x1]`
///
/// # Errors
/// As [`upfirdn2d`].
pub fn filter2d_with(x: &Dual, filter: &Filter, spec: &Resample) -> Result<Dual> {
    let (fw, fh) = (filter.width() as isize, filter.height() as isize);
    upfirdn2d(x, filter, &spec.padded_by([fw / 2, (fw - 1) / 2, fh / 2, (fh - 1) / 2]))
}

/// [`filter2d_with`] without options.
///
/// # Errors
/// As [`upfirdn2d`].
pub fn filter2d(x: &Dual, filter: &Filter) -> Result<Dual> {
    filter2d_with(x, filter, &Resample::default())
}

/// Upsamples by the factors in `spec`, keeping the brightness; padding in `spec` comes on top.
///
/// # Shapes
/// x `[N, C, H, W]` → `[N, C, H·up + y0 + y1, W·up + x0 + x1]`
///
/// # Errors
/// As [`upfirdn2d`].
pub fn upsample2d_with(x: &Dual, filter: &Filter, spec: &Resample) -> Result<Dual> {
    upfirdn2d(x, filter, &upsampling(filter, spec))
}

/// `spec` with what keeps the pixels in place and as bright as they were.
pub(crate) fn upsampling(filter: &Filter, spec: &Resample) -> Resample {
    let ((x0, x1), (y0, y1)) = (up_padding(filter.width(), spec.up.0), up_padding(filter.height(), spec.up.1));
    let spec = spec.padded_by([x0, x1, y0, y1]);
    Resample { gain: spec.gain * (spec.up.0 * spec.up.1) as f64, ..spec }
}

/// Upsamples both axes by `factor`.
///
/// # Shapes
/// x `[N, C, H, W]` → `[N, C, H·factor, W·factor]`
///
/// # Errors
/// As [`upfirdn2d`].
pub fn upsample2d(x: &Dual, filter: &Filter, factor: usize) -> Result<Dual> {
    upsample2d_with(x, filter, &Resample { up: (factor, factor), ..Resample::default() })
}

/// Downsamples by the factors in `spec`; padding in `spec` comes on top.
///
/// # Shapes
/// x `[N, C, H, W]` → about `[N, C, H/down, W/down]`
///
/// # Errors
/// As [`upfirdn2d`].
pub fn downsample2d_with(x: &Dual, filter: &Filter, spec: &Resample) -> Result<Dual> {
    upfirdn2d(x, filter, &downsampling(filter, spec))
}

/// `spec` with what keeps the pixels in place.
pub(crate) fn downsampling(filter: &Filter, spec: &Resample) -> Resample {
    let ((x0, x1), (y0, y1)) = (down_padding(filter.width(), spec.down.0), down_padding(filter.height(), spec.down.1));
    spec.padded_by([x0, x1, y0, y1])
}

/// Downsamples both axes by `factor`.
///
/// # Shapes
/// x `[N, C, H, W]` → `[N, C, H/factor, W/factor]` when the factor divides the size
///
/// # Errors
/// As [`upfirdn2d`].
pub fn downsample2d(x: &Dual, filter: &Filter, factor: usize) -> Result<Dual> {
    downsample2d_with(x, filter, &Resample { down: (factor, factor), ..Resample::default() })
}

/// What filters the result of a transposed 3x3 convolution in steps of 2, `2h + 1` pixels high, to `2h`, as bright as
/// before.
pub(crate) fn behind_growing(filter: &Filter) -> Resample {
    let ((x0, x1), (y0, y1)) = (up_padding(filter.width(), 2), up_padding(filter.height(), 2));
    Resample { padding: [x0 - 1, x1, y0 - 1, y1], gain: 4.0, ..Resample::default() }
}

/// What filters `h` pixels before a 3x3 convolution in steps of 2 to `h / 2`.
pub(crate) fn before_shrinking(filter: &Filter) -> Resample {
    let ((x0, x1), (y0, y1)) = (down_padding(filter.width(), 2), down_padding(filter.height(), 2));
    Resample { padding: [x0 + 1, x1 + 1, y0 + 1, y1 + 1], ..Resample::default() }
}

/// Padding before and after one axis that centres the filter on the upsampled pixels.
pub(crate) fn up_padding(taps: usize, up: usize) -> (isize, isize) {
    let (taps, up) = (taps as isize, up as isize);
    ((taps + up - 1).div_euclid(2), (taps - up).div_euclid(2))
}

/// Padding before and after one axis that centres the filter on the pixels that are kept.
pub(crate) fn down_padding(taps: usize, down: usize) -> (isize, isize) {
    let (taps, down) = (taps as isize, down as isize);
    ((taps - down + 1).div_euclid(2), (taps - down).div_euclid(2))
}

/// Largest factor and padding that are accepted; keeps size arithmetic far from overflow.
const LIMIT: usize = 1 << 16;

impl Resample {
    /// The same with more padding.
    pub(crate) fn padded_by(&self, extra: [isize; 4]) -> Resample {
        let padding = std::array::from_fn(|i| self.padding[i] + extra[i]);
        Resample { padding, ..*self }
    }

    /// Height and width of the result.
    fn output_size(&self, (h, w): (usize, usize), filter: &Filter) -> Result<(usize, usize)> {
        if h == 0 || w == 0 {
            return Err(Error::value("image size", format!("{h}×{w}"), "at least one pixel"));
        }
        let factors = [self.up.0, self.up.1, self.down.0, self.down.1];
        if let Some(factor) = factors.into_iter().find(|factor| !(1..=LIMIT).contains(factor)) {
            return Err(Error::value("resampling factor", factor, format!("from 1 to {LIMIT}")));
        }
        if let Some(side) = self.padding.into_iter().find(|side| side.unsigned_abs() > LIMIT) {
            return Err(Error::value("padding", side, format!("at most {LIMIT} pixels")));
        }
        let [x0, x1, y0, y1] = self.padding;
        let height = axis_size((h * self.up.1) as isize + y0 + y1, filter.height(), self.down.1)?;
        let width = axis_size((w * self.up.0) as isize + x0 + x1, filter.width(), self.down.0)?;
        Ok((height, width))
    }
}

fn axis_size(padded: isize, taps: usize, down: usize) -> Result<usize> {
    match padded - taps as isize {
        room if room >= 0 => Ok(room as usize / down + 1),
        _ => Err(Error::value("padded image size", padded, format!("at least the {taps} pixels of the filter"))),
    }
}
