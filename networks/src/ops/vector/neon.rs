//! NEON, which every 64-bit ARM processor has.

use std::arch::aarch64::*;

use super::{Kernel, Vector};

/// Runs a kernel with NEON.
pub(super) fn run<K: Kernel>(kernel: K) -> K::Output {
    kernel.run::<Neon>()
}

#[derive(Clone, Copy)]
struct Neon(float32x4_t);

impl Vector for Neon {
    const NAME: &'static str = "NEON";
    const LANES: usize = 4;
    const POSITIONS: usize = 6;
    const PAIRED_POSITIONS: usize = 4;

    fn apart<K: Kernel>(kernel: K) -> K::Output {
        kernel.run::<Self>()
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller's promise.
        Neon(unsafe { vld1q_f32(from) })
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the caller's promise.
        unsafe { vst1q_f32(to, self.0) }
    }

    #[inline(always)]
    fn splat(number: f32) -> Self {
        // SAFETY: NEON is part of the architecture.
        Neon(unsafe { vdupq_n_f32(number) })
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        // SAFETY: as for `splat`.
        Neon(unsafe { vaddq_f32(self.0, other.0) })
    }

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        // SAFETY: as for `splat`.
        Neon(unsafe { vsubq_f32(self.0, other.0) })
    }

    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        // SAFETY: as for `splat`.
        Neon(unsafe { vmulq_f32(self.0, other.0) })
    }

    #[inline(always)]
    fn mul_add(self, factor: Self, term: Self) -> Self {
        // SAFETY: as for `splat`.
        Neon(unsafe { vfmaq_f32(term.0, self.0, factor.0) })
    }

    #[inline(always)]
    fn max(self, other: Self) -> Self {
        // SAFETY: as for `splat`.
        Neon(unsafe { vmaxq_f32(self.0, other.0) })
    }

    #[inline(always)]
    fn min(self, other: Self) -> Self {
        // SAFETY: as for `splat`.
        Neon(unsafe { vminq_f32(self.0, other.0) })
    }

    #[inline(always)]
    fn where_positive(self, yes: Self, no: Self) -> Self {
        // SAFETY: as for `splat`.
        Neon(unsafe { vbslq_f32(vcgtzq_f32(self.0), yes.0, no.0) })
    }
}
