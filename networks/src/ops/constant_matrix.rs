//! Products of a few vectors with a matrix that nobody changes: styles and demodulation while a projection goes on.
//!
//! candle's gradient of a product of matrices computes that of the constant too, and asks the system for the number of
//! processors at each product.

use candle_core::{CpuStorage, CustomOp1, DType, Layout, Result as CandleResult, Shape, Tensor};
use rayon::prelude::*;

use crate::error::Result;
use crate::grad::{Dual, graph_of_gradients_is_kept};
use crate::ops::blocked::LANES;
use crate::ops::real::elements;
use crate::ops::relu_conv::with_numbers;
use crate::ops::vector::{self, Kernel, Vector};
use crate::timing::timed;

/// Most vectors for which this pays.
const FEW: usize = 16;
/// Rows of the matrix that make a task.
const PART: usize = 64;
/// Vectors of partial sums, so that none waits for the one before.
const SUMS: usize = 4;

/// x · matrixᵀ
///
/// # Shapes
/// x `[N, I]`, matrix `[O, I]` → `[N, O]`
///
/// # Errors
/// When they do not fit.
pub(crate) fn times_transposed(x: &Dual, matrix: &Dual) -> Result<Dual> {
    x.bilinear(matrix, |x, matrix| match serves(x, matrix) {
        true => x.contiguous()?.apply_op1(Product { matrix: matrix.clone(), side: Side::Transposed }),
        false => x.matmul(&matrix.t()?),
    })
}

fn serves(x: &Tensor, matrix: &Tensor) -> bool {
    let is_single = |x: &Tensor| x.dtype() == DType::F32 && x.device().is_cpu();
    let constant = is_single(matrix) && !matrix.track_op() && matrix.is_contiguous();
    let few = matches!((x.dims(), matrix.dims()), ([n, i], [o, j]) if *n <= FEW && i == j && i * o > 0);
    constant && few && is_single(x) && !graph_of_gradients_is_kept()
}

/// x · matrixᵀ or x · matrix
struct Product {
    /// `[O, I]`
    matrix: Tensor,
    side: Side,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Plain,
    Transposed,
}

impl Product {
    fn compute(&self, x: &[f32], matrix: &[f32], inputs: usize) -> Vec<f32> {
        let outputs = matrix.len() / inputs;
        let (part, row) = (PART * inputs, inputs);
        match self.side {
            Side::Transposed => {
                // The matrix is read once, whatever the number of vectors.
                let parts = matrix.par_chunks(part).map(|rows| vector::run(Dots { x, rows, inputs }));
                let parts: Vec<Vec<f32>> = parts.collect();
                let vectors = x.len() / row;
                let of_vector = |i: usize| {
                    parts.iter().flat_map(move |part| &part[i * part.len() / vectors..][..part.len() / vectors])
                };
                (0..vectors).flat_map(of_vector).copied().collect()
            }
            Side::Plain => {
                let each = |x: &[f32]| -> Vec<f32> {
                    let parts = matrix.par_chunks(part).zip(x.par_chunks(PART));
                    let parts: Vec<Vec<f32>> = parts.map(|(rows, x)| vector::run(Combination { x, rows })).collect();
                    // In the order of the rows, whatever thread had them.
                    let mut sum = vec![0.0; inputs];
                    parts.iter().for_each(|part| sum.iter_mut().zip(part).for_each(|(sum, number)| *sum += number));
                    sum
                };
                x.chunks_exact(outputs).flat_map(each).collect()
            }
        }
    }
}

/// The products of each vector with each row.
struct Dots<'a> {
    x: &'a [f32],
    rows: &'a [f32],
    inputs: usize,
}

impl Kernel for Dots<'_> {
    type Output = Vec<f32>;

    #[inline(always)]
    fn run<V: Vector>(self) -> Vec<f32> {
        let rows = self.rows.len() / self.inputs;
        let mut products = vec![0.0; self.x.len() / self.inputs * rows];
        for (products, x) in products.chunks_exact_mut(rows).zip(self.x.chunks_exact(self.inputs)) {
            for (product, row) in products.iter_mut().zip(self.rows.chunks_exact(self.inputs)) {
                *product = dot::<V>(x, row);
            }
        }
        products
    }
}

/// The sum of rows times the numbers of a vector.
struct Combination<'a> {
    x: &'a [f32],
    rows: &'a [f32],
}

impl Kernel for Combination<'_> {
    type Output = Vec<f32>;

    #[inline(always)]
    fn run<V: Vector>(self) -> Vec<f32> {
        let width = self.rows.len() / self.x.len();
        let (mut sum, whole) = (vec![0.0; width], width / V::LANES * V::LANES);
        for (row, &x) in self.rows.chunks_exact(width).zip(self.x) {
            for number in (0..whole).step_by(V::LANES) {
                // SAFETY: a vector of either row.
                unsafe {
                    let to = sum.as_mut_ptr().add(number);
                    V::load(row.as_ptr().add(number)).mul_add(V::splat(x), V::load(to)).store(to);
                }
            }
            for number in whole..width {
                sum[number] += x * row[number];
            }
        }
        sum
    }
}

/// Sum of products.
#[inline(always)]
fn dot<V: Vector>(a: &[f32], b: &[f32]) -> f32 {
    let (mut sums, whole) = ([V::splat(0.0); SUMS], a.len() / (SUMS * V::LANES) * SUMS * V::LANES);
    for number in (0..whole).step_by(SUMS * V::LANES) {
        for (i, sum) in sums.iter_mut().enumerate() {
            // SAFETY: a vector of either slice.
            unsafe {
                let a = V::load(a.as_ptr().add(number + i * V::LANES));
                *sum = a.mul_add(V::load(b[number + i * V::LANES..][..V::LANES].as_ptr()), *sum);
            }
        }
    }
    let mut lanes = [0.0; LANES];
    // SAFETY: there is room for any vector.
    unsafe { sums[0].add(sums[1]).add(sums[2].add(sums[3])).store(lanes.as_mut_ptr()) };
    let mut sum: f32 = lanes.iter().sum();
    for number in whole..a.len() {
        sum += a[number] * b[number];
    }
    sum
}

impl CustomOp1 for Product {
    fn name(&self) -> &'static str {
        "product with a constant matrix"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> CandleResult<(CpuStorage, Shape)> {
        let ((n, _), (outputs, inputs)) = (layout.shape().dims2()?, self.matrix.dims2()?);
        let x = elements(storage, layout)?;
        let operations = 2 * (n * outputs * inputs) as u64;
        let y =
            with_numbers(&self.matrix, |matrix| timed(self.name(), operations, || self.compute(x, matrix, inputs)))?;
        let width = if self.side == Side::Transposed { outputs } else { inputs };
        Ok((CpuStorage::F32(y), (n, width).into()))
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, gradient: &Tensor) -> CandleResult<Option<Tensor>> {
        let side = if self.side == Side::Transposed { Side::Plain } else { Side::Transposed };
        gradient.contiguous()?.apply_op1(Product { matrix: self.matrix.clone(), side }).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Var;

    use super::*;
    use crate::draws::Draws;
    use crate::ops::vector::Instructions;
    use crate::random::RandomState;

    #[test]
    fn products_and_their_gradients_are_those_of_candle() {
        let rng = &mut RandomState::new(12);
        let sizes = [(1, 1, 1), (1, 70, 130), (3, 129, 65), (4, 16, 3), (16, 40, 130), (17, 20, 30)];
        // Whatever other tests choose meanwhile: all instructions give these results.
        let all = [Instructions::Portable, Instructions::Avx2, Instructions::Widest];
        for (instructions, (n, inputs, outputs)) in sizes.into_iter().flat_map(|size| all.map(|each| (each, size))) {
            instructions.choose();
            let x = Var::from_tensor(&rng.normal(&[n, inputs]).unwrap()).unwrap();
            let (matrix, direction) = (rng.normal(&[outputs, inputs]).unwrap(), rng.normal(&[n, outputs]).unwrap());
            let found = times_transposed(&x.as_tensor().into(), &(&matrix).into()).unwrap().into_value();
            let expected = x.matmul(&matrix.t().unwrap()).unwrap();
            let gradient = |y: &Tensor| {
                let gradients = (y * &direction).unwrap().sum_all().unwrap().backward().unwrap();
                gradients.get(x.as_tensor()).unwrap().clone()
            };
            for (found, expected) in [(gradient(&found), gradient(&expected)), (found, expected)] {
                let off = (found - expected).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
                assert!(off < 1e-4, "{n}x{inputs} to {outputs}, {instructions:?}: {off}");
            }
        }
    }

    #[test]
    fn a_matrix_that_is_learnt_gets_its_gradient() {
        let rng = &mut RandomState::new(13);
        let (x, matrix) = (rng.normal(&[2, 7]).unwrap(), Var::from_tensor(&rng.normal(&[3, 7]).unwrap()).unwrap());
        let y = times_transposed(&(&x).into(), &matrix.as_tensor().into()).unwrap().into_value();
        let gradients = y.sum_all().unwrap().backward().unwrap();
        let expected = x.sum(0).unwrap().broadcast_as((3, 7)).unwrap();
        let off = (gradients.get(matrix.as_tensor()).unwrap() - expected).unwrap().abs().unwrap().max_all().unwrap();
        assert!(off.to_scalar::<f32>().unwrap() < 1e-5);
    }
}
