//! Who listens to a measurement, and may end it before its time.

use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Result;

use crate::events::{Event, Sink};

/// Somebody who listens, and a flag that ends the measurement when it is set.
pub struct Listener<'a> {
    /// Set to end the measurement.
    pub stop: &'a AtomicBool,
    /// Who listens.
    pub sink: &'a mut dyn Sink,
}

/// The measurement was ended before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the measurement was stopped")]
pub struct Stopped;

impl Listener<'_> {
    /// Says that something has begun.
    pub(super) fn started(&mut self, what: String) {
        self.sink.event(&Event::Started { what });
    }

    /// Says how far the work is.
    ///
    /// # Errors
    /// [`Stopped`] when it is to end here.
    pub(super) fn progress(&mut self, done: usize, total: usize, unit: &'static str) -> Result<()> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(Stopped.into());
        }
        self.sink.event(&Event::Progress { done: done as u64, total: total as u64, unit });
        Ok(())
    }
}
