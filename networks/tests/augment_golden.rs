//! Augmentations agree with the published pipeline: images, gradients, recorded draws and the control of p.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests may fail loudly and say what they ran")]

mod support;

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor, Var};
use serde_json::Value;
use support::Golden;
use toonify_networks::Result;
use toonify_networks::augment::{Adaptive, AugmentSet, Augmentation, Chance, Range, Transformation};
use toonify_networks::draws::Draws;
use toonify_networks::grad::Dual;
use toonify_networks::random::RandomState;

/// The published code computes the places that it samples in single precision: up to 6e-6 of a pixel off, where ours are
/// exact. In smooth pictures that makes as much as rounding; between neighbours of white noise, which the upstream gradients are, it
/// makes ten times as much.
const IMAGE_TOLERANCE: f64 = 1e-5;
const GRADIENT_TOLERANCE: f64 = 5e-5;

/// A small part that comes with the repository, and the whole set where it lies beside it.
fn folders() -> Vec<PathBuf> {
    let within = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/reference/augment");
    [Some(within), support::beside("augment")].into_iter().flatten().collect()
}

fn manifest(folder: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(folder.join("manifest.json")).unwrap()).unwrap()
}

/// The published keyword arguments as a set.
fn set(spec: &Value) -> AugmentSet {
    let mut settings = Vec::new();
    for (name, value) in spec.as_object().unwrap() {
        match value.as_array() {
            Some(bands) => {
                settings.extend(bands.iter().enumerate().map(|(i, value)| format!("imgfilter_band{i}={value}")));
            }
            None => settings.push(format!("{name}={value}")),
        }
    }
    settings.join(",").parse().unwrap()
}

fn shape(tensor: &Tensor) -> [usize; 4] {
    tensor.dims().try_into().unwrap()
}

#[test]
fn every_transformation_and_set_gives_the_published_images() {
    for folder in folders() {
        let golden = Golden::load(&folder);
        let manifest = manifest(&folder);
        let rows = manifest["rows"].as_array().unwrap();
        assert!(!rows.is_empty());
        for row in rows {
            let (id, images) = (row["id"].as_str().unwrap(), golden.get(row["input"].as_str().unwrap()));
            let chance = Chance::Percentile(row["debug_percentile"].as_f64().unwrap());
            let mut draws = RandomState::new(1);
            let mut augmentation = Augmentation::draw(&set(&row["spec"]), chance, shape(&images), &mut draws).unwrap();
            if let Some(pixels) = row["noise_tensor"].as_str() {
                augmentation.noise.as_mut().unwrap().pixels = golden.get(pixels);
            }
            let x = Var::from_tensor(&images).unwrap();
            let y = augmentation.apply(&x.as_tensor().into()).unwrap().into_value();
            golden.expect(&format!("{id}_out"), &y, IMAGE_TOLERANCE);
            if golden.has(&format!("{id}_dy")) {
                let gradients = (&y * golden.get(&format!("{id}_dy"))).unwrap().sum_all().unwrap().backward().unwrap();
                golden.expect(&format!("{id}_dx"), gradients.get(&x).unwrap(), GRADIENT_TOLERANCE);
            }
        }
        println!("{}: {} rows", folder.display(), rows.len());
    }
}

/// Draws of the published code in the order of its calls.
struct Recorded(VecDeque<(String, Vec<f64>)>);

impl Recorded {
    fn load(golden: &Golden, id: &str) -> Self {
        let prefix = format!("{id}_draw_");
        let mut names: Vec<&String> = golden.names().filter(|name| name.starts_with(&prefix)).collect();
        names.sort();
        let numbers = |name: &&String| {
            let numbers = golden.get(name).flatten_all().unwrap().to_vec1::<f32>().unwrap();
            (name.rsplit('_').next().unwrap().to_owned(), numbers.into_iter().map(f64::from).collect())
        };
        Recorded(names.iter().map(numbers).collect())
    }

    fn next(&mut self, kind: &str, count: usize) -> Vec<f64> {
        let (recorded, numbers) = self.0.pop_front().expect("as many draws as were recorded");
        assert_eq!((recorded.as_str(), numbers.len()), (kind, count));
        numbers
    }
}

impl Draws for Recorded {
    fn normal(&mut self, shape: &[usize]) -> Result<Tensor> {
        let numbers = self.next("randn", shape.iter().product());
        Ok(Tensor::from_vec(numbers, shape, &Device::Cpu)?.to_dtype(DType::F32)?)
    }

    fn fraction(&mut self) -> Result<f64> {
        Ok(self.fractions(1)?[0])
    }

    fn fractions(&mut self, count: usize) -> Result<Vec<f64>> {
        Ok(self.next("rand", count))
    }

    fn index(&mut self, _: usize) -> Result<usize> {
        panic!("augmentations draw no indrawss")
    }
}

#[test]
fn recorded_draws_give_the_published_images() {
    for folder in folders() {
        let golden = Golden::load(&folder);
        for row in manifest(&folder)["rng_rows"].as_array().unwrap() {
            let id = row["id"].as_str().unwrap();
            let images = golden.get(&format!("{id}_in"));
            let mut recorded = Recorded::load(&golden, id);
            assert_eq!(recorded.0.len(), row["n_draws"].as_u64().unwrap() as usize);
            let chance = Chance::Probability(row["p"].as_f64().unwrap());
            let augmentation = Augmentation::draw(&set(&row["spec"]), chance, shape(&images), &mut recorded).unwrap();
            assert!(recorded.0.is_empty(), "{id}: all draws are used");
            let y = augmentation.apply(&Dual::from(&images)).unwrap();
            golden.expect(&format!("{id}_out"), y.value(), IMAGE_TOLERANCE);
        }
    }
}

#[test]
fn p_follows_the_published_control() {
    for folder in folders() {
        let table: Value = serde_json::from_slice(&std::fs::read(folder.join("ada_p_table.json")).unwrap()).unwrap();
        for (i, row) in table["table"].as_array().unwrap().iter().enumerate() {
            let adaptive = Adaptive {
                target: row["target"].as_f64().unwrap(),
                interval: row["ada_interval"].as_u64().unwrap() as usize,
                speed_kimg: row["ada_kimg"].as_f64().unwrap(),
            };
            let (signs, expected) = (row["mean_signs"].as_array().unwrap(), row["p_after"].as_array().unwrap());
            let mut p = 0.0;
            for (sign, expected) in signs.iter().zip(expected) {
                p = adaptive.next(p, sign.as_f64().unwrap(), row["batch_size"].as_u64().unwrap() as usize);
                assert_eq!(f64::from(p), expected.as_f64().unwrap(), "row {i}");
            }
        }
    }
}

/// Shares and spreads of the published pipeline over thousands of draws.
#[test]
fn random_draws_have_the_published_statistics() {
    const IMAGES: usize = 20_000;
    // Three standard errors of a share over that many draws.
    let close = |found: f64, expected: f64| (found - expected).abs() < 0.012;
    for p in [0.4, 1.0] {
        let draw = |text: &str, seed: u32| {
            let set: AugmentSet = text.parse().unwrap();
            let mut draws = RandomState::new(seed);
            Augmentation::draw(&set, Chance::Probability(p), [IMAGES, 1, 1, 1], &mut draws).unwrap()
        };
        let share = |count: usize| count as f64 / IMAGES as f64;
        let flips = draw("xflip=1", 1).geometry.unwrap();
        assert!(close(share(flips.iter().filter(|map| map.0[0][0] < 0.0).count()), p / 2.0));
        let sigmas: Vec<f64> = draw("noise", 2).noise.unwrap().sigmas.into_iter().filter(|&s| s > 0.0).collect();
        assert!(close(share(sigmas.len()), p));
        let rms = (sigmas.iter().map(|sigma| sigma * sigma).sum::<f64>() / sigmas.len() as f64).sqrt();
        assert!((rms - 0.1).abs() < 0.003, "{rms}");
        let shifts: Vec<f64> = draw("brightness=1", 3).colours.unwrap().iter().map(|map| map.0[0][3]).collect();
        let applied: Vec<f64> = shifts.into_iter().filter(|&shift| shift != 0.0).collect();
        assert!(close(share(applied.len()), p));
        let std = (applied.iter().map(|b| b * b).sum::<f64>() / applied.len() as f64).sqrt();
        assert!((std - 0.2).abs() < 0.005, "{std}");
        let turned = draw("rotate=1", 4).geometry.unwrap();
        assert!(close(share(turned.iter().filter(|map| map.0[0][1] != 0.0).count()), p), "either rotation");
        let squares = draw("cutout", 5).cutout.unwrap();
        assert!(close(share(squares.iter().filter(|square| square.side > 0.0).count()), p));
    }
}

#[test]
fn wrong_arguments_are_errors() {
    let draw =
        |text: &str, chance, shape| Augmentation::draw(&text.parse().unwrap(), chance, shape, &mut RandomState::new(0));
    let (likely, rgb) = (Chance::Probability(1.0), [2, 3, 32, 32]);
    let error = draw("color", likely, [2, 2, 32, 32]).unwrap_err().to_string();
    assert!(error.contains("3 (RGB) or 1 (grey)"), "{error}");
    assert!(draw("filter", likely, [2, 3, 21, 40]).is_err(), "too small for the filter");
    assert!(draw("bgc", Chance::Probability(-0.1), rgb).is_err());
    assert!(draw("bgc", Chance::Probability(f64::NAN), rgb).is_err());
    assert!(draw("bgc", Chance::Percentile(1.0), rgb).is_err());
    let drawn = draw("bgc", likely, rgb).unwrap();
    let other = Tensor::zeros((3, 3, 32, 32), DType::F32, &Device::Cpu).unwrap();
    assert!(drawn.apply(&other.into()).is_err(), "another batch");
}

#[test]
fn sets_are_built_by_hand_as_well() {
    let set = AugmentSet::NONE.with(Transformation::Cutout, 2.0).unwrap().with_range(Range::CutoutSize, 0.25).unwrap();
    assert_eq!(set.to_string(), "cutout=2,cutout_size=0.25");
    assert!(AugmentSet::NONE.with(Transformation::Cutout, -1.0).is_err());
}
