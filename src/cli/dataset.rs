//! `toonify dataset`: `build`, `check`, `show` and `split`.

mod build;

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Subcommand};

use crate::cli::OutputArgs;
use crate::cli::interrupt::stop_at_ctrl_c;
use crate::dataset::check::{self, Fault, Finding, Report};
use crate::dataset::show::{self, ShowPlan};
use crate::dataset::split::{self, SplitPlan};

/// What can be done with training sets.
#[derive(Debug, Subcommand)]
pub(crate) enum DatasetCommand {
    /// Make a training set from a folder, a zip or a video
    Build(build::BuildArgs),
    /// Name everything that is wrong with a training set
    Check(CheckArgs),
    /// Put some images of a training set on one sheet
    Show(ShowArgs),
    /// Divide a training set into one to train on and one held out
    Split(SplitArgs),
}

impl DatasetCommand {
    pub(crate) fn run(self) -> Result<()> {
        match self {
            DatasetCommand::Build(args) => args.run(),
            DatasetCommand::Check(args) => args.run(),
            DatasetCommand::Show(args) => args.run(),
            DatasetCommand::Split(args) => args.run(),
        }
    }
}

const CHECK_EXAMPLES: &str = "\
Examples:
  # Before a night of training
  toonify dataset check toons256.zip

  # Names of all files that cannot be read
  toonify dataset check toons256.zip --json | jq -r '.problems[] | select(.fault == \"unreadable\") | .file'";

/// Arguments of `toonify dataset check`.
#[derive(Debug, Args)]
#[command(after_help = CHECK_EXAMPLES)]
pub(crate) struct CheckArgs {
    /// Folder or zip with the set
    set: PathBuf,
    #[command(flatten)]
    output: OutputArgs,
}

/// More files than this with one fault are counted, not listed; `--json` has them all.
const LISTED: usize = 20;

impl CheckArgs {
    fn run(self) -> Result<()> {
        let report = check::run(&self.set, &mut self.output.sink())?;
        self.output.print(&report, lines(&report))?;
        match report.problems.len() {
            0 => Ok(()),
            1 => anyhow::bail!("1 problem in `{}`", self.set.display()),
            count => anyhow::bail!("{count} problems in `{}`", self.set.display()),
        }
    }
}

fn lines(report: &Report) -> Vec<String> {
    let mut lines = listed("problem", &report.problems);
    lines.extend(listed("warning", &report.warnings));
    let shape = report.shape.map_or_else(|| "none can be read".to_owned(), |shape| shape.to_string());
    let labels = match report.labeled {
        Some(count) => format!("{count} with labels"),
        None => "no labels".to_owned(),
    };
    lines.push(format!("{}: {} images, {shape}, {labels}", report.path.display(), report.images));
    lines
}

fn listed(kind: &str, findings: &[Finding]) -> Vec<String> {
    let mut counts: BTreeMap<Fault, usize> = BTreeMap::new();
    let mut lines = Vec::new();
    for Finding { file, fault, text } in findings {
        let count = counts.entry(*fault).or_insert(0);
        *count += 1;
        if *count <= LISTED {
            lines.push(format!("{kind}: {file}{}{text}", if file.is_empty() { "" } else { ": " }));
        }
    }
    let hidden: usize = counts.values().map(|count| count.saturating_sub(LISTED)).sum();
    if hidden > 0 {
        lines.push(format!("{kind}: {hidden} more like these (--json lists all)"));
    }
    lines
}

const SHOW_EXAMPLES: &str = "\
Examples:
  # A first look
  toonify dataset show toons256.zip look.png

  # A hundred others
  toonify dataset show toons256.zip look.png --images 100 --seed 7";

/// Arguments of `toonify dataset show`.
#[derive(Debug, Args)]
#[command(after_help = SHOW_EXAMPLES)]
pub(crate) struct ShowArgs {
    /// Folder or zip with the set
    set: PathBuf,
    /// PNG file to write
    #[arg(value_name = "SHEET")]
    sheet: PathBuf,
    /// How many images
    #[arg(long, value_name = "N", default_value_t = 25)]
    images: usize,
    /// What the choice of images begins with
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    seed: u32,
    #[command(flatten)]
    output: OutputArgs,
}

impl ShowArgs {
    fn run(self) -> Result<()> {
        let plan = ShowPlan { set: self.set, output: self.sheet, images: self.images, seed: self.seed };
        let shown = show::run(&plan, &mut self.output.sink())?;
        self.output.print(&shown, [shown.output.display().to_string()])
    }
}

const SPLIT_EXAMPLES: &str = "\
Examples:
  # Every tenth image is held out, chosen at random
  toonify dataset split toons256.zip --train train.zip --held-out test.zip

  # A twentieth, chosen otherwise
  toonify dataset split toons256.zip --train train.zip --held-out test.zip --share 0.05 --seed 3";

/// Arguments of `toonify dataset split`.
#[derive(Debug, Args)]
#[command(after_help = SPLIT_EXAMPLES)]
pub(crate) struct SplitArgs {
    /// Folder or zip with the set
    set: PathBuf,
    /// Zip or folder for the images to train on
    #[arg(long, value_name = "PATH")]
    train: PathBuf,
    /// Zip or folder for the images held out
    #[arg(long, value_name = "PATH")]
    held_out: PathBuf,
    /// Share of the images that is held out
    #[arg(long, value_name = "SHARE", default_value_t = 0.1)]
    share: f64,
    /// What the choice of images begins with
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    seed: u32,
    #[command(flatten)]
    output: OutputArgs,
}

impl SplitArgs {
    fn run(self) -> Result<()> {
        let plan =
            SplitPlan { set: self.set, train: self.train, held_out: self.held_out, share: self.share, seed: self.seed };
        let mut sink = self.output.sink();
        let split = split::run(&plan, &stop_at_ctrl_c(&mut sink), &mut sink)?;
        let line = |path: &PathBuf, images: usize| format!("{}: {images} images", path.display());
        let lines = [line(&split.train, split.train_images), line(&split.held_out, split.held_out_images)];
        self.output.print(&split, lines)
    }
}
