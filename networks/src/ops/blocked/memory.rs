//! Working memory that is used again: aligned to cache lines, never zeroed twice, independent of the allocator's settings.

use std::ops::{Deref, DerefMut};
use std::sync::Mutex;

use super::LANES;

/// Numbers of the 16 channels of a block at one pixel: a cache line.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(crate) struct Line([f32; LANES]);

/// Buffers that nobody uses at the moment.
static IDLE: Mutex<Vec<Vec<Line>>> = Mutex::new(Vec::new());
/// Most buffers that are kept; more than a program's threads ever need at once would be a leak.
const MOST_IDLE: usize = 512;
/// A buffer is not lent to whom so small a part of it would do.
const MOST_ROOM: usize = 4;
/// A buffer of up to so many times the size does as well as a smaller one.
const ROOM: usize = 2;
/// Lines of a buffer that is lent to anybody.
const SMALL: usize = 1 << 10;
/// Lines from which on a new buffer takes the place of one that is too small, so that a program that renders ever larger
/// features does not keep those of all sizes.
const LARGE: usize = 1 << 15;

/// Borrowed numbers of unspecified value, which go back when they are dropped.
pub(crate) struct Memory {
    lines: Vec<Line>,
    len: usize,
}

impl Memory {
    /// At least `len` numbers.
    pub fn take(len: usize) -> Self {
        let lines = len.div_ceil(LANES);
        let buffer = {
            let mut idle = IDLE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            let fits = |&i: &usize| idle[i].len() >= lines && idle[i].len() <= (MOST_ROOM * lines).max(SMALL);
            // The one that came back last is the likeliest to be in a cache still.
            let latest = (0..idle.len()).rev().find(|i| fits(i) && idle[*i].len() <= ROOM * lines);
            let smallest = || (0..idle.len()).filter(fits).min_by_key(|&i| idle[i].len());
            let full =
                || (idle.len() >= MOST_IDLE / 2).then(|| (0..idle.len()).max_by_key(|&i| idle[i].len())).flatten();
            let smaller = || (0..idle.len()).filter(|&i| idle[i].len() < lines).max_by_key(|&i| idle[i].len());
            let replaced = || if lines >= LARGE { smaller() } else { full() };
            latest.or_else(smallest).or_else(replaced).map(|i| idle.remove(i))
        };
        match buffer {
            Some(buffer) if buffer.len() >= lines => Memory { lines: buffer, len },
            too_small => {
                drop(too_small); // before the larger one is asked for
                Memory { lines: vec![Line([0.0; LANES]); lines], len }
            }
        }
    }

    /// Pointer to the first number.
    pub fn first(&mut self) -> *mut f32 {
        self.lines.as_mut_ptr().cast()
    }
}

impl Deref for Memory {
    type Target = [f32];
    fn deref(&self) -> &[f32] {
        // SAFETY: lines are arrays of numbers without gaps, and `take` made sure that there are enough.
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), self.len) }
    }
}

impl DerefMut for Memory {
    fn deref_mut(&mut self) -> &mut [f32] {
        // SAFETY: as in `deref`.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), self.len) }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        let mut idle = IDLE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if idle.len() < MOST_IDLE {
            idle.push(std::mem::take(&mut self.lines));
        }
    }
}

/// A vector of `len` numbers that `fill` writes through a pointer.
///
/// # Safety
/// `fill` writes every number.
pub(crate) unsafe fn written(len: usize, fill: impl FnOnce(Pointer)) -> Vec<f32> {
    let mut numbers = Vec::with_capacity(len);
    fill(Pointer(numbers.as_mut_ptr()));
    // SAFETY: the capacity is there, and `fill` has written all of it.
    unsafe { numbers.set_len(len) };
    numbers
}

/// A pointer that tasks share in order to write disjoint parts of what it points to.
#[derive(Clone, Copy)]
pub(crate) struct Pointer(*mut f32);

// SAFETY: it is dereferenced in unsafe blocks only, each of which says why no two tasks write the same number.
unsafe impl Send for Pointer {}
// SAFETY: as above.
unsafe impl Sync for Pointer {}

impl Pointer {
    /// Shares what `first` points to.
    pub fn new(first: *mut f32) -> Self {
        Pointer(first)
    }

    /// Pointer to the number at `offset`.
    ///
    /// # Safety
    /// It lies within the same allocation.
    pub unsafe fn at(self, offset: usize) -> *mut f32 {
        // SAFETY: the caller's promise.
        unsafe { self.0.add(offset) }
    }
}
