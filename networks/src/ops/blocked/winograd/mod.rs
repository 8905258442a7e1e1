//! Winograd's minimal filtering F(4x4, 3x3): 36 products for a tile of 16 results, where the direct way takes 144
//! (Lavin and Gray 2016, "Fast Algorithms for Convolutional Neural Networks", section 4.3).
//!
//! Patches of pixels and kernels are transformed to 36 points, at each of which the channels are summed; the sums are
//! transformed back. Large images go tile by tile, so that everything but the kernels stays in the level 2 cache; large
//! kernels go block by block, so that they are read once. Rendering takes tiles of 6x6 where images are large and kernels few.

mod bands;
mod by_block;
mod by_tile;
pub(crate) mod doubling;
mod edges;
pub(crate) mod gradient;
mod grid;
mod kernels;
pub(crate) mod masked;
mod pairing;
mod scheme;
pub(crate) mod shrinking;
mod six;
mod transforms;

use std::marker::PhantomData;

use super::demodulation::Demodulation;
use super::finish::Finish;
use super::maps::{Maps, Pixels, Region, Sizes, View};
use super::memory::Pointer;
use super::weights::{BLOCK, Weights};
use edges::Edges;
use grid::Grid;
pub(crate) use scheme::{Filtering, Same};
pub(crate) use six::SameBySix;
pub(crate) use transforms::TILE;

/// Numbers of transformed kernels up to which they stay in a level 3 cache.
const KERNELS: usize = 3 << 20;
/// Tiles that the widest matrix kernel sums at a time; a task takes no fewer.
const GROUP: usize = 14;
/// The same where products are taken in pairs.
const PAIRED_GROUP: usize = 12;

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

/// What is done with a region of the result that has been written, somewhere.
pub(crate) type Then<'a> = dyn Fn(&Region, Pixels) + Sync + 'a;

/// What is written beside whole tiles, and what is done with those.
struct After<'a> {
    edges: Option<Edges<'a>>,
    then: Option<&'a Then<'a>>,
}

impl<S: Filtering> Winograd<'_, S> {
    /// Writes every tile to maps.
    pub fn compute(&self, target: &mut Maps) {
        let first = Pointer::new(target.memory.first());
        self.write((target.sizes, first));
    }

    /// Writes every tile and does something with each region of the result while it is still in the cache. Without maps to
    /// write to the result is not kept.
    pub fn compute_and(&self, to: (Sizes, Option<Pointer>), then: &Then<'_>) {
        self.write_with(&After { edges: None, then: Some(then) }, to);
    }

    /// Writes every tile, but for what lies beyond the result, to maps of these sizes.
    pub fn write(&self, (sizes, to): (Sizes, Pointer)) {
        self.write_with(&After { edges: None, then: None }, (sizes, Some(to)));
    }

    fn write_with(&self, after: &After<'_>, to: (Sizes, Option<Pointer>)) {
        let pairing = self.pairing();
        if self.goes_by_tile() {
            self.by_tile(pairing.as_ref(), after, to);
        } else {
            let mut unkept;
            let first = match to.1 {
                Some(first) => first,
                None => {
                    unkept = Maps::new(to.0);
                    Pointer::new(unkept.memory.first())
                }
            };
            self.by_block(pairing.as_ref(), after, (to.0, first));
        }
    }

    /// Whether images are large and kernels few.
    fn goes_by_tile(&self) -> bool {
        let kernels = S::KERNEL_POINTS * BLOCK * self.weights.output_blocks() * self.weights.input_blocks();
        let tiles = self.source.sizes.images * self.tiles.0 * self.tiles.1;
        kernels <= KERNELS && tiles >= 2 * rayon::current_num_threads() * GROUP
    }

    /// Rows and columns of a result within maps, whose border is as wide on either side.
    fn size_within(&self, to: Sizes) -> (usize, usize) {
        (to.rows - 2 * self.corner.0, to.columns - 2 * self.corner.1)
    }

    /// The tiles, but for what they have beyond a result of this size.
    fn grid(&self, size: (usize, usize)) -> Grid<'_, S> {
        let Winograd { scheme, source, scales, tiles, corner, .. } = *self;
        Grid { scheme, source, scales, tiles, corner, size }
    }
}
