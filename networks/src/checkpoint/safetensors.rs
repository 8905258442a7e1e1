//! This project's own files: safetensors with configuration and provenance as JSON in the metadata.

use std::collections::{BTreeMap, HashMap};

use safetensors::SafeTensors;
use safetensors::tensor::{Dtype as SafeDtype, TensorInfo};
use serde::de::DeserializeOwned;

use crate::checkpoint::array::{Array, Dtype, Layout, Storage};
use crate::checkpoint::contents::{Contents, Kind, Tensors};
use crate::checkpoint::{ImportError, Provenance};
use crate::stylegan2::{DiscriminatorConfig, GeneratorConfig};

/// Metadata key of the version, and the version that is written.
pub(crate) const VERSION_KEY: &str = "toonify";
pub(crate) const VERSION: &str = "1";
/// Metadata key of what a file holds that holds no StyleGAN2 networks.
pub(crate) const KIND_KEY: &str = "kind";
/// Metadata keys of configurations and provenance.
pub(crate) const GENERATOR_KEY: &str = "generator";
pub(crate) const DISCRIMINATOR_KEY: &str = "discriminator";
pub(crate) const PROVENANCE_KEY: &str = "provenance";
/// What the networks are called in front of their tensors' names.
pub(crate) const EMA: &str = "G_ema";
pub(crate) const GENERATOR: &str = "G";
pub(crate) const DISCRIMINATOR: &str = "D";

/// Whether the bytes begin like a safetensors file: a length, then a JSON object.
pub(crate) fn begins(bytes: &[u8]) -> bool {
    const LONGEST_HEADER: u64 = 100_000_000;
    let Some((length, rest)) = bytes.split_first_chunk::<8>() else { return false };
    u64::from_le_bytes(*length) <= LONGEST_HEADER && rest.first() == Some(&b'{')
}

/// Reads the networks of one of our files.
///
/// # Errors
/// [`ImportError::Unsupported`] for somebody else's safetensors file, or what is wrong with ours.
pub(crate) fn contents(bytes: &[u8]) -> Result<Contents<'_>, ImportError> {
    let damaged = |error| ImportError::malformed("safetensors header", "one that fits its file", error);
    let (header_length, header) = SafeTensors::read_metadata(bytes).map_err(damaged)?;
    let data = &bytes[header_length + 8..];
    let metadata = header.metadata().as_ref().filter(|metadata| metadata.contains_key(VERSION_KEY));
    let Some(metadata) = metadata else {
        let found = "safetensors that toonify did not write (no configuration in its metadata)".to_owned();
        return Err(ImportError::Unsupported { found });
    };
    if metadata[VERSION_KEY] != VERSION {
        let found = format!("version {}", metadata[VERSION_KEY]);
        return Err(ImportError::malformed("toonify file", format!("version {VERSION}"), found));
    }
    if let Some(kind) = metadata.get(KIND_KEY) {
        return Err(ImportError::Unsupported {
            found: format!("toonify's file of a {kind}, which is no StyleGAN2 network"),
        });
    }
    let mut parts = split(data, header.tensors())?;
    let mut part =
        |object: &str| parts.remove(object).map(|arrays| Tensors { object: object.to_owned(), arrays, verified: 0 });
    let Some(ema) = part(EMA) else {
        return Err(ImportError::malformed("toonify file", format!("tensors of `{EMA}`"), "none"));
    };
    let config: GeneratorConfig = required(metadata, GENERATOR_KEY)?;
    let mut contents = Contents::new(Kind::Toonify, config, ema);
    contents.generator = part(GENERATOR);
    if let Some(tensors) = part(DISCRIMINATOR) {
        contents.discriminator = Some((required::<DiscriminatorConfig>(metadata, DISCRIMINATOR_KEY)?, tensors));
    }
    contents.provenance = required::<Provenance>(metadata, PROVENANCE_KEY)?;
    match parts.into_keys().next() {
        None => Ok(contents),
        Some(other) => Err(ImportError::Unused { object: "toonify file".to_owned(), found: vec![other] }),
    }
}

/// Parses a piece of JSON in the metadata.
pub(crate) fn required<T: DeserializeOwned>(metadata: &HashMap<String, String>, key: &str) -> Result<T, ImportError> {
    let malformed = |found: String| ImportError::malformed(format!("metadata `{key}`"), "its JSON", found);
    let text = metadata.get(key).ok_or_else(|| malformed("none".to_owned()))?;
    serde_json::from_str(text).map_err(|error| malformed(error.to_string()))
}

type Parts<'a> = BTreeMap<String, BTreeMap<String, Array<'a>>>;

/// Sorts the tensors by network: the name up to the first full stop.
fn split<'a>(data: &'a [u8], tensors: HashMap<String, &TensorInfo>) -> Result<Parts<'a>, ImportError> {
    let mut parts = Parts::new();
    for (full_name, info) in tensors {
        let (part, name) = full_name.split_once('.').unwrap_or(("", &full_name));
        let dtype = match info.dtype {
            SafeDtype::F32 => Dtype::F32,
            SafeDtype::F16 => Dtype::F16,
            SafeDtype::BF16 => Dtype::Bf16,
            SafeDtype::F64 => Dtype::F64,
            other => {
                let object = format!("tensor `{full_name}`");
                return Err(ImportError::malformed(object, "floating-point numbers", format!("{other:?}")));
            }
        };
        let (begin, end) = info.data_offsets;
        let Some(bytes) = data.get(begin..end) else {
            let object = format!("tensor `{full_name}`");
            return Err(ImportError::malformed(object, "bytes inside the file", format!("{begin} to {end}")));
        };
        let storage = Storage { dtype, bytes: bytes.into() };
        let array = Array::new(&full_name, storage, Layout::row_major(info.shape.clone()))?;
        parts.entry(part.to_owned()).or_default().insert(name.to_owned(), array);
    }
    Ok(parts)
}
