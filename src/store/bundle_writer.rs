//! Named files into a zip or into a folder; either appears whole at its place, or not at all.
//!
//! Files in the zip are stored, not compressed, as the published data sets are: pictures are compressed already or are meant
//! to be read fast. Times are left out, so that the same files make the same zip.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use crate::store::atomic::AtomicFile;
use crate::store::bundle::is_inside;
use crate::store::folder;

/// A zip or a folder in the making.
pub struct BundleWriter {
    target: PathBuf,
    kind: Kind,
}

enum Kind {
    Zip(Box<ZipWriter<AtomicFile>>),
    /// The files wait in a folder beside the target.
    Folder(TempDir),
}

impl BundleWriter {
    /// Begins a zip where `target` ends in `.zip`, a folder otherwise.
    ///
    /// # Errors
    /// When the place cannot be written, or when the folder exists and holds something.
    pub fn create(target: &Path) -> Result<BundleWriter> {
        let kind = if is_zip_name(target) {
            Kind::Zip(Box::new(ZipWriter::new(AtomicFile::create(target)?)))
        } else {
            ensure!(is_free(target), "the folder `{}` must be empty", target.display());
            Kind::Folder(temporary_folder(target).with_context(|| cannot_write(target))?)
        };
        Ok(BundleWriter { target: target.to_owned(), kind })
    }

    /// Adds a file; `name` is relative, with `/` between folders.
    ///
    /// # Errors
    /// When it cannot be written, or when `name` leads out of the zip or folder.
    pub fn add(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        ensure!(is_inside(name), "`{name}` is no name for a file inside `{}`", self.target.display());
        let added = match &mut self.kind {
            Kind::Zip(writer) => add_entry(writer, name, bytes),
            Kind::Folder(folder) => add_file(&folder.path().join(name), bytes),
        };
        added.with_context(|| format!("cannot write `{name}` of `{}`", self.target.display()))
    }

    /// Gives the zip or the folder its name.
    ///
    /// # Errors
    /// When the disk fails; nothing is left behind then.
    pub fn commit(self) -> Result<()> {
        match self.kind {
            Kind::Zip(writer) => writer.finish().with_context(|| cannot_write(&self.target))?.commit(),
            Kind::Folder(folder) => {
                fs::rename(folder.path(), &self.target).with_context(|| cannot_write(&self.target))?;
                // It has another name now, there is nothing to clean up.
                let _ = folder.keep();
                Ok(())
            }
        }
    }
}

/// Whether `path` is to be a zip, by its name.
pub fn is_zip_name(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("zip"))
}

/// Whether a folder can be made at `path` without touching what is there.
pub fn is_free(path: &Path) -> bool {
    match fs::read_dir(path) {
        Ok(mut entries) => entries.next().is_none(),
        Err(_) => !path.exists(),
    }
}

fn cannot_write(target: &Path) -> String {
    format!("cannot write `{}`", target.display())
}

fn add_entry(writer: &mut ZipWriter<AtomicFile>, name: &str, bytes: &[u8]) -> Result<()> {
    writer.start_file(name, SimpleFileOptions::default().compression_method(CompressionMethod::Stored))?;
    writer.write_all(bytes)?;
    Ok(())
}

fn add_file(path: &Path, bytes: &[u8]) -> Result<()> {
    folder::create(path.parent().expect("a file below the temporary folder"))?;
    fs::write(path, bytes)?;
    Ok(())
}

fn temporary_folder(target: &Path) -> Result<TempDir> {
    let parent = target.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    folder::create(parent)?;
    let mut builder = tempfile::Builder::new();
    builder.prefix(".toonify-").suffix(".tmp");
    // The usual rights of a new folder, less the user's mask; tempfile's own choice would hide the result from others.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o777));
    Ok(builder.tempdir_in(parent)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::bundle::Bundle;

    fn write(target: &Path) -> Result<()> {
        let mut writer = BundleWriter::create(target)?;
        writer.add("b/1.png", b"one")?;
        writer.add("a.json", b"two")?;
        writer.commit()
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
        entries.map(|name| name.into_string().unwrap()).collect()
    }

    #[test]
    fn a_zip_and_a_folder_hold_what_was_added() {
        for name in ["set.zip", "set", "SET.ZIP"] {
            let folder = tempfile::tempdir().unwrap();
            write(&folder.path().join(name)).unwrap();
            let bundle = Bundle::open(&folder.path().join(name)).unwrap();
            assert_eq!([bundle.name(0), bundle.name(1)], ["a.json", "b/1.png"]);
            assert_eq!(bundle.read(1).unwrap(), b"one");
            assert_eq!(names(folder.path()), [name]);
        }
    }

    #[test]
    fn no_name_leads_out() {
        let folder = tempfile::tempdir().unwrap();
        for target in ["set", "set.zip"] {
            let mut writer = BundleWriter::create(&folder.path().join(target)).unwrap();
            for name in ["../a.png", "/a.png", "a/../../b.png"] {
                assert!(writer.add(name, b"").unwrap_err().to_string().contains(name));
            }
        }
    }

    #[test]
    fn the_same_files_make_the_same_zip() {
        let folder = tempfile::tempdir().unwrap();
        let (first, second) = (folder.path().join("1.zip"), folder.path().join("2.zip"));
        write(&first).unwrap();
        write(&second).unwrap();
        assert_eq!(fs::read(first).unwrap(), fs::read(second).unwrap());
    }

    #[test]
    fn nothing_is_left_of_what_was_not_committed() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["set.zip", "set"] {
            let mut writer = BundleWriter::create(&folder.path().join(name)).unwrap();
            writer.add("a", &[7; 100_000]).unwrap();
        }
        assert!(names(folder.path()).is_empty());
    }

    #[test]
    fn an_empty_folder_is_taken_and_a_full_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("set");
        fs::create_dir(&target).unwrap();
        write(&target).unwrap();
        assert_eq!(Bundle::open(&target).unwrap().len(), 2);
        let error = write(&target).unwrap_err().to_string();
        assert!(error.contains("must be empty") && error.contains("set"), "{error}");
        assert_eq!(Bundle::open(&target).unwrap().len(), 2);
    }

    #[cfg(unix)]
    #[test]
    fn a_new_folder_has_the_rights_that_any_new_folder_has() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let (ours, plain) = (folder.path().join("ours"), folder.path().join("plain"));
        write(&ours).unwrap();
        fs::create_dir(&plain).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode(&ours), mode(&plain));
    }
}
