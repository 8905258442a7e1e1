//! The modulated convolution of the generator, unfused.
//!
//! The style scales the input, one convolution with shared weights follows, and the demodulation factor scales the
//! output: equal to scaling the weights of each sample, and the batch shares one weight tensor (Karras et al. 2020,
//! "Analyzing and Improving the Image Quality of StyleGAN", section 2.2 and appendix B).

pub mod reference;

use crate::error::Result;
use crate::grad::Dual;
use crate::ops::channels::{add_plane, scale_channels};
use crate::ops::kernel_energy::energy;
use crate::ops::matrix_product::times_transposed;
use crate::ops::{Filter, Orientation, ResampleConv, conv2d_resample, expect_shape};

/// Keeps the demodulation factor finite; the value of the published networks.
pub(crate) const EPSILON: f64 = 1e-8;

/// Whether outputs are scaled back to unit variance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Demodulation {
    /// Each output channel of each sample is divided by the norm of its modulated weights.
    On,
    /// Outputs keep their scale, as in the layers to RGB.
    Off,
}

/// What [`modulated_conv2d`] does besides the convolution.
#[derive(Clone, Copy, Debug)]
pub struct ModulatedConv<'a> {
    /// Upsampling factor before the convolution.
    pub up: usize,
    /// Downsampling factor after the convolution.
    pub down: usize,
    /// Zeros on each side of the upsampled image.
    pub padding: usize,
    /// Whether outputs are scaled back.
    pub demodulate: Demodulation,
    /// Which way round the kernel lies; the published layers with `up = 2` have `Convolution`.
    pub orientation: Orientation,
    /// The resampling filter.
    pub filter: &'a Filter,
    /// Added to the output, with broadcasting, e.g. `[N, 1, H, W]`.
    pub noise: Option<&'a Dual>,
}

/// Convolves with weights that each sample's style scales by input channel.
///
/// # Shapes
/// x `[N, I, H, W]`, weight `[O, I, kh, kw]`, styles `[N, I]` → `[N, O, H·up/down, W·up/down]`
///
/// # Errors
/// [`Error::Shape`](crate::Error::Shape) when they do not fit, and as [`conv2d_resample`].
pub fn modulated_conv2d(x: &Dual, weight: &Dual, styles: &Dual, spec: &ModulatedConv) -> Result<Dual> {
    let (n, inputs, _, _) = x.dims4()?;
    let (outputs, _, kh, kw) = weight.dims4()?;
    expect_shape("weight", weight.value(), &[outputs, inputs, kh, kw])?;
    expect_shape("styles", styles.value(), &[n, inputs])?;
    let scaled = scale_channels(x, styles)?;
    let y = conv2d_resample(&scaled, weight, spec.filter, &spec.resample_conv())?;
    let y = match spec.demodulate {
        Demodulation::On => scale_channels(&y, &demodulation(weight, styles)?)?,
        Demodulation::Off => y,
    };
    match spec.noise {
        Some(noise) => add_plane(&y, noise),
        None => Ok(y),
    }
}

impl ModulatedConv<'_> {
    pub(super) fn resample_conv(&self) -> ResampleConv {
        let padding = [self.padding as isize; 4];
        ResampleConv { up: self.up, down: self.down, padding, orientation: self.orientation, ..Default::default() }
    }
}

/// One over the norm of the modulated weights: rsqrt(Σ_i styles² Σ_kk weight² + ε).
///
/// # Shapes
/// weight `[O, I, kh, kw]`, styles `[N, I]` → `[N, O]`
pub(crate) fn demodulation(weight: &Dual, styles: &Dual) -> Result<Dual> {
    let energy = energy(weight)?; // [O, I]
    times_transposed(&styles.sqr()?, &energy)?.shift(EPSILON)?.rsqrt()
}
