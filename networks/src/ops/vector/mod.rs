//! Vectors of the processor, chosen at run time: AVX-512, AVX2 with FMA, NEON, or plain arithmetic.
//!
//! A kernel is written once for any vector and inlined as a whole into a function that may use the instructions
//! (`#[target_feature]`). The choice holds for the whole process, because operators also run inside candle's backward pass,
//! which carries nothing from caller to operator; results differ by rounding alone.

#[cfg(target_arch = "aarch64")]
mod neon;
mod portable;
#[cfg(target_arch = "x86_64")]
mod x86;

use std::sync::atomic::{AtomicU8, Ordering};

/// Which instructions the kernels may use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Instructions {
    /// The widest that the processor has.
    #[default]
    Widest,
    /// Those of a processor without AVX-512; elsewhere as [`Instructions::Portable`].
    Avx2,
    /// Plain arithmetic.
    Portable,
}

static CHOICE: AtomicU8 = AtomicU8::new(Instructions::Widest as u8);

impl Instructions {
    /// Makes all kernels of the process use these from now on.
    pub fn choose(self) {
        CHOICE.store(self as u8, Ordering::Relaxed);
    }

    /// What was chosen.
    fn chosen() -> Self {
        [Instructions::Widest, Instructions::Avx2, Instructions::Portable][usize::from(CHOICE.load(Ordering::Relaxed))]
    }

    /// Name of the instructions that kernels run with now.
    pub fn name() -> &'static str {
        struct Name;
        impl Kernel for Name {
            type Output = &'static str;
            fn run<V: Vector>(self) -> &'static str {
                V::NAME
            }
        }
        run(Name)
    }
}

/// Some numbers in single precision, in a register.
pub(crate) trait Vector: Copy {
    /// How the instructions are called.
    const NAME: &'static str;
    /// Numbers in a vector; a divisor of 16.
    const LANES: usize;
    /// Positions that a matrix kernel sums at a time, so that the sums of all of them fit the registers.
    const POSITIONS: usize;
    /// The same where channels are taken in pairs, which needs registers for the weights of three channels.
    const PAIRED_POSITIONS: usize;

    /// Runs a kernel on these vectors as a function of its own.
    fn apart<K: Kernel>(kernel: K) -> K::Output;

    /// Reads [`LANES`](Self::LANES) numbers.
    ///
    /// # Safety
    /// They can be read.
    unsafe fn load(from: *const f32) -> Self;

    /// Writes [`LANES`](Self::LANES) numbers.
    ///
    /// # Safety
    /// They can be written.
    unsafe fn store(self, to: *mut f32);

    /// Asks for the line of a number that will be read soon; any address will do.
    #[inline(always)]
    fn prefetch(_line: *const f32) {}

    /// Asks for a line of memory that will be read later, into the level 2 cache: many more of these than of
    /// [`prefetch`](Self::prefetch) are under way at a time.
    #[inline(always)]
    fn prefetch_far(_line: *const f32) {}

    /// The same number everywhere.
    fn splat(number: f32) -> Self;
    /// self + other
    fn add(self, other: Self) -> Self;
    /// self − other
    fn sub(self, other: Self) -> Self;
    /// self · other
    fn mul(self, other: Self) -> Self;
    /// self · factor + term, in one rounding where the processor can
    fn mul_add(self, factor: Self, term: Self) -> Self;
    /// The larger numbers.
    fn max(self, other: Self) -> Self;
    /// The smaller numbers.
    fn min(self, other: Self) -> Self;
    /// `yes` where the number is positive, `no` elsewhere.
    fn where_positive(self, yes: Self, no: Self) -> Self;

    /// Four columns of [`LANES`](Self::LANES) rows, which are `from.1` numbers apart.
    ///
    /// # Safety
    /// Four numbers of each row can be read.
    #[inline(always)]
    unsafe fn columns(from: (*const f32, usize)) -> [Self; 4] {
        let mut columns = [[0.0; 16]; 4];
        for (column, numbers) in columns.iter_mut().enumerate() {
            for (row, number) in numbers.iter_mut().take(Self::LANES).enumerate() {
                // SAFETY: within the rows that the caller vouches for.
                *number = unsafe { *from.0.add(row * from.1 + column) };
            }
        }
        // SAFETY: a vector has at most 16 numbers.
        columns.map(|column| unsafe { Self::load(column.as_ptr()) })
    }

    /// Rows become columns: reads [`LANES`](Self::LANES) rows of as many numbers, `from.1` apart, and writes them
    /// transposed, `to.1` apart.
    ///
    /// # Safety
    /// All rows can be read and written; they do not overlap.
    #[inline(always)]
    unsafe fn transpose(from: (*const f32, usize), to: (*mut f32, usize)) {
        for row in 0..Self::LANES {
            for column in 0..Self::LANES {
                // SAFETY: within the rows that the caller vouches for.
                unsafe { *to.0.add(column * to.1 + row) = *from.0.add(row * from.1 + column) };
            }
        }
    }
}

/// Whether the chosen instructions add beside multiplying, in units of their own, as AMD's processors with AVX-512 do; others
/// add in the units that multiply.
pub(crate) fn adds_beside_multiplying() -> bool {
    #[cfg(target_arch = "x86_64")]
    return Instructions::chosen() == Instructions::Widest && x86::adds_beside_multiplying();
    #[cfg(not(target_arch = "x86_64"))]
    return false;
}

/// Work that is written for any vectors. Its `run`, and all that it calls, is `#[inline(always)]`.
pub(crate) trait Kernel {
    type Output;
    fn run<V: Vector>(self) -> Self::Output;
}

/// Runs a kernel with the chosen instructions.
pub(crate) fn run<K: Kernel>(kernel: K) -> K::Output {
    let chosen = Instructions::chosen();
    if chosen == Instructions::Portable {
        return kernel.run::<portable::Plain>();
    }
    #[cfg(target_arch = "x86_64")]
    return x86::run(kernel, chosen);
    #[cfg(target_arch = "aarch64")]
    return neon::run(kernel);
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    return kernel.run::<portable::Plain>();
}
