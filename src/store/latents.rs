//! Projected latents on disk: the published `projected_w.npz`, an array `w` `[K, num_ws, w_dim]`.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use candle_core::{Device, Tensor};
use ndarray::ArrayView3;
use ndarray_npy::ViewNpyExt;
use toonify_networks::latent::WPlus;
use zip::ZipArchive;

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
