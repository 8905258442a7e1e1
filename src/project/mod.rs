//! Photos to latents: the `w` whose image is nearest to a crop, in the files that the published projector writes.
//!
//! One target is one folder. It is finished when its `project.json` is there, which is written last; a run that was
//! stopped goes on with the first target that is not finished.

mod film;
mod person;
mod plan;
mod projector;
mod record;
mod search;
mod target;
mod tune;

use std::sync::atomic::AtomicBool;

use anyhow::{Result, bail, ensure};

pub use film::FilmKind;
pub use person::{PERSON_MODEL, PersonPlan, Persons};
pub use plan::{NoiseKept, ProjectPlan, ProjectorPlan, Settings};
pub use projector::{Projector, Unreadable};
pub use record::{LATENTS, Likeness, Projected, ProjectedTarget, Record, Tuned};
pub use target::Task;
pub use tune::TUNED_NETWORK;

use crate::events::Sink;

/// Projects every target of the plan that is not finished yet.
///
/// When `stop` becomes true, the targets under way are written as far as they have come; they are still to do.
///
/// # Errors
/// When the network or the weights cannot be read, the target is missing, a result cannot be written, or the work was
/// stopped; a picture of a folder that cannot be read is skipped.
pub fn run(plan: &ProjectPlan, stop: &AtomicBool, sink: &mut dyn Sink) -> Result<Projected> {
    let tasks = target::tasks(plan)?;
    let unreadable = if plan.target.is_dir() { Unreadable::Skipped } else { Unreadable::Refused };
    let n_tasks = tasks.len();
    let mut outcome = Projector::new(&plan.projector)?.project(tasks, unreadable, (stop, sink))?;
    let n_done = outcome.targets.len();
    if let Some(folder) = outcome.interrupted.first() {
        bail!(
            "stopped after {n_done} of {n_tasks} targets; the same command goes on from there (what the search had found \
             so far is in `{}`)",
            folder.display()
        );
    }
    if n_done + outcome.skipped < n_tasks {
        bail!("stopped after {n_done} of {n_tasks} targets; the same command goes on from there");
    }
    ensure!(n_done > 0, "none of the targets in `{}` could be read", plan.target.display());
    outcome.targets.sort_by(|a, b| a.target.cmp(&b.target));
    Ok(outcome)
}
