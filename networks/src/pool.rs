//! Threads that share the work.

/// Does `work` on a thread of rayon's pool.
///
/// A thread outside the pool falls asleep in each parallel loop and is woken when the loop is done, and an image takes fifty
/// loops: on one thread that was measured to be 7 % of the time. Within the pool a loop begins where it is. Whoever is there
/// already simply works. The work must not wait for anything else that needs the pool.
pub fn in_pool<R: Send>(work: impl FnOnce() -> R + Send) -> R {
    rayon::scope(|_| work())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_comes_to_a_thread_of_the_pool_and_stays_there() {
        assert_eq!(rayon::current_thread_index(), None, "tests run outside the pool");
        let (outer, inner) = in_pool(|| (rayon::current_thread_index(), in_pool(rayon::current_thread_index)));
        assert!(outer.is_some() && inner == outer);
    }
}
