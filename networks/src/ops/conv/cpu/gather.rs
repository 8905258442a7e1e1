//! Gathering the pixels under each tap of a kernel into the rows of a matrix.

use std::ops::Range;

use crate::ops::real::Real;

/// Feature maps that a kernel moves over.
#[derive(Clone, Copy)]
pub(super) struct Source<'a, T> {
    pub pixels: &'a [T],
    /// Channels of all groups.
    pub channels: usize,
    pub size: (usize, usize),
    /// Step of the kernel.
    pub stride: usize,
}

/// Some rows of a grid of kernel positions, in some images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tile {
    pub first_image: usize,
    pub images: usize,
    pub first_row: usize,
    pub rows: usize,
}

impl Tile {
    /// Cuts a batch of grids into tiles of about `positions` kernel positions: rows of one image, or several images.
    pub fn cut(batch: usize, (rows, columns): (usize, usize), positions: usize) -> Vec<Tile> {
        let area = (rows * columns).max(1);
        let images = (positions / area).clamp(1, batch.max(1));
        let rows_each = if images > 1 { rows } else { (positions / columns.max(1)).clamp(1, rows.max(1)) };
        let mut tiles = Vec::new();
        for first_image in (0..batch).step_by(images) {
            for first_row in (0..rows).step_by(rows_each.max(1)) {
                let rows = rows_each.min(rows - first_row);
                tiles.push(Tile { first_image, images: images.min(batch - first_image), first_row, rows });
            }
        }
        tiles
    }

    /// The part that lies within a grid of `rows` rows.
    pub fn within(self, rows: usize) -> Tile {
        Tile { rows: self.rows.min(rows.saturating_sub(self.first_row)), ..self }
    }

    /// Number of kernel positions.
    pub fn positions(&self, columns: usize) -> usize {
        self.images * self.rows * columns
    }
}

impl<T: Real> Source<'_, T> {
    /// One feature map.
    pub fn plane(&self, image: usize, channel: usize) -> &[T] {
        let area = self.size.0 * self.size.1;
        &self.pixels[(image * self.channels + channel) * area..][..area]
    }

    /// Fills `matrix`, whose rows are `row_stride` numbers apart, with a row for each channel and tap: the pixel under
    /// the tap for each position of the tile, zero outside the image.
    pub fn gather(
        &self,
        (tile, columns): (Tile, usize),
        channels: Range<usize>,
        taps: &[(isize, isize)],
        (matrix, row_stride): (&mut [T], usize),
    ) {
        let mut rows = matrix.chunks_mut(row_stride);
        for channel in channels {
            for &tap in taps {
                let Some(row) = rows.next() else { return };
                for (image, part) in row.chunks_exact_mut(tile.rows * columns).take(tile.images).enumerate() {
                    let plane = self.plane(tile.first_image + image, channel);
                    self.gather_plane(plane, tile.first_row, tap, part.chunks_exact_mut(columns));
                }
            }
        }
    }

    fn gather_plane<'m>(
        &self,
        plane: &[T],
        first_row: usize,
        (dy, dx): (isize, isize),
        rows: impl Iterator<Item = &'m mut [T]>,
    ) where
        T: 'm,
    {
        let (height, width) = self.size;
        for (row, to) in rows.enumerate() {
            let y = ((first_row + row) * self.stride) as isize + dy;
            if y < 0 || y >= height as isize {
                to.fill(T::zero());
            } else {
                gather_row(&plane[y as usize * width..][..width], dx, self.stride, to);
            }
        }
    }
}

/// to\[i\] = from\[i·stride + dx\], zero where there is none.
fn gather_row<T: Real>(from: &[T], dx: isize, stride: usize, to: &mut [T]) {
    let first_inside = ((-dx).max(0) as usize).div_ceil(stride).min(to.len());
    let inside = ((from.len() as isize - dx).max(0) as usize).div_ceil(stride).clamp(first_inside, to.len());
    to[..first_inside].fill(T::zero());
    to[inside..].fill(T::zero());
    let to = &mut to[first_inside..inside];
    if to.is_empty() {
        return;
    }
    let from = &from[((first_inside * stride) as isize + dx) as usize..];
    if stride == 1 {
        to.copy_from_slice(&from[..to.len()]);
    } else {
        for (to, &from) in to.iter_mut().zip(from.iter().step_by(stride)) {
            *to = from;
        }
    }
}
