//! Pictures of a folder, one file each: what cannot be read is named, and the others are translated all the same.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use image::RgbImage;
use rayon::prelude::*;

use super::{Applied, ApplyPlan, Failed, Frame, Translator};
use crate::events::{Event, Sink};
use crate::pairs::reader;
use crate::store::photo::{self, Photo};
use crate::store::{folder, picture};

/// Pictures that are in memory at the same time.
const AT_ONCE: usize = 8;

/// Where pictures come from and go to.
#[derive(Clone, Debug)]
pub struct PicturesPlan {
    /// The student.
    pub apply: ApplyPlan,
    /// A picture, or a folder of them.
    pub input: PathBuf,
    /// A file for a picture, a folder for a folder.
    pub output: PathBuf,
    /// Larger pictures are made smaller first.
    pub largest_px: Option<u32>,
}

/// Translates the pictures that have no result yet; a single picture always.
///
/// # Errors
/// When the student or the folder cannot be read, or a result cannot be written. A picture that cannot be read is in the
/// outcome.
pub fn run(plan: &PicturesPlan, stop: &AtomicBool, sink: &mut dyn Sink) -> Result<Applied> {
    let mut translator = Translator::open(&plan.apply)?;
    let ((jobs, reused), depths) = (jobs(plan)?, Depths::list(plan)?);
    let total = jobs.len() as u64;
    sink.event(&Event::Started { what: format!("translating {total} pictures") });
    let (mut outcome, started) = (Applied { done: reused, reused, ..Applied::default() }, Instant::now());
    for group in jobs.chunks(AT_ONCE) {
        if stop.load(Ordering::Relaxed) {
            bail!("stopped after {} of {total} pictures; the same command goes on from there", outcome.done - reused);
        }
        translate(group, (plan, &depths, &mut translator), &mut outcome, sink)?;
        let made = (outcome.done - reused) + outcome.failed.len() as u64;
        sink.event(&Event::Progress { done: made, total, unit: "pictures" });
    }
    outcome.faces = translator.faces();
    outcome.per_second = (outcome.done - reused) as f64 / started.elapsed().as_secs_f64();
    Ok(outcome)
}

/// A picture, and where its result goes.
type Job = (PathBuf, PathBuf);

/// What is to do, and how many results there are already.
fn jobs(plan: &PicturesPlan) -> Result<(Vec<Job>, u64)> {
    if !plan.input.is_dir() {
        return Ok((vec![(plan.input.clone(), plan.output.clone())], 0));
    }
    folder::create(&plan.output)?;
    let mut jobs = Vec::new();
    let mut taken = BTreeMap::<PathBuf, PathBuf>::new();
    for path in folder::images(&plan.input)? {
        let result = plan.output.join(name_of(&path));
        if let Some(other) = taken.insert(result.clone(), path.clone()) {
            bail!("`{}` and `{}` would have the same result; rename one", other.display(), path.display());
        }
        jobs.push((path, result));
    }
    let (done, todo): (Vec<Job>, Vec<Job>) = jobs.into_iter().partition(|(_, result)| result.exists());
    Ok((todo, done.len() as u64))
}

/// Where the depth of pictures is.
enum Depths {
    InTheirAlphaChannel,
    OfTheOnlyPicture(PathBuf),
    Named(BTreeMap<OsString, PathBuf>),
}

impl Depths {
    fn list(plan: &PicturesPlan) -> Result<Depths> {
        let Some(path) = &plan.apply.depth else { return Ok(Depths::InTheirAlphaChannel) };
        if !path.is_dir() {
            return Ok(Depths::OfTheOnlyPicture(path.clone()));
        }
        let stem = |path: PathBuf| (path.file_stem().unwrap_or_default().to_owned(), path);
        Ok(Depths::Named(folder::images(path)?.into_iter().map(stem).collect()))
    }

    /// A picture and its depth.
    fn read(&self, path: &Path) -> Result<Frame> {
        let file = match self {
            Depths::InTheirAlphaChannel => None,
            Depths::OfTheOnlyPicture(file) => Some(file),
            Depths::Named(files) => {
                let file = files.get(path.file_stem().unwrap_or_default());
                Some(file.context("no picture of depth has its name")?)
            }
        };
        let (pixels, depth) = reader::with_depth(photo::read(path)?, file.map(PathBuf::as_path))?;
        Frame::with_depth(pixels, depth)
    }
}

fn name_of(path: &Path) -> PathBuf {
    PathBuf::from(path.file_stem().unwrap_or_default()).with_extension("png")
}

/// Reads a group in parallel, translates it in order, and writes it in parallel.
fn translate(
    group: &[Job],
    (plan, depths, translator): (&PicturesPlan, &Depths, &mut Translator),
    outcome: &mut Applied,
    sink: &mut dyn Sink,
) -> Result<()> {
    let wants_depth = translator.wants_depth();
    let read = |(path, _): &Job| if wants_depth { depths.read(path) } else { Ok(Photo::read(path)?.pixels.into()) };
    let photos: Vec<Result<Frame>> = group.par_iter().map(read).collect();
    let mut made: Vec<(&Path, RgbImage)> = Vec::new();
    for ((path, result), photo) in group.iter().zip(photos) {
        match photo {
            Ok(photo) => made.push((result, translator.picture(photo, plan.largest_px)?)),
            Err(error) => {
                // The name is shown beside it already.
                let why = error.root_cause().to_string();
                sink.event(&Event::Skipped { path: path.clone(), why: why.clone() });
                outcome.failed.push(Failed { path: path.clone(), why });
            }
        }
    }
    let count = made.len() as u64;
    made.into_par_iter().try_for_each(|(path, image)| picture::write(path, &image.into()))?;
    outcome.done += count;
    Ok(())
}
