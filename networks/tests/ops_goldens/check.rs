//! Reading a folder of numbers and comparing a case with them.

use std::collections::HashMap;
use std::path::Path;

use candle_core::{DType, Device, Tensor, Var};
use serde_json::Value;
use toonify_networks::grad::Dual;
use toonify_networks::{Error, Result};

use crate::cases::Case;

/// Largest accepted difference of values and first gradients, relative to the largest magnitude in the tensor: about
/// sixteen roundings in single precision.
const TOLERANCE: f64 = 2e-6;
/// The same for gradients of gradients, whose sums are longer.
const SECOND_ORDER_TOLERANCE: f64 = 4e-6;

/// How gradients of gradients are computed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Order {
    /// A forward pass on duals and one backward pass.
    Dual,
    /// Two backward passes.
    DoubleBackward,
}

/// One folder: what was called and what came out.
pub struct Golden {
    tensors: HashMap<String, Tensor>,
    /// The calls.
    pub cases: Vec<Value>,
}

impl Golden {
    /// Reads `manifest.json` and `golden.safetensors`, converting numbers to `dtype`.
    pub fn read(folder: &Path, dtype: DType) -> Result<Self> {
        let manifest = std::fs::read(folder.join("manifest.json")).expect("the manifest can be read");
        let manifest: Value = serde_json::from_slice(&manifest).expect("the manifest is JSON");
        let cases = manifest["cases"].as_array().expect("the manifest has cases").clone();
        let tensors = candle_core::safetensors::load(folder.join("golden.safetensors"), &Device::Cpu)?;
        let convert = |(name, tensor): (String, Tensor)| Ok((name, tensor.to_dtype(dtype)?));
        Ok(Golden { tensors: tensors.into_iter().map(convert).collect::<Result<_>>()?, cases })
    }

    /// A tensor that must be there.
    pub fn tensor(&self, name: &str) -> Result<&Tensor> {
        self.find(name).ok_or_else(|| Error::value("golden tensor", name, "in the file"))
    }

    /// A tensor that may be there.
    pub fn find(&self, name: &str) -> Option<&Tensor> {
        self.tensors.get(name)
    }

    /// Checks values, gradients, and gradients of gradients of one case, as far as the folder has them.
    pub fn check(&self, case: &Case, order: Order) -> Result<()> {
        let inputs = case.inputs.iter().map(|name| Var::from_tensor(self.of(case, name)?).map_err(Error::from));
        let inputs = inputs.collect::<Result<Vec<Var>>>()?;
        let constants: Vec<Dual> = inputs.iter().map(|input| input.as_tensor().into()).collect();
        let y = (case.call)(&constants)?.into_value();
        assert_close(&self.label(case, "y"), &y, self.of(case, "y")?, TOLERANCE)?;
        let Some(dy) = self.find(&format!("{}_dy", case.id)) else { return Ok(()) };
        let gradients = y.mul(dy)?.sum_all()?.backward()?;
        for (name, input) in case.inputs.iter().zip(&inputs) {
            let expected = self.of(case, &format!("d{name}"))?;
            let found = gradients.get(input).expect("every input has a gradient");
            assert_close(&self.label(case, &format!("d{name}")), found, expected, TOLERANCE)?;
        }
        if self.find(&format!("{}_g2_dy", case.id)).is_none() {
            return Ok(());
        }
        match order {
            Order::Dual => self.check_by_dual(case, &inputs),
            Order::DoubleBackward => self.check_by_double_backward(case, &inputs),
        }
    }

    fn of(&self, case: &Case, name: &str) -> Result<&Tensor> {
        self.tensor(&format!("{}_{name}", case.id))
    }

    fn label(&self, case: &Case, name: &str) -> String {
        format!("{}_{name}", case.id)
    }

    /// s = Σ ⟨dx, u⟩ is the derivative of ⟨y, dy⟩ along u.
    fn check_by_dual(&self, case: &Case, inputs: &[Var]) -> Result<()> {
        let dual = |(name, input): (&&str, &Var)| {
            Dual::with_tangent(input.as_tensor().clone(), self.of(case, &format!("u_d{name}"))?.clone())
        };
        let duals = case.inputs.iter().zip(inputs).map(dual).collect::<Result<Vec<_>>>()?;
        let dy = Var::from_tensor(self.of(case, "dy")?)?;
        let y = (case.call)(&duals)?;
        let s = y.tangent().expect("the inputs have tangents").mul(&dy)?.sum_all()?;
        self.check_second(case, inputs, &dy, &s)
    }

    fn check_by_double_backward(&self, case: &Case, inputs: &[Var]) -> Result<()> {
        let constants: Vec<Dual> = inputs.iter().map(|input| input.as_tensor().into()).collect();
        let dy = Var::from_tensor(self.of(case, "dy")?)?;
        let gradients = (case.call)(&constants)?.into_value().mul(&dy)?.sum_all()?.backward()?;
        let mut s = Tensor::zeros((), dy.dtype(), &Device::Cpu)?;
        for (name, input) in case.inputs.iter().zip(inputs) {
            let gradient = gradients.get(input).expect("every input has a gradient");
            s = (s + gradient.mul(self.of(case, &format!("u_d{name}"))?)?.sum_all()?)?;
        }
        self.check_second(case, inputs, &dy, &s)
    }

    fn check_second(&self, case: &Case, inputs: &[Var], dy: &Var, s: &Tensor) -> Result<()> {
        let gradients = s.backward()?;
        let named = case.inputs.iter().map(|name| format!("g2_{name}")).zip(inputs);
        for (name, input) in named.chain([("g2_dy".to_string(), dy)]) {
            let expected = self.of(case, &name)?;
            let zeros = expected.zeros_like()?; // what s does not depend on has no gradient
            let found = gradients.get(input).unwrap_or(&zeros);
            assert_close(&self.label(case, &name), found, expected, SECOND_ORDER_TOLERANCE)?;
        }
        Ok(())
    }
}

/// Panics unless the largest difference is within `tolerance` of the largest magnitude.
pub fn assert_close(name: &str, found: &Tensor, expected: &Tensor, tolerance: f64) -> Result<()> {
    assert_eq!(found.dims(), expected.dims(), "shape of {name}");
    let (found, expected) = (found.to_dtype(DType::F64)?, expected.to_dtype(DType::F64)?);
    let largest = |x: &Tensor| x.abs()?.flatten_all()?.max(0)?.to_scalar::<f64>();
    let (difference, magnitude) = (largest(&(&found - &expected)?)?, largest(&expected)?);
    let accepted = tolerance * magnitude.max(f64::from(f32::MIN_POSITIVE));
    assert!(difference <= accepted, "{name} differs by {:.2e} of {magnitude:.2e}", difference / magnitude);
    Ok(())
}
