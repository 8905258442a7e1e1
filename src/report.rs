//! The folder of a training run to what one looks at: curves, a page, a film of the fixed grid.
//!
//! Everything is made from the files in the folder, so that it can be made again at any time, for runs of the published
//! trainer as well: `stats.jsonl`, `metric-*.jsonl`, `fakes*.png`, `reals.png`, `training_options.json`.

mod film;
mod page;
mod plots;
mod record;

use std::path::{Path, PathBuf};

use anyhow::Result;
use serde::Serialize;

use crate::events::{Event, Sink};

pub use record::RunRecord;

/// What was made.
#[derive(Clone, Debug, Serialize)]
pub struct Reported {
    /// The page.
    pub page: PathBuf,
    /// The curves.
    pub plots: Vec<PathBuf>,
    /// The film; `None` with less than two pictures.
    pub film: Option<PathBuf>,
}

/// Folder, within that of the run, for curves and the film's pictures.
const FOLDER: &str = "report";

/// Makes the report of the run in `folder`.
///
/// # Errors
/// When the folder holds no statistics, or a file cannot be read or written.
pub fn run(folder: &Path, sink: &mut dyn Sink) -> Result<Reported> {
    let record = RunRecord::read(folder)?;
    let inner = folder.join(FOLDER);
    crate::store::folder::create(&inner)?;
    let plots = plots::write(&record, &inner)?;
    let film = film::write(&record, &inner)?;
    let page = folder.join("report.html");
    page::write(&record, (&plots, film.as_deref()), &page)?;
    for path in plots.iter().chain(&film).chain([&page]) {
        sink.event(&Event::Saved { path: path.clone() });
    }
    Ok(Reported { page, plots, film })
}
