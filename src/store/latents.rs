//! Projected latents on disk: the published `projected_w.npz`, an array `w` `[K, num_ws, w_dim]` in single precision.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use candle_core::{DType, Device, Tensor};
use ndarray::{ArrayD, ArrayView3};
use ndarray_npy::{ViewNpyExt, WriteNpyExt};
use toonify_networks::latent::WPlus;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

use crate::store::atomic::AtomicFile;

/// More than a thousand images of the largest network; anything above is no file of latents.
const LARGEST_ARRAY_BYTES: u64 = 1 << 28;

/// Reads the array `w` of the file at `path`.
///
/// # Errors
/// When the file is no `.npz`, has no array `w` of floats, or `w` is not `[K, num_ws, w_dim]`; the message names it.
pub fn read_w_plus(path: &Path, num_ws: usize, w_dim: usize) -> Result<WPlus> {
    let shown = path.display();
    let bytes = array_bytes(path, "w").with_context(|| format!("cannot read latents from `{shown}`"))?;
    let (numbers, shape) = floats(&bytes).with_context(|| format!("cannot read array `w` of `{shown}`"))?;
    let [count, found_ws, found_dim] = shape;
    ensure!(
        count > 0 && found_ws == num_ws && found_dim == w_dim,
        "array `w` of `{shown}` has shape {shape:?}, the network takes [K, {num_ws}, {w_dim}]"
    );
    Ok(WPlus::new(Tensor::from_vec(numbers, &shape, &Device::Cpu)?, num_ws, w_dim)?)
}

/// Writes latents as the array `w` of the file at `path`, whole or not at all.
///
/// # Errors
/// When the file cannot be written; the message names it.
pub fn write_w_plus(path: &Path, ws: &WPlus) -> Result<()> {
    write_arrays(path, &[("w".to_owned(), ws.tensor().clone())])
}

/// Writes named arrays in single precision as a `.npz` file, stored as NumPy's `savez` does; the same arrays give the
/// same bytes.
///
/// # Errors
/// When the file cannot be written; the message names it.
pub fn write_arrays(path: &Path, arrays: &[(String, Tensor)]) -> Result<()> {
    let mut file = AtomicFile::create(path)?;
    let mut write = || -> Result<()> {
        let mut archive = ZipWriter::new(&mut file);
        let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
        for (name, tensor) in arrays {
            let numbers = tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
            archive.start_file(format!("{name}.npy"), options)?;
            ArrayD::from_shape_vec(tensor.dims(), numbers)?.write_npy(&mut archive)?;
        }
        archive.finish()?;
        Ok(())
    };
    write().with_context(|| format!("cannot write latents to `{}`", path.display()))?;
    file.commit()
}

/// What to call the latents of a file: its folder for the published `projected_w.npz`, otherwise its own name.
pub fn name_of(path: &Path) -> String {
    let stem = |path: &Path| path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    match (stem(path), path.parent().map(stem)) {
        (own, Some(folder)) if own == "projected_w" && !folder.is_empty() => folder,
        (own, _) => own,
    }
}

/// The bytes of one `.npy` entry.
fn array_bytes(path: &Path, name: &str) -> Result<Vec<u8>> {
    let mut archive = ZipArchive::new(File::open(path)?).context("not a .npz file")?;
    let entry = archive.by_name(&format!("{name}.npy")).with_context(|| format!("there is no array `{name}` in it"))?;
    let announced = entry.size();
    ensure!(announced <= LARGEST_ARRAY_BYTES, "array `{name}` announces {announced} bytes, more than any latents have");
    let mut bytes = Vec::new();
    entry.take(LARGEST_ARRAY_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The numbers of a three-dimensional `.npy` array in C order, single or double precision.
fn floats(bytes: &[u8]) -> Result<(Vec<f32>, [usize; 3])> {
    let shape = |dims: &[usize]| [dims[0], dims[1], dims[2]];
    if let Ok(single) = ArrayView3::<f32>::view_npy(bytes) {
        return Ok((single.iter().copied().collect(), shape(single.shape())));
    }
    match ArrayView3::<f64>::view_npy(bytes) {
        Ok(double) => Ok((double.iter().map(|&number| number as f32).collect(), shape(double.shape()))),
        Err(error) => bail!("expected three dimensions of float32 or float64: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latents_survive_the_way_out_and_in() {
        let folder = tempfile::tempdir().unwrap();
        let (first, second) = (folder.path().join("a.npz"), folder.path().join("b.npz"));
        let numbers = Tensor::arange(0f32, 24.0, &Device::Cpu).unwrap().reshape((2, 3, 4)).unwrap();
        let ws = WPlus::new(numbers, 3, 4).unwrap();
        for path in [&first, &second] {
            write_w_plus(path, &ws).unwrap();
        }
        let back = read_w_plus(&first, 3, 4).unwrap();
        assert_eq!(back.tensor().to_vec3::<f32>().unwrap(), ws.tensor().to_vec3::<f32>().unwrap());
        assert_eq!(std::fs::read(first).unwrap(), std::fs::read(second).unwrap());
    }
}
