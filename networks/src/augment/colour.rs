//! Changing colours by a matrix.

use candle_core::{Device, Tensor};

use super::matrix::Matrix;
use crate::error::{Error, Result};
use crate::grad::Dual;

/// Refuses what is neither grey nor coloured.
pub(super) fn check_channels(channels: usize) -> Result<()> {
    match channels {
        1 | 3 => Ok(()),
        _ => Err(Error::value("image channels", channels, "3 (RGB) or 1 (grey)")),
    }
}

/// Maps the colours of each image `[N, C, H, W]`; grey images get the mean of what happens to the three colours.
pub(super) fn apply(images: &Dual, maps: &[Matrix<4>]) -> Result<Dual> {
    let (n, c, h, w) = images.dims4()?;
    check_channels(c)?;
    let (factors, offsets): (Vec<f64>, Vec<f64>) = if c == 3 {
        let rows = || maps.iter().flat_map(|map| &map.0[..3]);
        (rows().flat_map(|row| row[..3].to_vec()).collect(), rows().map(|row| row[3]).collect())
    } else {
        let mean = |map: &Matrix<4>, columns: std::ops::Range<usize>| {
            map.0[..3].iter().flat_map(|row| &row[columns.clone()]).sum::<f64>() / 3.0
        };
        maps.iter().map(|map| (mean(map, 0..3), mean(map, 3..4))).unzip()
    };
    let like_images = |numbers: Vec<f64>, shape: (usize, usize, usize)| {
        Tensor::from_vec(numbers, shape, &Device::Cpu)?.to_dtype(images.value().dtype())
    };
    let (factors, offsets) = (like_images(factors, (n, c, c))?, like_images(offsets, (n, c, 1))?);
    let mixed = images.reshape((n, c, h * w))?.linear(|x| factors.matmul(&x.contiguous()?))?; // [N, C, HW]
    mixed.add(&offsets.into())?.reshape((n, c, h, w))
}
