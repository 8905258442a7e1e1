//! Whether the products of a convolution are taken in pairs, and how kernels are scaled for that.

use super::grid::Lines;
use super::kernels::Transforming;
use super::scheme::{Filtering, MOST_POINTS, Scales};
use super::{BLOCK, Winograd};
use crate::ops::blocked::memory::Memory;
use crate::ops::blocked::{LANES, blocks_of};
use crate::ops::conv::Method;
use crate::ops::vector::{self, Kernel, Vector};

/// Fewest channels on either side: with fewer, what pairs have too much takes as long as they save.
const FEWEST: usize = 32;
/// Fewest products: with fewer, a look at the numbers does.
const WORK: usize = 16 << 20;
/// Patches and blocks of kernels whose points are looked at.
const PATCHES: usize = 16;
const KERNELS: usize = 2;
/// The scale of a point differs from that of all by so much at most. Points that are smaller in patches do not count then;
/// those of the few patches that are looked at may be zero by chance.
const SPREAD: f32 = 64.0;

/// How products are taken in pairs.
pub(super) struct Pairing {
    /// Powers of 2 by which the points of kernels become about as large as those of patches.
    pub scales: Scales,
}

impl Pairing {
    /// What the sums are multiplied with after that.
    pub fn gains(&self) -> Scales {
        self.scales.map(f32::recip)
    }
}

impl<S: Filtering> Winograd<'_, S> {
    /// How products are taken in pairs; none where that does not pay, or where nothing is known of the numbers' size.
    pub(super) fn pairing(&self) -> Option<Pairing> {
        let (inputs, outputs) = (self.weights.inputs, self.weights.outputs);
        let tiles = self.source.sizes.images * self.tiles.0 * self.tiles.1;
        let enough = inputs.min(outputs) >= FEWEST && S::POINTS * tiles * inputs * outputs >= WORK;
        if !Method::in_pairs(enough) {
            return None;
        }
        let [patches, kernels] = vector::run(Energies { all: self });
        let of_all = (patches.iter().sum::<f32>() / kernels.iter().sum::<f32>()).sqrt();
        let is_open = of_all.is_normal() && (of_all / SPREAD).is_normal() && (of_all * SPREAD).is_normal();
        is_open.then(|| {
            let scale = |point: usize| {
                let own = (patches[point] / kernels[point]).sqrt();
                let own = if own.is_nan() { of_all } else { own.clamp(of_all / SPREAD, of_all * SPREAD) };
                own.log2().round().exp2()
            };
            Pairing { scales: std::array::from_fn(scale) }
        })
    }
}

/// Mean squares of the points of some patches and of some kernels.
struct Energies<'a, S> {
    all: &'a Winograd<'a, S>,
}

impl<S: Filtering> Kernel for Energies<'_, S> {
    type Output = [Scales; 2];

    #[inline(always)]
    fn run<V: Vector>(self) -> [Scales; 2] {
        let all = self.all;
        let mut points = Memory::take(S::POINTS.max(S::KERNEL_POINTS * LANES) * LANES);
        let (grid, blocks) = (all.grid((0, 0)), all.source.sizes.blocks);
        let (first, count) = (points.first(), grid.count());
        let [mut of_patches, mut of_kernels, mut met] = [[0.0; MOST_POINTS]; 3];
        for i in 0..PATCHES {
            let (block, tile) = (blocks * i / PATCHES, (2 * i + 1) * count / (2 * PATCHES));
            let to = Lines { first, tile_step: S::POINTS * LANES, point_step: LANES };
            // SAFETY: room for a patch.
            unsafe { grid.enter::<V>(block, tile..tile + 1, to) };
            for (point, line) in points.chunks_exact(LANES).take(S::POINTS).enumerate() {
                of_patches[S::kernel_point(point)] += energy(line);
                met[S::kernel_point(point)] += LANES as f32;
            }
        }
        let (outputs, inputs) = (blocks_of(all.weights.outputs), blocks_of(all.weights.inputs));
        for i in 0..KERNELS {
            let block = (outputs * i / KERNELS, inputs * i / KERNELS);
            // SAFETY: room for a block of kernels.
            unsafe { all.transform::<V>(block, &mut Transforming::new(None, None, 0..1), (first, BLOCK)) };
            for (point, numbers) in points.chunks_exact(BLOCK).take(S::KERNEL_POINTS).enumerate() {
                of_kernels[point] += energy(numbers) / (KERNELS * BLOCK) as f32;
            }
        }
        let mean = |point: usize| if met[point] > 0.0 { of_patches[point] / met[point] } else { 0.0 };
        [std::array::from_fn(mean), of_kernels]
    }
}

/// Sum of squares.
#[inline(always)]
fn energy(numbers: &[f32]) -> f32 {
    let mut sums = [0.0; LANES];
    for line in numbers.chunks_exact(LANES) {
        for (sum, number) in sums.iter_mut().zip(line) {
            *sum += number * number;
        }
    }
    sums.iter().sum()
}
