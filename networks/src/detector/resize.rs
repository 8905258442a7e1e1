//! Resizing for detectors, as TensorFlow 1 did it when their numbers were defined.

use candle_core::{DType, Tensor};

use crate::error::{Error, Result};

/// Resizes images to `px` pixels a side, bilinearly between the two nearest pixels each way.
///
/// Pixel `i` of the result lies at `i·R/px` of the image, not at pixel centres, and nothing is averaged when images
/// shrink: TensorFlow 1's `resize_bilinear`, which the published detectors contain.
///
/// # Shapes
/// `[N, C, H, W]` → `[N, C, px, px]`
///
/// # Errors
/// When the tensor has other axes or no pixels.
pub fn resize_bilinear(images: &Tensor, px: usize) -> Result<Tensor> {
    let (_n, _c, h, w) = images.dims4()?;
    if h == 0 || w == 0 || px == 0 {
        return Err(Error::value("image size", format!("{h}×{w} to {px}"), "at least one pixel"));
    }
    along(&along(images, 2, px)?, 3, px)
}

/// Resizes one axis.
fn along(images: &Tensor, axis: usize, px: usize) -> Result<Tensor> {
    let length = images.dim(axis)?;
    if length == px {
        return Ok(images.clone());
    }
    let place = |i: usize| i as f64 * length as f64 / px as f64;
    let near = |i: usize| (place(i) as usize).min(length - 1);
    let pick = |step: usize| -> Result<Tensor> {
        let indices: Vec<u32> = (0..px).map(|i| (near(i) + step).min(length - 1) as u32).collect();
        Ok(images.index_select(&Tensor::new(indices, images.device())?, axis)?)
    };
    let (low, high) = (pick(0)?, pick(1)?);
    let mut shape = [1; 4];
    shape[axis] = px;
    let shares: Vec<f64> = (0..px).map(|i| place(i) - near(i) as f64).collect();
    let shares = Tensor::new(shares, images.device())?.to_dtype(DType::F32)?.to_dtype(images.dtype())?;
    Ok((&low + (high - &low)?.broadcast_mul(&shares.reshape(&shape)?)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn pixels_lie_where_tensorflow_put_them() {
        let check = |px: usize, expected: &[f32]| {
            let ramp = Tensor::new(&[0f32, 30.0, 60.0, 90.0], &Device::Cpu).unwrap().reshape((1, 1, 1, 4)).unwrap();
            let found = along(&ramp, 3, px).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
            assert_eq!(found, expected);
        };
        check(4, &[0.0, 30.0, 60.0, 90.0]);
        check(2, &[0.0, 60.0]);
        check(8, &[0.0, 15.0, 30.0, 45.0, 60.0, 75.0, 90.0, 90.0]);
        check(3, &[0.0, 40.0, 80.0]);
        assert!(resize_bilinear(&Tensor::zeros((1, 3, 2, 2), DType::F32, &Device::Cpu).unwrap(), 0).is_err());
    }
}
