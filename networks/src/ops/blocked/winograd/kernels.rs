//! Kernels on their way from weights to points, a block of 16 inputs and 16 outputs at a time.

use super::pairing::Pairing;
use super::scheme::{Filtering, KernelPoints, MOST_POINTS, Scales};
use super::transforms::{Along, along_columns, load};
use super::{IN_ORDER, Winograd};
use crate::ops::blocked::LANES;
use crate::ops::blocked::demodulation::{Demodulation, Energies};
use crate::ops::blocked::weights::{BLOCK, Rows};
use crate::ops::vector::Vector;

/// What a task that transforms kernels keeps from one block to the next.
pub(super) struct Transforming<'a> {
    pub energies: Energies<'a>,
    /// What points are multiplied with.
    scales: Scales,
    arranged: Arranged,
}

/// Room for a block of kernels on its way.
#[repr(align(64))]
struct Arranged {
    /// `[tap, 16 inputs, 16 outputs]`
    taps: [f32; 9 * BLOCK],
    /// Sums of squares over the taps.
    squares: [f32; BLOCK],
}

impl<'a> Transforming<'a> {
    /// For kernels of these output blocks.
    pub fn new(
        demodulation: Option<Demodulation<'a>>,
        pairing: Option<&Pairing>,
        blocks: std::ops::Range<usize>,
    ) -> Self {
        let arranged = Arranged { taps: [0.0; 9 * BLOCK], squares: [0.0; BLOCK] };
        let scales = pairing.map_or([1.0; MOST_POINTS], |pairing| pairing.scales);
        Transforming { energies: Energies::new(demodulation, blocks), scales, arranged }
    }
}

impl<S: Filtering> Winograd<'_, S> {
    /// Transforms one block of kernels, (output, input).
    ///
    /// # Safety
    /// `to` has room for a block at each point.
    #[inline(always)]
    pub(super) unsafe fn transform<V: Vector>(
        &self,
        block: (usize, usize),
        Transforming { energies, scales, arranged: Arranged { taps, squares } }: &mut Transforming<'_>,
        (to, step): (*mut f32, usize),
    ) {
        let points = |lane: usize| KernelPoints { first: to.wrapping_add(lane), step, scales };
        if let Some(rows) = self.weights.rows(block).filter(|_| self.taps == IN_ORDER) {
            for lane in (0..LANES).step_by(V::LANES) {
                // SAFETY: one vector of each point, for which the caller vouches.
                unsafe { S::kernels::<V>((rows, lane), points(lane), squares) };
            }
            return energies.add_squares::<V>(block, squares);
        }
        self.weights.block::<V>(block, &self.taps, taps);
        energies.add::<V>(block, taps);
        for lane in (0..BLOCK).step_by(V::LANES) {
            // SAFETY: one vector of each tap and of each point, for which the caller vouches.
            unsafe { S::kernel::<V>((taps.as_ptr().add(lane), BLOCK), points(lane)) };
        }
    }
}

/// One vector of each of 3x3 taps, `tap_step` numbers apart, to points.
///
/// # Safety
/// The taps can be read and the points written.
#[inline(always)]
pub(super) unsafe fn kernel_to_points<A: Along<3, TO>, V: Vector, const TO: usize>(
    (taps, tap_step): (*const f32, usize),
    points: KernelPoints<'_>,
) {
    // SAFETY: the caller's promise.
    let lines = along_columns::<A, V, 3, TO>(unsafe { load(taps, (3 * tap_step, tap_step)) });
    for (y, line) in lines.into_iter().enumerate() {
        for (x, point) in A::turn(line).into_iter().enumerate() {
            let i = y * TO + x;
            // SAFETY: the caller's promise.
            unsafe { point.mul(V::splat(points.scales[i])).store(points.first.add(i * points.step)) };
        }
    }
}

/// The taps of 16 inputs for a vector of outputs from `output` on to points, and their sums of squares to `[16 inputs, 16
/// outputs]`. The next input's taps come while this one's points go, a few at a time: a processor that has many stores to
/// do would wait for them otherwise.
///
/// # Safety
/// The points can be written.
#[inline(always)]
pub(super) unsafe fn kernels_to_points<A: Along<3, TO>, V: Vector, const TO: usize>(
    (rows, output): (Rows<'_>, usize),
    points: KernelPoints<'_>,
    squares: &mut [f32; BLOCK],
) {
    // SAFETY: taps of these inputs, a vector of the sums, and one of each point.
    unsafe {
        let mut first = rows.four_taps::<V>((output, 0), 0);
        let mut second = rows.four_taps::<V>((output, 0), 4);
        let [.., mut last] = rows.four_taps::<V>((output, 0), 5);
        for input in 0..LANES {
            let ([a, b, c, d], [e, f, g, h], i) = (first, second, last);
            let sum = sum_of_squares([a, b, c, d, e, f, g, h, i]);
            sum.store(squares[input * LANES + output..][..V::LANES].as_mut_ptr());
            let lines = along_columns::<A, V, 3, TO>([[a, d, g], [b, e, h], [c, f, i]]);
            let next = (output, (input + 1).min(LANES - 1));
            rows.ask_for_next::<V>(input);
            for (y, line) in lines.into_iter().enumerate() {
                for (x, point) in A::turn(line).into_iter().enumerate() {
                    let place = points.first.add((y * TO + x) * points.step + input * LANES);
                    point.mul(V::splat(points.scales[y * TO + x])).store(place);
                }
                if y == TO / 3 - 1 {
                    first = rows.four_taps::<V>(next, 0);
                } else if y == 2 * TO / 3 - 1 {
                    second = rows.four_taps::<V>(next, 4);
                }
            }
            [.., last] = rows.four_taps::<V>(next, 5);
        }
    }
}

#[inline(always)]
fn sum_of_squares<V: Vector>(numbers: [V; 9]) -> V {
    let mut sum = numbers[0].mul(numbers[0]);
    for number in &numbers[1..] {
        sum = number.mul_add(*number, sum);
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::super::doubling::Doubling;
    use super::super::scheme::Same;
    use super::super::shrinking::Shrinking;
    use super::super::six::SameBySix;
    use super::*;
    use crate::ops::blocked::weights::Weights;
    use crate::ops::vector::{self, Kernel};
    use std::marker::PhantomData;

    const STEP: usize = BLOCK + LANES;
    const SCALES: Scales = [0.75; MOST_POINTS];

    /// Points of a block of kernels, with the sums of squares behind them: from rows at once, or from arranged taps.
    struct Both<'a, S> {
        scheme: PhantomData<S>,
        weights: Weights<'a>,
        block: (usize, usize),
        found: [&'a mut [f32]; 2],
    }

    impl<S: Filtering> Kernel for Both<'_, S> {
        type Output = ();
        fn run<V: Vector>(self) {
            let [at_once, arranged] = self.found;
            let rows = self.weights.rows(self.block).expect("a whole block");
            let mut squares = [0.0; BLOCK];
            for lane in (0..LANES).step_by(V::LANES) {
                let points =
                    KernelPoints { first: at_once.as_mut_ptr().wrapping_add(lane), step: STEP, scales: &SCALES };
                // SAFETY: room for all points.
                unsafe { S::kernels::<V>((rows, lane), points, &mut squares) };
            }
            at_once[S::KERNEL_POINTS * STEP..].copy_from_slice(&squares);
            let mut taps = vec![0.0; 9 * BLOCK];
            self.weights.block::<V>(self.block, &IN_ORDER, &mut taps);
            for lane in (0..BLOCK).step_by(V::LANES) {
                let points =
                    KernelPoints { first: arranged.as_mut_ptr().wrapping_add(lane), step: STEP, scales: &SCALES };
                // SAFETY: room for all points.
                unsafe { S::kernel::<V>((taps.as_ptr().add(lane), BLOCK), points) };
            }
            for (i, sum) in arranged[S::KERNEL_POINTS * STEP..].iter_mut().enumerate() {
                *sum = taps.chunks_exact(BLOCK).map(|tap| tap[i] * tap[i]).sum();
            }
        }
    }

    fn check<S: Filtering>(what: &str) {
        let (outputs, inputs) = (2 * LANES, 3 * LANES);
        let numbers: Vec<f32> = (0..outputs * inputs * 9).map(|i| ((i * 7919) % 1009) as f32 / 500.0 - 1.0).collect();
        let weights = Weights { numbers: &numbers, outputs, inputs, output_step: inputs * 9, input_step: 9, gain: 1.5 };
        for block in [(0, 0), (1, 2)] {
            let mut found = [vec![0.0; S::KERNEL_POINTS * STEP + BLOCK], vec![0.0; S::KERNEL_POINTS * STEP + BLOCK]];
            let [a, b] = &mut found;
            vector::run(Both::<S> { scheme: PhantomData, weights, block, found: [a, b] });
            let [at_once, arranged] = found;
            for (i, (found, expected)) in at_once.iter().zip(&arranged).enumerate() {
                assert!((found - expected).abs() <= 1e-5, "{what}, {block:?}: {i} is {found}, not {expected}");
            }
        }
    }

    #[test]
    fn kernels_become_the_same_points_at_once_and_by_way_of_arranged_taps() {
        check::<Same>("F(4x4, 3x3)");
        check::<SameBySix>("F(6x6, 3x3)");
        check::<Doubling>("doubling");
        check::<Shrinking>("shrinking");
    }
}
