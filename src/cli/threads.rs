//! How many threads there are, and who takes part.

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

/// Makes the calling thread one of the shared pool's.
///
/// A thread outside would sleep and be woken for each of the thousand small works of a training step; one within begins
/// them itself. Alone it stays outside: nobody would do the works of other threads while it waits for these. What takes many
/// loops then goes into the pool as a whole, by `toonify_networks::pool::in_pool`.
pub fn join_the_pool() {
    let wanted = std::env::var("RAYON_NUM_THREADS").ok().and_then(|number| number.parse().ok()).filter(|&n| n > 0);
    let threads = wanted.or_else(|| std::thread::available_parallelism().ok().map(usize::from)).unwrap_or(1);
    if threads > 1 {
        // A program that has started the pool already keeps it as it is.
        let _ = rayon::ThreadPoolBuilder::new().num_threads(threads).use_current_thread().build_global();
    }
}
