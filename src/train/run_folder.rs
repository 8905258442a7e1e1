//! The folder of a run: its number, and the names of its files.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::store::folder;
use crate::train::settings::Place;

/// The folder of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunFolder(PathBuf);

impl RunFolder {
    /// Makes a new folder, or takes the one that is there.
    ///
    /// # Errors
    /// When it cannot be made, or is no folder of a run.
    pub fn open(place: &Place) -> Result<RunFolder> {
        match place {
            Place::Existing(path) => {
                let run = RunFolder(path.clone());
                if !run.state().is_file() {
                    bail!("`{}` is no folder of a run that can go on: it has no `{STATE}`", path.display());
                }
                Ok(run)
            }
            Place::New { outdir, name } => {
                folder::create(outdir)?;
                let path = next(outdir, name)?;
                folder::create(&path)?;
                Ok(RunFolder(path))
            }
        }
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Everything that the training needs to go on.
    pub fn state(&self) -> PathBuf {
        self.0.join(STATE)
    }

    /// What the training was asked to do, for people.
    pub fn options(&self) -> PathBuf {
        self.0.join("training_options.json")
    }

    /// Numbers of each tick.
    pub fn stats(&self) -> PathBuf {
        self.0.join("stats.jsonl")
    }

    /// The networks after so many thousands of images.
    pub fn network(&self, kimg: u64) -> PathBuf {
        self.0.join(format!("network-snapshot-{kimg:06}.safetensors"))
    }

    /// What the networks make after so many thousands of images.
    pub fn fakes(&self, kimg: u64) -> PathBuf {
        self.0.join(format!("fakes{kimg:06}.png"))
    }

    /// What the networks make before the first step.
    pub fn first_fakes(&self) -> PathBuf {
        self.0.join("fakes_init.png")
    }

    /// Training images.
    pub fn reals(&self) -> PathBuf {
        self.0.join("reals.png")
    }
}

const STATE: &str = "training-state.safetensors";

/// The state file of a run, if `path` is the folder of one.
pub fn state_in(path: &Path) -> Option<PathBuf> {
    Some(path.join(STATE)).filter(|state| state.is_file())
}

/// The folder that the next run of this name gets: `OUTDIR/00000-NAME`.
///
/// # Errors
/// When `outdir` is there and cannot be read.
pub fn next(outdir: &Path, name: &str) -> Result<PathBuf> {
    let number = if outdir.exists() { next_number(outdir)? } else { 0 };
    Ok(outdir.join(format!("{number:05}-{name}")))
}

/// One more than the highest number that a folder's name begins with.
fn next_number(outdir: &Path) -> Result<u64> {
    let shown = || format!("cannot read the folder `{}`", outdir.display());
    let mut next = 0;
    for entry in fs::read_dir(outdir).with_context(shown)? {
        let entry = entry.with_context(shown)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let digits: String = name.chars().take_while(char::is_ascii_digit).collect();
        if let (true, Ok(number)) = (entry.path().is_dir(), digits.parse::<u64>()) {
            next = next.max(number.saturating_add(1));
        }
    }
    Ok(next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_numbered_behind_the_highest_one() {
        let outdir = tempfile::tempdir().unwrap();
        let open = || {
            let place = Place::New { outdir: outdir.path().join("runs"), name: "game-auto1".to_owned() };
            let run = RunFolder::open(&place).unwrap();
            run.path().file_name().unwrap().to_string_lossy().into_owned()
        };
        assert_eq!(open(), "00000-game-auto1");
        fs::create_dir(outdir.path().join("runs/00007-other")).unwrap();
        fs::create_dir(outdir.path().join("runs/notes")).unwrap();
        fs::write(outdir.path().join("runs/00009-file"), b"").unwrap();
        assert_eq!(open(), "00008-game-auto1");
    }

    #[test]
    fn a_folder_without_a_state_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let error = RunFolder::open(&Place::Existing(folder.path().to_owned())).unwrap_err().to_string();
        assert!(error.contains(&folder.path().display().to_string()) && error.contains(STATE), "{error}");
    }
}
