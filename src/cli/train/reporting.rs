//! Makes the report of a run anew whenever the run has saved its networks.

use crate::cli::train::measuring::is_snapshot;
use crate::events::{Event, Sink};
use crate::report;

/// Passes events on, and reports.
pub(super) struct Reporting<'a>(pub &'a mut dyn Sink);

impl Sink for Reporting<'_> {
    fn event(&mut self, event: &Event) {
        self.0.event(event);
        let Event::Saved { path } = event else { return };
        let (true, Some(folder)) = (is_snapshot(path), path.parent()) else { return };
        // A training does not end because a picture of it cannot be drawn.
        if let Err(error) = report::run(folder, self.0) {
            self.0.event(&Event::Warning(format!("no report: {error:#}")));
        }
    }
}
