//! `stats.jsonl`: one line a tick, in the published form.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};

use crate::store::atomic;
use crate::train::fit::Progress;
use crate::train::tally::{Sums, Tally};

/// The statistics file of a run, and the clock.
pub struct Statistics {
    path: PathBuf,
    started: Instant,
    /// Seconds that earlier parts of the run took.
    before: f64,
    tick: TickStart,
}

struct TickStart {
    when: Instant,
    images: u64,
}

/// How fast a training goes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pace {
    /// Since the run began, pauses left out.
    pub total_seconds: f64,
    /// Of the tick that has ended.
    pub seconds_per_tick: f64,
    /// In the tick that has ended.
    pub seconds_per_kimg: f64,
}

impl Statistics {
    /// Opens the file of a run that is at tick `tick` and at `at`; lines of later ticks, which are about to be trained anew,
    /// are dropped.
    ///
    /// # Errors
    /// When the file is there and cannot be read or written.
    pub fn open(path: &Path, tick: u64, at: Progress) -> Result<Statistics> {
        let now = Instant::now();
        let mut before = 0.0;
        if path.is_file() {
            let text = fs::read_to_string(path).with_context(|| format!("cannot read `{}`", path.display()))?;
            let mut kept = String::new();
            for line in text.lines() {
                let mean = |name: &str| serde_json::from_str::<Value>(line).ok()?.get(name)?.get("mean")?.as_f64();
                if mean("Progress/tick").is_some_and(|number| number < tick as f64) {
                    before = mean("Timing/total_sec").unwrap_or(before);
                    kept.push_str(line);
                    kept.push('\n');
                }
            }
            atomic::write(path, kept.as_bytes())?;
        }
        Ok(Statistics { path: path.to_owned(), started: now, before, tick: TickStart { when: now, images: at.images } })
    }

    /// Appends the line of a tick that has ended, and starts the next one.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn end_tick(&mut self, number: u64, at: Progress, (tally, p): (&Tally, f32)) -> Result<Pace> {
        let now = Instant::now();
        let seconds = (now - self.tick.when).as_secs_f64();
        let kimg = (at.images - self.tick.images) as f64 / 1000.0;
        let total_seconds = self.before + (now - self.started).as_secs_f64();
        let pace = Pace { total_seconds, seconds_per_tick: seconds, seconds_per_kimg: seconds / kimg.max(1e-9) };
        self.tick = TickStart { when: now, images: at.images };
        let mut line: Map<String, Value> = tally.iter().map(|(name, sums)| (name.to_owned(), entry(sums))).collect();
        let single = [
            ("Progress/tick", number as f64),
            ("Progress/kimg", at.kimg()),
            ("Progress/augment", f64::from(p)),
            ("Timing/total_sec", pace.total_seconds),
            ("Timing/sec_per_tick", pace.seconds_per_tick),
            ("Timing/sec_per_kimg", pace.seconds_per_kimg),
        ];
        line.extend(single.map(|(name, value)| (name.to_owned(), json!({ "num": 1, "mean": value, "std": 0.0 }))));
        let timestamp = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64());
        line.insert("timestamp".to_owned(), json!(timestamp));
        let mut text = serde_json::to_string(&line)?;
        text.push('\n');
        let file = OpenOptions::new().create(true).append(true).open(&self.path);
        file.and_then(|mut file| file.write_all(text.as_bytes()))
            .with_context(|| format!("cannot write `{}`", self.path.display()))?;
        Ok(pace)
    }
}

fn entry(sums: Sums) -> Value {
    json!({ "num": sums.num, "mean": sums.mean(), "std": sums.std() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_a_tick_and_those_of_the_future_are_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("stats.jsonl");
        let mut tally = Tally::default();
        tally.add("Loss/G/loss", 0.5);
        let mut statistics = Statistics::open(&path, 0, Progress::default()).unwrap();
        for tick in 0..3 {
            let at = Progress { step: tick + 1, images: 500 * (tick + 1) };
            statistics.end_tick(tick, at, (&tally, 0.25)).unwrap();
        }
        fs::write(&path, fs::read_to_string(&path).unwrap() + "{\"half").unwrap();
        Statistics::open(&path, 2, Progress { step: 2, images: 1000 }).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[1]["Progress/kimg"]["mean"], 1.0);
        assert_eq!(lines[1]["Progress/augment"]["mean"], 0.25);
        assert_eq!(lines[0]["Loss/G/loss"], json!({ "num": 1, "mean": 0.5, "std": 0.0 }));
        assert!(lines[0]["timestamp"].as_f64().unwrap() > 1e9);
    }
}
