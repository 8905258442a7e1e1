//! The inner loop that all convolutions share, and what follows it.

use pulp::Simd;

use super::plane::BLOCK;

/// Pixels, or tiles, whose sums are kept in registers at a time.
pub(super) const PIXELS: usize = 8;

/// How many blocks of output channels are summed at a time: as many as the registers hold.
pub(super) fn blocks_at_a_time<S: Simd>(blocks: usize) -> usize {
    match S::F32_LANES {
        BLOCK if blocks.is_multiple_of(3) => 3,
        BLOCK if blocks.is_multiple_of(2) => 2,
        _ => 1,
    }
}

/// sums\[p\]\[v\] += Σ_i pixels\[p·step + i\] · weights\[i\]\[v\], over one block of input channels.
#[inline(always)]
pub(super) fn accumulate<S: Simd, const P: usize, const V: usize>(
    simd: S,
    sums: &mut [[S::f32s; V]; P],
    (pixels, step): (&[f32], usize),
    weights: &[f32],
) {
    let (weights, _) = S::as_simd_f32s(weights);
    let (weights, _) = weights.as_chunks::<V>();
    let weights = &weights[..BLOCK];
    assert!(pixels.len() >= (P - 1) * step + BLOCK, "the pixels lie within their plane");
    for (i, row) in weights.iter().enumerate() {
        for (p, sums) in sums.iter_mut().enumerate() {
            // SAFETY: checked above.
            let x = simd.splat_f32s(unsafe { *pixels.get_unchecked(p * step + i) });
            for (sum, &weight) in sums.iter_mut().zip(row) {
                *sum = simd.mul_add_e_f32s(x, weight, *sum);
            }
        }
    }
}

/// What happens to a sum before it is stored.
#[derive(Clone, Debug)]
pub(super) struct Ending {
    /// For every output channel, zero beyond them.
    pub bias: Vec<f32>,
    /// Slope for negative numbers; 1 without activation.
    pub slope: f32,
}

impl Ending {
    /// Adds bias and, behind the activation, what is to be added; stores a block of one pixel.
    #[inline(always)]
    pub fn store<S: Simd>(&self, simd: S, block: usize, (sums, added): (&[S::f32s], Option<&[f32]>), to: &mut [f32]) {
        let (to, _) = S::as_mut_simd_f32s(&mut to[..BLOCK]);
        let (bias, _) = S::as_simd_f32s(&self.bias[block * BLOCK..][..BLOCK]);
        let added = added.map(|added| S::as_simd_f32s(&added[..BLOCK]).0);
        let slope = simd.splat_f32s(self.slope);
        for (v, to) in to.iter_mut().enumerate() {
            let sum = simd.add_f32s(sums[v], bias[v]);
            let y = simd.max_f32s(sum, simd.mul_f32s(sum, slope));
            *to = match added {
                Some(added) => simd.add_f32s(y, added[v]),
                None => y,
            };
        }
    }
}
