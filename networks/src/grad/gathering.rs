//! Gradients of variables, gathered beside candle's graph.
//!
//! candle adds every gradient to zeros that it makes first, on one thread: for the weights of a network this takes as long as
//! computing some of its layers. While somebody gathers, operators hand gradients of whole variables over here instead, and
//! tell candle of none. Sums go on from one backward pass to the next, in place.

use std::cell::RefCell;
use std::collections::HashMap;

use candle_core::{CpuStorage, DType, InplaceOp2, Layout, Result, Tensor, TensorId, Var};
use rayon::prelude::*;

use crate::ops::real::elements;
use crate::timing::timed;

/// Sums by variable; `None` stands for zeros.
type Sums = HashMap<TensorId, Option<Tensor>>;

thread_local! {
    /// What the backward pass of this thread gathers: candle's carries nothing from caller to operator.
    static GATHERED: RefCell<Option<Sums>> = const { RefCell::new(None) };
}

/// Adds the gradients of the scalar `loss` by variables to their sums; `None` stands for zeros.
///
/// # Errors
/// When candle cannot differentiate; the sums then have none or a part of this loss in them.
pub(crate) fn add_gradients(loss: &Tensor, sums: &mut [(&Var, &mut Option<Tensor>)]) -> Result<()> {
    let so_far = sums.iter_mut().map(|(var, sum)| (var.as_tensor().id(), sum.take())).collect();
    // A thread that waits for others may meanwhile do work that gathers, too.
    let of_others = GATHERED.replace(Some(so_far));
    let gradients = loss.backward();
    let mut gathered = GATHERED.replace(of_others).unwrap_or_default();
    for (var, sum) in sums.iter_mut() {
        **sum = gathered.remove(&var.as_tensor().id()).flatten();
    }
    let mut gradients = gradients?;
    for (var, sum) in sums {
        if let Some(gradient) = gradients.remove(var.as_tensor()) {
            **sum = Some(added(sum.take(), gradient.detach().contiguous()?)?);
        }
    }
    Ok(())
}

/// Hands over the gradient by a tensor, in memory of its own; returns it if candle has to know of it, because nobody gathers
/// gradients of this tensor.
pub(crate) fn hand_over(tensor: &Tensor, gradient: Tensor) -> Result<Option<Tensor>> {
    let id = tensor.id();
    let sum = GATHERED.with_borrow_mut(|sums| Some(sums.as_mut()?.get_mut(&id)?.take()));
    let Some(sum) = sum else { return Ok(Some(gradient)) };
    let sum = added(sum, gradient)?;
    GATHERED.with_borrow_mut(|sums| sums.as_mut().map(|sums| sums.insert(id, Some(sum))));
    Ok(None)
}

/// The sum, in the memory of the first term if there is one.
fn added(sum: Option<Tensor>, gradient: Tensor) -> Result<Tensor> {
    let Some(sum) = sum else { return Ok(gradient) };
    if sum.dtype() != DType::F32 || !sum.device().is_cpu() {
        return sum + gradient;
    }
    sum.inplace_op2(&gradient, &Add)?;
    Ok(sum)
}

/// Long enough to be worth a task, short enough to stay in a core's cache.
const CHUNK: usize = 1 << 14;

struct Add;

impl InplaceOp2 for Add {
    fn name(&self) -> &'static str {
        "sums of gradients"
    }

    fn cpu_fwd(&self, sum: &mut CpuStorage, to: &Layout, term: &CpuStorage, from: &Layout) -> Result<()> {
        let (Some((start, end)), CpuStorage::F32(sum)) = (to.contiguous_offsets(), sum) else {
            candle_core::bail!("sums of gradients are contiguous, in single precision");
        };
        let (sum, term) = (&mut sum[start..end], elements::<f32>(term, from)?);
        timed(self.name(), 0, || {
            sum.par_chunks_mut(CHUNK).zip(term.par_chunks(CHUNK)).for_each(|(sum, term)| {
                sum.iter_mut().zip(term).for_each(|(sum, term)| *sum += term);
            });
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draws::Draws;
    use crate::ops::kernel_energy::energy;
    use crate::ops::matrix_product::times_transposed;
    use crate::random::RandomState;

    /// A scalar in which operators that hand gradients over meet those of candle.
    fn loss([kernels, matrix, x]: [&Tensor; 3], factor: f64) -> Tensor {
        let energies = energy(&kernels.into()).unwrap();
        let y = times_transposed(&x.into(), &energies).unwrap().into_value();
        let z = times_transposed(&(&y.sqrt().unwrap()).into(), &matrix.into()).unwrap().into_value();
        let all = [(z * factor).unwrap(), matrix.sqr().unwrap(), kernels.flatten_from(1).unwrap()];
        all.iter().map(|x| x.sum_all().unwrap()).reduce(|a, b| (a + b).unwrap()).unwrap()
    }

    #[test]
    fn sums_of_rounds_are_those_of_the_gradients_of_candle() {
        let rng = &mut RandomState::new(3);
        let draws = [vec![5, 4, 3, 3], vec![6, 5], vec![2, 4]].map(|shape| rng.normal(&shape).unwrap().sqr().unwrap());
        let vars = draws.map(|draw| Var::from_tensor(&draw).unwrap());
        let tensors = vars.each_ref().map(|var| var.as_tensor());
        let mut sums = vec![None; vars.len()];
        for factor in [1.0, -2.5] {
            let mut gathered: Vec<_> = vars.iter().zip(&mut sums).collect();
            add_gradients(&loss(tensors, factor), &mut gathered).unwrap();
        }
        let rounds = [1.0, -2.5].map(|factor| loss(tensors, factor).backward().unwrap());
        for (var, sum) in vars.iter().zip(sums) {
            let expected = (rounds[0].get(var).unwrap() + rounds[1].get(var).unwrap()).unwrap();
            let off = (sum.unwrap() - expected).unwrap().abs().unwrap().max_all().unwrap();
            assert!(off.to_scalar::<f32>().unwrap() < 1e-4, "{off}");
        }
    }

    #[test]
    fn nobody_gathers_for_a_stranger() {
        let [one, other] =
            [1f32, 2.0].map(|x| Var::from_tensor(&Tensor::new(&[x], &candle_core::Device::Cpu).unwrap()).unwrap());
        let mut sum = None;
        add_gradients(&(one.as_tensor() * other.as_tensor()).unwrap().sum_all().unwrap(), &mut [(&one, &mut sum)])
            .unwrap();
        assert_eq!(sum.unwrap().to_vec1::<f32>().unwrap(), [2.0]);
        let returned = hand_over(&one, other.as_detached_tensor()).unwrap();
        assert!(returned.is_some(), "nobody gathers any more");
    }
}
