//! Folders: made for output, listed for input.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use image::ImageFormat;

/// Makes the output folder `folder` and those above it; one that exists already is fine.
///
/// # Errors
/// When it cannot be made, or when a file has that name; the message names the folder.
pub fn create(folder: impl AsRef<Path>) -> Result<()> {
    let folder = folder.as_ref();
    if folder.exists() && !folder.is_dir() {
        bail!("cannot make the folder `{}`: a file has that name", folder.display());
    }
    fs::create_dir_all(folder).with_context(|| format!("cannot make the folder `{}`", folder.display()))
}

/// Lists the images that lie directly in `folder`, by their extensions, sorted by name.
///
/// Hidden files, those of cameras' and systems' making, are left out.
///
/// # Errors
/// When `folder` is missing, is a file, or cannot be read; an empty list is no error.
pub fn images(folder: impl AsRef<Path>) -> Result<Vec<PathBuf>> {
    let folder = folder.as_ref();
    let entries = fs::read_dir(folder).with_context(|| format!("cannot read the folder `{}`", folder.display()))?;
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.with_context(|| format!("cannot read the folder `{}`", folder.display()))?.path();
        if is_image_name(&path) && path.is_file() {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

/// All files called `name` in `folder` and below, sorted.
///
/// # Errors
/// When a folder cannot be read; the message names it.
pub fn files_called(folder: &Path, name: &str) -> Result<Vec<PathBuf>> {
    let describe = |folder: &Path| format!("cannot read the folder `{}`", folder.display());
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).with_context(|| describe(&next))? {
            let entry = entry.with_context(|| describe(&next))?;
            if entry.file_type().with_context(|| describe(&next))?.is_dir() {
                folders.push(entry.path());
            } else if entry.file_name() == name {
                found.push(entry.path());
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Whether the name of `path` is that of an image in a format that can be decoded here.
pub fn is_image_name(path: &Path) -> bool {
    let hidden = path.file_name().is_none_or(|name| name.to_string_lossy().starts_with('.'));
    let format = path.extension().and_then(ImageFormat::from_extension);
    !hidden && format.is_some_and(|format| format.reading_enabled())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_listed_by_name_and_nothing_else_is() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b.png", "a.JPG", ".c.png", "notes.txt", "c.tiff", "d"] {
            fs::write(folder.path().join(name), b"").unwrap();
        }
        create(folder.path().join("folder.png")).unwrap();
        let found = images(folder.path()).unwrap();
        let names: Vec<_> = found.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
        assert_eq!(names, ["a.JPG", "b.png", "c.tiff"]);
    }

    #[test]
    fn files_are_found_by_name_however_deep() {
        let folder = tempfile::tempdir().unwrap();
        for inner in ["b/c", "a"] {
            create(folder.path().join(inner)).unwrap();
            fs::write(folder.path().join(inner).join("w.npz"), b"").unwrap();
            fs::write(folder.path().join(inner).join("other.npz"), b"").unwrap();
        }
        let expected = ["a/w.npz", "b/c/w.npz"].map(|name| folder.path().join(name));
        assert_eq!(files_called(folder.path(), "w.npz").unwrap(), expected);
        assert!(files_called(&folder.path().join("missing"), "w.npz").is_err());
    }

    #[test]
    fn a_folder_can_be_made_twice() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("a/b");
        create(&inner).unwrap();
        create(&inner).unwrap();
        assert!(inner.is_dir());
    }

    #[test]
    fn errors_name_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("taken");
        fs::write(&file, b"").unwrap();
        for error in [create(&file).unwrap_err(), images(&file).unwrap_err(), images("no/such").unwrap_err()] {
            let text = format!("{error:#}");
            assert!(text.contains("taken") || text.contains("no/such"), "{text}");
        }
    }
}
