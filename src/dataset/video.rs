//! A video to pictures, by an installed `ffmpeg`: it decodes, we read the pictures from its output one by one.
//!
//! Pictures come as portable pixmaps (netpbm's `P6`), each with its size in front, so that nothing has to be known before.

use std::ffi::OsString;
use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, anyhow, bail, ensure};
use image::RgbImage;

use crate::store::photo::MAX_PIXELS;

const EXTENSIONS: &[&str] = &["mp4", "m4v", "mov", "mkv", "webm", "avi", "mpg", "mpeg", "wmv", "flv", "ts"];

/// Which pictures of a video are taken.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Frames {
    /// All of them.
    All,
    /// The first of every so many.
    EveryNth(u32),
    /// So many a second.
    PerSecond(f64),
}

/// Whether a file of this name is a video.
pub fn is_video_name(path: &Path) -> bool {
    let extension = path.extension().map(|extension| extension.to_string_lossy().to_lowercase());
    extension.is_some_and(|extension| EXTENSIONS.contains(&extension.as_str()))
}

/// The pictures of a video, in order.
pub struct Video {
    path: PathBuf,
    ffmpeg: Child,
    pictures: BufReader<ChildStdout>,
    complaints: File,
    ended: bool,
}

impl Video {
    /// Starts to decode the video at `path`.
    ///
    /// # Errors
    /// When `ffmpeg` is not installed or cannot be started. What is wrong with the video shows when it is read.
    pub fn open(path: &Path, frames: Frames) -> Result<Video> {
        let complaints = tempfile::tempfile().context("cannot make a temporary file")?;
        let stderr = complaints.try_clone().context("cannot make a temporary file")?;
        let mut command = Command::new("ffmpeg");
        command.args(["-nostdin", "-loglevel", "error"]).args(input(path)).args(filter(frames));
        command.args(["-an", "-sn", "-f", "image2pipe", "-c:v", "ppm", "-"]);
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(stderr).spawn();
        let mut ffmpeg = child.map_err(not_started)?;
        let stdout = ffmpeg.stdout.take().expect("the output is piped");
        Ok(Video { path: path.to_owned(), ffmpeg, pictures: BufReader::new(stdout), complaints, ended: false })
    }

    /// About how many pictures will come, if the video says how long it is.
    pub fn estimate(path: &Path, frames: Frames) -> Option<u64> {
        let probe = Command::new("ffmpeg").args(["-nostdin", "-hide_banner"]).args(input(path)).output().ok()?;
        estimate_from(&String::from_utf8_lossy(&probe.stderr), frames)
    }

    /// Ends the process; an error when it failed, in its own words.
    fn finish(&mut self) -> Result<()> {
        let status = self.ffmpeg.wait().context("`ffmpeg` was lost")?;
        if status.success() {
            return Ok(());
        }
        let mut words = String::new();
        self.complaints.seek(SeekFrom::Start(0))?;
        // The beginning is enough: a damaged video repeats itself.
        self.complaints.by_ref().take(2000).read_to_string(&mut words).context("`ffmpeg` failed and said no text")?;
        bail!("`ffmpeg` could not read `{}`: {}", self.path.display(), words.trim())
    }
}

impl Iterator for Video {
    type Item = Result<RgbImage>;

    fn next(&mut self) -> Option<Result<RgbImage>> {
        if self.ended {
            return None;
        }
        let picture = match read_pixmap(&mut self.pictures) {
            Ok(Some(picture)) => return Some(Ok(picture)),
            Ok(None) => self.finish().err(),
            // When the process failed, its own words say more than the end of its output.
            Err(error) => self.finish().err().or_else(|| Some(error.context("the output of `ffmpeg` is damaged"))),
        };
        self.ended = true;
        picture.map(Err)
    }
}

impl Drop for Video {
    fn drop(&mut self) {
        // It has ended already, or nobody wants its further pictures.
        let _ = self.ffmpeg.kill();
        let _ = self.ffmpeg.wait();
    }
}

fn not_started(error: std::io::Error) -> anyhow::Error {
    match error.kind() {
        ErrorKind::NotFound => {
            anyhow!("videos need the program `ffmpeg`, which is not installed (on Debian: apt-get install ffmpeg)")
        }
        _ => anyhow!(error).context("cannot start `ffmpeg`"),
    }
}

/// `file:` in front keeps a name from being taken for an address; nothing but files may be opened.
fn input(path: &Path) -> [OsString; 4] {
    let mut file = OsString::from("file:");
    file.push(path);
    ["-protocol_whitelist".into(), "file".into(), "-i".into(), file]
}

fn filter(frames: Frames) -> Vec<String> {
    let filter = match frames {
        Frames::All => "null".to_owned(),
        // New times, one picture after the other: otherwise the gaps would be filled again.
        Frames::EveryNth(n) => format!("select=not(mod(n\\,{n})),setpts=N/FRAME_RATE/TB"),
        Frames::PerSecond(rate) => format!("fps={rate}"),
    };
    vec!["-vf".to_owned(), filter]
}

/// Reads the next pixmap; `None` at the end.
fn read_pixmap(input: &mut impl BufRead) -> Result<Option<RgbImage>> {
    if input.fill_buf()?.is_empty() {
        return Ok(None);
    }
    let magic = word(input)?;
    ensure!(magic == "P6", "a picture begins with `{magic}`, expected `P6`");
    let mut number = || -> Result<u32> { word(input)?.parse().context("a picture's size is no number") };
    let (width, height, largest) = (number()?, number()?, number()?);
    let pixels = u64::from(width) * u64::from(height);
    ensure!(pixels > 0 && pixels <= MAX_PIXELS && largest == 255, "a picture of {width}x{height} px, {largest} levels");
    let mut bytes = vec![0; pixels as usize * 3];
    input.read_exact(&mut bytes).context("the last picture is cut off")?;
    Ok(Some(RgbImage::from_raw(width, height, bytes).expect("three bytes a pixel")))
}

/// Reads up to the next white space, at most ten characters.
fn word(input: &mut impl BufRead) -> Result<String> {
    let mut word = String::new();
    while word.len() <= 10 {
        let mut byte = [0];
        input.read_exact(&mut byte)?;
        match byte[0] {
            byte if byte.is_ascii_whitespace() => return Ok(word),
            byte => word.push(char::from(byte)),
        }
    }
    bail!("a picture begins with `{word}`")
}

/// Length times rate, from what `ffmpeg` says of a file: `Duration: 00:01:02.50, …` and `…, 25 fps, …`.
fn estimate_from(said: &str, frames: Frames) -> Option<u64> {
    let duration = said.split("Duration: ").nth(1)?.split(',').next()?;
    let seconds = duration.split(':').try_fold(0.0, |sum, part| Some(sum * 60.0 + part.parse::<f64>().ok()?))?;
    let stored_rate = || said.split(" fps").next()?.rsplit([' ', ',']).next()?.parse::<f64>().ok();
    let rate = match frames {
        Frames::PerSecond(rate) => rate,
        Frames::All => stored_rate()?,
        Frames::EveryNth(n) => stored_rate()? / f64::from(n),
    };
    Some((seconds * rate).ceil() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pixmaps_are_read_one_after_the_other() {
        let mut stream = &b"P6\n2 1\n255\nabcdefP6\n1 1\n255\nxyz"[..];
        let first = read_pixmap(&mut stream).unwrap().unwrap();
        assert_eq!((first.dimensions(), first.as_raw().as_slice()), ((2, 1), &b"abcdef"[..]));
        assert_eq!(read_pixmap(&mut stream).unwrap().unwrap().into_raw(), b"xyz");
        assert!(read_pixmap(&mut stream).unwrap().is_none());
    }

    #[test]
    fn what_is_no_pixmap_is_refused() {
        for bytes in
            ["P5\n1 1\n255\nx", "P6\n1 1\n255\nxy", "P6\n0 1\n255\n", "P6\n99999 99999\n255\n", "P6", "Pxxxxxxxxxxxxx"]
        {
            assert!(read_pixmap(&mut bytes.as_bytes()).is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn the_number_of_pictures_is_estimated_from_length_and_rate() {
        let said = "  Duration: 00:01:02.50, start: 0.000000, bitrate: 8 kb/s\n  Stream #0:0: Video: h264, 64x64, 25 fps, 25 tbr";
        assert_eq!(estimate_from(said, Frames::All), Some(1563));
        assert_eq!(estimate_from(said, Frames::EveryNth(10)), Some(157));
        assert_eq!(estimate_from(said, Frames::PerSecond(2.0)), Some(125));
        assert_eq!(estimate_from("Duration: N/A, bitrate: N/A", Frames::All), None);
        assert_eq!(estimate_from("", Frames::All), None);
    }

    #[test]
    fn videos_are_known_by_their_extension() {
        for (name, expected) in [("a.mp4", true), ("b.MOV", true), ("a.png", false), ("mp4", false), ("a.zip", false)] {
            assert_eq!(is_video_name(Path::new(name)), expected, "{name}");
        }
    }
}
