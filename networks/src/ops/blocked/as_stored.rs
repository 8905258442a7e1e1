//! Convolution of few pixels by large kernels: a vector holds 16 pixels of one channel, so that a weight is read once, where
//! it lies, and meets all of them. Nothing is arranged or transformed.
//!
//! Each tap of a kernel sums over the input channels at every pixel; its sums then go to the places that see these pixels by
//! this tap.

#![expect(clippy::needless_range_loop, reason = "iterators take closures, which are functions of their own")]

use rayon::prelude::*;

use super::demodulation::{Demodulation, Energies};
use super::maps::{Maps, Sizes};
use super::memory::{Memory, Pointer};
use super::styled::{BORDER, inner};
use super::weights::BLOCK;
use super::{LANES, blocks_of};
use crate::ops::vector::{self, Kernel, Vector};

/// Taps of a kernel.
const TAPS: usize = 9;

/// A convolution by 3x3 kernels of maps that have a border.
pub(super) struct AsStored<'a> {
    pub source: &'a Maps,
    /// A factor for each image and input channel, blocks filled up.
    pub scales: &'a [f32],
    /// `[O, I, 3, 3]`
    pub weights: &'a [f32],
    pub outputs: usize,
    pub inputs: usize,
    pub way: Way,
    /// Factors to be found out on the way.
    pub demodulation: Demodulation<'a>,
}

/// Where pixels go.
#[derive(Clone, Copy)]
pub(super) enum Way {
    /// Step 1.
    Same,
    /// The transposed convolution in steps of 2, whose result has an odd row and column more.
    Doubled,
}

impl Way {
    /// Where a pixel goes by a tap along an axis of the result, the border included; 0 may be beyond.
    fn place(self, pixel: usize, tap: usize) -> usize {
        match self {
            Way::Same => pixel + BORDER + 1 - tap,
            Way::Doubled => 2 * pixel + BORDER + tap,
        }
    }
}

impl AsStored<'_> {
    /// Writes maps of these sizes, which have a border of zeros.
    pub fn write(&self, (sizes, to): (Sizes, Pointer)) {
        assert_eq!(self.weights.len(), self.outputs * self.inputs * TAPS, "taps of all kernels");
        let (pixels, squares) = (self.pixels(), self.demodulation.squares_of_taps(TAPS));
        (0..blocks_of(self.outputs)).into_par_iter().for_each(|block| {
            vector::run(Block { all: self, pixels: &pixels, squares: &squares, block, sizes, to });
        });
    }

    /// Pixels of all images.
    fn count(&self) -> usize {
        let (rows, columns) = inner(self.source.sizes);
        self.source.sizes.images * rows * columns
    }

    /// Image, row and column of a pixel.
    fn place(&self, pixel: usize) -> (usize, (usize, usize)) {
        let (rows, columns) = inner(self.source.sizes);
        (pixel / (rows * columns), (pixel / columns % rows, pixel % columns))
    }

    /// The scaled pixels, `[16 pixels, input channel, pixel]`, blocks of either filled up.
    fn pixels(&self) -> Memory {
        let blocks = self.source.sizes.blocks;
        let mut memory = Memory::take(self.count().div_ceil(LANES) * blocks * BLOCK);
        memory.par_chunks_exact_mut(BLOCK).enumerate().for_each(|(square, to)| {
            let (first, block) = (square / blocks * LANES, square % blocks);
            vector::run(Square { all: self, first, block, to });
        });
        memory
    }
}

/// Sixteen pixels of one block on their way from channels to pixels in a vector.
struct Square<'a> {
    all: &'a AsStored<'a>,
    first: usize,
    block: usize,
    to: &'a mut [f32],
}

impl Kernel for Square<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        let (all, sizes, mut lines) = (self.all, self.all.source.sizes, [0.0; BLOCK]);
        for (i, line) in lines.chunks_exact_mut(LANES).enumerate().take(all.count() - self.first) {
            let (image, (row, column)) = all.place(self.first + i);
            let pixel = sizes.offset(image, self.block, (row + BORDER, column + BORDER));
            let scales = &all.scales[(image * sizes.blocks + self.block) * LANES..][..LANES];
            for ((to, number), scale) in line.iter_mut().zip(&all.source.memory[pixel..]).zip(scales) {
                *to = number * scale;
            }
        }
        turn::<V>((&lines, LANES), self.to);
    }
}

/// Sixteen rows, `from.1` numbers apart, to columns.
#[inline(always)]
fn turn<V: Vector>((from, step): (&[f32], usize), to: &mut [f32]) {
    assert!(from.len() >= (LANES - 1) * step + LANES && to.len() >= BLOCK, "sixteen rows and columns");
    for y in (0..LANES).step_by(V::LANES) {
        for x in (0..LANES).step_by(V::LANES) {
            let (from, to) = (from.as_ptr().wrapping_add(y * step + x), to.as_mut_ptr().wrapping_add(x * LANES + y));
            // SAFETY: a square within 16 rows and columns of 16 numbers.
            unsafe { V::transpose((from, step), (to, LANES)) };
        }
    }
}

/// All pixels of one output block.
struct Block<'a> {
    all: &'a AsStored<'a>,
    pixels: &'a [f32],
    /// Squares of the styles, as many for each image as a row of weights is long.
    squares: &'a [f32],
    block: usize,
    sizes: Sizes,
    to: Pointer,
}

/// Room for the sums of sixteen pixels.
#[repr(align(64))]
struct Sums {
    /// `[16 outputs, tap, pixel]`
    all: [f32; LANES * TAPS * LANES],
    /// `[pixel, 16 outputs]`, of one tap.
    turned: [f32; BLOCK],
}

impl Kernel for Block<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        let (all, row) = (self.all, self.all.inputs * TAPS);
        let rows = &all.weights[self.block * LANES * row..];
        let rows = &rows[..rows.len().min(LANES * row)];
        let mut sums = Sums { all: [0.0; LANES * TAPS * LANES], turned: [0.0; BLOCK] };
        for image in 0..self.sizes.images {
            // SAFETY: this task's block of an image.
            unsafe {
                let first = self.to.at(self.sizes.offset(image, self.block, (0, 0)));
                std::slice::from_raw_parts_mut(first, self.sizes.block()).fill(0.0);
            }
        }
        for (group, pixels) in self.pixels.chunks_exact(all.source.sizes.blocks * BLOCK).enumerate() {
            sum::<V>((rows, row), pixels, &mut sums.all);
            for tap in 0..TAPS {
                turn::<V>((&sums.all[tap * LANES..], TAPS * LANES), &mut sums.turned);
                self.add::<V>(group * LANES, tap, &sums.turned);
            }
        }
        let mut energies = Energies::new(Some(all.demodulation), self.block..self.block + 1);
        energies.add_rows::<V>((rows, row), self.squares);
        // SAFETY: this task's output block.
        unsafe { energies.write_factors() };
    }
}

impl Block<'_> {
    /// Adds sixteen pixels' sums of a tap, `[pixel, 16 outputs]`, wherever they are seen.
    #[inline(always)]
    fn add<V: Vector>(&self, first: usize, tap: usize, sums: &[f32; BLOCK]) {
        let (all, (rows, columns)) = (self.all, inner(self.sizes));
        for (i, line) in sums.chunks_exact(LANES).enumerate().take(all.count() - first) {
            let (image, (y, x)) = all.place(first + i);
            let (y, x) = (all.way.place(y, tap / 3), all.way.place(x, tap % 3));
            if !(BORDER..BORDER + rows).contains(&y) || !(BORDER..BORDER + columns).contains(&x) {
                continue;
            }
            let place = self.sizes.offset(image, self.block, (y, x));
            for lane in (0..LANES).step_by(V::LANES) {
                // SAFETY: a vector of a pixel of this task's block.
                unsafe {
                    let to = self.to.at(place + lane);
                    V::load(to).add(V::load(line.as_ptr().add(lane))).store(to);
                }
            }
        }
    }
}

/// Sums of each tap for the outputs of some rows of weights, `row` numbers each: `[output, tap, pixel]`.
#[inline(always)]
fn sum<V: Vector>((rows, row): (&[f32], usize), pixels: &[f32], to: &mut [f32; LANES * TAPS * LANES]) {
    let most = if V::LANES == LANES { 3 } else { 1 }; // what fits the registers
    let outputs = rows.len() / row;
    let groups = outputs.div_ceil(most);
    let mut first = 0;
    for group in 0..groups {
        let count = (outputs - first).div_ceil(groups - group);
        let rows = (&rows[first * row..], row);
        for lane in (0..LANES).step_by(V::LANES) {
            let to = &mut to[first * TAPS * LANES + lane..];
            match count {
                1 => some::<V, 1>(rows, &pixels[lane..], to),
                2 => some::<V, 2>(rows, &pixels[lane..], to),
                _ => some::<V, 3>(rows, &pixels[lane..], to),
            }
        }
        first += count;
    }
}

/// The sums of so many outputs for one vector of pixels.
#[inline(always)]
fn some<V: Vector, const OUTPUTS: usize>((rows, row): (&[f32], usize), pixels: &[f32], to: &mut [f32]) {
    let inputs = row / TAPS;
    assert!(rows.len() >= OUTPUTS * row && pixels.len() >= (inputs - 1) * LANES + V::LANES, "rows and pixels");
    assert!(to.len() >= (OUTPUTS * TAPS - 1) * LANES + V::LANES, "room for the sums");
    let mut sums = [[V::splat(0.0); TAPS]; OUTPUTS];
    for input in 0..inputs {
        // SAFETY: inputs of these rows and pixels.
        let pixel = unsafe { V::load(pixels.as_ptr().add(input * LANES)) };
        for output in 0..OUTPUTS {
            // The next rows come meanwhile: nine lines for sixteen inputs.
            if input % LANES < TAPS {
                let line = (input / LANES * TAPS + input % LANES) * LANES;
                V::prefetch_far(rows.as_ptr().wrapping_add((OUTPUTS + output) * row + line));
            }
            for tap in 0..TAPS {
                // SAFETY: as above.
                let weight = unsafe { V::splat(*rows.as_ptr().add(output * row + input * TAPS + tap)) };
                sums[output][tap] = pixel.mul_add(weight, sums[output][tap]);
            }
        }
    }
    for output in 0..OUTPUTS {
        for tap in 0..TAPS {
            // SAFETY: there is room for all sums.
            unsafe { sums[output][tap].store(to.as_mut_ptr().add((output * TAPS + tap) * LANES)) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::blocked::maps::{Planes, from_planes};
    use crate::ops::blocked::styled::{bordered, framed};
    use crate::ops::vector::Instructions;

    const IMAGES: usize = 2;
    const SIZE: (usize, usize) = (5, 3);
    const INPUTS: usize = 20;
    const OUTPUTS: usize = 18;

    fn numbers(count: usize, seed: usize) -> Vec<f32> {
        (0..count).map(|i| (((i + seed) * 7919) % 1009) as f32 / 500.0 - 1.0).collect()
    }

    /// By the definition, one number of the result in double precision, the border included.
    fn expected(way: Way, planes: &[f32], scales: &[f32], weights: &[f32], place: (usize, usize, usize, usize)) -> f64 {
        let (image, output, y, x) = place;
        let mut sum = 0.0;
        for (row, column) in (0..SIZE.0).flat_map(|row| (0..SIZE.1).map(move |column| (row, column))) {
            for tap in 0..TAPS {
                if (way.place(row, tap / 3), way.place(column, tap % 3)) != (y, x) {
                    continue;
                }
                for input in 0..INPUTS {
                    let pixel = planes[((image * INPUTS + input) * SIZE.0 + row) * SIZE.1 + column];
                    let scale = scales[image * 2 * LANES + input];
                    sum += f64::from(pixel * scale) * f64::from(weights[(output * INPUTS + input) * TAPS + tap]);
                }
            }
        }
        sum
    }

    #[test]
    fn odd_sizes_and_channels_give_what_the_definition_gives() {
        let (planes, weights) = (numbers(IMAGES * INPUTS * SIZE.0 * SIZE.1, 0), numbers(OUTPUTS * INPUTS * TAPS, 1));
        let mut scales = numbers(IMAGES * 2 * LANES, 2);
        scales.chunks_exact_mut(2 * LANES).for_each(|image| image[INPUTS..].fill(0.0));
        let mut source = framed(bordered(IMAGES, INPUTS, SIZE));
        let of_planes = Planes { channels: INPUTS, rows: SIZE.0, columns: SIZE.1, first_image: 0 };
        from_planes(&planes, of_planes, (-(BORDER as isize), -(BORDER as isize)), &mut source);
        let squares: Vec<f32> = scales.iter().map(|scale| scale * scale).collect();
        let all = [Instructions::Portable, Instructions::Avx2, Instructions::Widest];
        let ways = [(Way::Same, SIZE), (Way::Doubled, (2 * SIZE.0 + 1, 2 * SIZE.1 + 1))];
        for (instructions, (way, size)) in all.into_iter().flat_map(|one| ways.map(|way| (one, way))) {
            instructions.choose();
            let mut factors = vec![0.0; IMAGES * 2 * LANES];
            let pointer = Pointer::new(factors.as_mut_ptr());
            let (outputs, inputs) = (OUTPUTS, INPUTS);
            let demodulation = Demodulation { squares: &squares, inputs: 2, images: IMAGES, outputs, factors: pointer };
            let mut found = framed(bordered(IMAGES, OUTPUTS, size));
            let to = (found.sizes, Pointer::new(found.memory.first()));
            AsStored { source: &source, scales: &scales, weights: &weights, outputs, inputs, way, demodulation }
                .write(to);
            for (image, output) in (0..IMAGES).flat_map(|image| (0..OUTPUTS).map(move |output| (image, output))) {
                for (y, x) in (0..size.0 + 2).flat_map(|y| (0..size.1 + 2).map(move |x| (y, x))) {
                    let inside = (1..=size.0).contains(&y) && (1..=size.1).contains(&x);
                    let exact =
                        if inside { expected(way, &planes, &scales, &weights, (image, output, y, x)) } else { 0.0 };
                    let off = found.sizes.offset(image, output / LANES, (y, x)) + output % LANES;
                    let off = f64::from(found.memory[off]) - exact;
                    assert!(off.abs() < 1e-4, "{instructions:?}, {size:?}: {off} at {image}, {output}, {y}, {x}");
                }
                let rows = (0..INPUTS * TAPS)
                    .map(|i| weights[output * INPUTS * TAPS + i] * scales[image * 2 * LANES + i / TAPS]);
                let energy: f64 = rows.map(|weight| f64::from(weight).powi(2)).sum();
                let off = f64::from(factors[image * 2 * LANES + output]) * energy.sqrt() - 1.0;
                assert!(off.abs() < 1e-5, "{instructions:?}: the factor of {image}, {output} is off by {off}");
            }
        }
        Instructions::default().choose();
    }
}
