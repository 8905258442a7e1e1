//! The number types that the fast paths compute in, and what they share: scratch memory and typed access to tensors.

use std::cell::RefCell;
use std::marker::PhantomData;

use candle_core::{CpuStorage, Layout, WithDType};

/// Single or double precision.
pub(crate) trait Real: WithDType {
    /// Lends this thread's scratch memory, at least `len` numbers of unspecified value, so that no tile allocates.
    fn with_scratch<R>(len: usize, work: impl FnOnce(&mut [Self]) -> R) -> R;
}

thread_local! {
    static SINGLE: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
    static DOUBLE: RefCell<Vec<f64>> = const { RefCell::new(Vec::new()) };
}

impl Real for f32 {
    fn with_scratch<R>(len: usize, work: impl FnOnce(&mut [Self]) -> R) -> R {
        lend(&SINGLE, len, work)
    }
}

impl Real for f64 {
    fn with_scratch<R>(len: usize, work: impl FnOnce(&mut [Self]) -> R) -> R {
        lend(&DOUBLE, len, work)
    }
}

/// Takes the memory out while it is lent, so that a second loan on the same thread gets memory of its own.
fn lend<T: Real, R>(
    place: &'static std::thread::LocalKey<RefCell<Vec<T>>>,
    len: usize,
    work: impl FnOnce(&mut [T]) -> R,
) -> R {
    let mut memory = place.take();
    if memory.len() < len {
        memory.resize(len, T::zero());
    }
    let result = work(&mut memory[..len]);
    place.set(memory);
    result
}

/// The elements of a contiguous tensor.
pub(crate) fn elements<'a, T: Real>(storage: &'a CpuStorage, layout: &Layout) -> candle_core::Result<&'a [T]> {
    let Some((start, end)) = layout.contiguous_offsets() else {
        candle_core::bail!("the fast operators need contiguous tensors");
    };
    Ok(&T::cpu_storage_as_slice(storage)?[start..end])
}

/// What happens to the numbers that are there already.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Write {
    Replace,
    Add,
}

/// An output that tasks share in order to write disjoint parts of it.
pub(crate) struct Shared<'a, T> {
    first: *mut T,
    len: usize,
    output: PhantomData<&'a mut [T]>,
}

// SAFETY: the pointer is only used through `Shared::at` and `Shared::slice`, whose callers write disjoint elements.
unsafe impl<T: Send> Send for Shared<'_, T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Shared<'_, T> {}

impl<'a, T> Shared<'a, T> {
    /// Shares `output`, which nobody else can use meanwhile.
    pub(crate) fn new(output: &'a mut [T]) -> Self {
        Shared { first: output.as_mut_ptr(), len: output.len(), output: PhantomData }
    }

    /// Pointer to the element at `offset`.
    ///
    /// # Safety
    /// No two tasks may write the same element, and none outside the output.
    pub(crate) unsafe fn at(&self, offset: usize) -> *mut T {
        assert!(offset < self.len, "an offset within the output");
        // SAFETY: the offset is within the allocation.
        unsafe { self.first.add(offset) }
    }

    /// The elements `offset .. offset + len`, for one task alone.
    ///
    /// # Safety
    /// No other task may touch them.
    #[expect(clippy::mut_from_ref, reason = "tasks write disjoint parts, which the caller promises")]
    pub(crate) unsafe fn slice(&self, offset: usize, len: usize) -> &mut [T] {
        assert!(offset + len <= self.len, "a range within the output");
        // SAFETY: the range is within the output, and the caller promises that it is this task's own.
        unsafe { std::slice::from_raw_parts_mut(self.first.add(offset), len) }
    }
}
