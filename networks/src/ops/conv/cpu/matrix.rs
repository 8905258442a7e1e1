//! Matrix products of the gemm crate, single-threaded: the tiles are what runs in parallel.

use crate::ops::real::{Real, Write};

/// A matrix within a slice.
#[derive(Clone, Copy)]
pub(super) struct Matrix<'a, T> {
    data: &'a [T],
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
}

impl<'a, T: Real> Matrix<'a, T> {
    /// Rows of `columns` numbers, `row_stride` numbers apart.
    ///
    /// # Panics
    /// When the slice is too short.
    pub fn new(data: &'a [T], (rows, columns): (usize, usize), row_stride: usize) -> Self {
        assert!(rows == 0 || columns == 0 || (rows - 1) * row_stride + columns <= data.len(), "a matrix fits its data");
        Matrix { data, rows, columns, row_stride, column_stride: 1 }
    }

    /// Rows become columns.
    pub fn transposed(self) -> Self {
        let Matrix { data, rows, columns, row_stride, column_stride } = self;
        Matrix { data, rows: columns, columns: rows, row_stride: column_stride, column_stride: row_stride }
    }
}

/// Writes left · right, whose rows are `row_stride` numbers apart, to `to`.
///
/// # Safety
/// The rows must lie within one allocation, in which no other task touches their elements.
pub(super) unsafe fn multiply<T: Real>(to: (*mut T, usize), left: Matrix<'_, T>, right: Matrix<'_, T>, write: Write) {
    assert_eq!(left.columns, right.rows, "inner sizes of a matrix product");
    let (to, row_stride) = to;
    // SAFETY: `Matrix::new` checked that both factors lie within their slices; the caller vouches for the result.
    unsafe {
        gemm::gemm(
            left.rows,
            right.columns,
            left.columns,
            to,
            1,
            row_stride as isize,
            write == Write::Add,
            left.data.as_ptr(),
            left.column_stride as isize,
            left.row_stride as isize,
            right.data.as_ptr(),
            right.column_stride as isize,
            right.row_stride as isize,
            T::one(),
            T::one(),
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}
