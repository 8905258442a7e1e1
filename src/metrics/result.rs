//! What a measurement says.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::metrics::detectors::DetectorFacts;
use crate::statistics::measure::Metric;

/// One metric's numbers with everything that they depend on.
#[derive(Clone, Debug, Serialize)]
pub struct MetricResult {
    /// The metric's name; another detector than the published one is named in it.
    pub metric: String,
    /// The numbers by name, the published names where there are such.
    pub results: BTreeMap<String, f64>,
    /// Real images that were looked at.
    pub reals: usize,
    /// Generated images that were looked at; of path lengths, paths.
    pub fakes: usize,
    /// The network that looked; none for patches.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detector: Option<DetectorFacts>,
    /// Where the random numbers began.
    pub seed: u32,
    /// Seconds that it took, without images that other metrics needed as well.
    pub total_time: f64,
}

/// How a metric is called with the number of images that there were, and with the detector that there was.
pub(super) fn name(metric: &Metric, fakes: usize, foreign_detector: Option<&str>) -> String {
    let name = metric.with_fakes(fakes).to_string();
    match foreign_detector {
        None => name,
        Some(detector) => {
            let plain = detector.trim_end_matches(" (2015-12-05)").to_lowercase();
            let plain: String = plain.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '.').collect();
            format!("{name}_{plain}")
        }
    }
}

impl MetricResult {
    /// The numbers that one looks at first, by name: one for most measures, two where there is no single one.
    pub fn main_values(&self) -> Vec<(&str, f64)> {
        match self.results.get(&self.metric) {
            Some(value) => vec![(&self.metric, *value)],
            None => self.results.iter().map(|(name, value)| (name.as_str(), *value)).collect(),
        }
    }
}
