//! Models by name: what is known, what is here, where it lies, how it comes and goes.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::Serialize;

use crate::events::{Silent, Sink};
use crate::store::models::{ModelFolders, Origin, PUBLISHED_MODELS, SHIPPED_MODELS, locate, origin};

/// Where the authors of StyleGAN2-ADA keep their files.
const PUBLISHED_FOLDER: &str = "https://nvlabs-fi-cdn.nvidia.com/stylegan2-ada-pytorch/pretrained";

/// Published files beside the starting points of transfer learning: folder below [`PUBLISHED_FOLDER`], file, what it is.
const OTHERS: [(&str, &str, &str); 9] = [
    ("", "ffhq.pkl", "faces, 1024 px"),
    ("", "metfaces.pkl", "paintings of faces, 1024 px"),
    ("", "afhqcat.pkl", "cats, 512 px"),
    ("", "afhqdog.pkl", "dogs, 512 px"),
    ("", "afhqwild.pkl", "wild animals, 512 px"),
    ("", "brecahad.pkl", "tissue, 512 px"),
    ("", "cifar10.pkl", "small pictures with labels, 32 px"),
    ("metrics/", "inception-2015-12-05.pt", "detector for FID, KID and the inception score"),
    ("metrics/", "vgg16.pt", "detector for precision, recall and path lengths"),
];

/// Endings of model files.
const ENDINGS: [&str; 4] = ["pkl", "pt", "pth", "safetensors"];

/// A model that is known or here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ModelEntry {
    /// What it is called.
    pub name: String,
    /// Its file.
    pub file_name: String,
    /// Whether it comes within the program.
    pub shipped: bool,
    /// Where it lies, if it is a file here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    /// Its size, if it is here or within the program.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Where it is published.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// What it is, in a few words.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub about: String,
}

/// All models that are known or here, by name.
pub fn list(folders: &ModelFolders) -> Vec<ModelEntry> {
    let mut entries: BTreeMap<String, ModelEntry> = BTreeMap::new();
    for entry in known() {
        let path = folders.find(&entry.file_name);
        let bytes = path.as_ref().and_then(|path| Some(fs::metadata(path).ok()?.len())).or(entry.bytes);
        entries.insert(entry.file_name.clone(), ModelEntry { path, bytes, ..entry });
    }
    for folder in folders.own.iter().chain([&folders.cache]) {
        for path in model_files(folder) {
            let name = |part: Option<&std::ffi::OsStr>| part.unwrap_or_default().to_string_lossy().into_owned();
            let (file_name, stem) = (name(path.file_name()), name(path.file_stem()));
            let bytes = fs::metadata(&path).ok().map(|metadata| metadata.len());
            let entry = ModelEntry {
                name: stem,
                file_name: file_name.clone(),
                shipped: false,
                path: Some(path),
                bytes,
                url: None,
                about: String::new(),
            };
            entries.entry(file_name).or_insert(entry);
        }
    }
    let mut list: Vec<ModelEntry> = entries.into_values().collect();
    let is_away = |entry: &ModelEntry| entry.bytes.is_none();
    list.sort_by(|a, b| (!a.shipped, is_away(a), &a.name).cmp(&(!b.shipped, is_away(b), &b.name)));
    list
}

/// The file that is meant by a path or by the name of a model that is here. What is neither is taken for a path, for whoever
/// opens it knows best what should be there.
///
/// # Errors
/// When the model is known and not here; the message says how it would come.
pub fn file(text: &str, folders: &ModelFolders) -> Result<PathBuf> {
    let is_name = !Path::new(text).exists() && list(folders).iter().any(|entry| entry.name == text);
    if is_name { path(text, folders) } else { Ok(PathBuf::from(text)) }
}

/// Where a model lies; one from within the program is unpacked.
///
/// # Errors
/// When it is unknown or not here; the message says how it would come.
pub fn path(name: &str, folders: &ModelFolders) -> Result<PathBuf> {
    let entry = find(name, folders)?;
    if entry.shipped {
        return locate(&origin(&entry.name), folders, &mut Silent);
    }
    match (entry.path, entry.url) {
        (Some(path), _) => Ok(path),
        (None, Some(url)) => {
            bail!("`{name}` is not here\n  hint: `toonify models pull {name}` downloads it from {url}")
        }
        (None, None) => bail!("`{name}` is not here"),
    }
}

/// Downloads a model that is known by name, or the file at an address, unless it is here.
///
/// # Errors
/// When it is unknown, or cannot be downloaded; the message says where to put it.
pub fn pull(name: &str, folders: &ModelFolders, sink: &mut dyn Sink) -> Result<PathBuf> {
    if name.contains("://") {
        return locate(&Origin::Url(name.to_owned()), folders, sink);
    }
    let entry = find(name, folders)?;
    match (entry.path, entry.url) {
        (path, _) if entry.shipped || path.is_some() => self::path(name, folders),
        (_, url) => locate(&Origin::Url(url.with_context(|| format!("`{name}` has no address"))?), folders, sink),
    }
}

/// Deletes a model from the cache, with what a download left beside it.
///
/// # Errors
/// When it is not in the cache: other folders are the user's own.
pub fn remove(name: &str, folders: &ModelFolders) -> Result<PathBuf> {
    let entry = find(name, folders)?;
    let path = folders.cache.join(&entry.file_name);
    if !path.is_file() {
        match entry.path {
            Some(path) => bail!("`{}` is not in the cache; delete it yourself if you want to", path.display()),
            None => bail!("`{name}` is not here"),
        }
    }
    fs::remove_file(&path).with_context(|| format!("cannot delete `{}`", path.display()))?;
    for ending in [".sha256", ".part", ".part.tag"] {
        // What is not there need not go.
        let _ = fs::remove_file(folders.cache.join(format!("{}{ending}", entry.file_name)));
    }
    Ok(path)
}

/// The model of this name, file name or stem of a file name.
fn find(name: &str, folders: &ModelFolders) -> Result<ModelEntry> {
    let list = list(folders);
    let is_it = |entry: &&ModelEntry| entry.name == name || entry.file_name == name;
    match list.iter().find(is_it) {
        Some(entry) => Ok(entry.clone()),
        None => {
            let names: Vec<&str> = list.iter().map(|entry| entry.name.as_str()).collect();
            bail!("no model is called `{name}`; there are {}", names.join(", "))
        }
    }
}

fn known() -> Vec<ModelEntry> {
    let entry = |name: &str, file_name: &str, url: String, about: &str| ModelEntry {
        name: name.to_owned(),
        file_name: file_name.to_owned(),
        path: None,
        bytes: None,
        shipped: false,
        url: Some(url),
        about: about.to_owned(),
    };
    let shipped = SHIPPED_MODELS.iter().map(|model| ModelEntry {
        name: model.name.to_owned(),
        file_name: model.file_name.to_owned(),
        shipped: true,
        path: None,
        bytes: Some(model.len()),
        url: None,
        about: model.about.to_owned(),
    });
    let starts = PUBLISHED_MODELS
        .iter()
        .map(|model| entry(model.name, model.file_name, model.url(), "starting point of transfer learning"));
    let others = OTHERS.iter().map(|(folder, file, about)| {
        let name = file.rsplit_once('.').map_or(*file, |(stem, _)| stem);
        entry(name, file, format!("{PUBLISHED_FOLDER}/{folder}{file}"), about)
    });
    shipped.chain(starts).chain(others).collect()
}

/// Model files that lie directly in a folder, by name.
fn model_files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let is_model = |path: &PathBuf| {
        let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
        ENDINGS.contains(&ending) && path.is_file()
    };
    let mut files: Vec<PathBuf> = entries.filter(is_model).collect();
    files.sort();
    files
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::Silent;

    fn folders(root: &Path) -> ModelFolders {
        ModelFolders { own: vec![root.join("own")], cache: root.join("cache"), foreign_cache: None }
    }

    fn put(path: PathBuf) -> PathBuf {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "1234").unwrap();
        path
    }

    #[test]
    fn what_is_here_comes_first_and_what_is_known_has_its_address() {
        let root = tempfile::tempdir().unwrap();
        let mine = put(root.path().join("own/mine.safetensors"));
        put(root.path().join("own/notes.txt"));
        let vgg16 = put(root.path().join("cache/vgg16.pt"));
        let list = list(&folders(root.path()));
        let (shipped, list) = list.split_at(SHIPPED_MODELS.len());
        assert!(shipped.iter().all(|entry| entry.shipped && entry.bytes.is_some()));
        let here: Vec<&str> = list.iter().take(2).map(|entry| entry.name.as_str()).collect();
        assert_eq!(here, ["mine", "vgg16"]);
        assert_eq!((list[0].path.as_ref(), list[0].bytes, &list[0].url), (Some(&mine), Some(4), &None));
        assert_eq!(list[1].path.as_ref(), Some(&vgg16));
        assert_eq!(list.len(), 1 + PUBLISHED_MODELS.len() + OTHERS.len());
        assert!(list.iter().all(|entry| !entry.shipped && (entry.path.is_some() || entry.url.is_some())));
    }

    #[test]
    fn models_are_found_by_name_and_file_and_missed_with_advice() {
        let root = tempfile::tempdir().unwrap();
        let mine = put(root.path().join("own/mine.safetensors"));
        let folders = folders(root.path());
        for name in ["mine", "mine.safetensors"] {
            assert_eq!(path(name, &folders).unwrap(), mine);
            assert_eq!(pull(name, &folders, &mut Silent).unwrap(), mine);
        }
        assert_eq!(file("mine", &folders).unwrap(), mine);
        assert_eq!(file("elsewhere.pkl", &folders).unwrap(), Path::new("elsewhere.pkl"));
        assert!(file("ffhq", &folders).unwrap_err().to_string().contains("models pull ffhq"));
        assert!(file("portraits64", &folders).unwrap().is_file());
        assert!(path("ffhq", &folders).unwrap_err().to_string().contains("models pull ffhq"));
        assert!(path("ffhqq", &folders).unwrap_err().to_string().contains("celebahq256"));
    }

    #[test]
    fn only_the_cache_is_emptied() {
        let root = tempfile::tempdir().unwrap();
        let mine = put(root.path().join("own/mine.safetensors"));
        let cached = put(root.path().join("cache/ffhq.pkl"));
        let note = put(root.path().join("cache/ffhq.pkl.sha256"));
        let folders = folders(root.path());
        assert!(remove("mine", &folders).unwrap_err().to_string().contains("not in the cache"));
        assert_eq!(remove("ffhq", &folders).unwrap(), cached);
        assert!(mine.exists() && !cached.exists() && !note.exists());
        assert!(remove("ffhq", &folders).is_err());
    }
}
