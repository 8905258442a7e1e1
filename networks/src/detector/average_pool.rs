//! The average of each pixel and its eight neighbours.

use candle_core::{DType, Tensor};

use crate::error::Result;

/// What is counted at the edges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Border {
    /// Only the pixels that are there.
    Left,
    /// Zeros around the image as well (PyTorch's default).
    Zeros,
}

/// Averages windows of 3×3 pixels, one for each pixel: `[N, C, H, W]` → `[N, C, H, W]`.
pub(crate) fn average_pool_3x3(x: &Tensor, border: Border) -> Result<Tensor> {
    let (_n, _c, h, w) = x.dims4()?;
    let sums = sum_of_three(&sum_of_three(x, 2)?, 3)?;
    match border {
        Border::Zeros => Ok((sums / 9.0)?),
        Border::Left => {
            let ones = Tensor::ones((1, 1, h, w), DType::F32, x.device())?.to_dtype(x.dtype())?;
            Ok(sums.broadcast_div(&sum_of_three(&sum_of_three(&ones, 2)?, 3)?)?)
        }
    }
}

fn sum_of_three(x: &Tensor, axis: usize) -> Result<Tensor> {
    let length = x.dim(axis)?;
    let padded = x.pad_with_zeros(axis, 1, 1)?;
    let shifted = |by: usize| padded.narrow(axis, by, length);
    Ok(((shifted(0)? + shifted(1)?)? + shifted(2)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn edges_count_as_they_are_told() {
        let x = Tensor::full(6f32, (1, 1, 3, 4), &Device::Cpu).unwrap();
        let of = |border| average_pool_3x3(&x, border).unwrap().squeeze(0).unwrap().squeeze(0).unwrap();
        let corner_edge_middle = |x: Tensor| {
            let rows = x.to_vec2::<f32>().unwrap();
            [rows[0][0], rows[0][1], rows[1][1]]
        };
        assert_eq!(corner_edge_middle(of(Border::Left)), [6.0; 3]);
        assert_eq!(corner_edge_middle(of(Border::Zeros)), [6.0 * 4.0 / 9.0, 4.0, 6.0]);
    }
}
