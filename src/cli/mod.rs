//! The command line: one file a subcommand, each with its arguments, its plan, and how its outcome is printed.

mod align;
mod apply;
mod bench;
mod blend;
mod compare;
mod convert;
mod dataset;
mod demo;
mod distill;
mod encoder;
mod export;
mod eyes;
mod faces;
mod flicker;
mod generate;
mod grid;
mod inspect;
mod interpolate;
mod interrupt;
mod memory;
mod metrics;
mod model_file;
mod models;
mod neighbours;
mod numbers;
mod pairs;
mod photo;
mod project;
mod render;
mod report;
mod stored_images;
mod style_mix;
pub mod suggest;
pub mod terminal;
mod threads;
mod timing;
mod train;

use std::io::{ErrorKind, Write};
use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Parser, Subcommand};
use serde::Serialize;

use terminal::{Terminal, Verbosity};

/// StyleGAN2 toonify and model-blending workbench.
#[derive(Debug, Parser)]
#[command(name = "toonify", version, arg_required_else_help = true, infer_subcommands = false)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Cut the faces out of photos, framed as in FFHQ
    Align(align::AlignArgs),
    /// Render images from seeds or from projected latents
    Generate(generate::GenerateArgs),
    /// Put some layers of one face on another
    #[command(visible_alias = "mix")]
    StyleMix(style_mix::StyleMixArgs),
    /// Render the way from one face to another
    Interpolate(interpolate::InterpolateArgs),
    /// Put characters in place of the faces of photos
    Photo(photo::PhotoArgs),
    /// Find the latents whose image is nearest to a photo
    Project(project::ProjectArgs),
    /// Train a generator, or tune one to new images
    Train(Box<train::TrainArgs>),
    /// Join two generators by resolution, or average several
    Blend(blend::BlendArgs),
    /// Render latents through every blend of two models
    Grid(grid::GridArgs),
    /// Say how far a generator's images are from real ones
    Metrics(metrics::MetricsArgs),
    /// Show the pictures of a training set that are most like some images
    Neighbours(neighbours::NeighboursArgs),
    /// Train what gives projections a better start than the average
    #[command(subcommand)]
    Encoder(encoder::EncoderCommand),
    /// List, find, download or delete models
    #[command(subcommand)]
    Models(models::ModelsCommand),
    /// Say what a checkpoint file is and holds
    Inspect(inspect::InspectArgs),
    /// Write a checkpoint of any kind as another kind
    Convert(convert::ConvertArgs),
    /// Make pairs of images for a student from two models
    Pairs(pairs::PairsArgs),
    /// Train a student on pairs of images
    Distill(distill::DistillArgs),
    /// Translate pictures, videos or raw frames with a student
    Apply(apply::ApplyArgs),
    /// Compare a student with its teacher on photos that neither has seen
    Compare(Box<compare::CompareArgs>),
    /// Say how much a translated video flickers
    Flicker(flicker::FlickerArgs),
    /// Write a student or a generator as an ONNX file
    Export(export::ExportArgs),
    /// Make, check, show or divide a training set
    #[command(subcommand)]
    Dataset(dataset::DatasetCommand),
    /// Make curves, a page and a film from the folder of a training
    Report(report::ReportArgs),
    /// Show the whole way from a photo to a game character on one page
    Demo(demo::DemoArgs),
    /// Say how fast this machine generates, projects and trains
    Bench(bench::BenchArgs),
}

impl Cli {
    /// Runs the command that was chosen.
    ///
    /// # Errors
    /// Whatever the workflow could not do, or [`Misuse`] for arguments that do not fit together.
    pub fn run(self) -> Result<()> {
        memory::keep_freed_memory();
        let _table = timing::Timing::from_environment();
        threads::keep_to_one_pool();
        threads::join_the_pool();
        match self.command {
            Command::Align(args) => args.run(),
            Command::Generate(args) => args.run(),
            Command::StyleMix(args) => args.run(),
            Command::Interpolate(args) => args.run(),
            Command::Photo(args) => args.run(),
            Command::Project(args) => args.run(),
            Command::Train(args) => args.run(),
            Command::Blend(args) => args.run(),
            Command::Grid(args) => args.run(),
            Command::Metrics(args) => args.run(),
            Command::Neighbours(args) => args.run(),
            Command::Encoder(command) => command.run(),
            Command::Models(command) => command.run(),
            Command::Inspect(args) => args.run(),
            Command::Convert(args) => args.run(),
            Command::Pairs(args) => args.run(),
            Command::Distill(args) => args.run(),
            Command::Apply(args) => args.run(),
            Command::Compare(args) => args.run(),
            Command::Flicker(args) => args.run(),
            Command::Export(args) => args.run(),
            Command::Dataset(command) => command.run(),
            Command::Report(args) => args.run(),
            Command::Demo(args) => args.run(),
            Command::Bench(args) => args.run(),
        }
    }
}

/// How the outcome and the way there are printed.
#[derive(Debug, Default, Args)]
pub(crate) struct OutputArgs {
    /// Print the outcome as JSON
    #[arg(long)]
    json: bool,
    /// Show no progress
    #[arg(long, short)]
    quiet: bool,
}

impl OutputArgs {
    fn sink(&self) -> Terminal {
        Terminal::new(if self.quiet { Verbosity::Quiet } else { Verbosity::Normal })
    }

    /// Prints the outcome to standard output: one JSON object, or the given lines.
    fn print(&self, outcome: &impl Serialize, lines: impl IntoIterator<Item = String>) -> Result<()> {
        if self.json {
            return print_lines([serde_json::to_string_pretty(outcome)?]);
        }
        print_lines(lines)
    }
}

/// Writes lines to standard output; a reader that has gone away is no error.
fn print_lines(lines: impl IntoIterator<Item = String>) -> Result<()> {
    let mut out = std::io::stdout().lock();
    for line in lines {
        match writeln!(out, "{line}") {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(()),
            result => result?,
        }
    }
    Ok(())
}

/// Arguments that are well formed each but do not fit together; exit code 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Misuse(pub String);

/// Prints `error` with its causes and returns the exit code: 2 for misuse, 1 for everything else.
pub fn report_error(error: &anyhow::Error) -> ExitCode {
    let mut text = format!("error: {error}");
    let mut previous = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        // A transparent error repeats its cause word for word.
        if !previous.ends_with(&cause) {
            text.push_str(&format!("\n  because: {cause}"));
        }
        previous = cause;
    }
    // Standard error may be closed; there is nobody left to tell then.
    let _ = writeln!(std::io::stderr(), "{text}");
    if error.downcast_ref::<Misuse>().is_some() { ExitCode::from(2) } else { ExitCode::FAILURE }
}
