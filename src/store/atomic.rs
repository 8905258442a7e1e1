//! Files that are written completely or not at all.
//!
//! Bytes go to a temporary file beside the target, are flushed to the disk, and take the target's name in one step.
//! Until then the old file, if any, is untouched; whatever goes wrong, no half of a file is left behind.

use std::fs::{self, File};
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use tempfile::NamedTempFile;

/// How names of temporary files begin and end.
const PREFIX: &str = ".toonify-";
const SUFFIX: &str = ".tmp";

/// A file that appears under its name on [`AtomicFile::commit`]; dropped without it, nothing has happened.
///
/// Errors of `write`, `flush` and `seek` name the target.
#[derive(Debug)]
pub struct AtomicFile {
    temporary: BufWriter<NamedTempFile>,
    target: PathBuf,
}

impl AtomicFile {
    /// Opens a temporary file beside `target`, through a symbolic link if `target` is one.
    ///
    /// # Errors
    /// When the folder is missing or not writable, or when something other than a file has that name already.
    pub fn create(target: impl AsRef<Path>) -> Result<Self> {
        let target = resolve(target.as_ref())?;
        let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let temporary = temporary_file(folder).with_context(|| format!("cannot write `{}`", target.display()))?;
        Ok(AtomicFile { temporary: BufWriter::new(temporary), target })
    }

    /// Brings everything to the disk and gives the file its name, in place of an older file of that name.
    ///
    /// # Errors
    /// When the disk is full or fails; the temporary file is removed then and an older file stays.
    pub fn commit(self) -> Result<()> {
        let AtomicFile { temporary, target } = self;
        let finish = || -> io::Result<()> {
            let temporary = temporary.into_inner().map_err(io::IntoInnerError::into_error)?;
            temporary.as_file().sync_all()?;
            temporary.persist(&target).map_err(|failed| failed.error)?;
            sync_folder(&target)
        };
        finish().with_context(|| format!("cannot write `{}`", target.display()))
    }

    /// Gives the file its name without waiting for the disk: for the many small files of a job that can make them again.
    ///
    /// The name never stands for half a file while the machine runs; a power cut may leave it empty.
    ///
    /// # Errors
    /// When the disk is full or fails; the temporary file is removed then and an older file stays.
    pub fn commit_unsynced(self) -> Result<()> {
        let AtomicFile { temporary, target } = self;
        let finish = || -> io::Result<()> {
            let temporary = temporary.into_inner().map_err(io::IntoInnerError::into_error)?;
            temporary.persist(&target).map_err(|failed| failed.error)?;
            Ok(())
        };
        finish().with_context(|| format!("cannot write `{}`", target.display()))
    }

    fn name_target(&self, error: io::Error) -> io::Error {
        io::Error::new(error.kind(), format!("cannot write `{}`: {error}", self.target.display()))
    }
}

/// Writes `bytes` to the file `target`, completely or not at all.
///
/// # Errors
/// Those of [`AtomicFile::create`] and [`AtomicFile::commit`].
pub fn write(target: impl AsRef<Path>, bytes: &[u8]) -> Result<()> {
    let mut file = AtomicFile::create(target)?;
    file.write_all(bytes)?;
    file.commit()
}

/// Deletes the temporary files that a killed run has left in `folder` and below. Only a run that has the folder to itself
/// may do this ([`FolderLock`](crate::store::lock::FolderLock)).
pub fn sweep(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            sweep(&entry.path());
        } else if name.starts_with(PREFIX) && name.ends_with(SUFFIX) {
            // One that cannot be deleted is hidden and does no harm.
            let _ = fs::remove_file(entry.path());
        }
    }
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.temporary.write(bytes).map_err(|error| self.name_target(error))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.temporary.flush().map_err(|error| self.name_target(error))
    }
}

impl Seek for AtomicFile {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.temporary.seek(to).map_err(|error| self.name_target(error))
    }
}

/// The file that `target` stands for; refuses what a rename must not replace, such as `/dev/null` or a folder.
fn resolve(target: &Path) -> Result<PathBuf> {
    let Ok(metadata) = fs::metadata(target) else { return Ok(target.to_owned()) };
    if !metadata.is_file() {
        bail!("cannot write `{}`: it exists and is not a regular file", target.display());
    }
    fs::canonicalize(target).with_context(|| format!("cannot write `{}`", target.display()))
}

fn temporary_file(folder: &Path) -> io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(PREFIX).suffix(SUFFIX);
    // The usual rights of a new file, less the user's mask; tempfile's own choice would hide the result from others.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.tempfile_in(folder)
}

/// Makes the rename itself durable, where folders can be flushed.
fn sync_folder(target: &Path) -> io::Result<()> {
    if cfg!(unix) {
        let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
        entries.map(|name| name.into_string().unwrap()).collect()
    }

    #[test]
    fn a_committed_file_has_its_bytes_and_nothing_else_remains() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("a.bin");
        write(&target, b"old").unwrap();
        write(&target, b"newer").unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"newer");
        assert_eq!(names(folder.path()), ["a.bin"]);
    }

    #[test]
    fn a_dropped_file_leaves_the_old_one_alone() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("a.bin");
        write(&target, b"old").unwrap();
        let mut file = AtomicFile::create(&target).unwrap();
        file.write_all(&[7; 100_000]).unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"old");
        drop(file);
        assert_eq!(fs::read(&target).unwrap(), b"old");
        assert_eq!(names(folder.path()), ["a.bin"]);
    }

    #[test]
    fn a_failed_commit_leaves_nothing_behind() {
        for commit in [AtomicFile::commit, AtomicFile::commit_unsynced] {
            let folder = tempfile::tempdir().unwrap();
            let target = folder.path().join("a.bin");
            let file = AtomicFile::create(&target).unwrap();
            fs::create_dir(&target).unwrap();
            let error = format!("{:#}", commit(file).unwrap_err());
            assert!(error.contains("a.bin"), "{error}");
            assert_eq!(names(folder.path()), ["a.bin"]);
            assert!(target.is_dir());
        }
    }

    #[test]
    fn errors_name_the_path() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("no/such/a.bin");
        let error = format!("{:#}", write(&missing, b"x").unwrap_err());
        assert!(error.contains("no/such/a.bin"), "{error}");
        let error = format!("{:#}", write(folder.path(), b"x").unwrap_err());
        assert!(error.contains("not a regular file"), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn a_link_keeps_pointing_and_devices_are_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        write(&file, b"old").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        write(&link, b"new").unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"new");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert!(write("/dev/null", b"x").is_err());
    }

    #[cfg(unix)]
    #[test]
    fn a_new_file_has_the_rights_that_any_new_file_has() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let (ours, plain) = (folder.path().join("ours"), folder.path().join("plain"));
        write(&ours, b"x").unwrap();
        fs::write(&plain, b"x").unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode(&ours), mode(&plain));
    }

    #[test]
    fn seeking_back_overwrites_what_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("a.bin");
        let mut file = AtomicFile::create(&target).unwrap();
        file.write_all(b"..cd").unwrap();
        file.seek(SeekFrom::Start(0)).unwrap();
        file.write_all(b"ab").unwrap();
        file.commit().unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"abcd");
    }

    #[test]
    fn temporary_files_are_swept_and_nothing_else_is() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("a");
        fs::create_dir(&inner).unwrap();
        for name in [".toonify-1.tmp", "face.png", ".toonify-1.png"] {
            fs::write(inner.join(name), b"").unwrap();
        }
        sweep(folder.path());
        assert!(!inner.join(".toonify-1.tmp").exists());
        assert!(inner.join("face.png").exists() && inner.join(".toonify-1.png").exists());
    }
}
