//! Photos to the same photos with characters in place of the faces (`toonify photo`).
//!
//! ```text
//! photo ─align::Finder→ frames ─crop→ faces ─Engine→ toons ─paste→ photo
//! ```
//!
//! The output folder holds `photos/` (the pasted photos), `toons/` (the square toons), `w/` (what was projected, unless it
//! is kept elsewhere) and `photos.json` (what became of each photo). A second run does what is missing.

mod blended;
mod engine;
mod inputs;
mod ledger;
mod plan;
mod shipped;
mod stages;
mod student;

use std::collections::VecDeque;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use anyhow::{Result, bail};
use image::RgbImage;
use toonify_align::{CropMethod, Paste, crop, paste};

pub use blended::BlendedEngine;
pub use engine::{AlignedFace, Ending, Engine, Toon};
pub use ledger::{Fate, PhotoRecord};
pub use plan::{Base, BlendPlan, EnginePlan, LatentsPlan, MaskKind, PastePlan, PhotoPlan, Style, StylePlan};
pub use shipped::ShippedStyle;
pub use student::StudentEngine;

use crate::align::{Finder, FoundFace, Sighting};
use crate::events::{Event, Sink};
use crate::store::lock::FolderLock;
use crate::store::{atomic, folder, picture};
use inputs::{Entry, Inputs};
use ledger::Ledger;

/// Photos that are in memory at the same time have at most so many pixels together; a larger one is alone.
const PIXELS_IN_WORK: u64 = 64_000_000;

/// What was done.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct Toonified {
    /// Photos with a result, of this run and earlier ones.
    pub done: usize,
    /// Of these, how many an earlier run had done.
    pub reused: usize,
    /// Photos whose result is that of an interrupted search.
    pub interrupted: usize,
    /// Photos that were not begun because the work was stopped.
    pub left: usize,
    /// Faces in the results.
    pub faces: usize,
    /// The photos, as they were given.
    pub photos: Vec<PhotoRecord>,
}

impl Toonified {
    /// The photos without a result, and why.
    pub fn failures(&self) -> impl Iterator<Item = (&Path, &str)> {
        self.photos.iter().filter_map(|photo| match &photo.fate {
            Fate::Failed { why } => Some((photo.source.as_path(), why.as_str())),
            Fate::Done | Fate::Interrupted => None,
        })
    }
}

/// Toonifies the photos that are not done yet.
///
/// When `stop` becomes true, the photos under way are finished with what was found so far, and are still to do.
///
/// # Errors
/// When networks, models or latents cannot be read or do not fit, a source holds no pictures, or a result cannot be
/// written. A photo that cannot be read or has no face is in the outcome.
pub fn run(plan: &PhotoPlan, stop: &AtomicBool, sink: &mut dyn Sink) -> Result<Toonified> {
    let mut engine: Box<dyn Engine> = match &plan.engine {
        EnginePlan::Blended(style) => Box::new(BlendedEngine::open(style)?),
        EnginePlan::Student(path) => Box::new(StudentEngine::open(path)?),
    };
    run_with(plan, engine.as_mut(), (stop, sink))
}

/// [`run`] with an engine of the caller's choice.
///
/// # Errors
/// As [`run`].
pub fn run_with(
    plan: &PhotoPlan,
    engine: &mut dyn Engine,
    (stop, sink): (&AtomicBool, &mut dyn Sink),
) -> Result<Toonified> {
    let lock = FolderLock::take(&plan.out)?;
    let mut ledger = Ledger::open(&plan.out)?;
    let inputs = Inputs::list(plan, &ledger)?;
    let style = plan.digest(&engine.identity());
    let (done, todo): (Vec<&Entry>, Vec<&Entry>) =
        inputs.entries.iter().partition(|entry| ledger.is_done(entry, &style, plan.stages.as_deref()));
    let n_photos = inputs.entries.len();
    sink.event(&Event::Started { what: format!("toonifying {} of {n_photos} photos", todo.len()) });
    let mut ended = Vec::new();
    if !todo.is_empty() {
        let finders = Finder::crew(&plan.model, &plan.search, rayon::current_num_threads().min(todo.len()))?;
        folder::create(&plan.out)?;
        let _lock = if lock.is_none() { FolderLock::take(&plan.out)? } else { lock };
        atomic::sweep(&plan.out);
        let job = Job { plan, inputs: &inputs, style: &style, stop };
        ended = job.work_through(&todo, (engine, finders, &mut ledger), sink)?;
    }
    let entered = done.iter().chain(&ended);
    let photos: Vec<PhotoRecord> = entered.filter_map(|entry| ledger.get(&entry.key).cloned()).collect();
    let count = |fate: &Fate| photos.iter().filter(|photo| photo.fate == *fate).count();
    Ok(Toonified {
        done: count(&Fate::Done),
        reused: done.len(),
        interrupted: count(&Fate::Interrupted),
        left: todo.len() - ended.len(),
        faces: photos.iter().map(|photo| photo.toons.len()).sum(),
        photos,
    })
}

/// A photo in memory, its faces found.
struct Waiting<'a> {
    entry: &'a Entry,
    photo: RgbImage,
    sighting: Sighting,
}

/// A photo with faces, or why there is nothing to do.
type Look<'a> = Result<Waiting<'a>, String>;

/// Whether a group fills the engine, or as much memory as it may.
fn is_full(group: &[Waiting], faces_at_once: usize) -> bool {
    let faces: usize = group.iter().map(|waiting| waiting.sighting.faces.len()).sum();
    let pixels = |photo: &RgbImage| u64::from(photo.width()) * u64::from(photo.height());
    faces >= faces_at_once || group.iter().map(|waiting| pixels(&waiting.photo)).sum::<u64>() >= PIXELS_IN_WORK
}

/// What all photos of a run share.
struct Job<'a> {
    plan: &'a PhotoPlan,
    inputs: &'a Inputs,
    style: &'a str,
    stop: &'a AtomicBool,
}

impl Job<'_> {
    /// Works through the photos in groups that fill the engine; returns those that came to an end of some kind.
    fn work_through<'e>(
        &self,
        todo: &[&'e Entry],
        (engine, mut finders, ledger): (&mut dyn Engine, Vec<Finder>, &mut Ledger),
        sink: &mut dyn Sink,
    ) -> Result<Vec<&'e Entry>> {
        let (mut group, mut ended, mut seen) = (Vec::new(), Vec::new(), VecDeque::new());
        for (index, &entry) in todo.iter().enumerate() {
            if seen.is_empty() {
                seen.extend(self.look_at(&todo[index..], &mut finders));
            }
            match seen.pop_front().expect("at least one photo was looked at")? {
                Ok(waiting) => group.push(waiting),
                Err(why) => {
                    sink.event(&Event::Skipped { path: entry.path.clone(), why: why.clone() });
                    ledger.enter(entry, self.record(entry, Fate::Failed { why }))?;
                    ended.push(entry);
                }
            }
            let is_full = is_full(&group, engine.faces_at_once()) || index + 1 == todo.len();
            if is_full && !group.is_empty() {
                ended.extend(self.finish(std::mem::take(&mut group), engine, ledger, sink)?);
                sink.event(&Event::Note(format!("{} of {} photos are done", ended.len(), todo.len())));
            }
            if self.stop.load(Ordering::Relaxed) {
                break;
            }
        }
        Ok(ended)
    }

    /// Looks at the next photos at the same time, as many as there are finders and memory may hold, at least one; in order.
    fn look_at<'a>(&self, next: &[&'a Entry], finders: &mut [Finder]) -> Vec<Result<Look<'a>>> {
        let mut pixels = 0;
        let fits = |entry: &&&Entry| {
            let fits = pixels == 0 || pixels + entry.pixels <= PIXELS_IN_WORK;
            pixels += entry.pixels.max(1);
            fits
        };
        let pairs = next.iter().take_while(fits).zip(finders);
        thread::scope(|scope| {
            let threads: Vec<_> = pairs.map(|(entry, finder)| scope.spawn(|| self.look(entry, finder))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic))).collect()
        })
    }

    /// Reads a photo and finds its faces, or says why there is nothing to do.
    fn look<'a>(&self, entry: &'a Entry, finder: &mut Finder) -> Result<Look<'a>> {
        let photo = match self.inputs.photo(entry) {
            Ok(photo) => photo,
            // The event names the photo already.
            Err(error) => return Ok(Err(error.root_cause().to_string())),
        };
        let sighting = finder.look(&photo)?;
        Ok(match &sighting.skipped {
            Some(skipped) => Err(skipped.detail.clone()),
            None => Ok(Waiting { entry, photo, sighting }),
        })
    }

    /// Makes the characters of a group and pastes them; returns the photos that have a result.
    fn finish<'e>(
        &self,
        group: Vec<Waiting<'e>>,
        engine: &mut dyn Engine,
        ledger: &mut Ledger,
        sink: &mut dyn Sink,
    ) -> Result<Vec<&'e Entry>> {
        let size_px = engine.side_px();
        let mut faces = Vec::new();
        for Waiting { entry, photo, sighting } in &group {
            for why in &sighting.left_out {
                sink.event(&Event::Warning(format!("{}: left out {why}", entry.path.display())));
            }
            for (index, found) in sighting.faces.iter().enumerate() {
                let image = crop(photo, &found.frame, size_px, CropMethod::Clean)?;
                faces.push(AlignedFace { name: entry.face_name(index), image });
            }
        }
        let mut toons = engine.toons(&faces, (self.stop, sink))?.into_iter();
        let mut crops = faces.into_iter();
        let mut finished = Vec::new();
        for waiting in group {
            let count = waiting.sighting.faces.len();
            let crops: Vec<AlignedFace> = crops.by_ref().take(count).collect();
            // A photo with a face that was not begun is left for the next run.
            let Some(toons) = toons.by_ref().take(count).collect::<Option<Vec<Toon>>>() else { continue };
            let entry = waiting.entry;
            let record = self.write(waiting, &crops, &toons, sink)?;
            ledger.enter(entry, record)?;
            finished.push(entry);
        }
        Ok(finished)
    }

    /// Pastes the toons of one photo and writes everything that belongs to it.
    fn write(
        &self,
        waiting: Waiting,
        crops: &[AlignedFace],
        toons: &[Toon],
        sink: &mut dyn Sink,
    ) -> Result<PhotoRecord> {
        let Waiting { entry, mut photo, sighting } = waiting;
        let mut album = stages::Album::open(self.plan.stages.as_deref(), entry)?;
        album.add("1-faces", || stages::marked(&photo, &sighting.faces))?;
        let mut record = self.record(entry, Fate::Done);
        for (index, ((found, toon), aligned)) in sighting.faces.iter().zip(toons).zip(crops).enumerate() {
            let how = self.plan.paste.of(found)?;
            paste(&mut photo, &toon.image, &found.frame, &how)?;
            self.add_stages(&mut album, index, (aligned, toon, &how))?;
            let file = PathBuf::from("toons").join(format!("{}.png", entry.face_name(index)));
            self.save(&file, toon.image.clone(), sink)?;
            record.toons.push(file);
            if toon.ending == Ending::Interrupted {
                record.fate = Fate::Interrupted;
            }
        }
        album.add("3-pasted", || photo.clone())?;
        let file = PathBuf::from("photos").join(format!("{}.png", entry.stem));
        self.save(&file, photo, sink)?;
        record.photo = Some(file);
        Ok(record)
    }

    fn add_stages(
        &self,
        album: &mut stages::Album,
        index: usize,
        (aligned, toon, how): (&AlignedFace, &Toon, &Paste),
    ) -> Result<()> {
        let name = |what: &str| format!("2-face{index:02}-{what}");
        album.add(&name("1-crop"), || aligned.image.clone())?;
        for (number, (what, image)) in toon.stages.iter().enumerate() {
            album.add(&name(&format!("{}-{what}", number + 2)), || image.clone())?;
        }
        let next = toon.stages.len() + 2;
        album.add(&name(&format!("{next}-toon")), || toon.image.clone())?;
        album.add(&name(&format!("{}-mask", next + 1)), || stages::mask(&how.mask, toon.image.width()))
    }

    fn save(&self, file: &Path, image: RgbImage, sink: &mut dyn Sink) -> Result<()> {
        let path = self.plan.out.join(file);
        if let Some(parent) = path.parent() {
            folder::create(parent)?;
        }
        picture::write(&path, &image.into())?;
        sink.event(&Event::Saved { path });
        Ok(())
    }

    fn record(&self, entry: &Entry, fate: Fate) -> PhotoRecord {
        PhotoRecord {
            source: entry.path.clone(),
            sha256: entry.sha256.clone(),
            style: self.style.to_owned(),
            stem: entry.stem.clone(),
            fate,
            photo: None,
            toons: Vec::new(),
        }
    }
}

/// Refuses an outcome in which something is missing, naming every photo.
///
/// # Errors
/// When a photo has no result or the work was stopped.
pub fn check_complete(outcome: &Toonified) -> Result<()> {
    let n_photos = outcome.photos.len() + outcome.left;
    if outcome.left + outcome.interrupted > 0 {
        let (done, interrupted) = (outcome.done, outcome.interrupted);
        let so_far =
            if interrupted > 0 { format!(" ({interrupted} more with what was found so far)") } else { String::new() };
        bail!("stopped after {done} of {n_photos} photos{so_far}; the same command goes on from there");
    }
    let failures: Vec<String> =
        outcome.failures().map(|(photo, why)| format!("\n  {}: {why}", photo.display())).collect();
    match failures.len() {
        0 => Ok(()),
        n_failed => bail!("{n_failed} of {n_photos} photos could not be toonified:{}", failures.concat()),
    }
}

impl PastePlan {
    /// How one face is pasted.
    pub(crate) fn of(&self, found: &FoundFace) -> Result<Paste> {
        Ok(Paste { mask: self.mask_of(found), colour: self.colour })
    }
}
