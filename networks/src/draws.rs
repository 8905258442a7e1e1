//! Where the random numbers of a training step come from: a generator of numbers, or a recording of somebody else's.

use candle_core::{Device, Tensor};

use crate::error::{Error, Result};
use crate::random::RandomState;

/// A source of random tensors, in the order in which they are asked for.
pub trait Draws: Send {
    /// Numbers of the standard normal distribution, f32, of the given shape.
    ///
    /// # Errors
    /// When a recording has something else at this place.
    fn normal(&mut self, shape: &[usize]) -> Result<Tensor>;

    /// A number uniform in [0, 1).
    ///
    /// # Errors
    /// When a recording has something else at this place.
    fn fraction(&mut self) -> Result<f64>;

    /// Numbers uniform in [0, 1), drawn at once.
    ///
    /// # Errors
    /// When a recording has something else at this place.
    fn fractions(&mut self, count: usize) -> Result<Vec<f64>> {
        (0..count).map(|_| self.fraction()).collect()
    }

    /// A number uniform in `0..bound`.
    ///
    /// # Errors
    /// [`Error::Value`] when `bound` is 0 or a recording has something else at this place.
    fn index(&mut self, bound: usize) -> Result<usize>;
}

impl Draws for RandomState {
    fn normal(&mut self, shape: &[usize]) -> Result<Tensor> {
        let drawn: Vec<f32> = (0..shape.iter().product()).map(|_| self.gauss() as f32).collect();
        Ok(Tensor::from_vec(drawn, shape, &Device::Cpu)?)
    }

    fn fraction(&mut self) -> Result<f64> {
        Ok(self.uniform())
    }

    fn index(&mut self, bound: usize) -> Result<usize> {
        match bound {
            0 => Err(Error::value("bound of a random index", 0, "at least 1")),
            _ => Ok(self.below(bound as u64) as usize),
        }
    }
}
