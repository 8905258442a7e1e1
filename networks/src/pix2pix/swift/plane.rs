//! Feature maps in blocks of channels: `[C/16][row][column][16]`, with zeros all around.

use crate::ops::real::Shared;

/// Channels that lie side by side: the widest vector register in single precision.
pub(super) const BLOCK: usize = 16;
/// Outputs along the side of a Winograd tile, to whose multiple rows and columns are filled up with zeros.
pub(super) const TILE: usize = 4;

/// Extents of a plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    pub blocks: usize,
    pub height: usize,
    pub width: usize,
}

impl Shape {
    pub fn new(channels: usize, (height, width): (usize, usize)) -> Shape {
        Shape { blocks: channels.div_ceil(BLOCK), height, width }
    }

    /// Pixels from one row to the next.
    fn pitch(&self) -> usize {
        self.width.next_multiple_of(TILE) + 2
    }

    fn rows(&self) -> usize {
        self.height.next_multiple_of(TILE) + 2
    }

    fn len(&self) -> usize {
        self.blocks * self.rows() * self.pitch() * BLOCK
    }

    /// Numbers from one row to the next.
    pub fn row_step(&self) -> usize {
        self.pitch() * BLOCK
    }

    /// Place of a pixel; row and column −1 are the zeros before the first, and so are those after the last.
    #[inline(always)]
    pub fn place(&self, block: usize, y: isize, x: isize) -> usize {
        debug_assert!(block < self.blocks && y >= -1 && x >= -1);
        ((block * self.rows() + (y + 1) as usize) * self.pitch() + (x + 1) as usize) * BLOCK
    }
}

/// Feature maps. The zeros around them are never written.
#[derive(Clone, Debug)]
pub(super) struct Plane {
    pub shape: Shape,
    numbers: Vec<f32>,
}

impl Plane {
    pub fn new(shape: Shape) -> Plane {
        Plane { shape, numbers: vec![0.0; shape.len()] }
    }

    /// The numbers from a pixel on.
    #[inline(always)]
    pub fn from(&self, block: usize, y: isize, x: isize) -> &[f32] {
        &self.numbers[self.shape.place(block, y, x)..]
    }

    /// For tasks that write different pixels.
    pub fn shared(&mut self) -> SharedPlane<'_> {
        SharedPlane { shape: self.shape, numbers: Shared::new(&mut self.numbers) }
    }
}

/// A plane that tasks write together.
pub(super) struct SharedPlane<'a> {
    pub shape: Shape,
    numbers: Shared<'a, f32>,
}

impl SharedPlane<'_> {
    /// `count` pixels of a row.
    ///
    /// # Safety
    /// No other task may touch them.
    #[expect(clippy::mut_from_ref, reason = "tasks write disjoint pixels, which the caller promises")]
    #[inline(always)]
    pub unsafe fn pixels(&self, (block, y, x): (usize, usize, usize), count: usize) -> &mut [f32] {
        // SAFETY: the caller promises that the pixels are this task's own.
        unsafe { self.numbers.slice(self.shape.place(block, y as isize, x as isize), count * BLOCK) }
    }
}
