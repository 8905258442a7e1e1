//! How many pixels may be in work at the same time: what keeps memory bounded when several threads meet large photos.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Pixels that may be in work at the same time.
#[derive(Debug)]
pub(super) struct Budget {
    total: u64,
    left: Mutex<u64>,
    returned: Condvar,
}

/// A share of the budget, given back when dropped.
#[derive(Debug)]
pub(super) struct Share<'a> {
    budget: &'a Budget,
    pixels: u64,
}

impl Budget {
    /// A budget of `total` pixels.
    pub fn new(total: u64) -> Budget {
        Budget { total, left: Mutex::new(total), returned: Condvar::new() }
    }

    /// Waits until there is room for `pixels`; what is larger than the whole budget waits until it is alone.
    pub fn take(&self, pixels: u64) -> Share<'_> {
        let pixels = pixels.min(self.total);
        let mut left = self.lock();
        while *left < pixels {
            left = self.returned.wait(left).unwrap_or_else(PoisonError::into_inner);
        }
        *left -= pixels;
        Share { budget: self, pixels }
    }

    /// The count stays right when a thread panics: shares are given back while it unwinds.
    fn lock(&self) -> MutexGuard<'_, u64> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        *self.budget.lock() += self.pixels;
        self.budget.returned.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[test]
    fn no_more_than_the_budget_is_ever_out() {
        let (budget, out) = (Budget::new(10), AtomicU64::new(0));
        std::thread::scope(|scope| {
            for pixels in [1, 3, 4, 7, 10, 99] {
                let (budget, out) = (&budget, &out);
                scope.spawn(move || {
                    for _ in 0..200 {
                        let _share = budget.take(pixels);
                        let now = out.fetch_add(pixels.min(10), Ordering::SeqCst) + pixels.min(10);
                        assert!(now <= 10, "{now} pixels are out");
                        std::thread::yield_now();
                        out.fetch_sub(pixels.min(10), Ordering::SeqCst);
                    }
                });
            }
        });
        assert_eq!(*budget.lock(), 10);
    }
}
