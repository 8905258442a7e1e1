//! Separable filters, with changes of resolution, on blocked maps: each row of the result when it is asked for.

use rayon::prelude::*;

use super::LANES;
use super::maps::Sizes;
use super::memory::{Memory, Pointer, written};
use crate::ops::upfirdn2d::{Resampler, Sources};
use crate::ops::vector::{self, Kernel, Vector};

/// A filter for maps of one size.
#[derive(Clone, Debug)]
pub(crate) struct Separable {
    resampler: Resampler,
    rows: Axis,
    columns: Axis,
    /// Height and width of what is read, and of the result.
    input: (usize, usize),
    output: (usize, usize),
}

/// One axis: each position of the result sums neighbouring places.
#[derive(Clone, Debug)]
struct Axis {
    positions: Vec<Position>,
    taps: Vec<f32>,
    /// Most places that a position sums.
    reach: usize,
}

#[derive(Clone, Copy, Debug)]
struct Position {
    /// The first place, and how many there are.
    first: usize,
    count: usize,
    /// Where the taps begin.
    taps: usize,
}

impl Axis {
    fn new(sources: Sources) -> Self {
        let (mut positions, mut taps) = (Vec::with_capacity(sources.len()), Vec::new());
        for terms in sources {
            let first = terms.first().map_or(0, |&(_, place)| place);
            assert!(terms.iter().enumerate().all(|(i, &(_, place))| place == first + i), "neighbouring places");
            positions.push(Position { first, count: terms.len(), taps: taps.len() });
            taps.extend(terms.iter().map(|&(tap, _)| tap));
        }
        let reach = positions.iter().map(|position| position.count).max().unwrap_or(0);
        Axis { positions, taps, reach }
    }
}

impl Separable {
    /// Nothing when the filter is not a product of one for each axis.
    pub fn new(resampler: Resampler) -> Option<Self> {
        let [rows, columns] = resampler.sources()?;
        let [input, output] = resampler.sizes();
        Some(Separable { rows: Axis::new(rows), columns: Axis::new(columns), input, output, resampler })
    }

    /// The transposed filter.
    pub fn adjoint(&self) -> Self {
        Self::new(self.resampler.adjoint()).expect("the adjoint of a product is one")
    }

    /// Sizes of the result.
    pub fn filtered(&self, sizes: Sizes) -> Sizes {
        Sizes { rows: self.output.0, columns: self.output.1, ..sizes }
    }

    /// Filters maps.
    pub fn apply(&self, numbers: &[f32], sizes: Sizes) -> Vec<f32> {
        assert_eq!((sizes.rows, sizes.columns), self.input, "maps of the size that was planned for");
        assert_eq!(numbers.len(), sizes.total(), "numbers of all pixels");
        let to_sizes = self.filtered(sizes);
        let fill = |to: Pointer| {
            numbers.par_chunks_exact(sizes.block()).enumerate().for_each(|(i, block)| {
                // SAFETY: this task's block.
                let to = unsafe { std::slice::from_raw_parts_mut(to.at(i * to_sizes.block()), to_sizes.block()) };
                vector::run(Block { filter: self, block, to });
            });
        };
        // SAFETY: every block is written.
        unsafe { written(to_sizes.total(), fill) }
    }
}

/// A block to be filtered.
pub(super) struct Block<'a> {
    pub filter: &'a Separable,
    pub block: &'a [f32],
    pub to: &'a mut [f32],
}

impl Kernel for Block<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        let mut rows = Rows::new(self.filter, self.block);
        for (y, to) in self.to.chunks_exact_mut(self.filter.output.1 * LANES).enumerate() {
            rows.sum::<V>(y, to);
        }
    }
}

/// The rows of a filtered block, which are asked for in turn.
pub(super) struct Rows<'a> {
    filter: &'a Separable,
    block: &'a [f32],
    /// Rows that are filtered along x, each at its number modulo the reach.
    ring: Memory,
    /// The first row that is not in the ring yet.
    next: usize,
}

impl<'a> Rows<'a> {
    pub fn new(filter: &'a Separable, block: &'a [f32]) -> Self {
        assert_eq!(block.len(), filter.input.0 * filter.input.1 * LANES, "a block of the size that was planned for");
        Rows { filter, block, ring: Memory::take(filter.rows.reach * filter.output.1 * LANES), next: 0 }
    }

    /// Writes row `y` of the result; rows only ever follow each other.
    #[inline(always)]
    pub fn sum<V: Vector>(&mut self, y: usize, to: &mut [f32]) {
        let row = self.filter.output.1 * LANES;
        let (reach, position) = (self.filter.rows.reach, self.filter.rows.positions[y]);
        assert_eq!(to.len(), row, "a row of the result");
        self.next = self.next.max(position.first);
        while self.next < position.first + position.count {
            let (from, to) = (self.next * self.filter.input.1 * LANES, self.next % reach * row);
            self.along_x::<V>(from, to);
            self.next += 1;
        }
        let mut rows = [std::ptr::null(); MOST];
        for (i, place) in rows.iter_mut().enumerate().take(position.count) {
            *place = self.ring[(position.first + i) % reach * row..][..row].as_ptr();
        }
        let taps = &self.filter.rows.taps[position.taps..][..position.count];
        // SAFETY: as many rows of the ring as there are taps.
        unsafe {
            match position.count {
                0 => to.fill(0.0),
                1 => sum_rows::<V, 1>(rows, taps, to),
                2 => sum_rows::<V, 2>(rows, taps, to),
                3 => sum_rows::<V, 3>(rows, taps, to),
                4 => sum_rows::<V, 4>(rows, taps, to),
                _ => self.sum_many::<V>(position, to),
            }
        }
    }

    /// As [`sum`](Self::sum), for filters that are longer than most.
    #[inline(always)]
    fn sum_many<V: Vector>(&self, position: Position, to: &mut [f32]) {
        to.fill(0.0);
        for i in 0..position.count {
            let from = &self.ring[(position.first + i) % self.filter.rows.reach * to.len()..][..to.len()];
            let tap = V::splat(self.filter.rows.taps[position.taps + i]);
            for number in (0..to.len()).step_by(V::LANES) {
                // SAFETY: a vector of either row.
                unsafe {
                    let sum = V::load(to.as_ptr().add(number));
                    V::load(from.as_ptr().add(number)).mul_add(tap, sum).store(to.as_mut_ptr().add(number));
                }
            }
        }
    }

    /// Filters the row of the block that begins at `from` into the ring at `to`.
    #[inline(always)]
    fn along_x<V: Vector>(&mut self, from: usize, to: usize) {
        let from = &self.block[from..][..self.filter.input.1 * LANES];
        let to = &mut self.ring[to..][..self.filter.output.1 * LANES];
        for (position, to) in self.filter.columns.positions.iter().zip(to.chunks_exact_mut(LANES)) {
            let taps = &self.filter.columns.taps[position.taps..][..position.count];
            let pixels = &from[position.first * LANES..][..position.count * LANES];
            // SAFETY: as many pixels as taps.
            unsafe {
                match position.count {
                    2 => sum_pixels::<V>(pixels.as_ptr(), &taps[..2], to),
                    4 => sum_pixels::<V>(pixels.as_ptr(), &taps[..4], to),
                    _ => sum_pixels::<V>(pixels.as_ptr(), taps, to),
                }
            }
        }
    }
}

/// Most rows that are summed in registers.
const MOST: usize = 4;

/// Writes the weighted sum of rows.
///
/// # Safety
/// The first `COUNT` rows are as long as `to`, and there are as many taps.
#[inline(always)]
unsafe fn sum_rows<V: Vector, const COUNT: usize>(rows: [*const f32; MOST], taps: &[f32], to: &mut [f32]) {
    for number in (0..to.len()).step_by(V::LANES) {
        // SAFETY: the caller's promise; rows consist of lines.
        unsafe {
            let mut sum = V::load(rows[0].add(number)).mul(V::splat(taps[0]));
            for i in 1..COUNT {
                sum = V::load(rows[i].add(number)).mul_add(V::splat(taps[i]), sum);
            }
            sum.store(to.as_mut_ptr().add(number));
        }
    }
}

/// Writes the weighted sum of pixels to a line.
///
/// # Safety
/// There are as many pixels as taps.
#[inline(always)]
unsafe fn sum_pixels<V: Vector>(pixels: *const f32, taps: &[f32], to: &mut [f32]) {
    for lane in (0..LANES).step_by(V::LANES) {
        // SAFETY: the caller's promise, and a line has room for every lane.
        unsafe {
            let mut sum = V::splat(0.0);
            for (i, &tap) in taps.iter().enumerate() {
                sum = V::load(pixels.add(i * LANES + lane)).mul_add(V::splat(tap), sum);
            }
            sum.store(to.as_mut_ptr().add(lane));
        }
    }
}
