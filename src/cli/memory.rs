//! How the process treats memory that it has freed.

/// Keeps freed memory in the process instead of handing every large block back to the system.
///
/// A network frees and asks for the same hundreds of megabytes at each layer. glibc gives such blocks back at once and
/// gets them again page by page, cleared: at batch 8 and 256 px that costs as much time as the arithmetic. Elsewhere
/// the allocator is left alone.
pub fn keep_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        /// Blocks below this size come from the heap, which is kept.
        const KEPT_BYTES: libc::c_int = 1 << 30;
        // SAFETY: `mallopt` only sets numbers of the allocator; it is called before any thread is started.
        // A refusal changes the speed, not the result.
        unsafe {
            libc::mallopt(libc::M_MMAP_THRESHOLD, KEPT_BYTES);
            libc::mallopt(libc::M_TRIM_THRESHOLD, libc::c_int::MAX);
        }
    }
}
