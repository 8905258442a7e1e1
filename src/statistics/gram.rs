//! Products and distances of many features at once.

use ndarray::{Array1, Array2, ArrayView2, Axis};
use rayon::prelude::*;

/// The matrix product a·b, in bands of rows at once.
pub fn product(a: ArrayView2<'_, f64>, b: ArrayView2<'_, f64>) -> Array2<f64> {
    const BAND: usize = 128;
    let bands: Vec<_> = a.axis_chunks_iter(Axis(0), BAND).collect();
    let bands: Vec<Array2<f64>> = bands.into_par_iter().map(|band| band.dot(&b)).collect();
    let mut out = Array2::zeros((a.nrows(), b.ncols()));
    out.axis_chunks_iter_mut(Axis(0), BAND).zip(bands).for_each(|(mut out, band)| out.assign(&band));
    out
}

/// Inner products of the rows of `a` `[N, F]` with those of `b` `[M, F]`: `[N, M]`.
pub fn products(a: ArrayView2<'_, f64>, b: ArrayView2<'_, f64>) -> Array2<f64> {
    a.dot(&b.t())
}

/// Squared lengths of the rows.
pub fn squared_lengths(rows: ArrayView2<'_, f64>) -> Array1<f64> {
    rows.map_axis(Axis(1), |row| row.dot(&row))
}

/// Squared distances of the rows of `a` `[N, F]` from those of `b` `[M, F]`: `[N, M]`, none negative.
pub fn squared_distances(a: ArrayView2<'_, f64>, b: ArrayView2<'_, f64>) -> Array2<f64> {
    let mut squares = -2.0 * products(a, b);
    squares += &squared_lengths(a).insert_axis(Axis(1));
    squares += &squared_lengths(b);
    squares.mapv_inplace(|square| square.max(0.0));
    squares
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn distances_are_those_of_points() {
        let (a, b) = (array![[0.0, 0.0], [3.0, 4.0]], array![[3.0, 4.0], [1.0, 0.0], [0.0, 1.0]]);
        assert_eq!(squared_distances(a.view(), b.view()), array![[25.0, 1.0, 1.0], [0.0, 20.0, 18.0]]);
    }
}
