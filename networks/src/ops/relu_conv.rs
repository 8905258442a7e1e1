//! A 3x3 convolution with bias and ReLU whose weights nobody changes, on features in blocks of 16 channels: what classifiers
//! consist of.

use std::marker::PhantomData;

use candle_core::{DType, Result, Storage, Tensor};

use crate::ops::blocked::finish::Finish;
use crate::ops::blocked::maps::{Maps, Sizes};
use crate::ops::blocked::styled::{BORDER, bordered, framed, inner};
use crate::ops::blocked::weights::Weights;
use crate::ops::blocked::winograd::masked::WherePositive;
use crate::ops::blocked::winograd::{Filtering, IN_ORDER, Same, TILE, Winograd};
use crate::ops::blocked::{LANES, blocks_of};
use crate::ops::real::elements;

/// Fewest tiles that pay for transforming the kernels.
const MIN_TILES: usize = 12;
/// The taps as the gradient meets them.
const BACKWARDS: [usize; 9] = [8, 7, 6, 5, 4, 3, 2, 1, 0];

/// A convolution of step 1 that keeps the size, with bias and ReLU.
#[derive(Clone)]
pub(crate) struct ReluConv {
    /// `[O, I, 3, 3]`
    pub weight: Tensor,
    /// `[O]`
    pub bias: Tensor,
}

/// What a convolution writes: maps with a border for the next one, or maps without.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Edge {
    Framed,
    Bare,
}

/// Whether images of a size consist of whole tiles, enough of them.
pub(crate) fn fits_tiles(images: usize, (h, w): (usize, usize)) -> bool {
    h % TILE == 0 && w % TILE == 0 && images * (h / TILE) * (w / TILE) >= MIN_TILES
}

impl ReluConv {
    /// Whether it is of the kind that is served here: constant, in single precision on the CPU.
    pub fn is_served(&self) -> bool {
        let constant =
            |x: &Tensor| x.dtype() == DType::F32 && x.device().is_cpu() && !x.track_op() && x.is_contiguous();
        constant(&self.weight) && constant(&self.bias)
    }

    /// Number of output and input channels.
    ///
    /// # Errors
    /// When weight and bias do not fit one another.
    pub fn channels(&self) -> crate::Result<(usize, usize)> {
        let (outputs, inputs) = (self.bias.dim(0)?, self.weight.dim(1)?);
        crate::ops::expect_shape("weight", &self.weight, &[outputs, inputs, 3, 3])?;
        Ok((outputs, inputs))
    }

    /// Floating-point operations of the direct convolution.
    pub fn operations(&self, images: usize, (h, w): (usize, usize)) -> u64 {
        2 * (images * h * w * self.weight.elem_count()) as u64
    }

    /// The features behind the ReLU, for maps with a border around images of whole tiles.
    pub fn forwards(&self, x: &Maps, edge: Edge) -> Result<Maps> {
        let (outputs, inputs, _, _) = self.weight.dims4()?;
        let (images, size) = (x.sizes.images, inner(x.sizes));
        let mut bias = self.bias.to_vec1::<f32>()?;
        bias.resize(blocks_of(outputs) * LANES, 0.0);
        let clamp = f32::INFINITY;
        let finish = Finish { factors: None, bias: &bias, noise: None, gain: 1.0, slope: 0.0, clamp };
        let (mut y, corner) = match edge {
            Edge::Framed => (framed(bordered(images, outputs, size)), (BORDER, BORDER)),
            Edge::Bare => (Maps::new(Sizes::of(images, outputs, size)), (0, 0)),
        };
        with_numbers(&self.weight, |numbers| {
            let weights = Weights { numbers, outputs, inputs, output_step: inputs * 9, input_step: 9, gain: 1.0 };
            Winograd { finish: Some(finish), ..plain::<Same>(x, (weights, IN_ORDER), corner) }.compute(&mut y);
        })?;
        Ok(y)
    }

    /// The gradient by what enters, without a border, from that of the sums in maps with a border.
    pub fn backwards(&self, gradient: &Maps) -> Result<Maps> {
        let mut result = Maps::new(Sizes::of(gradient.sizes.images, self.weight.dim(1)?, inner(gradient.sizes)));
        self.turned(|weights| plain::<Same>(gradient, weights, (0, 0)).compute(&mut result))?;
        Ok(result)
    }

    /// As [`backwards`](Self::backwards), where `x`, with a border, is what another ReLU has given: the gradient by the sums
    /// that this one had takes its place.
    pub fn backwards_into(&self, gradient: &Maps, x: &mut Maps) -> Result<()> {
        let expected = bordered(gradient.sizes.images, self.weight.dim(1)?, inner(gradient.sizes));
        assert_eq!(x.sizes, expected, "features of the gradient's size");
        self.turned(|weights| plain::<WherePositive>(gradient, weights, (BORDER, BORDER)).compute(x))
    }

    /// Works with the weights as the gradient meets them.
    fn turned(&self, work: impl FnOnce((Weights<'_>, [usize; 9]))) -> Result<()> {
        let (outputs, inputs, _, _) = self.weight.dims4()?;
        with_numbers(&self.weight, |numbers| {
            let (into, from) = (inputs, outputs);
            let steps = (9, into * 9);
            let weights =
                Weights { numbers, outputs: into, inputs: from, output_step: steps.0, input_step: steps.1, gain: 1.0 };
            work((weights, BACKWARDS));
        })
    }
}

/// A convolution of maps with a border without anything behind it.
fn plain<'a, S: Filtering>(
    x: &'a Maps,
    (weights, taps): (Weights<'a>, [usize; 9]),
    corner: (usize, usize),
) -> Winograd<'a, S> {
    let (h, w) = inner(x.sizes);
    assert!(h % TILE == 0 && w % TILE == 0, "images of whole tiles");
    let tiles = (h / TILE, w / TILE);
    let source = x.view();
    Winograd {
        scheme: PhantomData,
        source,
        scales: None,
        weights,
        taps,
        tiles,
        corner,
        finish: None,
        demodulation: None,
    }
}

/// Works with the numbers of a tensor on the CPU.
pub(crate) fn with_numbers<R>(tensor: &Tensor, work: impl FnOnce(&[f32]) -> R) -> Result<R> {
    let (storage, layout) = tensor.storage_and_layout();
    match &*storage {
        Storage::Cpu(storage) => Ok(work(elements(storage, layout)?)),
        _ => candle_core::bail!("numbers on the CPU"),
    }
}
