//! Rendering without gradients: the features stay in blocks of 16 channels from the first layer to the last, and each layer
//! is two or three passes over them.
//!
//! Serves what the published generators are; anything else (gradients or tangents wanted, half precision, residual
//! blocks, other filters) goes the general way, and so does this when a shape is not as expected.

use candle_core::{DType, Device, Storage, Tensor};
use rayon::prelude::*;

use super::{Entry, NoiseInput, NoiseOf, StyledConv, Synthesis, SynthesisBlock, ToRgb, convolutions};
use crate::error::Result;
use crate::grad::Dual;
use crate::ops::blocked::colours::Colours;
use crate::ops::blocked::finish::{self, Finish};
use crate::ops::blocked::maps::{Maps, Planes, from_planes};
use crate::ops::blocked::styled::{self, BORDER, Layer};
use crate::ops::blocked::{LANES, blocks_of};
use crate::ops::real::elements;
use crate::ops::{self, Activation, Arithmetic, BiasAct, Filter};
use crate::stylegan2::synthesis::Noise;
use crate::timing::timed;

impl Synthesis {
    /// The image, or nothing where the general way has to be taken.
    pub(super) fn render(&self, ws: &Dual, noise: &Noise) -> Result<Option<Dual>> {
        let n = ws.dims()[0];
        if !is_constant(ws) || !self.blocks.iter().all(SynthesisBlock::is_plain) {
            return Ok(None);
        }
        // All styles at once: each is a small product that waits for memory.
        let styles: Vec<Styles> = self.blocks.par_iter().map(|block| block.styles_of(ws)).collect::<Result<_>>()?;
        let (mut features, mut image) = (None, None);
        for (index, (block, styles)) in self.blocks.iter().zip(&styles).enumerate() {
            let convolutions = convolutions(block.resolution);
            let noises = (noise.of(*convolutions.start())?, noise.of(*convolutions.end())?);
            let Some(x) = block.enter((features, n), (&styles.growing, noises.0))? else { return Ok(None) };
            let (Some(to_rgb), Some(of_rgb)) = (&block.to_rgb, &styles.to_rgb) else { return Ok(None) };
            let size = styled::inner(x.sizes);
            let is_last = index + 1 == self.blocks.len();
            let convolve = |layer: &Layer<'_>| {
                to_rgb.with_colours(of_rgb, |colours| match is_last {
                    true => (None, layer.paint(&x, colours)),
                    false => {
                        let (x, image) = layer.convolve(&x, colours);
                        (Some(x), image)
                    }
                })
            };
            let Some(convolved) = block.conv1.with_layer((n, size), (&styles.same, noises.1), convolve)? else {
                return Ok(None);
            };
            let (x, rgb) = convolved?;
            let rgb = Tensor::from_vec(rgb, (n, to_rgb.colours()?, size.0, size.1), &Device::Cpu)?.into();
            image = Some(match image {
                Some(below) => timed("image", 0, || ops::upsample2d(&below, &block.filter, 2)?.add(&rgb))?,
                None => rgb,
            });
            features = x;
        }
        Ok(image)
    }
}

/// The styles of a block's layers, `[N, I]`.
struct Styles {
    growing: Option<Dual>,
    same: Dual,
    to_rgb: Option<Dual>,
}

impl SynthesisBlock {
    /// What the layers make of their w.
    fn styles_of(&self, ws: &Dual) -> Result<Styles> {
        let (n, _, w_dim) = ws.value().dims3()?;
        let w_at = |index: usize| ws.narrow(1, index, 1)?.reshape((n, w_dim));
        let convolutions = convolutions(self.resolution);
        let (first, last) = (*convolutions.start(), *convolutions.end());
        let growing = match &self.entry {
            Entry::Const(_) => None,
            Entry::Grow { conv0, .. } => Some(conv0.affine.forward(&w_at(first)?)?),
        };
        let same = self.conv1.affine.forward(&w_at(last)?)?;
        let to_rgb = match &self.to_rgb {
            None => None,
            Some(to_rgb) => Some(to_rgb.affine.forward(&w_at(last + 1)?)?),
        };
        Ok(Styles { growing, same, to_rgb })
    }

    /// Whether all layers are of the kind that is served here.
    fn is_plain(&self) -> bool {
        let grows = match &self.entry {
            Entry::Const(constant) => is_constant(constant),
            Entry::Grow { conv0, skip } => skip.is_none() && conv0.is_plain() && conv0.taps().is_some(),
        };
        let to_rgb = self.to_rgb.as_ref().is_some_and(ToRgb::is_plain);
        grows && to_rgb && self.conv1.is_plain() && self.arithmetic == Arithmetic::Single
    }

    /// The features that `conv1` reads.
    fn enter(
        &self,
        (below, n): (Option<Maps>, usize),
        (styles, noise): (&Option<Dual>, NoiseOf<'_>),
    ) -> Result<Option<Maps>> {
        match (&self.entry, below) {
            (Entry::Const(constant), _) => {
                let (_one, c, h, w_px) = constant.dims4()?;
                let mut maps = Maps::new(styled::bordered(n, c, (h, w_px)));
                let numbers = constant.value().broadcast_as((n, c, h, w_px))?.flatten_all()?.to_vec1::<f32>()?;
                let planes = Planes { channels: c, rows: h, columns: w_px, first_image: 0 };
                from_planes(&numbers, planes, (-(BORDER as isize), -(BORDER as isize)), &mut maps);
                Ok(Some(maps))
            }
            (Entry::Grow { conv0, .. }, Some(below)) => {
                let (Some(taps), Some(styles)) = (conv0.taps(), styles) else { return Ok(None) };
                let (rows, columns) = styled::inner(below.sizes);
                conv0.with_layer((n, (2 * rows, 2 * columns)), (styles, noise), |layer| layer.grow(&below, taps))
            }
            (Entry::Grow { .. }, None) => Ok(None),
        }
    }
}

impl StyledConv {
    fn is_plain(&self) -> bool {
        let parameters =
            [&self.weight, &self.bias].into_iter().chain(self.noise.iter().flat_map(NoiseInput::parameters));
        self.arithmetic == Arithmetic::Single
            && self.affine.parameters().into_iter().chain(parameters).all(is_constant)
            && lines(&self.act).is_some()
    }

    /// Vertical and horizontal taps of the filter in the order in which pixels meet them, with the gain of growing.
    fn taps(&self) -> Option<[[f32; 4]; 2]> {
        taps(&self.filter)
    }

    /// Works with the layer and styles for `n` images whose result is of a size; nothing when the noise has an unexpected shape.
    fn with_layer<R>(
        &self,
        (n, size): (usize, (usize, usize)),
        (styles, noise): (&Dual, NoiseOf<'_>),
        work: impl FnOnce(&Layer<'_>) -> R,
    ) -> Result<Option<R>> {
        let (outputs, inputs, _, _) = self.weight.dims4()?;
        let styles = filled_up(styles.value())?;
        let bias = filled_up(&self.bias.value().unsqueeze(0)?)?;
        let noise = match (&self.noise, noise) {
            (None, _) | (_, NoiseOf::None) => None,
            (Some(own), NoiseOf::Const) => Some(own.scaled(&own.constant)?),
            (Some(own), NoiseOf::Given(image)) if is_constant(image) => Some(own.scaled(image)?),
            (Some(_), NoiseOf::Given(_)) => return Ok(None),
        };
        let area = size.0 * size.1;
        let noise = match &noise {
            None => None,
            Some(numbers) if [area, area * n].contains(&numbers.len()) => {
                let image_step = if numbers.len() == area { 0 } else { area };
                Some(finish::Noise { numbers, columns: size.1, image_step })
            }
            Some(_) => return Ok(None),
        };
        let Some((slope, gain, clamp)) = lines(&self.act) else { return Ok(None) };
        let finish = Finish { factors: None, bias: &bias, noise, gain, slope, clamp };
        let weight = self.weight.value().contiguous()?;
        let (storage, layout) = weight.storage_and_layout();
        let Storage::Cpu(storage) = &*storage else { return Ok(None) };
        Ok(Some(work(&Layer { weight: elements(storage, layout)?, outputs, inputs, styles: &styles, finish })))
    }
}

impl NoiseInput {
    fn parameters(&self) -> [&Dual; 2] {
        [&self.constant, &self.strength]
    }

    /// The numbers of noise images times the layer's strength.
    fn scaled(&self, image: &Dual) -> Result<Vec<f32>> {
        let strength = self.strength.value().to_scalar::<f32>()?;
        let mut numbers = image.value().flatten_all()?.to_vec1::<f32>()?;
        numbers.iter_mut().for_each(|number| *number *= strength);
        Ok(numbers)
    }
}

impl ToRgb {
    fn is_plain(&self) -> bool {
        let parameters = self.affine.parameters().into_iter().chain([&self.weight, &self.bias]);
        let linear = self.act.activation == Activation::Linear && self.act.gain() == 1.0;
        self.arithmetic == Arithmetic::Single && linear && parameters.into_iter().all(is_constant)
    }

    /// Number of colours.
    fn colours(&self) -> Result<usize> {
        Ok(self.weight.dims4()?.0)
    }

    /// Works with the layer's weighted sums.
    fn with_colours<R>(&self, styles: &Dual, work: impl FnOnce(&Colours<'_>) -> R) -> Result<R> {
        let (outputs, inputs, _, _) = self.weight.dims4()?;
        let styles = styles.scale(1.0 / (inputs as f64).sqrt())?; // [N, I]
        let n = styles.dims()[0];
        let weights = self.weight.value().reshape((1, outputs, inputs))?;
        let weights = weights.broadcast_mul(&styles.value().unsqueeze(1)?)?; // [N, O, I]
        let weights = filled_up(&weights.reshape((n * outputs, inputs))?)?;
        let bias = self.bias.value().to_vec1::<f32>()?;
        let clamp = self.act.clamp.map_or(f32::INFINITY, |clamp| clamp as f32);
        Ok(work(&Colours { weights: &weights, bias: &bias, clamp }))
    }
}

/// Whether a tensor is in single precision on the CPU and nobody follows its gradient.
fn is_constant(dual: &Dual) -> bool {
    let value = dual.value();
    dual.tangent().is_none() && !value.track_op() && value.dtype() == DType::F32 && value.device().is_cpu()
}

/// Slope, gain and clamp of an activation of two lines whose larger one counts.
fn lines(act: &BiasAct) -> Option<(f32, f32, f32)> {
    let slope = act.activation.negative_slope(act.alpha).filter(|slope| (0.0..=1.0).contains(slope))?;
    Some((slope as f32, act.gain() as f32, act.clamp.map_or(f32::INFINITY, |clamp| clamp as f32)))
}

fn taps(filter: &Filter) -> Option<[[f32; 4]; 2]> {
    let [(vertical, horizontal)] = filter.factors().try_into().ok()?;
    // Growing both axes leaves a quarter of the pixels, which the gain makes up for.
    let turned = |taps: Vec<f64>, gain: f64| -> Option<[f32; 4]> {
        let taps: [f64; 4] = taps.try_into().ok()?;
        Some([3, 2, 1, 0].map(|i| (taps[i] * gain) as f32))
    };
    Some([turned(vertical, 4.0)?, turned(horizontal, 1.0)?])
}

/// Rows `[N, C]`, each filled up with zeros to whole blocks of channels.
fn filled_up(rows: &Tensor) -> Result<Vec<f32>> {
    let (n, channels) = rows.dims2()?;
    let filled = blocks_of(channels) * LANES;
    let mut numbers = vec![0.0; n * filled];
    let from = rows.flatten_all()?.to_vec1::<f32>()?;
    for (to, from) in numbers.chunks_exact_mut(filled).zip(from.chunks_exact(channels)) {
        to[..channels].copy_from_slice(from);
    }
    Ok(numbers)
}
