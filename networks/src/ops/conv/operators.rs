//! The three operators for candle's graph: convolution, adjoint and weight gradient, each other's derivatives.

use candle_core::{CpuStorage, CustomOp2, Layout, Shape, Tensor};

use super::cpu;
use super::geometry::Geometry;
use crate::ops::real::{Real, elements};
use crate::timing::timed;

/// One of the three, for one geometry.
#[derive(Clone, Copy, Debug)]
pub(super) struct Operator {
    pub kind: Kind,
    pub geometry: Geometry,
}

/// Which side is computed from the two others.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    /// (image, weight) → output
    Convolution,
    /// (output, weight) → image
    Adjoint,
    /// (image, output) → weight
    WeightGradient,
}

impl Operator {
    /// Applies the operator to tensors of any layout.
    pub fn apply(self, first: &Tensor, second: &Tensor) -> candle_core::Result<Tensor> {
        first.contiguous()?.apply_op2(&second.contiguous()?, self)
    }

    /// The gradient with respect to `argument`, unless nobody follows it.
    fn gradient(
        &self,
        argument: &Tensor,
        kind: Kind,
        (first, second): (&Tensor, &Tensor),
    ) -> candle_core::Result<Option<Tensor>> {
        let operator = Operator { kind, geometry: self.geometry };
        argument.track_op().then(|| operator.apply(first, second)).transpose()
    }

    fn compute_single(&self, first: &[f32], second: &[f32]) -> Vec<f32> {
        if !cpu::single::serves(&self.geometry) {
            return self.compute(first, second);
        }
        match self.kind {
            Kind::Convolution => cpu::single::convolution(&self.geometry, first, second),
            Kind::Adjoint => cpu::single::adjoint(&self.geometry, first, second),
            Kind::WeightGradient => cpu::single::weight_gradient(&self.geometry, first, second),
        }
    }

    fn compute<T: Real>(&self, first: &[T], second: &[T]) -> Vec<T> {
        match self.kind {
            Kind::Convolution => cpu::convolution(&self.geometry, first, second),
            Kind::Adjoint => cpu::adjoint(&self.geometry, first, second),
            Kind::WeightGradient => cpu::weight_gradient(&self.geometry, first, second),
        }
    }
}

impl CustomOp2 for Operator {
    fn name(&self) -> &'static str {
        match self.kind {
            Kind::Convolution => "convolution",
            Kind::Adjoint => "transposed convolution",
            Kind::WeightGradient => "weight gradient of a convolution",
        }
    }

    fn cpu_fwd(
        &self,
        s1: &CpuStorage,
        l1: &Layout,
        s2: &CpuStorage,
        l2: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let batch = l1.dims()[0];
        let shape = match self.kind {
            Kind::Convolution => self.geometry.output_shape(batch),
            Kind::Adjoint => self.geometry.image_shape(batch),
            Kind::WeightGradient => self.geometry.weight_shape(),
        };
        let operations = self.geometry.operations(batch);
        let storage = match s1 {
            CpuStorage::F32(_) => {
                let (first, second) = (elements(s1, l1)?, elements(s2, l2)?);
                CpuStorage::F32(timed(self.name(), operations, || self.compute_single(first, second)))
            }
            CpuStorage::F64(_) => CpuStorage::F64(self.compute(elements(s1, l1)?, elements(s2, l2)?)),
            _ => candle_core::bail!("a {} needs single or double precision", self.name()),
        };
        Ok((storage, Shape::from(&shape)))
    }

    fn bwd(
        &self,
        first: &Tensor,
        second: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        let ((kind1, arguments1), (kind2, arguments2)) = match self.kind {
            Kind::Convolution => ((Kind::Adjoint, (gradient, second)), (Kind::WeightGradient, (first, gradient))),
            Kind::Adjoint => ((Kind::Convolution, (gradient, second)), (Kind::WeightGradient, (gradient, first))),
            Kind::WeightGradient => ((Kind::Adjoint, (second, gradient)), (Kind::Convolution, (first, gradient))),
        };
        Ok((self.gradient(first, kind1, arguments1)?, self.gradient(second, kind2, arguments2)?))
    }
}
