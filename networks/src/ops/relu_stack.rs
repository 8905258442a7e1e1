//! Some 3x3 convolutions in a row, each with bias and ReLU, whose weights nobody changes: what classifiers consist of.
//!
//! The features stay in blocks of 16 channels from the first layer to the last, forwards and backwards.

use std::marker::PhantomData;
use std::sync::Mutex;

use candle_core::{CpuStorage, CustomOp1, DType, Layout, Shape, Storage, Tensor};
use rayon::prelude::*;

use crate::error::Result;
use crate::ops::blocked::finish::Finish;
use crate::ops::blocked::maps::{Maps, Planes, from_planes, to_planes};
use crate::ops::blocked::memory::written;
use crate::ops::blocked::styled::{BORDER, bordered, framed};
use crate::ops::blocked::weights::Weights;
use crate::ops::blocked::winograd::{Same, TILE, Winograd};
use crate::ops::blocked::{LANES, blocks_of};
use crate::ops::conv::Method;
use crate::ops::real::elements;
use crate::timing::timed;

/// Fewest tiles that pay for transforming the kernels.
const MIN_TILES: usize = 12;
/// The taps of a kernel in reading order.
const FORWARDS: [usize; 9] = [0, 1, 2, 3, 4, 5, 6, 7, 8];
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

/// Applies the layers one after the other, or says nothing where the general way has to be taken.
///
/// # Shapes
/// x `[N, I, H, W]` → `[N, O, H, W]`
///
/// # Errors
/// When the layers do not fit one another.
pub(crate) fn relu_stack(x: &Tensor, layers: &[ReluConv]) -> Result<Option<Tensor>> {
    let (n, _, h, w) = x.dims4()?;
    let is_single = |tensor: &Tensor| tensor.dtype() == DType::F32 && tensor.device().is_cpu();
    let constant = |tensor: &Tensor| is_single(tensor) && !tensor.track_op() && tensor.is_contiguous();
    let whole = h % TILE == 0 && w % TILE == 0 && n * (h / TILE) * (w / TILE) >= MIN_TILES;
    let fits = layers.iter().all(|layer| constant(&layer.weight) && constant(&layer.bias));
    if !(whole && fits && is_single(x) && Method::chosen() == Method::Winograd) {
        return Ok(None);
    }
    let mut inputs = x.dim(1)?;
    for layer in layers {
        let outputs = layer.bias.dim(0)?;
        crate::ops::expect_shape("weight", &layer.weight, &[outputs, inputs, 3, 3])?;
        inputs = outputs;
    }
    let keeps = x.track_op();
    let stack = Stack { layers: layers.to_vec(), keeps, between: Mutex::new(Vec::new()) };
    Ok(Some(x.contiguous()?.apply_op1(stack)?))
}

/// The operator for candle's graph.
struct Stack {
    layers: Vec<ReluConv>,
    /// Whether a gradient will be asked for.
    keeps: bool,
    /// What all layers but the last have given, with a border.
    between: Mutex<Vec<Maps>>,
}

/// What a convolution writes: maps with a border for the next one, or maps without for planes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Edge {
    Framed,
    Bare,
}

impl CustomOp1 for Stack {
    fn name(&self) -> &'static str {
        "convolutions with ReLU"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let (n, c, h, w) = layout.shape().dims4()?;
        let last = self.layers.len() - 1;
        let mut outputs = c;
        let mut operations = 0;
        for layer in &self.layers {
            operations += 18 * (n * h * w * outputs * layer.bias.dim(0)?) as u64;
            outputs = layer.bias.dim(0)?;
        }
        let numbers = elements(storage, layout)?;
        let result = timed(self.name(), operations, || -> candle_core::Result<Vec<f32>> {
            let mut x = entered(numbers, (n, c, (h, w)));
            let mut between = Vec::new();
            for (index, layer) in self.layers.iter().enumerate() {
                let edge = if index == last { Edge::Bare } else { Edge::Framed };
                let y = layer.forwards(&x, (h, w), edge)?;
                if self.keeps && index > 0 {
                    between.push(x);
                }
                x = y;
            }
            *self.between.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = between;
            Ok(left(&x, (n, outputs, (h, w))))
        })?;
        Ok((CpuStorage::F32(result), (n, outputs, h, w).into()))
    }

    fn bwd(&self, x: &Tensor, y: &Tensor, gradient: &Tensor) -> candle_core::Result<Option<Tensor>> {
        let (n, c, h, w) = x.dims4()?;
        let between = std::mem::take(&mut *self.between.lock().unwrap_or_else(|poisoned| poisoned.into_inner()));
        if between.len() + 1 != self.layers.len() {
            candle_core::bail!("{} can be followed back once only", self.name());
        }
        let arguments = (&y.contiguous()?, &gradient.contiguous()?);
        let numbers = timed("gradient of convolutions with ReLU", 0, || -> candle_core::Result<Vec<f32>> {
            let passed = passed(arguments.0, arguments.1)?;
            let mut gradient = entered(&passed, (n, y.dim(1)?, (h, w)));
            for (index, layer) in self.layers.iter().enumerate().rev() {
                let edge = if index == 0 { Edge::Bare } else { Edge::Framed };
                gradient = layer.backwards(&gradient, (h, w), edge)?;
                if index > 0 {
                    keep_where_positive(&mut gradient, &between[index - 1]);
                }
            }
            Ok(left(&gradient, (n, c, (h, w))))
        })?;
        Ok(Some(Tensor::from_vec(numbers, (n, c, h, w), x.device())?))
    }
}

impl ReluConv {
    fn forwards(&self, x: &Maps, size: (usize, usize), edge: Edge) -> candle_core::Result<Maps> {
        let (outputs, inputs, _, _) = self.weight.dims4()?;
        let mut bias = self.bias.to_vec1::<f32>()?;
        bias.resize(blocks_of(outputs) * LANES, 0.0);
        let clamp = f32::INFINITY;
        let finish = Finish { factors: None, bias: &bias, noise: None, gain: 1.0, slope: 0.0, clamp };
        with_numbers(&self.weight, |numbers| {
            let weights = Weights { numbers, outputs, inputs, output_step: inputs * 9, input_step: 9, gain: 1.0 };
            convolved(x, (weights, FORWARDS), Some(finish), (size, edge))
        })
    }

    fn backwards(&self, gradient: &Maps, size: (usize, usize), edge: Edge) -> candle_core::Result<Maps> {
        let (outputs, inputs, _, _) = self.weight.dims4()?;
        with_numbers(&self.weight, |numbers| {
            let (into, from) = (inputs, outputs);
            let weights =
                Weights { numbers, outputs: into, inputs: from, output_step: 9, input_step: into * 9, gain: 1.0 };
            convolved(gradient, (weights, BACKWARDS), None, (size, edge))
        })
    }
}

fn convolved(
    x: &Maps,
    (weights, taps): (Weights<'_>, [usize; 9]),
    finish: Option<Finish<'_>>,
    ((h, w), edge): ((usize, usize), Edge),
) -> Maps {
    let images = x.sizes.images;
    let (mut y, corner) = match edge {
        Edge::Framed => (framed(bordered(images, weights.outputs, (h, w))), (BORDER, BORDER)),
        Edge::Bare => (Maps::new(crate::ops::blocked::maps::Sizes::of(images, weights.outputs, (h, w))), (0, 0)),
    };
    let tiles = (h / TILE, w / TILE);
    Winograd::<Same> {
        scheme: PhantomData,
        source: x.view(),
        scales: None,
        weights,
        taps,
        tiles,
        corner,
        finish,
        demodulation: None,
    }
    .compute(&mut y);
    y
}

/// Planes as maps with a border of zeros.
fn entered(numbers: &[f32], (n, c, (h, w)): (usize, usize, (usize, usize))) -> Maps {
    let mut maps = Maps::new(bordered(n, c, (h, w)));
    let planes = Planes { channels: c, rows: h, columns: w, first_image: 0 };
    from_planes(numbers, planes, (-(BORDER as isize), -(BORDER as isize)), &mut maps);
    maps
}

/// Maps without a border as planes.
fn left(maps: &Maps, (n, c, (h, w)): (usize, usize, (usize, usize))) -> Vec<f32> {
    let planes = Planes { channels: c, rows: h, columns: w, first_image: 0 };
    // SAFETY: all images are written, each number once.
    unsafe { written(n * c * h * w, |to| to_planes(maps, planes, to)) }
}

fn with_numbers<R>(tensor: &Tensor, work: impl FnOnce(&[f32]) -> R) -> candle_core::Result<R> {
    let (storage, layout) = tensor.storage_and_layout();
    match &*storage {
        Storage::Cpu(storage) => Ok(work(elements(storage, layout)?)),
        _ => candle_core::bail!("weights on the CPU"),
    }
}

/// The gradient where the ReLU has let something pass, as planes.
fn passed(y: &Tensor, gradient: &Tensor) -> candle_core::Result<Vec<f32>> {
    with_numbers(y, |y| {
        with_numbers(gradient, |gradient| {
            let numbers = y.par_iter().zip(gradient).with_min_len(1 << 14);
            numbers.map(|(&y, &gradient)| if y > 0.0 { gradient } else { 0.0 }).collect()
        })
    })?
}

/// Sets gradients to zero where the ReLU has let nothing pass.
fn keep_where_positive(gradient: &mut Maps, y: &Maps) {
    let row = y.sizes.row();
    gradient.memory.par_chunks_exact_mut(row).zip(y.memory.par_chunks_exact(row)).for_each(|(gradient, y)| {
        for (gradient, &y) in gradient.iter_mut().zip(y) {
            *gradient = if y > 0.0 { *gradient } else { 0.0 };
        }
    });
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Var};

    use super::*;
    use crate::draws::Draws;
    use crate::ops::{Convolution, conv2d};
    use crate::random::RandomState;

    fn plain(x: &Tensor, layers: &[ReluConv]) -> Tensor {
        let spec = Convolution { padding: [1; 4], ..Convolution::default() };
        layers.iter().fold(x.clone(), |x, layer| {
            let y = conv2d(&x.into(), &(&layer.weight).into(), &spec).unwrap().into_value();
            y.broadcast_add(&layer.bias.reshape((1, (), 1, 1)).unwrap()).unwrap().relu().unwrap()
        })
    }

    fn off(a: &Tensor, b: &Tensor) -> f32 {
        let norm = |x: &Tensor| x.sqr().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap().sqrt();
        norm(&(a - b).unwrap()) / norm(b)
    }

    #[test]
    fn a_stack_gives_what_its_layers_give_and_so_does_its_gradient() {
        let rng = &mut RandomState::new(4);
        for (n, widths, (h, w)) in
            [(1, vec![3, 20], (16, 20)), (2, vec![17, 32, 5], (12, 8)), (1, vec![16, 64, 16, 40], (32, 16))]
        {
            let layers: Vec<ReluConv> = widths
                .windows(2)
                .map(|pair| ReluConv {
                    weight: (rng.normal(&[pair[1], pair[0], 3, 3]).unwrap() * (pair[0] as f64 * 4.5).powf(-0.5))
                        .unwrap(),
                    bias: rng.normal(&[pair[1]]).unwrap(),
                })
                .collect();
            let x = Var::from_tensor(&rng.normal(&[n, widths[0], h, w]).unwrap()).unwrap();
            let direction = rng.normal(&[n, *widths.last().unwrap(), h, w]).unwrap();
            let both = [relu_stack(x.as_tensor(), &layers).unwrap().expect("it fits"), plain(x.as_tensor(), &layers)];
            let gradients = both.clone().map(|y| {
                let gradients = (y * &direction).unwrap().sum_all().unwrap().backward().unwrap();
                gradients.get(x.as_tensor()).unwrap().clone()
            });
            assert!(off(&both[0], &both[1]) < 1e-5, "{widths:?}: {}", off(&both[0], &both[1]));
            assert!(off(&gradients[0], &gradients[1]) < 1e-4, "{widths:?}: {}", off(&gradients[0], &gradients[1]));
        }
    }

    #[test]
    fn other_sizes_and_precisions_go_the_general_way() {
        let layer = |dtype| ReluConv {
            weight: Tensor::zeros((4, 4, 3, 3), dtype, &Device::Cpu).unwrap(),
            bias: Tensor::zeros(4, dtype, &Device::Cpu).unwrap(),
        };
        let x = |side: usize, dtype| Tensor::zeros((1, 4, side, side), dtype, &Device::Cpu).unwrap();
        assert!(relu_stack(&x(18, DType::F32), &[layer(DType::F32)]).unwrap().is_none());
        assert!(relu_stack(&x(16, DType::F64), &[layer(DType::F64)]).unwrap().is_none());
        assert!(relu_stack(&x(16, DType::F32), &[layer(DType::F32)]).unwrap().is_some());
    }
}
