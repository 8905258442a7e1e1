//! Whole steps through the one loop: after them all parameters are the published ones.

use candle_core::{IndexOp, Tensor};
use toonify::train::ema::EmaConfig;
use toonify::train::fit::{FitPlan, Flow, Log, Progress, Watch, fit};
use toonify::train::recipes::augmenter::{AugmentSettings, Augmenter};
use toonify::train::recipes::stylegan2::ImageBatch;
use toonify_networks::stylegan2::{Parameters, TensorName};

use crate::recorded::Recorded;
use crate::reference::{Golden, Recipe, difference, published_loss};

/// The largest difference of a parameter that is allowed after the last step.
const TOLERANCE: f64 = 1e-4;

/// Compares the networks after every step.
struct Compare<'a> {
    golden: &'a Golden,
    compared: usize,
}

impl Watch<Recipe> for Compare<'_> {
    fn after_step(&mut self, recipe: &mut Recipe, at: Progress, log: &mut Log) -> anyhow::Result<Flow> {
        let after = format!("after{}.", at.step - 1);
        self.parameters(&format!("{after}G."), recipe.generator().0);
        self.parameters(&format!("{after}D."), recipe.discriminator().0);
        self.parameters(&format!("{after}G_ema."), recipe.average());
        let expected = self.golden.manifest["log"][at.step as usize - 1]["pl_mean"].as_f64().unwrap();
        assert!((recipe.path_length_mean() - expected).abs() < 1e-6, "pl_mean after step {}", at.step);
        assert!(log.tally.mean("Loss/G/loss").unwrap().is_finite());
        Ok(Flow::Continue)
    }
}

impl Compare<'_> {
    fn parameters<L: TensorName>(&mut self, prefix: &str, parameters: &Parameters<L>) {
        for (layer, tensor) in parameters.iter() {
            let name = format!("{prefix}{layer}");
            // Buffers that never change are not recorded.
            let Some(expected) = self.golden.find(&name) else { continue };
            let off = difference(tensor, &expected, 1.0);
            assert!(off <= TOLERANCE, "{name} is off by {off:e}");
            self.compared += 1;
        }
    }
}

/// All draws of a run in the order in which ours are made: for each phase and round first the latents, then what the
/// reference drew.
fn draws(golden: &Golden, steps: usize, (batch_size, batch_gpu): (usize, usize)) -> Recorded {
    let mut recorded = Recorded::default();
    for iteration in 0..steps {
        let z = golden.get(&format!("it{iteration}.all_gen_z"));
        for (phase, latents) in [("Gmain", batch_gpu), ("Greg", batch_gpu / 2), ("Dmain", batch_gpu)] {
            let prefix = format!("it{iteration}.{phase}");
            let place = ["Gmain", "Greg", "Dmain"].iter().position(|name| *name == phase).unwrap() * batch_size;
            let rounds = batch_size / batch_gpu;
            let each = golden.count_draws(&prefix) / rounds;
            for round in (0..rounds).filter(|_| each > 0) {
                let z = z.i(place + round * batch_gpu..place + round * batch_gpu + latents).unwrap();
                recorded.push("randn", z);
                golden.record(&prefix, (round * each, each), &mut recorded);
            }
        }
    }
    recorded
}

fn check(folder: &str) {
    let Some(golden) = Golden::load(folder) else { return };
    let train = golden.manifest["train"].clone();
    let number = |key: &str| train[key].as_u64().unwrap() as usize;
    let (steps, batch_size, batch_gpu) = (number("iters"), number("batch_size"), number("batch_gpu"));
    let mut settings = published_loss();
    settings.learning_rate = train["lr"].as_f64().unwrap();
    settings.gamma = train["gamma"].as_f64().unwrap();
    settings.style_mixing = train["mix"].as_f64().unwrap();
    settings.generator_interval = train["G_reg_interval"].as_u64().unwrap();
    settings.discriminator_interval = train["D_reg_interval"].as_u64().unwrap();
    settings.ema =
        EmaConfig { half_life_kimg: train["ema_kimg"].as_f64().unwrap(), rampup: train["ema_rampup"].as_f64() };
    let draws = draws(&golden, steps, (batch_size, batch_gpu));
    let augmenter = Augmenter::new(AugmentSettings::OFF);
    let mut recipe = Recipe::new(&golden.checkpoint(), settings, augmenter, (None, draws)).unwrap();
    let rounds = |images: Tensor| -> Vec<ImageBatch> {
        let parts = (0..batch_size).step_by(batch_gpu).map(|start| images.narrow(0, start, batch_gpu).unwrap());
        parts.map(|images| ImageBatch { images: images.contiguous().unwrap(), labels: None }).collect()
    };
    let mut images = (0..steps).map(|iteration| Ok(rounds(golden.get(&format!("it{iteration}.real_img")))));
    let mut watch = Compare { golden: &golden, compared: 0 };
    let total = (steps * batch_size) as u64;
    let plan = FitPlan { start: Progress::default(), total_images: total, batch_size: batch_size as u64 };
    fit(&mut recipe, &mut images, plan, &mut watch).unwrap();
    assert!(recipe.draws().is_empty(), "draws are left over");
    assert_eq!(watch.compared, golden.names("after").len(), "every recorded parameter was compared");
}

#[test]
fn parameters_after_five_steps_are_the_published_ones() {
    check("train_steps");
}

#[test]
fn parameters_after_accumulating_with_frozen_layers_are_the_published_ones() {
    check("train_steps_accum_freeze");
}
