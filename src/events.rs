//! What a workflow tells while it runs: events go out through a [`Sink`], nothing is printed below `cli`.
//!
//! One face missing in a folder of a thousand is an [`Event::Skipped`], not an error; whoever listens counts it.

use std::path::PathBuf;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A piece of work began, for example "reading `ffhq.pkl`".
    Started {
        /// What is being done, in words.
        what: String,
    },
    /// Work went on.
    Progress {
        /// Units done so far; equals `total` when the work is finished.
        done: u64,
        /// Units in all.
        total: u64,
        /// What is counted, in the plural: `images`, `steps`, `kimg`.
        unit: &'static str,
    },
    /// How the work in progress stands, in a few words to be shown beside it: `distance 0.21`.
    Status(String),
    /// A file was written completely.
    Saved {
        /// The file.
        path: PathBuf,
    },
    /// An input was left out and the work goes on without it.
    Skipped {
        /// The input.
        path: PathBuf,
        /// Why, in words, lower case and without a full stop.
        why: String,
    },
    /// Something worth knowing.
    Note(String),
    /// Something that the user may want to change.
    Warning(String),
}

/// Somebody who listens to a workflow: the terminal, a log file, a test.
pub trait Sink {
    /// Takes note of `event`.
    fn event(&mut self, event: &Event);
}

/// Listens to nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Sink for Silent {
    fn event(&mut self, _event: &Event) {}
}

/// Keeps all events in order, for tests and for summaries.
#[derive(Clone, Debug, Default)]
pub struct Recording {
    /// What happened so far.
    pub events: Vec<Event>,
}

impl Recording {
    /// The files that were saved, in order.
    pub fn saved(&self) -> impl Iterator<Item = &PathBuf> {
        self.events.iter().filter_map(|event| match event {
            Event::Saved { path } => Some(path),
            _ => None,
        })
    }

    /// The warnings, in order.
    pub fn warnings(&self) -> impl Iterator<Item = &str> {
        self.events.iter().filter_map(|event| match event {
            Event::Warning(text) => Some(text.as_str()),
            _ => None,
        })
    }
}

impl Sink for Recording {
    fn event(&mut self, event: &Event) {
        self.events.push(event.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn render_two(sink: &mut dyn Sink) {
        for done in 1..=2 {
            sink.event(&Event::Saved { path: format!("{done}.png").into() });
            sink.event(&Event::Progress { done, total: 2, unit: "images" });
        }
        sink.event(&Event::Warning("two only".into()));
    }

    #[test]
    fn a_recording_keeps_events_in_order() {
        let mut recording = Recording::default();
        render_two(&mut recording);
        assert_eq!(recording.events.len(), 5);
        assert_eq!(recording.events[3], Event::Progress { done: 2, total: 2, unit: "images" });
        assert!(recording.saved().map(|path| path.as_os_str()).eq(["1.png", "2.png"]));
        assert!(recording.warnings().eq(["two only"]));
    }

    #[test]
    fn silence_takes_everything() {
        render_two(&mut Silent);
    }
}
