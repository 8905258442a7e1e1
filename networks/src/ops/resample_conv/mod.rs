//! Convolution with up- or downsampling around it.
//!
//! The order of the steps follows the published operator, because padding at the borders depends on it (Karras et al.
//! 2020, "Analyzing and Improving the Image Quality of StyleGAN", figure 7 and appendix B).

pub mod reference;

use crate::error::{Error, Result};
use crate::grad::Dual;
use crate::ops::conv::reference::flipped;
use crate::ops::upfirdn2d::{Resample, down_padding, up_padding};
use crate::ops::{Arithmetic, Convolution, Filter, Orientation};

/// What [`conv2d_resample`] does besides the convolution.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ResampleConv {
    /// Upsampling factor before the convolution.
    pub up: usize,
    /// Downsampling factor after the convolution.
    pub down: usize,
    /// Zeros around the upsampled image: left, right, top, bottom; negative numbers crop.
    pub padding: [isize; 4],
    /// Number of independent groups of channels.
    pub groups: usize,
    /// Which way round the kernel lies.
    pub orientation: Orientation,
    /// Which way round the resampling filter lies.
    pub filter_orientation: Orientation,
    /// How the steps are computed.
    pub arithmetic: Arithmetic,
}

impl Default for ResampleConv {
    fn default() -> Self {
        ResampleConv {
            up: 1,
            down: 1,
            padding: [0; 4],
            groups: 1,
            orientation: Orientation::Correlation,
            filter_orientation: Orientation::Convolution,
            arithmetic: Arithmetic::Single,
        }
    }
}

/// Upsamples, convolves and downsamples.
///
/// # Shapes
/// x `[N, I, H, W]`, weight `[O, I / groups, kh, kw]` → `[N, O, H·up/down, W·up/down]` when the padding is that of a
/// same-size convolution
///
/// # Errors
/// [`Error::Value`] for a factor of 0, and as [`conv2d`](crate::ops::conv2d) and
/// [`upfirdn2d`](crate::ops::upfirdn2d()).
pub fn conv2d_resample(x: &Dual, weight: &Dual, filter: &Filter, spec: &ResampleConv) -> Result<Dual> {
    if spec.up == 0 || spec.down == 0 {
        return Err(Error::value("resampling factor", 0, "at least 1"));
    }
    let (_, _, kh, kw) = weight.dims4()?;
    let pointwise = kh == 1 && kw == 1;
    let steps = Steps { filter, spec, padding: spec.total_padding(filter) };
    match (spec.up > 1, spec.down > 1) {
        (false, false) => steps.convolve(x, weight, 1, spec.padding),
        (false, true) if pointwise => steps.convolve(&steps.decimate(x, steps.padding)?, weight, 1, [0; 4]),
        (false, true) => steps.convolve(&steps.blur(x, steps.padding, 1)?, weight, spec.down, [0; 4]),
        (true, false) if pointwise => steps.enlarge(&steps.convolve(x, weight, 1, [0; 4])?),
        (true, false) => steps.transposed(x, weight),
        (true, true) => steps.decimate(&steps.transposed(x, weight)?, [0; 4]),
    }
}

impl ResampleConv {
    /// Padding with what centres the filters.
    fn total_padding(&self, filter: &Filter) -> [isize; 4] {
        let axis = |taps: usize| {
            let up = if self.up > 1 { up_padding(taps, self.up) } else { (0, 0) };
            let down = if self.down > 1 { down_padding(taps, self.down) } else { (0, 0) };
            (up.0 + down.0, up.1 + down.1)
        };
        let ((x0, x1), (y0, y1)) = (axis(filter.width()), axis(filter.height()));
        let [px0, px1, py0, py1] = self.padding;
        [px0 + x0, px1 + x1, py0 + y0, py1 + y1]
    }
}

/// The steps of one call, with what they share.
struct Steps<'a> {
    filter: &'a Filter,
    spec: &'a ResampleConv,
    padding: [isize; 4],
}

impl Steps<'_> {
    fn convolve(&self, x: &Dual, weight: &Dual, stride: usize, padding: [isize; 4]) -> Result<Dual> {
        let spec = Convolution { stride, padding, groups: self.spec.groups };
        let arithmetic = self.spec.arithmetic;
        match self.spec.orientation {
            Orientation::Correlation => arithmetic.conv2d(x, weight, &spec),
            Orientation::Convolution => arithmetic.conv2d(x, &weight.linear(flipped)?, &spec),
        }
    }

    fn resample(&self) -> Resample {
        Resample { orientation: self.spec.filter_orientation, ..Resample::default() }
    }

    /// Filters at full resolution; `up` is the factor whose inserted zeros the gain makes up for.
    fn blur(&self, x: &Dual, padding: [isize; 4], up: usize) -> Result<Dual> {
        self.spec.arithmetic.upfirdn2d(x, self.filter, &Resample { padding, gain: (up * up) as f64, ..self.resample() })
    }

    fn decimate(&self, x: &Dual, padding: [isize; 4]) -> Result<Dual> {
        let down = (self.spec.down, self.spec.down);
        self.spec.arithmetic.upfirdn2d(x, self.filter, &Resample { down, padding, ..self.resample() })
    }

    fn enlarge(&self, x: &Dual) -> Result<Dual> {
        let up = self.spec.up;
        let spec = Resample { up: (up, up), padding: self.padding, gain: (up * up) as f64, ..self.resample() };
        self.spec.arithmetic.upfirdn2d(x, self.filter, &spec)
    }

    /// Transposed convolution in steps of the factor, then the filter: the padding is shared out between the two.
    fn transposed(&self, x: &Dual, weight: &Dual) -> Result<Dual> {
        let (_, _, kh, kw) = weight.dims4()?;
        let (kh, kw, up) = (kh as isize, kw as isize, self.spec.up as isize);
        let [x0, x1, y0, y1] = self.padding;
        let [x0, x1, y0, y1] = [x0 - (kw - 1), x1 - (kw - up), y0 - (kh - 1), y1 - (kh - up)];
        let (crop_x, crop_y) = ((-x0).min(-x1).max(0), (-y0).min(-y1).max(0));
        let padding = [crop_x, crop_x, crop_y, crop_y];
        let spec = Convolution { stride: self.spec.up, padding, groups: self.spec.groups };
        // Laying the kernel down as it is stored is a convolution in the mathematical sense.
        let y = match self.spec.orientation {
            Orientation::Convolution => self.spec.arithmetic.conv_transpose2d(x, weight, &spec)?,
            Orientation::Correlation => self.spec.arithmetic.conv_transpose2d(x, &weight.linear(flipped)?, &spec)?,
        };
        self.blur(&y, [x0 + crop_x, x1 + crop_x, y0 + crop_y, y1 + crop_y], self.spec.up)
    }
}
