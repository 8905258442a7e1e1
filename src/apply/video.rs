//! A video to a video, by two `ffmpeg` processes: one decodes to raw frames, the other encodes what we make of them and
//! takes the sound over as it is.
//!
//! Frames are decoded at a constant rate, the video's own: those of a variable rate are repeated or dropped, so that picture
//! and sound stay together.

use std::ffi::OsString;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, ErrorKind, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, anyhow, bail, ensure};
use image::RgbImage;

use super::y4m::Head;
use super::{Applied, ApplyPlan, Translator, stream};
use crate::dataset::video::{Frames, Video};
use crate::events::{Event, Sink};

/// Which video is translated.
#[derive(Clone, Debug)]
pub struct VideoPlan {
    /// The student.
    pub apply: ApplyPlan,
    /// The video.
    pub input: PathBuf,
    /// The video to write.
    pub output: PathBuf,
    /// The program that decodes and encodes, `ffmpeg` unless somebody knows better.
    pub ffmpeg: PathBuf,
}

/// Translates a video; the result appears under its name when it is complete.
///
/// # Errors
/// When `ffmpeg` is not installed, cannot read or write the video, or the work was stopped.
pub fn run(plan: &VideoPlan, stop: &AtomicBool, sink: &mut dyn Sink) -> Result<Applied> {
    let mut translator = Translator::open(&plan.apply)?;
    let has_depth = plan.apply.depth.is_some();
    ensure!(
        has_depth || !translator.wants_depth(),
        "the student takes depth: give --depth, a video of the same frames"
    );
    let estimate = Video::estimate(&plan.input, Frames::All);
    sink.event(&Event::Started { what: format!("translating `{}`", plan.input.display()) });
    let unfinished = Unfinished::beside(&plan.output)?;
    let mut decoder = decode(&plan.ffmpeg, &plan.input, "yuv444p")?;
    let mut encoder =
        Process::start(&plan.ffmpeg, &encoding(&plan.input, unfinished.path()), Stdio::piped(), Stdio::null())?;
    let mut depth = plan.apply.depth.as_deref().map(|path| decode(&plan.ffmpeg, path, "gray")).transpose()?;
    let mut result = BufWriter::new(encoder.child.stdin.take().expect("the input is piped"));
    let mut of_colours = decoder.frames();
    let mut of_depth = depth.as_mut().map(Process::frames);
    let translated = {
        let of_depth = of_depth.as_mut().map(|frames| frames as &mut dyn BufRead);
        stream::Frames::open(&mut of_colours, of_depth)
            .and_then(|frames| stream::run(&mut translator, (frames, &mut result), estimate, (stop, sink)))
    };
    // Before the pipe to the encoder is closed, which makes it complain about what it did not get.
    if translated.is_err() {
        decoder.finish_if_ended(&mut of_colours, &plan.input)?;
        if let (Some(process), Some(frames), Some(path)) = (&mut depth, &mut of_depth, &plan.apply.depth) {
            process.finish_if_ended(frames, path)?;
        }
    }
    drop((of_colours, of_depth, result));
    if stop.load(Ordering::Relaxed) {
        bail!("stopped; nothing was written");
    }
    let outcome = match translated {
        Ok(outcome) => {
            decoder.finish(&plan.input)?;
            encoder.finish(&plan.output)?;
            outcome
        }
        // The words of a process that has failed say more than a pipe that was closed.
        Err(error) if is_closed_pipe(&error) => return Err(encoder.finish(&plan.output).err().unwrap_or(error)),
        Err(error) => return Err(error),
    };
    unfinished.finish(&plan.output)?;
    sink.event(&Event::Saved { path: plan.output.clone() });
    Ok(outcome)
}

fn is_closed_pipe(error: &anyhow::Error) -> bool {
    let kind = error.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
    kind == Some(ErrorKind::BrokenPipe)
}

fn named(path: &Path) -> OsString {
    // In front of a name that could be taken for an address or an option.
    let mut file = OsString::from("file:");
    file.push(path);
    file
}

fn words(list: &[&str]) -> Vec<OsString> {
    list.iter().map(OsString::from).collect()
}

/// The frames of a video as [`run`] sees them.
pub struct Decoded {
    path: PathBuf,
    process: Process,
    frames: BufReader<ChildStdout>,
    head: Head,
    ended: bool,
}

impl Decoded {
    /// Starts to decode.
    ///
    /// # Errors
    /// When `ffmpeg` is not installed, or cannot read the video.
    pub fn open(ffmpeg: &Path, path: &Path) -> Result<Decoded> {
        let mut process = decode(ffmpeg, path, "yuv444p")?;
        let mut frames = process.frames();
        let head = match Head::read(&mut frames) {
            Ok(head) => head,
            Err(error) => {
                process.finish(path)?;
                return Err(error);
            }
        };
        Ok(Decoded { path: path.to_owned(), process, frames, head, ended: false })
    }
}

impl Iterator for Decoded {
    type Item = Result<RgbImage>;

    fn next(&mut self) -> Option<Result<RgbImage>> {
        if self.ended {
            return None;
        }
        let next = self.head.read_frame(&mut self.frames).transpose();
        if let Some(Ok(frame)) = next {
            return Some(Ok(frame.pixels));
        }
        self.ended = true;
        // When the process failed, its own words say more than the end of its output.
        self.process.finish(&self.path).err().map(Err).or(next.map(|failed| failed.map(|frame| frame.pixels)))
    }
}

/// Starts to decode a video to frames of a kind.
fn decode(ffmpeg: &Path, video: &Path, pixels: &str) -> Result<Process> {
    // In one line of our own what `ffmpeg` says in three of its.
    File::open(video).with_context(|| format!("cannot read video `{}`", video.display()))?;
    Process::start(ffmpeg, &decoding(video, pixels), Stdio::null(), Stdio::piped())
}

fn decoding(input: &Path, pixels: &str) -> Vec<OsString> {
    let mut arguments = words(&["-nostdin", "-loglevel", "error", "-protocol_whitelist", "file,pipe", "-i"]);
    arguments.push(named(input));
    arguments.extend(words(&["-map", "0:v:0", "-pix_fmt", pixels, "-f", "yuv4mpegpipe", "-"]));
    arguments
}

fn encoding(sound: &Path, output: &Path) -> Vec<OsString> {
    let mut arguments = words(&["-nostdin", "-loglevel", "error", "-y", "-f", "yuv4mpegpipe", "-i", "-", "-i"]);
    arguments.push(named(sound));
    // Sound where there is any, as it is; even sizes for codecs that halve the chroma.
    arguments.extend(words(&["-map", "0:v:0", "-map", "1:a?", "-c:a", "copy", "-pix_fmt", "yuv420p"]));
    arguments.extend(words(&["-vf", "pad=ceil(iw/2)*2:ceil(ih/2)*2"]));
    arguments.push(named(output));
    arguments
}

/// A running `ffmpeg` and what it complains about.
struct Process {
    child: Child,
    complaints: File,
}

impl Process {
    fn start(program: &Path, arguments: &[OsString], stdin: Stdio, stdout: Stdio) -> Result<Process> {
        let complaints = tempfile::tempfile().context("cannot make a temporary file")?;
        let stderr = complaints.try_clone().context("cannot make a temporary file")?;
        let child = Command::new(program).args(arguments).stdin(stdin).stdout(stdout).stderr(stderr).spawn();
        let child = child.map_err(|error| match error.kind() {
            ErrorKind::NotFound => anyhow!(
                "videos need the program `{}`, which is not installed (on Debian: apt-get install ffmpeg)",
                program.display()
            ),
            _ => anyhow!(error).context(format!("cannot start `{}`", program.display())),
        })?;
        Ok(Process { child, complaints })
    }

    /// What it decodes.
    fn frames(&mut self) -> BufReader<ChildStdout> {
        BufReader::new(self.child.stdout.take().expect("the output is piped, and taken once"))
    }

    /// Waits for the end; an error when it failed, in its own words.
    fn finish(&mut self, about: &Path) -> Result<()> {
        let status = self.child.wait().context("`ffmpeg` was lost")?;
        if status.success() {
            return Ok(());
        }
        bail!("`ffmpeg` failed on `{}`: {}", about.display(), self.complaint())
    }

    /// The error of a process whose output has ended because it failed; one that has more to say is not to blame.
    fn finish_if_ended(&mut self, frames: &mut impl BufRead, about: &Path) -> Result<()> {
        if frames.fill_buf().is_ok_and(<[u8]>::is_empty) { self.finish(about) } else { Ok(()) }
    }

    fn complaint(&mut self) -> String {
        let mut words = Vec::new();
        let read = self.complaints.seek(SeekFrom::Start(0)).and_then(|_| {
            // The beginning is enough: a damaged video repeats itself.
            self.complaints.by_ref().take(2000).read_to_end(&mut words)
        });
        match read {
            Ok(_) => String::from_utf8_lossy(&words).trim().to_owned(),
            Err(error) => format!("(its words are lost: {error})"),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It has ended already, or nobody wants its work.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A video under another name until it is complete; the ending tells `ffmpeg` the format.
struct Unfinished(tempfile::TempPath);

impl Unfinished {
    fn beside(output: &Path) -> Result<Unfinished> {
        let folder = output.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let extension = output.extension().context("the result needs an ending, such as .mp4")?;
        let suffix = format!(".tmp.{}", extension.to_string_lossy());
        let mut builder = tempfile::Builder::new();
        let file = builder.prefix(".toonify-").suffix(&suffix).tempfile_in(folder);
        let file = file.with_context(|| format!("cannot write `{}`", output.display()))?;
        Ok(Unfinished(file.into_temp_path()))
    }

    fn path(&self) -> &Path {
        &self.0
    }

    fn finish(self, output: &Path) -> Result<()> {
        self.0
            .persist(output)
            .map_err(|failed| failed.error)
            .with_context(|| format!("cannot write `{}`", output.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_video_that_is_not_there_is_named() {
        let error = Decoded::open(Path::new("ffmpeg"), Path::new("no/such/video.mp4")).err().expect("there is none");
        assert_eq!(error.to_string(), "cannot read video `no/such/video.mp4`");
    }
}
