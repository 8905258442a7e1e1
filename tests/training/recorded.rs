//! Random numbers that the published code drew, handed out again in their order.

use std::collections::VecDeque;

use candle_core::{DType, Tensor};
use toonify_networks::draws::Draws;
use toonify_networks::{Error, Result};

/// A recording.
#[derive(Default)]
pub struct Recorded {
    queue: VecDeque<(String, Tensor)>,
}

impl Recorded {
    /// Appends a draw; `call` is the function of PyTorch that made it.
    pub fn push(&mut self, call: &str, tensor: Tensor) {
        self.queue.push_back((call.to_owned(), tensor));
    }

    /// Whether everything was used.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    fn next(&mut self, calls: &[&str]) -> Result<Tensor> {
        match self.queue.pop_front() {
            Some((call, tensor)) if calls.contains(&call.as_str()) => Ok(tensor),
            Some((call, _)) => Err(Error::value("recorded draw", call, calls.join(" or "))),
            None => Err(Error::value("recorded draw", "nothing", calls.join(" or "))),
        }
    }
}

impl Draws for Recorded {
    fn normal(&mut self, shape: &[usize]) -> Result<Tensor> {
        let tensor = self.next(&["randn", "randn_like"])?;
        assert_eq!(tensor.elem_count(), shape.iter().product::<usize>(), "size of a recorded draw");
        Ok(tensor.reshape(shape)?)
    }

    fn fraction(&mut self) -> Result<f64> {
        Ok(self.next(&["rand"])?.to_dtype(DType::F64)?.to_scalar()?)
    }

    fn fractions(&mut self, count: usize) -> Result<Vec<f64>> {
        let tensor = self.next(&["rand"])?;
        assert_eq!(tensor.elem_count(), count, "size of a recorded draw");
        Ok(tensor.flatten_all()?.to_dtype(DType::F64)?.to_vec1()?)
    }

    fn index(&mut self, bound: usize) -> Result<usize> {
        // PyTorch draws the cutoff of style mixing from 1.
        let index = self.next(&["random_"])?.to_dtype(DType::I64)?.to_scalar::<i64>()? as usize - 1;
        assert!(index < bound);
        Ok(index)
    }
}
