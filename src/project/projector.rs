//! A network that pictures are projected into, opened when the first one is not finished yet.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use toonify_networks::checkpoint::{Checkpoint, Parts, Unused};
use toonify_networks::encoder::{Encoder, read_encoder};
use toonify_networks::projection::WStatistics;
use toonify_networks::stylegan2::Generator;

use crate::chart::Line;
use crate::events::{Event, Sink};
use crate::eyes;
use crate::project::record::{self, Identity, Projected, ProjectedTarget, Record, Tuned};
use crate::project::search::{self, Bench, Ending, Found, Progress};
use crate::project::target::{Target, Task};
use crate::project::tune::Workshop;
use crate::project::{Persons, ProjectorPlan, Settings, film};
use crate::render;
use crate::store::checkpoint::CheckpointFile;
use crate::store::folder;

/// What a picture does that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// It ends the work.
    Refused,
    /// It is named, counted and left out.
    Skipped,
}

/// Projects pictures into one network by one set of rules.
pub struct Projector {
    plan: ProjectorPlan,
    file: CheckpointFile,
    identity: Identity,
    studio: Option<Studio>,
}

/// The networks, and where searches begin.
struct Studio {
    checkpoint: Checkpoint,
    bench: Bench,
}

impl Studio {
    fn open(plan: &ProjectorPlan, file: &CheckpointFile, sink: &mut dyn Sink) -> Result<Studio> {
        let (checkpoint, _report) = file.read(Parts::All, Unused::Refuse)?;
        let generator = Generator::from_weights(&checkpoint.config, &checkpoint.ema)
            .with_context(|| format!("cannot build the generator of `{}`", plan.network.display()))?;
        let label = render::label(plan.settings.class, generator.config(), 1, sink)?;
        let eyes = eyes::open(&plan.settings.eyes, &checkpoint, sink)?;
        let statistics = WStatistics::measure(&generator, label.as_ref())?;
        let persons = plan.person.as_ref().map(Persons::open).transpose()?;
        let encoder = match &plan.settings.encoder {
            Some(path) => Some(encoder_for(path, &generator, &file.sha256(), sink)?),
            None => None,
        };
        Ok(Studio { checkpoint, bench: Bench { generator, statistics, eyes, persons, label, encoder } })
    }
}

/// Reads the encoder at `path`, which has to fit the generator.
fn encoder_for(path: &Path, generator: &Generator, network_sha256: &str, sink: &mut dyn Sink) -> Result<Encoder> {
    let bytes = fs::read(path).with_context(|| format!("cannot read encoder `{}`", path.display()))?;
    let file = read_encoder(&bytes).with_context(|| format!("cannot read encoder `{}`", path.display()))?;
    let (of, config) = (&file.config, generator.config());
    let fits = (of.resolution_px, of.img_channels, of.w_dim);
    let wanted = (config.resolution.px(), config.img_channels, config.w_dim);
    ensure!(
        fits == wanted,
        "encoder `{}` is for networks of {} px, {} channels and w of {}, this one has {} px, {} channels and w of {}",
        path.display(),
        fits.0,
        fits.1,
        fits.2,
        wanted.0,
        wanted.1,
        wanted.2
    );
    if file.history.network_sha256 != network_sha256 {
        let note = format!("encoder `{}` was trained for another network; its starts may be poor", path.display());
        sink.event(&Event::Warning(note));
    }
    Ok(file.encoder()?)
}

impl Projector {
    /// Opens the network's file; the network itself is read when there is something to do.
    ///
    /// # Errors
    /// When the settings make no sense or there is no such file.
    pub fn new(plan: &ProjectorPlan) -> Result<Projector> {
        plan.settings.check()?;
        let file = CheckpointFile::open(&plan.network)?;
        let identity = Identity::new(&plan.settings, file.sha256());
        Ok(Projector { plan: plan.clone(), file, identity, studio: None })
    }

    /// Hash of the network's file.
    pub fn network_sha256(&self) -> &str {
        &self.identity.network_sha256
    }

    /// What decides the results.
    pub fn settings(&self) -> &Settings {
        &self.plan.settings
    }

    /// Projects the tasks that are not finished yet; the others are read from their records.
    ///
    /// When `stop` becomes true, the targets under way are written as far as they have come.
    ///
    /// # Errors
    /// When the network or the weights cannot be read or a result cannot be written.
    pub fn project(
        &mut self,
        tasks: Vec<Task>,
        unreadable: Unreadable,
        (stop, sink): (&AtomicBool, &mut dyn Sink),
    ) -> Result<Projected> {
        let (mut outcome, pending) = self.identity.sort(tasks, sink)?;
        if !pending.is_empty() {
            let studio = match self.studio.take() {
                Some(studio) => studio,
                None => Studio::open(&self.plan, &self.file, sink)?,
            };
            let studio = self.studio.insert(studio);
            let (plan, identity) = (&self.plan, &self.identity);
            let session = Session { plan, identity, studio, unreadable, stop };
            session.work_through(pending, &mut outcome, sink)?;
        }
        Ok(outcome)
    }
}

/// Everything that the targets of one call share.
struct Session<'a> {
    plan: &'a ProjectorPlan,
    identity: &'a Identity,
    studio: &'a Studio,
    unreadable: Unreadable,
    stop: &'a AtomicBool,
}

impl Session<'_> {
    fn work_through(&self, pending: Vec<Task>, outcome: &mut Projected, sink: &mut dyn Sink) -> Result<()> {
        let settings = &self.plan.settings;
        let bench = &self.studio.bench;
        let batch = self.plan.images_at_once(bench.generator.config().resolution);
        let mut progress =
            Progress::new(pending.len().div_ceil(batch) * settings.num_steps, pending.len() * settings.tune_steps);
        let pictures = if pending.len() == 1 { "picture" } else { "pictures" };
        sink.event(&Event::Started { what: format!("projecting {} {pictures}", pending.len()) });
        for tasks in pending.chunks(batch).take_while(|_| !self.is_stopped()) {
            let started = Instant::now();
            let targets = self.read(tasks, outcome, sink)?;
            if targets.is_empty() {
                progress.skip(settings.num_steps);
            } else {
                let film = (targets.as_slice(), self.plan.film);
                let found = search::search(bench, settings, film, (&mut progress, self.stop, sink))?;
                let seconds = started.elapsed().as_secs_f64() / targets.len() as f64;
                for (target, found) in targets.iter().zip(found) {
                    match self.finish(target, found, seconds, (&mut progress, sink))? {
                        Some(finished) => outcome.targets.push(finished),
                        None => outcome.interrupted.push(target.task.folder.clone()),
                    }
                }
            }
            progress.skip((tasks.len() - targets.len()) * settings.tune_steps);
        }
        Ok(())
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Reads the pictures of a batch; one of many that cannot be read is left out.
    fn read(&self, tasks: &[Task], outcome: &mut Projected, sink: &mut dyn Sink) -> Result<Vec<Target>> {
        let mut targets = Vec::new();
        for task in tasks {
            match (Target::read(task, self.studio.bench.generator.config()), self.unreadable) {
                (Ok(target), _) => targets.push(target),
                (Err(error), Unreadable::Skipped) => {
                    sink.event(&Event::Skipped { path: task.path.clone(), why: format!("{error:#}") });
                    outcome.skipped += 1;
                }
                (Err(error), Unreadable::Refused) => return Err(error),
            }
        }
        Ok(targets)
    }

    /// Tunes the generator to one target where that is wanted, and writes everything, `project.json` last; that one is
    /// missing, and nothing returned, when the work was interrupted.
    fn finish(
        &self,
        target: &Target,
        found: Found,
        seconds: f64,
        (progress, sink): (&mut Progress, &mut dyn Sink),
    ) -> Result<Option<ProjectedTarget>> {
        let (folder, started) = (&target.task.folder, Instant::now());
        folder::create(folder)?;
        record::reopen(folder)?;
        let (mut record, image) = Record::of(self.identity, target, (&found, &self.studio.bench))?;
        record::write_projection(target, &found, &image, self.plan.settings.noise)?;
        let mut losses = vec![Line::by_step("search", &found.losses)];
        let (mut frames, mut ending) = (found.frames, found.ending);
        if self.plan.settings.tune_steps > 0 && ending == Ending::Whole {
            let Studio { bench, checkpoint } = self.studio;
            let workshop = Workshop { bench, checkpoint, settings: &self.plan.settings, stop: self.stop };
            let tuned = workshop.tune(target, &found.ws, (self.plan.film, &mut frames), (progress, sink))?;
            tuned.write(folder, self.identity)?;
            ending = tuned.ending;
            let person = bench.person_distance(target, tuned.image())?;
            record.tuned = Some(Tuned { person, ..tuned.summary() });
            losses.push(Line::by_step("pivotal tuning", &tuned.losses));
        }
        film::write(folder, self.plan.film, &frames, sink)?;
        record::write_chart(folder, losses)?;
        record.seconds = seconds + started.elapsed().as_secs_f64();
        match ending {
            Ending::Whole => Ok(Some(record.write(&target.task, sink)?)),
            Ending::Interrupted => Ok(None),
        }
    }
}
