//! The end of a layer: filter, demodulation, noise, bias, activation and clamp in one operator.

use std::sync::Arc;

use candle_core::{Result as CandleResult, Tensor};

use super::Features;
use super::filter::plan;
use super::node::{Backward, Node};
use super::numbers::{cut_off, filled_up, numbers_of, tensor};
use super::scaling::tangent_of_scaling;
use crate::error::{Error, Result};
use crate::grad::Dual;
use crate::ops::blocked::ending::{self, OfNoise};
use crate::ops::blocked::filtered::Separable;
use crate::ops::blocked::finish::{Finish, Noise};
use crate::ops::blocked::maps::{Maps, Sizes};
use crate::ops::blocked::{LANES, blocks_of};
use crate::ops::{BiasAct, Filter, Resample, expect_shape};
use crate::timing::timed;

/// What follows a convolution: clamp(gain · act(filter(x) · factors + noise + bias)).
pub(crate) struct Ending<'a> {
    pub filter: Option<(&'a Filter, Resample)>,
    /// `[N, C]`
    pub factors: Option<&'a Dual>,
    pub noise: Option<NoiseTerm<'a>>,
    /// `[C]`
    pub bias: &'a Dual,
    pub act: &'a BiasAct,
}

/// image · strength
#[derive(Clone, Copy)]
pub(crate) struct NoiseTerm<'a> {
    /// `[N or 1, 1, H, W]`
    pub image: &'a Dual,
    /// A number.
    pub strength: &'a Dual,
}

/// Slope, gain and clamp of an activation of two lines whose larger one counts.
fn lines(act: &BiasAct) -> Option<(f32, f32, f32)> {
    let slope = act.activation.negative_slope(act.alpha).filter(|slope| (0.0..=1.0).contains(slope))?;
    Some((slope as f32, act.gain() as f32, act.clamp.map_or(f32::INFINITY, |clamp| clamp as f32)))
}

impl Ending<'_> {
    /// Whether an activation is of the kind that is served.
    pub fn serves(act: &BiasAct) -> bool {
        lines(act).is_some()
    }

    /// The bias, then the factors: `[1, C]` or `[1 + N, C]`.
    fn constants(&self, (n, channels): (usize, usize)) -> Result<Tensor> {
        expect_shape("bias", self.bias.value(), &[channels])?;
        let bias = self.bias.value().unsqueeze(0)?; // [1, C]
        let Some(factors) = self.factors else { return Ok(bias.contiguous()?) };
        expect_shape("factors", factors.value(), &[n, channels])?;
        Ok(Tensor::cat(&[&bias, factors.value()], 0)?) // [1 + N, C]
    }

    fn has_no_tangents(&self) -> bool {
        let noise = self.noise.iter().flat_map(|noise| [noise.image, noise.strength]);
        noise.chain([self.bias]).all(|term| term.tangent().is_none())
    }
}

impl Features {
    /// Finishes a layer.
    ///
    /// # Errors
    /// [`Error::Shape`] when something does not fit, [`Error::Value`] for other activations, for filters that are not
    /// separable, and for noise or bias with a tangent.
    pub fn finish(self, ending: &Ending<'_>) -> Result<Features> {
        let (n, h, w) = self.size();
        let Some((slope, gain, clamp)) = lines(ending.act) else {
            return Err(Error::value("activation", format!("{:?}", ending.act.activation), "two straight lines"));
        };
        if !ending.has_no_tangents() {
            return Err(Error::value("tangent of noise or bias", "given", "none"));
        }
        let filter = ending.filter.as_ref().map(|(filter, spec)| plan((h, w), filter, spec)).transpose()?;
        let constants = ending.constants((n, self.channels))?;
        let finishing = Finishing { filter, slope, gain, clamp, channels: self.channels };
        let scaled = match ending.factors {
            Some(factors) => {
                let features = (&self.value, self.tangent.as_ref());
                tangent_of_scaling(features, (factors.value(), factors.tangent()))?
            }
            None => self.tangent,
        };
        let value = finishing.apply(self.value, &constants, ending.noise)?;
        let tangent = scaled.map(|tangent| finishing.tangent(tangent, &value)).transpose()?;
        Ok(Features { value, tangent, channels: self.channels })
    }
}

/// Everything but what is learnt.
#[derive(Clone)]
struct Finishing {
    filter: Option<Arc<Separable>>,
    slope: f32,
    gain: f32,
    clamp: f32,
    channels: usize,
}

/// The constants of a layer, filled up.
struct Constants {
    bias: Vec<f32>,
    factors: Option<Vec<f32>>,
}

impl Constants {
    fn new(rows: &[f32], channels: usize) -> Self {
        let factors = (rows.len() > channels).then(|| filled_up(&rows[channels..], channels));
        Constants { bias: filled_up(&rows[..channels], channels), factors }
    }

    /// Those of a layer that only filters and has an activation.
    fn none(channels: usize) -> Self {
        Constants { bias: vec![0.0; blocks_of(channels) * LANES], factors: None }
    }
}

/// The noise of an image for maps of a size.
fn noise(numbers: &[f32], result: Sizes) -> CandleResult<Noise<'_>> {
    let area = result.rows * result.columns;
    if numbers.len() != area && numbers.len() != result.images * area {
        candle_core::bail!("noise of {} numbers for images of {area} pixels", numbers.len());
    }
    let image_step = if numbers.len() == area { 0 } else { area };
    Ok(Noise { numbers, columns: result.columns, image_step })
}

impl Finishing {
    fn ending<'a>(&'a self, constants: &'a Constants, noise: Option<Noise<'a>>) -> ending::Ending<'a> {
        let finish = Finish {
            factors: constants.factors.as_deref(),
            bias: &constants.bias,
            noise,
            gain: self.gain,
            slope: self.slope,
            clamp: self.clamp,
        };
        ending::Ending { filter: self.filter.as_deref(), finish }
    }

    fn apply(&self, sums: Node, constants: &Tensor, term: Option<NoiseTerm<'_>>) -> Result<Node> {
        let sizes = sums.maps().sizes;
        let Some(term) = term else {
            let (sums, maps) = self.forward(sums, constants, None)?;
            return Ok(Finished::node(self, (&sums, sizes, maps), NoiseKept::None, &[sums.token(), constants])?);
        };
        let (image, strength) = (term.image.value(), term.strength.value());
        if image.track_op() && strength.track_op() {
            let plane = image.broadcast_mul(strength)?.contiguous()?;
            let (sums, maps) = self.forward(sums, constants, Some(&plane))?;
            let kept = NoiseKept::Pixels { strength: 1.0 };
            return Ok(Finished::node(self, (&sums, sizes, maps), kept, &[sums.token(), constants, &plane])?);
        }
        let number = strength.to_scalar::<f32>()?;
        let plane = image.detach().affine(f64::from(number), 0.0)?.contiguous()?;
        let (sums, maps) = self.forward(sums, constants, Some(&plane))?;
        let (kept, argument) = match image.track_op() {
            true => (NoiseKept::Pixels { strength: number }, image),
            false => (NoiseKept::Image(image.contiguous()?), strength),
        };
        Ok(Finished::node(self, (&sums, sizes, maps), kept, &[sums.token(), constants, argument])?)
    }

    /// The result, and of the sums what the gradients need.
    fn forward(&self, sums: Node, constants: &Tensor, plane: Option<&Tensor>) -> CandleResult<(Node, Maps)> {
        let filled = Constants::new(&numbers_of(constants)?, self.channels);
        let sizes = sums.maps().sizes;
        let numbers = plane.map(numbers_of).transpose()?;
        let plane = numbers.as_deref().map(|plane| noise(plane, self.result(sizes))).transpose()?;
        let ending = self.ending(&filled, plane);
        timed("end of a layer", 0, || {
            if filled.factors.is_some() || self.filter.is_some() {
                let maps = ending.forward(sums.maps());
                return Ok((if filled.factors.is_some() { sums } else { sums.without_maps() }, maps));
            }
            let kept = sums.without_maps();
            let mut maps = sums.into_maps();
            ending.forward_in_place(&mut maps);
            Ok((kept, maps))
        })
    }

    fn result(&self, sums: Sizes) -> Sizes {
        self.filter.as_ref().map_or(sums, |filter| filter.filtered(sums))
    }

    /// The tangent of the result from that of the sums times the factors.
    fn tangent(&self, tangent: Node, result: &Node) -> Result<Node> {
        let constants = Constants::none(self.channels);
        let (kept, sizes) = (tangent.without_maps(), tangent.maps().sizes);
        let maps = timed("tangent of a layer's end", 0, || {
            self.ending(&constants, None).tangent(tangent.into_shared(), result.maps())
        });
        let backward = Sloping { finishing: self.clone(), tangent: kept.clone(), sizes, result: result.shared() };
        Ok(Node::new(maps, backward, &[kept.token()])?)
    }
}

/// What of the noise is kept for the gradients.
enum NoiseKept {
    None,
    /// Nothing but a factor: every pixel has its own.
    Pixels {
        strength: f32,
    },
    /// The image whose strength has one.
    Image(Tensor),
}

/// (sums, constants, noise or its strength) → features
struct Finished {
    finishing: Finishing,
    /// Without features where there are no factors.
    sums: Node,
    sizes: Sizes,
    result: Arc<Maps>,
    noise: NoiseKept,
}

impl Finished {
    fn node(
        finishing: &Finishing,
        (sums, sizes, result): (&Node, Sizes, Maps),
        noise: NoiseKept,
        arguments: &[&Tensor],
    ) -> CandleResult<Node> {
        let (result, finishing, sums) = (Arc::new(result), finishing.clone(), sums.clone());
        let backward = Finished { finishing, sums, sizes, result: result.clone(), noise };
        Node::new(result, backward, arguments)
    }
}

impl Finished {
    /// The gradient by the noise or its strength as a tensor like it.
    fn of_noise(&self, mut numbers: Vec<f32>, term: &Tensor) -> CandleResult<Tensor> {
        let NoiseKept::Pixels { strength } = self.noise else { return tensor(numbers, term.shape()) };
        let Sizes { images, rows, columns, .. } = self.result.sizes;
        numbers.iter_mut().for_each(|number| *number *= strength);
        let all = tensor(numbers, (images, 1, rows, columns))?;
        if images > 1 && term.dim(0)? == 1 { all.sum_keepdim(0) } else { Ok(all) }
    }
}

impl Backward for Finished {
    fn name(&self) -> &'static str {
        "end of a layer"
    }

    fn backward(&self, gradient: Arc<Maps>, arguments: &[&Tensor]) -> CandleResult<Vec<Option<Tensor>>> {
        let constants = arguments[1];
        let filled = Constants::new(&numbers_of(constants)?, self.finishing.channels);
        let image = match &self.noise {
            NoiseKept::Image(image) => Some(numbers_of(image)?),
            _ => None,
        };
        let of_noise = match (&self.noise, &image) {
            (NoiseKept::Image(_), Some(numbers)) => OfNoise::Strength(noise(numbers, self.result.sizes)?),
            (NoiseKept::Pixels { .. }, _) => OfNoise::Pixels,
            _ => OfNoise::None,
        };
        let ending = self.finishing.ending(&filled, None);
        let sums = filled.factors.is_some().then(|| self.sums.maps());
        let maps = (sums, self.sizes, &*self.result);
        let gradients = timed("end of a layer, backwards", 0, || ending.backward(gradient, maps, of_noise));
        let mut rows = cut_off(&gradients.bias, self.finishing.channels);
        if filled.factors.is_some() {
            rows.extend(cut_off(&gradients.factors, self.finishing.channels));
        }
        let mut of_arguments = vec![self.sums.give(gradients.sums)?, Some(tensor(rows, constants.shape())?)];
        if let Some(term) = arguments.get(2) {
            of_arguments.push(Some(self.of_noise(gradients.noise, term)?));
        }
        Ok(of_arguments)
    }
}

/// tangent of sums · factors → tangent of the features
struct Sloping {
    finishing: Finishing,
    /// Without features.
    tangent: Node,
    sizes: Sizes,
    result: Arc<Maps>,
}

impl Backward for Sloping {
    fn name(&self) -> &'static str {
        "tangent of a layer's end"
    }

    fn backward(&self, gradient: Arc<Maps>, _: &[&Tensor]) -> CandleResult<Vec<Option<Tensor>>> {
        let constants = Constants::none(self.finishing.channels);
        let ending = self.finishing.ending(&constants, None);
        let maps = (None, self.sizes, &*self.result);
        let gradients =
            timed("tangent of a layer's end, backwards", 0, || ending.backward(gradient, maps, OfNoise::None));
        Ok(vec![self.tangent.give(gradients.sums)?])
    }
}
