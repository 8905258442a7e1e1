//! A loop of multiply-adds on registers alone: what the processor could do if memory were free.

/// Independent sums, enough to hide the latency of a multiply-add on every current processor.
const SUMS: usize = 12;

/// Runs `iterations` rounds and returns how many floating-point operations they took, a multiply-add counted as two.
///
/// The widest vectors of the processor are used. The second number depends on every operation, so that none is left
/// out; its value has no meaning.
pub fn multiply_add_loop(iterations: u64) -> (u64, f32) {
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512f") {
            // SAFETY: the processor has AVX-512F.
            return (flops(iterations, 16), unsafe { x86::avx512(iterations) });
        }
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            // SAFETY: the processor has AVX2 and FMA.
            return (flops(iterations, 8), unsafe { x86::avx2(iterations) });
        }
    }
    (flops(iterations, 4), portable(iterations))
}

fn flops(iterations: u64, lanes: u64) -> u64 {
    iterations * SUMS as u64 * lanes * 2
}

/// Four lanes a sum, which compilers turn into NEON or SSE.
fn portable(iterations: u64) -> f32 {
    let (factor, term) = (std::hint::black_box(0.999_999f32), std::hint::black_box(1e-9f32));
    let mut sums = [[0.5f32; 4]; SUMS];
    for _ in 0..iterations {
        for sum in &mut sums {
            for lane in sum {
                *lane = *lane * factor + term;
            }
        }
    }
    sums.iter().flatten().sum()
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{
        __m256, __m512, _mm256_add_ps, _mm256_cvtss_f32, _mm256_fmadd_ps, _mm256_set1_ps, _mm512_add_ps,
        _mm512_fmadd_ps, _mm512_reduce_add_ps, _mm512_set1_ps,
    };

    use super::SUMS;

    #[target_feature(enable = "avx512f")]
    pub(super) fn avx512(iterations: u64) -> f32 {
        let (factor, term) = (_mm512_set1_ps(0.999_999), _mm512_set1_ps(1e-9));
        let mut sums: [__m512; SUMS] = [_mm512_set1_ps(0.5); SUMS];
        for _ in 0..iterations {
            for sum in &mut sums {
                *sum = _mm512_fmadd_ps(*sum, factor, term);
            }
        }
        _mm512_reduce_add_ps(sums.into_iter().fold(_mm512_set1_ps(0.0), |a, b| _mm512_add_ps(a, b)))
    }

    #[target_feature(enable = "avx2,fma")]
    pub(super) fn avx2(iterations: u64) -> f32 {
        let (factor, term) = (_mm256_set1_ps(0.999_999), _mm256_set1_ps(1e-9));
        let mut sums: [__m256; SUMS] = [_mm256_set1_ps(0.5); SUMS];
        for _ in 0..iterations {
            for sum in &mut sums {
                *sum = _mm256_fmadd_ps(*sum, factor, term);
            }
        }
        _mm256_cvtss_f32(sums.into_iter().fold(_mm256_set1_ps(0.0), |a, b| _mm256_add_ps(a, b)))
    }
}
