//! The operator step by step at full resolution: enlarge, convolve, and only then drop pixels.

use crate::error::Result;
use crate::grad::Dual;
use crate::ops::conv::reference::{conv2d, flipped};
use crate::ops::upfirdn2d::reference::{pad, upfirdn2d};
use crate::ops::{Convolution, Filter, Orientation, Resample, ResampleConv};

/// [`conv2d_resample`](super::conv2d_resample) by its definition. Factors are at least 1.
///
/// # Errors
/// When the kernel or the filter is larger than the padded image.
pub fn conv2d_resample(x: &Dual, weight: &Dual, filter: &Filter, spec: &ResampleConv) -> Result<Dual> {
    let (padding, orientation) = (spec.total_padding(filter), spec.filter_orientation);
    let resample = |x: &Dual, spec: Resample| x.linear(|x| upfirdn2d(x, filter, &spec));

    let enlarged = match spec.up {
        1 => x.linear(|x| pad(x, padding))?,
        up => {
            let gain = (up * up) as f64; // makes up for the zeros between the pixels
            resample(x, Resample { up: (up, up), padding, orientation, gain, ..Resample::default() })?
        }
    };
    let weight = match spec.orientation {
        Orientation::Correlation => weight.clone(),
        Orientation::Convolution => weight.linear(flipped)?,
    };
    let convolution = Convolution { groups: spec.groups, ..Convolution::default() };
    let y = enlarged.bilinear(&weight, |x, weight| conv2d(x, weight, &convolution))?;
    match spec.down {
        1 => Ok(y),
        down => resample(&y, Resample { down: (down, down), orientation, ..Resample::default() }),
    }
}
