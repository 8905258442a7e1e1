//! Comparing two ways of computing the same.

use candle_core::{Tensor, Var};
use toonify_networks::Result;
use toonify_networks::grad::Dual;
use toonify_networks::random::RandomState;

use crate::draw;

/// Largest difference relative to the magnitude: rounding of sums of a few thousand numbers in double precision.
const TOLERANCE: f64 = 1e-11;

/// Σ a·b
pub fn inner(a: &Tensor, b: &Tensor) -> Result<f64> {
    Ok(a.mul(b)?.sum_all()?.to_scalar::<f64>()?)
}

fn assert_close(what: &str, fast: &Tensor, plain: &Tensor) -> Result<()> {
    assert_eq!(fast.dims(), plain.dims(), "shape of the {what}");
    let largest = |x: &Tensor| x.abs()?.flatten_all()?.max(0)?.to_scalar::<f64>();
    let (difference, magnitude) = (largest(&(fast - plain)?)?, largest(plain)?);
    assert!(difference <= TOLERANCE * (1.0 + magnitude), "the {what} differs by {difference:.2e} of {magnitude:.2e}");
    Ok(())
}

/// Checks that two functions have the same values, gradients, and gradients of gradients.
pub fn assert_equal(
    random: &mut RandomState,
    arguments: &[Tensor],
    fast: impl Fn(&[Dual]) -> Result<Dual>,
    plain: impl Fn(&[Dual]) -> Result<Dual>,
) -> Result<()> {
    let variables = arguments.iter().map(Var::from_tensor).collect::<candle_core::Result<Vec<_>>>()?;
    let directions = arguments.iter().map(|x| draw(random, x.dims())).collect::<Result<Vec<_>>>()?;
    let duals = variables.iter().zip(directions).map(|(x, u)| Dual::with_tangent(x.as_tensor().clone(), u));
    let duals = duals.collect::<Result<Vec<_>>>()?;
    let (fast, plain) = (fast(&duals)?, plain(&duals)?);
    assert_close("value", fast.value(), plain.value())?;
    let upstream = draw(random, plain.dims())?;
    let slope =
        |dual: &Dual| Ok::<_, toonify_networks::Error>(dual.tangent().expect("arguments have tangents").clone());
    for (what, fast, plain) in [
        ("gradient", fast.value().clone(), plain.value().clone()),
        ("gradient of the derivative", slope(&fast)?, slope(&plain)?),
    ] {
        assert_close(what, &fast, &plain)?;
        let (fast, plain) = (fast.mul(&upstream)?.sum_all()?.backward()?, plain.mul(&upstream)?.sum_all()?.backward()?);
        for variable in &variables {
            let zeros = variable.zeros_like()?;
            let (fast, plain) = (fast.get(variable).unwrap_or(&zeros), plain.get(variable).unwrap_or(&zeros));
            assert_close(what, fast, plain)?;
        }
    }
    Ok(())
}

/// Checks ⟨f(x′), y⟩ = ⟨x′, fᵀy⟩ for each argument of a function that is linear in each, fᵀy being its gradient at x.
pub fn assert_adjoint(
    random: &mut RandomState,
    arguments: &[Tensor],
    f: impl Fn(&[Dual]) -> Result<Dual>,
) -> Result<()> {
    for i in 0..arguments.len() {
        let variable = Var::from_tensor(&arguments[i])?;
        let with = |x: &Tensor| {
            let arguments = arguments.iter().enumerate();
            f(&arguments.map(|(j, a)| if i == j { x.into() } else { a.into() }).collect::<Vec<Dual>>())
        };
        let value = with(variable.as_tensor())?.into_value();
        let y = draw(random, value.dims())?;
        let gradients = value.mul(&y)?.sum_all()?.backward()?;
        let adjoint = gradients.get(&variable).expect("the argument has a gradient");
        let other = draw(random, variable.dims())?;
        let (left, right) = (inner(with(&other)?.value(), &y)?, inner(&other, adjoint)?);
        let size = 1.0 + adjoint.abs()?.mul(&other.abs()?)?.sum_all()?.to_scalar::<f64>()?;
        assert!((left - right).abs() <= TOLERANCE * size, "⟨Ax, y⟩ = {left}, ⟨x, Aᵀy⟩ = {right}");
    }
    Ok(())
}
