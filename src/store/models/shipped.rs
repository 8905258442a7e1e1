//! Models that come within the program: trained by this project, described in `models/` by a card each.
//!
//! Everything reads models from files, so one that is asked for by name is unpacked into the cache, once.

use std::fmt;
use std::fs;
use std::path::PathBuf;

use anyhow::Result;

use crate::store::models::ModelFolders;
use crate::store::{atomic, folder, hash};

/// A model within the program.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ShippedModel {
    /// What it is called on the command line.
    pub name: &'static str,
    /// Its file.
    pub file_name: &'static str,
    /// What it is, in a few words.
    pub about: &'static str,
    bytes: &'static [u8],
}

/// A shipped model of the file `models/NAME.safetensors`.
macro_rules! shipped {
    ($name:literal, $about:literal) => {
        ShippedModel {
            name: $name,
            file_name: concat!($name, ".safetensors"),
            about: $about,
            bytes: include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/models/", $name, ".safetensors")),
        }
    };
}

/// The generator of portraits that photos are projected into.
pub const PORTRAITS: ShippedModel = shipped!("portraits64", "portraits, 64 px, with its discriminator");
/// Where a projection into it starts.
pub const PORTRAITS_ENCODER: ShippedModel = shipped!("portraits64-encoder", "starts projections into portraits64");
/// The generator that was tuned from it to game characters.
pub const CHARACTERS: ShippedModel = shipped!("characters64", "game characters, 64 px, tuned from portraits64");
/// The student that was distilled from their blend.
pub const STUDENT: ShippedModel = shipped!("characters64-student", "makes photos game characters in real time");

/// All of them.
pub const SHIPPED_MODELS: [ShippedModel; 4] = [PORTRAITS, PORTRAITS_ENCODER, CHARACTERS, STUDENT];

impl fmt::Debug for ShippedModel {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "ShippedModel({})", self.name)
    }
}

impl ShippedModel {
    /// Its size in bytes.
    pub fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// Whether the program was built without its bytes.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Its file: the user's own of that name, or the one unpacked into the cache, now if need be.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn file(&self, folders: &ModelFolders) -> Result<PathBuf> {
        if let Some(own) = folders.own.iter().map(|folder| folder.join(self.file_name)).find(|path| path.is_file()) {
            return Ok(own);
        }
        // Another version of the program may keep another model of this name there.
        let home = folders.cache.join("shipped").join(&hash::sha256(self.bytes)[..16]);
        let path = home.join(self.file_name);
        if !fs::metadata(&path).is_ok_and(|metadata| metadata.len() == self.len()) {
            folder::create(&home)?;
            atomic::write(&path, self.bytes)?;
        }
        Ok(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shipped_model_is_unpacked_once_and_the_users_own_file_comes_first() {
        let root = tempfile::tempdir().unwrap();
        let folders =
            ModelFolders { own: vec![root.path().join("own")], cache: root.path().join("cache"), foreign_cache: None };
        let unpacked = CHARACTERS.file(&folders).unwrap();
        assert_eq!(fs::read(&unpacked).unwrap(), CHARACTERS.bytes);
        let first = fs::metadata(&unpacked).unwrap().modified().unwrap();
        assert_eq!(CHARACTERS.file(&folders).unwrap(), unpacked);
        assert_eq!(fs::metadata(&unpacked).unwrap().modified().unwrap(), first);
        fs::write(&unpacked, "half").unwrap();
        assert_eq!(fs::read(CHARACTERS.file(&folders).unwrap()).unwrap(), CHARACTERS.bytes);
        let own = root.path().join("own").join(CHARACTERS.file_name);
        fs::create_dir_all(own.parent().unwrap()).unwrap();
        fs::write(&own, "mine").unwrap();
        assert_eq!(CHARACTERS.file(&folders).unwrap(), own);
    }

    #[test]
    fn the_encoder_was_trained_for_the_generator_that_ships() {
        let encoder = toonify_networks::encoder::read_encoder(PORTRAITS_ENCODER.bytes).unwrap();
        assert_eq!(encoder.history.network_sha256, hash::sha256(PORTRAITS.bytes));
    }

    #[test]
    fn all_that_ships_is_small_enough_for_a_clone() {
        let total: u64 = SHIPPED_MODELS.iter().map(ShippedModel::len).sum();
        assert!(total <= 25_000_000, "{total} bytes");
    }
}
