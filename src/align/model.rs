//! The landmark model and the detector: where the model file lies, and what is opened once for all threads.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use toonify_align::LandmarkSource;

use super::look::Eyes;
use super::plan::LandmarkKind;
use crate::store::models::FOLDER_VARIABLE;

/// The model's file name, everywhere.
pub const FILE_NAME: &str = "shape_predictor_68_face_landmarks.dat";
/// Where Debian's package `libdlib-data` puts it.
const SYSTEM_FOLDER: &str = "/usr/share/dlib";

/// Finds the landmark model: `given`, or in the folder that `TOONIFY_MODELS` names, or in `models` beside the program,
/// or where Debian's `libdlib-data` puts it.
///
/// # Errors
/// When it is in none of these places; the message names them and says where to get it.
pub fn locate(given: Option<PathBuf>) -> Result<PathBuf> {
    if let Some(path) = given {
        if !path.is_file() {
            bail!("the landmark model `{}` does not exist", path.display());
        }
        return Ok(path);
    }
    let beside = env::current_exe().ok().and_then(|program| Some(program.parent()?.join("models")));
    let folders = [env::var_os(FOLDER_VARIABLE).map(PathBuf::from), beside, Some(PathBuf::from(SYSTEM_FOLDER))];
    find_in(&folders.into_iter().flatten().collect::<Vec<_>>())
}

fn find_in(folders: &[PathBuf]) -> Result<PathBuf> {
    let files = || folders.iter().map(|folder| folder.join(FILE_NAME));
    if let Some(path) = files().find(|path| path.is_file()) {
        return Ok(path);
    }
    let places: Vec<String> = files().map(|path| format!("`{}`", path.display())).collect();
    bail!(
        "the landmark model is missing: no {}\n  hint: `apt-get install libdlib-data` brings it; or name the file with \
         --model, or its folder with {FOLDER_VARIABLE}",
        places.join(", no ")
    )
}

/// Detector and landmark model, opened.
#[cfg(feature = "dlib")]
pub(super) struct Engine {
    plain: toonify_align::DlibFinder,
    enlarging: toonify_align::DlibFinder,
    /// Shared by all threads.
    pub landmarks: LandmarkSource,
}

#[cfg(feature = "dlib")]
impl Engine {
    /// Opens the model at `path` and checks that it is the published one, whoever evaluates it.
    pub fn open(path: &Path, kind: LandmarkKind, min_score: f64) -> Result<Engine> {
        use anyhow::Context;
        use toonify_align::{DlibFinder, DlibLandmarks, LandmarkModel, Search, Upsampling};

        let unusable = || format!("cannot use the landmark model `{}`", path.display());
        let bytes = std::fs::read(path).with_context(unusable)?;
        let model = LandmarkModel::published(&bytes).with_context(unusable)?;
        drop(bytes);
        let landmarks = match kind {
            LandmarkKind::Ours => LandmarkSource::Fractional(Box::new(model)),
            LandmarkKind::Dlib => LandmarkSource::Dlib(DlibLandmarks::open(path).with_context(unusable)?),
        };
        // Doubtful detections are asked for too: a photo is reported as "low score" then, not as "no face".
        let search = |upsampling| Search { upsampling, min_score: min_score.min(0.0), ..Search::default() };
        let plain = DlibFinder::new(search(Upsampling::Never))?;
        let enlarging = plain.clone().with_search(search(Upsampling::Once))?;
        Ok(Engine { plain, enlarging, landmarks })
    }

    /// Detectors for one more thread.
    pub fn eyes(&self) -> Eyes {
        Eyes { plain: Box::new(self.plain.clone()), enlarging: Box::new(self.enlarging.clone()) }
    }
}

/// What stands here in a program without dlib.
#[cfg(not(feature = "dlib"))]
pub(super) struct Engine {
    /// Never there.
    pub landmarks: LandmarkSource,
}

#[cfg(not(feature = "dlib"))]
impl Engine {
    /// Fails: faces are found by dlib alone.
    pub fn open(_path: &Path, _kind: LandmarkKind, _min_score: f64) -> Result<Engine> {
        bail!(
            "this program was built without dlib and cannot find faces\n  hint: build it with \
             `cargo install --path . --features dlib`"
        )
    }

    /// Never called, for there is no engine.
    pub fn eyes(&self) -> Eyes {
        unreachable!("an engine cannot be opened without dlib")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_folder_that_has_the_model_wins() {
        let (empty, full) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::fs::write(full.path().join(FILE_NAME), b"").unwrap();
        let folders = [empty.path().to_owned(), full.path().to_owned()];
        assert_eq!(find_in(&folders).unwrap(), full.path().join(FILE_NAME));
    }

    #[test]
    fn a_missing_model_is_an_error_that_says_where_to_get_it() {
        let empty = tempfile::tempdir().unwrap();
        let error = find_in(&[empty.path().to_owned()]).unwrap_err().to_string();
        for words in [empty.path().to_str().unwrap(), FILE_NAME, "libdlib-data", "--model", FOLDER_VARIABLE] {
            assert!(error.contains(words), "{error}");
        }
        let error = locate(Some("no/such.dat".into())).unwrap_err().to_string();
        assert!(error.contains("`no/such.dat` does not exist"), "{error}");
    }

    #[cfg(not(feature = "dlib"))]
    #[test]
    fn a_program_without_dlib_says_so() {
        let Err(error) = Engine::open(Path::new(FILE_NAME), LandmarkKind::Ours, 0.0) else { panic!("opened it") };
        assert!(error.to_string().contains("built without dlib"), "{error}");
    }

    #[cfg(feature = "dlib")]
    #[test]
    fn another_file_is_not_taken_for_the_model() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE_NAME);
        std::fs::write(&path, b"\x01\x01 something else").unwrap();
        for kind in [LandmarkKind::Ours, LandmarkKind::Dlib] {
            let Err(error) = Engine::open(&path, kind, 0.0) else { panic!("opened it") };
            assert!(format!("{error:#}").contains("has sha256"), "{error:#}");
        }
    }
}
