//! The end of a layer: filter, demodulation, noise, bias, activation and clamp in one operator.

use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp2, CustomOp3, Layout, Result as CandleResult, Shape, Tensor};

use super::filter::plan;
use super::numbers::{cut_off, filled_up, numbers_of, result, slice, tensor};
use super::scaling::tangent_of_scaling;
use super::{Features, shape, sizes};
use crate::error::{Error, Result};
use crate::grad::Dual;
use crate::ops::blocked::filtered::Separable;
use crate::ops::blocked::finish::{Finish, Noise};
use crate::ops::blocked::maps::Sizes;
use crate::ops::blocked::{self, LANES, blocks_of};
use crate::ops::{BiasAct, Filter, Resample, expect_shape};
use crate::timing::timed;

/// What follows a convolution: clamp(gain · act(filter(x) · factors + noise + bias)).
pub(crate) struct Ending<'a> {
    pub filter: Option<(&'a Filter, Resample)>,
    /// `[N, C]`
    pub factors: Option<&'a Dual>,
    /// `[N or 1, 1, H, W]`
    pub noise: Option<&'a Dual>,
    /// `[C]`
    pub bias: &'a Dual,
    pub act: &'a BiasAct,
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
}

impl Features {
    /// Finishes a layer.
    ///
    /// # Errors
    /// [`Error::Shape`] when something does not fit, [`Error::Value`] for other activations, for filters that are not
    /// separable, and for noise or bias with a tangent.
    pub fn finish(&self, ending: &Ending<'_>) -> Result<Features> {
        let (n, h, w) = self.size();
        let filter = ending.filter.as_ref().map(|(filter, spec)| plan((h, w), filter, spec)).transpose()?;
        let Some((slope, gain, clamp)) = lines(ending.act) else {
            return Err(Error::value("activation", format!("{:?}", ending.act.activation), "two straight lines"));
        };
        if ending.noise.into_iter().chain([ending.bias]).any(|term| term.tangent().is_some()) {
            return Err(Error::value("tangent of noise or bias", "given", "none"));
        }
        expect_shape("bias", ending.bias.value(), &[self.channels])?;
        let bias = ending.bias.value().unsqueeze(0)?; // [1, C]
        let constants = match ending.factors {
            Some(factors) => {
                expect_shape("factors", factors.value(), &[n, self.channels])?;
                Tensor::cat(&[&bias, factors.value()], 0)? // [1 + N, C]
            }
            None => bias.contiguous()?,
        };
        let operator = Finishing { filter, slope, gain, clamp, channels: self.channels };
        let value = match ending.noise {
            Some(noise) => self.x.value().apply_op3(&constants, &noise.value().contiguous()?, operator.clone())?,
            None => self.x.value().apply_op2(&constants, operator.clone())?,
        };
        let tangent = match ending.factors {
            Some(factors) => tangent_of_scaling(
                (self.x.value(), self.x.tangent()),
                (&factors.value().contiguous()?, factors.tangent()),
            )?,
            None => self.x.tangent().cloned(),
        };
        let x = match tangent {
            Some(tangent) => Dual::with_tangent(value.clone(), tangent.apply_op2(&value.detach(), Sloping(operator))?)?,
            None => value.into(),
        };
        Ok(Features { x, channels: self.channels })
    }
}

/// (sums, constants `[1, C]` or `[1 + N, C]`: the bias, then the factors; noise `[N or 1, 1, H, W]`) → features
#[derive(Clone)]
struct Finishing {
    filter: Option<Arc<Separable>>,
    slope: f32,
    gain: f32,
    clamp: f32,
    channels: usize,
}

/// (tangent of sums · factors, features) → tangent of the features
struct Sloping(Finishing);

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

impl Finishing {
    fn ending<'a>(&'a self, constants: &'a Constants, noise: Option<Noise<'a>>) -> blocked::ending::Ending<'a> {
        let finish = Finish {
            factors: constants.factors.as_deref(),
            bias: &constants.bias,
            noise,
            gain: self.gain,
            slope: self.slope,
            clamp: self.clamp,
        };
        blocked::ending::Ending { filter: self.filter.as_deref(), finish }
    }

    /// Sizes of the sums and of the result.
    fn sizes(&self, sums: &[usize]) -> CandleResult<[Sizes; 2]> {
        let sizes = sizes(sums).map_err(candle_core::Error::wrap)?;
        Ok([sizes, self.filter.as_ref().map_or(sizes, |filter| filter.filtered(sizes))])
    }

    fn noise<'a>(&self, numbers: &'a [f32], result: Sizes) -> CandleResult<Noise<'a>> {
        let area = result.rows * result.columns;
        if numbers.len() != area && numbers.len() != result.images * area {
            candle_core::bail!("noise of {} numbers for images of {area} pixels", numbers.len());
        }
        let image_step = if numbers.len() == area { 0 } else { area };
        Ok(Noise { numbers, columns: result.columns, image_step })
    }

    fn forward(
        &self,
        (sums, layout): (&[f32], &Layout),
        constants: &[f32],
        noise: Option<&[f32]>,
    ) -> CandleResult<(CpuStorage, Shape)> {
        let [sizes, to_sizes] = self.sizes(layout.dims())?;
        let constants = Constants::new(constants, self.channels);
        let noise = noise.map(|noise| self.noise(noise, to_sizes)).transpose()?;
        let ending = self.ending(&constants, noise);
        Ok(result(timed("end of a layer", 0, || ending.forward(sums, sizes)), &shape(to_sizes)))
    }

    /// Gradients by sums, constants and noise.
    fn backward(
        &self,
        (sums, constants, noise): (&Tensor, &Tensor, Option<&Tensor>),
        (y, gradient): (&Tensor, &Tensor),
    ) -> CandleResult<(Tensor, Tensor, Option<Tensor>)> {
        let [sizes, to_sizes] = self.sizes(sums.dims())?;
        let filled = Constants::new(&numbers_of(constants)?, self.channels);
        let noise_numbers = noise.map(numbers_of).transpose()?;
        let noise_of = noise_numbers.as_deref().map(|noise| self.noise(noise, to_sizes)).transpose()?;
        let ending = self.ending(&filled, noise_of);
        let (gradient, y, sums_of) = (numbers_of(gradient)?, numbers_of(y)?, numbers_of(sums)?);
        let gradients = timed("end of a layer, backwards", 0, || ending.backward(&gradient, (&sums_of, sizes), &y));
        let mut rows = cut_off(&gradients.bias, self.channels);
        if filled.factors.is_some() {
            rows.extend(cut_off(&gradients.factors, self.channels));
        }
        let of_noise = noise.map(|noise| {
            let all = tensor(gradients.noise, (to_sizes.images, 1, to_sizes.rows, to_sizes.columns))?;
            if noise.dim(0)? == 1 { all.sum_keepdim(0) } else { Ok(all) }
        });
        Ok((tensor(gradients.sums, sums.shape())?, tensor(rows, constants.shape())?, of_noise.transpose()?))
    }
}

impl CustomOp2 for Finishing {
    fn name(&self) -> &'static str {
        "end of a layer"
    }

    fn cpu_fwd(&self, s1: &CpuStorage, l1: &Layout, s2: &CpuStorage, l2: &Layout) -> CandleResult<(CpuStorage, Shape)> {
        self.forward((slice(s1, l1)?, l1), slice(s2, l2)?, None)
    }

    fn bwd(
        &self,
        sums: &Tensor,
        constants: &Tensor,
        y: &Tensor,
        gradient: &Tensor,
    ) -> CandleResult<(Option<Tensor>, Option<Tensor>)> {
        let (sums, constants, _) = self.backward((sums, constants, None), (y, &gradient.contiguous()?))?;
        Ok((Some(sums), Some(constants)))
    }
}

impl CustomOp3 for Finishing {
    fn name(&self) -> &'static str {
        "end of a layer"
    }

    fn cpu_fwd(
        &self,
        s1: &CpuStorage,
        l1: &Layout,
        s2: &CpuStorage,
        l2: &Layout,
        s3: &CpuStorage,
        l3: &Layout,
    ) -> CandleResult<(CpuStorage, Shape)> {
        self.forward((slice(s1, l1)?, l1), slice(s2, l2)?, Some(slice(s3, l3)?))
    }

    fn bwd(
        &self,
        sums: &Tensor,
        constants: &Tensor,
        noise: &Tensor,
        y: &Tensor,
        gradient: &Tensor,
    ) -> CandleResult<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let arguments = (sums, constants, Some(noise));
        let (sums, constants, noise) = self.backward(arguments, (y, &gradient.contiguous()?))?;
        Ok((Some(sums), Some(constants), noise))
    }
}

impl CustomOp2 for Sloping {
    fn name(&self) -> &'static str {
        "tangent of a layer's end"
    }

    fn cpu_fwd(&self, s1: &CpuStorage, l1: &Layout, s2: &CpuStorage, l2: &Layout) -> CandleResult<(CpuStorage, Shape)> {
        let [sizes, to_sizes] = self.0.sizes(l1.dims())?;
        let constants = Constants::none(self.0.channels);
        let (tangent, y) = (slice(s1, l1)?, slice(s2, l2)?);
        let ending = self.0.ending(&constants, None);
        Ok(result(timed(self.name(), 0, || ending.tangent((tangent, sizes), y)), &shape(to_sizes)))
    }

    fn bwd(
        &self,
        tangent: &Tensor,
        y: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> CandleResult<(Option<Tensor>, Option<Tensor>)> {
        let [sizes, _] = self.0.sizes(tangent.dims())?;
        let constants = Constants::none(self.0.channels);
        let ending = self.0.ending(&constants, None);
        let gradient = gradient.contiguous()?;
        let (gradient, y, sums) = (numbers_of(&gradient)?, numbers_of(y)?, numbers_of(tangent)?);
        let gradients = timed(self.name(), 0, || ending.backward(&gradient, (&sums, sizes), &y));
        Ok((Some(tensor(gradients.sums, tangent.shape())?), None))
    }
}
