//! `align.json`: whose faces an output folder holds and how they were made.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use super::plan::Settings;
use crate::store::atomic;

const FILE_NAME: &str = "align.json";

/// What the output folder belongs to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct State {
    /// The source, from the root of the disk.
    pub source: PathBuf,
    /// The settings of the last run.
    pub settings: Settings,
}

impl State {
    /// What has changed since the run that filled `out`; nothing when there was none.
    ///
    /// # Errors
    /// When `out` belongs to another source that is still there: its faces and those of this one would mix.
    pub fn changes_in(&self, out: &Path) -> Result<Vec<String>> {
        let path = out.join(FILE_NAME);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(vec![]),
            Err(error) => return Err(error).with_context(|| format!("cannot read `{}`", path.display())),
        };
        let before: State = serde_json::from_slice(&text)
            .with_context(|| format!("cannot read `{}`: delete it to have all photos done again", path.display()))?;
        if before.source != self.source && before.source.exists() {
            bail!(
                "`{}` holds the faces of `{}`: choose another folder for those of `{}`",
                out.display(),
                before.source.display(),
                self.source.display()
            );
        }
        Ok(self.settings.changes_since(&before.settings))
    }

    /// Enters this source and these settings.
    pub fn write(&self, out: &Path) -> Result<()> {
        let mut text = serde_json::to_vec_pretty(self).context("plain settings are JSON")?;
        text.push(b'\n');
        atomic::write(out.join(FILE_NAME), &text)
    }
}

#[cfg(test)]
mod tests {
    use super::super::plan::tests::settings;
    use super::*;

    #[test]
    fn a_folder_remembers_its_source_and_settings() {
        let folder = tempfile::tempdir().unwrap();
        let source = folder.path().join("photos");
        fs::create_dir(&source).unwrap();
        let state = State { source, settings: settings() };
        assert_eq!(state.changes_in(folder.path()).unwrap(), [""; 0]);
        state.write(folder.path()).unwrap();
        let larger = State { settings: Settings { size: 512, ..settings() }, ..state.clone() };
        assert_eq!(larger.changes_in(folder.path()).unwrap(), ["size 256 → 512"]);
        let other = State { source: folder.path().join("others"), ..state };
        let error = other.changes_in(folder.path()).unwrap_err().to_string();
        assert!(error.contains("photos`: choose another folder") && error.contains("others"), "{error}");
        fs::remove_dir(folder.path().join("photos")).unwrap();
        assert!(other.changes_in(folder.path()).is_ok(), "the photos were moved");
        fs::write(folder.path().join(FILE_NAME), b"{").unwrap();
        assert!(format!("{:#}", other.changes_in(folder.path()).unwrap_err()).contains("align.json"));
    }
}
