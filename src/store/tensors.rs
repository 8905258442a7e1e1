//! Named arrays of single-precision numbers with a record beside them, in one safetensors file.
//!
//! Written as a stream, array by array, completely or not at all; read back number by number as it was.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use candle_core::{Device, Tensor};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use crate::store::atomic::AtomicFile;

/// Key of the record among the file's metadata.
const RECORD: &str = "toonify.record";

/// One array to be written.
pub struct Entry<'a> {
    name: String,
    shape: Vec<usize>,
    numbers: Box<dyn Fn() -> Result<Cow<'a, [f32]>> + 'a>,
}

impl<'a> Entry<'a> {
    /// A tensor, copied when its turn comes.
    pub fn tensor(name: String, tensor: &'a Tensor) -> Self {
        let numbers = || Ok(Cow::Owned(tensor.flatten_all()?.to_vec1::<f32>()?));
        Entry { name, shape: tensor.dims().to_vec(), numbers: Box::new(numbers) }
    }

    /// Plain numbers.
    pub fn numbers(name: String, numbers: &'a [f32]) -> Self {
        Entry { name, shape: vec![numbers.len()], numbers: Box::new(move || Ok(Cow::Borrowed(numbers))) }
    }
}

/// Writes a file, whole or not at all.
///
/// # Errors
/// When it cannot be written; the message names it.
pub fn write(path: &Path, record: &impl Serialize, entries: &[Entry<'_>]) -> Result<()> {
    let shown = || format!("cannot write `{}`", path.display());
    let mut file = AtomicFile::create(path)?;
    let header = header(record, entries).with_context(shown)?;
    file.write_all(&(header.len() as u64).to_le_bytes())?;
    file.write_all(&header)?;
    for entry in entries {
        let numbers = (entry.numbers)().with_context(shown)?;
        for chunk in numbers.chunks(1 << 16) {
            let bytes: Vec<u8> = chunk.iter().flat_map(|number| number.to_le_bytes()).collect();
            file.write_all(&bytes)?;
        }
    }
    file.commit()
}

fn header(record: &impl Serialize, entries: &[Entry<'_>]) -> Result<Vec<u8>> {
    let record = json!({ RECORD: serde_json::to_string(record)? });
    let mut map = Map::from_iter([("__metadata__".to_owned(), record)]);
    let mut begin = 0;
    for entry in entries {
        let end = begin + 4 * entry.shape.iter().product::<usize>();
        let place = json!({ "dtype": "F32", "shape": entry.shape, "data_offsets": [begin, end] });
        ensure!(map.insert(entry.name.clone(), place).is_none(), "two arrays are called `{}`", entry.name);
        begin = end;
    }
    let mut header = serde_json::to_vec(&map)?;
    header.resize(header.len().next_multiple_of(8), b' ');
    Ok(header)
}

/// Reads a file that [`write()`] has written.
///
/// # Errors
/// When it is not there, is damaged, or holds another kind of record; the message names it.
pub fn read<R: DeserializeOwned>(path: &Path) -> Result<(R, BTreeMap<String, Tensor>)> {
    let bytes = fs::read(path).with_context(|| format!("cannot read `{}`", path.display()))?;
    parse(&bytes).with_context(|| format!("cannot read `{}`", path.display()))
}

fn parse<R: DeserializeOwned>(bytes: &[u8]) -> Result<(R, BTreeMap<String, Tensor>)> {
    let (length, rest) = bytes.split_first_chunk::<8>().context("the file is shorter than its header")?;
    let length = usize::try_from(u64::from_le_bytes(*length)).unwrap_or(usize::MAX);
    let (header, data) = rest.split_at_checked(length).context("the file is shorter than its header")?;
    let header: Map<String, Value> = serde_json::from_slice(header).context("the header is not JSON")?;
    let record = header.get("__metadata__").and_then(|metadata| metadata.get(RECORD)?.as_str());
    let record = serde_json::from_str(record.context("the file has no record of a training")?)?;
    let arrays = header.iter().filter(|(name, _)| *name != "__metadata__");
    let tensors = arrays.map(|(name, place)| Ok((name.clone(), array(place, data).with_context(|| name.clone())?)));
    Ok((record, tensors.collect::<Result<_>>()?))
}

fn array(place: &Value, data: &[u8]) -> Result<Tensor> {
    let numbers = |key: &str| -> Option<Vec<usize>> {
        place.get(key)?.as_array()?.iter().map(|number| usize::try_from(number.as_u64()?).ok()).collect()
    };
    let (Some(shape), Some(offsets)) = (numbers("shape"), numbers("data_offsets")) else { bail!("no shape or place") };
    let [begin, end] = offsets[..] else { bail!("{} offsets, expected 2", offsets.len()) };
    let bytes = data.get(begin..end).context("the file is shorter than its header says")?;
    let count = shape.iter().try_fold(4usize, |size, side| size.checked_mul(*side));
    ensure!(count == Some(bytes.len()), "{} bytes do not fill shape {shape:?}", bytes.len());
    let number = |bytes: &[u8]| f32::from_le_bytes(bytes.try_into().expect("chunks of four bytes"));
    let numbers: Vec<f32> = bytes.chunks_exact(4).map(number).collect();
    Ok(Tensor::from_vec(numbers, shape, &Device::Cpu)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.safetensors");
        let tensor = Tensor::new(&[[1f32, f32::MIN_POSITIVE], [f32::NAN, -0.0]], &Device::Cpu).unwrap();
        let entries = [
            Entry::tensor("t".into(), &tensor),
            Entry::numbers("n".into(), &[0.1, 0.2, 0.3]),
            Entry::numbers("e".into(), &[]),
        ];
        write(&path, &json!({ "kimg": 0.1 }), &entries).unwrap();
        (folder, path)
    }

    #[test]
    fn numbers_and_record_come_back_bit_by_bit() {
        let (_folder, path) = file();
        let (record, tensors) = read::<Value>(&path).unwrap();
        assert_eq!(record, json!({ "kimg": 0.1 }));
        let bits = |name: &str| -> Vec<u32> {
            tensors[name].flatten_all().unwrap().to_vec1::<f32>().unwrap().iter().map(|x| x.to_bits()).collect()
        };
        assert_eq!(bits("t"), [1f32, f32::MIN_POSITIVE, f32::NAN, -0.0].map(f32::to_bits));
        assert_eq!((tensors["t"].dims(), tensors["e"].dims()), ([2, 2].as_slice(), [0].as_slice()));
        assert_eq!(bits("n"), [0.1f32, 0.2, 0.3].map(f32::to_bits));
        candle_core::safetensors::load(&path, &Device::Cpu).expect("others can read it");
    }

    #[test]
    fn every_shorter_file_is_refused_by_name() {
        let (folder, path) = file();
        let bytes = fs::read(&path).unwrap();
        let cut = folder.path().join("cut");
        for length in 0..bytes.len() {
            fs::write(&cut, &bytes[..length]).unwrap();
            let error = format!("{:#}", read::<Value>(&cut).unwrap_err());
            assert!(error.contains("cut"), "{error}");
        }
        assert!(read::<Value>(&folder.path().join("missing")).is_err());
    }
}
