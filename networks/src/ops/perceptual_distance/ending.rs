//! What happens behind a group of convolutions: vectors get length 1 and are compared with the target's, and features are
//! halved by maximum pooling, in one pass.

use rayon::prelude::*;

use crate::ops::blocked::LANES;
use crate::ops::blocked::maps::{Maps, Sizes};
use crate::ops::blocked::memory::{Memory, Pointer};
use crate::ops::blocked::styled::{BORDER, bordered, framed, inner};
use crate::ops::distance::EPSILON;
use crate::ops::vector::{self, Kernel, Vector};

/// The features of a group, with a border, and how much each of their channels counts.
pub(super) struct Ending<'a> {
    features: &'a Maps,
    /// Roots of the linear weights over the number of pixels.
    roots: Vec<f32>,
}

/// What is remembered of each pixel `[N, H, W]` for the way back.
pub(super) struct Seen {
    /// One over the length of its vector.
    pub over_length: Vec<f32>,
    /// What of the distance's gradient points along the vector, over the vector.
    pub along: Vec<f32>,
}

/// Roots of the linear weights, so that squared differences are averaged over the pixels.
pub(super) fn roots(linear: &[f32], (h, w): (usize, usize)) -> Vec<f32> {
    linear.iter().map(|&weight| (f64::from(weight) / (h * w) as f64).sqrt() as f32).collect()
}

impl<'a> Ending<'a> {
    pub fn new(features: &'a Maps, linear: &[f32]) -> Self {
        let (h, w) = inner(features.sizes);
        assert!(h % 2 == 0 && w % 2 == 0, "windows of whole pixels");
        Ending { roots: roots(linear, (h, w)), features }
    }

    /// Sizes without the border.
    fn bare(&self) -> Sizes {
        let (rows, columns) = inner(self.features.sizes);
        Sizes { rows, columns, ..self.features.sizes }
    }

    /// Maps with a border for the features in half the size.
    pub fn room_for_half(&self) -> Maps {
        let Sizes { images, blocks, rows, columns } = self.bare();
        framed(bordered(images, blocks * LANES, (rows / 2, columns / 2)))
    }

    /// The features in half the size.
    pub fn halved(&self) -> Maps {
        let mut halved = self.room_for_half();
        let to = (halved.sizes, Pointer::new(halved.memory.first()));
        let pairs = self.bare().rows / 2;
        (0..self.bare().images * pairs).into_par_iter().for_each(|task| {
            vector::run(Halve { ending: self, image: task / pairs, row: task % pairs * 2, to });
        });
        halved
    }

    /// Vectors of length 1 times the roots of the weights, without a border.
    pub fn of_length_one(&self) -> Maps {
        let mut result = Maps::new(self.bare());
        let (rows, to) = (self.bare().rows, Pointer::new(result.memory.first()));
        (0..self.bare().images * rows).into_par_iter().for_each(|task| {
            vector::run(Shorten { ending: self, image: task / rows, row: task % rows, to });
        });
        result
    }

    /// Adds the squared distance of each image from its target; also halves the features where there is room for it.
    pub fn compare(&self, target: &Maps, halved: Option<&mut Maps>, distances: &mut [f64]) -> Seen {
        let sizes = self.bare();
        assert_eq!(target.sizes, sizes, "a target for every number");
        let halved = halved.map(|maps| (maps.sizes, Pointer::new(maps.memory.first())));
        let (pairs, pair) = (sizes.rows / 2, 2 * sizes.columns);
        let mut seen = [(); 2].map(|()| vec![0.0; sizes.images * sizes.rows * sizes.columns]);
        let [over_length, along] = &mut seen;
        let tasks = over_length.par_chunks_exact_mut(pair).zip(along.par_chunks_exact_mut(pair)).enumerate();
        let parts: Vec<f64> = tasks
            .map(|(task, (over_length, along))| {
                let (image, row) = (task / pairs, task % pairs * 2);
                vector::run(Compare { ending: self, target, image, row, over_length, along, halved })
            })
            .collect();
        // In the order of the rows, whatever thread had them.
        distances.iter_mut().zip(parts.chunks_exact(pairs)).for_each(|(sum, parts)| *sum += parts.iter().sum::<f64>());
        let [over_length, along] = seen;
        Seen { over_length, along }
    }

    /// A row of a block.
    fn line(&self, image: usize, block: usize, row: usize) -> &[f32] {
        let offset = self.features.sizes.offset(image, block, (row + BORDER, BORDER));
        &self.features.memory[offset..][..self.bare().row()]
    }

    /// Finds one over the length of the vector at each pixel of a row; `sums` has room for a row of lines.
    #[inline(always)]
    fn over_lengths<V: Vector>(&self, (image, row): (usize, usize), sums: &mut [f32], to: &mut [f32]) {
        sums.fill(0.0);
        for block in 0..self.bare().blocks {
            let line = self.line(image, block, row);
            for number in (0..sums.len()).step_by(V::LANES) {
                // SAFETY: a vector of either row.
                unsafe {
                    let (x, sum) = (V::load(line.as_ptr().add(number)), sums.as_mut_ptr().add(number));
                    x.mul_add(x, V::load(sum)).store(sum);
                }
            }
        }
        for (to, line) in to.iter_mut().zip(sums.chunks_exact(LANES)) {
            *to = (f64::from(sum_of(line)) + EPSILON).sqrt().recip() as f32;
        }
    }
}

/// Sum of a line.
#[inline(always)]
fn sum_of(line: &[f32]) -> f32 {
    let mut half = [0.0; LANES / 2];
    for (i, half) in half.iter_mut().enumerate() {
        *half = line[i] + line[i + LANES / 2];
    }
    (half[0] + half[4]) + (half[1] + half[5]) + ((half[2] + half[6]) + (half[3] + half[7]))
}

/// A row of the target.
struct Shorten<'a> {
    ending: &'a Ending<'a>,
    image: usize,
    row: usize,
    to: Pointer,
}

impl Kernel for Shorten<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        let sizes = self.ending.bare();
        let (mut sums, mut over_length) = (Memory::take(sizes.row()), vec![0.0; sizes.columns]);
        self.ending.over_lengths::<V>((self.image, self.row), &mut sums, &mut over_length);
        for block in 0..sizes.blocks {
            let line = self.ending.line(self.image, block, self.row);
            let roots = &self.ending.roots[block * LANES..][..LANES];
            for (x, &over_length) in over_length.iter().enumerate() {
                for lane in (0..LANES).step_by(V::LANES) {
                    // SAFETY: a vector of this pixel's line, of the roots, and of this task's row of the result.
                    unsafe {
                        let number =
                            V::load(line.as_ptr().add(x * LANES + lane)).mul(V::load(roots.as_ptr().add(lane)));
                        let to = self.to.at(sizes.offset(self.image, block, (self.row, x)) + lane);
                        number.mul(V::splat(over_length)).store(to);
                    }
                }
            }
        }
    }
}

/// Two rows in half the size.
struct Halve<'a> {
    ending: &'a Ending<'a>,
    image: usize,
    row: usize,
    to: (Sizes, Pointer),
}

impl Kernel for Halve<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        let (ending, (sizes, to)) = (self.ending, self.to);
        for block in 0..sizes.blocks {
            let above = ending.line(self.image, block, self.row);
            let below = ending.line(self.image, block, self.row + 1);
            // SAFETY: this task's row of the result.
            let to = unsafe { to.at(sizes.offset(self.image, block, (self.row / 2 + BORDER, BORDER))) };
            for x in 0..ending.bare().columns / 2 {
                for lane in (0..LANES).step_by(V::LANES) {
                    // SAFETY: the four pixels of a window, and one of that row.
                    unsafe {
                        let [a, b, c, d] = window::<V>((above.as_ptr(), below.as_ptr()), x * 2 * LANES + lane);
                        a.max(b).max(c.max(d)).store(to.add(x * LANES + lane));
                    }
                }
            }
        }
    }
}

/// The numbers of a window, in reading order.
///
/// # Safety
/// The number at `at` and that of the pixel behind it can be read in both rows.
#[inline(always)]
pub(super) unsafe fn window<V: Vector>((above, below): (*const f32, *const f32), at: usize) -> [V; 4] {
    // SAFETY: the caller's promise.
    unsafe {
        [V::load(above.add(at)), V::load(above.add(at + LANES)), V::load(below.add(at)), V::load(below.add(at + LANES))]
    }
}

/// Two rows against the target's; gives their part of the distance.
struct Compare<'a> {
    ending: &'a Ending<'a>,
    target: &'a Maps,
    image: usize,
    row: usize,
    over_length: &'a mut [f32],
    along: &'a mut [f32],
    halved: Option<(Sizes, Pointer)>,
}

impl Kernel for Compare<'_> {
    type Output = f64;

    #[inline(always)]
    fn run<V: Vector>(self) -> f64 {
        let Compare { ending, target, image, row, over_length, along, halved } = self;
        let mut sums = Memory::take(ending.bare().row());
        let mut distance = 0.0;
        let pixels =
            over_length.chunks_exact_mut(target.sizes.columns).zip(along.chunks_exact_mut(target.sizes.columns));
        for (row, (over_length, along)) in (row..).zip(pixels) {
            ending.over_lengths::<V>((image, row), &mut sums, over_length);
            sums.fill(0.0);
            for block in 0..target.sizes.blocks {
                let target = &target.memory[target.sizes.offset(image, block, (row, 0))..][..target.sizes.row()];
                let rows = (ending.line(image, block, row), target);
                let roots = &ending.roots[block * LANES..][..LANES];
                distance += differences::<V>(rows, roots, over_length, &mut sums);
            }
            for ((along, line), over_length) in along.iter_mut().zip(sums.chunks_exact(LANES)).zip(over_length) {
                *along = 2.0 * over_length.powi(3) * sum_of(line);
            }
        }
        if let Some(to) = halved {
            Halve { ending, image, row, to }.run::<V>();
        }
        distance
    }
}

/// Sum of the squared differences of a row of a block from the target's; at each pixel the products of the differences and
/// what the vector is without its length are added to `sums`.
#[inline(always)]
fn differences<V: Vector>(
    (features, target): (&[f32], &[f32]),
    roots: &[f32],
    over_length: &[f32],
    sums: &mut [f32],
) -> f64 {
    let mut distances = [0.0; LANES];
    for lane in (0..LANES).step_by(V::LANES) {
        // SAFETY: a vector of the roots, of each pixel's lines, and of the line of distances.
        unsafe {
            let (root, mut distance) = (V::load(roots.as_ptr().add(lane)), V::splat(0.0));
            for (x, &over_length) in over_length.iter().enumerate() {
                let at = x * LANES + lane;
                let vector = V::load(features.as_ptr().add(at)).mul(root);
                let difference = vector.mul(V::splat(over_length)).sub(V::load(target.as_ptr().add(at)));
                distance = difference.mul_add(difference, distance);
                let sum = sums.as_mut_ptr().add(at);
                difference.mul_add(vector, V::load(sum)).store(sum);
            }
            distance.store(distances.as_mut_ptr().add(lane));
        }
    }
    distances.iter().map(|&distance| f64::from(distance)).sum()
}
