//! `toonify distill`

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, ValueEnum};
use toonify_networks::pix2pix::{BlockKind, Preset};

use crate::cli::interrupt::stop_at_ctrl_c;
use crate::cli::{Misuse, OutputArgs};
use crate::distill::{self, AugmentPlan, DistillPlan, DistillSettings, Distilled, LossWeights};
use crate::eyes::{EyesPlan, Sight};

const EXAMPLES: &str = "\
Examples:
  # A student of 1.6 MB that runs in real time; the same command goes on after Ctrl-C
  toonify distill pairs -o student --preset small --photos holdout/anna.png --photos holdout/ben.png

  # Any paired set, such as screenshots A|B|depth of a game, without what is meant for faces
  toonify distill screenshots -o shader --preset tiny --extra depth --augment none --shift 10";

/// Arguments of `toonify distill`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct DistillArgs {
    /// Pairs: a folder with A/ and B/, or of pictures with A on the left and B on the right
    #[arg(value_name = "PAIRS")]
    pairs: PathBuf,
    /// Folder for the student, its previews, and what a second run goes on from
    #[arg(long, short, value_name = "DIR")]
    out: PathBuf,
    /// Size of the student: tiny, small or base
    #[arg(long, value_name = "SIZE", default_value = "small")]
    preset: Preset,
    /// Convolutions of the residual blocks
    #[arg(long, value_enum, default_value_t = BlocksArg::Plain)]
    blocks: BlocksArg,
    /// A further channel beside the colours of A: its alpha channel, a file in depth/, or a third picture beside A and B
    #[arg(long, value_enum)]
    extra: Option<ExtraArg>,
    /// Real photos, framed as the pairs, for the previews
    #[arg(long, value_name = "FILE")]
    photos: Vec<PathBuf>,
    /// Side of the squares that the student sees, a multiple of 8
    #[arg(long, value_name = "PX", default_value_t = 256)]
    size: u32,
    /// Length of the training, in thousands of images
    #[arg(long, value_name = "KIMG", default_value_t = 200.0)]
    kimg: f64,
    /// Previews and snapshots every so many thousands of images
    #[arg(long, value_name = "KIMG", default_value_t = 5.0)]
    every: f64,
    /// Images a step
    #[arg(long, value_name = "N", default_value_t = 4)]
    batch: u64,
    /// Width of the discriminator; 64 as published takes three times as long
    #[arg(long, value_name = "CHANNELS", default_value_t = 32)]
    judge_width: usize,
    /// Learning rate
    #[arg(long, value_name = "RATE", default_value_t = 2e-4)]
    lr: f64,
    /// Seed of everything random
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    seed: u32,
    /// What is done to the pairs
    #[arg(long, value_enum, default_value_t = AugmentArg::Portraits)]
    augment: AugmentArg,
    /// Factor of the loss that leaves stylised pictures as they are
    #[arg(long, value_name = "FACTOR", default_value_t = 0.0)]
    identity: f64,
    /// Factor of the loss that makes shifted photos give shifted results, against flicker
    #[arg(long, value_name = "FACTOR", default_value_t = 0.0)]
    shift: f64,
    /// Weights of SqueezeNet, for a perceptual loss
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,
    /// Linear weights of LPIPS that belong to them [default: all channels count the same]
    #[arg(long, value_name = "FILE", requires = "weights")]
    lpips: Option<PathBuf>,
    /// Factor of the perceptual loss
    #[arg(long, value_name = "FACTOR", default_value_t = LossWeights::PUBLISHED.perceptual, requires = "weights")]
    perceptual: f64,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum BlocksArg {
    /// 3x3 over all channels: fastest here
    Plain,
    /// Depthwise-separable: smallest
    Separable,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ExtraArg {
    /// Distance from the camera
    Depth,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum AugmentArg {
    /// Movement, colour, blur, things in front, glasses
    Portraits,
    /// Nothing
    None,
}

impl DistillArgs {
    fn plan(self) -> Result<DistillPlan> {
        let positive =
            [("--kimg", self.kimg), ("--every", self.every), ("--lr", self.lr), ("--batch", self.batch as f64)];
        if let Some((name, value)) = positive.into_iter().find(|(_, value)| value.is_nan() || *value <= 0.0) {
            return Err(Misuse(format!("{name} {value}: expected a number above 0")).into());
        }
        let block = match self.blocks {
            BlocksArg::Plain => BlockKind::Plain,
            BlocksArg::Separable => BlockKind::Separable,
        };
        let losses = LossWeights {
            identity: self.identity,
            shift: self.shift,
            perceptual: self.perceptual,
            ..LossWeights::PUBLISHED
        };
        Ok(DistillPlan {
            pairs: self.pairs,
            photos: self.photos,
            out: self.out,
            student: self.preset.config(block, if self.extra.is_some() { 4 } else { 3 }),
            settings: DistillSettings {
                size_px: self.size,
                batch_size: self.batch,
                learning_rate: self.lr,
                judge_width: self.judge_width,
                seed: self.seed,
                losses,
                augment: match self.augment {
                    AugmentArg::Portraits => AugmentPlan::PORTRAITS,
                    AugmentArg::None => AugmentPlan::NONE,
                },
            },
            kimg: self.kimg,
            every_kimg: self.every,
            eyes: self.weights.map(|weights| EyesPlan {
                sight: Sight::Squeezenet,
                weights: Some(weights),
                lpips: self.lpips,
            }),
        })
    }

    pub(crate) fn run(mut self) -> Result<()> {
        let output = std::mem::take(&mut self.output);
        let mut sink = output.sink();
        let stop = stop_at_ctrl_c(&mut sink);
        let outcome = distill::run(&self.plan()?, &stop, &mut sink)?;
        drop(sink);
        output.print(&outcome, [report(&outcome)])
    }
}

fn report(outcome: &Distilled) -> String {
    let held_out = outcome.held_out_l1.map(|mean| format!(", held-out pairs differ by {mean:.3}")).unwrap_or_default();
    let stopped = if outcome.stopped { "; the same command goes on from there" } else { "" };
    format!("{} after {:.1} kimg{held_out}{stopped}", outcome.student.display(), outcome.kimg)
}
