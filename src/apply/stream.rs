//! Frames from a pipe to a pipe.

use std::io::{BufRead, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use super::y4m::Head;
use super::{Applied, Frame, Translator};
use crate::events::{Event, Sink};

/// How often progress is told, in frames.
const TELL_EVERY: u64 = 10;

/// Where frames come from.
pub struct Frames<'a> {
    head: Head,
    colours: &'a mut dyn BufRead,
    depth: Option<(Head, &'a mut dyn BufRead)>,
}

impl<'a> Frames<'a> {
    /// Reads the heads of a stream of frames, and of one of their depth.
    ///
    /// # Errors
    /// When one of them is no such stream, or their frames differ in size.
    pub fn open(mut colours: &'a mut dyn BufRead, depth: Option<&'a mut dyn BufRead>) -> Result<Frames<'a>> {
        let head = Head::read(&mut colours)?;
        let depth = match depth {
            None => None,
            Some(mut depth) => {
                let of_depth = Head::read(&mut depth).context("cannot read the depth")?;
                let ((w, h), (width, height)) = (of_depth.size, head.size);
                ensure!((w, h) == (width, height), "the depth has frames of {w}x{h}, the colours of {width}x{height}");
                Some((of_depth, depth))
            }
        };
        Ok(Frames { head, colours, depth })
    }

    /// The next frame; `None` at the end.
    fn next(&mut self) -> Result<Option<Frame>> {
        let Some(mut frame) = self.head.read_frame(&mut self.colours)? else { return Ok(None) };
        if let Some((head, depth)) = &mut self.depth {
            let depth = head.read_depth(depth).context("cannot read the depth")?;
            frame.depth = Some(depth.context("the depth ends before the colours do")?);
        }
        Ok(Some(frame))
    }
}

/// Translates every frame; `estimate` is about how many will come.
///
/// # Errors
/// When the stream is damaged, the student fails, or the output is closed.
pub fn run(
    translator: &mut Translator,
    (mut frames, output): (Frames<'_>, &mut impl Write),
    estimate: Option<u64>,
    (stop, sink): (&AtomicBool, &mut dyn Sink),
) -> Result<Applied> {
    let head = frames.head.of_results();
    head.write(output)?;
    translator.start_anew();
    let (mut outcome, started) = (Applied::default(), Instant::now());
    while let Some(frame) = frames.next()? {
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
