//! What is measured at each snapshot, by name.

use crate::statistics::Metric;
use crate::train::plan::PlanError;

/// Names joined by commas, or `none`.
pub(super) fn parse(list: &str) -> Result<Vec<Metric>, PlanError> {
    let list = list.trim();
    if list.is_empty() || list.eq_ignore_ascii_case("none") {
        return Ok(Vec::new());
    }
    list.split(',').map(|name| one(name.trim())).collect()
}

/// Only names that the published trainer takes, and `swd`: what is compared should be called alike.
fn one(name: &str) -> Result<Metric, PlanError> {
    let known = Metric::names_while_training();
    known
        .iter()
        .find(|known| **known == name)
        .and_then(|name| name.parse().ok())
        .ok_or_else(|| PlanError(format!("--metrics can only contain the following values:\n{}", known.join("\n"))))
}
