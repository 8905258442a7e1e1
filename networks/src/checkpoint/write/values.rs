//! The numbers of a tensor as little-endian bytes, piece by piece.

use candle_core::{DType, Device, Storage, Tensor};

use crate::checkpoint::write::ExportError;

/// Calls `visit` with the elements in row-major order. Nothing is copied when they lie so in memory as single precision.
pub(super) fn visit<T>(
    tensor: &Tensor,
    visit: impl FnOnce(&[f32]) -> Result<T, ExportError>,
) -> Result<T, ExportError> {
    let tensor = tensor.to_device(&Device::Cpu)?.to_dtype(DType::F32)?.contiguous()?;
    let (storage, layout) = tensor.storage_and_layout();
    let (Storage::Cpu(storage), Some((start, end))) = (&*storage, layout.contiguous_offsets()) else {
        return Err(candle_core::Error::Msg("a contiguous tensor in main memory has no offsets".to_owned()).into());
    };
    visit(&storage.as_slice::<f32>()?[start..end])
}

/// Calls `sink` with the bytes of `values`, a moderate number at a time.
pub(super) fn bytes<const N: usize>(
    values: &[f32],
    encode: impl Fn(f32) -> [u8; N],
    mut sink: impl FnMut(&[u8]) -> Result<(), ExportError>,
) -> Result<(), ExportError> {
    const PIECE: usize = 1 << 16;
    let mut buffer = Vec::with_capacity(PIECE.min(values.len()) * N);
    for piece in values.chunks(PIECE) {
        buffer.clear();
        buffer.extend(piece.iter().flat_map(|value| encode(*value)));
        sink(&buffer)?;
    }
    Ok(())
}
