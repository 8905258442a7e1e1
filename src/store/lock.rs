//! One run at a time in an output folder.

use std::fs::{File, TryLockError};
use std::path::Path;

use anyhow::{Context, Result, bail};

/// Holds a folder; it is free again when this is dropped or the program ends, however it ends.
#[derive(Debug)]
pub struct FolderLock {
    /// The lock lives as long as the file is open.
    _file: File,
}

impl FolderLock {
    /// Takes the folder; `None` when there is no such folder yet.
    ///
    /// # Errors
    /// When another run holds it, or it cannot be opened.
    pub fn take(folder: &Path) -> Result<Option<FolderLock>> {
        if !folder.is_dir() {
            return Ok(None);
        }
        let file = open(folder).with_context(|| format!("cannot use the folder `{}`", folder.display()))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(FolderLock { _file: file })),
            Err(TryLockError::WouldBlock) => {
                bail!("another run is writing to `{}`: wait for it, or choose another folder", folder.display())
            }
            Err(TryLockError::Error(error)) => {
                Err(error).with_context(|| format!("cannot lock the folder `{}`", folder.display()))
            }
        }
    }
}

/// The folder itself can be locked where folders can be opened; elsewhere a file in it stands in for it.
fn open(folder: &Path) -> std::io::Result<File> {
    if cfg!(unix) {
        return File::open(folder);
    }
    File::options().create(true).truncate(false).write(true).open(folder.join(".toonify.lock"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_held_once_and_free_again_afterwards() {
        let folder = tempfile::tempdir().unwrap();
        let held = FolderLock::take(folder.path()).unwrap();
        let error = FolderLock::take(folder.path()).unwrap_err().to_string();
        assert!(error.contains("another run") && error.contains(folder.path().to_str().unwrap()), "{error}");
        drop(held);
        assert!(FolderLock::take(folder.path()).unwrap().is_some());
        assert!(FolderLock::take(&folder.path().join("missing")).unwrap().is_none());
    }
}
