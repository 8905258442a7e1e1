//! `faces.jsonl`, one line for each photo that was looked at: what was found, where its faces are, or why there are none.
//!
//! A line is appended when its photo is finished and its faces are on the disk, so whenever the program is stopped the
//! journal tells the truth; half a line at the end is cut off by the next run. The last line about a photo counts.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use toonify_align::{CropFrame, Landmarks, Rect};

use crate::store::atomic;

/// What is known about a photo.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The photo, below the source.
    pub source: String,
    /// Length of its file.
    pub bytes: u64,
    /// [`Settings::digest`](super::Settings::digest) of the settings that it was done with.
    pub settings: String,
    /// Width and height in pixels, upright; `None` when it could not be read.
    pub size: Option<[u32; 2]>,
    /// Its aligned faces, largest first.
    pub faces: Vec<FaceRecord>,
    /// Why it has no faces.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub skipped: Option<Skipped>,
    /// Faces that were wanted and could not be cropped, and why.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub left_out: Vec<String>,
}

/// One aligned face.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FaceRecord {
    /// Its file, below the output folder.
    pub file: String,
    /// The detector's box, in photo pixels.
    #[serde(rename = "box")]
    pub rect: Rect,
    /// The detector's score.
    pub score: f64,
    /// 68 points, in photo pixels.
    pub landmarks: Landmarks,
    /// The square that was cropped: what pastes a picture back.
    pub frame: CropFrame,
}

/// Why a photo has no faces.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    /// In one word, to count.
    pub why: Why,
    /// In a few words, to read.
    pub detail: String,
}

/// The reasons for which a photo is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// The detector found nothing.
    NoFace,
    /// One face was asked for and there are more.
    SeveralFaces,
    /// All faces are smaller than was asked for.
    TooSmall,
    /// All detections score less than was asked for.
    LowScore,
    /// There is a face and no crop can be made of it.
    Unusable,
    /// The file is no picture that can be read.
    Unreadable,
}

/// The journal of an output folder.
pub(super) struct Journal {
    path: PathBuf,
    /// Opened at the first line.
    file: Option<File>,
    records: HashMap<String, Record>,
}

impl Journal {
    /// Reads the journal at `path`, if there is one; a broken line is as good as none.
    pub fn open(path: &Path) -> Result<Journal> {
        let name = || format!("cannot use the journal `{}`", path.display());
        let text = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error).with_context(name),
        };
        let lines = text[..whole_lines(&text)].split(|&byte| byte == b'\n');
        let records = lines.filter_map(|line| serde_json::from_slice::<Record>(line).ok());
        let records = records.map(|record| (record.source.clone(), record)).collect();
        Ok(Journal { path: path.to_owned(), file: None, records })
    }

    /// What is known about a photo.
    pub fn get(&self, source: &str) -> Option<&Record> {
        self.records.get(source)
    }

    /// Appends a line.
    pub fn append(&mut self, record: Record) -> Result<()> {
        let mut line = serde_json::to_vec(&record).context("a record is not JSON")?;
        line.push(b'\n');
        let file = match self.file.take() {
            Some(file) => Ok(file),
            None => open_at_line_start(&self.path),
        };
        let write = |mut file: File| file.write_all(&line).map(|()| file);
        let written = file.and_then(write).with_context(|| format!("cannot write `{}`", self.path.display()))?;
        self.file = Some(written);
        self.records.insert(record.source.clone(), record);
        Ok(())
    }

    /// Writes the journal anew, one line for each photo, by name.
    pub fn tidy(&mut self) -> Result<()> {
        let mut records: Vec<&Record> = self.records.values().collect();
        records.sort_by(|a, b| a.source.cmp(&b.source));
        let mut text = Vec::new();
        for record in records {
            serde_json::to_writer(&mut text, record).context("a record is not JSON")?;
            text.push(b'\n');
        }
        self.file = None;
        atomic::write(&self.path, &text)
    }
}

/// Length of `text` up to its last line end.
fn whole_lines(text: &[u8]) -> usize {
    text.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1)
}

/// Opens the file to append to it, less what stands behind its last line end.
fn open_at_line_start(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().create(true).append(true).open(path)?;
    let text = fs::read(path)?;
    let whole = whole_lines(&text);
    if whole < text.len() {
        file.set_len(whole as u64)?;
    }
    Ok(file)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) fn skipped(source: &str, why: Why) -> Record {
        let skipped = Some(Skipped { why, detail: "it is so".into() });
        let (settings, size) = ("0123".into(), Some([4, 3]));
        Record { source: source.into(), bytes: 7, settings, size, faces: vec![], skipped, left_out: vec![] }
    }

    fn lines(path: &Path) -> Vec<String> {
        fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect()
    }

    #[test]
    fn records_are_found_again_and_the_last_one_counts() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("faces.jsonl");
        let mut journal = Journal::open(&path).unwrap();
        for record in [skipped("b", Why::NoFace), skipped("a", Why::TooSmall), skipped("b", Why::LowScore)] {
            journal.append(record).unwrap();
        }
        let mut journal = Journal::open(&path).unwrap();
        assert_eq!(journal.get("b"), Some(&skipped("b", Why::LowScore)));
        assert_eq!((journal.get("a").is_some(), journal.get("c"), lines(&path).len()), (true, None, 3));
        journal.tidy().unwrap();
        journal.append(skipped("c", Why::Unreadable)).unwrap();
        let sources: Vec<_> = lines(&path).iter().map(|line| line[..13].to_owned()).collect();
        assert_eq!(sources, ["{\"source\":\"a\"", "{\"source\":\"b\"", "{\"source\":\"c\""]);
    }

    #[test]
    fn wherever_the_file_is_cut_the_whole_lines_are_kept_and_the_next_one_starts_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("faces.jsonl");
        let mut journal = Journal::open(&path).unwrap();
        journal.append(skipped("a", Why::NoFace)).unwrap();
        journal.append(skipped("b", Why::NoFace)).unwrap();
        let whole = fs::read(&path).unwrap();
        let first = whole.iter().position(|&byte| byte == b'\n').unwrap();
        for length in 0..whole.len() {
            fs::write(&path, &whole[..length]).unwrap();
            let mut journal = Journal::open(&path).unwrap();
            assert_eq!(journal.get("a").is_some(), length > first, "{length} bytes");
            journal.append(skipped("c", Why::NoFace)).unwrap();
            assert!(lines(&path).iter().all(|line| serde_json::from_str::<Record>(line).is_ok()), "{length} bytes");
        }
    }

    #[test]
    fn a_broken_line_in_the_middle_is_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("faces.jsonl");
        let good = serde_json::to_string(&skipped("a", Why::NoFace)).unwrap();
        fs::write(&path, format!("{{\"sour\n\u{0}\n{good}\n")).unwrap();
        assert!(Journal::open(&path).unwrap().get("a").is_some());
    }
}
