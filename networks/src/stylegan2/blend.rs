//! Layer swapping between two generators (Pinkney and Adler 2020, "Resolution Dependent GAN Interpolation").

use crate::error::{Error, Result};
use crate::stylegan2::config::{GeneratorConfig, Resolution};
use crate::stylegan2::layer::Layer;
use crate::stylegan2::weights::Weights;

/// How much of the high-resolution model each layer takes.
///
/// The rule: layers up to and including `swap` come from the low-resolution model, layers above from the other. The
/// mapping network, the average `w` and the learnt constant are below every resolution; noise goes with its layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlendCurve {
    swap: Resolution,
}

impl BlendCurve {
    /// Swaps from one model to the other above `swap`.
    pub fn hard(swap: Resolution) -> Self {
        BlendCurve { swap }
    }

    /// Share of the high-resolution model in `layer`, from 0 to 1.
    pub fn share(&self, layer: Layer) -> f64 {
        match layer {
            Layer::Embed(_) | Layer::Fc(..) | Layer::WAvg | Layer::Const => 0.0,
            Layer::Block { resolution, .. } => f64::from(u8::from(resolution > self.swap)),
        }
    }
}

impl Weights<Layer> {
    /// Joins the layers of two generators of the same configuration; `self` is the low-resolution model.
    ///
    /// # Errors
    /// [`Error::Shape`] naming the first layer that differs, [`Error::Value`] for one that only one of them has.
    pub fn blend(&self, high: &Weights<Layer>, config: &GeneratorConfig, curve: &BlendCurve) -> Result<Weights<Layer>> {
        Weights::build(config, |layer, _shape| {
            let missing = || Error::value("tensor", format!("{layer} missing"), "present in both models");
            let low = self.get(layer).ok_or_else(missing)?;
            let high = high.get(layer).ok_or_else(missing)?;
            if low.dims() != high.dims() {
                let (expected, found) = (low.dims().to_vec(), high.dims().to_vec());
                return Err(Error::Shape { name: layer.to_string(), expected, found });
            }
            Ok(match curve.share(layer) {
                0.0 => low.clone(),
                1.0 => high.clone(),
                share => ((low * (1.0 - share))? + (high * share)?)?,
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stylegan2::layer::{Slot, Term};

    #[test]
    fn the_named_resolution_is_the_last_one_from_the_low_model() {
        let curve = BlendCurve::hard(Resolution::new(16).expect("a resolution"));
        let share = |px| {
            let resolution = Resolution::new(px).expect("a resolution");
            curve.share(Layer::Block { resolution, slot: Slot::Conv0, term: Term::Weight })
        };
        assert_eq!([share(8), share(16), share(32)], [0.0, 0.0, 1.0]);
        assert_eq!(curve.share(Layer::Const), 0.0);
    }
}
