//! The networks give the published numbers: latents, styles, features, images and logits of every golden checkpoint.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests may fail loudly and say what they left out")]

mod support;

use std::path::{Path, PathBuf};

use candle_core::{Device, IndexOp, Tensor};
use support::Golden;
use toonify_networks::checkpoint::Checkpoint;
use toonify_networks::grad::Dual;
use toonify_networks::latent::{Seed, Truncation, Z, one_hot};
use toonify_networks::stylegan2::{Discriminator, Generator, Noise};

/// Largest |difference| that is allowed on outputs of magnitude about 10.
const TOLERANCE: f64 = 1e-4;

/// One golden folder with its checkpoint.
struct Case {
    golden: Golden,
    checkpoint: Checkpoint,
}

impl Case {
    fn load(folder: &Path) -> Case {
        Case { golden: Golden::load(folder), checkpoint: support::read(&folder.join("network.pkl")) }
    }

    fn generator(&self) -> Generator {
        Generator::from_weights(&self.checkpoint.config, &self.checkpoint.ema).unwrap()
    }

    fn label(&self) -> Option<Tensor> {
        self.has("c").then(|| self.get("c"))
    }

    fn has(&self, name: &str) -> bool {
        self.golden.has(name)
    }

    fn get(&self, name: &str) -> Tensor {
        self.golden.get(name)
    }

    fn expect(&self, name: &str, found: &Tensor) {
        self.golden.expect(name, found, TOLERANCE);
    }
}

/// The folders with a `network.pkl` and outputs: those of the repository, and all of the reference set where it is.
fn folders() -> Vec<PathBuf> {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    for root in [manifest.join("../tests/reference/networks"), manifest.join("../../shared/goldens")] {
        let Ok(entries) = std::fs::read_dir(&root) else {
            println!("not there, left out: {}", root.display());
            continue;
        };
        let folders = entries.map(|entry| entry.unwrap().path());
        found.extend(
            folders.filter(|path| path.join("network.pkl").exists() && path.join("golden.safetensors").exists()),
        );
    }
    found.sort();
    found
}

fn check(test: impl Fn(&Case)) {
    let folders: Vec<_> = folders().into_iter().filter(|path| path.to_string_lossy().contains("ckpt_")).collect();
    assert!(!folders.is_empty(), "the repository holds at least one golden checkpoint");
    for folder in folders {
        test(&Case::load(&folder));
    }
}

#[test]
fn mapping_and_truncation_give_the_published_w() {
    check(|case| {
        let (generator, config) = (case.generator(), &case.checkpoint.config);
        let z = Z::new(case.get("z"), config.z_dim).unwrap();
        let w = generator.map(&z, case.label().as_ref()).unwrap().broadcast(config.num_ws()).unwrap();
        for name in case.golden.names().filter(|name| name.starts_with("w_psi")) {
            let (psi, cutoff) = match name["w_psi".len()..].split_once("_cut") {
                Some((psi, cutoff)) => (psi, Some(cutoff.parse().unwrap())),
                None => (&name["w_psi".len()..], None),
            };
            let truncation = Truncation { psi: psi.parse().unwrap(), cutoff };
            case.expect(name, w.truncate(generator.w_avg(), &truncation).unwrap().tensor());
        }
    });
}

#[test]
fn images_are_the_published_ones_for_every_latent_and_noise_mode() {
    check(|case| {
        let generator = case.generator();
        for name in case.golden.names().filter(|name| name.starts_with("img_const_") || *name == "img_none_psi1") {
            let noise = if name.starts_with("img_none") { Noise::None } else { Noise::Const };
            let latent = name.replacen("img_const_", "", 1).replacen("img_none_", "", 1);
            let latent = if latent.starts_with("psi") { format!("w_{latent}") } else { latent };
            case.expect(name, &generator.render(&case.golden.ws(&latent, &generator), &noise).unwrap());
        }
        if case.has("img_random_psi1") {
            let draw = |index| format!("img_random_noise_{index:03}_randn");
            let drawn = (0..).map(draw).take_while(|name| case.has(name)).map(|name| case.get(&name).into());
            let ws = case.golden.ws("w_psi1", &generator).narrow(0, 2).unwrap();
            case.expect("img_random_psi1", &generator.render(&ws, &Noise::Given(drawn.collect())).unwrap());
        }
    });
}

#[test]
fn the_generator_in_training_is_read_beside_its_average() {
    check(|case| {
        let name = "img_G_not_ema_const_psi1_sample0";
        if !case.has(name) {
            return;
        }
        let config = &case.checkpoint.config;
        let generator = Generator::from_weights(config, case.checkpoint.generator.as_ref().unwrap()).unwrap();
        let z = Z::new(case.get("z").narrow(0, 0, 1).unwrap(), config.z_dim).unwrap();
        let label = case.label().map(|c| c.narrow(0, 0, 1).unwrap());
        let ws = generator.map(&z, label.as_ref()).unwrap().broadcast(config.num_ws()).unwrap();
        case.expect(name, &generator.render(&ws, &Noise::Const).unwrap());
    });
}

#[test]
fn features_images_and_styles_agree_after_every_block() {
    check(|case| {
        let generator = case.generator();
        let ws = Dual::from(case.golden.ws("w_psi1", &generator).tensor());
        let distinct = case.get("w_distinct").i((.., 0)).unwrap().contiguous().unwrap();
        let distinct_all = case.get("w_distinct");
        let mut features = None;
        for block in generator.synthesis.blocks() {
            let after = block.forward(features, &ws, &Noise::Const).unwrap();
            let r = block.resolution();
            if case.has(&format!("x_b{r}_sample0")) {
                case.expect(&format!("x_b{r}_sample0"), &after.x.value().i(0).unwrap());
            }
            if case.has(&format!("img_b{r}")) {
                case.expect(&format!("img_b{r}"), after.image.as_ref().unwrap().value());
            }
            for (layer, styles) in block.styles(&Dual::from(&distinct)).unwrap() {
                let name = format!("affine_b{r}_{layer}_w_distinct0");
                case.expect(&name, styles.value());
            }
            features = Some(after);
        }
        assert_eq!(distinct_all.dims()[1], case.checkpoint.config.num_ws());
    });
}

#[test]
fn discriminator_logits_agree_for_every_batch_size() {
    check(|case| {
        let part = case.checkpoint.discriminator.as_ref().unwrap();
        let discriminator = Discriminator::from_weights(&part.config, &part.weights).unwrap();
        let labels = ["d_c", "c_d", "d_labels"].into_iter().find(|name| case.has(name)).map(|name| case.get(name));
        let images = case.get("d_img");
        for (name, batch) in [("d_logits", images.dims()[0]), ("d_logits_batch4", 4), ("d_logits_batch1", 1)] {
            if !case.has(name) {
                continue;
            }
            let label = labels.as_ref().map(|labels| labels.narrow(0, 0, batch).unwrap());
            let image = Dual::from(images.narrow(0, 0, batch).unwrap());
            case.expect(name, discriminator.forward(&image, label.as_ref()).unwrap().value());
        }
        if case.has("d_cmap") {
            case.expect("d_cmap", discriminator.map_label(labels.as_ref()).unwrap().unwrap().value());
        }
        let (mut x, mut image) = (None, Some(Dual::from(images.narrow(0, 0, 2).unwrap())));
        for block in discriminator.blocks() {
            let (next, smaller) = block.forward(x, image).unwrap();
            let name = format!("d_x_b{}", block.resolution());
            if case.has(&name) {
                case.expect(&name, next.value());
            }
            (x, image) = (Some(next), smaller);
        }
    });
}

#[test]
fn seeds_give_the_published_latents_and_pixels() {
    check(|case| {
        let (generator, config) = (case.generator(), &case.checkpoint.config);
        for seed in [0, 1] {
            let z = Z::from_seeds(&[Seed(seed)], config.z_dim, &Device::Cpu).unwrap();
            case.expect(&format!("gen_seed{seed}_z"), z.tensor());
            let label = (config.c_dim > 0).then(|| one_hot(&[1], config.c_dim, &Device::Cpu).unwrap());
            let ws = generator.map(&z, label.as_ref()).unwrap().broadcast(config.num_ws()).unwrap();
            let truncation = Truncation { psi: 0.7, cutoff: None };
            let ws = ws.truncate(generator.w_avg(), &truncation).unwrap();
            let image = generator.render(&ws, &Noise::Const).unwrap();
            let pixels =
                (image * 127.5).unwrap().affine(1.0, 128.0).unwrap().clamp(0f32, 255f32).unwrap().floor().unwrap();
            let pixels = pixels.permute((0, 2, 3, 1)).unwrap().contiguous().unwrap();
            let expected = case.get(&format!("gen_seed{seed}_psi0.7_u8_nhwc"));
            let difference =
                (pixels - expected).unwrap().abs().unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
            let off = difference.iter().filter(|d| **d > 0.0).count();
            assert!(
                difference.iter().all(|d| *d <= 1.0),
                "{}: a pixel of seed {seed} is off by more than 1",
                case.golden.name
            );
            assert!(off * 1000 <= difference.len(), "{}: {off} of {} bytes differ", case.golden.name, difference.len());
        }
    });
}
