//! F(6x6, 3x3): 64 products for a tile of 36 results, where the direct way takes 324 and F(4x4, 3x3) 81. Its rounding is twice
//! that of F(4x4, 3x3), and its kernels are larger, so it serves large images with few channels.
//!
//! Points 0, ±1, ±2, ±1/2 and infinity; the matrices follow from them by the method of Toom and Cook (Lavin and Gray 2016,
//! section 4.1).

use std::mem::MaybeUninit;

use super::kernels::{kernel_to_points, kernels_to_points};
use super::scheme::{Filtering, KernelPoints, Scheme};
use super::transforms::Along;
use crate::ops::blocked::LANES;
use crate::ops::blocked::finish::{Channels, Finish};
use crate::ops::blocked::product::{Sum, Target, product};
use crate::ops::blocked::weights::{BLOCK, Rows};
use crate::ops::vector::Vector;

/// Points along a side.
const SIDE: usize = 8;
/// Pixels of the result along a side of a tile.
const TILE: usize = 6;
/// Points of a patch and of a kernel.
const POINTS: usize = SIDE * SIDE;
/// Lines of a tile; 64 would be a page.
const LINES: usize = POINTS + 1;

/// The scheme.
#[derive(Clone, Copy)]
pub(crate) struct SameBySix;

/// Eight pixels to eight points.
struct PatchToPoints;

impl Along<SIDE, SIDE> for PatchToPoints {
    #[inline(always)]
    fn turn<V: Vector>(d: [V; SIDE]) -> [V; SIDE] {
        let [two, half, quarter] = [2.0, 0.5, 0.25].map(V::splat);
        let outer = V::splat(5.25);
        // Rows of a pair of points ±p differ in the sign of the odd pixels.
        let even1 = d[4].mul_add(V::splat(-4.25), d[2].add(d[6]));
        let odd1 = d[3].mul_add(V::splat(-4.25), d[1].add(d[5]));
        let even2 = d[2].mul_add(quarter, d[4].mul_add(V::splat(-1.25), d[6]));
        let odd2 = d[1].mul_add(half, d[3].mul_add(V::splat(-2.5), d[5].mul(two)));
        let even3 = d[2].mul_add(V::splat(4.0), d[4].mul_add(V::splat(-5.0), d[6]));
        let odd3 = d[5].mul_add(half, d[3].mul_add(V::splat(-2.5), d[1].mul(two)));
        [
            d[4].sub(d[2]).mul_add(outer, d[0].sub(d[6])),
            even1.add(odd1),
            even1.sub(odd1),
            even2.add(odd2),
            even2.sub(odd2),
            even3.add(odd3),
            even3.sub(odd3),
            d[3].sub(d[5]).mul_add(outer, d[7].sub(d[1])),
        ]
    }
}

/// Three taps to eight points.
struct TapsToPoints;

impl Along<3, SIDE> for TapsToPoints {
    #[inline(always)]
    fn turn<V: Vector>(g: [V; 3]) -> [V; SIDE] {
        let outer1 = g[0].add(g[2]).mul(V::splat(-2.0 / 9.0));
        let inner1 = g[1].mul(V::splat(-2.0 / 9.0));
        let outer2 = g[2].mul_add(V::splat(2.0 / 45.0), g[0].mul(V::splat(1.0 / 90.0)));
        let inner2 = g[1].mul(V::splat(1.0 / 45.0));
        let outer3 = g[0].mul_add(V::splat(32.0 / 45.0), g[2].mul(V::splat(8.0 / 45.0)));
        let inner3 = g[1].mul(V::splat(16.0 / 45.0));
        [
            g[0],
            outer1.add(inner1),
            outer1.sub(inner1),
            outer2.add(inner2),
            outer2.sub(inner2),
            outer3.add(inner3),
            outer3.sub(inner3),
            g[2],
        ]
    }
}

/// Eight products to six results.
struct PointsToTile;

impl Along<SIDE, TILE> for PointsToTile {
    #[inline(always)]
    fn turn<V: Vector>(m: [V; SIDE]) -> [V; TILE] {
        let (sum1, difference1) = (m[1].add(m[2]), m[1].sub(m[2]));
        let (sum2, difference2) = (m[3].add(m[4]), m[3].sub(m[4]));
        let (sum3, difference3) = (m[5].add(m[6]), m[5].sub(m[6]));
        [
            m[0].add(sum1).add(sum2.add(sum3)),
            mixed(difference1, difference2, difference3, 2.0),
            mixed(sum1, sum2, sum3, 4.0),
            mixed(difference1, difference2, difference3, 8.0),
            mixed(sum1, sum2, sum3, 16.0),
            mixed(difference1, difference2, difference3, 32.0).add(m[7]),
        ]
    }
}

/// first + a · second + third / a for a power a of 2.
#[inline(always)]
fn mixed<V: Vector>(first: V, second: V, third: V, a: f32) -> V {
    third.mul_add(V::splat(1.0 / a), second.mul_add(V::splat(a), first))
}

impl Scheme for SameBySix {
    const POINTS: usize = POINTS;
    const LINES: usize = LINES;
    const PATCH: (usize, usize) = (SIDE, SIDE);
    const STEP: (usize, usize) = (TILE, TILE);
    const SIDES: (usize, usize) = (TILE, TILE);

    #[inline(always)]
    fn kernel_point(point: usize) -> usize {
        point
    }

    #[inline(always)]
    unsafe fn enter<V: Vector>(
        (pixels, row_step): (*const f32, usize),
        scale: Option<*const f32>,
        (points, point_step): (*mut f32, usize),
    ) {
        let mut between = MaybeUninit::<[[V; SIDE]; SIDE]>::uninit();
        let between = in_memory(&mut between);
        for lane in (0..LANES).step_by(V::LANES) {
            // SAFETY: one vector of each pixel's line, for which the caller vouches, and of each place between.
            unsafe {
                for y in 0..SIDE {
                    let line = PatchToPoints::turn(line_of(pixels.add(y * row_step + lane), LANES));
                    for (x, number) in line.into_iter().enumerate() {
                        between.add(x * SIDE + y).write(number);
                    }
                }
                let scale = match scale {
                    Some(scale) => V::load(scale.add(lane)),
                    None => V::splat(1.0),
                };
                for x in 0..SIDE {
                    let line = PatchToPoints::turn(between.add(x * SIDE).cast::<[V; SIDE]>().read());
                    for (y, point) in line.into_iter().enumerate() {
                        point.mul(scale).store(points.add((y * SIDE + x) * point_step + lane));
                    }
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn product<V: Vector>(sum: Sum<'_>, tiles: usize, blocks: usize, to: Target) {
        // SAFETY: the caller's promise.
        unsafe { product::<V, LINES>(sum, tiles, blocks, to) }
    }

    #[inline(always)]
    unsafe fn leave<V: Vector>(
        (points, point_step): (*const f32, usize),
        finish: Option<(&Finish<'_>, &Channels<V>)>,
        place: (usize, usize, usize),
        (to, row_step): (*mut f32, usize),
    ) {
        let mut between = MaybeUninit::<[[V; SIDE]; TILE]>::uninit();
        let between = in_memory(&mut between);
        // SAFETY: the caller's promise, and a place between for each.
        unsafe {
            for x in 0..SIDE {
                let line = PointsToTile::turn(line_of(points.add(x * point_step), SIDE * point_step));
                for (y, number) in line.into_iter().enumerate() {
                    between.add(y * SIDE + x).write(number);
                }
            }
            for y in 0..TILE {
                let line = PointsToTile::turn(between.add(y * SIDE).cast::<[V; SIDE]>().read());
                for (x, sum) in line.into_iter().enumerate() {
                    let number = match finish {
                        None => sum,
                        Some((finish, channels)) => {
                            channels.finish(sum, finish.noise_at(place.0, (place.1 + y, place.2 + x)))
                        }
                    };
                    number.store(to.add(y * row_step + x * LANES));
                }
            }
        }
    }
}

/// The first of some vectors that lie in memory: they are more than there are registers, and the compiler's own choice of
/// which to keep is worse.
#[inline(always)]
fn in_memory<V: Vector, const COLUMNS: usize, const ROWS: usize>(
    vectors: &mut MaybeUninit<[[V; COLUMNS]; ROWS]>,
) -> *mut V {
    std::hint::black_box(vectors.as_mut_ptr()).cast()
}

/// Eight vectors, `step` numbers apart.
///
/// # Safety
/// They can be read.
#[inline(always)]
unsafe fn line_of<V: Vector>(from: *const f32, step: usize) -> [V; SIDE] {
    let mut line = [V::splat(0.0); SIDE];
    for (i, number) in line.iter_mut().enumerate() {
        // SAFETY: the caller's promise.
        *number = unsafe { V::load(from.add(i * step)) };
    }
    line
}

impl Filtering for SameBySix {
    const KERNEL_POINTS: usize = POINTS;

    #[inline(always)]
    unsafe fn kernel<V: Vector>(taps: (*const f32, usize), points: KernelPoints<'_>) {
        // SAFETY: the caller's promise.
        unsafe { kernel_to_points::<TapsToPoints, V, SIDE>(taps, points) }
    }

    #[inline(always)]
    unsafe fn kernels<V: Vector>(rows: (Rows<'_>, usize), points: KernelPoints<'_>, squares: &mut [f32; BLOCK]) {
        // SAFETY: the caller's promise.
        unsafe { kernels_to_points::<TapsToPoints, V, SIDE>(rows, points, squares) }
    }
}

#[cfg(test)]
mod tests {
    use std::marker::PhantomData;

    use super::super::{IN_ORDER, Same, Winograd};
    use super::*;
    use crate::ops::blocked::maps::{Maps, Planes, Sizes, from_planes, to_planes};
    use crate::ops::blocked::memory::{Pointer, written};
    use crate::ops::blocked::styled::{BORDER, bordered, inner};
    use crate::ops::blocked::weights::Weights;
    use crate::ops::conv::Method;
    use crate::random::RandomState;

    const INPUTS: usize = 128;
    const OUTPUTS: usize = 33;
    /// No multiple of six.
    const SIZE: (usize, usize) = (28, 32);

    /// `[O, H, W]`
    fn by_tiles<S: Filtering>(x: &Maps, weights: Weights<'_>) -> Vec<f32> {
        let (rows, columns) = inner(x.sizes);
        let winograd = Winograd::<S> {
            scheme: PhantomData,
            source: x.view(),
            scales: None,
            weights,
            taps: IN_ORDER,
            tiles: (rows.div_ceil(S::SIDES.0), columns.div_ceil(S::SIDES.1)),
            corner: (0, 0),
            finish: None,
            demodulation: None,
        };
        let mut y = Maps::new(Sizes::of(1, OUTPUTS, (rows, columns)));
        winograd.compute(&mut y);
        let planes = Planes { channels: OUTPUTS, rows, columns, first_image: 0 };
        // SAFETY: all planes are written.
        unsafe { written(OUTPUTS * rows * columns, |to: Pointer| to_planes(&y, planes, to)) }
    }

    /// The same in double precision, tap by tap.
    fn exactly(x: &[f32], weights: &[f32]) -> Vec<f64> {
        let (rows, columns) = (SIZE.0 as isize, SIZE.1 as isize);
        let pixel = |input: usize, y: isize, x_: isize| {
            let is_inside = (0..rows).contains(&y) && (0..columns).contains(&x_);
            if is_inside { f64::from(x[(input as isize * rows * columns + y * columns + x_) as usize]) } else { 0.0 }
        };
        let mut sums = Vec::new();
        for output in 0..OUTPUTS {
            for (y, x) in (0..rows).flat_map(|y| (0..columns).map(move |x| (y, x))) {
                let mut sum = 0.0;
                for input in 0..INPUTS {
                    for tap in 0..9 {
                        let weight = f64::from(weights[(output * INPUTS + input) * 9 + tap]);
                        sum += weight * pixel(input, y + tap as isize / 3 - 1, x + tap as isize % 3 - 1);
                    }
                }
                sums.push(sum);
            }
        }
        sums
    }

    #[test]
    fn rounding_at_128_channels_is_what_the_documents_say() {
        let rng = &mut RandomState::new(3);
        let mut draw = |len: usize| -> Vec<f32> { (0..len).map(|_| rng.gauss() as f32).collect() };
        let (pixels, numbers) = (draw(INPUTS * SIZE.0 * SIZE.1), draw(OUTPUTS * INPUTS * 9));
        let mut x = Maps::new(bordered(1, INPUTS, SIZE));
        let planes = Planes { channels: INPUTS, rows: SIZE.0, columns: SIZE.1, first_image: 0 };
        from_planes(&pixels, planes, (-(BORDER as isize), -(BORDER as isize)), &mut x);
        let (inputs, outputs) = (INPUTS, OUTPUTS);
        let weights = Weights { numbers: &numbers, outputs, inputs, output_step: inputs * 9, input_step: 9, gain: 1.0 };
        let exact = exactly(&pixels, &numbers);
        let norm = |numbers: &mut dyn Iterator<Item = f64>| numbers.map(|number| number * number).sum::<f64>().sqrt();
        let whole = norm(&mut exact.iter().copied());
        let off = |found: Vec<f32>| norm(&mut found.iter().zip(&exact).map(|(a, b)| f64::from(*a) - b)) / whole;
        let both = |method: Method| {
            method.choose();
            let both = [off(by_tiles::<SameBySix>(&x, weights)), off(by_tiles::<Same>(&x, weights))];
            Method::default().choose();
            both
        };
        let ([six, four], [paired_six, paired_four]) = (both(Method::Unpaired), both(Method::Paired));
        // Measured 3.2e-6 and 1.8e-6, in pairs 4.1e-6 and 2.2e-6.
        assert!(six < 5e-6 && four < 3e-6, "{six:e}, {four:e}");
        assert!(paired_six < 6e-6 && paired_four < 4e-6, "in pairs {paired_six:e}, {paired_four:e}");
    }
}
