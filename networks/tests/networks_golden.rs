//! The networks give the published numbers: latents, styles, features, images and logits of every golden checkpoint.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests may read files and fail loudly")]

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, IndexOp, Tensor};
use toonify_networks::checkpoint::{self, Checkpoint, Parts};
use toonify_networks::grad::Dual;
use toonify_networks::latent::{Seed, Truncation, WPlus, Z, one_hot};
use toonify_networks::stylegan2::{Discriminator, Generator, Noise};

/// Largest |difference| that is allowed on outputs of magnitude about 10.
const TOLERANCE: f64 = 1e-4;

/// One golden folder: the checkpoint and what the published code made of it.
struct Golden {
    name: String,
    checkpoint: Checkpoint,
    tensors: HashMap<String, Tensor>,
}

impl Golden {
    fn load(folder: &Path) -> Golden {
        let bytes = std::fs::read(folder.join("network.pkl")).unwrap();
        let (checkpoint, _report) = checkpoint::open(&bytes).unwrap().into_checkpoint(Parts::All, &mut || {}).unwrap();
        let tensors = candle_core::safetensors::load(folder.join("golden.safetensors"), &Device::Cpu).unwrap();
        Golden { name: folder.file_name().unwrap().to_string_lossy().into_owned(), checkpoint, tensors }
    }

    fn has(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    fn get(&self, name: &str) -> Tensor {
        self.tensors
            .get(name)
            .unwrap_or_else(|| panic!("{}: no golden `{name}`", self.name))
            .to_dtype(DType::F32)
            .unwrap()
    }

    fn generator(&self) -> Generator {
        Generator::from_weights(&self.checkpoint.config, &self.checkpoint.ema).unwrap()
    }

    fn ws(&self, name: &str) -> WPlus {
        let config = &self.checkpoint.config;
        WPlus::new(self.get(name), config.num_ws(), config.w_dim).unwrap()
    }

    fn label(&self) -> Option<Tensor> {
        self.has("c").then(|| self.get("c"))
    }

    fn expect(&self, name: &str, found: &Tensor) {
        let expected = self.get(name);
        assert_eq!(found.dims(), expected.dims(), "{}: shape of `{name}`", self.name);
        let largest =
            |t: Tensor| f64::from(t.abs().unwrap().flatten_all().unwrap().max(0).unwrap().to_scalar::<f32>().unwrap());
        let difference = largest((found - &expected).unwrap());
        let allowed = TOLERANCE * (largest(expected) / 10.0).max(1.0);
        assert!(difference <= allowed, "{}: `{name}` differs by {difference:e}, allowed {allowed:e}", self.name);
    }
}

/// The folders with a `network.pkl` and outputs: those of the repository, and all of the reference set where it is.
fn folders() -> Vec<PathBuf> {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    for root in [manifest.join("../tests/reference/checkpoints"), manifest.join("../../shared/goldens")] {
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

fn check(test: impl Fn(&Golden)) {
    let folders: Vec<_> = folders().into_iter().filter(|path| path.to_string_lossy().contains("ckpt_")).collect();
    assert!(!folders.is_empty(), "the repository holds at least one golden checkpoint");
    for folder in folders {
        test(&Golden::load(&folder));
    }
}

#[test]
fn mapping_and_truncation_give_the_published_w() {
    check(|golden| {
        let (generator, config) = (golden.generator(), &golden.checkpoint.config);
        let z = Z::new(golden.get("z"), config.z_dim).unwrap();
        let w = generator.map(&z, golden.label().as_ref()).unwrap().broadcast(config.num_ws()).unwrap();
        for name in golden.tensors.keys().filter(|name| name.starts_with("w_psi")) {
            let (psi, cutoff) = match name["w_psi".len()..].split_once("_cut") {
                Some((psi, cutoff)) => (psi, Some(cutoff.parse().unwrap())),
                None => (&name["w_psi".len()..], None),
            };
            let truncation = Truncation { psi: psi.parse().unwrap(), cutoff };
            golden.expect(name, w.truncate(generator.w_avg(), &truncation).unwrap().tensor());
        }
    });
}

#[test]
fn images_are_the_published_ones_for_every_latent_and_noise_mode() {
    check(|golden| {
        let generator = golden.generator();
        for name in golden.tensors.keys().filter(|name| name.starts_with("img_const_") || *name == "img_none_psi1") {
            let noise = if name.starts_with("img_none") { Noise::None } else { Noise::Const };
            let latent = name.replacen("img_const_", "", 1).replacen("img_none_", "", 1);
            let latent = if latent.starts_with("psi") { format!("w_{latent}") } else { latent };
            golden.expect(name, &generator.render(&golden.ws(&latent), &noise).unwrap());
        }
        if golden.has("img_random_psi1") {
            let draw = |index| format!("img_random_noise_{index:03}_randn");
            let drawn = (0..).map(draw).take_while(|name| golden.has(name)).map(|name| golden.get(&name).into());
            let ws = golden.ws("w_psi1").narrow(0, 2).unwrap();
            golden.expect("img_random_psi1", &generator.render(&ws, &Noise::Given(drawn.collect())).unwrap());
        }
    });
}

#[test]
fn the_generator_in_training_is_read_beside_its_average() {
    check(|golden| {
        let name = "img_G_not_ema_const_psi1_sample0";
        if !golden.has(name) {
            return;
        }
        let config = &golden.checkpoint.config;
        let generator = Generator::from_weights(config, golden.checkpoint.generator.as_ref().unwrap()).unwrap();
        let z = Z::new(golden.get("z").narrow(0, 0, 1).unwrap(), config.z_dim).unwrap();
        let label = golden.label().map(|c| c.narrow(0, 0, 1).unwrap());
        let ws = generator.map(&z, label.as_ref()).unwrap().broadcast(config.num_ws()).unwrap();
        golden.expect(name, &generator.render(&ws, &Noise::Const).unwrap());
    });
}

#[test]
fn features_images_and_styles_agree_after_every_block() {
    check(|golden| {
        let generator = golden.generator();
        let ws = Dual::from(golden.ws("w_psi1").tensor());
        let distinct = golden.get("w_distinct").i((.., 0)).unwrap().contiguous().unwrap();
        let distinct_all = golden.get("w_distinct");
        let mut features = None;
        for block in generator.synthesis.blocks() {
            let after = block.forward(features, &ws, &Noise::Const).unwrap();
            let r = block.resolution();
            if golden.has(&format!("x_b{r}_sample0")) {
                golden.expect(&format!("x_b{r}_sample0"), &after.x.value().i(0).unwrap());
            }
            if golden.has(&format!("img_b{r}")) {
                golden.expect(&format!("img_b{r}"), after.image.as_ref().unwrap().value());
            }
            for (layer, styles) in block.styles(&Dual::from(&distinct)).unwrap() {
                let name = format!("affine_b{r}_{layer}_w_distinct0");
                golden.expect(&name, styles.value());
            }
            features = Some(after);
        }
        assert_eq!(distinct_all.dims()[1], golden.checkpoint.config.num_ws());
    });
}

#[test]
fn discriminator_logits_agree_for_every_batch_size() {
    check(|golden| {
        let part = golden.checkpoint.discriminator.as_ref().unwrap();
        let discriminator = Discriminator::from_weights(&part.config, &part.weights).unwrap();
        let labels = ["d_c", "c_d", "d_labels"].into_iter().find(|name| golden.has(name)).map(|name| golden.get(name));
        let images = golden.get("d_img");
        for (name, batch) in [("d_logits", images.dims()[0]), ("d_logits_batch4", 4), ("d_logits_batch1", 1)] {
            if !golden.has(name) {
                continue;
            }
            let label = labels.as_ref().map(|labels| labels.narrow(0, 0, batch).unwrap());
            let image = Dual::from(images.narrow(0, 0, batch).unwrap());
            golden.expect(name, discriminator.forward(&image, label.as_ref()).unwrap().value());
        }
        if golden.has("d_cmap") {
            golden.expect("d_cmap", discriminator.map_label(labels.as_ref()).unwrap().unwrap().value());
        }
        let (mut x, mut image) = (None, Some(Dual::from(images.narrow(0, 0, 2).unwrap())));
        for block in discriminator.blocks() {
            let (next, smaller) = block.forward(x, image).unwrap();
            let name = format!("d_x_b{}", block.resolution());
            if golden.has(&name) {
                golden.expect(&name, next.value());
            }
            (x, image) = (Some(next), smaller);
        }
    });
}

#[test]
fn seeds_give_the_published_latents_and_pixels() {
    check(|golden| {
        let (generator, config) = (golden.generator(), &golden.checkpoint.config);
        for seed in [0, 1] {
            let z = Z::from_seeds(&[Seed(seed)], config.z_dim, &Device::Cpu).unwrap();
            golden.expect(&format!("gen_seed{seed}_z"), z.tensor());
            let label = (config.c_dim > 0).then(|| one_hot(&[1], config.c_dim, &Device::Cpu).unwrap());
            let ws = generator.map(&z, label.as_ref()).unwrap().broadcast(config.num_ws()).unwrap();
            let truncation = Truncation { psi: 0.7, cutoff: None };
            let ws = ws.truncate(generator.w_avg(), &truncation).unwrap();
            let image = generator.render(&ws, &Noise::Const).unwrap();
            let pixels =
                (image * 127.5).unwrap().affine(1.0, 128.0).unwrap().clamp(0f32, 255f32).unwrap().floor().unwrap();
            let pixels = pixels.permute((0, 2, 3, 1)).unwrap().contiguous().unwrap();
            let expected = golden.get(&format!("gen_seed{seed}_psi0.7_u8_nhwc"));
            let difference =
                (pixels - expected).unwrap().abs().unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
            let off = difference.iter().filter(|d| **d > 0.0).count();
            assert!(
                difference.iter().all(|d| *d <= 1.0),
                "{}: a pixel of seed {seed} is off by more than 1",
                golden.name
            );
            assert!(off * 1000 <= difference.len(), "{}: {off} of {} bytes differ", golden.name, difference.len());
        }
    });
}
