//! AVX-512 and AVX2 with FMA.

#![expect(clippy::needless_range_loop, reason = "iterators take closures, which are functions of their own")]

use std::arch::x86_64::*;
use std::sync::OnceLock;

use super::{Instructions, Kernel, Vector, portable};

/// Runs a kernel with the widest instructions that were chosen and that the processor has.
pub(super) fn run<K: Kernel>(kernel: K, chosen: Instructions) -> K::Output {
    if chosen == Instructions::Widest && is_x86_feature_detected!("avx512f") {
        // SAFETY: the processor has AVX-512F.
        unsafe { avx512(kernel) }
    } else if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
        // SAFETY: the processor has AVX2 and FMA.
        unsafe { avx2(kernel) }
    } else {
        kernel.run::<portable::Plain>()
    }
}

#[target_feature(enable = "avx512f")]
fn avx512<K: Kernel>(kernel: K) -> K::Output {
    kernel.run::<Avx512>()
}

#[target_feature(enable = "avx2,fma")]
fn avx2<K: Kernel>(kernel: K) -> K::Output {
    kernel.run::<Avx2>()
}

#[inline(never)]
#[target_feature(enable = "avx512f")]
fn avx512_apart<K: Kernel>(kernel: K) -> K::Output {
    kernel.run::<Avx512>()
}

#[inline(never)]
#[target_feature(enable = "avx2,fma")]
fn avx2_apart<K: Kernel>(kernel: K) -> K::Output {
    kernel.run::<Avx2>()
}

/// Whether the processor has AVX-512 and is AMD's: since Zen 4, their first with AVX-512, two units multiply and two others
/// add.
pub(super) fn adds_beside_multiplying() -> bool {
    static FOUND: OnceLock<bool> = OnceLock::new();
    *FOUND.get_or_init(|| {
        let CpuidResult { ebx, ecx, edx, .. } = __cpuid(0);
        let vendor = [ebx, edx, ecx].map(u32::to_le_bytes);
        is_x86_feature_detected!("avx512f") && vendor.as_flattened() == b"AuthenticAMD"
    })
}

#[derive(Clone, Copy)]
struct Avx512(__m512);

impl Vector for Avx512 {
    const NAME: &'static str = "AVX-512";
    const LANES: usize = 16;
    const POSITIONS: usize = 14;
    const PAIRED_POSITIONS: usize = 12;

    fn apart<K: Kernel>(kernel: K) -> K::Output {
        // SAFETY: [`run`] has seen the instructions.
        unsafe { avx512_apart(kernel) }
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller's promise, and [`run`]'s about the processor.
        Avx512(unsafe { _mm512_loadu_ps(from) })
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: as for `load`.
        unsafe { _mm512_storeu_ps(to, self.0) }
    }

    #[inline(always)]
    fn prefetch(line: *const f32) {
        // SAFETY: a hint, which reads nothing.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(line.cast()) }
    }

    #[inline(always)]
    fn prefetch_far(line: *const f32) {
        // SAFETY: as for `prefetch`.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(line.cast()) }
    }

    #[inline(always)]
    fn splat(number: f32) -> Self {
        // SAFETY: [`run`] has seen the instructions.
        Avx512(unsafe { _mm512_set1_ps(number) })
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        // SAFETY: as for `splat`.
        Avx512(unsafe { _mm512_add_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        // SAFETY: as for `splat`.
        Avx512(unsafe { _mm512_sub_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        // SAFETY: as for `splat`.
        Avx512(unsafe { _mm512_mul_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn mul_add(self, factor: Self, term: Self) -> Self {
        // SAFETY: as for `splat`.
        Avx512(unsafe { _mm512_fmadd_ps(self.0, factor.0, term.0) })
    }

    #[inline(always)]
    fn max(self, other: Self) -> Self {
        // SAFETY: as for `splat`.
        Avx512(unsafe { _mm512_max_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn min(self, other: Self) -> Self {
        // SAFETY: as for `splat`.
        Avx512(unsafe { _mm512_min_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn where_positive(self, yes: Self, no: Self) -> Self {
        // SAFETY: as for `splat`.
        unsafe {
            let positive = _mm512_cmp_ps_mask::<_CMP_GT_OQ>(self.0, _mm512_setzero_ps());
            Avx512(_mm512_mask_blend_ps(positive, no.0, yes.0))
        }
    }

    #[inline(always)]
    unsafe fn columns((from, step): (*const f32, usize)) -> [Self; 4] {
        // SAFETY: four numbers of 16 rows, for which the caller vouches.
        unsafe {
            // Quarter q of vector i is row 4q + i, so that exchanges within quarters suffice.
            let mut rows = [_mm512_setzero_ps(); 4];
            for i in 0..4 {
                let quarter = |q: usize| _mm_loadu_ps(from.add((4 * q + i) * step));
                let row = _mm512_castps128_ps512(quarter(0));
                let row = _mm512_insertf32x4::<1>(row, quarter(1));
                let row = _mm512_insertf32x4::<2>(row, quarter(2));
                rows[i] = _mm512_insertf32x4::<3>(row, quarter(3));
            }
            let (low, high) = (_mm512_unpacklo_ps(rows[0], rows[1]), _mm512_unpackhi_ps(rows[0], rows[1]));
            let (low2, high2) = (_mm512_unpacklo_ps(rows[2], rows[3]), _mm512_unpackhi_ps(rows[2], rows[3]));
            [
                Avx512(_mm512_shuffle_ps::<0x44>(low, low2)),
                Avx512(_mm512_shuffle_ps::<0xee>(low, low2)),
                Avx512(_mm512_shuffle_ps::<0x44>(high, high2)),
                Avx512(_mm512_shuffle_ps::<0xee>(high, high2)),
            ]
        }
    }

    #[inline(always)]
    unsafe fn transpose((from, from_step): (*const f32, usize), (to, to_step): (*mut f32, usize)) {
        // SAFETY: 16 rows on either side, for which the caller vouches.
        unsafe {
            let mut rows = [_mm512_setzero_ps(); 16];
            for row in 0..16 {
                rows[row] = _mm512_loadu_ps(from.add(row * from_step));
            }
            let columns = transposed16(rows);
            for row in 0..16 {
                _mm512_storeu_ps(to.add(row * to_step), columns[row]);
            }
        }
    }
}

#[derive(Clone, Copy)]
struct Avx2(__m256);

impl Vector for Avx2 {
    const NAME: &'static str = "AVX2";
    const LANES: usize = 8;
    const POSITIONS: usize = 6;
    const PAIRED_POSITIONS: usize = 4;

    fn apart<K: Kernel>(kernel: K) -> K::Output {
        // SAFETY: [`run`] has seen the instructions.
        unsafe { avx2_apart(kernel) }
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller's promise, and [`run`]'s about the processor.
        Avx2(unsafe { _mm256_loadu_ps(from) })
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: as for `load`.
        unsafe { _mm256_storeu_ps(to, self.0) }
    }

    #[inline(always)]
    fn prefetch(line: *const f32) {
        // SAFETY: a hint, which reads nothing.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(line.cast()) }
    }

    #[inline(always)]
    fn prefetch_far(line: *const f32) {
        // SAFETY: as for `prefetch`.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(line.cast()) }
    }

    #[inline(always)]
    fn splat(number: f32) -> Self {
        // SAFETY: [`run`] has seen the instructions.
        Avx2(unsafe { _mm256_set1_ps(number) })
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        // SAFETY: as for `splat`.
        Avx2(unsafe { _mm256_add_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        // SAFETY: as for `splat`.
        Avx2(unsafe { _mm256_sub_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        // SAFETY: as for `splat`.
        Avx2(unsafe { _mm256_mul_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn mul_add(self, factor: Self, term: Self) -> Self {
        // SAFETY: as for `splat`.
        Avx2(unsafe { _mm256_fmadd_ps(self.0, factor.0, term.0) })
    }

    #[inline(always)]
    fn max(self, other: Self) -> Self {
        // SAFETY: as for `splat`.
        Avx2(unsafe { _mm256_max_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn min(self, other: Self) -> Self {
        // SAFETY: as for `splat`.
        Avx2(unsafe { _mm256_min_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn where_positive(self, yes: Self, no: Self) -> Self {
        // SAFETY: as for `splat`.
        unsafe {
            let positive = _mm256_cmp_ps::<_CMP_GT_OQ>(self.0, _mm256_setzero_ps());
            Avx2(_mm256_blendv_ps(no.0, yes.0, positive))
        }
    }

    #[inline(always)]
    unsafe fn columns((from, step): (*const f32, usize)) -> [Self; 4] {
        // SAFETY: four numbers of 8 rows, for which the caller vouches.
        unsafe {
            let mut rows = [_mm256_setzero_ps(); 4];
            for i in 0..4 {
                let half = |h: usize| _mm_loadu_ps(from.add((4 * h + i) * step));
                rows[i] = _mm256_insertf128_ps::<1>(_mm256_castps128_ps256(half(0)), half(1));
            }
            let (low, high) = (_mm256_unpacklo_ps(rows[0], rows[1]), _mm256_unpackhi_ps(rows[0], rows[1]));
            let (low2, high2) = (_mm256_unpacklo_ps(rows[2], rows[3]), _mm256_unpackhi_ps(rows[2], rows[3]));
            [
                Avx2(_mm256_shuffle_ps::<0x44>(low, low2)),
                Avx2(_mm256_shuffle_ps::<0xee>(low, low2)),
                Avx2(_mm256_shuffle_ps::<0x44>(high, high2)),
                Avx2(_mm256_shuffle_ps::<0xee>(high, high2)),
            ]
        }
    }

    #[inline(always)]
    unsafe fn transpose((from, from_step): (*const f32, usize), (to, to_step): (*mut f32, usize)) {
        // SAFETY: 8 rows on either side, for which the caller vouches.
        unsafe {
            let mut rows = [_mm256_setzero_ps(); 8];
            for row in 0..8 {
                rows[row] = _mm256_loadu_ps(from.add(row * from_step));
            }
            let columns = transposed8(rows);
            for row in 0..8 {
                _mm256_storeu_ps(to.add(row * to_step), columns[row]);
            }
        }
    }
}

/// Pairs of rows, then of pairs, then of quarters are exchanged.
///
/// # Safety
/// The processor has AVX2.
#[inline(always)]
unsafe fn transposed8(rows: [__m256; 8]) -> [__m256; 8] {
    // SAFETY: the caller's promise.
    unsafe {
        let (mut pairs, mut fours, mut columns) = (rows, rows, rows);
        for i in 0..8 {
            let (a, b) = (rows[i / 2 * 2], rows[i / 2 * 2 + 1]);
            pairs[i] = if i % 2 == 0 { _mm256_unpacklo_ps(a, b) } else { _mm256_unpackhi_ps(a, b) };
        }
        for i in 0..8 {
            let (a, b) = (pairs[i / 4 * 4 + i % 4 / 2], pairs[i / 4 * 4 + i % 4 / 2 + 2]);
            fours[i] = if i % 2 == 0 { _mm256_shuffle_ps::<0x44>(a, b) } else { _mm256_shuffle_ps::<0xee>(a, b) };
        }
        for i in 0..8 {
            let (a, b) = (fours[i % 4], fours[i % 4 + 4]);
            columns[i] =
                if i < 4 { _mm256_permute2f128_ps::<0x20>(a, b) } else { _mm256_permute2f128_ps::<0x31>(a, b) };
        }
        columns
    }
}

/// As [`transposed8`], with one more exchange.
///
/// # Safety
/// The processor has AVX-512F.
#[inline(always)]
unsafe fn transposed16(rows: [__m512; 16]) -> [__m512; 16] {
    // SAFETY: the caller's promise.
    unsafe {
        let (mut pairs, mut fours, mut eights, mut columns) = (rows, rows, rows, rows);
        for i in 0..16 {
            let (a, b) = (rows[i / 2 * 2], rows[i / 2 * 2 + 1]);
            pairs[i] = if i % 2 == 0 { _mm512_unpacklo_ps(a, b) } else { _mm512_unpackhi_ps(a, b) };
        }
        // fours[4g + j] holds column j of each quarter, for the rows 4g .. 4g + 4.
        for i in 0..16 {
            let (a, b) = (pairs[i / 4 * 4 + i % 4 / 2], pairs[i / 4 * 4 + i % 4 / 2 + 2]);
            fours[i] = if i % 2 == 0 { _mm512_shuffle_ps::<0x44>(a, b) } else { _mm512_shuffle_ps::<0xee>(a, b) };
        }
        // Quarters 0 and 2, or 1 and 3, of the rows 8h .. 8h + 8.
        for i in 0..16 {
            let (half, j) = (i / 8, i % 4);
            let (a, b) = (fours[half * 8 + j], fours[half * 8 + 4 + j]);
            eights[i] = if i % 8 < 4 { _mm512_shuffle_f32x4::<0x88>(a, b) } else { _mm512_shuffle_f32x4::<0xdd>(a, b) };
        }
        for column in 0..16 {
            let (quarter, j) = (column / 4, column % 4);
            let (a, b) = (eights[quarter % 2 * 4 + j], eights[8 + quarter % 2 * 4 + j]);
            columns[column] =
                if quarter < 2 { _mm512_shuffle_f32x4::<0x88>(a, b) } else { _mm512_shuffle_f32x4::<0xdd>(a, b) };
        }
        columns
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Instructions, Kernel, Vector};

    struct Transpose<'a>(&'a [f32], &'a mut [f32]);

    impl Kernel for Transpose<'_> {
        type Output = usize;
        fn run<V: Vector>(self) -> usize {
            // SAFETY: both have 16 rows of 16 numbers.
            unsafe { V::transpose((self.0.as_ptr(), 16), (self.1.as_mut_ptr(), 16)) };
            V::LANES
        }
    }

    #[test]
    fn rows_become_columns_with_every_instruction_set() {
        let numbers: Vec<f32> = (0..256).map(|i| i as f32).collect();
        for chosen in [Instructions::Widest, Instructions::Avx2] {
            let mut turned = vec![0.0; 256];
            let lanes = super::run(Transpose(&numbers, &mut turned), chosen);
            for (row, column) in (0..lanes).flat_map(|row| (0..lanes).map(move |column| (row, column))) {
                assert_eq!(turned[column * 16 + row], numbers[row * 16 + column], "{lanes} lanes, {row}, {column}");
            }
        }
    }

    struct Columns<'a>(&'a [f32], &'a mut [f32]);

    impl Kernel for Columns<'_> {
        type Output = usize;
        fn run<V: Vector>(self) -> usize {
            // SAFETY: 16 rows of 9 numbers, and room for 4 vectors.
            unsafe {
                let columns = V::columns((self.0.as_ptr().add(5), 9));
                for (column, to) in columns.into_iter().zip(self.1.chunks_exact_mut(16)) {
                    column.store(to.as_mut_ptr());
                }
            }
            V::LANES
        }
    }

    #[test]
    fn four_columns_come_from_the_end_of_rows_with_every_instruction_set() {
        let numbers: Vec<f32> = (0..16 * 9).map(|i| i as f32).collect();
        for chosen in [Instructions::Widest, Instructions::Avx2, Instructions::Portable] {
            let mut columns = vec![0.0; 64];
            let lanes = match chosen {
                Instructions::Portable => Columns(&numbers, &mut columns).run::<super::portable::Plain>(),
                _ => super::run(Columns(&numbers, &mut columns), chosen),
            };
            for (column, row) in (0..4).flat_map(|column| (0..lanes).map(move |row| (column, row))) {
                assert_eq!(columns[column * 16 + row], numbers[row * 9 + 5 + column], "{lanes} lanes, {row}, {column}");
            }
        }
    }
}
