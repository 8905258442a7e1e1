//! Runs ONNX files in tract, a runtime that shares nothing with our own networks.
//!
//! A crate of its own, because tract takes minutes to compile and only `toonify export --features verify` and the tests
//! of the files need it.

use tract_onnx::prelude::*;

/// Why a file could not be run.
#[derive(Debug, thiserror::Error)]
#[error("tract could not {doing} the ONNX file: {why}")]
pub struct Error {
    doing: &'static str,
    why: String,
}

/// One input: its shape, and its numbers in row-major order.
#[derive(Clone, Debug)]
pub struct Input {
    /// Extents of the axes.
    pub shape: Vec<usize>,
    /// As many as the shape says.
    pub numbers: Vec<f32>,
}

/// Runs a file on `inputs`, given in the file's order; returns the numbers of its first output.
///
/// # Errors
/// [`Error`] when tract does not understand the file, or the inputs do not fit.
pub fn run(file: &[u8], inputs: &[Input]) -> Result<Vec<f32>, Error> {
    let failed = |doing| move |error: TractError| Error { doing, why: format!("{error:#}") };
    let mut bytes = file;
    let mut model = tract_onnx::onnx().model_for_read(&mut bytes).map_err(failed("read"))?;
    for (index, input) in inputs.iter().enumerate() {
        model = model.with_input_fact(index, f32::fact(&input.shape).into()).map_err(failed("feed"))?;
    }
    let tensors = inputs.iter().map(|input| Ok(Tensor::from_shape(&input.shape, &input.numbers)?.into()));
    let tensors = tensors.collect::<TractResult<_>>().map_err(failed("feed"))?;
    let plan = model.into_optimized().and_then(|model| model.into_runnable()).map_err(failed("prepare"))?;
    let outputs = plan.run(tensors).map_err(failed("run"))?;
    let first = outputs[0].to_plain_array_view::<f32>().map_err(failed("read the output of"))?;
    Ok(first.iter().copied().collect())
}
