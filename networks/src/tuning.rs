//! Pivotal tuning: the generator's weights are moved until it renders one image at a fixed `w` (Roich et al. 2021,
//! "Pivotal Tuning for Latent-based Editing of Real Images", sections 3.2 and 3.3).

use std::collections::{BTreeMap, HashMap};

use candle_core::{DType, Device, Tensor, Var};
use candle_nn::VarBuilder;

use crate::error::{Error, Result};
use crate::grad::Dual;
use crate::latent::{WPlus, Z};
use crate::optim::{Adam, AdamConfig};
use crate::perceptual::{Comparison, Perception};
use crate::random::RandomState;
use crate::stylegan2::{Generator, GeneratorConfig, Layer, Noise, Term, Weights};

/// How the weights are moved.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TuningConfig {
    /// Learning rate.
    pub learning_rate: f64,
    /// Weight of the mean squared difference of the pixels, in units of half their range.
    pub l2: f64,
    /// Keeps other faces as they were.
    pub locality: Option<Locality>,
}

impl TuningConfig {
    /// The paper's constants, without locality regularisation, which it leaves out for single images.
    pub const PUBLISHED: TuningConfig = TuningConfig { learning_rate: 3e-4, l2: 1.0, locality: None };
}

/// Locality regularisation (section 3.3): near the pivot, the tuned generator renders what the original one did.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Locality {
    /// Distance from the pivot, towards a random `w`, at which the two are compared.
    pub radius: f64,
    /// Factor on their difference.
    pub weight: f64,
}

impl Locality {
    /// The paper's constants.
    pub const PUBLISHED: Locality = Locality { radius: 30.0, weight: 0.1 };
}

/// Loss of one step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TuningLoss {
    /// Distance of the features.
    pub distance: f64,
    /// Mean squared difference of the pixels, in units of half their range.
    pub l2: f64,
}

/// The one image that the generator is tuned to.
pub struct Pivot<'a> {
    /// What makes images alike.
    pub perception: &'a dyn Perception,
    /// `[1, C, R, R]`, pixels from 0 to 255.
    pub target: Tensor,
    /// The latents, one `w` a layer, which stay as they are.
    pub ws: WPlus,
    /// Label `[1, c_dim]` of a conditional network, for the random `w` of the regularisation.
    pub label: Option<Tensor>,
}

/// A tuning under way.
pub struct Tuning<'a> {
    settings: TuningConfig,
    pivot: Pivot<'a>,
    target: Box<dyn Comparison + 'a>,
    original: Generator,
    tuned: Generator,
    tensors: BTreeMap<Layer, Tensor>,
    adam: Adam,
}

impl<'a> Tuning<'a> {
    /// Prepares the tuning of a copy of `weights`.
    ///
    /// # Errors
    /// [`Error::Shape`] when the target is not of the generator's size, and what the networks return.
    pub fn new(
        config: &GeneratorConfig,
        weights: &Weights<Layer>,
        pivot: Pivot<'a>,
        settings: TuningConfig,
    ) -> Result<Self> {
        let expected = vec![1, config.img_channels, config.resolution.px(), config.resolution.px()];
        if pivot.target.dims() != expected {
            return Err(Error::Shape { name: "target".to_owned(), expected, found: pivot.target.dims().to_vec() });
        }
        let (mut tensors, mut vars) = (BTreeMap::new(), Vec::new());
        for (layer, tensor) in weights.iter() {
            let moved = is_tuned(layer).then(|| Var::from_tensor(tensor)).transpose()?;
            tensors.insert(layer, moved.as_ref().map_or_else(|| tensor.clone(), |var| var.as_tensor().clone()));
            vars.extend(moved);
        }
        let named: HashMap<String, Tensor> = tensors.iter().map(|(layer, t)| (layer.to_string(), t.clone())).collect();
        Ok(Tuning {
            settings,
            target: pivot.perception.look_at(&pivot.target)?,
            original: Generator::from_weights(config, weights)?,
            tuned: Generator::new(config, &VarBuilder::from_tensors(named, DType::F32, &Device::Cpu))?,
            tensors,
            adam: Adam::new(vars, AdamConfig::DEFAULT),
            pivot,
        })
    }

    /// Takes one step; `rng` is drawn from for the regularisation only.
    ///
    /// # Errors
    /// What the networks return.
    pub fn step(&mut self, rng: &mut RandomState) -> Result<TuningLoss> {
        let image = render(&self.tuned, self.pivot.ws.tensor())?;
        let (distance, l2) = differences(&image, &*self.target, &self.pivot.target)?;
        let mut loss = (&distance + (&l2 * self.settings.l2)?)?;
        if let Some(locality) = self.settings.locality {
            loss = (loss + (self.drift(&locality, rng)? * locality.weight)?)?;
        }
        let gradients = loss.backward()?;
        self.adam.step(&gradients, self.settings.learning_rate)?;
        let number = |tensor: &Tensor| Ok::<_, Error>(tensor.to_dtype(DType::F64)?.to_scalar::<f64>()?);
        Ok(TuningLoss { distance: number(&distance)?, l2: number(&l2)? })
    }

    /// How far the tuned generator has moved away from the original at a `w` near the pivot; a scalar.
    fn drift(&self, locality: &Locality, rng: &mut RandomState) -> Result<Tensor> {
        let config = self.original.config();
        let drawn: Vec<f32> = (0..config.z_dim).map(|_| rng.gauss() as f32).collect();
        let z = Z::new(Tensor::from_vec(drawn, (1, config.z_dim), &Device::Cpu)?, config.z_dim)?;
        let w = self.original.map(&z, self.pivot.label.as_ref())?.broadcast(config.num_ws())?;
        let away = (w.tensor() - self.pivot.ws.tensor())?;
        let length = away.sqr()?.sum_keepdim(2)?.sqrt()?.clamp(1e-8, f64::MAX)?; // [1, num_ws, 1]
        let near = (self.pivot.ws.tensor() + (away.broadcast_div(&length)? * locality.radius)?)?;
        let before = render(&self.original, &near)?.detach();
        let target = self.pivot.perception.look_at(&before)?;
        let (distance, l2) = differences(&render(&self.tuned, &near)?, &*target, &before)?;
        Ok((distance + (l2 * self.settings.l2)?)?)
    }

    /// The generator as it is now.
    pub fn generator(&self) -> &Generator {
        &self.tuned
    }

    /// A copy of the weights as they are now.
    ///
    /// # Errors
    /// Only when the device refuses a tensor.
    pub fn weights(&self) -> Result<Weights<Layer>> {
        let config = self.tuned.config();
        Weights::build(config, |layer, _shape| {
            Ok(self.tensors.get(&layer).expect("every layer of the configuration was inserted").copy()?.detach())
        })
    }
}

/// Distance of the features and mean squared difference of the pixels; scalars.
fn differences(image: &Tensor, target: &dyn Comparison, pixels: &Tensor) -> Result<(Tensor, Tensor)> {
    let l2 = ((image - pixels)? / 127.5)?.sqr()?.mean_all()?;
    Ok((target.distance(image)?.sum_all()?, l2))
}

/// What renders the image at a fixed `w`, without its noise images.
fn is_tuned(layer: Layer) -> bool {
    match layer {
        Layer::Embed(_) | Layer::Fc(..) | Layer::WAvg => false,
        Layer::Const => true,
        Layer::Block { term, .. } => term != Term::NoiseConst,
    }
}

/// Images `[N, C, R, R]` of `ws` `[N, num_ws, w_dim]`, 0 to 255, with the checkpoint's own noise.
fn render(generator: &Generator, ws: &Tensor) -> Result<Tensor> {
    let image = generator.synthesis.forward(&Dual::from(ws), &Noise::Const)?.into_value();
    Ok(image.affine(127.5, 127.5)?)
}
