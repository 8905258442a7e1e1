//! Events on the terminal, on stderr: lines for what happened, progress as a bar with rate and time left.
//!
//! The bar is drawn on a terminal only; a pipe or a log file sees whole lines and nothing else.

use std::io::{self, Write};
use std::path::Path;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::events::{Event, Sink};

/// How much is said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verbosity {
    /// Warnings and skipped inputs only.
    Quiet,
    /// Everything.
    #[default]
    Normal,
}

/// The sink of the command line.
pub struct Terminal {
    verbosity: Verbosity,
    bar: Option<ProgressBar>,
}

impl Terminal {
    /// Starts without a bar; the first [`Event::Progress`] makes one.
    pub fn new(verbosity: Verbosity) -> Self {
        Terminal { verbosity, bar: None }
    }

    fn say(&self, text: impl std::fmt::Display) {
        self.between_bars(|| drop(writeln!(io::stderr(), "{text}")));
    }

    fn between_bars(&self, write: impl FnOnce()) {
        match &self.bar {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }

    fn progress(&mut self, done: u64, total: u64, unit: &'static str) {
        let bar = self.bar.get_or_insert_with(|| new_bar(unit));
        bar.set_length(total);
        bar.set_position(done);
        if done >= total {
            bar.finish_and_clear();
            self.bar = None;
        }
    }
}

impl Sink for Terminal {
    fn event(&mut self, event: &Event) {
        match event {
            Event::Warning(text) => self.say(format_args!("warning: {text}")),
            Event::Skipped { path, why } => self.say(format_args!("skipped {}: {why}", Path::display(path))),
            _ if self.verbosity == Verbosity::Quiet => {}
            Event::Started { what } => self.say(what),
            Event::Note(text) => self.say(text),
            // The command prints the files as its answer, on stdout, when all are there.
            Event::Saved { .. } => {}
            Event::Status(text) => self.bar.iter().for_each(|bar| bar.set_message(text.clone())),
            Event::Progress { done, total, unit } => self.progress(*done, *total, unit),
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

/// A bar on stderr; hidden by indicatif itself when stderr is no terminal.
fn new_bar(unit: &'static str) -> ProgressBar {
    let template = format!("{{bar:32}} {{pos}}/{{len}} {unit}  {{per_sec}}  {{eta}} left  {{msg}}");
    let style = ProgressStyle::with_template(&template).expect("a template without user text");
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    bar.set_style(style.progress_chars("━╸─"));
    bar
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_goes_away_when_the_work_is_done() {
        let mut terminal = Terminal::new(Verbosity::Normal);
        terminal.event(&Event::Progress { done: 1, total: 2, unit: "images" });
        let bar = terminal.bar.clone().expect("a bar while there is work");
        assert_eq!((bar.position(), bar.length()), (1, Some(2)));
        terminal.event(&Event::Progress { done: 2, total: 2, unit: "images" });
        assert!(terminal.bar.is_none() && bar.is_finished());
    }

    #[test]
    fn quiet_means_no_bar() {
        let mut terminal = Terminal::new(Verbosity::Quiet);
        terminal.event(&Event::Progress { done: 1, total: 2, unit: "images" });
        assert!(terminal.bar.is_none());
    }
}
