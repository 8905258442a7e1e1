//! Photos to latents: the `w` whose image is nearest to a crop, in the files that the published projector writes.
//!
//! One target is one folder. It is finished when its `project.json` is there, which is written last; a run that was
//! stopped goes on with the first target that is not finished.

mod eyes;
mod film;
mod plan;
mod record;
mod search;
mod target;
mod tune;

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use toonify_networks::checkpoint::{Checkpoint, Parts, Unused};
use toonify_networks::projection::WStatistics;
use toonify_networks::stylegan2::Generator;

pub use eyes::{Eyes, EyesPlan, Sight};
pub use film::FilmKind;
pub use plan::{NoiseKept, ProjectPlan, Settings};
pub use record::{Likeness, Projected, ProjectedTarget, Record, Tuned};

use crate::chart::Line;
use crate::events::{Event, Sink};
use crate::render;
use crate::store::checkpoint::CheckpointFile;
use crate::store::folder;
use record::Identity;
use search::{Bench, Progress};
use target::{Target, Task};
use tune::Workshop;

/// Projects every target of the plan that is not finished yet.
///
/// # Errors
/// When the network or the weights cannot be read, the target is missing, or a result cannot be written; a picture of a
/// folder that cannot be read is skipped.
pub fn run(plan: &ProjectPlan, sink: &mut dyn Sink) -> Result<Projected> {
    plan.settings.check()?;
    let tasks = target::tasks(plan)?;
    let file = CheckpointFile::open(&plan.network)?;
    let identity = Identity::new(plan, file.sha256());
    let (mut outcome, pending) = identity.sort(tasks, sink)?;
    if !pending.is_empty() {
        let (checkpoint, _report) = file.read(Parts::All, Unused::Refuse)?;
        let studio = Studio::open(plan, &identity, checkpoint, sink)?;
        studio.work_through(pending, &mut outcome, sink)?;
    }
    ensure!(!outcome.targets.is_empty(), "none of the targets in `{}` could be read", plan.target.display());
    outcome.targets.sort_by(|a, b| a.target.cmp(&b.target));
    Ok(outcome)
}

/// Everything that the targets of one run share.
struct Studio<'a> {
    plan: &'a ProjectPlan,
    identity: &'a Identity,
    checkpoint: Checkpoint,
    bench: Bench,
}

impl<'a> Studio<'a> {
    fn open(
        plan: &'a ProjectPlan,
        identity: &'a Identity,
        checkpoint: Checkpoint,
        sink: &mut dyn Sink,
    ) -> Result<Studio<'a>> {
        let generator = Generator::from_weights(&checkpoint.config, &checkpoint.ema)
            .with_context(|| format!("cannot build the generator of `{}`", plan.network.display()))?;
        let label = render::label(plan.settings.class, generator.config(), 1, sink)?;
        let eyes = eyes::open(&plan.settings.eyes, &checkpoint, sink)?;
        let statistics = WStatistics::measure(&generator, label.as_ref())?;
        Ok(Studio { plan, identity, checkpoint, bench: Bench { generator, statistics, eyes, label } })
    }

    fn work_through(&self, pending: Vec<Task>, outcome: &mut Projected, sink: &mut dyn Sink) -> Result<()> {
        let settings = &self.plan.settings;
        let batch = self.plan.batch.unwrap_or_else(|| batch_size(self.bench.generator.config().resolution.px()));
        let mut progress =
            Progress::new(pending.len().div_ceil(batch) * settings.num_steps, pending.len() * settings.tune_steps);
        for tasks in pending.chunks(batch) {
            let started = Instant::now();
            let targets = self.read(tasks, outcome, sink)?;
            if targets.is_empty() {
                progress.skip(settings.num_steps);
            } else {
                let found = search::search(&self.bench, settings, (&targets, self.plan.film), &mut progress, sink)?;
                let seconds = started.elapsed().as_secs_f64() / targets.len() as f64;
                for (target, found) in targets.iter().zip(found) {
                    outcome.targets.push(self.finish(target, found, seconds, (&mut progress, sink))?);
                }
            }
            progress.skip((tasks.len() - targets.len()) * settings.tune_steps);
        }
        Ok(())
    }

    /// Reads the pictures of a batch; one of many that cannot be read is left out.
    fn read(&self, tasks: &[Task], outcome: &mut Projected, sink: &mut dyn Sink) -> Result<Vec<Target>> {
        let mut targets = Vec::new();
        for task in tasks {
            match Target::read(task, self.bench.generator.config()) {
                Ok(target) => targets.push(target),
                Err(error) if self.plan.target.is_dir() => {
                    sink.event(&Event::Skipped { path: task.path.clone(), why: format!("{error:#}") });
                    outcome.skipped += 1;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(targets)
    }

    /// Tunes the generator to one target where that is wanted, and writes everything, `project.json` last.
    fn finish(
        &self,
        target: &Target,
        found: search::Found,
        seconds: f64,
        (progress, sink): (&mut Progress, &mut dyn Sink),
    ) -> Result<ProjectedTarget> {
        let (folder, started) = (&target.task.folder, Instant::now());
        folder::create(folder)?;
        record::reopen(folder)?;
        let (mut record, image) = Record::of(self.identity, target, (&found, &self.bench))?;
        record::write_projection(target, &found, &image, self.plan.settings.noise)?;
        let mut losses = vec![Line::by_step("search", &found.losses)];
        let mut frames = found.frames;
        if self.plan.settings.tune_steps > 0 {
            let workshop = Workshop { bench: &self.bench, checkpoint: &self.checkpoint, settings: &self.plan.settings };
            let tuned = workshop.tune(target, &found.ws, (self.plan.film, &mut frames), (progress, sink))?;
            tuned.write(folder, self.identity)?;
            record.tuned = Some(tuned.summary());
            losses.push(Line::by_step("pivotal tuning", &tuned.losses));
        }
        film::write(folder, self.plan.film, &frames, sink)?;
        record::write_chart(folder, losses)?;
        record.seconds = seconds + started.elapsed().as_secs_f64();
        record.write(&target.task, sink)
    }
}

/// Images in one search: small ones keep the processor busier together, large ones do not and would need more memory.
fn batch_size(px: usize) -> usize {
    (256 / px).clamp(1, 8)
}
