//! Adam (Kingma and Ba 2015, algorithm 1), in place and in one pass over each variable.

mod average;
mod learner;

use std::cell::RefCell;

use candle_core::backprop::GradStore;
use candle_core::{CpuStorage, InplaceOp2, Layout, Tensor, Var};
use rayon::prelude::*;

use crate::error::{Error, Result};

pub use average::follow;
pub use learner::{Learner, Stepped};

/// Adam's constants; the learning rate comes with every step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamConfig {
    /// Decay of the averages of the gradient and of its square.
    pub betas: (f64, f64),
    /// Added to the root of the squared average.
    pub eps: f64,
}

impl AdamConfig {
    /// What projection uses.
    pub const DEFAULT: AdamConfig = AdamConfig { betas: (0.9, 0.999), eps: 1e-8 };
}

/// The optimiser and its state.
#[derive(Debug)]
pub struct Adam {
    config: AdamConfig,
    slots: Vec<Slot>,
}

/// A variable with its running averages.
#[derive(Debug)]
struct Slot {
    var: Var,
    moments: Moments,
}

/// What Adam remembers of a variable.
#[derive(Clone, Debug, PartialEq)]
pub struct Moments {
    /// Running average of the gradient.
    pub first: Vec<f32>,
    /// Running average of its square.
    pub second: Vec<f32>,
    /// Steps taken.
    pub steps: i32,
}

impl Adam {
    /// Starts with averages of zero.
    pub fn new(vars: Vec<Var>, config: AdamConfig) -> Self {
        let slot = |var: Var| {
            let zeros = vec![0.0; var.elem_count()];
            Slot { moments: Moments { first: zeros.clone(), second: zeros, steps: 0 }, var }
        };
        Adam { config, slots: vars.into_iter().map(slot).collect() }
    }

    /// The variables, in the order in which they were given.
    pub fn vars(&self) -> impl ExactSizeIterator<Item = &Var> {
        self.slots.iter().map(|slot| &slot.var)
    }

    /// What is remembered of each variable, in the order in which they were given.
    pub fn moments(&self) -> impl ExactSizeIterator<Item = &Moments> {
        self.slots.iter().map(|slot| &slot.moments)
    }

    /// Puts back what was remembered of the variable at `index`, to go on as if never interrupted.
    ///
    /// # Errors
    /// [`Error::Value`] when there is no such variable or it has another number of elements.
    pub fn restore(&mut self, index: usize, moments: Moments) -> Result<()> {
        let count = self.slots.len();
        let Some(slot) = self.slots.get_mut(index) else {
            return Err(Error::value("index of a variable", index, format!("less than {count}")));
        };
        let expected = slot.var.elem_count();
        if moments.first.len() != expected || moments.second.len() != expected {
            let found = format!("{} and {}", moments.first.len(), moments.second.len());
            return Err(Error::value("numbers that Adam remembers", found, format!("{expected} each")));
        }
        slot.moments = moments;
        Ok(())
    }

    /// Moves every variable that has a gradient; the others keep their state.
    ///
    /// # Errors
    /// When a variable is not a contiguous f32 tensor on the CPU.
    pub fn step(&mut self, gradients: &GradStore, learning_rate: f64) -> Result<()> {
        for slot in &mut self.slots {
            let Some(gradient) = gradients.get(slot.var.as_tensor()) else { continue };
            slot.step(&gradient.detach().contiguous()?, (self.config, learning_rate))?;
        }
        Ok(())
    }
}

impl Slot {
    fn step(&mut self, gradient: &Tensor, (config, learning_rate): (AdamConfig, f64)) -> Result<()> {
        let update = Update { config, learning_rate, moments: RefCell::new(&mut self.moments) };
        Ok(self.var.as_detached_tensor().inplace_op2(gradient, &update)?)
    }
}

/// One step of one variable.
struct Update<'a> {
    config: AdamConfig,
    learning_rate: f64,
    moments: RefCell<&'a mut Moments>,
}

/// Long enough to be worth a task, short enough to stay in a core's cache.
const CHUNK: usize = 1 << 14;

impl InplaceOp2 for Update<'_> {
    fn name(&self) -> &'static str {
        "adam"
    }

    fn cpu_fwd(
        &self,
        variable: &mut CpuStorage,
        variable_layout: &Layout,
        gradient: &CpuStorage,
        gradient_layout: &Layout,
    ) -> candle_core::Result<()> {
        let range = |layout: &Layout| match layout.contiguous_offsets() {
            Some((start, end)) => Ok(start..end),
            None => candle_core::bail!("adam needs contiguous tensors, found {layout:?}"),
        };
        let gradient = &gradient.as_slice::<f32>()?[range(gradient_layout)?];
        let CpuStorage::F32(numbers) = variable else { candle_core::bail!("adam needs variables in f32") };
        let variable = &mut numbers[range(variable_layout)?];

        let moments = &mut **self.moments.borrow_mut();
        moments.steps += 1;
        let (beta1, beta2) = self.config.betas;
        let unbias = |beta: f64| 1.0 - beta.powi(moments.steps);
        let step = (self.learning_rate / unbias(beta1)) as f32;
        let root = unbias(beta2).sqrt() as f32;
        let (keep1, keep2, eps) = (beta1 as f32, beta2 as f32, self.config.eps as f32);
        let (new1, new2) = ((1.0 - beta1) as f32, (1.0 - beta2) as f32);

        let first = moments.first.par_chunks_mut(CHUNK);
        let state = first.zip(moments.second.par_chunks_mut(CHUNK));
        let tasks = variable.par_chunks_mut(CHUNK).zip(gradient.par_chunks(CHUNK)).zip(state);
        tasks.for_each(|((variable, gradient), (first, second))| {
            for (((x, &g), m), v) in variable.iter_mut().zip(gradient).zip(first).zip(second) {
                *m = keep1 * *m + new1 * g;
                *v = keep2 * *v + new2 * g * g;
                *x -= step * *m / (v.sqrt() / root + eps);
            }
        });
        Ok(())
    }
}
