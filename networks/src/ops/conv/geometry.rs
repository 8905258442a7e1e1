//! The sizes and offsets that a convolution, its adjoint and its weight gradient have in common.

use candle_core::Tensor;

use super::Convolution;
use crate::error::{Error, Result};

/// The relation output\[oy, ox\] ↔ image\[oy·stride + p − top, ox·stride + q − left\] for kernel taps (p, q).
///
/// The convolution reads it from image to output, its adjoint from output to image, and the weight gradient
/// correlates the two sides. Elements outside the image are zero; nothing else marks the right and bottom border.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ops) struct Geometry {
    pub stride: usize,
    pub top: isize,
    pub left: isize,
    pub groups: usize,
    pub order: WeightOrder,
    /// Channels of the image side and of the output side, over all groups.
    pub image_channels: usize,
    pub output_channels: usize,
    /// Height and width of both sides and of the kernel.
    pub image: (usize, usize),
    pub output: (usize, usize),
    pub kernel: (usize, usize),
}

/// What the first axis of the weight counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ops) enum WeightOrder {
    /// Channels of the output side: `[O, I / groups, kh, kw]`, natural to the convolution.
    OutputFirst,
    /// Channels of the image side: `[I, O / groups, kh, kw]`, natural to the adjoint.
    ImageFirst,
}

/// Largest stride and padding that are accepted; keeps size arithmetic far from overflow.
const LIMIT: usize = 1 << 16;

impl Geometry {
    /// The geometry of `conv2d(x, weight, spec)`: x is the image side.
    pub fn convolution(x: &Tensor, weight: &Tensor, spec: &Convolution) -> Result<Self> {
        let (kernel, input) = (spec.check(x, weight)?, (x.dim(2)?, x.dim(3)?));
        let [x0, x1, y0, y1] = spec.padding;
        let output = (
            positions(input.0 as isize + y0 + y1, kernel.0, spec.stride)?,
            positions(input.1 as isize + x0 + x1, kernel.1, spec.stride)?,
        );
        let order = WeightOrder::OutputFirst;
        let (image_channels, output_channels) = (x.dim(1)?, weight.dim(0)?);
        let (stride, groups) = (spec.stride, spec.groups);
        Ok(Geometry {
            stride,
            top: y0,
            left: x0,
            groups,
            order,
            image_channels,
            output_channels,
            image: input,
            output,
            kernel,
        })
    }

    /// The geometry of `conv_transpose2d(x, weight, spec)`: x is the output side.
    pub fn transposed(x: &Tensor, weight: &Tensor, spec: &Convolution) -> Result<Self> {
        let (kernel, input) = (spec.check(x, weight)?, (x.dim(2)?, x.dim(3)?));
        let [x0, x1, y0, y1] = spec.padding;
        let image =
            (canvas(input.0, kernel.0, spec.stride, y0 + y1)?, canvas(input.1, kernel.1, spec.stride, x0 + x1)?);
        let order = WeightOrder::ImageFirst;
        let (output_channels, image_channels) = (x.dim(1)?, weight.dim(0)?);
        let (stride, groups) = (spec.stride, spec.groups);
        Ok(Geometry {
            stride,
            top: y0,
            left: x0,
            groups,
            order,
            image_channels,
            output_channels,
            image,
            output: input,
            kernel,
        })
    }

    /// Number of taps of the kernel.
    pub fn taps(&self) -> usize {
        self.kernel.0 * self.kernel.1
    }

    /// Channels of the image side within a group.
    pub fn image_group(&self) -> usize {
        self.image_channels / self.groups
    }

    /// Channels of the output side within a group.
    pub fn output_group(&self) -> usize {
        self.output_channels / self.groups
    }

    /// Shape of the image side.
    pub fn image_shape(&self, batch: usize) -> [usize; 4] {
        [batch, self.image_channels, self.image.0, self.image.1]
    }

    /// Shape of the output side.
    pub fn output_shape(&self, batch: usize) -> [usize; 4] {
        [batch, self.output_channels, self.output.0, self.output.1]
    }

    /// Floating-point operations of each of the three operators done directly, taps outside the image included.
    pub fn operations(&self, batch: usize) -> u64 {
        let taps = (self.image_group() * self.output_channels * self.taps()) as u64;
        2 * batch as u64 * (self.output.0 * self.output.1) as u64 * taps
    }

    /// Shape of the weight.
    pub fn weight_shape(&self) -> [usize; 4] {
        let (kh, kw) = self.kernel;
        match self.order {
            WeightOrder::OutputFirst => [self.output_channels, self.image_group(), kh, kw],
            WeightOrder::ImageFirst => [self.image_channels, self.output_group(), kh, kw],
        }
    }
}

impl Convolution {
    /// Checks the fit of input and weight; returns the size of the kernel.
    fn check(&self, x: &Tensor, weight: &Tensor) -> Result<(usize, usize)> {
        let (_, inputs, h, w) = x.dims4()?;
        if inputs == 0 || h == 0 || w == 0 {
            return Err(Error::value("image size", format!("{inputs}×{h}×{w}"), "at least one pixel and channel"));
        }
        let (outputs, _, kh, kw) = weight.dims4()?;
        if !(1..=LIMIT).contains(&self.stride) {
            return Err(Error::value("stride", self.stride, format!("from 1 to {LIMIT}")));
        }
        if let Some(side) = self.padding.into_iter().find(|side| side.unsigned_abs() > LIMIT) {
            return Err(Error::value("padding", side, format!("at most {LIMIT} pixels")));
        }
        if self.groups == 0 || inputs % self.groups != 0 || outputs % self.groups != 0 {
            return Err(Error::value("groups", self.groups, format!("a divisor of {inputs} and {outputs} channels")));
        }
        if outputs == 0 || kh == 0 || kw == 0 {
            return Err(Error::value("weight size", format!("{outputs}×{kh}×{kw}"), "at least one tap and channel"));
        }
        crate::ops::expect_shape("weight", weight, &[outputs, inputs / self.groups, kh, kw])?;
        Ok((kh, kw))
    }
}

/// Number of places at which the kernel fits into the padded image.
fn positions(padded: isize, kernel: usize, stride: usize) -> Result<usize> {
    match padded - kernel as isize {
        room if room >= 0 => Ok(room as usize / stride + 1),
        _ => Err(Error::value("padded image size", padded, format!("at least the {kernel} pixels of the kernel"))),
    }
}

/// Size of the canvas on which a transposed convolution lays its kernels, without the padding.
fn canvas(input: usize, kernel: usize, stride: usize, padding: isize) -> Result<usize> {
    let size = (input as isize - 1) * stride as isize + kernel as isize - padding;
    if input > 0 && size > 0 {
        return Ok(size as usize);
    }
    Err(Error::value("size after the transposed convolution", size, "at least 1"))
}
