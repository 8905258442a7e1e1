//! PyTorch's files: tensors described by a pickle, their numbers in storages beside it.
//!
//! There are two containers, the legacy stream ([`read_legacy`]) and the zip archive ([`read_archive`]). An NVIDIA
//! pickle is neither: each of its storages is a whole legacy stream inside a byte string.

pub(crate) mod script;
mod zip;

use std::borrow::Cow;
use std::collections::HashMap;

use crate::checkpoint::ImportError;
use crate::checkpoint::array::{Array, Dtype, Layout, Storage};
use crate::checkpoint::pickle::{self, Global, Limits, Node, Pickle, Value};
use crate::checkpoint::reader::Reader;

use zip::entries;

/// The number with which every legacy stream begins, little-endian.
const LEGACY_MAGIC: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];

/// Version of the legacy stream.
const LEGACY_PROTOCOL: i64 = 1001;

/// Whether the bytes begin with the legacy stream's magic number.
pub(crate) fn is_legacy(bytes: &[u8]) -> bool {
    // PROTO 2, LONG1 of ten bytes, STOP
    bytes.starts_with(&[0x80, 2, 0x8a, 10]) && bytes[4..].starts_with(&LEGACY_MAGIC)
}

/// What `torch.save` wrote: the description and the storages that it refers to.
pub(crate) struct TorchFile<'a> {
    pickle: Pickle<'a>,
    storages: HashMap<&'a str, &'a [u8]>,
}

impl<'a> TorchFile<'a> {
    /// The saved object.
    pub fn root(&self) -> Node<'_, 'a> {
        self.pickle.root()
    }

    /// The tensor that `node` describes, or `None` when it describes something else.
    ///
    /// # Errors
    /// [`ImportError::Malformed`] when the description is wrong or its storage is missing or too small.
    pub fn tensor(&self, name: &str, node: Node<'_, 'a>) -> Result<Option<Array<'a>>, ImportError> {
        tensor(name, node, |reference| {
            let reference = StorageRef::read(reference)?;
            let bytes = self.storages.get(reference.key).copied().ok_or_else(|| {
                let expected = format!("a storage called `{}`", reference.key);
                ImportError::malformed(format!("tensor `{name}`"), expected, "none")
            })?;
            reference.storage(bytes)
        })
    }
}

/// The tensor that `node` of an NVIDIA pickle describes, or `None` when it describes something else.
///
/// # Errors
/// [`ImportError::Malformed`] when the description is wrong, or any error of the stream that holds the numbers.
pub(crate) fn embedded_tensor<'a>(name: &str, node: Node<'_, 'a>) -> Result<Option<Array<'a>>, ImportError> {
    tensor(name, node, |reference| {
        let stream = reference.call(Global::LoadFromBytes).and_then(|args| args.elements()?.next()?.bytes());
        let Some(Cow::Borrowed(stream)) = stream else {
            return Err(ImportError::malformed(format!("storage of `{name}`"), "a byte string", reference.describe()));
        };
        let file = read_legacy(stream, Limits::STORAGE)?;
        let reference = StorageRef::read(file.root())?;
        match file.storages.get(reference.key) {
            Some(bytes) => reference.storage(bytes),
            None => Err(ImportError::malformed(format!("storage of `{name}`"), "its numbers", "none")),
        }
    })
}

fn tensor<'p, 'a: 'p>(
    name: &str,
    node: Node<'p, 'a>,
    storage: impl FnOnce(Node<'p, 'a>) -> Result<Storage<'a>, ImportError>,
) -> Result<Option<Array<'a>>, ImportError> {
    let bare = node.call(Global::RebuildParameter).and_then(|args| args.elements()?.next()).unwrap_or(node);
    let Some(args) = bare.call(Global::RebuildTensor) else { return Ok(None) };
    let args: Vec<_> = args.elements().into_iter().flatten().take(4).collect();
    let described = || match args[..] {
        [data, start, shape, strides] => {
            Some((data, Layout { start: start.size()?, shape: shape.sizes()?, strides: strides.sizes()? }))
        }
        _ => None,
    };
    let Some((data, layout)) = described() else {
        let expected = "storage, offset, extents and strides";
        return Err(ImportError::malformed(format!("tensor `{name}`"), expected, "other values"));
    };
    Array::new(name, storage(data)?, layout).map(Some)
}

/// What a persistent reference says of a storage.
struct StorageRef<'a> {
    dtype: Dtype,
    key: &'a str,
    count: usize,
}

impl<'a> StorageRef<'a> {
    fn read(node: Node<'_, 'a>) -> Result<Self, ImportError> {
        Self::parse(node).ok_or_else(|| {
            let expected = "('storage', type, key, device, count, None)";
            ImportError::malformed("reference to a tensor's storage", expected, node.describe())
        })
    }

    fn parse(node: Node<'_, 'a>) -> Option<Self> {
        let fields: Vec<_> = node.persistent()?.elements()?.collect();
        if fields.len() < 5 || fields[0].text() != Some("storage") || fields.get(5).is_some_and(|view| !view.is_none())
        {
            return None;
        }
        let Value::Global(Global::Storage(dtype)) = *fields[1].value() else { return None };
        Some(StorageRef { dtype, key: fields[2].name()?, count: fields[4].size()? })
    }

    fn byte_count(&self) -> Option<u64> {
        (self.count as u64).checked_mul(self.dtype.size() as u64)
    }

    /// Joins the reference with its numbers, of which there must be exactly as many as it says.
    fn storage(&self, bytes: &'a [u8]) -> Result<Storage<'a>, ImportError> {
        if self.byte_count() != Some(bytes.len() as u64) {
            let expected = format!("{} numbers of {}", self.count, self.dtype);
            let object = format!("storage `{}`", self.key);
            return Err(ImportError::malformed(object, expected, format!("{} bytes", bytes.len())));
        }
        Ok(Storage { dtype: self.dtype, bytes: Cow::Borrowed(bytes) })
    }
}

/// Reads a legacy stream: magic number, version, system information, the object, the keys, and then the numbers of each
/// storage after their count.
///
/// # Errors
/// Any [`ImportError`] about the pickles, which may build as much as `limits` say, or the storages.
pub(crate) fn read_legacy(bytes: &[u8], limits: Limits) -> Result<TorchFile<'_>, ImportError> {
    let mut input = Reader::new(bytes);
    let magic = next_pickle(&mut input, Limits::STORAGE)?;
    if !matches!(magic.root().value(), Value::Long(bytes) if *bytes == LEGACY_MAGIC) {
        return Err(ImportError::malformed("torch.save stream", "its magic number", magic.root().describe()));
    }
    let version = next_pickle(&mut input, Limits::STORAGE)?;
    if version.root().int() != Some(LEGACY_PROTOCOL) {
        let found = version.root().describe();
        return Err(ImportError::malformed("version of the torch.save stream", LEGACY_PROTOCOL, found));
    }
    let system = next_pickle(&mut input, Limits::STORAGE)?;
    if !matches!(system.root().get("little_endian").map(|node| node.value()), Some(Value::Bool(true))) {
        return Err(ImportError::malformed("torch.save stream", "little-endian numbers", "another byte order"));
    }
    let pickle = next_pickle(&mut input, limits)?;
    let keys = next_pickle(&mut input, limits)?;
    let storages = legacy_storages(&mut input, &pickle, &keys)?;
    Ok(TorchFile { pickle, storages })
}

fn next_pickle<'a>(input: &mut Reader<'a>, limits: Limits) -> Result<Pickle<'a>, ImportError> {
    let pickle = pickle::read(input.rest(), limits)?;
    input.take(pickle.length() as u64, "pickle")?;
    Ok(pickle)
}

/// Reads the storages in the order of `keys`; the references in `pickle` say of what type they are.
fn legacy_storages<'a>(
    input: &mut Reader<'a>,
    pickle: &Pickle<'a>,
    keys: &Pickle<'a>,
) -> Result<HashMap<&'a str, &'a [u8]>, ImportError> {
    let mut references = HashMap::new();
    for node in pickle.nodes().filter(|node| node.persistent().is_some()) {
        let reference = StorageRef::read(node)?;
        references.insert(reference.key, reference);
    }
    let mut storages = HashMap::new();
    let keys = keys.root();
    let elements = keys.elements().ok_or_else(|| malformed_key("a list of storage keys", keys))?;
    for key in elements {
        let reference = key.name().and_then(|key| references.get(key));
        let reference = reference.ok_or_else(|| malformed_key("the key of a storage that a tensor uses", key))?;
        let object = format!("storage `{}`", reference.key);
        let count = input.u64(&object)?;
        if count != reference.count as u64 {
            return Err(ImportError::malformed(object, format!("{} numbers", reference.count), count));
        }
        let Some(byte_count) = reference.byte_count() else {
            return Err(ImportError::malformed(object, "a size in memory", count));
        };
        if storages.insert(reference.key, input.take(byte_count, &object)?).is_some() {
            return Err(ImportError::malformed(object, "one storage of this key", "two"));
        }
    }
    Ok(storages)
}

fn malformed_key(expected: &str, found: Node<'_, '_>) -> ImportError {
    ImportError::malformed("keys of the torch.save stream", expected, found.describe())
}

/// What to make of a TorchScript program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Programs {
    /// It is no checkpoint.
    Refuse,
    /// Its tensors are taken.
    Read,
}

/// Reads the zip container: `NAME/data.pkl` and one entry `NAME/data/KEY` for each storage.
///
/// # Errors
/// [`ImportError::Unsupported`] for an archive of something else, also for a TorchScript program where those are refused,
/// or any [`ImportError`] about archive, pickle and storages.
pub(crate) fn read_archive(bytes: &[u8], programs: Programs) -> Result<TorchFile<'_>, ImportError> {
    let entries = entries(bytes)?;
    let Some(prefix) = entries.names().find_map(|name| name.strip_suffix("data.pkl")) else {
        return Err(ImportError::Unsupported { found: "a zip archive that PyTorch did not write".to_owned() });
    };
    let is_program =
        entries.names().any(|name| name.strip_prefix(prefix).is_some_and(|rest| rest.starts_with("code/")));
    if is_program && programs == Programs::Refuse {
        return Err(ImportError::Unsupported { found: "a TorchScript program, such as a feature detector".to_owned() });
    }
    if entries.names().any(|name| name.strip_prefix(prefix) == Some("byteorder"))
        && entries.read(&format!("{prefix}byteorder"))? != b"little"
    {
        return Err(ImportError::malformed("byteorder of the archive", "little", "another"));
    }
    let pickle = pickle::read(entries.read_checked(&format!("{prefix}data.pkl"))?, Limits::CHECKPOINT)?;
    let mut storages = HashMap::new();
    for node in pickle.nodes().filter(|node| node.persistent().is_some()) {
        let reference = StorageRef::read(node)?;
        storages.insert(reference.key, entries.read(&format!("{prefix}data/{}", reference.key))?);
    }
    Ok(TorchFile { pickle, storages })
}
