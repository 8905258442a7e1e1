//! A linear operator that treats each image of a batch on its own, and its adjoint, for candle's graph.

use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp1, Layout, Shape, Tensor};
use rayon::prelude::*;

use super::reflect::Reflect;
use super::sample::Sample;
use crate::ops::real::{Real, elements};
use crate::ops::upfirdn2d::Resampler;

/// One linear step of what happens to the planes of an image.
#[derive(Clone, Debug)]
pub(super) enum Stage {
    Reflect(Reflect),
    Resample(Box<Resampler>),
    Sample(Sample),
}

impl Stage {
    fn forward<T: Real>(&self, planes: &[T]) -> Vec<T> {
        match self {
            Stage::Reflect(reflect) => reflect.forward(planes),
            Stage::Resample(resampler) => resampler.run(planes),
            Stage::Sample(sample) => sample.forward(planes),
        }
    }

    fn adjoint<T: Real>(&self, planes: &[T]) -> Vec<T> {
        match self {
            Stage::Reflect(reflect) => reflect.adjoint(planes),
            Stage::Resample(resampler) => resampler.adjoint().run(planes),
            Stage::Sample(sample) => sample.adjoint(planes),
        }
    }
}

/// The stages of each image; none leave it as it is. The result of all has the size of what was given.
#[derive(Clone, Debug)]
pub(super) struct Chains {
    images: Arc<Vec<Vec<Stage>>>,
    direction: Direction,
}

#[derive(Clone, Copy, Debug)]
enum Direction {
    Forward,
    Adjoint,
}

impl Chains {
    pub fn new(images: Vec<Vec<Stage>>) -> Self {
        Chains { images: Arc::new(images), direction: Direction::Forward }
    }

    /// Applies the operator to a batch `[N, C, H, W]` of any layout.
    pub fn apply(self, images: &Tensor) -> candle_core::Result<Tensor> {
        if self.images.iter().all(Vec::is_empty) {
            return Ok(images.clone());
        }
        images.contiguous()?.apply_op1(self)
    }

    fn run<T: Real>(&self, images: &[T]) -> Vec<T> {
        let mut result = images.to_vec();
        let len = images.len() / self.images.len().max(1);
        result.par_chunks_exact_mut(len.max(1)).zip(&*self.images).for_each(|(image, stages)| {
            let planes = match self.direction {
                Direction::Forward => pass(image, stages.iter(), Stage::forward),
                Direction::Adjoint => pass(image, stages.iter().rev(), Stage::adjoint),
            };
            if let Some(planes) = planes {
                image.copy_from_slice(&planes);
            }
        });
        result
    }
}

/// Sends planes through stages; `None` when there are none.
fn pass<'a, T: Real>(
    planes: &[T],
    mut stages: impl Iterator<Item = &'a Stage>,
    step: impl Fn(&Stage, &[T]) -> Vec<T>,
) -> Option<Vec<T>> {
    let first = step(stages.next()?, planes);
    Some(stages.fold(first, |planes, stage| step(stage, &planes)))
}

impl CustomOp1 for Chains {
    fn name(&self) -> &'static str {
        "augmentation"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let storage = match storage {
            CpuStorage::F32(_) => CpuStorage::F32(self.run(elements(storage, layout)?)),
            CpuStorage::F64(_) => CpuStorage::F64(self.run(elements(storage, layout)?)),
            _ => candle_core::bail!("augmentations need single or double precision"),
        };
        Ok((storage, layout.shape().clone()))
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, gradient: &Tensor) -> candle_core::Result<Option<Tensor>> {
        let direction = match self.direction {
            Direction::Forward => Direction::Adjoint,
            Direction::Adjoint => Direction::Forward,
        };
        Ok(Some(Chains { images: self.images.clone(), direction }.apply(gradient)?))
    }
}
