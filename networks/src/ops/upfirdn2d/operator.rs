//! The operator for candle's graph, on both axes and closed under taking the adjoint.

use candle_core::{CpuStorage, CustomOp1, Layout, Shape, Tensor};

use super::{Resample, cpu};
use crate::error::Result;
use crate::ops::real::{Real, elements};
use crate::ops::{Filter, Orientation};
use crate::timing::timed;

/// Up, filter, down on two axes, with the gain in the filter.
#[derive(Clone, Debug)]
pub(crate) struct Resampler {
    pub(super) y: Axis,
    pub(super) x: Axis,
    /// The filter is the sum of these.
    pub(super) terms: Vec<Term>,
}

/// y\[o\] = Σ_k taps\[k\] · x\[(o·down + k − before) / up\], over the k for which the division leaves no rest.
#[derive(Clone, Copy, Debug)]
pub(super) struct Axis {
    pub up: usize,
    pub down: usize,
    pub before: isize,
    pub input: usize,
    pub output: usize,
}

/// A filter that is the product of one for each axis, in the order of a correlation.
#[derive(Clone, Debug)]
pub(super) struct Term {
    pub vertical: Vec<f64>,
    pub horizontal: Vec<f64>,
}

impl Resampler {
    /// Plans the call `upfirdn2d(x, filter, spec)` for planes of height h and width w.
    pub fn for_size((h, w): (usize, usize), filter: &Filter, spec: &Resample) -> Result<Self> {
        let (height, width) = spec.output_size((h, w), filter)?;
        let [before_x, _, before_y, _] = spec.padding;
        let terms = filter.factors().into_iter().map(|(mut vertical, horizontal)| {
            vertical.iter_mut().for_each(|tap| *tap *= spec.gain);
            Term { vertical, horizontal }
        });
        let terms = match spec.orientation {
            Orientation::Correlation => terms.collect(),
            Orientation::Convolution => terms.map(Term::reversed).collect(),
        };
        Ok(Resampler {
            y: Axis { up: spec.up.1, down: spec.down.1, before: before_y, input: h, output: height },
            x: Axis { up: spec.up.0, down: spec.down.0, before: before_x, input: w, output: width },
            terms,
        })
    }

    /// Applies the operator to a tensor of any layout.
    pub fn apply(self, x: &Tensor) -> candle_core::Result<Tensor> {
        x.contiguous()?.apply_op1(self)
    }

    /// The transposed operator.
    pub fn adjoint(&self) -> Self {
        let taps = |side: fn(&Term) -> &Vec<f64>| self.terms.first().map_or(1, |term| side(term).len());
        Resampler {
            y: self.y.adjoint(taps(|term| &term.vertical)),
            x: self.x.adjoint(taps(|term| &term.horizontal)),
            terms: self.terms.iter().cloned().map(Term::reversed).collect(),
        }
    }
}

impl Axis {
    /// The two sides change places, the filter is turned round, and so is the place of its first tap.
    fn adjoint(self, taps: usize) -> Self {
        let before = taps as isize - 1 - self.before;
        Axis { up: self.down, down: self.up, before, input: self.output, output: self.input }
    }
}

impl Term {
    fn reversed(mut self) -> Self {
        self.vertical.reverse();
        self.horizontal.reverse();
        self
    }
}

impl CustomOp1 for Resampler {
    fn name(&self) -> &'static str {
        "upfirdn2d"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let (n, c, _, _) = layout.shape().dims4()?;
        let storage = match storage {
            CpuStorage::F32(_) => CpuStorage::F32(self.run(elements(storage, layout)?)),
            CpuStorage::F64(_) => CpuStorage::F64(self.run(elements(storage, layout)?)),
            _ => candle_core::bail!("upfirdn2d needs single or double precision"),
        };
        Ok((storage, (n, c, self.y.output, self.x.output).into()))
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, gradient: &Tensor) -> candle_core::Result<Option<Tensor>> {
        Ok(Some(self.adjoint().apply(gradient)?))
    }
}

/// For each position of a result along an axis, taps and the indices of what they meet.
pub(crate) type Sources = Vec<Vec<(f32, usize)>>;

impl Resampler {
    /// What the rows and the columns of the result are summed from, if the filter is a product of one for each.
    pub(crate) fn sources(&self) -> Option<[Sources; 2]> {
        let [term] = self.terms.as_slice() else { return None };
        Some([cpu::sources(&self.y, &term.vertical), cpu::sources(&self.x, &term.horizontal)])
    }

    /// Height and width of what is read, and of the result.
    pub(crate) fn sizes(&self) -> [(usize, usize); 2] {
        [(self.y.input, self.x.input), (self.y.output, self.x.output)]
    }

    /// Resamples each of the planes that make up `pixels`.
    pub fn run<T: Real>(&self, pixels: &[T]) -> Vec<T> {
        timed(self.name(), 0, || cpu::upfirdn2d(self, pixels))
    }
}
