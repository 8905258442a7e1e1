//! A network's variables on their way: gradients are gathered over rounds, cleaned up, and moved by Adam.

use candle_core::{CpuStorage, InplaceOp1, Layout, Tensor, Var};
use rayon::prelude::*;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::error::Result;
use crate::grad::add_gradients;
use crate::optim::{Adam, AdamConfig};

/// Variables, what their gradients add up to so far, and the optimiser.
#[derive(Debug)]
pub struct Learner {
    adam: Adam,
    learning_rate: f64,
    /// Sums of the gradients since the last step; `None` stands for zeros.
    sums: Vec<Option<Tensor>>,
}

/// What a step had to put up with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stepped {
    /// Numbers of the gradients that were not finite.
    pub not_finite: usize,
}

impl Learner {
    /// Starts without gradients, and with an optimiser that remembers nothing.
    pub fn new(vars: Vec<Var>, config: AdamConfig, learning_rate: f64) -> Self {
        Learner { sums: vec![None; vars.len()], adam: Adam::new(vars, config), learning_rate }
    }

    /// The optimiser, with what it remembers.
    pub fn adam(&self) -> &Adam {
        &self.adam
    }

    /// The optimiser, to put back what it remembered.
    pub fn adam_mut(&mut self) -> &mut Adam {
        &mut self.adam
    }

    /// Adds the gradients of the scalar `loss`; the graph behind it can be dropped afterwards.
    ///
    /// # Errors
    /// When candle cannot differentiate.
    pub fn backward(&mut self, loss: &Tensor) -> Result<()> {
        let mut sums: Vec<_> = self.adam.vars().zip(&mut self.sums).collect();
        Ok(add_gradients(loss, &mut sums)?)
    }

    /// The sums so far, in the order of the variables.
    pub fn gradients(&self) -> &[Option<Tensor>] {
        &self.sums
    }

    /// Cleans the sums up, moves every variable and forgets the sums. A variable without a gradient has one of zero: its
    /// averages decay like everybody's.
    ///
    /// # Errors
    /// When a variable is not a contiguous f32 tensor on the CPU.
    pub fn step(&mut self) -> Result<Stepped> {
        let mut stepped = Stepped::default();
        for (slot, sum) in self.adam.slots.iter_mut().zip(&mut self.sums) {
            let gradient = match sum.take() {
                Some(sum) => sum,
                None => slot.var.zeros_like()?,
            };
            stepped.not_finite += clean(&gradient)?;
            slot.step(&gradient, (self.adam.config, self.learning_rate))?;
        }
        Ok(stepped)
    }
}

/// Replaces what is not a number by 0 and infinities by ±1e5, as the published trainer does; returns how many there were.
fn clean(gradient: &Tensor) -> Result<usize> {
    let cleanup = Cleanup { not_finite: AtomicUsize::new(0) };
    gradient.inplace_op1(&cleanup)?;
    Ok(cleanup.not_finite.into_inner())
}

/// What stands in for infinity.
const LARGE: f32 = 1e5;
/// Long enough to be worth a task, short enough to stay in a core's cache.
const CHUNK: usize = 1 << 14;

struct Cleanup {
    not_finite: AtomicUsize,
}

impl InplaceOp1 for Cleanup {
    fn name(&self) -> &'static str {
        "clean-up"
    }

    fn cpu_fwd(&self, gradient: &mut CpuStorage, layout: &Layout) -> candle_core::Result<()> {
        let Some((start, end)) = layout.contiguous_offsets() else {
            candle_core::bail!("the clean-up needs contiguous gradients, found {layout:?}")
        };
        let CpuStorage::F32(numbers) = gradient else { candle_core::bail!("the clean-up needs gradients in f32") };
        numbers[start..end].par_chunks_mut(CHUNK).for_each(|chunk| {
            if chunk.iter().all(|x| x.is_finite()) {
                return;
            }
            for x in chunk.iter_mut().filter(|x| !x.is_finite()) {
                *x = if x.is_nan() { 0.0 } else { LARGE.copysign(*x) };
                self.not_finite.fetch_add(1, Ordering::Relaxed);
            }
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    fn learner(x: &[f32]) -> Result<(Var, Learner)> {
        let var = Var::from_tensor(&Tensor::new(x, &Device::Cpu)?)?;
        let config = AdamConfig { betas: (0.0, 0.99), eps: 1e-8 };
        Ok((var.clone(), Learner::new(vec![var], config, 0.1)))
    }

    #[test]
    fn rounds_add_up() -> Result<()> {
        let (var, mut learner) = learner(&[1.0, 2.0])?;
        for factor in [1.0, 10.0] {
            learner.backward(&var.as_tensor().affine(factor, 0.0)?.sum_all()?)?;
        }
        let sum = learner.gradients()[0].as_ref().expect("a gradient").to_vec1::<f32>()?;
        assert_eq!(sum, [11.0, 11.0]);
        assert_eq!(learner.step()?, Stepped::default());
        assert!(learner.gradients()[0].is_none());
        Ok(())
    }

    #[test]
    fn gradients_are_cleaned_up_and_counted() -> Result<()> {
        let gradient = Tensor::new(&[f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 3e5, -2.0], &Device::Cpu)?;
        assert_eq!(clean(&gradient)?, 3);
        assert_eq!(gradient.to_vec1::<f32>()?, [0.0, 1e5, -1e5, 3e5, -2.0]);
        Ok(())
    }

    #[test]
    fn a_variable_without_a_gradient_forgets_slowly_and_stays() -> Result<()> {
        let (var, mut learner) = learner(&[1.0])?;
        learner.backward(&var.as_tensor().sum_all()?)?;
        learner.step()?;
        let (before, x) = (learner.adam().moments().next().expect("one").clone(), var.to_vec1::<f32>()?);
        learner.step()?;
        let after = learner.adam().moments().next().expect("one");
        assert_eq!((after.steps, var.to_vec1::<f32>()?), (2, x));
        assert_eq!(after.second[0], before.second[0] * 0.99);
        Ok(())
    }

    #[test]
    fn what_adam_remembers_can_be_put_back() -> Result<()> {
        let (var, mut one) = learner(&[1.0, -3.0])?;
        one.backward(&var.as_tensor().sqr()?.sum_all()?)?;
        one.step()?;
        let (copy, mut other) = learner(&var.to_vec1::<f32>()?)?;
        other.adam_mut().restore(0, one.adam().moments().next().expect("one").clone())?;
        for (var, learner) in [(&var, &mut one), (&copy, &mut other)] {
            learner.backward(&var.as_tensor().sqr()?.sum_all()?)?;
            learner.step()?;
        }
        assert_eq!(var.to_vec1::<f32>()?, copy.to_vec1::<f32>()?);
        let short = crate::optim::Moments { first: vec![0.0], second: vec![0.0], steps: 1 };
        assert!(other.adam_mut().restore(0, short.clone()).is_err() && other.adam_mut().restore(9, short).is_err());
        Ok(())
    }
}
