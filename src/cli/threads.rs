//! How many threads the tensor library starts of its own.

/// Keeps candle from starting a second pool of threads beside the one that everything else here shares.
///
/// candle divides plain sums and products of large tensors among threads of its own, and the caller spins until the last
/// of them is done. Where other programs run, that one often waits for a processor: a training step was measured to take
/// ten times as long. The operators that take the time are ours and use rayon's threads, which do not spin.
/// `CANDLE_NUM_THREADS` in the environment overrides this.
pub fn keep_to_one_pool() {
    const VARIABLE: &str = "CANDLE_NUM_THREADS";
    if std::env::var_os(VARIABLE).is_none() {
        // SAFETY: called before any thread is started, so nobody reads the environment at the same time.
        unsafe { std::env::set_var(VARIABLE, "1") };
    }
}
