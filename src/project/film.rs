//! The search as a film: target and current image side by side.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use image::imageops::{self, FilterType};
use image::{DynamicImage, RgbImage};
use serde::{Deserialize, Serialize};

use crate::events::{Event, Sink};
use crate::store::animation;

/// Whether the search is shown as a film.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FilmKind {
    /// No film.
    Off,
    /// `steps.gif`, at most about fifty pictures.
    Gif,
    /// `proj.mp4`, made by ffmpeg where that is installed; `steps.gif` otherwise.
    Mp4,
}

/// Pictures in a film: enough to see the face arrive, few enough for a small file.
const PICTURES: usize = 50;
/// Side of one half of the picture in a `.gif`, at most.
const GIF_PX: u32 = 256;
/// Pictures a second, as the published projector's film has them.
const RATE: u32 = 10;

/// The pictures of one target's film so far.
#[derive(Clone)]
pub struct Frames {
    every: Option<usize>,
    pictures: Vec<RgbImage>,
}

impl Frames {
    /// Starts a film over `steps` steps.
    pub fn new(kind: FilmKind, steps: usize) -> Self {
        let every = (kind != FilmKind::Off).then_some(steps.div_ceil(PICTURES).max(1));
        Frames { every, pictures: Vec::new() }
    }

    /// Whether the state after `step` steps is shown.
    pub fn wants(&self, step: usize) -> bool {
        self.every.is_some_and(|every| step.is_multiple_of(every))
    }

    /// Adds a picture; both images have one size.
    pub fn add(&mut self, target: &RgbImage, current: &RgbImage) {
        let mut both = RgbImage::new(target.width() + current.width(), target.height());
        imageops::replace(&mut both, target, 0, 0);
        imageops::replace(&mut both, current, i64::from(target.width()), 0);
        self.pictures.push(both);
    }
}

/// Writes the film into `folder`, if there is one.
///
/// # Errors
/// When the file cannot be written, or ffmpeg fails.
pub fn write(folder: &Path, kind: FilmKind, frames: &Frames, sink: &mut dyn Sink) -> Result<()> {
    if frames.pictures.is_empty() {
        return Ok(());
    }
    if kind == FilmKind::Mp4 {
        if ffmpeg_is_there() {
            return write_mp4(&folder.join("proj.mp4"), &frames.pictures);
        }
        sink.event(&Event::Warning("ffmpeg is not installed: the film is written as steps.gif".to_owned()));
    }
    write_gif(&folder.join("steps.gif"), &frames.pictures)
}

fn write_gif(path: &Path, pictures: &[RgbImage]) -> Result<()> {
    let images: Vec<DynamicImage> = pictures.iter().map(|picture| reduced(picture).into()).collect();
    animation::write(path, &images, animation::Frames { per_second: f64::from(RATE) })
}

fn reduced(picture: &RgbImage) -> RgbImage {
    match picture.height() / GIF_PX {
        0 | 1 => picture.clone(),
        factor => imageops::resize(picture, picture.width() / factor, picture.height() / factor, FilterType::Triangle),
    }
}

fn ffmpeg_is_there() -> bool {
    let mut command = Command::new("ffmpeg");
    command.arg("-version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Pipes raw pictures through ffmpeg into a file beside `path`, which then takes its name.
fn write_mp4(path: &Path, pictures: &[RgbImage]) -> Result<()> {
    let whole = path.with_extension("partial.mp4");
    let (width, height) = pictures[0].dimensions();
    let (size, rate) = (format!("{width}x{height}"), RATE.to_string());
    let mut command = Command::new("ffmpeg");
    command.args([
        "-y",
        "-loglevel",
        "error",
        "-f",
        "rawvideo",
        "-pix_fmt",
        "rgb24",
        "-s",
        &size,
        "-r",
        &rate,
        "-i",
        "-",
    ]);
    command.args(["-an", "-c:v", "libx264", "-pix_fmt", "yuv420p", "-crf", "16"]).arg(&whole);
    let mut run = || -> Result<()> {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::inherit()).spawn()?;
        let mut pipe = child.stdin.take().context("ffmpeg takes no input")?;
        let written = pictures.iter().try_for_each(|picture| pipe.write_all(picture.as_raw()));
        drop(pipe);
        ensure!(child.wait()?.success(), "ffmpeg failed");
        written?;
        fs::rename(&whole, path)?;
        Ok(())
    };
    run().with_context(|| format!("cannot write film `{}`", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_film_shows_about_fifty_states_and_the_last() {
        let shown =
            |steps| (1..=steps).filter(|step| Frames::new(FilmKind::Gif, steps).wants(*step)).collect::<Vec<_>>();
        assert_eq!(shown(1000).len(), 50);
        assert_eq!(shown(1000).last(), Some(&1000));
        assert_eq!(shown(20).len(), 20);
        assert!(!Frames::new(FilmKind::Off, 20).wants(20));
    }
}
