//! `toonify flicker`

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use crate::apply::flicker::{self, Flicker, FlickerPlan};
use crate::cli::OutputArgs;

const EXAMPLES: &str = "\
Examples:
  # Does a student make a video tremble?
  toonify apply student.safetensors party.mp4 -o toons.mp4
  toonify flicker party.mp4 toons.mp4

  # The same for folders of frames
  toonify flicker frames toons --json";

/// Arguments of `toonify flicker`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct FlickerArgs {
    /// The original: a video, or a folder of frames
    #[arg(value_name = "BEFORE")]
    before: PathBuf,
    /// What was made of it, frame by frame
    #[arg(value_name = "AFTER")]
    after: PathBuf,
    #[command(flatten)]
    output: OutputArgs,
}

impl FlickerArgs {
    pub(crate) fn run(self) -> Result<()> {
        let plan = FlickerPlan { before: self.before, after: self.after, ffmpeg: "ffmpeg".into() };
        let found = flicker::run(&plan, &mut self.output.sink())?;
        self.output.print(&found, report(&found))
    }
}

fn report(found: &Flicker) -> Vec<String> {
    let times = found.ratio.map(|ratio| format!(", {ratio:.2} times as much")).unwrap_or_default();
    vec![
        format!("warping error {:.3e} before, {:.3e} after{times}", found.before, found.after),
        format!("  {} frames, {:.1} % of the pixels could be followed", found.frames, 100.0 * found.followed),
    ]
}
