//! Tells the kind of a file by its first bytes, never by its name.

use crate::checkpoint::contents::Contents;
use crate::checkpoint::pickle::{self, Limits, Value};
use crate::checkpoint::torch::Programs;
use crate::checkpoint::{ImportError, nvidia, rosinality, safetensors, tensorflow, torch};

/// Reads the file with the reader of its kind.
///
/// # Errors
/// [`ImportError::UnknownFormat`] when the first bytes belong to no known kind, or whatever its reader complains about.
pub(crate) fn contents(bytes: &[u8]) -> Result<Contents<'_>, ImportError> {
    match bytes {
        [] => Err(unknown("is empty")),
        // First, because the length in front of its header may look like any of the other beginnings.
        _ if safetensors::begins(bytes) => safetensors::contents(bytes),
        [b'P', b'K', 3 | 5 | 6, ..] => rosinality::contents(&torch::read_archive(bytes, Programs::Refuse)?),
        _ if torch::is_legacy(bytes) => rosinality::contents(&torch::read_legacy(bytes, Limits::CHECKPOINT)?),
        [0x80, ..] => pickled(bytes),
        _ => Err(unknown(&begins_with(bytes))),
    }
}

/// NVIDIA's PyTorch code writes a dict, its TensorFlow code a tuple.
fn pickled(bytes: &[u8]) -> Result<Contents<'_>, ImportError> {
    let pickle = pickle::read(bytes, Limits::CHECKPOINT)?;
    let root = pickle.root();
    match root.value() {
        Value::Tuple(_) | Value::List(_) => tensorflow::contents(root),
        Value::Dict(_) | Value::Object(_) => match tensorflow::lone_network(root) {
            Some(found) => Err(ImportError::Unsupported { found }),
            None => nvidia::contents(root),
        },
        _ => Err(ImportError::Unsupported { found: format!("{} in a pickle", root.describe()) }),
    }
}

fn unknown(found: &str) -> ImportError {
    ImportError::UnknownFormat { found: found.to_owned() }
}

/// What a file is that is not a checkpoint, if its first bytes say so.
fn begins_with(bytes: &[u8]) -> String {
    const KNOWN: [(&[u8], &str); 8] = [
        (b"\x89PNG", "is a PNG picture"),
        (b"\xff\xd8\xff", "is a JPEG picture"),
        (b"\x1f\x8b", "is compressed with gzip"),
        (b"\x89HDF", "is an HDF5 file"),
        (b"\x93NUMPY", "is a numpy array"),
        (b"<!", "is a web page, perhaps of a download that failed"),
        (b"<html", "is a web page, perhaps of a download that failed"),
        (b"version https://git-lfs", "is a Git LFS pointer, not the file itself"),
    ];
    if let Some((_, found)) = KNOWN.iter().find(|(magic, _)| bytes.starts_with(magic)) {
        return (*found).to_owned();
    }
    let first: Vec<String> = bytes.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("begins with the bytes {}", first.join(" "))
}
