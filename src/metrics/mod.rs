//! How far a generator's images are from real ones, by the published measures.
//!
//! A [`Probe`] knows the real images and is asked about checkpoints, as often as one likes: by `toonify metrics` once, by a
//! training at each snapshot, which keeps a [`MetricLog`]. The formulas are in [`statistics`](crate::statistics), the detectors in
//! [`detector`](toonify_networks::detector). Every result says which network looked, how images were resized for it, and
//! how many there were.

mod cache;
mod collect;
mod detectors;
mod images;
mod listener;
mod log;
mod path_length;
mod probe;
mod reals;
mod result;

pub use cache::Cache;
pub use detectors::{DetectorFacts, Watcher, Watchers};
pub use images::Images;
pub use listener::{Listener, Stopped};
pub use log::MetricLog;
pub use probe::{Fakes, Probe};
pub use reals::RealImages;
pub use result::MetricResult;

pub use crate::statistics::{Measure, Metric};
