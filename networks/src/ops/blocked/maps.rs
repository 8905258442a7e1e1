//! Feature maps in blocks of 16 channels, `[image, block, row, column, 16]`, and the way there and back.

use std::ops::Range;

use rayon::prelude::*;

use super::memory::{Memory, Pointer};
use super::{LANES, blocks_of};
use crate::ops::vector::{self, Kernel, Vector};

/// Sizes of blocked feature maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sizes {
    pub images: usize,
    pub blocks: usize,
    pub rows: usize,
    pub columns: usize,
}

impl Sizes {
    pub fn of(images: usize, channels: usize, (rows, columns): (usize, usize)) -> Self {
        Sizes { images, blocks: blocks_of(channels), rows, columns }
    }

    /// Numbers from one row to the next.
    pub fn row(&self) -> usize {
        self.columns * LANES
    }

    /// Numbers from one block to the next.
    pub fn block(&self) -> usize {
        self.rows * self.row()
    }

    /// Numbers from one image to the next.
    pub fn image(&self) -> usize {
        self.blocks * self.block()
    }

    /// Numbers altogether.
    pub fn total(&self) -> usize {
        self.images * self.image()
    }

    /// Offset of a pixel's line.
    pub fn offset(&self, image: usize, block: usize, (row, column): (usize, usize)) -> usize {
        image * self.image() + block * self.block() + row * self.row() + column * LANES
    }
}

/// Some rows and columns of an image.
#[derive(Clone, Debug)]
pub(crate) struct Region {
    pub image: usize,
    pub rows: Range<usize>,
    pub columns: Range<usize>,
}

/// Pixels of a region, wherever they lie.
#[derive(Clone, Copy)]
pub(crate) struct Pixels {
    /// The region's first pixel in the first block.
    pub first: *const f32,
    /// From one row to the next, and from one block to the next, in numbers.
    pub row_step: usize,
    pub block_step: usize,
    pub blocks: usize,
}

/// Blocked feature maps.
pub(crate) struct Maps {
    pub sizes: Sizes,
    pub memory: Memory,
}

impl Maps {
    /// Maps of unspecified content.
    pub fn new(sizes: Sizes) -> Self {
        Maps { sizes, memory: Memory::take(sizes.total()) }
    }

    /// Maps without pixels.
    pub fn empty() -> Self {
        Self::new(Sizes { images: 0, blocks: 0, rows: 0, columns: 0 })
    }

    /// The same numbers in memory of their own.
    pub fn copied(&self) -> Self {
        let mut maps = Maps::new(self.sizes);
        let block = self.sizes.block().max(1);
        let blocks = maps.memory.par_chunks_exact_mut(block).zip(self.memory.par_chunks_exact(block));
        blocks.for_each(|(to, from)| to.copy_from_slice(from));
        maps
    }

    /// Maps whose numbers `fill` writes through a pointer.
    ///
    /// # Safety
    /// `fill` writes within the maps.
    pub unsafe fn written(sizes: Sizes, fill: impl FnOnce(Pointer)) -> Self {
        let mut maps = Maps::new(sizes);
        fill(Pointer::new(maps.memory.first()));
        maps
    }

    /// The maps as they are.
    pub fn view(&self) -> View<'_> {
        self.seen_from((0, 0))
    }

    /// The maps from another pixel on.
    pub fn seen_from(&self, corner: (isize, isize)) -> View<'_> {
        View { sizes: self.sizes, numbers: &self.memory, corner }
    }
}

/// Blocked feature maps that somebody else owns; zero lies around them.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    pub sizes: Sizes,
    pub numbers: &'a [f32],
    /// The pixel that whoever looks calls (0, 0).
    pub corner: (isize, isize),
}

impl<'a> View<'a> {
    /// Maps of `sizes`, seen from `corner` on.
    pub fn new(numbers: &'a [f32], sizes: Sizes, corner: (isize, isize)) -> Self {
        assert_eq!(numbers.len(), sizes.total(), "numbers of all pixels");
        View { sizes, numbers, corner }
    }

    /// Where a pixel lies or would lie, to be asked for.
    #[inline(always)]
    pub fn ahead(&self, (image, block): (usize, usize), (row, column): (usize, usize)) -> *const f32 {
        let (top, left) = (row as isize + self.corner.0, column as isize + self.corner.1);
        let first = self.numbers.as_ptr().wrapping_add(self.sizes.offset(image, block, (0, 0)));
        first.wrapping_offset((top * self.sizes.columns as isize + left) * LANES as isize)
    }

    /// Where a patch of `sides`, rows and columns, begins, and the way to its next row; the patch is copied to `copy` with
    /// zeros where it reaches beyond the maps.
    #[inline(always)]
    pub fn patch<V: Vector>(
        &self,
        (image, block): (usize, usize),
        (row, column): (usize, usize),
        sides: (usize, usize),
        copy: &mut Patch,
    ) -> (*const f32, usize) {
        let (top, left) = (row as isize + self.corner.0, column as isize + self.corner.1);
        let (rows, columns) = (self.sizes.rows as isize, self.sizes.columns as isize);
        let (height, width) = (sides.0 as isize, sides.1 as isize);
        if top >= 0 && left >= 0 && top + height <= rows && left + width <= columns {
            let offset = self.sizes.offset(image, block, (top as usize, left as usize));
            return (self.numbers[offset..].as_ptr(), self.sizes.row());
        }
        let first = &self.numbers[self.sizes.offset(image, block, (0, 0))..][..self.sizes.block()];
        for y in 0..height {
            for x in 0..width {
                let to = &mut copy.0[(y * width + x) as usize * LANES..][..LANES];
                let inside = top + y >= 0 && top + y < rows && left + x >= 0 && left + x < columns;
                let from = ((top + y) * columns + left + x) * LANES as isize;
                for lane in (0..LANES).step_by(V::LANES) {
                    // SAFETY: a line of the block, if it is inside, and one of the copy.
                    unsafe {
                        let line = if inside { V::load(first.as_ptr().offset(from).add(lane)) } else { V::splat(0.0) };
                        line.store(to.as_mut_ptr().add(lane));
                    }
                }
            }
        }
        (copy.0.as_ptr(), sides.1 * LANES)
    }
}

/// Largest side of a patch in pixels.
const MOST_SIDE: usize = 9;

/// Room for a patch.
#[repr(align(64))]
pub(crate) struct Patch([f32; MOST_SIDE * MOST_SIDE * LANES]);

impl Patch {
    /// Room without pixels.
    pub fn new() -> Self {
        Patch([0.0; MOST_SIDE * MOST_SIDE * LANES])
    }

    pub fn first(&mut self) -> *mut f32 {
        self.0.as_mut_ptr()
    }
}

/// Planes `[image, channel, row, column]`, some images of which are exchanged.
#[derive(Clone, Copy)]
pub(crate) struct Planes {
    pub channels: usize,
    pub rows: usize,
    pub columns: usize,
    pub first_image: usize,
}

impl Planes {
    fn area(&self) -> usize {
        self.rows * self.columns
    }
}

/// Copies some images into maps; the maps' pixel (0, 0) is the planes' pixel `corner`, and zero lies around the planes.
pub(crate) fn from_planes(numbers: &[f32], planes: Planes, corner: (isize, isize), maps: &mut Maps) {
    let (sizes, area) = (maps.sizes, planes.area());
    assert!((planes.first_image + sizes.images) * planes.channels * area <= numbers.len(), "the images are there");
    let to = Pointer::new(maps.memory.first());
    (0..sizes.images * sizes.blocks).into_par_iter().for_each(|task| {
        let (image, block) = (task / sizes.blocks, task % sizes.blocks);
        let plane = (planes.first_image + image) * planes.channels + block * LANES;
        let channels = LANES.min(planes.channels - block * LANES);
        let from = &numbers[plane * area..][..channels * area];
        // SAFETY: this task's block of the maps.
        let to = unsafe { std::slice::from_raw_parts_mut(to.at(task * sizes.block()), sizes.block()) };
        vector::run(Enter { from, planes, corner, sizes, to });
    });
}

/// Planes of one block on their way into maps.
struct Enter<'a> {
    from: &'a [f32],
    planes: Planes,
    corner: (isize, isize),
    sizes: Sizes,
    to: &'a mut [f32],
}

impl Kernel for Enter<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        let (area, columns) = (self.planes.area(), self.planes.columns);
        let whole = self.corner == (0, 0) && (self.sizes.rows, self.sizes.columns) == (self.planes.rows, columns);
        if !whole {
            self.to.fill(0.0);
        }
        let mut lines = [0.0; LANES * LANES];
        for first in (0..area).step_by(LANES) {
            let count = LANES.min(area - first);
            // SAFETY: rows of at least `count` numbers, one for each channel, and room for 16 lines.
            unsafe { columns_to_lines::<V>((self.from, area), first, count, &mut lines) };
            if whole {
                self.to[first * LANES..][..count * LANES].copy_from_slice(&lines[..count * LANES]);
                continue;
            }
            for (i, line) in lines.chunks_exact(LANES).take(count).enumerate() {
                let row = ((first + i) / columns) as isize - self.corner.0;
                let column = ((first + i) % columns) as isize - self.corner.1;
                if (0..self.sizes.rows as isize).contains(&row) && (0..self.sizes.columns as isize).contains(&column) {
                    let offset = self.sizes.offset(0, 0, (row as usize, column as usize));
                    self.to[offset..offset + LANES].copy_from_slice(line);
                }
            }
        }
    }
}

/// Numbers `first .. first + count` of each row, `step` apart, to lines.
///
/// # Safety
/// The rows are there.
#[inline(always)]
unsafe fn columns_to_lines<V: Vector>(
    (from, step): (&[f32], usize),
    first: usize,
    count: usize,
    lines: &mut [f32; LANES * LANES],
) {
    let rows = from.len() / step;
    if rows == LANES && count == LANES {
        for (y, x) in squares::<V>() {
            // SAFETY: a square within 16 rows of 16 numbers on either side.
            unsafe {
                let from = from.as_ptr().add(y * step + first + x);
                V::transpose((from, step), (lines.as_mut_ptr().add(x * LANES + y), LANES));
            }
        }
        return;
    }
    lines.fill(0.0);
    for (channel, row) in from.chunks_exact(step).enumerate() {
        for (line, &number) in lines.chunks_exact_mut(LANES).zip(&row[first..first + count]) {
            line[channel] = number;
        }
    }
}

/// Corners of the squares that a 16x16 matrix consists of.
#[inline(always)]
fn squares<V: Vector>() -> impl Iterator<Item = (usize, usize)> {
    let sides = LANES / V::LANES;
    (0..sides * sides).map(move |i| (i / sides * V::LANES, i % sides * V::LANES))
}

/// Copies maps to images of `[image, channel, row, column]`; the planes' pixel (0, 0) is the maps' too, and what
/// lies beyond the planes is left out.
///
/// # Safety
/// `to` has room for the images, which nobody else touches.
pub(crate) unsafe fn to_planes(maps: &Maps, planes: Planes, to: Pointer) {
    let (sizes, area) = (maps.sizes, planes.area());
    (0..sizes.images * sizes.blocks).into_par_iter().for_each(|task| {
        let (image, block) = (task / sizes.blocks, task % sizes.blocks);
        let plane = (planes.first_image + image) * planes.channels + block * LANES;
        let channels = LANES.min(planes.channels - block * LANES);
        let from = &maps.memory[task * sizes.block()..][..sizes.block()];
        // SAFETY: this task's planes, for which the caller vouches.
        let to = unsafe { to.at(plane * area) };
        vector::run(Leave { from, sizes, planes, channels, to });
    });
}

/// A block on its way into planes.
struct Leave<'a> {
    from: &'a [f32],
    sizes: Sizes,
    planes: Planes,
    channels: usize,
    to: *mut f32,
}

impl Kernel for Leave<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        let (area, columns) = (self.planes.area(), self.planes.columns);
        let whole = (self.sizes.rows, self.sizes.columns) == (self.planes.rows, columns);
        let mut collected = [0.0; LANES * LANES];
        for first in (0..area).step_by(LANES) {
            let count = LANES.min(area - first);
            let lines = if whole {
                &self.from[first * LANES..][..count * LANES]
            } else {
                for (i, line) in collected.chunks_exact_mut(LANES).take(count).enumerate() {
                    let offset = self.sizes.offset(0, 0, ((first + i) / columns, (first + i) % columns));
                    line.copy_from_slice(&self.from[offset..offset + LANES]);
                }
                &collected[..count * LANES]
            };
            if self.channels == LANES && count == LANES {
                for (y, x) in squares::<V>() {
                    // SAFETY: a square within 16 lines, and within 16 rows of this block's planes.
                    unsafe {
                        let to = self.to.add(x * area + first + y);
                        V::transpose((lines.as_ptr().add(y * LANES + x), LANES), (to, area));
                    }
                }
                continue;
            }
            for (i, line) in lines.chunks_exact(LANES).enumerate() {
                for (channel, &number) in line[..self.channels].iter().enumerate() {
                    // SAFETY: a pixel of one of this block's planes.
                    unsafe { *self.to.add(channel * area + first + i) = number };
                }
            }
        }
    }
}
