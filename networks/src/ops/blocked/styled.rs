//! Styled convolutions for rendering, from blocked maps to blocked maps: modulation as pixels enter, demodulation, noise,
//! bias, activation and clamp as sums leave.
//!
//! All maps have a border of one zero pixel. The weight is read where it lies, and nothing is kept between calls.

use std::marker::PhantomData;

use rayon::prelude::*;

use super::as_stored::{AsStored, Way};
use super::blur::Blur;
use super::colours::Colours;
use super::demodulation::Demodulation;
use super::finish::Finish;
use super::maps::{Maps, Pixels, Region, Sizes};
use super::memory::{Pointer, written};
use super::weights::Weights;
use super::winograd::doubling::Doubled;
use super::winograd::{Filtering, IN_ORDER, Same, SameBySix, TILE, Then, Winograd};
use super::{LANES, blocks_of};
use crate::ops::conv::Method;
use crate::ops::vector::{self, Kernel, Vector};
use crate::timing::timed;

/// Width of the border of zeros.
pub(crate) const BORDER: usize = 1;
/// Smallest side of an image, and most blocks of a kernel, of which tiles of 6x6 pay.
const LARGE_TILES_PX: usize = 96;
const LARGE_TILES_BLOCKS: usize = 64;
/// Fewest tiles that pay for transforming the kernels.
const MIN_TILES: usize = 4;
/// The same where the size doubles.
const MIN_DOUBLING_TILES: usize = 5;

/// The parameters of a layer, for some images.
pub(crate) struct Layer<'a> {
    /// `[O, I, 3, 3]`
    pub weight: &'a [f32],
    pub outputs: usize,
    pub inputs: usize,
    /// `[N, I]`, channels filled up to whole blocks with zeros.
    pub styles: &'a [f32],
    /// What follows the convolution, without its factors.
    pub finish: Finish<'a>,
}

/// Sizes of maps with a border around images of a size.
pub(crate) fn bordered(images: usize, channels: usize, (rows, columns): (usize, usize)) -> Sizes {
    Sizes::of(images, channels, (rows + 2 * BORDER, columns + 2 * BORDER))
}

/// Size of the images within maps with a border.
pub(crate) fn inner(sizes: Sizes) -> (usize, usize) {
    (sizes.rows - 2 * BORDER, sizes.columns - 2 * BORDER)
}

/// New maps whose border is zero; the rest is unspecified.
pub(crate) fn framed(sizes: Sizes) -> Maps {
    let mut maps = Maps::new(sizes);
    let (row, block) = (sizes.row(), sizes.block());
    maps.memory.par_chunks_exact_mut(block).for_each(|block| {
        block[..row].fill(0.0);
        for row in block.chunks_exact_mut(row) {
            row[..LANES].fill(0.0);
            let last = row.len() - LANES;
            row[last..].fill(0.0);
        }
        let last = block.len() - row;
        block[last..].fill(0.0);
    });
    maps
}

impl Layer<'_> {
    fn weights(&self) -> Weights<'_> {
        let (outputs, inputs) = (self.outputs, self.inputs);
        Weights { numbers: self.weight, outputs, inputs, output_step: inputs * 9, input_step: 9, gain: 1.0 }
    }

    /// Convolves with step 1, and makes an image of the result.
    pub fn convolve(&self, x: &Maps, colours: &Colours<'_>) -> (Maps, Vec<f32>) {
        let (images, size) = (x.sizes.images, inner(x.sizes));
        let mut y = framed(bordered(images, self.outputs, size));
        let to = Pointer::new(y.memory.first());
        if let Some(image) = self.by_tiles(x, (y.sizes, Some(to)), colours) {
            return (y, image);
        }
        let (squares, mut factors) = (self.squares(), self.no_factors(images));
        let convolution = self.as_stored(x, self.demodulation(&squares, &mut factors), Way::Same);
        timed("styled convolution", self.operations(x.sizes), || convolution.write((y.sizes, to)));
        let finish = Finish { factors: Some(&factors), ..self.finish };
        timed("finish", 0, || finish_in_place(&finish, &mut y));
        let image = timed("colours", 0, || colours.of(&y));
        (y, image)
    }

    /// Convolves with step 1 and makes an image of the result, which need not be kept: of large images it is never in memory
    /// as a whole.
    pub fn paint(&self, x: &Maps, colours: &Colours<'_>) -> Vec<f32> {
        let sizes = bordered(x.sizes.images, self.outputs, inner(x.sizes));
        self.by_tiles(x, (sizes, None), colours).unwrap_or_else(|| self.convolve(x, colours).1)
    }

    /// Floating-point operations of the direct convolution of maps.
    fn operations(&self, x: Sizes) -> u64 {
        let (rows, columns) = inner(x);
        2 * (x.images * rows * columns * 9 * self.inputs * self.outputs) as u64
    }

    /// The image by way of tiles; nothing where that does not pay.
    fn by_tiles(&self, x: &Maps, to: (Sizes, Option<Pointer>), colours: &Colours<'_>) -> Option<Vec<f32>> {
        let (images, size) = (x.sizes.images, inner(x.sizes));
        let whole = size.0.is_multiple_of(TILE) && size.1.is_multiple_of(TILE);
        if !Method::by_tiles() || !whole || images * size.0 * size.1 < MIN_TILES * TILE * TILE {
            return None;
        }
        let paint = |image: Pointer| {
            // SAFETY: a region that has been written, and nobody else's part of the image.
            let then = |region: &Region, pixels: Pixels| unsafe { colours.write(pixels, region, (size, image)) };
            timed("styled convolution by tiles", self.operations(x.sizes), || match self.takes_large_tiles(size) {
                true => self.tiles::<SameBySix>(x, to, &then),
                false => self.tiles::<Same>(x, to, &then),
            });
        };
        // SAFETY: tiles cover the image.
        Some(unsafe { written(colours.numbers(to.0), paint) })
    }

    /// Whether tiles of 6x6 pay: little of them hangs over the image, and the larger kernels do not crowd out the tiles.
    fn takes_large_tiles(&self, (rows, columns): (usize, usize)) -> bool {
        rows.min(columns) >= LARGE_TILES_PX && blocks_of(self.inputs) * blocks_of(self.outputs) <= LARGE_TILES_BLOCKS
    }

    fn tiles<S: Filtering>(&self, x: &Maps, to: (Sizes, Option<Pointer>), then: &Then<'_>) {
        let size = inner(x.sizes);
        let (squares, mut factors) = (self.squares(), self.no_factors(x.sizes.images));
        let winograd = Winograd::<S> {
            scheme: PhantomData,
            source: x.view(),
            scales: Some(self.styles),
            weights: self.weights(),
            taps: IN_ORDER,
            tiles: (size.0.div_ceil(S::SIDES.0), size.1.div_ceil(S::SIDES.1)),
            corner: (BORDER, BORDER),
            finish: Some(self.finish),
            demodulation: Some(self.demodulation(&squares, &mut factors)),
        };
        winograd.compute_and(to, then);
    }

    /// Convolves with the weights as they are.
    fn as_stored<'a>(&'a self, x: &'a Maps, demodulation: Demodulation<'a>, way: Way) -> AsStored<'a> {
        let (outputs, inputs) = (self.outputs, self.inputs);
        AsStored { source: x, scales: self.styles, weights: self.weight, outputs, inputs, way, demodulation }
    }

    /// Doubles the size: a transposed convolution in steps of 2, then the filter, four taps along each axis, the last
    /// one first.
    pub fn grow(&self, x: &Maps, taps: [[f32; 4]; 2]) -> Maps {
        let (images, size) = (x.sizes.images, inner(x.sizes));
        let operations = self.operations(x.sizes);
        let (squares, mut factors) = (self.squares(), self.no_factors(images));
        let demodulation = self.demodulation(&squares, &mut factors);
        let mut y = framed(bordered(images, self.outputs, (2 * size.0, 2 * size.1)));
        let to = (y.sizes, Pointer::new(y.memory.first()));
        let blur = |finish| Blur { taps, finish, to };
        let doubled = self.doubled(x, Some(demodulation));
        if let Some(doubled) = doubled.filter(Doubled::goes_by_tile) {
            let blur = blur(self.finish);
            timed("styled transposed convolution, filtered", operations, || doubled.write_blurred(&blur));
            return y;
        }
        let mut sharp = framed(bordered(images, self.outputs, (2 * size.0 + 1, 2 * size.1 + 1)));
        let to_sharp = (sharp.sizes, Pointer::new(sharp.memory.first()));
        timed("styled transposed convolution", operations, || match doubled {
            Some(doubled) => doubled.write(to_sharp),
            None => self.as_stored(x, demodulation, Way::Doubled).write(to_sharp),
        });
        let blur = blur(Finish { factors: Some(&factors), ..self.finish });
        timed("filter and finish", 0, || blur.apply(&sharp));
        y
    }

    /// The transposed convolution with fewer products, where it pays.
    fn doubled<'a>(&'a self, x: &'a Maps, demodulation: Option<Demodulation<'a>>) -> Option<Doubled<'a>> {
        let size = inner(x.sizes);
        let whole = size.0.is_multiple_of(TILE) && size.1.is_multiple_of(TILE);
        let pays = x.sizes.images * size.0 * size.1 >= MIN_DOUBLING_TILES * TILE * TILE;
        let (scales, weights, corner) = (Some(self.styles), self.weights(), (BORDER, BORDER));
        (Method::by_tiles() && whole && pays).then(|| Doubled {
            source: x.view(),
            scales,
            weights,
            size,
            corner,
            demodulation,
        })
    }

    /// Squares of the styles.
    fn squares(&self) -> Vec<f32> {
        self.styles.iter().map(|style| style * style).collect()
    }

    /// Room for a factor of each image and output channel, blocks filled up.
    fn no_factors(&self, images: usize) -> Vec<f32> {
        vec![1.0; images * blocks_of(self.outputs) * LANES]
    }

    /// The demodulation, whose factors the convolution finds out.
    fn demodulation<'a>(&self, squares: &'a [f32], factors: &mut [f32]) -> Demodulation<'a> {
        let (inputs, factors) = (blocks_of(self.inputs), Pointer::new(factors.as_mut_ptr()));
        Demodulation { squares, inputs, images: squares.len() / (inputs * LANES), outputs: self.outputs, factors }
    }
}

/// Applies what follows a convolution to maps with a border.
fn finish_in_place(finish: &Finish<'_>, maps: &mut Maps) {
    let sizes = maps.sizes;
    maps.memory.par_chunks_exact_mut(sizes.block()).enumerate().for_each(|(i, numbers)| {
        let place = (i / sizes.blocks, i % sizes.blocks, sizes.blocks);
        vector::run(FinishBlock { finish, sizes, place, numbers });
    });
}

struct FinishBlock<'a> {
    finish: &'a Finish<'a>,
    sizes: Sizes,
    /// Image, block and number of blocks.
    place: (usize, usize, usize),
    numbers: &'a mut [f32],
}

impl Kernel for FinishBlock<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        let (rows, columns) = inner(self.sizes);
        for lane in (0..LANES).step_by(V::LANES) {
            let channels = self.finish.channels::<V>(self.place, lane);
            for (y, x) in (0..rows).flat_map(|y| (0..columns).map(move |x| (y, x))) {
                let noise = self.finish.noise_at(self.place.0, (y, x));
                let number = &mut self.numbers[self.sizes.offset(0, 0, (y + BORDER, x + BORDER)) + lane..][..V::LANES];
                // SAFETY: a slice of one vector.
                unsafe { channels.finish(V::load(number.as_ptr()), noise).store(number.as_mut_ptr()) };
            }
        }
    }
}
