//! Maximum pooling with a correct gradient; candle's own gives a quarter of it.

use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Shape, Tensor};
use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::ops::real::{Real, elements};

/// Rows of windows that make a task.
const ROWS: usize = 32;

/// The windows over which maxima are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaxPool {
    /// Side of the square windows.
    pub kernel: usize,
    /// Distance of neighbouring windows.
    pub stride: usize,
    /// What becomes of a window that reaches over the right or lower edge.
    pub edge: Edge,
}

/// What becomes of a window that reaches over the right or lower edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edge {
    /// It is left out (PyTorch's default).
    Drop,
    /// It is cut off (Caffe, and PyTorch's `ceil_mode`).
    Cut,
}

/// Takes the maximum of each window; where several pixels are the largest, the first in reading order counts.
///
/// # Shapes
/// x `[N, C, H, W]` → `[N, C, (H − kernel)/stride + 1, (W − kernel)/stride + 1]`, rounded down, or up for [`Edge::Cut`]
///
/// # Errors
/// [`Error::Value`] when a window or step has no pixels or no window fits.
pub fn max_pool2d(x: &Tensor, pool: &MaxPool) -> Result<Tensor> {
    let (_n, _c, h, w) = x.dims4()?;
    if pool.kernel == 0 || pool.stride == 0 || pool.kernel > h.min(w) {
        let expected = format!("windows and steps of at least 1 px, windows of at most {} px", h.min(w));
        return Err(Error::value("max pooling", format!("{pool:?}"), expected));
    }
    Ok(x.contiguous()?.apply_op1(Forward(*pool))?)
}

impl MaxPool {
    fn len(&self, pixels: usize) -> usize {
        let room = pixels - self.kernel;
        match self.edge {
            Edge::Drop => room / self.stride + 1,
            // A window that would begin outside has no pixels.
            Edge::Cut => (room.div_ceil(self.stride) + 1).min((pixels - 1) / self.stride + 1),
        }
    }

    /// Index, within a plane of `[h, w]` pixels, of the maximum of the window in row `oy` and column `ox`.
    fn winner<T: Real>(&self, plane: &[T], (h, w): (usize, usize), (oy, ox): (usize, usize)) -> usize {
        let (y0, x0) = (oy * self.stride, ox * self.stride);
        let mut best = y0 * w + x0;
        for y in y0..(y0 + self.kernel).min(h) {
            for x in x0..(x0 + self.kernel).min(w) {
                if plane[y * w + x] > plane[best] {
                    best = y * w + x;
                }
            }
        }
        best
    }

    /// Whether each pixel belongs to exactly one window, of 2x2.
    fn halves(&self, (h, w): (usize, usize)) -> bool {
        self.kernel == 2 && self.stride == 2 && h % 2 == 0 && w % 2 == 0
    }

    fn forward<T: Real>(&self, x: &[T], (h, w): (usize, usize)) -> Vec<T> {
        let (oh, ow) = (self.len(h), self.len(w));
        let mut y = vec![T::zero(); x.len() / (h * w) * oh * ow];
        if self.halves((h, w)) {
            y.par_chunks_mut(ow).zip(x.par_chunks(2 * w)).with_min_len(ROWS).for_each(|(y, rows)| {
                for (value, window) in y.iter_mut().zip(windows(rows)) {
                    *value = window.into_iter().reduce(larger).expect("four pixels");
                }
            });
            return y;
        }
        y.par_chunks_mut(oh * ow).zip(x.par_chunks(h * w)).for_each(|(y, plane)| {
            for (i, value) in y.iter_mut().enumerate() {
                *value = plane[self.winner(plane, (h, w), (i / ow, i % ow))];
            }
        });
        y
    }

    /// Gives the gradient of each maximum to the pixel that it was.
    fn backward<T: Real>(&self, x: &[T], gradient: &[T], (h, w): (usize, usize)) -> Vec<T> {
        let (oh, ow) = (self.len(h), self.len(w));
        let mut out = vec![T::zero(); x.len()];
        if self.halves((h, w)) {
            let rows = out.par_chunks_mut(2 * w).zip(x.par_chunks(2 * w)).zip(gradient.par_chunks(ow));
            rows.with_min_len(ROWS).for_each(|((out, rows), gradient)| give(out, rows, gradient));
            return out;
        }
        let planes = out.par_chunks_mut(h * w).zip(x.par_chunks(h * w)).zip(gradient.par_chunks(oh * ow));
        planes.for_each(|((out, plane), gradient)| {
            for (i, &value) in gradient.iter().enumerate() {
                let winner = &mut out[self.winner(plane, (h, w), (i / ow, i % ow))];
                *winner += value;
            }
        });
        out
    }
}

/// The windows of two rows, each in reading order.
fn windows<T: Real>(rows: &[T]) -> impl Iterator<Item = [T; 4]> {
    let (above, below) = rows.split_at(rows.len() / 2);
    above.chunks_exact(2).zip(below.chunks_exact(2)).map(|(above, below)| [above[0], above[1], below[0], below[1]])
}

/// The first number, unless the second one is larger.
fn larger<T: Real>(first: T, second: T) -> T {
    if second > first { second } else { first }
}

/// Gives the gradient of each window of two rows to the pixel that was the maximum; all is written, without branches.
fn give<T: Real>(out: &mut [T], rows: &[T], gradient: &[T]) {
    let (above, below) = out.split_at_mut(rows.len() / 2);
    let pixels = above.chunks_exact_mut(2).zip(below.chunks_exact_mut(2));
    for ((window, &gradient), (above, below)) in windows(rows).zip(gradient).zip(pixels) {
        let [a, b, c, d] = window;
        let is_b = b > a;
        let is_c = c > larger(a, b);
        let is_d = d > larger(larger(a, b), c);
        let given = |wins: bool| if wins { gradient } else { T::zero() };
        above[0] = given(!is_b & !is_c & !is_d);
        above[1] = given(is_b & !is_c & !is_d);
        below[0] = given(is_c & !is_d);
        below[1] = given(is_d);
    }
}

struct Forward(MaxPool);

impl CustomOp1 for Forward {
    fn name(&self) -> &'static str {
        "max pooling"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let (n, c, h, w) = layout.shape().dims4()?;
        let y = match x {
            CpuStorage::F32(_) => CpuStorage::F32(self.0.forward(elements(x, layout)?, (h, w))),
            CpuStorage::F64(_) => CpuStorage::F64(self.0.forward(elements(x, layout)?, (h, w))),
            _ => candle_core::bail!("max pooling needs single or double precision"),
        };
        Ok((y, (n, c, self.0.len(h), self.0.len(w)).into()))
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, gradient: &Tensor) -> candle_core::Result<Option<Tensor>> {
        x.apply_op2_no_bwd(&gradient.contiguous()?, &Backward(self.0)).map(Some)
    }
}

/// (input, gradient of the output) → gradient of the input
struct Backward(MaxPool);

impl CustomOp2 for Backward {
    fn name(&self) -> &'static str {
        "gradient of max pooling"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        gradient: &CpuStorage,
        gradient_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let (_n, _c, h, w) = x_layout.shape().dims4()?;
        let out = match x {
            CpuStorage::F32(_) => {
                let (x, gradient) = (elements(x, x_layout)?, elements(gradient, gradient_layout)?);
                CpuStorage::F32(self.0.backward(x, gradient, (h, w)))
            }
            CpuStorage::F64(_) => {
                let (x, gradient) = (elements(x, x_layout)?, elements(gradient, gradient_layout)?);
                CpuStorage::F64(self.0.backward(x, gradient, (h, w)))
            }
            _ => candle_core::bail!("max pooling needs single or double precision"),
        };
        Ok((out, x_layout.shape().clone()))
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Var};

    use super::*;
    use crate::random::RandomState;

    fn pool(kernel: usize, stride: usize, edge: Edge) -> MaxPool {
        MaxPool { kernel, stride, edge }
    }

    #[test]
    fn each_window_gives_its_maximum() {
        let x = Tensor::arange(0f32, 25.0, &Device::Cpu).unwrap().reshape((1, 1, 5, 5)).unwrap();
        let pooled = |pool| max_pool2d(&x, &pool).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(pooled(pool(2, 2, Edge::Drop)), [6.0, 8.0, 16.0, 18.0]);
        assert_eq!(pooled(pool(2, 2, Edge::Cut)), [6.0, 8.0, 9.0, 16.0, 18.0, 19.0, 21.0, 23.0, 24.0]);
        assert_eq!(pooled(pool(3, 2, Edge::Cut)), [12.0, 14.0, 22.0, 24.0]);
        let even = x.narrow(2, 0, 4).unwrap().narrow(3, 1, 4).unwrap();
        let halved = max_pool2d(&even, &pool(2, 2, Edge::Drop)).unwrap();
        assert_eq!(halved.flatten_all().unwrap().to_vec1::<f32>().unwrap(), [7.0, 9.0, 17.0, 19.0]);
        assert_eq!(pooled(pool(1, 3, Edge::Cut)), [0.0, 3.0, 15.0, 18.0], "no window begins outside");
    }

    #[test]
    fn gradients_are_those_of_finite_differences() {
        const STEP: f64 = 1e-6;
        let shapes = [
            (pool(2, 2, Edge::Drop), 7),
            (pool(2, 2, Edge::Drop), 8),
            (pool(3, 2, Edge::Cut), 7),
            (pool(3, 1, Edge::Drop), 7),
        ];
        for (pool, width) in shapes {
            let drawn = RandomState::new(4).gauss_vec(2 * 2 * 6 * width);
            let weigh = Tensor::from_vec(RandomState::new(5).gauss_vec(1000), 1000, &Device::Cpu).unwrap();
            let loss = |x: &Tensor| {
                let y = max_pool2d(x, &pool).unwrap().flatten_all().unwrap();
                (&y * weigh.narrow(0, 0, y.elem_count()).unwrap()).unwrap().sum_all().unwrap()
            };
            let at = |numbers: Vec<f64>| Tensor::from_vec(numbers, (2, 2, 6, width), &Device::Cpu).unwrap();
            let x = Var::from_tensor(&at(drawn.clone())).unwrap();
            let gradients = loss(x.as_tensor()).backward().unwrap();
            let found = gradients.get(x.as_tensor()).unwrap().flatten_all().unwrap().to_vec1::<f64>().unwrap();
            for (i, found) in found.into_iter().enumerate() {
                let moved = |by: f64| {
                    let mut numbers = drawn.clone();
                    numbers[i] += by;
                    loss(&at(numbers)).to_scalar::<f64>().unwrap()
                };
                let expected = (moved(STEP) - moved(-STEP)) / (2.0 * STEP);
                assert!((found - expected).abs() < 1e-7, "{pool:?} pixel {i}: {found} instead of {expected}");
            }
        }
    }

    #[test]
    fn windows_that_fit_nowhere_are_refused() {
        let x = Tensor::zeros((1, 1, 2, 3), candle_core::DType::F32, &Device::Cpu).unwrap();
        for (kernel, stride) in [(3, 1), (0, 1), (1, 0)] {
            assert!(max_pool2d(&x, &pool(kernel, stride, Edge::Cut)).is_err());
        }
    }
}
