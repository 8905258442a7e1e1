//! Access to the numbers of tensors within the operators.

use std::ops::{Deref, Range};

use candle_core::{CpuStorage, Layout, Result, Shape, Storage, Tensor};

use crate::ops::blocked::{LANES, blocks_of};

/// The numbers of a contiguous tensor in single precision on the CPU, which is locked meanwhile.
pub(super) struct Numbers<G> {
    storage: G,
    range: Range<usize>,
}

/// Opens a tensor.
pub(super) fn numbers_of(tensor: &Tensor) -> Result<Numbers<impl Deref<Target = Storage> + '_>> {
    let (storage, layout) = tensor.storage_and_layout();
    let Some((start, end)) = layout.contiguous_offsets() else {
        candle_core::bail!("features need contiguous tensors");
    };
    if !matches!(&*storage, Storage::Cpu(CpuStorage::F32(_))) {
        candle_core::bail!("features need single precision on the CPU");
    }
    Ok(Numbers { storage, range: start..end })
}

impl<G: Deref<Target = Storage>> Deref for Numbers<G> {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        match &*self.storage {
            Storage::Cpu(CpuStorage::F32(numbers)) => &numbers[self.range.clone()],
            _ => &[],
        }
    }
}

/// The numbers of an operator's argument.
pub(super) fn slice<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    crate::ops::real::elements(storage, layout)
}

/// An operator's result.
pub(super) fn result(numbers: Vec<f32>, shape: impl Into<Shape>) -> (CpuStorage, Shape) {
    (CpuStorage::F32(numbers), shape.into())
}

/// A tensor on the CPU.
pub(super) fn tensor(numbers: Vec<f32>, shape: impl Into<Shape>) -> Result<Tensor> {
    Tensor::from_vec(numbers, shape.into(), &candle_core::Device::Cpu)
}

/// Rows of `channels` numbers, each filled up with zeros to whole blocks.
pub(super) fn filled_up(rows: &[f32], channels: usize) -> Vec<f32> {
    let filled = blocks_of(channels) * LANES;
    let mut numbers = vec![0.0; rows.len() / channels * filled];
    for (to, from) in numbers.chunks_exact_mut(filled).zip(rows.chunks_exact(channels)) {
        to[..channels].copy_from_slice(from);
    }
    numbers
}

/// Rows of `channels` numbers without what filled them up.
pub(super) fn cut_off(rows: &[f32], channels: usize) -> Vec<f32> {
    rows.chunks_exact(blocks_of(channels) * LANES).flat_map(|row| row[..channels].iter().copied()).collect()
}
