//! Wider vector registers where the processor has them; the same arithmetic in the same order, so the same bytes.

/// Runs `work` compiled for AVX2 when the processor has it. `work` has to be inlined to gain from that, so it and what it calls
/// are marked `#[inline(always)]`. Fused multiply-add stays off: it would round differently.
#[inline]
pub(crate) fn vectorised<R>(work: impl FnOnce() -> R) -> R {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor was asked on the line above.
        return unsafe { with_avx2(work) };
    }
    work()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn with_avx2<R>(work: impl FnOnce() -> R) -> R {
    work()
}
