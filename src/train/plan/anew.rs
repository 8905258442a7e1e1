//! What may be given anew when a run goes on: nothing that changes what is learnt from here.

use std::path::PathBuf;

use crate::train::plan::{PlanError, at_least_1, metric};
use crate::train::settings::Settings;

/// Options that a run which goes on takes; `None` leaves what it has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Anew {
    /// `--kimg`: a run that has ended goes on with a higher number.
    pub kimg: Option<i64>,
    /// `--snap`
    pub snap: Option<i64>,
    /// `--metrics`
    pub metrics: Option<String>,
    /// `--grid`
    pub grid: Option<(usize, usize)>,
    /// `--data`: the same images in another place.
    pub data: Option<PathBuf>,
}

impl Anew {
    /// The settings that the run goes on with.
    ///
    /// # Errors
    /// The published text for the first option that cannot be what it is.
    pub fn apply(self, run: &Settings) -> Result<Settings, PlanError> {
        let mut settings = run.clone();
        if let Some(kimg) = self.kimg {
            settings.total_kimg = at_least_1(kimg, "--kimg must be at least 1")? as u64;
        }
        if let Some(snap) = self.snap {
            settings.snapshot_ticks = at_least_1(snap, "--snap must be at least 1")? as u64;
        }
        if let Some(metrics) = self.metrics {
            settings.metrics = metric::parse(&metrics)?;
        }
        settings.grid = self.grid.unwrap_or(run.grid);
        settings.data.path = self.data.unwrap_or_else(|| run.data.path.clone());
        Ok(settings)
    }
}
