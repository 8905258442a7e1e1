//! How fast a student runs on this machine.

use std::time::Instant;

use anyhow::Result;
use serde::Serialize;
use toonify_networks::pix2pix::{BlockKind, Preset, StudentLayer, Swift};
use toonify_networks::random::RandomState;
use toonify_networks::stylegan2::Weights;

/// Milliseconds of a frame.
#[derive(Clone, Debug, Serialize)]
pub struct Pace {
    /// Size of the student.
    pub preset: Preset,
    /// Convolutions of its blocks.
    pub block: BlockKind,
    /// Side of the frames.
    pub side_px: usize,
    /// Of the fastest frame.
    pub best_ms: f64,
    /// Half of the frames were slower.
    pub median_ms: f64,
    /// Weights and biases.
    pub parameters: u64,
    /// Multiply-adds of a frame, counted tap by tap.
    pub multiply_adds: u64,
}

/// Times `frames` frames of a student with random weights, after one that does not count.
///
/// # Errors
/// Only when the networks cannot be made.
pub fn student(preset: Preset, block: BlockKind, side_px: usize, frames: usize) -> Result<Pace> {
    let config = preset.config(block, 3);
    let weights = Weights::<StudentLayer>::random(&config, &mut RandomState::new(1))?;
    let mut swift = Swift::new(&config, &weights)?;
    let photo = vec![0.25; 3 * side_px * side_px];
    let mut times: Vec<f64> = Vec::new();
    for _ in 0..frames.max(1) + 1 {
        let started = Instant::now();
        std::hint::black_box(swift.translate(&photo, (side_px, side_px)));
        times.push(started.elapsed().as_secs_f64() * 1e3);
    }
    let mut times = times.split_off(1);
    times.sort_by(f64::total_cmp);
    Ok(Pace {
        preset,
        block,
        side_px,
        best_ms: times[0],
        median_ms: times[times.len() / 2],
        parameters: config.parameters(),
        multiply_adds: config.multiply_adds(side_px, side_px),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_takes_some_time() {
        let pace = student(Preset::Tiny, BlockKind::Plain, 64, 3).unwrap();
        assert!(pace.best_ms > 0.0 && pace.median_ms >= pace.best_ms);
        assert_eq!(pace.parameters, 284_620);
    }
}
