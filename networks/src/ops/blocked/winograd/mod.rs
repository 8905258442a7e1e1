//! Winograd's minimal filtering F(4x4, 3x3): 36 products for a tile of 16 results, where the direct way takes 144
//! (Lavin and Gray 2016, "Fast Algorithms for Convolutional Neural Networks", section 4.3).
//!
//! Patches of pixels and kernels are transformed to 36 points, at each of which the channels are summed; the sums are
//! transformed back. Large images go tile by tile, so that everything but the kernels stays in the level 2 cache; large
//! kernels go block by block, so that they are read once.

mod by_block;
mod by_tile;
pub(crate) mod doubling;
mod edges;
pub(crate) mod gradient;
mod grid;
mod kernels;
pub(crate) mod masked;
mod scheme;
pub(crate) mod shrinking;
mod transforms;

use std::marker::PhantomData;

use super::demodulation::Demodulation;
use super::finish::Finish;
use super::maps::{Maps, Region, Sizes, View};
use super::memory::Pointer;
use super::weights::{BLOCK, Weights};
use edges::Edges;
use grid::Grid;
use scheme::POINTS;
pub(crate) use scheme::{Filtering, Same};
pub(crate) use transforms::TILE;

/// Numbers of transformed kernels up to which they stay in a level 3 cache.
const KERNELS: usize = 3 << 20;
/// Tiles are taken in multiples of this, which the widest matrix kernel sums at a time.
const GROUP: usize = 14;

/// The taps of a kernel, row by row, as they are stored.
pub(crate) const IN_ORDER: [usize; 9] = [0, 1, 2, 3, 4, 5, 6, 7, 8];

/// A convolution with 3x3 taps.
pub(crate) struct Winograd<'a, S> {
    pub scheme: PhantomData<S>,
    /// Tile (0, 0) sees its pixels from (0, 0) on.
    pub source: View<'a>,
    /// A factor for each image and input channel, blocks filled up.
    pub scales: Option<&'a [f32]>,
    pub weights: Weights<'a>,
    /// Where the kernel's taps, row by row, lie.
    pub taps: [usize; 9],
    /// Rows and columns of tiles.
    pub tiles: (usize, usize),
    /// Where the first tile goes in the result.
    pub corner: (usize, usize),
    pub finish: Option<Finish<'a>>,
    /// Factors to be found out on the way, also for the finish.
    pub demodulation: Option<Demodulation<'a>>,
}

/// What is done with a region of the result that has been written.
pub(crate) type Then<'a> = dyn Fn(&Region) + Sync + 'a;

/// What is written beside whole tiles, and what is done with those.
struct After<'a> {
    edges: Option<Edges<'a>>,
    then: Option<&'a Then<'a>>,
}

impl<S: Filtering> Winograd<'_, S> {
    /// Writes every tile to maps.
    pub fn compute(&self, target: &mut Maps) {
        self.write((target.sizes, Pointer::new(target.memory.first())));
    }

    /// Writes every tile and does something with each region of the result while it is still in the cache; tiles divide the
    /// result.
    pub fn compute_and(&self, target: (Sizes, Pointer), then: &Then<'_>) {
        self.write_with(&After { edges: None, then: Some(then) }, target);
    }

    /// Writes every tile, but for what lies beyond the result, to maps of these sizes.
    pub fn write(&self, to: (Sizes, Pointer)) {
        self.write_with(&After { edges: None, then: None }, to);
    }

    fn write_with(&self, after: &After<'_>, to: (Sizes, Pointer)) {
        let kernels = POINTS * BLOCK * self.weights.output_blocks() * self.weights.input_blocks();
        if kernels <= KERNELS && self.grid().count() >= 2 * rayon::current_num_threads() * GROUP {
            self.by_tile(after, to);
        } else {
            self.by_block(after, to);
        }
    }

    fn grid(&self) -> Grid<'_, S> {
        let Winograd { scheme, source, scales, tiles, corner, .. } = *self;
        Grid { scheme, source, scales, tiles, corner }
    }
}
