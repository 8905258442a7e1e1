//! The number types that the fast paths compute in, and what they share: scratch memory and typed access to tensors.

use std::cell::RefCell;

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

/// A pointer that tasks share in order to write disjoint parts of one output.
pub(crate) struct Shared<T>(*mut T);

// SAFETY: the pointer is only dereferenced in `Shared::at`, whose callers write disjoint elements.
unsafe impl<T: Send> Send for Shared<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Shared<T> {}

impl<T> Shared<T> {
    /// Shares `output`, which must outlive the tasks.
    pub(crate) fn new(output: &mut [T]) -> Self {
        Shared(output.as_mut_ptr())
    }

    /// Pointer to the element at `offset`.
    ///
    /// # Safety
    /// `offset` must be within the output, and no two tasks may write the same element.
    pub(crate) unsafe fn at(&self, offset: usize) -> *mut T {
        // SAFETY: the caller keeps the offset within the allocation.
        unsafe { self.0.add(offset) }
    }

    /// The elements `offset .. offset + len`, for one task alone.
    ///
    /// # Safety
    /// They must be within the output, and no other task may touch them.
    #[expect(clippy::mut_from_ref, reason = "tasks write disjoint parts, which the caller promises")]
    pub(crate) unsafe fn slice(&self, offset: usize, len: usize) -> &mut [T] {
        // SAFETY: the caller promises that the range is within the output and this task's own.
        unsafe { std::slice::from_raw_parts_mut(self.0.add(offset), len) }
    }
}
