//! Small square matrices: planes and colours in homogeneous coordinates.

use std::ops::Mul;

/// A square matrix in row order. `a * b` applies b first.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Matrix<const N: usize>(pub [[f64; N]; N]);

impl<const N: usize> Matrix<N> {
    /// Changes nothing.
    pub const IDENTITY: Matrix<N> = {
        let mut rows = [[0.0; N]; N];
        let mut i = 0;
        while i < N {
            rows[i][i] = 1.0;
            i += 1;
        }
        Matrix(rows)
    };

    /// Σ of two matrices, the second `weight` times.
    pub(super) fn plus(self, weight: f64, other: Matrix<N>) -> Matrix<N> {
        Matrix(std::array::from_fn(|i| std::array::from_fn(|j| self.0[i][j] + weight * other.0[i][j])))
    }
}

impl<const N: usize> Mul for Matrix<N> {
    type Output = Matrix<N>;

    fn mul(self, other: Matrix<N>) -> Matrix<N> {
        let element = |i: usize, j: usize| (0..N).map(|k| self.0[i][k] * other.0[k][j]).sum();
        Matrix(std::array::from_fn(|i| std::array::from_fn(|j| element(i, j))))
    }
}

impl Matrix<3> {
    /// Moves by (x, y).
    pub fn translation(x: f64, y: f64) -> Self {
        Matrix([[1.0, 0.0, x], [0.0, 1.0, y], [0.0, 0.0, 1.0]])
    }

    /// Stretches the two axes.
    pub fn scaling(x: f64, y: f64) -> Self {
        Matrix([[x, 0.0, 0.0], [0.0, y, 0.0], [0.0, 0.0, 1.0]])
    }

    /// Turns by an angle in radians, from the x axis towards the y axis.
    pub fn rotation(angle: f64) -> Self {
        let (sin, cos) = angle.sin_cos();
        Matrix([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])
    }

    /// Where the point (x, y) goes.
    pub fn apply(&self, (x, y): (f64, f64)) -> (f64, f64) {
        let [a, b, _] = self.0;
        (a[0] * x + a[1] * y + a[2], b[0] * x + b[1] * y + b[2])
    }
}

impl Matrix<4> {
    /// Adds the same to the three colours.
    pub(super) fn shifting(by: f64) -> Self {
        let mut matrix = Self::IDENTITY;
        (0..3).for_each(|i| matrix.0[i][3] = by);
        matrix
    }

    /// Multiplies the three colours.
    pub(super) fn stretching(by: f64) -> Self {
        let mut matrix = Self::IDENTITY;
        (0..3).for_each(|i| matrix.0[i][i] = by);
        matrix
    }

    /// Projection on the grey axis v = (1, 1, 1)/√3: v vᵀ.
    pub(super) const LUMA: Matrix<4> = {
        let third = [1.0 / 3.0, 1.0 / 3.0, 1.0 / 3.0, 0.0];
        Matrix([third, third, third, [0.0; 4]])
    };

    /// Turns the colours about the grey axis (Rodrigues' formula), by an angle in radians.
    pub(super) fn turning(angle: f64) -> Self {
        let (sin, cos) = angle.sin_cos();
        let side = sin / 3f64.sqrt();
        let cross = Matrix([[0.0, -side, side, 0.0], [side, 0.0, -side, 0.0], [-side, side, 0.0, 0.0], [0.0; 4]]);
        Self::stretching(cos).plus(1.0 - cos, Self::LUMA).plus(1.0, cross)
    }
}
