//! A grid of tiles on its way from pixels to points and back.

use std::marker::PhantomData;
use std::ops::Range;

use super::scheme::Scheme;
use crate::ops::blocked::LANES;
use crate::ops::blocked::finish::Finish;
use crate::ops::blocked::maps::{Maps, Patch, Pixels, Region, Sizes, View};
use crate::ops::blocked::memory::Pointer;
use crate::ops::vector::Vector;

/// Tiles side by side.
#[derive(Clone, Copy)]
pub(super) struct Grid<'a, S> {
    pub scheme: PhantomData<S>,
    /// Tile (0, 0) sees its pixels from (0, 0) on.
    pub source: View<'a>,
    /// A factor for each image and input channel, blocks filled up.
    pub scales: Option<&'a [f32]>,
    /// Rows and columns of tiles.
    pub tiles: (usize, usize),
    /// Where the first tile goes in the result.
    pub corner: (usize, usize),
    /// Rows and columns of the result from there on; what tiles have beyond is left out.
    pub size: (usize, usize),
}

/// Where the points of one block of some tiles lie: the first tile's first point, and the ways to the next tile's and to the
/// next point, in numbers.
#[derive(Clone, Copy)]
pub(super) struct Lines<P> {
    pub first: P,
    pub tile_step: usize,
    pub point_step: usize,
}

/// Where tiles of the result go.
#[derive(Clone, Copy)]
pub(super) struct To {
    pub sizes: Sizes,
    pub first: Pointer,
    pub layout: Layout,
}

/// How tiles lie.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    /// Each at its place in the images.
    Images,
    /// Side by side.
    Strip,
}

impl To {
    /// The tiles' places in maps.
    pub fn images((sizes, first): (Sizes, Pointer)) -> Self {
        To { sizes, first, layout: Layout::Images }
    }

    /// Maps as wide as all tiles together and as high as one.
    pub fn strip(maps: &mut Maps) -> Self {
        To { sizes: maps.sizes, first: Pointer::new(maps.memory.first()), layout: Layout::Strip }
    }
}

impl<S: Scheme> Grid<'_, S> {
    /// Tiles of all images.
    pub fn count(&self) -> usize {
        self.source.sizes.images * self.tiles.0 * self.tiles.1
    }

    /// Image, row and column of a tile.
    #[inline(always)]
    fn place(&self, tile: usize) -> (usize, usize, usize) {
        let (rows, columns) = self.tiles;
        (tile / (rows * columns), tile / columns % rows, tile % columns)
    }

    /// The place behind another.
    #[inline(always)]
    fn behind(&self, (image, row, column): (usize, usize, usize)) -> (usize, usize, usize) {
        let (rows, columns) = self.tiles;
        match (row + 1 < rows, column + 1 < columns) {
            (_, true) => (image, row, column + 1),
            (true, false) => (image, row + 1, 0),
            (false, false) => (image + 1, 0, 0),
        }
    }

    /// The first pixel that a tile of this row and column sees.
    #[inline(always)]
    fn seen(row: usize, column: usize) -> (usize, usize) {
        (row * S::STEP.0, column * S::STEP.1)
    }

    /// Some rows of tiles of one image, whose first tile goes to `corner`.
    pub fn lines(&self, image: usize, lines: Range<usize>, corner: (usize, usize)) -> Self {
        let View { sizes, numbers, corner: seen } = self.source;
        let source = View {
            sizes: Sizes { images: 1, ..sizes },
            numbers: &numbers[image * sizes.image()..][..sizes.image()],
            corner: (seen.0 + (lines.start * S::STEP.0) as isize, seen.1),
        };
        let channels = sizes.blocks * LANES;
        let scales = self.scales.map(|scales| &scales[image * channels..][..channels]);
        let rows = self.size.0 - lines.start * S::SIDES.0;
        let size = (rows.min(lines.len() * S::SIDES.0), self.size.1);
        Grid { source, scales, tiles: (lines.len(), self.tiles.1), corner, size, ..*self }
    }

    /// What some tiles cover, row of tiles by row of tiles, and where the pixels of each lie.
    pub fn regions(&self, tiles: Range<usize>, to: To) -> impl Iterator<Item = (Region, Pixels)> {
        let columns = self.tiles.1;
        (tiles.start / columns..tiles.end.div_ceil(columns)).map(move |line| {
            let (first, last) = (tiles.start.max(line * columns), tiles.end.min((line + 1) * columns) - 1);
            let ((image, row, left), (_, _, right)) = (self.place(first), self.place(last));
            let (rows, columns) = self.size;
            let span = |first: usize, last: usize, side: usize, most: usize| first * side..most.min((last + 1) * side);
            let region = Region {
                image,
                rows: span(row, row, S::SIDES.0, rows),
                columns: span(left, right, S::SIDES.1, columns),
            };
            let Sizes { blocks, .. } = to.sizes;
            let first = self.target(first - tiles.start, (image, 0, (row, left)), to).cast_const();
            (region, Pixels { first, row_step: to.sizes.row(), block_step: to.sizes.block(), blocks })
        })
    }

    /// Where the first pixel of a tile goes: of the `i`th one, of an image and block, in this row and column of tiles.
    #[inline(always)]
    fn target(&self, i: usize, (image, block, (row, column)): (usize, usize, (usize, usize)), to: To) -> *mut f32 {
        let offset = match to.layout {
            Layout::Images => {
                let pixel = (row * S::SIDES.0 + self.corner.0, column * S::SIDES.1 + self.corner.1);
                to.sizes.offset(image, block, pixel)
            }
            Layout::Strip => to.sizes.offset(0, block, (0, i * S::SIDES.1)),
        };
        // SAFETY: whoever made the target vouches for room for all tiles.
        unsafe { to.first.at(offset) }
    }

    /// Transforms one block of some patches.
    ///
    /// # Safety
    /// `to` has room for a line of each tile at each point.
    #[inline(always)]
    pub unsafe fn enter<V: Vector>(&self, block: usize, tiles: Range<usize>, to: Lines<*mut f32>) {
        let blocks = self.source.sizes.blocks;
        let mut copy = Patch::new();
        let first = self.place(tiles.start);
        let mut next = first;
        for i in 0..tiles.len() {
            let (image, row, column) = next;
            next = self.behind(next);
            let pixels = self.source.patch::<V>((image, block), Self::seen(row, column), S::PATCH, &mut copy);
            let scale = self.scales.map(|scales| scales[(image * blocks + block) * LANES..][..LANES].as_ptr());
            let ahead = if i + 1 < tiles.len() { (block, next) } else { (block + 1, first) };
            let ahead =
                (self.source.ahead((ahead.1.0, ahead.0), Self::seen(ahead.1.1, ahead.1.2)), self.source.sizes.row());
            ask_for::<V>(ahead, 0..S::PATCH.0 / 2, S::PATCH.1);
            // SAFETY: a patch of the source, and this tile's lines.
            unsafe { S::enter::<V>(pixels, scale, (to.first.add(i * to.tile_step), to.point_step)) };
            ask_for::<V>(ahead, S::PATCH.0 / 2..S::PATCH.0, S::PATCH.1);
        }
    }

    /// Transforms one block of some tiles' sums back and stores them.
    ///
    /// # Safety
    /// `sums` holds a line of each tile at each point; the block of these tiles in the result is the caller's alone.
    #[inline(always)]
    pub unsafe fn leave<V: Vector>(
        &self,
        (block, finish): (usize, Option<&Finish<'_>>),
        tiles: Range<usize>,
        sums: Lines<*const f32>,
        to: To,
    ) {
        let mut copy = Patch::new();
        let mut next = self.place(tiles.start);
        for i in 0..tiles.len() {
            let (image, row, column) = next;
            next = self.behind(next);
            let (first, row_step) = (self.target(i, (image, block, (row, column)), to), to.sizes.row());
            let (row, column) = (row * S::SIDES.0, column * S::SIDES.1);
            let (rows, columns) = (S::SIDES.0.min(self.size.0 - row), S::SIDES.1.min(self.size.1 - column));
            let is_whole = to.layout == Layout::Strip || (rows, columns) == S::SIDES;
            let target = if is_whole { (first, row_step) } else { (copy.first(), S::SIDES.1 * LANES) };
            let ahead = (first.wrapping_add(S::SIDES.1 * LANES).cast_const(), row_step);
            ask_for::<V>(ahead, 0..S::SIDES.0 / 2, S::SIDES.1);
            ask_for_points::<V, S>(Lines { first: sums.first.wrapping_add((i + 1) * sums.tile_step), ..sums });
            for lane in (0..LANES).step_by(V::LANES) {
                // SAFETY: the caller's promise, and room for a tile in the copy.
                unsafe {
                    let points = (sums.first.add(i * sums.tile_step + lane), sums.point_step);
                    let target = (target.0.add(lane), target.1);
                    match finish {
                        None => S::leave::<V>(points, None, (image, row, column), target),
                        Some(finish) => {
                            let channels = finish.channels::<V>((image, block, to.sizes.blocks), lane);
                            S::leave::<V>(points, Some((finish, &channels)), (image, row, column), target);
                        }
                    }
                }
            }
            ask_for::<V>(ahead, S::SIDES.0 / 2..S::SIDES.0, S::SIDES.1);
            for y in 0..if is_whole { 0 } else { rows } {
                // SAFETY: the part of a row of the tile that lies within the result.
                unsafe {
                    let from = target.0.add(y * target.1);
                    std::ptr::copy_nonoverlapping(from, first.add(y * row_step), columns * LANES);
                }
            }
        }
    }
}

impl Lines<*mut f32> {
    /// The same lines, to be read.
    #[inline(always)]
    pub fn read(self) -> Lines<*const f32> {
        Lines { first: self.first.cast_const(), tile_step: self.tile_step, point_step: self.point_step }
    }
}

/// Asks for some rows of pixels, `first.1` numbers apart, of which there are so many columns. The rows of a tile come in two
/// halves while another tile is worked on: of many lines that are asked for at once the processor drops some.
#[inline(always)]
fn ask_for<V: Vector>((first, row_step): (*const f32, usize), rows: Range<usize>, columns: usize) {
    for y in rows {
        for x in 0..columns {
            V::prefetch(first.wrapping_add(y * row_step + x * LANES));
        }
    }
}

/// Asks for the points of the next tile, unless they follow those of this one, which the processor notices itself.
#[inline(always)]
fn ask_for_points<V: Vector, S: Scheme>(lines: Lines<*const f32>) {
    for point in 0..if lines.point_step == LANES { 0 } else { S::POINTS } {
        V::prefetch(lines.first.wrapping_add(point * lines.point_step));
    }
}
