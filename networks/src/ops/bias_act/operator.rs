//! The fused operators for activations that consist of two straight lines through the origin.
//!
//! The function is piecewise linear, so its derivative is a factor that the sign and size of the result determine, and
//! the derivative of that factor is zero: three operators are closed under differentiation.

use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Shape, Tensor};
use rayon::prelude::*;

use crate::ops::real::{Real, elements};
use crate::timing::timed;

/// Numbers that make a task.
const NUMBERS_PER_TASK: usize = 1 << 14;
/// Partial sums that are kept at a time, so that sums stay in registers and roundings few.
const LANES: usize = 16;

/// clamp(gain · v, ±clamp) for positive v, clamp(gain · slope · v, ±clamp) otherwise.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lines {
    pub slope: f64,
    pub gain: f64,
    pub clamp: f64,
}

/// A tensor seen as rows of `inner` numbers, each of which belongs to one of `channels` channels in turn.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rows {
    pub channels: usize,
    pub inner: usize,
}

/// (x, bias) → lines(x + bias)
#[derive(Clone, Copy, Debug)]
pub(super) struct Biased(pub Lines, pub Rows);
/// x → lines(x)
#[derive(Clone, Copy, Debug)]
pub(super) struct Unbiased(pub Lines);
/// (gradient, lines(v)) → gradient · lines'(v)
#[derive(Clone, Copy, Debug)]
pub(super) struct Slope(pub Lines);
/// Sum over everything but the channel.
#[derive(Clone, Copy, Debug)]
struct ChannelSum(Rows);

/// Applies [`Slope`]; what it multiplies with is piecewise constant, so the result `y` is cut off from the graph.
pub(super) fn slope(lines: Lines, gradient: &Tensor, y: &Tensor) -> candle_core::Result<Tensor> {
    gradient.contiguous()?.apply_op2(&y.detach(), Slope(lines))
}

impl Lines {
    /// The function, in the type of its argument.
    fn function<T: Real>(&self) -> impl Fn(T) -> T + Copy + Send + Sync {
        let (gain, slope) = (T::from_f64(self.gain), T::from_f64(self.gain * self.slope));
        let (low, high) = (T::from_f64(-self.clamp), T::from_f64(self.clamp));
        move |v| {
            let y = if v > T::zero() { v * gain } else { v * slope };
            let y = if y > high { high } else { y };
            if y < low { low } else { y }
        }
    }

    /// The derivative as a function of the result.
    fn derivative<T: Real>(&self) -> impl Fn(T) -> T + Copy + Send + Sync {
        let (gain, slope) = (T::from_f64(self.gain), T::from_f64(self.gain * self.slope));
        let (low, high) = (T::from_f64(-self.clamp), T::from_f64(self.clamp));
        move |y| {
            let factor = if y > T::zero() { gain } else { slope };
            if y >= high || y <= low { T::zero() } else { factor }
        }
    }
}

fn add_bias<T: Real>(Biased(lines, rows): Biased, x: &[T], bias: &[T]) -> Vec<T> {
    let f = lines.function::<T>();
    let mut result = vec![T::zero(); x.len()];
    let rows_per_task = (NUMBERS_PER_TASK / rows.inner.max(1)).max(1);
    let chunk = (rows_per_task * rows.inner).max(1);
    result.par_chunks_mut(chunk).zip(x.par_chunks(chunk)).enumerate().for_each(|(task, (to, from))| {
        let parts = to.chunks_exact_mut(rows.inner).zip(from.chunks_exact(rows.inner));
        for (row, (to, from)) in parts.enumerate() {
            let bias = bias[(task * rows_per_task + row) % rows.channels];
            to.iter_mut().zip(from).for_each(|(to, &x)| *to = f(x + bias));
        }
    });
    result
}

fn map<T: Real>(x: &[T], f: impl Fn(T) -> T + Sync) -> Vec<T> {
    let mut result = vec![T::zero(); x.len()];
    result.par_chunks_mut(NUMBERS_PER_TASK).zip(x.par_chunks(NUMBERS_PER_TASK)).for_each(|(to, from)| {
        to.iter_mut().zip(from).for_each(|(to, &x)| *to = f(x));
    });
    result
}

fn multiply_by_slope<T: Real>(lines: Lines, gradient: &[T], y: &[T]) -> Vec<T> {
    let derivative = lines.derivative::<T>();
    let mut result = vec![T::zero(); gradient.len()];
    let sources = gradient.par_chunks(NUMBERS_PER_TASK).zip(y.par_chunks(NUMBERS_PER_TASK));
    result.par_chunks_mut(NUMBERS_PER_TASK).zip(sources).for_each(|(to, (gradient, y))| {
        to.iter_mut().zip(gradient.iter().zip(y)).for_each(|(to, (&gradient, &y))| *to = gradient * derivative(y));
    });
    result
}

fn channel_sums<T: Real>(rows: Rows, x: &[T]) -> Vec<T> {
    let sum_of_row = |row: &[T]| {
        let mut lanes = [T::zero(); LANES];
        let parts = row.chunks_exact(LANES);
        let rest: f64 = parts.remainder().iter().map(|&x| x.to_f64()).sum();
        for part in parts {
            lanes.iter_mut().zip(part).for_each(|(lane, &x)| *lane += x);
        }
        lanes.iter().map(|&lane| lane.to_f64()).sum::<f64>() + rest
    };
    let sum = |channel: usize| x.chunks_exact(rows.inner).skip(channel).step_by(rows.channels).map(sum_of_row).sum();
    (0..rows.channels).into_par_iter().map(|channel| T::from_f64(sum(channel))).collect()
}

impl CustomOp2 for Biased {
    fn name(&self) -> &'static str {
        "bias and activation"
    }

    fn cpu_fwd(
        &self,
        s1: &CpuStorage,
        l1: &Layout,
        s2: &CpuStorage,
        l2: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let storage = match s1 {
            CpuStorage::F32(_) => {
                let (x, bias) = (elements(s1, l1)?, elements(s2, l2)?);
                CpuStorage::F32(timed(self.name(), 0, || add_bias(*self, x, bias)))
            }
            CpuStorage::F64(_) => CpuStorage::F64(add_bias(*self, elements(s1, l1)?, elements(s2, l2)?)),
            _ => candle_core::bail!("{} need single or double precision", self.name()),
        };
        Ok((storage, l1.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        bias: &Tensor,
        y: &Tensor,
        gradient: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        let gradient = slope(self.0, gradient, y)?;
        let of_bias = bias.track_op().then(|| gradient.apply_op1(ChannelSum(self.1))).transpose()?;
        Ok((x.track_op().then_some(gradient), of_bias))
    }
}

impl CustomOp1 for Unbiased {
    fn name(&self) -> &'static str {
        "activation"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let storage = match storage {
            CpuStorage::F32(_) => CpuStorage::F32(map(elements(storage, layout)?, self.0.function())),
            CpuStorage::F64(_) => CpuStorage::F64(map(elements(storage, layout)?, self.0.function())),
            _ => candle_core::bail!("an activation needs single or double precision"),
        };
        Ok((storage, layout.shape().clone()))
    }

    fn bwd(&self, _: &Tensor, y: &Tensor, gradient: &Tensor) -> candle_core::Result<Option<Tensor>> {
        Ok(Some(slope(self.0, gradient, y)?))
    }
}

impl CustomOp2 for Slope {
    fn name(&self) -> &'static str {
        "slope of an activation"
    }

    fn cpu_fwd(
        &self,
        s1: &CpuStorage,
        l1: &Layout,
        s2: &CpuStorage,
        l2: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let storage = match s1 {
            CpuStorage::F32(_) => {
                let (gradient, y) = (elements(s1, l1)?, elements(s2, l2)?);
                CpuStorage::F32(timed(self.name(), 0, || multiply_by_slope(self.0, gradient, y)))
            }
            CpuStorage::F64(_) => CpuStorage::F64(multiply_by_slope(self.0, elements(s1, l1)?, elements(s2, l2)?)),
            _ => candle_core::bail!("a {} needs single or double precision", self.name()),
        };
        Ok((storage, l1.shape().clone()))
    }

    fn bwd(
        &self,
        _: &Tensor,
        y: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        Ok((Some(slope(self.0, gradient, y)?), None))
    }
}

impl CustomOp1 for ChannelSum {
    fn name(&self) -> &'static str {
        "sum by channel"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let storage = match storage {
            CpuStorage::F32(_) => {
                let x = elements(storage, layout)?;
                CpuStorage::F32(timed(self.name(), 0, || channel_sums(self.0, x)))
            }
            CpuStorage::F64(_) => CpuStorage::F64(channel_sums(self.0, elements(storage, layout)?)),
            _ => candle_core::bail!("a {} needs single or double precision", self.name()),
        };
        Ok((storage, self.0.channels.into()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, gradient: &Tensor) -> candle_core::Result<Option<Tensor>> {
        let outer = x.elem_count() / (self.0.channels * self.0.inner);
        let spread = gradient.reshape((1, self.0.channels, 1))?.broadcast_as((outer, self.0.channels, self.0.inner))?;
        Ok(Some(spread.reshape(x.shape())?))
    }
}
