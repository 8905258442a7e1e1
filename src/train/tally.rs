//! What a training reports: numbers by name, of which count, mean and standard deviation are kept until the next tick.

use std::collections::BTreeMap;

use anyhow::Result;
use candle_core::{DType, Tensor};
use serde::{Deserialize, Deserializer, Serialize};

/// Numbers of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Sums {
    /// How many.
    pub num: u64,
    /// Their sum.
    #[serde(deserialize_with = "number_or_nan")]
    pub sum: f64,
    /// The sum of their squares.
    #[serde(deserialize_with = "number_or_nan")]
    pub squares: f64,
}

/// JSON has no word for what is not a number and says `null`.
fn number_or_nan<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<f64, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or(f64::NAN))
}

impl Sums {
    /// Their mean, `None` when there are none.
    pub fn mean(&self) -> Option<f64> {
        (self.num > 0).then(|| self.sum / self.num as f64)
    }

    /// Their standard deviation, `None` when there are none.
    pub fn std(&self) -> Option<f64> {
        let mean = self.mean()?;
        Some((self.squares / self.num as f64 - mean * mean).max(0.0).sqrt())
    }

    fn add(&mut self, value: f64) {
        self.num += 1;
        self.sum += value;
        self.squares += value * value;
    }
}

/// Numbers of every kind, by the published names: `Loss/scores/fake`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Tally(BTreeMap<String, Sums>);

impl Tally {
    /// Adds every number of a tensor.
    ///
    /// # Errors
    /// Only when the tensor cannot be read.
    pub fn report(&mut self, name: &str, values: &Tensor) -> Result<()> {
        for value in values.flatten_all()?.to_dtype(DType::F64)?.to_vec1::<f64>()? {
            self.add(name, value);
        }
        Ok(())
    }

    /// Adds one number.
    pub fn add(&mut self, name: &str, value: f64) {
        if let Some(sums) = self.0.get_mut(name) {
            return sums.add(value);
        }
        self.0.entry(name.to_owned()).or_default().add(value);
    }

    /// Adds everything that another tally holds.
    pub fn merge(&mut self, other: Tally) {
        for (name, more) in other.0 {
            let sums = self.0.entry(name).or_default();
            *sums = Sums { num: sums.num + more.num, sum: sums.sum + more.sum, squares: sums.squares + more.squares };
        }
    }

    /// The numbers of one kind.
    pub fn get(&self, name: &str) -> Sums {
        self.0.get(name).copied().unwrap_or_default()
    }

    /// Mean of the numbers of one kind.
    pub fn mean(&self, name: &str) -> Option<f64> {
        self.get(name).mean()
    }

    /// Everything, in the order of the names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Sums)> {
        self.0.iter().map(|(name, sums)| (name.as_str(), *sums))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn mean_and_deviation_are_those_of_all_numbers() {
        let mut tally = Tally::default();
        assert_eq!(tally.mean("a"), None);
        tally.report("a", &Tensor::new(&[[1f32], [2.0], [6.0]], &Device::Cpu).unwrap()).unwrap();
        tally.add("a", 3.0);
        let sums = tally.get("a");
        assert_eq!((sums.num, sums.mean(), sums.std()), (4, Some(3.0), Some(3.5f64.sqrt())));
        tally.add("b", f64::NAN);
        assert!(tally.mean("b").is_some_and(f64::is_nan));
        let read: Tally = serde_json::from_str(&serde_json::to_string(&tally).unwrap()).unwrap();
        assert!(read.get("a") == sums && read.mean("b").is_some_and(f64::is_nan));
        tally.merge(read);
        assert_eq!((tally.get("a").num, tally.mean("a")), (8, Some(3.0)));
    }
}
