//! Looks after a run while it trains: progress, statistics, pictures, snapshots, the state, and warnings.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use toonify_networks::checkpoint::Provenance;

use crate::events::{Event, Sink};
use crate::store::checkpoint::{self, Format};
use crate::train::fit::{Flow, Log, Progress, Watch};
use crate::train::health::{Illness, diagnose};
use crate::train::pictures::Grid;
use crate::train::profile::{Part, Profile};
use crate::train::run_folder::RunFolder;
use crate::train::settings::Settings;
use crate::train::snapshot::{self, State, Tick, Trainee};
use crate::train::statistics::{Pace, Statistics};
use crate::train::tally::Tally;
use crate::train::tensorboard::TensorBoard;

/// Thousands of images in a tick.
const KIMG_PER_TICK: u64 = 4;
/// Generated images that differ among themselves by less than this share of what real ones do are all alike.
const ALIKE: f64 = 0.1;

/// Keeps one run.
pub struct Keeper<'a> {
    settings: &'a Settings,
    folder: &'a RunFolder,
    provenance: Provenance,
    pictures: Pictures,
    stop: &'a AtomicBool,
    sink: &'a mut dyn Sink,
    statistics: Statistics,
    tensorboard: TensorBoard,
    tick: Tick,
    tally: Tally,
    saved: Saved,
    told: BTreeSet<Illness>,
}

/// The grid of pictures, and how different its training images are.
pub struct Pictures {
    /// What is shown.
    pub grid: Grid,
    /// Spread of the training images.
    pub spread: f64,
}

/// When the state was saved last, and how far the training was.
struct Saved {
    at: Progress,
    when: Instant,
    every: Duration,
}

/// What a keeper needs of the run.
pub struct Run<'a> {
    /// What the training was asked to do.
    pub settings: &'a Settings,
    /// Where it writes.
    pub folder: &'a RunFolder,
    /// Where its networks come from.
    pub provenance: Provenance,
    /// What it shows.
    pub pictures: Pictures,
    /// How often its state is saved.
    pub save_every: Duration,
}

impl<'a> Keeper<'a> {
    /// Starts with a new run, or goes on with the tick and the tally of `state`.
    ///
    /// # Errors
    /// When the statistics so far cannot be read.
    pub fn new(
        run: Run<'a>,
        state: Option<&State>,
        (stop, sink): (&'a AtomicBool, &'a mut dyn Sink),
    ) -> Result<Keeper<'a>> {
        let tick = state.map_or_else(Tick::default, |state| state.tick);
        let at = state.map_or_else(Progress::default, |state| state.at);
        Ok(Keeper {
            statistics: Statistics::open(&run.folder.stats(), tick.number, at)?,
            // After the statistics, which may have lost lines of the future.
            tensorboard: TensorBoard::open(run.folder.path())?,
            settings: run.settings,
            folder: run.folder,
            provenance: run.provenance,
            pictures: run.pictures,
            stop,
            sink,
            tick,
            tally: state.map(|state| state.tally.clone()).unwrap_or_default(),
            saved: Saved { at, when: Instant::now(), every: run.save_every },
            told: BTreeSet::new(),
        })
    }

    /// Saves what the last step left unsaved.
    ///
    /// # Errors
    /// When the state cannot be written.
    pub fn finish(&mut self, trainee: &Trainee, at: Progress) -> Result<()> {
        if self.saved.at != at { self.save(trainee, at) } else { Ok(()) }
    }

    fn save(&mut self, trainee: &Trainee, at: Progress) -> Result<()> {
        let run = (self.settings, &self.provenance);
        let state = State::of(trainee, run, (at, self.tick), &self.tally);
        snapshot::save(&self.folder.state(), trainee, &state)?;
        self.saved = Saved { at, when: Instant::now(), ..self.saved };
        Ok(())
    }

    /// Tells about the tick, and writes what is due at its end.
    fn end_tick(&mut self, trainee: &Trainee, (at, done): (Progress, bool), profile: &mut Profile) -> Result<()> {
        let p = trainee.augmenter().p();
        let pace = self.statistics.end_tick(at);
        let written = self.statistics.write(self.tick.number, at, (&self.tally, p, &pace));
        let followed = written.and_then(|()| self.tensorboard.follow());
        self.put_up_with(followed);
        self.sink.event(&Event::Note(self.status(at, &pace, p)));
        for illness in diagnose(&self.tally, trainee.augmenter().follows().then_some(p)) {
            self.tell(illness);
        }
        let due = done || self.tick.number.is_multiple_of(self.settings.snapshot_ticks);
        self.tick = Tick { number: self.tick.number + 1, images: at.images };
        self.tally = Tally::default();
        if due {
            let result = profile.time(Part::Snapshots, || self.write_snapshot(trainee, at));
            if done {
                return result;
            }
            self.saved.when = Instant::now();
            self.put_up_with(result);
        }
        self.statistics.start_tick(at, &pace);
        Ok(())
    }

    /// A file that could not be written is no reason to lose what was learnt: the next attempt may succeed, and the last
    /// good state is still there.
    fn put_up_with(&mut self, result: Result<()>) {
        if let Err(error) = result {
            self.sink.event(&Event::Warning(format!("{error:#}; the training goes on, the last good state is kept")));
        }
    }

    fn write_snapshot(&mut self, trainee: &Trainee, at: Progress) -> Result<()> {
        let kimg = at.images / 1000;
        let spread =
            self.pictures.grid.write_fakes(trainee.average(), trainee.generator_config(), &self.folder.fakes(kimg))?;
        let provenance = Provenance { augment_p: Some(f64::from(trainee.augmenter().p())), ..self.provenance.clone() };
        let path = self.folder.network(kimg);
        checkpoint::write(&path, &trainee.checkpoint(provenance)?, Format::Toonify)?;
        // The state last: a run that is killed before goes on from the older one and writes these files again.
        self.save(trainee, at)?;
        // Whoever hears of the networks may measure them for hours; everything is safe by now.
        for path in [self.folder.fakes(kimg), path] {
            self.sink.event(&Event::Saved { path });
        }
        let followed = self.tensorboard.follow();
        self.put_up_with(followed);
        if spread < ALIKE * self.pictures.spread && self.tick.number > 1 {
            self.tell(Illness::Collapse);
        }
        Ok(())
    }

    /// Warns once about each illness.
    fn tell(&mut self, illness: Illness) {
        if self.told.insert(illness) {
            let text = format!("tick {}: {}", self.tick.number, illness.advice());
            self.sink.event(&Event::Warning(text));
        }
    }

    /// The numbers that one watches a training by.
    fn status(&self, at: Progress, pace: &Pace, p: f32) -> String {
        let left = self.settings.total_kimg as f64 - at.kimg();
        let mut text = format!(
            "tick {:<4} kimg {:<8.1} time {:<10} sec/kimg {:<8.2}",
            self.tick.number,
            at.kimg(),
            duration(pace.total_seconds),
            pace.seconds_per_kimg
        );
        for (name, short) in
            [("Loss/G/loss", "G"), ("Loss/D/loss", "D"), ("Loss/r1_penalty", "r1"), ("Loss/signs/real", "signs")]
        {
            if let Some(mean) = self.tally.mean(name) {
                text.push_str(&format!(" {short} {mean:<7.3}"));
            }
        }
        text.push_str(&format!(" p {p:<6.3} left {}", duration(left.max(0.0) * pace.seconds_per_kimg)));
        text
    }
}

impl Watch<Trainee> for Keeper<'_> {
    fn after_step(&mut self, trainee: &mut Trainee, at: Progress, log: &mut Log) -> Result<Flow> {
        self.tally.merge(std::mem::take(&mut log.tally));
        let total = self.settings.total_kimg * 1000;
        let done = at.images >= total;
        // As published, the first tick ends after the first step.
        if done || self.tick.number == 0 || at.images >= self.tick.images + KIMG_PER_TICK * 1000 {
            self.end_tick(trainee, (at, done), &mut log.profile)?;
        }
        self.sink.event(&Event::Progress { done: at.images.min(total), total, unit: "images" });
        if self.stop.load(Ordering::Relaxed) {
            return Ok(Flow::Stop);
        }
        if !done && self.saved.when.elapsed() >= self.saved.every {
            let result = self.save(trainee, at);
            self.saved.when = Instant::now();
            self.put_up_with(result);
        }
        Ok(Flow::Continue)
    }
}

/// Seconds as people say them: `45s`, `12m 03s`, `3h 20m`, `2d 05h`.
fn duration(seconds: f64) -> String {
    let s = seconds.round() as u64;
    match s {
        0..60 => format!("{s}s"),
        60..3600 => format!("{}m {:02}s", s / 60, s % 60),
        3600..86_400 => format!("{}h {:02}m", s / 3600, s % 3600 / 60),
        _ => format!("{}d {:02}h", s / 86_400, s % 86_400 / 3600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_well() {
        let shown = [0.4, 59.6, 3599.0, 3600.0, 12_000.0, 180_000.0].map(duration);
        assert_eq!(shown, ["0s", "1m 00s", "59m 59s", "1h 00m", "3h 20m", "2d 02h"]);
    }
}
