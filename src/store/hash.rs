//! Fingerprints.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

/// SHA-256 in lower-case hexadecimal digits, as `sha256sum` prints it.
pub fn sha256(bytes: impl AsRef<[u8]>) -> String {
    hexadecimal(&Sha256::digest(bytes))
}

/// [`sha256`] of a file of any size.
///
/// # Errors
/// When it cannot be read; the message names it.
pub fn sha256_of_file(path: &Path) -> Result<String> {
    let failed = || format!("cannot read `{}`", path.display());
    let mut file = File::open(path).with_context(failed)?;
    let (mut digest, mut chunk) = (Sha256::new(), vec![0; 1 << 16]);
    loop {
        match file.read(&mut chunk).with_context(failed)? {
            0 => return Ok(hexadecimal(&digest.finalize())),
            count => digest.update(&chunk[..count]),
        }
    }
}

fn hexadecimal(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_has_its_published_fingerprint() {
        assert_eq!(sha256(b""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    }
}
