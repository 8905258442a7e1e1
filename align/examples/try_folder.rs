//! Runs the whole way over a folder of photos: counts what is found, and measures each step alone.
//!
//! `cargo run --release -p toonify-align --example try_folder -- FOLDER MODEL.dat [THREADS [SIZE_PX]]`

#![allow(clippy::print_stdout, reason = "it is a program")]

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use image::RgbImage;
use rayon::prelude::*;
use toonify_align::{
    CropGeometry, CropMethod, DlibFinder, FaceFinder, LandmarkModel, Paste, Search, Upsampling, crop, frame, paste,
};

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// What a run asks for.
struct Trial {
    /// Detectors cannot be shared; each thread clones this one.
    finder: Mutex<DlibFinder>,
    model: LandmarkModel,
    size_px: u32,
    /// How many photos have been looked at with each upsampling.
    compared: AtomicUsize,
}

/// Both upsamplings are measured on this many photos.
const COMPARED: usize = 40;

/// Time in each step, and how many faces each photo had.
#[derive(Default)]
struct Tally {
    steps: Vec<(&'static str, Duration)>,
    faces: Vec<usize>,
    names_without_face: Vec<String>,
}

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, model, numbers @ ..] = &arguments[..] else {
        return Err("FOLDER MODEL.dat [THREADS [SIZE_PX]]".into());
    };
    let number = |i: usize, default| numbers.get(i).map_or(Ok(default), |text| text.parse());
    let pool = rayon::ThreadPoolBuilder::new().num_threads(number(0, 4)? as usize).build()?;
    let started = Instant::now();
    let model = LandmarkModel::published(&std::fs::read(model)?)?;
    println!("model verified and loaded in {:.0} ms", started.elapsed().as_secs_f64() * 1e3);
    let trial = Trial {
        finder: Mutex::new(DlibFinder::new(Search::default())?),
        model,
        size_px: number(1, 256)?,
        compared: AtomicUsize::new(0),
    };
    let photos = photos(Path::new(folder))?;
    let started = Instant::now();
    let tallies = pool.install(|| {
        let clone = || trial.finder.lock().unwrap_or_else(PoisonError::into_inner).clone();
        photos.par_iter().map_init(clone, |finder, path| measure(&trial, finder, path)).collect::<Result<Vec<_>, _>>()
    })?;
    report(&tallies, started.elapsed());
    Ok(())
}

fn photos(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let entries =
        std::fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>, std::io::Error>>()?;
    let is_photo =
        |path: &PathBuf| path.extension().is_some_and(|end| ["jpg", "jpeg", "png", "webp"].iter().any(|e| end == *e));
    let mut photos: Vec<PathBuf> = entries.into_iter().filter(is_photo).collect();
    photos.sort();
    Ok(photos)
}

/// Goes the whole way with one photo.
fn measure(trial: &Trial, finder: &mut DlibFinder, path: &Path) -> Result<Tally, Failure> {
    let mut tally = Tally::default();
    let photo = tally.step("decode", || image::open(path).map(|image| image.to_rgb8()))?;
    let found = tally.step("detect, twice if need be", || finder.find(&photo))?;
    if trial.compared.fetch_add(1, Ordering::Relaxed) < COMPARED {
        for (name, upsampling) in
            [("detect without upsampling", Upsampling::Never), ("detect upsampled", Upsampling::Once)]
        {
            let mut other = finder.clone().with_search(Search { upsampling, ..Search::default() })?;
            tally.step(name, || other.find(&photo))?;
        }
    }
    if found.is_empty() {
        tally.names_without_face.push(path.display().to_string());
    }
    tally.faces.push(found.len());
    if let Some(face) = found.iter().max_by_key(|face| face.rect.area()) {
        align(trial, &mut tally, &photo, face)?;
    }
    Ok(tally)
}

fn align(trial: &Trial, tally: &mut Tally, photo: &RgbImage, face: &toonify_align::Face) -> Result<(), Failure> {
    let landmarks = tally.step("landmarks", || trial.model.landmarks(photo, &face.rect));
    let frame = frame(&landmarks, CropGeometry::FFHQ)?;
    tally.step("crop, published", || crop(photo, &frame, trial.size_px, CropMethod::published(trial.size_px)))?;
    let clean = tally.step("crop, clean", || crop(photo, &frame, trial.size_px, CropMethod::Clean))?;
    let how = tally.step("mask", Paste::default);
    let mut copy = photo.clone();
    tally.step("paste", || paste(&mut copy, &clean, &frame, &how))?;
    Ok(())
}

impl Tally {
    fn step<R>(&mut self, name: &'static str, work: impl FnOnce() -> R) -> R {
        let started = Instant::now();
        let result = work();
        self.steps.push((name, started.elapsed()));
        result
    }
}

fn report(tallies: &[Tally], elapsed: Duration) {
    let count = |wanted: fn(usize) -> bool| tallies.iter().flat_map(|t| &t.faces).filter(|n| wanted(**n)).count();
    println!(
        "{} photos in {:.1} s: one face in {}, several in {}, none in {}",
        tallies.len(),
        elapsed.as_secs_f64(),
        count(|n| n == 1),
        count(|n| n > 1),
        count(|n| n == 0)
    );
    let mut steps: Vec<(&str, Vec<f64>)> = Vec::new();
    for (name, time) in tallies.iter().flat_map(|tally| &tally.steps) {
        let ms = time.as_secs_f64() * 1e3;
        match steps.iter_mut().find(|(known, _)| known == name) {
            Some((_, times)) => times.push(ms),
            None => steps.push((name, vec![ms])),
        }
    }
    for (name, mut times) in steps {
        times.sort_by(f64::total_cmp);
        let mean = times.iter().sum::<f64>() / times.len() as f64;
        println!("{name:28} mean {mean:8.2} ms, median {:8.2} ms, {} times", times[times.len() / 2], times.len());
    }
    for name in tallies.iter().flat_map(|tally| &tally.names_without_face) {
        println!("no face in {name}");
    }
}
