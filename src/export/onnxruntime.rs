//! onnxruntime, in a Python that has it. Everything goes through files in a temporary folder.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use anyhow::{Context, Result, bail};
use candle_core::Tensor;

use super::comparison::Ran;

/// What Python runs, and how it says that there is no onnxruntime.
const SCRIPT: &str = include_str!("../../tools/run_onnx.py");
const NOT_INSTALLED: i32 = 3;

/// Runs a file; `None` when there is no Python, or none with onnxruntime.
pub(super) fn run(file: &[u8], inputs: &[Tensor]) -> Result<Option<Ran>> {
    let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
    prepare(folder.path(), file, inputs).context("cannot fill a temporary folder")?;
    let Ok(ended) = Command::new("python3").arg("-c").arg(SCRIPT).arg(folder.path()).output() else {
        return Ok(None);
    };
    if ended.status.code() == Some(NOT_INSTALLED) {
        return Ok(None);
    }
    let version = answer(&ended)?;
    let bytes = fs::read(folder.path().join("output")).context("onnxruntime gave no result")?;
    let output = bytes.as_chunks().0.iter().map(|number| f32::from_le_bytes(*number)).collect();
    Ok(Some(Ran { runtime: format!("onnxruntime {version}"), output }))
}

fn prepare(folder: &Path, file: &[u8], inputs: &[Tensor]) -> Result<()> {
    fs::write(folder.join("file.onnx"), file)?;
    let shapes: Vec<&[usize]> = inputs.iter().map(Tensor::dims).collect();
    fs::write(folder.join("shapes.json"), serde_json::to_vec(&shapes)?)?;
    for (index, tensor) in inputs.iter().enumerate() {
        let numbers = tensor.flatten_all()?.to_vec1::<f32>()?;
        let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
        fs::write(folder.join(format!("input-{index}")), bytes)?;
    }
    Ok(())
}

/// The version that the script prints.
fn answer(ended: &Output) -> Result<String> {
    if ended.status.success() {
        return Ok(String::from_utf8_lossy(&ended.stdout).trim().to_owned());
    }
    let words = String::from_utf8_lossy(&ended.stderr);
    bail!("onnxruntime could not run the file: {}", words.lines().last().unwrap_or("it did not say why"))
}
