//! Blends are those of the two published scripts, row by row.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests may fail loudly and say what they left out")]

mod support;

use std::collections::HashMap;
use std::path::Path;

use candle_core::Tensor;
use serde_json::Value;
use support::Golden;
use toonify_networks::checkpoint::Checkpoint;
use toonify_networks::latent::Z;
use toonify_networks::stylegan2::{BlendCurve, Generator, Layer, Level, Noise, Resolution, Slot, Term};

/// Largest |difference| of an image.
const TOLERANCE: f64 = 1e-4;

struct Case {
    golden: Golden,
    manifest: Value,
    models: HashMap<&'static str, Checkpoint>,
}

impl Case {
    fn load(folder: &Path) -> Case {
        let manifest = std::fs::read_to_string(folder.join("manifest.json")).unwrap();
        let models = ["base", "tuned"].map(|name| (name, support::read(&folder.join(format!("{name}.pkl")))));
        let manifest = serde_json::from_str(&manifest).unwrap();
        Case { golden: Golden::load(folder), manifest, models: models.into() }
    }

    fn blended(&self, low: &Value, high: &Value, curve: &BlendCurve) -> Generator {
        let (low, high) = (&self.models[low.as_str().unwrap()], &self.models[high.as_str().unwrap()]);
        let weights = low.ema.blend(&high.ema, &low.config, curve).unwrap();
        Generator::from_weights(&low.config, &weights).unwrap()
    }

    /// The image `name` of a blend, from the latents that the base model mapped.
    fn expect(&self, name: &str, generator: &Generator, latents: &str) {
        let images = self.golden.get(name).dims()[0];
        let ws = self.golden.ws(latents, generator).narrow(0, images).unwrap();
        let image: Tensor = generator.render(&ws, &Noise::Const).unwrap();
        self.golden.expect(name, &image, TOLERANCE);
    }
}

fn resolution(value: &Value) -> Resolution {
    Resolution::new(value.as_u64().unwrap() as usize).unwrap()
}

fn level(value: &Value) -> Level {
    if *value == 0 { Level::Zero } else { Level::One }
}

#[test]
fn every_row_of_the_first_script_is_reproduced() {
    let Some(folder) = support::beside("blend") else { return };
    let case = Case::load(&folder);
    let rows = case.manifest["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 50);
    for row in rows {
        let width = row["blend_width"].as_f64();
        let curve = BlendCurve::pinkney(resolution(&row["resolution"]), level(&row["level"]), width).unwrap();
        for (layer, share) in row["y_per_layer"].as_object().unwrap() {
            let found = curve.share(named(layer));
            assert!((found - share.as_f64().unwrap()).abs() < 1e-12, "{}: {layer} has {found}, not {share}", row["id"]);
        }
        let generator = case.blended(&row["low_res_model"], &row["high_res_model"], &curve);
        case.expect(&format!("{}_w_base", row["id"].as_str().unwrap()), &generator, "w_base");
    }
    let curve = BlendCurve::pinkney(Resolution::new(16).unwrap(), Level::Zero, None).unwrap();
    let generator = case.blended(&"base".into(), &"tuned".into(), &curve);
    case.expect("full_low_base_16_psi0.7", &generator, "w_base_psi0.7");
}

/// `b8.conv1` as the tensor that the script would blend.
fn named(layer: &str) -> Layer {
    if layer == "b4.const" {
        return Layer::Const;
    }
    format!("synthesis.{layer}.weight").parse().unwrap()
}

#[test]
fn every_row_of_the_second_script_is_reproduced() {
    let Some(folder) = support::beside("blend") else { return };
    let case = Case::load(&folder);
    let rows = case.manifest["dvs_rows"].as_array().unwrap();
    assert_eq!(rows.len(), 8);
    for row in rows {
        let generator = case.blended(&row["low"], &row["high"], &BlendCurve::dvschultz(resolution(&row["split_res"])));
        let id = row["id"].as_str().unwrap();
        case.expect(&format!("{id}_w_base"), &generator, "w_base");

        let (name, config) = (format!("{id}_full_z"), generator.config());
        let images = case.golden.get(&name).dims()[0];
        let z = Z::new(case.golden.get("z").narrow(0, 0, images).unwrap(), config.z_dim).unwrap();
        let ws = generator.map(&z, None).unwrap().broadcast(config.num_ws()).unwrap();
        case.golden.expect(&name, &generator.render(&ws, &Noise::Const).unwrap(), TOLERANCE);
    }
}

#[test]
fn noise_images_and_the_first_convolution_stay_low_in_the_published_blends() {
    let four = Resolution::R4;
    let curve = BlendCurve::pinkney(four, Level::Zero, Some(0.1)).unwrap();
    let at = |px, slot, term| Layer::Block { resolution: Resolution::new(px).unwrap(), slot, term };
    assert_eq!(curve.share(at(4, Slot::Conv1, Term::Weight)), 0.0);
    assert_eq!(curve.share(at(64, Slot::Conv1, Term::NoiseConst)), 0.0);
    assert_eq!(BlendCurve::dvschultz(four).share(at(64, Slot::Conv1, Term::NoiseConst)), 0.0);
    assert_eq!(BlendCurve::dvschultz(four).share(at(64, Slot::Conv1, Term::NoiseStrength)), 1.0);
}
