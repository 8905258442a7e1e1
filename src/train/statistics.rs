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
    /// Seconds between the end of the tick before and this start.
    maintenance: f64,
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
    /// Between the tick before and that one: pictures, snapshots, measurements.
    pub maintenance_seconds: f64,
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
        let tick = TickStart { when: now, images: at.images, maintenance: 0.0 };
        Ok(Statistics { path: path.to_owned(), started: now, before, tick })
    }

    /// Reads the clock at the end of a tick.
    pub fn end_tick(&mut self, at: Progress) -> Pace {
        let now = Instant::now();
        let seconds = (now - self.tick.when).as_secs_f64();
        let kimg = (at.images - self.tick.images) as f64 / 1000.0;
        Pace {
            total_seconds: self.before + (now - self.started).as_secs_f64(),
            seconds_per_tick: seconds,
            seconds_per_kimg: seconds / kimg.max(1e-9),
            maintenance_seconds: self.tick.maintenance,
        }
    }

    /// Starts the clock of the next tick. What happened since the end of the last one, at `pace`, was no training:
    /// pictures, snapshots, measurements.
    pub fn start_tick(&mut self, at: Progress, pace: &Pace) {
        let now = Instant::now();
        let total_seconds = self.before + (now - self.started).as_secs_f64();
        self.tick = TickStart { when: now, images: at.images, maintenance: total_seconds - pace.total_seconds };
    }

    /// Appends the line of a tick that has ended.
    ///
    /// # Errors
    /// When the file cannot be written; it is then as it was before.
    pub fn write(&self, number: u64, at: Progress, (tally, p, pace): (&Tally, f32, &Pace)) -> Result<()> {
        let mut line: Map<String, Value> = tally.iter().map(|(name, sums)| (name.to_owned(), entry(sums))).collect();
        let single = [
            ("Progress/tick", number as f64),
            ("Progress/kimg", at.kimg()),
            ("Progress/augment", f64::from(p)),
            ("Timing/total_sec", pace.total_seconds),
            ("Timing/sec_per_tick", pace.seconds_per_tick),
            ("Timing/sec_per_kimg", pace.seconds_per_kimg),
            ("Timing/maintenance_sec", pace.maintenance_seconds),
        ];
        let memory = resident_bytes().map(|bytes| ("Resources/cpu_mem_gb", bytes as f64 / f64::from(1 << 30)));
        let one = |value: f64| json!({ "num": 1, "mean": value, "std": 0.0 });
        line.extend(single.into_iter().chain(memory).map(|(name, value)| (name.to_owned(), one(value))));
        let timestamp = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64());
        line.insert("timestamp".to_owned(), json!(timestamp));
        let mut text = serde_json::to_string(&line)?;
        text.push('\n');
        append(&self.path, text.as_bytes()).with_context(|| format!("cannot write `{}`", self.path.display()))
    }
}

/// Adds all of `bytes` to a file, or nothing.
fn append(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = OpenOptions::new().create(true).append(true).open(path)?;
    let length = file.metadata()?.len();
    file.write_all(bytes).inspect_err(|_| drop(file.set_len(length)))
}

/// Memory that the process holds, where the system tells.
fn resident_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
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
            let pace = statistics.end_tick(at);
            statistics.write(tick, at, (&tally, 0.25, &pace)).unwrap();
            statistics.start_tick(at, &pace);
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
        assert!(!cfg!(target_os = "linux") || lines[0]["Resources/cpu_mem_gb"]["mean"].as_f64().unwrap() > 1e-4);
    }

    #[test]
    fn what_happens_between_ticks_is_no_part_of_their_pace() {
        let folder = tempfile::tempdir().unwrap();
        let mut statistics = Statistics::open(&folder.path().join("stats.jsonl"), 0, Progress::default()).unwrap();
        let at = |step: u64| Progress { step, images: 1000 * step };
        let first = statistics.end_tick(at(1));
        std::thread::sleep(std::time::Duration::from_millis(200));
        statistics.start_tick(at(1), &first);
        let second = statistics.end_tick(at(2));
        assert!(second.maintenance_seconds >= 0.2 && first.maintenance_seconds == 0.0, "{second:?}");
        assert!(second.total_seconds >= first.total_seconds + second.seconds_per_tick + 0.2, "{first:?} {second:?}");
    }
}
