//! Weights in the order in which a matrix product reads them.

use std::borrow::Cow;

use rayon::prelude::*;

use crate::ops::real::Real;

/// Rows that one task exchanges at a time: enough that it reads whole cache lines.
const ROWS_PER_TASK: usize = 16;

/// A weight `[groups, rows, columns, taps]`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Blocks {
    pub groups: usize,
    pub rows: usize,
    pub columns: usize,
    pub taps: usize,
}

impl Blocks {
    /// `[groups, rows, columns, chosen taps]`
    pub fn selected<'a, T: Real>(&self, weight: &'a [T], taps: &[usize]) -> Cow<'a, [T]> {
        if taps.len() == self.taps {
            return Cow::Borrowed(weight);
        }
        if taps.is_empty() {
            return Cow::Borrowed(&[]);
        }
        let mut packed = vec![T::zero(); self.groups * self.rows * self.columns * taps.len()];
        let chunk = self.columns;
        packed.par_chunks_mut(chunk * taps.len()).zip(weight.par_chunks(chunk * self.taps)).for_each(|(to, from)| {
            for (to, from) in to.chunks_exact_mut(taps.len()).zip(from.chunks_exact(self.taps)) {
                for (to, &tap) in to.iter_mut().zip(taps) {
                    *to = from[tap];
                }
            }
        });
        Cow::Owned(packed)
    }

    /// `[groups, columns, rows, chosen taps]`
    pub fn exchanged<T: Real>(&self, weight: &[T], taps: &[usize]) -> Vec<T> {
        let mut packed = vec![T::zero(); self.groups * self.rows * self.columns * taps.len()];
        let row = self.rows * taps.len(); // of the result
        if row == 0 {
            return packed;
        }
        for (packed, weight) in
            packed.chunks_exact_mut(self.columns * row).zip(weight.chunks_exact(self.rows * self.columns * self.taps))
        {
            packed.par_chunks_mut(ROWS_PER_TASK * row).enumerate().for_each(|(task, to)| {
                self.exchange_some(weight, taps, task * ROWS_PER_TASK, to);
            });
        }
        packed
    }

    /// Writes the rows of the result from `first_column` on.
    fn exchange_some<T: Real>(&self, weight: &[T], taps: &[usize], first_column: usize, to: &mut [T]) {
        let row = self.rows * taps.len();
        for (r, from) in weight.chunks_exact(self.columns * self.taps).enumerate() {
            let from = from[first_column * self.taps..].chunks_exact(self.taps);
            for (to, from) in to.chunks_exact_mut(row).zip(from) {
                for (to, &tap) in to[r * taps.len()..].iter_mut().zip(taps) {
                    *to = from[tap];
                }
            }
        }
    }
}
