//! Products of a few vectors with a matrix: the mapping network, styles, demodulation, the end of the discriminator.
//!
//! The matrix is read once, whatever the number of vectors. candle computes the gradients of both factors of every product,
//! wanted or not, by way of a transposed matrix, and asks the system for the number of processors each time.

use candle_core::{CpuStorage, CustomOp2, DType, Layout, Result as CandleResult, Shape, Tensor};
use rayon::prelude::*;

use crate::error::Result;
use crate::grad::{Dual, graph_of_gradients_is_kept, hand_over};
use crate::ops::blocked::LANES;
use crate::ops::blocked::memory::{Pointer, written};
use crate::ops::real::elements;
use crate::ops::relu_conv::with_numbers;
use crate::ops::vector::{self, Kernel, Vector};
use crate::timing::timed;

/// Most vectors for which this pays.
const FEW: usize = 32;
/// Rows of the matrix that make a task.
const ROWS: usize = 16;
/// Rows that each vector meets at a time.
const AT_ONCE: usize = 4;
/// Fewest and most columns of the matrix that make a task: sums for a few vectors stay in a level 1 cache.
const COLUMNS: (usize, usize) = (64, 512);

/// x · matrixᵀ
///
/// # Shapes
/// x `[N, I]`, matrix `[O, I]` → `[N, O]`
///
/// # Errors
/// When they do not fit.
pub(crate) fn times_transposed(x: &Dual, matrix: &Dual) -> Result<Dual> {
    x.bilinear(matrix, |x, matrix| match serves(x, matrix) {
        true => x.contiguous()?.apply_op2(matrix, Product),
        false => x.matmul(&matrix.t()?),
    })
}

fn serves(x: &Tensor, matrix: &Tensor) -> bool {
    let is_single = |x: &Tensor| x.dtype() == DType::F32 && x.device().is_cpu();
    let few = matches!((x.dims(), matrix.dims()), ([n, i], [o, j]) if *n <= FEW && i == j && n * i * o > 0);
    few && is_single(x) && is_single(matrix) && matrix.is_contiguous() && !graph_of_gradients_is_kept()
}

/// (x, matrix) → x · matrixᵀ
struct Product;

impl CustomOp2 for Product {
    fn name(&self) -> &'static str {
        "product with a matrix"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        of_x: &Layout,
        matrix: &CpuStorage,
        of_matrix: &Layout,
    ) -> CandleResult<(CpuStorage, Shape)> {
        let ((n, inputs), (outputs, _)) = (of_x.shape().dims2()?, of_matrix.shape().dims2()?);
        let (x, matrix) = (elements(x, of_x)?, elements(matrix, of_matrix)?);
        let y = timed(self.name(), operations(n, matrix), || dots(x, matrix, inputs));
        Ok((CpuStorage::F32(y), (n, outputs).into()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        matrix: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> CandleResult<(Option<Tensor>, Option<Tensor>)> {
        let ((n, inputs), device) = (x.dims2()?, x.device());
        with_numbers(&gradient.contiguous()?, |gradient| {
            let of_x = x.track_op().then(|| {
                let numbers = with_numbers(matrix, |matrix| {
                    timed("gradient of vectors", operations(n, matrix), || combinations(gradient, matrix, inputs))
                })?;
                Tensor::from_vec(numbers, x.shape(), device)
            });
            let of_matrix = matrix.track_op().then(|| {
                let numbers = with_numbers(x, |x| {
                    timed("gradient of a matrix", operations(n, x) * (gradient.len() / n) as u64, || {
                        outer(gradient, x, inputs)
                    })
                })?;
                hand_over(matrix, Tensor::from_vec(numbers, matrix.shape(), device)?)
            });
            Ok((of_x.transpose()?, of_matrix.transpose()?.flatten()))
        })?
    }
}

/// Multiply-adds, counted as two, of so many products with these numbers.
fn operations(n: usize, numbers: &[f32]) -> u64 {
    2 * (n * numbers.len()) as u64
}

/// The product of each vector with each row, `[N, O]`.
fn dots(x: &[f32], matrix: &[f32], inputs: usize) -> Vec<f32> {
    let (vectors, outputs) = (x.len() / inputs, matrix.len() / inputs);
    let fill = |to: Pointer| {
        matrix.par_chunks(ROWS * inputs).enumerate().for_each(|(task, rows)| {
            // SAFETY: these rows' column of the result.
            let to = (unsafe { to.at(task * ROWS) }, outputs);
            vector::run(Dots { x, rows, inputs, to });
        });
    };
    // SAFETY: a product for each vector and row.
    unsafe { written(vectors * outputs, fill) }
}

/// The sum of all rows, times the numbers of each vector, `[N, I]`.
fn combinations(factors: &[f32], matrix: &[f32], inputs: usize) -> Vec<f32> {
    let outputs = matrix.len() / inputs;
    let vectors = factors.len() / outputs;
    let most = (inputs / (2 * rayon::current_num_threads())).next_multiple_of(LANES).clamp(COLUMNS.0, COLUMNS.1);
    let fill = |to: Pointer| {
        (0..inputs).into_par_iter().step_by(most).for_each(|first| {
            let columns = most.min(inputs - first);
            // SAFETY: these columns of the result.
            let to = (unsafe { to.at(first) }, inputs);
            let rows = (&matrix[first..], inputs);
            vector::run(Combinations { factors: (factors, outputs), rows, columns, to });
        });
    };
    // SAFETY: all columns of the result for each vector.
    unsafe { written(vectors * inputs, fill) }
}

/// The sum over the vectors of factor times vector, `[O, I]`.
fn outer(factors: &[f32], x: &[f32], inputs: usize) -> Vec<f32> {
    let outputs = factors.len() / (x.len() / inputs);
    let fill = |to: Pointer| {
        (0..outputs).into_par_iter().with_min_len(AT_ONCE).for_each(|row| {
            // SAFETY: this row of the result.
            let to = unsafe { std::slice::from_raw_parts_mut(to.at(row * inputs), inputs) };
            vector::run(Outer { factors: (&factors[row..], outputs), x, to });
        });
    };
    // SAFETY: all rows of the result.
    unsafe { written(outputs * inputs, fill) }
}

/// The products of all vectors with some rows.
struct Dots<'a> {
    x: &'a [f32],
    rows: &'a [f32],
    inputs: usize,
    /// The first row's product with the first vector, and the way to the next vector's.
    to: (*mut f32, usize),
}

impl Kernel for Dots<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        let rows = self.rows.len() / self.inputs;
        for first in (0..rows).step_by(AT_ONCE) {
            let count = AT_ONCE.min(rows - first);
            // Beyond the last row it is repeated.
            let some: [&[f32]; AT_ONCE] =
                std::array::from_fn(|i| &self.rows[(first + i.min(count - 1)) * self.inputs..][..self.inputs]);
            for (vector, x) in self.x.chunks_exact(self.inputs).enumerate() {
                let products = if vector == 0 { dot::<V, true>(x, some) } else { dot::<V, false>(x, some) };
                for (row, &product) in products[..count].iter().enumerate() {
                    // SAFETY: the place of one of these rows.
                    unsafe { *self.to.0.add(vector * self.to.1 + first + row) = product };
                }
            }
        }
    }
}

/// Some columns of sums of rows.
struct Combinations<'a> {
    /// `[N, O]`, and O.
    factors: (&'a [f32], usize),
    /// The columns of the first row, and the way to the next one.
    rows: (&'a [f32], usize),
    columns: usize,
    /// The columns of the first sum, and the way to the next one.
    to: (*mut f32, usize),
}

impl Kernel for Combinations<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        let (columns, whole) = (self.columns, self.columns / V::LANES * V::LANES);
        let vectors = self.factors.0.len() / self.factors.1;
        let mut sums = vec![0.0; vectors * columns];
        for (group, rows) in self.rows.0.chunks(AT_ONCE * self.rows.1).enumerate() {
            for (vector, sums) in sums.chunks_exact_mut(columns).enumerate() {
                let factors = &self.factors.0[vector * self.factors.1 + group * AT_ONCE..];
                for number in (0..whole).step_by(V::LANES) {
                    // SAFETY: a vector of these columns on either side.
                    unsafe {
                        let to = sums.as_mut_ptr().add(number);
                        let mut sum = V::load(to);
                        for (row, &factor) in rows.chunks(self.rows.1).zip(factors) {
                            sum = V::load(row.as_ptr().add(number)).mul_add(V::splat(factor), sum);
                        }
                        sum.store(to);
                    }
                }
                for (number, sum) in sums.iter_mut().enumerate().skip(whole) {
                    *sum +=
                        rows.chunks(self.rows.1).zip(factors).map(|(row, factor)| factor * row[number]).sum::<f32>();
                }
            }
        }
        for (vector, sums) in sums.chunks_exact(columns).enumerate() {
            // SAFETY: these columns of a sum.
            unsafe { std::slice::from_raw_parts_mut(self.to.0.add(vector * self.to.1), columns) }.copy_from_slice(sums);
        }
    }
}

/// A row of a sum of outer products.
struct Outer<'a> {
    /// The row's factor of the first vector, and the way to the next one's.
    factors: (&'a [f32], usize),
    x: &'a [f32],
    to: &'a mut [f32],
}

impl Kernel for Outer<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        let (inputs, whole) = (self.to.len(), self.to.len() / V::LANES * V::LANES);
        let factor = |vector: usize| self.factors.0[vector * self.factors.1];
        let vectors = self.x.len() / inputs;
        for number in (0..whole).step_by(V::LANES) {
            let mut sum = V::splat(0.0);
            for vector in 0..vectors {
                // SAFETY: a vector of numbers of `x`.
                let x = unsafe { V::load(self.x.as_ptr().add(vector * inputs + number)) };
                sum = x.mul_add(V::splat(factor(vector)), sum);
            }
            // SAFETY: a vector of the row.
            unsafe { sum.store(self.to.as_mut_ptr().add(number)) };
        }
        for number in whole..inputs {
            self.to[number] = (0..vectors).map(|vector| factor(vector) * self.x[vector * inputs + number]).sum();
        }
    }
}

/// Sums of products with some rows; asks for as many rows behind them.
#[inline(always)]
fn dot<V: Vector, const ASKS: bool>(x: &[f32], rows: [&[f32]; AT_ONCE]) -> [f32; AT_ONCE] {
    let (mut sums, whole) = ([V::splat(0.0); AT_ONCE], x.len() / V::LANES * V::LANES);
    for number in (0..whole).step_by(V::LANES) {
        for (sum, row) in sums.iter_mut().zip(rows) {
            if ASKS {
                V::prefetch_far(row.as_ptr().wrapping_add(AT_ONCE * x.len() + number));
            }
            // SAFETY: a vector of either slice; they are equally long.
            unsafe {
                let x = V::load(x.as_ptr().add(number));
                *sum = x.mul_add(V::load(row.as_ptr().add(number)), *sum);
            }
        }
    }
    let mut products = [0.0; AT_ONCE];
    for ((product, sum), row) in products.iter_mut().zip(sums).zip(rows) {
        let mut lanes = [0.0; LANES];
        // SAFETY: there is room for any vector.
        unsafe { sum.store(lanes.as_mut_ptr()) };
        let rest: f32 = x[whole..].iter().zip(&row[whole..]).map(|(x, row)| x * row).sum();
        *product = lanes.iter().sum::<f32>() + rest;
    }
    products
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
        let sizes = [(1, 1, 1), (1, 70, 130), (3, 129, 65), (4, 16, 3), (16, 40, 130), (17, 1100, 30), (33, 20, 30)];
        // Whatever other tests choose meanwhile: all instructions give these results.
        let all = [Instructions::Portable, Instructions::Avx2, Instructions::Widest];
        for (instructions, (n, inputs, outputs)) in sizes.into_iter().flat_map(|size| all.map(|each| (each, size))) {
            instructions.choose();
            let [x, matrix] =
                [[n, inputs], [outputs, inputs]].map(|shape| Var::from_tensor(&rng.normal(&shape).unwrap()).unwrap());
            let direction = rng.normal(&[n, outputs]).unwrap();
            let y = times_transposed(&x.as_tensor().into(), &matrix.as_tensor().into()).unwrap().into_value();
            let expected = x.matmul(&matrix.t().unwrap()).unwrap();
            let results = |y: &Tensor| {
                let gradients = (y * &direction).unwrap().sum_all().unwrap().backward().unwrap();
                [&x, &matrix].map(|var| gradients.get(var).unwrap().clone()).into_iter().chain([y.clone()])
            };
            for (found, expected) in results(&y).zip(results(&expected)) {
                let off = (found - expected).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
                assert!(off < 2e-4, "{n}x{inputs} to {outputs}, {instructions:?}: {off}");
            }
        }
    }

    #[test]
    fn a_constant_matrix_has_no_gradient() {
        let rng = &mut RandomState::new(13);
        let (x, matrix) = (Var::from_tensor(&rng.normal(&[2, 7]).unwrap()).unwrap(), rng.normal(&[3, 7]).unwrap());
        let y = times_transposed(&x.as_tensor().into(), &(&matrix).into()).unwrap().into_value();
        let gradients = y.sum_all().unwrap().backward().unwrap();
        let expected = matrix.sum(0).unwrap().broadcast_as((2, 7)).unwrap();
        let off = (gradients.get(x.as_tensor()).unwrap() - expected).unwrap().abs().unwrap().max_all().unwrap();
        assert!(off.to_scalar::<f32>().unwrap() < 1e-5 && gradients.get(&matrix).is_none());
    }
}
