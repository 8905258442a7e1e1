//! Any bytes as a checkpoint file: an answer or an error, never a panic, never more memory than a few times the file.
//!
//! Start from the tiny files: `cargo fuzz run open ../tests/reference/checkpoints ../tests/bad`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use toonify_networks::checkpoint::{Parts, Unused, open_with};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(archive) = open_with(bytes, Unused::Allow) {
        let _ = archive.into_checkpoint(Parts::All, &mut || ());
    }
});
