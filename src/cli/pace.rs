//! `toonify bench-student`

use anyhow::Result;
use clap::Args;
use toonify_networks::pix2pix::{BlockKind, Preset};

use crate::cli::OutputArgs;
use crate::pace::{self, Pace};

const EXAMPLES: &str = "\
Examples:
  # Every preset at 256 and 512 px
  toonify bench-student

  # On one thread
  RAYON_NUM_THREADS=1 toonify bench-student --frames 50";

/// Arguments of `toonify bench-student`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct PaceArgs {
    /// Frames of each, after one that does not count
    #[arg(long, value_name = "N", default_value_t = 30)]
    frames: usize,
    #[command(flatten)]
    output: OutputArgs,
}

/// Sides of the frames.
const SIDES_PX: [usize; 2] = [256, 512];

impl PaceArgs {
    pub(crate) fn run(self) -> Result<()> {
        let mut paces = Vec::new();
        for block in [BlockKind::Plain, BlockKind::Separable] {
            for preset in Preset::ALL {
                for side in SIDES_PX {
                    paces.push(pace::student(preset, block, side, self.frames)?);
                }
            }
        }
        let lines: Vec<String> = paces.iter().map(line).collect();
        self.output.print(&paces, lines)
    }
}

fn line(pace: &Pace) -> String {
    let block = match pace.block {
        BlockKind::Plain => "plain",
        BlockKind::Separable => "separable",
    };
    format!(
        "{:<5} {block:<9} {:>4} px  {:>7.2} ms best, {:>7.2} ms median, {:>6.1} frames/s  ({:.2} M weights, {:.2} G multiply-adds)",
        pace.preset.to_string(),
        pace.side_px,
        pace.best_ms,
        pace.median_ms,
        1e3 / pace.median_ms,
        pace.parameters as f64 / 1e6,
        pace.multiply_adds as f64 / 1e9
    )
}
