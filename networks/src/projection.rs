//! Projection: the `w` whose image looks like a given one, by gradient descent (Karras et al. 2020, "Analyzing and
//! Improving the Image Quality of StyleGAN", section 5 and appendix D, with the constants of StyleGAN2-ADA's projector).

use std::f64::consts::PI;

use candle_core::{DType, Tensor, Var};
use serde::{Deserialize, Serialize};

use crate::encoder::{Encoder, Offsets};
use crate::error::{Error, Result};
use crate::grad::Dual;
use crate::latent::{WPlus, Z};
use crate::ops::noise_structure::{Normalise, noise_structure};
use crate::optim::{Adam, AdamConfig};
pub use crate::perceptual::{Comparison, Perception};
use crate::pool::in_pool;
use crate::random::RandomState;
use crate::stylegan2::{Generator, GeneratorConfig, Noise};

/// How a projection goes on over its steps.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Schedule {
    /// Number of steps.
    pub steps: usize,
    /// Learning rate between its ramps.
    pub learning_rate: f64,
    /// How much Adam's two averages keep from one step to the next.
    pub betas: (f64, f64),
    /// Share of the steps over which the learning rate rises from 0.
    pub ramp_up: f64,
    /// Share of the steps over which it falls to 0 again.
    pub ramp_down: f64,
    /// Standard deviation of the noise on `w` at the start, in those of `w` itself.
    pub w_noise: f64,
    /// Share of the steps after which that noise is gone.
    pub w_noise_ramp: f64,
    /// Weight of what keeps the noise images free of structure.
    pub noise_regularisation: f64,
}

impl Schedule {
    /// The published constants for a number of steps.
    pub fn published(steps: usize) -> Self {
        Schedule {
            steps,
            learning_rate: 0.1,
            betas: AdamConfig::DEFAULT.betas,
            ramp_up: 0.05,
            ramp_down: 0.25,
            w_noise: 0.05,
            w_noise_ramp: 0.75,
            noise_regularisation: 1e5,
        }
    }

    /// For a few dozen steps from a start that is near already, such as an encoder's: no noise on `w`, which would undo
    /// the start, and a search that turns sooner, since there is no time to swing. docs/projecting.md says how the
    /// constants were found.
    pub fn refining(steps: usize) -> Self {
        Schedule { learning_rate: 0.15, betas: (0.7, 0.95), w_noise: 0.0, ..Schedule::published(steps) }
    }

    /// Learning rate of step `step`, counted from 0.
    pub fn learning_rate_at(&self, step: usize) -> f64 {
        let t = self.progress(step);
        let down = ((1.0 - t) / self.ramp_down).min(1.0);
        let up = (t / self.ramp_up).min(1.0);
        self.learning_rate * (0.5 - 0.5 * (PI * down).cos()) * up
    }

    /// Standard deviation of the noise on `w` in step `step`, where `w_std` is that of `w`.
    pub fn w_noise_at(&self, step: usize, w_std: f64) -> f64 {
        let left = (1.0 - self.progress(step) / self.w_noise_ramp).max(0.0);
        w_std * self.w_noise * left * left
    }

    fn progress(&self, step: usize) -> f64 {
        step as f64 / self.steps as f64
    }
}

/// Where projections start from, and how widely `w` spreads.
#[derive(Clone, Debug)]
pub struct WStatistics {
    /// Average of `w`, `[w_dim]`.
    pub w_avg: Tensor,
    /// Root of the mean squared distance from it, summed over the dimensions.
    pub w_std: f64,
}

impl WStatistics {
    /// Maps 10,000 latents of `RandomState(123)`, as the published projector does; a conditional network takes `label`
    /// `[1, c_dim]` for all of them.
    ///
    /// # Errors
    /// [`Error::Value`] when a label is missing or not wanted.
    pub fn measure(generator: &Generator, label: Option<&Tensor>) -> Result<WStatistics> {
        const SAMPLES: usize = 10_000;
        let (z_dim, device) = (generator.config().z_dim, generator.w_avg().device());
        let drawn = RandomState::new(123).gauss_vec(SAMPLES * z_dim);
        let z = Z::new(Tensor::from_vec(drawn, (SAMPLES, z_dim), device)?.to_dtype(DType::F32)?, z_dim)?;
        let label = label.map(|label| label.repeat((SAMPLES, 1))).transpose()?;
        let w = generator.map(&z, label.as_ref())?;
        let w_avg = w.tensor().mean(0)?;
        let squares = w.tensor().broadcast_sub(&w_avg)?.to_dtype(DType::F64)?.sqr()?.sum_all()?;
        Ok(WStatistics { w_avg, w_std: (squares.to_scalar::<f64>()? / SAMPLES as f64).sqrt() })
    }
}

/// Which latents are free.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Space {
    /// One `w` for all layers: stays closest to faces that the generator knows.
    #[serde(rename = "w")]
    W,
    /// One `w` a layer: closer to the photo, further from what can be edited.
    #[serde(rename = "w+")]
    WPlus,
}

/// Loss of one step, one number an image.
#[derive(Clone, Debug, PartialEq)]
pub struct StepLoss {
    /// Distance of the features.
    pub distance: Vec<f64>,
    /// Structure in the noise images, unweighted.
    pub noise: Vec<f64>,
}

/// A projection under way: several images at once, each with latents and noise images of its own.
pub struct Projection<'a> {
    generator: &'a Generator,
    target: Box<dyn Comparison + 'a>,
    schedule: Schedule,
    w: Var,
    noise: Vec<Var>,
    adam: Adam,
    step: usize,
}

/// What a projection starts from.
pub struct Start {
    /// `[N, 1, w_dim]` in [`Space::W`], `[N, num_ws, w_dim]` in [`Space::WPlus`].
    pub w: Tensor,
    /// A noise image `[N, 1, R, R]` for every convolution, 4 px first, which are searched for as well; none leaves the noise
    /// as the checkpoint has it.
    pub noise: Vec<Tensor>,
}

impl Start {
    /// Starts `count` images at the average `w` with fresh noise.
    ///
    /// # Errors
    /// Only when the device refuses a tensor.
    pub fn at_average(
        config: &GeneratorConfig,
        statistics: &WStatistics,
        (count, space): (usize, Space),
        rng: &mut RandomState,
    ) -> Result<Start> {
        let layers = match space {
            Space::W => 1,
            Space::WPlus => config.num_ws(),
        };
        let w = statistics.w_avg.reshape((1, 1, ()))?.repeat((count, layers, 1))?;
        let noise = match Noise::random(config, count, rng, w.device())? {
            Noise::Given(images) => images.into_iter().map(Dual::into_value).collect(),
            Noise::Const | Noise::None => Vec::new(),
        };
        Ok(Start { w, noise })
    }

    /// Starts at the answer of an encoder, and leaves the noise as the checkpoint has it.
    ///
    /// # Errors
    /// Only when a tensor operation fails.
    pub fn at_answer(encoder: &Encoder, offsets: &Offsets, space: Space) -> Result<Start> {
        let w = match space {
            Space::W => encoder.w(offsets)?.tensor().unsqueeze(1)?,
            Space::WPlus => encoder.w_plus(offsets)?.tensor().clone(),
        };
        Ok(Start { w: w.detach(), noise: Vec::new() })
    }

    /// The latents for every layer.
    ///
    /// # Errors
    /// [`Error::Shape`] when they are of another network.
    pub fn w_plus(&self, config: &GeneratorConfig) -> Result<WPlus> {
        WPlus::new(every_layer(&self.w, config)?, config.num_ws(), config.w_dim)
    }
}

impl Start {
    /// Joins the starts of several images into one batch.
    ///
    /// # Errors
    /// [`Error::Value`] when there are none, candle's error when they are of different networks.
    pub fn stack(starts: &[Start]) -> Result<Start> {
        let Some(first) = starts.first() else { return Err(Error::value("starts", "none", "at least one")) };
        let join = |pick: &dyn Fn(&Start) -> Option<Tensor>| -> Result<Tensor> {
            let parts: Vec<Tensor> = starts.iter().filter_map(pick).collect();
            Ok(Tensor::cat(&parts, 0)?)
        };
        let noise = (0..first.noise.len()).map(|layer| join(&|start| start.noise.get(layer).cloned()));
        Ok(Start { w: join(&|start| Some(start.w.clone()))?, noise: noise.collect::<Result<_>>()? })
    }
}

impl<'a> Projection<'a> {
    /// Prepares the projection of `target` `[N, C, R, R]`, pixels from 0 to 255, of the generator's size.
    ///
    /// # Errors
    /// [`Error::Shape`] when target and start are not those of the generator and of each other.
    pub fn new(
        generator: &'a Generator,
        perception: &'a dyn Perception,
        target: &Tensor,
        (start, schedule): (Start, Schedule),
    ) -> Result<Self> {
        let config = generator.config();
        let (n, r) = (start.w.dim(0)?, config.resolution.px());
        let expected = vec![n, config.img_channels, r, r];
        if target.dims() != expected {
            return Err(Error::Shape { name: "target".to_owned(), expected, found: target.dims().to_vec() });
        }
        let target = perception.look_at(target)?;
        let w = Var::from_tensor(&start.w)?;
        let noise = start.noise.iter().map(Var::from_tensor).collect::<candle_core::Result<Vec<_>>>()?;
        let vars = std::iter::once(w.clone()).chain(noise.iter().cloned()).collect();
        let adam = Adam::new(vars, AdamConfig { betas: schedule.betas, ..AdamConfig::DEFAULT });
        Ok(Projection { generator, target, schedule, w, noise, adam, step: 0 })
    }

    /// Skips the rest of the search: the next step is the first of the ramp down, if it has not begun yet.
    pub fn ramp_down_now(&mut self) {
        let early = (self.step as f64 / (1.0 - self.schedule.ramp_down)).ceil() as usize;
        self.schedule.steps = self.schedule.steps.min(early.max(self.step + 1));
    }

    /// Shape of the free latents: `[N, 1, w_dim]` or `[N, num_ws, w_dim]`.
    pub fn free_shape(&self) -> (usize, usize, usize) {
        self.w.dims3().expect("the start has three axes")
    }

    /// Steps that the schedule has now.
    pub fn steps(&self) -> usize {
        self.schedule.steps
    }

    /// Steps taken so far.
    pub fn steps_done(&self) -> usize {
        self.step
    }

    /// The latents so far.
    ///
    /// # Errors
    /// Only when the tensor operation fails.
    pub fn w_plus(&self) -> Result<WPlus> {
        let config = self.generator.config();
        WPlus::new(every_layer(&self.w.as_detached_tensor(), config)?, config.num_ws(), config.w_dim)
    }

    /// The noise images so far, `[N, 1, R, R]` each.
    pub fn noise(&self) -> Vec<Tensor> {
        self.noise.iter().map(Var::as_detached_tensor).collect()
    }

    /// Takes one step. `w_noise` is standard normal, of the shape of the free latents; it is scaled here.
    ///
    /// # Errors
    /// [`Error::Shape`] for noise of another shape, and what the networks return.
    pub fn step(&mut self, w_noise: &Tensor, w_std: f64) -> Result<StepLoss> {
        in_pool(|| self.step_here(w_noise, w_std))
    }

    fn step_here(&mut self, w_noise: &Tensor, w_std: f64) -> Result<StepLoss> {
        let scale = self.schedule.w_noise_at(self.step, w_std);
        let ws = every_layer(&(self.w.as_tensor() + (w_noise * scale)?)?, self.generator.config())?;
        let noise = match self.noise.as_slice() {
            [] => Noise::Const,
            images => Noise::Given(images.iter().map(|var| Dual::from(var.as_tensor())).collect()),
        };
        let images = self.generator.synthesis.forward(&Dual::from(ws), &noise)?.into_value();
        let images = images.affine(127.5, 127.5)?;
        let distance = self.target.distance(&images)?; // [N]
        let structure = self.noise_structure()?; // [N]
        let loss = (&distance + (&structure * self.schedule.noise_regularisation)?)?.sum_all()?;
        let gradients = loss.backward()?;
        self.adam.step(&gradients, self.schedule.learning_rate_at(self.step))?;
        for image in &self.noise {
            image.as_detached_tensor().inplace_op1(&Normalise)?;
        }
        self.step += 1;
        Ok(StepLoss { distance: numbers(&distance)?, noise: numbers(&structure)? })
    }

    /// How much each pixel of the noise tells about its neighbour, over all scales down to 8 px; `[N]`.
    fn noise_structure(&self) -> Result<Tensor> {
        let mut sum = Tensor::zeros(self.w.dims()[0], DType::F32, self.w.device())?;
        for image in &self.noise {
            sum = (sum + noise_structure(image.as_tensor())?)?;
        }
        Ok(sum)
    }
}

/// `[N, 1 or num_ws, w_dim]` → `[N, num_ws, w_dim]`
fn every_layer(w: &Tensor, config: &GeneratorConfig) -> Result<Tensor> {
    let (n, _layers, w_dim) = w.dims3()?;
    Ok(w.broadcast_as((n, config.num_ws(), w_dim))?.contiguous()?)
}

fn numbers(tensor: &Tensor) -> Result<Vec<f64>> {
    Ok(tensor.to_dtype(DType::F64)?.to_vec1()?)
}
