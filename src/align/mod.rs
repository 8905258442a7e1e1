//! Photos to FFHQ-framed faces, with a journal that remembers the way back (`toonify align`).
//!
//! ```text
//! source ─sources→ photos ─crew→ worker: read → look → landmarks → frame → crop → file
//!                                   └─ Record ─journal→ faces.jsonl ─contact, report, pack→ sheets, page, zip
//! ```
//!
//! The output folder holds `faces/` (one file a face, folders kept), `faces.jsonl` (one line a photo), `align.json` (source
//! and settings) and what else is asked for. A second run does what is missing and nothing else.

mod budget;
mod contact;
mod crew;
mod finder;
mod journal;
mod look;
pub mod model;
mod names;
mod outcome;
mod pack;
mod plan;
mod report;
mod sources;
mod state;
mod worker;

use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use anyhow::{Context, Result, bail};

pub use self::finder::{Finder, FoundFace, Sighting};
pub use self::journal::{FaceRecord, Record, Skipped, Why};
pub use self::names::stems;
pub use self::outcome::{AlignOutcome, Counts};
pub use self::plan::{AlignPlan, Crop, Extra, FaceFormat, FaceSearch, Faces, LandmarkKind, Settings, Upsample};
pub use self::sources::{Input, Sources};
pub use self::worker::StepSeconds;

use self::budget::Budget;
use self::journal::Journal;
use self::model::Engine;
use self::state::State;
use self::worker::{Finished, Job, Worker, Workshop};
use crate::events::{Event, Sink};
use crate::store::lock::FolderLock;
use crate::store::{atomic, folder};

/// Name of the journal in the output folder.
pub const JOURNAL: &str = "faces.jsonl";

/// Pixels of photos that are in memory at the same time, all threads together; a larger photo is alone.
const PIXELS_IN_WORK: u64 = 64_000_000;

/// Aligns the photos that are not done yet, then makes the extras from all of them.
///
/// When `stop` becomes true, photos that have begun are finished, and everything written is whole.
///
/// # Errors
/// When the source is missing or holds no pictures, when the output folder belongs to another source or cannot be
/// written or is in use by another run, when the model is missing or damaged, and when the work was stopped. Photos without a face are no error.
pub fn run(plan: &AlignPlan, stop: &AtomicBool, sink: &mut dyn Sink) -> Result<AlignOutcome> {
    let start = Instant::now();
    let sources = Sources::list(&plan.source, &plan.out)?;
    let mut lock = FolderLock::take(&plan.out)?;
    let state = State { source: fs::canonicalize(&plan.source)?, settings: plan.settings.clone() };
    let changes = state.changes_in(&plan.out)?;
    let mut journal = Journal::open(&plan.out.join(JOURNAL))?;
    let jobs = jobs(plan, &sources, &journal);
    let n_resumed = sources.inputs.len() - jobs.len();
    tell_what_is_to_do(plan, (&sources, jobs.len()), &changes, sink);
    let mut step_seconds = StepSeconds::default();
    if !jobs.is_empty() {
        let engine = Engine::open(&plan.model, plan.settings.search.landmarks, plan.settings.search.min_score)?;
        folder::create(&plan.out)?;
        if lock.is_none() {
            lock = FolderLock::take(&plan.out)?;
        }
        state.write(&plan.out)?;
        atomic::sweep(&plan.out.join("faces"));
        let mut ledger = Ledger { plan, journal: &mut journal, sink, n_done: 0 };
        step_seconds = work(plan, (&sources, &engine, stop), &jobs, &mut ledger)?;
        let (n_done, n_photos) = (n_resumed + ledger.n_done, sources.inputs.len());
        if n_done < n_photos {
            bail!("stopped after {n_done} of {n_photos} photos; the same command goes on from there");
        }
    }
    let records: Vec<&Record> = sources.inputs.iter().filter_map(|input| journal.get(&input.name)).collect();
    let mut outcome = AlignOutcome::of(&records, n_resumed);
    (outcome.step_seconds, outcome.seconds) = (step_seconds, start.elapsed().as_secs_f64());
    make_extras(plan, (&sources, &records), &mut outcome, sink)?;
    journal.tidy()?;
    outcome.journal = plan.out.join(JOURNAL);
    drop(lock);
    Ok(outcome)
}

fn tell_what_is_to_do(plan: &AlignPlan, (sources, n_jobs): (&Sources, usize), changes: &[String], sink: &mut dyn Sink) {
    let n_photos = sources.inputs.len();
    sink.event(&Event::Started { what: format!("aligning {n_photos} photos of `{}`", plan.source.display()) });
    if sources.others > 0 {
        sink.event(&Event::Note(format!("{} other files lie among them and are left alone", sources.others)));
    }
    if !changes.is_empty() && n_jobs > 0 {
        let changes = changes.join(", ");
        sink.event(&Event::Warning(format!("the settings have changed ({changes}): photos are done again")));
    }
    if n_jobs < n_photos {
        sink.event(&Event::Note(format!("{} of {n_photos} photos are done already", n_photos - n_jobs)));
    }
}

/// The photos that are still to do.
fn jobs(plan: &AlignPlan, sources: &Sources, journal: &Journal) -> Vec<Job> {
    let names: Vec<&str> = sources.inputs.iter().map(|input| input.name.as_str()).collect();
    let known = |photo: usize| names::stem_of(&journal.get(names[photo])?.faces.first()?.file).map(str::to_owned);
    let stems = stems(&names, known);
    let jobs = sources.inputs.iter().zip(stems).map(|(input, stem)| Job { input: input.clone(), stem });
    jobs.filter(|job| !is_done(plan, &job.input, journal)).collect()
}

/// Whether a photo needs no work: the same file, the same settings, all its faces there. What could not be read is tried
/// again, for the reason may have been the disk's.
fn is_done(plan: &AlignPlan, input: &Input, journal: &Journal) -> bool {
    journal.get(&input.name).is_some_and(|record| {
        record.bytes == input.bytes
            && record.settings == plan.settings.digest()
            && record.skipped.as_ref().is_none_or(|skipped| skipped.why != Why::Unreadable)
            && record.faces.iter().all(|face| is_there(&plan.out.join(&face.file)))
    })
}

/// A face's file that has something in it.
fn is_there(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| metadata.is_file() && metadata.len() > 0)
}

/// Lets the crew work and keeps the journal.
fn work(
    plan: &AlignPlan,
    (sources, engine, stop): (&Sources, &Engine, &AtomicBool),
    jobs: &[Job],
    ledger: &mut Ledger,
) -> Result<StepSeconds> {
    let budget = Budget::new(PIXELS_IN_WORK);
    let (settings, landmarks) = (&plan.settings, &engine.landmarks);
    let shop = Workshop { sources, landmarks, settings, budget: &budget, out: &plan.out };
    // Few photos are cut by several threads each, many by one thread each.
    let n_workers = plan.jobs.clamp(1, jobs.len());
    let worker = || -> Result<Worker> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads((plan.jobs / n_workers).max(1)).build();
        let pool = Arc::new(pool.context("cannot start the threads")?);
        Ok(Worker { shop, eyes: engine.eyes(), pool, seconds: StepSeconds::default() })
    };
    let workers = (0..n_workers).map(|_| worker()).collect::<Result<_>>()?;
    let mut seconds = StepSeconds::default();
    let total = jobs.len() as u64;
    crew::share(jobs, (workers, stop), Worker::align, |finished| {
        seconds.add(&finished.seconds);
        ledger.enter(finished, sources)?;
        ledger.sink.event(&Event::Progress { done: ledger.n_done as u64, total, unit: "photos" });
        Ok(())
    })?;
    Ok(seconds)
}

/// Where finished photos are entered.
struct Ledger<'a> {
    plan: &'a AlignPlan,
    journal: &'a mut Journal,
    sink: &'a mut dyn Sink,
    n_done: usize,
}

impl Ledger<'_> {
    fn enter(&mut self, finished: Finished, sources: &Sources) -> Result<()> {
        let record = finished.record;
        self.delete_faces_of_before(&record)?;
        let path = || match sources.inputs.iter().find(|input| input.name == record.source) {
            Some(input) => sources.path(input),
            None => record.source.clone().into(),
        };
        if let Some(skipped) = &record.skipped {
            self.sink.event(&Event::Skipped { path: path(), why: skipped.detail.clone() });
        }
        for why in record.left_out.iter().filter(|_| record.skipped.is_none()) {
            self.sink.event(&Event::Warning(format!("{}: left out {why}", path().display())));
        }
        self.n_done += 1;
        self.journal.append(record)
    }

    /// Deletes the faces that an earlier run with other settings made of this photo and this one did not.
    fn delete_faces_of_before(&self, record: &Record) -> Result<()> {
        let now: HashSet<&str> = record.faces.iter().map(|face| face.file.as_str()).collect();
        let before = self.journal.get(&record.source).map_or(&[][..], |before| &before.faces);
        for face in before.iter().filter(|face| !now.contains(face.file.as_str())) {
            let path = self.plan.out.join(&face.file);
            if path.is_file() {
                fs::remove_file(&path).with_context(|| format!("cannot delete `{}`", path.display()))?;
            }
        }
        Ok(())
    }
}

fn make_extras(
    plan: &AlignPlan,
    (sources, records): (&Sources, &[&Record]),
    outcome: &mut AlignOutcome,
    sink: &mut dyn Sink,
) -> Result<()> {
    let faces: Vec<&Path> = records.iter().flat_map(|record| &record.faces).map(|face| Path::new(&face.file)).collect();
    for extra in &plan.extras {
        match extra {
            Extra::Report => outcome.report = Some(report::write(&plan.out, (sources, records), outcome)?),
            Extra::Zip | Extra::ContactSheet if faces.is_empty() => {}
            Extra::Zip => outcome.zip = Some(pack::write(&plan.out, &faces)?),
            Extra::ContactSheet => outcome.contact_sheets = contact::write(&plan.out, &faces)?,
        }
    }
    for path in outcome.zip.iter().chain(&outcome.contact_sheets).chain(&outcome.report) {
        sink.event(&Event::Saved { path: path.clone() });
    }
    Ok(())
}
