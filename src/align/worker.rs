//! One photo, from its bytes to the files of its faces and its line in the journal. Each thread has a worker.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result};
use image::RgbImage;
use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use rayon::ThreadPool;
use serde::Serialize;
use toonify_align::{Face, LandmarkSource, crop};

use super::budget::Budget;
use super::finder::{self, Failure, FoundFace};
use super::journal::{FaceRecord, Record, Why};
use super::look::Eyes;
use super::names::face_file;
use super::plan::{FaceFormat, Settings};
use super::sources::{Input, Sources};
use crate::store::atomic::AtomicFile;
use crate::store::folder;
use crate::store::photo;

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
        pool.install(|| self.fill_from(bytes, job, record))
    }

    fn fill_from(&mut self, bytes: Vec<u8>, job: &Job, record: &mut Record) -> Result<(), Failure> {
        let start = Instant::now();
        let photo = self.shop.sources.decode(&job.input, &bytes).map_err(unreadable)?.pixels;
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
        let start = Instant::now();
        let found = finder::choose(&mut self.eyes, photo, &self.shop.settings.search);
        self.seconds.detect += start.elapsed().as_secs_f64();
        found
    }

    /// Landmarks, crop, file.
    fn make(&mut self, photo: &RgbImage, face: Face, file: String) -> Result<FaceRecord, Failure> {
        let settings = self.shop.settings;
        let start = Instant::now();
        let FoundFace { rect, score, landmarks, frame } = finder::place(self.shop.landmarks, photo, face)?;
        let placed = Instant::now();
        let aligned = crop(photo, &frame, settings.size, settings.crop.method(settings.size))?;
        let cropped = Instant::now();
        write(&self.shop.out.join(&file), &aligned, settings.format)?;
        self.seconds.landmarks += (placed - start).as_secs_f64();
        self.seconds.crop += (cropped - placed).as_secs_f64();
        self.seconds.write += cropped.elapsed().as_secs_f64();
        Ok(FaceRecord { file, rect, score, landmarks, frame })
    }
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
