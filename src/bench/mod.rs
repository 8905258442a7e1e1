//! How fast this machine renders, projects and trains: networks with random weights, of published sizes.
//!
//! The peak is a loop of multiply-adds on registers, run just before; a share counts the operations of direct convolutions,
//! so that Winograd's way can exceed what the processor executes.

mod networks;

use std::time::Instant;

use anyhow::Result;
use rayon::prelude::*;
use serde::Serialize;
use toonify_networks::ops::peak;
use toonify_networks::ops::vector::Instructions;
use toonify_networks::pix2pix::{BlockKind, Preset};
use toonify_networks::stylegan2::GeneratorConfig;

use crate::events::{Event, Sink};

/// What to measure.
#[derive(Clone, Debug)]
pub struct BenchPlan {
    /// In this order.
    pub works: Vec<Work>,
    /// How long each is repeated.
    pub repeat: Repeat,
}

/// How long to go on with one piece of work, after a call that does not count.
#[derive(Clone, Copy, Debug)]
pub struct Repeat {
    /// Calls at most.
    pub repetitions: usize,
    /// After so long no further call begins.
    pub seconds: f64,
}

/// A piece of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// `batch` images of the published `paper256` generator from `w`, with its constant noise.
    Generate {
        /// Images at a time.
        batch: usize,
    },
    /// A step of projecting one image with that generator and a VGG16.
    Project,
    /// A training step with the `auto` configuration at 64 px, all phases as lazily as they come: each kind of step is timed,
    /// and a call is their mean over 16 steps.
    Train {
        /// Images a step.
        batch: usize,
    },
    /// A frame through a student of this size, with plain blocks, without gradients.
    Student {
        /// Size of the student.
        preset: Preset,
        /// Side of the frame.
        side_px: usize,
    },
}

/// What was measured.
#[derive(Clone, Debug, Serialize)]
pub struct Benched {
    /// Threads of the process.
    pub threads: usize,
    /// Vector instructions that the convolutions use.
    pub instructions: &'static str,
    /// Multiply-adds on registers, in 10⁹ operations a second.
    pub peak_gflops: f64,
    /// One for each piece of work.
    pub results: Vec<Timing>,
}

/// Times of one piece of work.
#[derive(Clone, Debug, Serialize)]
pub struct Timing {
    /// `generate`, `project`, `train`, or a size of student, with 512 where its frames are not of 256 px.
    pub work: &'static str,
    /// Images at a time.
    pub batch: usize,
    /// Seconds of the fastest call.
    pub best_seconds: f64,
    /// Half of the calls were slower.
    pub median_seconds: f64,
    /// Images a second of the fastest call.
    pub images_per_second: f64,
    /// Share of the peak, where the operations are known.
    pub share_of_peak: Option<f64>,
}

/// Measures everything in the plan.
///
/// # Errors
/// What the networks return.
pub fn run(plan: &BenchPlan, sink: &mut dyn Sink) -> Result<Benched> {
    let peak = measured_peak();
    let mut results = Vec::new();
    for &work in &plan.works {
        sink.event(&Event::Started { what: work.words() });
        results.push(work.measure(plan.repeat, peak)?);
    }
    let (threads, instructions) = (rayon::current_num_threads(), Instructions::name());
    Ok(Benched { threads, instructions, peak_gflops: peak / 1e9, results })
}

impl Work {
    fn words(self) -> String {
        match self {
            Work::Generate { batch } => format!("generating {batch} images of 256 px at a time"),
            Work::Project => "projecting at 256 px".to_owned(),
            Work::Train { batch } => format!("training at 64 px with {batch} images a step"),
            Work::Student { preset, side_px } => format!("translating frames of {side_px} px with a {preset} student"),
        }
    }

    fn measure(self, repeat: Repeat, peak: f64) -> Result<Timing> {
        let (work, batch, operations) = match self {
            Work::Generate { batch } => ("generate", batch, Some(operations(&networks::paper256()?) * batch as f64)),
            Work::Project => ("project", 1, None),
            Work::Train { batch } => ("train", batch, None),
            Work::Student { preset, side_px } => {
                let multiply_adds = preset.config(BlockKind::Plain, 3).multiply_adds(side_px, side_px);
                (student_name(preset, side_px), 1, Some(2.0 * multiply_adds as f64))
            }
        };
        let times = match self {
            Work::Generate { batch } => repeated(repeat, once(networks::generate(batch)?))?,
            Work::Project => repeated(repeat, once(networks::project(repeat.repetitions)?))?,
            Work::Train { batch } => repeated(repeat, mean_of_steps(networks::train(batch)?))?,
            Work::Student { preset, side_px } => repeated(repeat, once(networks::student(preset, side_px)?))?,
        };
        let (best, median) = (times[0], times[times.len() / 2]);
        Ok(Timing {
            work,
            batch,
            best_seconds: best,
            median_seconds: median,
            images_per_second: batch as f64 / best,
            share_of_peak: operations.map(|operations| operations / best / peak),
        })
    }
}

/// What a student's line of the table is called.
fn student_name(preset: Preset, side_px: usize) -> &'static str {
    match (preset, side_px > 256) {
        (Preset::Tiny, false) => "tiny",
        (Preset::Tiny, true) => "tiny 512",
        (Preset::Small, false) => "small",
        (Preset::Small, true) => "small 512",
        (Preset::Base, false) => "base",
        (Preset::Base, true) => "base 512",
    }
}

/// Operations of one image, a multiply-add counted as two.
fn operations(config: &GeneratorConfig) -> f64 {
    2.0 * config.multiply_adds() as f64
}

/// Seconds of each call in rising order, after one that does not count.
fn repeated(repeat: Repeat, mut call: impl FnMut() -> Result<f64>) -> Result<Vec<f64>> {
    call()?;
    let (mut seconds, begin) = (Vec::new(), Instant::now());
    let more = |done: usize| done < repeat.repetitions && begin.elapsed().as_secs_f64() < repeat.seconds;
    while seconds.is_empty() || more(seconds.len()) {
        seconds.push(call()?);
    }
    seconds.sort_by(f64::total_cmp);
    Ok(seconds)
}

/// Seconds of a call.
fn once(mut call: impl FnMut() -> Result<()>) -> impl FnMut() -> Result<f64> {
    move || {
        let start = Instant::now();
        call()?;
        Ok(start.elapsed().as_secs_f64())
    }
}

/// Seconds of a training step in the mean.
fn mean_of_steps(mut step: impl FnMut(u64) -> Result<()>) -> impl FnMut() -> Result<f64> {
    move || {
        let (mut seconds, mut steps) = (0.0, 0.0);
        for (number, count) in networks::TRAINING_STEPS {
            seconds += count * once(|| step(number))()?;
            steps += count;
        }
        Ok(seconds / steps)
    }
}

/// Operations a second of all threads on registers alone; the best of several rounds.
fn measured_peak() -> f64 {
    /// Some hundredths of a second.
    const ITERATIONS: u64 = 10_000_000;
    let round = |_| {
        let start = Instant::now();
        let flops = (0..rayon::current_num_threads()).into_par_iter().map(|_| {
            let (flops, sum) = peak::multiply_add_loop(ITERATIONS);
            std::hint::black_box(sum);
            flops
        });
        flops.sum::<u64>() as f64 / start.elapsed().as_secs_f64()
    };
    (0..5).map(round).fold(0.0, f64::max)
}
