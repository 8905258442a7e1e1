//! What must be there before a training begins.

use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::store::models::ModelFolders;
use crate::train::plan::Metric;

/// Finds the file of the network that each metric looks with, `None` where it needs none.
///
/// # Errors
/// When one is missing; the message says where to put it.
pub fn detectors(metrics: &[Metric], folders: &ModelFolders) -> Result<Vec<(Metric, Option<PathBuf>)>> {
    let find = |metric: &Metric| {
        let Some(detector) = metric.detector() else { return Ok((*metric, None)) };
        let name = detector.file_name();
        let path = folders.find(name).with_context(|| {
            let place = folders.place_for(name);
            format!(
                "metric `{metric}` needs `{name}`, which is not there\n  hint: put it at `{}`, measure `swd`, which \
                     needs none, or `--metrics none`",
                place.display()
            )
        })?;
        Ok((*metric, Some(path)))
    };
    metrics.iter().map(find).collect()
}
