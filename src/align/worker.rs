//! One photo, from its bytes to the files of its faces and its line in the journal. Each thread has a worker.

use std::fmt::Display;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, anyhow};
use image::RgbImage;
use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use rayon::ThreadPool;
use serde::Serialize;
use toonify_align::{CropGeometry, Error, Face, LandmarkSource, crop, face, frame};

use super::budget::Budget;
use super::journal::{FaceRecord, Record, Skipped, Why};
use super::look::{Eyes, Sight};
use super::names::face_file;
use super::plan::{FaceFormat, Settings};
use super::sources::{Input, Sources};
use crate::store::atomic::AtomicFile;
use crate::store::folder;
use crate::store::photo::{self, Photo};

/// Quality of JPEG files, of 100.
const JPEG_QUALITY: u8 = 95;

/// A photo to align and the stem of its faces' names.
#[derive(Clone, Debug)]
pub(super) struct Job {
    pub input: Input,
    pub stem: String,
}

/// Seconds that went into each step, summed over all threads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct StepSeconds {
    /// Reading and decoding photos.
    pub read: f64,
    /// dlib's detection, all looks together.
    pub detect: f64,
    /// Placing landmarks.
    pub landmarks: f64,
    /// Cropping.
    pub crop: f64,
    /// Encoding and writing faces.
    pub write: f64,
}

impl StepSeconds {
    /// Adds another photo's seconds.
    pub(super) fn add(&mut self, other: &StepSeconds) {
        self.read += other.read;
        self.detect += other.detect;
        self.landmarks += other.landmarks;
        self.crop += other.crop;
        self.write += other.write;
    }
}

/// What came of a photo.
pub(super) struct Finished {
    pub record: Record,
    pub seconds: StepSeconds,
}

/// What all workers share.
#[derive(Clone, Copy)]
pub(super) struct Workshop<'a> {
    pub sources: &'a Sources,
    pub landmarks: &'a LandmarkSource,
    pub settings: &'a Settings,
    pub budget: &'a Budget,
    pub out: &'a Path,
}

/// One thread's hands.
pub(super) struct Worker<'a> {
    pub shop: Workshop<'a>,
    pub eyes: Eyes,
    /// What computes in parallel does so on these threads; its own, so that workers do not get into each other's work.
    pub pool: Arc<ThreadPool>,
    pub seconds: StepSeconds,
}

/// A photo that yields no face, or a reason to stop altogether.
enum Failure {
    Skip(Skipped),
    Stop(anyhow::Error),
}

impl Failure {
    fn skip(why: Why, detail: impl Display) -> Failure {
        Failure::Skip(Skipped { why, detail: detail.to_string() })
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        match error {
            Error::NoFace => Failure::skip(Why::NoFace, error),
            Error::SeveralFaces { .. } => Failure::skip(Why::SeveralFaces, error),
            Error::TooSmall { .. } => Failure::skip(Why::TooSmall, error),
            Error::Degenerate | Error::OutsidePhoto { .. } | Error::Detector(_) => Failure::skip(Why::Unusable, error),
            Error::Value { .. } | Error::Model(_) => Failure::Stop(error.into()),
        }
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Failure {
        Failure::Stop(error)
    }
}

impl Worker<'_> {
    /// Aligns the faces of a photo.
    ///
    /// # Errors
    /// When a face cannot be written; whatever is wrong with the photo is in the record.
    pub fn align(&mut self, job: &Job) -> Result<Finished> {
        self.seconds = StepSeconds::default();
        let mut record = Record {
            source: job.input.name.clone(),
            bytes: job.input.bytes,
            settings: self.shop.settings.digest(),
            size: None,
            faces: Vec::new(),
            skipped: None,
            left_out: Vec::new(),
        };
        match self.fill(job, &mut record) {
            Ok(()) => {}
            Err(Failure::Skip(skipped)) => record.skipped = Some(skipped),
            Err(Failure::Stop(error)) => return Err(error),
        }
        Ok(Finished { record, seconds: self.seconds })
    }

    fn fill(&mut self, job: &Job, record: &mut Record) -> Result<(), Failure> {
        let start = Instant::now();
        let shop = self.shop;
        let bytes = shop.sources.read(&job.input).map_err(unreadable)?;
        let path = shop.sources.path(&job.input);
        let n_pixels = photo::count_pixels(&bytes, &path).map_err(unreadable)?;
        self.seconds.read += start.elapsed().as_secs_f64();
        let _room = shop.budget.take(n_pixels);
        let pool = Arc::clone(&self.pool);
        pool.install(|| self.fill_from(bytes, path, job, record))
    }

    fn fill_from(&mut self, bytes: Vec<u8>, path: PathBuf, job: &Job, record: &mut Record) -> Result<(), Failure> {
        let start = Instant::now();
        let photo = decode(&bytes, path)?;
        drop(bytes);
        self.seconds.read += start.elapsed().as_secs_f64();
        record.size = Some([photo.width(), photo.height()]);
        self.fill_faces(&photo, job, record)
    }

    fn fill_faces(&mut self, photo: &RgbImage, job: &Job, record: &mut Record) -> Result<(), Failure> {
        let mut first_reason = None;
        for face in self.find(photo)? {
            let file = face_file(&job.stem, record.faces.len(), self.shop.settings.format.extension());
            match self.make(photo, face, file) {
                Ok(made) => record.faces.push(made),
                Err(Failure::Skip(skipped)) => {
                    record.left_out.push(format!("the face at {:?}: {}", face.rect, skipped.detail));
                    first_reason.get_or_insert(skipped);
                }
                Err(stop) => return Err(stop),
            }
        }
        match first_reason {
            Some(reason) if record.faces.is_empty() => Err(Failure::Skip(reason)),
            _ => Ok(()),
        }
    }

    fn find(&mut self, photo: &RgbImage) -> Result<Vec<Face>, Failure> {
        let settings = self.shop.settings;
        let start = Instant::now();
        let Sight { faces, best_rejected } = self.eyes.look(photo, settings.upsample, settings.min_score)?;
        self.seconds.detect += start.elapsed().as_secs_f64();
        match best_rejected {
            Some(best) if faces.is_empty() => {
                let detail = format!("the best detection scores {best:.2}, expected at least {}", settings.min_score);
                Err(Failure::skip(Why::LowScore, detail))
            }
            _ => Ok(face::choose(&faces, settings.faces.wanted(), settings.min_size)?),
        }
    }

    /// Landmarks, crop, file.
    fn make(&mut self, photo: &RgbImage, face: Face, file: String) -> Result<FaceRecord, Failure> {
        let settings = self.shop.settings;
        let start = Instant::now();
        let landmarks = self.shop.landmarks.landmarks(photo, &face.rect)?;
        let frame = frame(&landmarks, CropGeometry::FFHQ)?;
        let placed = Instant::now();
        let aligned = crop(photo, &frame, settings.size, settings.crop.method(settings.size))?;
        let cropped = Instant::now();
        write(&self.shop.out.join(&file), &aligned, settings.format)?;
        self.seconds.landmarks += (placed - start).as_secs_f64();
        self.seconds.crop += (cropped - placed).as_secs_f64();
        self.seconds.write += cropped.elapsed().as_secs_f64();
        Ok(FaceRecord { file, rect: face.rect, score: face.score, landmarks, frame })
    }
}

/// A decoder that panics has met a file that it cannot read; one file must not end the work on thousands.
fn decode(bytes: &[u8], path: PathBuf) -> Result<RgbImage, Failure> {
    let decoded = catch_unwind(AssertUnwindSafe(|| Photo::from_bytes(bytes, path)));
    let photo = decoded.unwrap_or_else(|_| Err(anyhow!("the decoder failed")));
    Ok(photo.map_err(unreadable)?.pixels)
}

fn unreadable(error: anyhow::Error) -> Failure {
    // The record names the photo already.
    Failure::skip(Why::Unreadable, error.root_cause())
}

/// Writes a face without waiting for the disk, which would cost as much as the crop: what a power cut loses is empty, and
/// the next run makes it again.
fn write(path: &Path, face: &RgbImage, format: FaceFormat) -> Result<()> {
    if let Some(parent) = path.parent() {
        folder::create(parent)?;
    }
    let mut file = AtomicFile::create(path)?;
    let encoded = match format {
        FaceFormat::Png => {
            let encoder = PngEncoder::new_with_quality(&mut file, CompressionType::Fast, FilterType::Adaptive);
            face.write_with_encoder(encoder)
        }
        FaceFormat::Jpg => face.write_with_encoder(JpegEncoder::new_with_quality(&mut file, JPEG_QUALITY)),
    };
    encoded.with_context(|| format!("cannot write picture `{}`", path.display()))?;
    file.commit_unsynced()
}
