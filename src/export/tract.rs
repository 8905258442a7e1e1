//! tract, linked into the program.

use anyhow::Result;
use candle_core::Tensor;
use toonify_verify::Input;

use super::comparison::Ran;

/// Runs a file.
pub(super) fn run(file: &[u8], inputs: &[Tensor]) -> Result<Option<Ran>> {
    let input = |tensor: &Tensor| -> Result<Input> {
        Ok(Input { shape: tensor.dims().to_vec(), numbers: tensor.flatten_all()?.to_vec1::<f32>()? })
    };
    let inputs = inputs.iter().map(input).collect::<Result<Vec<_>>>()?;
    Ok(Some(Ran { runtime: "tract".to_owned(), output: toonify_verify::run(file, &inputs)? }))
}
