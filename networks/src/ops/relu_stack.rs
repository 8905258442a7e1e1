//! Some 3x3 convolutions in a row, each with bias and ReLU, whose weights nobody changes: what classifiers consist of.
//!
//! The features stay in blocks of 16 channels from the first layer to the last, forwards and backwards.

use std::sync::Mutex;

use candle_core::{CpuStorage, CustomOp1, DType, Layout, Shape, Tensor};
use rayon::prelude::*;

use crate::error::Result;
use crate::ops::blocked::maps::{Maps, Planes, from_planes, to_planes};
use crate::ops::blocked::memory::written;
use crate::ops::blocked::styled::{BORDER, bordered};
use crate::ops::conv::Method;
use crate::ops::real::elements;
use crate::ops::relu_conv::{Edge, ReluConv, fits_tiles, with_numbers};
use crate::timing::timed;

/// Applies the layers one after the other, or says nothing where the general way has to be taken.
///
/// # Shapes
/// x `[N, I, H, W]` → `[N, O, H, W]`
///
/// # Errors
/// When the layers do not fit one another.
pub(crate) fn relu_stack(x: &Tensor, layers: &[ReluConv]) -> Result<Option<Tensor>> {
    let (n, mut width, h, w) = x.dims4()?;
    let is_single = x.dtype() == DType::F32 && x.device().is_cpu();
    let fits = is_single && fits_tiles(n, (h, w)) && layers.iter().all(ReluConv::is_served);
    if !(fits && Method::by_tiles()) {
        return Ok(None);
    }
    for layer in layers {
        let (outputs, inputs) = layer.channels()?;
        if inputs != width {
            return Err(crate::Error::value("input channels", inputs, width));
        }
        width = outputs;
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

impl CustomOp1 for Stack {
    fn name(&self) -> &'static str {
        "convolutions with ReLU"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let (n, c, h, w) = layout.shape().dims4()?;
        let last = self.layers.len() - 1;
        let outputs = self.layers[last].bias.dim(0)?;
        let operations = self.layers.iter().map(|layer| layer.operations(n, (h, w))).sum();
        let numbers = elements(storage, layout)?;
        let result = timed(self.name(), operations, || -> candle_core::Result<Vec<f32>> {
            let mut x = entered(numbers, (n, c, (h, w)));
            let mut between = Vec::new();
            for (index, layer) in self.layers.iter().enumerate() {
                let y = layer.forwards(&x, if index == last { Edge::Bare } else { Edge::Framed })?;
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
            let mut gradient = entered(&passed(arguments.0, arguments.1)?, (n, y.dim(1)?, (h, w)));
            for (layer, mut x) in self.layers[1..].iter().zip(between).rev() {
                layer.backwards_into(&gradient, &mut x)?;
                gradient = x;
            }
            Ok(left(&self.layers[0].backwards(&gradient)?, (n, c, (h, w))))
        })?;
        Ok(Some(Tensor::from_vec(numbers, (n, c, h, w), x.device())?))
    }
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

/// The gradient where the ReLU has let something pass, as planes.
fn passed(y: &Tensor, gradient: &Tensor) -> candle_core::Result<Vec<f32>> {
    with_numbers(y, |y| {
        with_numbers(gradient, |gradient| {
            let numbers = y.par_iter().zip(gradient).with_min_len(1 << 14);
            numbers.map(|(&y, &gradient)| if y > 0.0 { gradient } else { 0.0 }).collect()
        })
    })?
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
