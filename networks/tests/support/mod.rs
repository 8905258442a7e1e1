//! Golden folders: a checkpoint, what the published code made of it, and how close ours has to come.

#![allow(dead_code, reason = "each test file uses its own part")]

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use toonify_networks::checkpoint::{self, Checkpoint, Parts};
use toonify_networks::latent::WPlus;
use toonify_networks::stylegan2::Generator;

/// Reads a checkpoint file whole.
pub fn read(path: &Path) -> Checkpoint {
    let bytes = std::fs::read(path).unwrap();
    checkpoint::open(&bytes).unwrap().into_checkpoint(Parts::All, &mut || {}).unwrap().0
}

/// The folder `name` of the reference set, which lies beside the repository.
pub fn beside(name: &str) -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/goldens").join(name);
    if !folder.is_dir() {
        println!("not there, left out: {}", folder.display());
        return None;
    }
    Some(folder)
}

/// The tensors of one golden folder.
pub struct Golden {
    pub name: String,
    tensors: HashMap<String, Tensor>,
}

impl Golden {
    pub fn load(folder: &Path) -> Golden {
        let tensors = candle_core::safetensors::load(folder.join("golden.safetensors"), &Device::Cpu).unwrap();
        Golden { name: folder.file_name().unwrap().to_string_lossy().into_owned(), tensors }
    }

    pub fn names(&self) -> impl Iterator<Item = &String> {
        self.tensors.keys()
    }

    pub fn has(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    pub fn get(&self, name: &str) -> Tensor {
        let tensor = self.tensors.get(name).unwrap_or_else(|| panic!("{}: no golden `{name}`", self.name));
        tensor.to_dtype(DType::F32).unwrap()
    }

    /// The latents `name`, `[N, num_ws, w_dim]`.
    pub fn ws(&self, name: &str, generator: &Generator) -> WPlus {
        let config = generator.config();
        WPlus::new(self.get(name), config.num_ws(), config.w_dim).unwrap()
    }

    /// Compares with the golden `name`: at most `tolerance` for numbers up to 10, in proportion above.
    pub fn expect(&self, name: &str, found: &Tensor, tolerance: f64) {
        let expected = self.get(name);
        assert_eq!(found.dims(), expected.dims(), "{}: shape of `{name}`", self.name);
        let difference = largest(&(found - &expected).unwrap());
        let allowed = tolerance * (largest(&expected) / 10.0).max(1.0);
        assert!(difference <= allowed, "{}: `{name}` differs by {difference:e}, allowed {allowed:e}", self.name);
    }
}

/// The largest magnitude in a tensor.
pub fn largest(tensor: &Tensor) -> f64 {
    let largest = tensor.abs().unwrap().flatten_all().unwrap().max(0).unwrap();
    f64::from(largest.to_scalar::<f32>().unwrap())
}
