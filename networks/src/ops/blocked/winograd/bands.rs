//! Doubled images that are filtered while their rows are in the cache: a task takes a band, some rows of tiles of one image,
//! and filters what each of them has become before it goes on. Sharp rows have no other place than that.
//!
//! The rows of the result around a cut see sharp rows of two bands. They are summed when all bands are done, from rows that
//! the bands have filtered along x and left.

use std::ops::Range;

use rayon::prelude::*;

use super::by_tile::Kernels;
use super::doubling::{Doubled, Doubling, RESULTS};
use super::edges::Edges;
use super::grid::Grid;
use crate::ops::blocked::LANES;
use crate::ops::blocked::blur::{Blur, TAPS};
use crate::ops::blocked::finish::Finish;
use crate::ops::blocked::maps::{Maps, Sizes};
use crate::ops::blocked::memory::{Memory, Pointer};
use crate::ops::blocked::styled::BORDER;
use crate::ops::vector::{self, Kernel, Vector};

/// Rows of the result around a cut, and filtered rows above it and below it that they see.
const AROUND: usize = TAPS - 1;

impl Doubled<'_> {
    /// Writes what the filter and the end of the layer make of the result.
    pub fn write_blurred(&self, blur: &Blur<'_>) {
        let winograd = self.winograd();
        let kernels = winograd.kernels(winograd.pairing().as_ref());
        // SAFETY: the factors came with the kernels.
        let found = self.demodulation.map(|demodulation| unsafe { demodulation.written() });
        let blur = Blur { finish: Finish { factors: found.or(blur.finish.factors), ..blur.finish }, ..*blur };
        let (grid, edges) = (winograd.grid((2 * self.size.0 + 1, 2 * self.size.1 + 1)), self.edges());
        let Sizes { images, blocks, .. } = blur.to.0;
        let cuts = Cuts::of(images, grid.tiles.0);
        let mut left = Memory::take(images * (cuts.bands - 1) * blocks * 2 * AROUND * blur.row());
        let all = Bands { kernels, grid, edges, blur, cuts, left: Pointer::new(left.first()) };
        (0..images * cuts.bands).into_par_iter().with_max_len(1).for_each(|task| {
            all.write_band(task / cuts.bands, task % cuts.bands);
        });
        (0..images * (cuts.bands - 1) * blocks).into_par_iter().for_each(|task| {
            let (band, block) = (task / blocks, task % blocks);
            vector::run(AroundCut { all: &all, image: band / (cuts.bands - 1), band: band % (cuts.bands - 1), block });
        });
    }
}

/// How images are cut into bands.
#[derive(Clone, Copy)]
struct Cuts {
    /// Bands of an image.
    bands: usize,
    /// Rows of tiles of an image.
    lines: usize,
}

impl Cuts {
    /// As many bands for each thread, so that none waits for another, where there are enough rows.
    fn of(images: usize, lines: usize) -> Self {
        let threads = rayon::current_num_threads();
        let bands = (1..lines).find(|bands| (images * bands).is_multiple_of(threads)).unwrap_or(lines);
        Cuts { bands, lines }
    }

    /// Rows of tiles of a band.
    fn lines(&self, band: usize) -> Range<usize> {
        self.lines * band / self.bands..self.lines * (band + 1) / self.bands
    }

    /// Its sharp rows, the border above the image being row 0. The first band has that border, and the last one has the last
    /// row, which whole tiles leave out, and the border below.
    fn rows(&self, band: usize) -> Range<usize> {
        let Range { start, end } = self.lines(band);
        let first = if start == 0 { 0 } else { first_row(start) };
        first..first_row(end) + if end == self.lines { 1 + BORDER } else { 0 }
    }
}

/// First sharp row of a row of tiles, the border above the image being row 0.
fn first_row(line: usize) -> usize {
    BORDER + line * RESULTS
}

/// All bands of all images.
struct Bands<'a> {
    kernels: Kernels,
    grid: Grid<'a, Doubling>,
    edges: Edges<'a>,
    blur: Blur<'a>,
    cuts: Cuts,
    /// Rows that are filtered along x and seen from both sides of a cut, `[image, cut, block, row, column, 16]`.
    left: Pointer,
}

impl Bands<'_> {
    fn write_band(&self, image: usize, band: usize) {
        let blocks = self.blur.to.0.blocks;
        let (lines, columns) = (self.cuts.lines(band), self.grid.tiles.1);
        let mut ring = Memory::take(blocks * TAPS * self.blur.row());
        let mut band = Band { all: self, image, band, rows: self.cuts.rows(band), ring: Pointer::new(ring.first()) };
        let edge = self.last_column(image, lines.clone());
        let at_once = self.kernels.lines_at_once::<Doubling>(columns);
        let columns = columns * RESULTS + 1 + 2 * BORDER;
        let mut strip = Maps::new(Sizes { images: 1, blocks, rows: at_once * RESULTS, columns });
        strip.memory.fill(0.0);
        let to = (strip.sizes, Pointer::new(strip.memory.first()));
        if lines.start == 0 {
            band.filter(&strip, 0..BORDER);
        }
        for first in lines.clone().step_by(at_once) {
            let some = first..lines.end.min(first + at_once);
            self.kernels.filter_alone(&self.grid.lines(image, some.clone(), (0, BORDER)), to);
            put_last_column(&edge, (first - lines.start) * RESULTS, &mut strip);
            band.filter(&strip, first_row(some.start)..first_row(some.end));
        }
        if lines.end == self.cuts.lines {
            self.kernels.filter_alone(&self.edges.row.lines(image, 0..1, (0, BORDER)), to);
            band.filter(&strip, first_row(lines.end)..first_row(lines.end) + 1);
            strip.memory.fill(0.0);
            band.filter(&strip, first_row(lines.end) + 1..band.rows.end);
        }
    }

    /// What some rows of tiles leave out of an image.
    fn last_column(&self, image: usize, lines: Range<usize>) -> Maps {
        let (blocks, rows) = (self.blur.to.0.blocks, lines.len() * RESULTS);
        let mut edge = Maps::new(Sizes { images: 1, blocks, rows, columns: 1 });
        let to = (edge.sizes, Pointer::new(edge.memory.first()));
        self.kernels.filter_alone(&self.edges.column.lines(image, lines, (0, 0)), to);
        edge
    }

    /// Place of a row at the cut below a band.
    ///
    /// # Safety
    /// There is such a cut, and the row is one of those around it.
    #[inline(always)]
    unsafe fn around_cut(&self, (image, band, block): (usize, usize, usize), row: usize) -> *mut f32 {
        let cut = image * (self.cuts.bands - 1) + band;
        let place = (cut * self.blur.to.0.blocks + block) * 2 * AROUND + row;
        // SAFETY: the caller's promise.
        unsafe { self.left.at(place * self.blur.row()) }
    }
}

/// Copies a column, from a row on, to the last column of a strip that is no border.
fn put_last_column(edge: &Maps, first: usize, strip: &mut Maps) {
    let (column, rows) = (strip.sizes.columns - BORDER - 1, strip.sizes.rows.min(edge.sizes.rows - first));
    for (block, row) in (0..strip.sizes.blocks).flat_map(|block| (0..rows).map(move |row| (block, row))) {
        let from = edge.sizes.offset(0, block, (first + row, 0));
        let to = strip.sizes.offset(0, block, (row, column));
        strip.memory[to..to + LANES].copy_from_slice(&edge.memory[from..from + LANES]);
    }
}

/// A band on its way from sharp rows to the result.
struct Band<'a> {
    all: &'a Bands<'a>,
    image: usize,
    band: usize,
    /// Its sharp rows.
    rows: Range<usize>,
    /// The last rows that were filtered along x, `[block, row modulo 4, column, 16]`.
    ring: Pointer,
}

impl Band<'_> {
    /// Filters the next rows, which a strip begins with, and finishes what is complete with them.
    fn filter(&mut self, strip: &Maps, rows: Range<usize>) {
        vector::run(Filter { band: self, strip, rows });
    }

    /// Place of a row that is filtered along x: around a cut it is one that stays.
    ///
    /// # Safety
    /// It is a row of this band.
    #[inline(always)]
    unsafe fn row(&self, block: usize, y: usize) -> *mut f32 {
        let (all, rows) = (self.all, &self.rows);
        // SAFETY: a row around the cut above or below, or one of the ring.
        unsafe {
            if self.band > 0 && y < rows.start + AROUND {
                all.around_cut((self.image, self.band - 1, block), y + AROUND - rows.start)
            } else if self.band + 1 < all.cuts.bands && y + AROUND >= rows.end {
                all.around_cut((self.image, self.band, block), y + AROUND - rows.end)
            } else {
                self.ring.at((block * TAPS + y % TAPS) * all.blur.row())
            }
        }
    }
}

/// Some rows of a band.
struct Filter<'a> {
    band: &'a Band<'a>,
    strip: &'a Maps,
    rows: Range<usize>,
}

impl Kernel for Filter<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        let (band, sizes, blur) = (self.band, self.strip.sizes, &self.band.all.blur);
        for block in 0..sizes.blocks {
            for y in self.rows.start..self.rows.end {
                let pixels = &self.strip.memory[sizes.offset(0, block, (y - self.rows.start, 0))..][..sizes.row()];
                // SAFETY: rows of this band, and of the result as soon as all that it sees are there.
                unsafe {
                    blur.filter_row::<V>(pixels.as_ptr(), band.row(block, y));
                    if y < band.rows.start + AROUND {
                        continue;
                    }
                    let first = y - AROUND;
                    let rows = [first, first + 1, first + 2, first + 3];
                    let mut seen = [std::ptr::null(); TAPS];
                    for (seen, row) in seen.iter_mut().zip(rows) {
                        *seen = band.row(block, row).cast_const();
                    }
                    blur.finish_row::<V>((band.image, block), first, seen);
                }
            }
        }
    }
}

/// The rows of a block of the result around the cut below a band.
struct AroundCut<'a> {
    all: &'a Bands<'a>,
    image: usize,
    band: usize,
    block: usize,
}

impl Kernel for AroundCut<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        let AroundCut { all, image, band, block } = self;
        let first = all.cuts.rows(band).end - AROUND;
        for row in 0..AROUND {
            // SAFETY: rows that the bands above and below have left, and one of the result that neither has written.
            unsafe {
                let mut seen = [std::ptr::null(); TAPS];
                for (i, seen) in seen.iter_mut().enumerate() {
                    *seen = all.around_cut((image, band, block), row + i).cast_const();
                }
                all.blur.finish_row::<V>((image, block), first + row, seen);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::blocked::finish::Noise;
    use crate::ops::blocked::maps::{Planes, from_planes};
    use crate::ops::blocked::styled::bordered;
    use crate::ops::blocked::weights::Weights;
    use crate::random::RandomState;

    const INPUTS: usize = 20;
    const OUTPUTS: usize = 37;

    /// More than rounding alone, which differs when another test chooses instructions meanwhile, and less than any mistake.
    const TOLERANCE: f32 = 1e-3;

    /// Images doubled and blurred on some threads are what the blur makes of whole sharp maps.
    fn check(images: usize, size: (usize, usize), threads: usize) {
        let rng = &mut RandomState::new(1);
        let mut draw = |len: usize| -> Vec<f32> { (0..len).map(|_| rng.gauss() as f32).collect() };
        let mut x = Maps::new(bordered(images, INPUTS, size));
        let planes = Planes { channels: INPUTS, rows: size.0, columns: size.1, first_image: 0 };
        from_planes(&draw(images * INPUTS * size.0 * size.1), planes, (-1, -1), &mut x);
        let (numbers, scales) = (draw(OUTPUTS * INPUTS * 9), draw(images * 32));
        let (inputs, outputs) = (INPUTS, OUTPUTS);
        let weights = Weights { numbers: &numbers, outputs, inputs, output_step: inputs * 9, input_step: 9, gain: 1.0 };
        let (scales, corner) = (Some(&*scales), (BORDER, BORDER));
        let doubled = Doubled { source: x.view(), scales, weights, size, corner, demodulation: None };

        let (bias, factors, taps) = (draw(48), draw(images * 48), [[0.3, 0.7, 0.8, 0.2], [0.5, 1.5, 1.6, 0.4]]);
        let (columns, image_step) = (2 * size.1, 4 * size.0 * size.1);
        let noise = draw(images * image_step);
        let noise = Some(Noise { numbers: &noise, columns, image_step });
        let finish = Finish { factors: Some(&factors), bias: &bias, noise, gain: 1.4, slope: 0.2, clamp: 2.5 };
        let blurred = |work: &dyn Fn(&Blur<'_>)| {
            let mut y = Maps::new(bordered(images, OUTPUTS, (2 * size.0, columns)));
            y.memory.fill(f32::NAN);
            work(&Blur { taps, finish, to: (y.sizes, Pointer::new(y.memory.first())) });
            y.memory.to_vec()
        };
        let whole = blurred(&|blur| {
            let mut sharp = Maps::new(bordered(images, OUTPUTS, (2 * size.0 + 1, columns + 1)));
            sharp.memory.fill(0.0);
            doubled.write((sharp.sizes, Pointer::new(sharp.memory.first())));
            blur.apply(&sharp);
        });
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
        let by_bands = blurred(&|blur| pool.install(|| doubled.write_blurred(blur)));
        let same = |(a, b): (&f32, &f32)| (a - b).abs() < TOLERANCE || (a.is_nan() && b.is_nan());
        assert!(whole.iter().zip(&by_bands).all(same), "{images} images of {size:?} on {threads} threads");
    }

    #[test]
    fn bands_give_what_whole_maps_give() {
        for threads in [1, 2, 3, 5, 16] {
            check(1, (28, 32), threads);
            check(3, (20, 64), threads);
            check(2, (4, 12), threads);
        }
        check(5, (36, 8), 4);
    }
}
