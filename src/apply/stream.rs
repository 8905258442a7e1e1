//! Frames from a pipe to a pipe.

use std::io::{BufRead, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::Result;

use super::y4m::Head;
use super::{Applied, Translator};
use crate::events::{Event, Sink};

/// How often progress is told, in frames.
const TELL_EVERY: u64 = 10;

/// Translates every frame of `input`; `estimate` is about how many will come.
///
/// # Errors
/// When the stream is damaged, the student fails, or the output is closed.
pub fn run(
    translator: &mut Translator,
    (input, output): (&mut impl BufRead, &mut impl Write),
    estimate: Option<u64>,
    (stop, sink): (&AtomicBool, &mut dyn Sink),
) -> Result<Applied> {
    let head = Head::read(input)?;
    head.write(output)?;
    translator.start_anew();
    let (mut outcome, started) = (Applied::default(), Instant::now());
    while let Some(frame) = head.read_frame(input)? {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        head.write_frame(&translator.frame(&frame)?, output)?;
        outcome.done += 1;
        outcome.per_second = outcome.done as f64 / started.elapsed().as_secs_f64();
        if outcome.done.is_multiple_of(TELL_EVERY) {
            let total = estimate.unwrap_or(outcome.done).max(outcome.done);
            sink.event(&Event::Progress { done: outcome.done, total, unit: "frames" });
            sink.event(&Event::Status(format!("{:.1} frames/s", outcome.per_second)));
        }
    }
    output.flush()?;
    outcome.faces = translator.faces();
    Ok(outcome)
}
