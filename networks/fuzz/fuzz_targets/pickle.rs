//! Any instructions as a pickle: what follows the header of protocol 4 is the fuzzer's.
#![no_main]

use libfuzzer_sys::fuzz_target;
use toonify_networks::checkpoint::open;

fuzz_target!(|instructions: &[u8]| {
    let pickle = [&[0x80, 4], instructions, b"."].concat();
    let _ = open(&pickle);
});
