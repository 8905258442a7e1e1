//! A student on images, folders, videos and pipes (`toonify apply`): whole frames, or the faces in them.

pub mod flicker;
pub mod flow;
mod frame;
pub mod pictures;
mod steady;
pub mod stream;
mod tracker;
mod translator;
pub mod video;
pub mod y4m;

use std::path::PathBuf;

use serde::Serialize;

pub use frame::Frame;
pub use tracker::FacesPlan;
pub use translator::Translator;

/// What is translated.
#[derive(Clone, Debug)]
pub enum Scope {
    /// The whole frame.
    Frame {
        /// Share of the frames before in what is shown of a video, drawn along with its motion, from 0 (none) to below 1.
        smoothing: f64,
    },
    /// Faces: found, followed from frame to frame, translated as aligned squares, and pasted back.
    Faces(FacesPlan),
}

/// The student, and what it is applied to.
#[derive(Clone, Debug)]
pub struct ApplyPlan {
    /// The student.
    pub student: PathBuf,
    /// What is translated.
    pub scope: Scope,
    /// Where depth is, for a student that was trained with it: pictures for pictures, a video for a video, a file of
    /// frames for a pipe. Otherwise it is the alpha channel.
    pub depth: Option<PathBuf>,
}

/// What was done.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Applied {
    /// Pictures or frames with a result.
    pub done: u64,
    /// Of these, those that an earlier run had made.
    pub reused: u64,
    /// Faces in the results, where faces were asked for.
    pub faces: u64,
    /// Pictures without a result, and why.
    pub failed: Vec<Failed>,
    /// Pictures or frames a second, of those that were made now.
    pub per_second: f64,
}

/// A picture that could not be translated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Failed {
    /// The picture.
    pub path: PathBuf,
    /// Why, in words.
    pub why: String,
}

/// Refuses an outcome in which a picture has no result, naming every one.
///
/// # Errors
/// When a picture has no result.
pub fn check_complete(outcome: &Applied) -> anyhow::Result<()> {
    let lines: Vec<String> =
        outcome.failed.iter().map(|failed| format!("\n  {}: {}", failed.path.display(), failed.why)).collect();
    let total = outcome.done + lines.len() as u64;
    match lines.len() {
        0 => Ok(()),
        failed => anyhow::bail!("{failed} of {total} pictures could not be translated:{}", lines.concat()),
    }
}
