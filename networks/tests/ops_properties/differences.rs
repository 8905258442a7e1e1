//! Derivatives of first and second order against central differences.

use candle_core::{Tensor, Var};
use toonify_networks::Result;
use toonify_networks::grad::Dual;
use toonify_networks::random::RandomState;

use crate::{draw, equal::inner};

/// Step of the differences. Their error is about the step squared plus rounding over the step: 1e-10 at best.
const STEP: f64 = 1e-5;
/// Largest difference relative to the magnitude; a kink within a step would show as 1e-1 or more.
const TOLERANCE: f64 = 1e-6;

/// Checks the gradient of ⟨f(x), y⟩ and the gradient of its derivative along a direction.
pub fn check_derivatives(
    random: &mut RandomState,
    shapes: &[&[usize]],
    f: impl Fn(&[Dual]) -> Result<Dual>,
) -> Result<()> {
    let mut many = || shapes.iter().map(|shape| draw(random, shape)).collect::<Result<Vec<_>>>();
    let (point, direction, along) = (many()?, many()?, many()?);
    let constants: Vec<Dual> = point.iter().map(Dual::from).collect();
    let y = draw(random, f(&constants)?.dims())?;
    let value = |point: &[Tensor]| {
        let duals: Vec<Dual> = point.iter().map(Dual::from).collect();
        Ok(f(&duals)?.into_value().mul(&y)?.sum_all()?)
    };
    let slope = |point: &[Tensor]| {
        let duals = point.iter().zip(&along).map(|(x, u)| Dual::with_tangent(x.clone(), u.clone()));
        let y_dot = f(&duals.collect::<Result<Vec<_>>>()?)?;
        Ok(y_dot.tangent().expect("the arguments have tangents").mul(&y)?.sum_all()?)
    };
    check_gradient("first", &point, &direction, value)?;
    check_gradient("second", &point, &direction, slope)
}

fn check_gradient(
    order: &str,
    point: &[Tensor],
    direction: &[Tensor],
    f: impl Fn(&[Tensor]) -> Result<Tensor>,
) -> Result<()> {
    let variables = point.iter().map(Var::from_tensor).collect::<candle_core::Result<Vec<_>>>()?;
    let tensors: Vec<Tensor> = variables.iter().map(|variable| variable.as_tensor().clone()).collect();
    let gradients = f(&tensors)?.backward()?;
    let mut exact = 0.0;
    for (variable, direction) in variables.iter().zip(direction) {
        if let Some(gradient) = gradients.get(variable) {
            exact += inner(gradient, direction)?;
        }
    }
    let moved = |step: f64| {
        let moved = point.iter().zip(direction).map(|(x, u)| Ok((x + u.affine(step, 0.0)?)?));
        Ok::<f64, toonify_networks::Error>(f(&moved.collect::<Result<Vec<_>>>()?)?.to_scalar::<f64>()?)
    };
    let difference = (moved(STEP)? - moved(-STEP)?) / (2.0 * STEP);
    let accepted = TOLERANCE * (1.0 + exact.abs());
    assert!((exact - difference).abs() <= accepted, "{order} order: {exact} by gradient, {difference} by difference");
    Ok(())
}
