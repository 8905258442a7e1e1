//! Model files that are known by name: where they may lie already, and how they come here.
//!
//! Some come within the program. Any other is looked for in the folder that `TOONIFY_MODELS` names, in `models` beside the
//! program, and in the cache; then it is downloaded to the cache. What the published code has downloaded before is found as
//! well.

mod download;
mod shipped;

use std::env;
use std::path::PathBuf;

use anyhow::{Result, ensure};

use crate::events::{Event, Sink};

pub use download::{Downloaded, fetch};
pub use shipped::{CHARACTERS, PORTRAITS, PORTRAITS_ENCODER, SHIPPED_MODELS, STUDENT, ShippedModel};

/// Names a folder of models.
pub const FOLDER_VARIABLE: &str = "TOONIFY_MODELS";

/// A checkpoint that its authors publish under a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublishedModel {
    /// What it is called on the command line.
    pub name: &'static str,
    /// Its file.
    pub file_name: &'static str,
}

/// The published starting points of transfer learning.
pub const PUBLISHED_MODELS: [PublishedModel; 5] = [
    PublishedModel { name: "ffhq256", file_name: "ffhq-res256-mirror-paper256-noaug.pkl" },
    PublishedModel { name: "ffhq512", file_name: "ffhq-res512-mirror-stylegan2-noaug.pkl" },
    PublishedModel { name: "ffhq1024", file_name: "ffhq-res1024-mirror-stylegan2-noaug.pkl" },
    PublishedModel { name: "celebahq256", file_name: "celebahq-res256-mirror-paper256-kimg100000-ada-target0.5.pkl" },
    PublishedModel { name: "lsundog256", file_name: "lsundog-res256-paper256-kimg100000-noaug.pkl" },
];

/// Where the authors keep them.
const PUBLISHED_FOLDER: &str =
    "https://nvlabs-fi-cdn.nvidia.com/stylegan2-ada-pytorch/pretrained/transfer-learning-source-nets";

impl PublishedModel {
    /// Its address.
    pub fn url(&self) -> String {
        format!("{PUBLISHED_FOLDER}/{}", self.file_name)
    }
}

/// Where a checkpoint comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// By its name; within the program.
    Shipped(ShippedModel),
    /// By its name.
    Published(PublishedModel),
    /// By its address.
    Url(String),
    /// A file on this machine.
    File(PathBuf),
}

/// Understands a name, an address or a path.
pub fn origin(text: &str) -> Origin {
    if let Some(model) = SHIPPED_MODELS.into_iter().find(|model| model.name == text) {
        return Origin::Shipped(model);
    }
    if let Some(model) = PUBLISHED_MODELS.into_iter().find(|model| model.name == text) {
        return Origin::Published(model);
    }
    match text.split_once("://") {
        Some(("http" | "https", _)) => Origin::Url(text.to_owned()),
        _ => Origin::File(PathBuf::from(text)),
    }
}

/// The folders in which model files lie.
#[derive(Clone, Debug)]
pub struct ModelFolders {
    /// Folders of the user's, looked through in order.
    pub own: Vec<PathBuf>,
    /// Where downloads go; the last that is looked through.
    pub cache: PathBuf,
    /// The published code's cache, in which names follow a hash: only read.
    pub foreign_cache: Option<PathBuf>,
}

impl ModelFolders {
    /// The folders of this machine and user.
    pub fn of_this_user() -> Self {
        let variable = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let beside = env::current_exe().ok().and_then(|program| Some(program.parent()?.join("models")));
        let home_cache = variable("XDG_CACHE_HOME").or_else(|| Some(variable("HOME")?.join(".cache")));
        let foreign = variable("DNNLIB_CACHE_DIR").or_else(|| Some(variable("HOME")?.join(".cache/dnnlib")));
        ModelFolders {
            own: variable(FOLDER_VARIABLE).into_iter().chain(beside).collect(),
            cache: home_cache.unwrap_or_else(env::temp_dir).join("toonify/models"),
            foreign_cache: foreign.map(|folder| folder.join("downloads")),
        }
    }

    /// The file of this name, if it lies in one of the folders.
    pub fn find(&self, file_name: &str) -> Option<PathBuf> {
        let places = self.own.iter().chain([&self.cache]).map(|folder| folder.join(file_name));
        places.into_iter().find(|path| path.is_file()).or_else(|| self.find_foreign(file_name))
    }

    fn find_foreign(&self, file_name: &str) -> Option<PathBuf> {
        let entries = std::fs::read_dir(self.foreign_cache.as_ref()?).ok()?;
        let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
        // `<32 hexadecimal digits>_<name>`
        let is_it = |path: &PathBuf| {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            name.split_once('_').is_some_and(|(hash, name)| hash.len() == 32 && name == file_name)
        };
        paths.filter(is_it).find(|path| path.is_file())
    }

    /// Where a file that is missing should be put: a folder of the user's that is there, or the cache.
    pub fn place_for(&self, file_name: &str) -> PathBuf {
        self.own.iter().find(|folder| folder.is_dir()).unwrap_or(&self.cache).join(file_name)
    }
}

/// The file of an origin on this machine, downloaded if it has to be.
///
/// # Errors
/// When there is no such file, or it cannot be downloaded; the message then says where to put it.
pub fn locate(origin: &Origin, folders: &ModelFolders, sink: &mut dyn Sink) -> Result<PathBuf> {
    match origin {
        Origin::Shipped(model) => model.file(folders),
        Origin::File(path) => {
            let hint = || PUBLISHED_MODELS.map(|model| model.name).join(", ");
            ensure!(path.exists(), "no such file: `{}` (published by name: {})", path.display(), hint());
            Ok(path.clone())
        }
        Origin::Url(url) => {
            let name = url.split(['?', '#']).next().and_then(|path| path.rsplit('/').next()).unwrap_or_default();
            ensure!(is_plain_name(name), "`{url}` does not end with the name of a file");
            locate_or_fetch(url, name, (folders, sink))
        }
        Origin::Published(model) => locate_or_fetch(&model.url(), model.file_name, (folders, sink)),
    }
}

/// Whether a name from outside is safe as that of a file.
fn is_plain_name(name: &str) -> bool {
    !name.is_empty() && name != "." && name != ".." && !name.contains(['/', '\\', '\0'])
}

fn locate_or_fetch(url: &str, file_name: &str, (folders, sink): (&ModelFolders, &mut dyn Sink)) -> Result<PathBuf> {
    if let Some(path) = folders.find(file_name) {
        return Ok(path);
    }
    let target = folders.cache.join(file_name);
    let downloaded = fetch(url, &target, sink).map_err(|error| {
        let place = folders.place_for(file_name);
        let text =
            format!("cannot download `{url}`\n  hint: download it elsewhere and put it at `{}`", place.display());
        error.context(text)
    })?;
    sink.event(&Event::Note(format!("{file_name}: sha256 {}", downloaded.sha256)));
    Ok(target)
}

#[cfg(test)]
mod tests;
