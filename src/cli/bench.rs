//! `toonify bench`

use anyhow::Result;
use clap::{Args, ValueEnum};
use toonify_networks::ops::conv::Method;
use toonify_networks::ops::vector::Instructions;
use toonify_networks::pix2pix::Preset;

use crate::bench::{self, BenchPlan, Benched, Repeat, Timing, Work};
use crate::cli::OutputArgs;

const EXAMPLES: &str = "\
Examples:
  # How fast is this machine?
  toonify bench

  # One image at a time, without AVX-512, on one thread
  RAYON_NUM_THREADS=1 toonify bench generate --batch 1 --instructions avx2

  # Where does the time go? A table of operators
  TOONIFY_TIMING=1 toonify bench train";

/// Arguments of `toonify bench`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct BenchArgs {
    /// What to measure; everything when none is named
    #[arg(value_name = "WORK")]
    works: Vec<WorkName>,
    /// Images at a time [default: 1 and 8 for generating, 8 for training]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    batch: Option<u16>,
    /// Calls of each at most, after one that does not count
    #[arg(long, value_name = "N", default_value_t = 9, value_parser = clap::value_parser!(u16).range(1..))]
    repetitions: u16,
    /// After so many seconds no further call of the same work begins
    #[arg(long, value_name = "S", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..))]
    seconds: u16,
    /// Vector instructions of the convolutions
    #[arg(long, default_value = "widest")]
    instructions: InstructionsName,
    /// Way of 3x3 convolutions
    #[arg(long, default_value = "winograd")]
    method: MethodName,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum WorkName {
    /// Images of the paper256 generator
    Generate,
    /// Steps of a projection with it and a VGG16
    Project,
    /// Training steps at 64 px, configuration `auto`
    Train,
    /// Frames of 256 and 512 px through every size of student
    Student,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum InstructionsName {
    /// The widest that the processor has
    Widest,
    /// At most AVX2
    Avx2,
    /// None beyond what every processor of the kind has
    Portable,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum MethodName {
    /// Fewest products
    Winograd,
    /// The same, in pairs on every processor and however few they are
    Paired,
    /// The same, none in pairs
    Unpaired,
    /// Tap by tap
    Direct,
}

impl BenchArgs {
    pub(crate) fn run(self) -> Result<()> {
        match self.instructions {
            InstructionsName::Widest => Instructions::Widest,
            InstructionsName::Avx2 => Instructions::Avx2,
            InstructionsName::Portable => Instructions::Portable,
        }
        .choose();
        match self.method {
            MethodName::Winograd => Method::Winograd,
            MethodName::Paired => Method::Paired,
            MethodName::Unpaired => Method::Unpaired,
            MethodName::Direct => Method::Direct,
        }
        .choose();
        let found = bench::run(&self.plan(), &mut self.output.sink())?;
        self.output.print(&found, table(&found))
    }

    fn plan(&self) -> BenchPlan {
        let every = [WorkName::Generate, WorkName::Project, WorkName::Train, WorkName::Student];
        let names = if self.works.is_empty() { &every[..] } else { &self.works };
        let works = names.iter().flat_map(|name| self.works_of(*name)).collect();
        let repeat = Repeat { repetitions: usize::from(self.repetitions), seconds: f64::from(self.seconds) };
        BenchPlan { works, repeat }
    }

    fn works_of(&self, name: WorkName) -> Vec<Work> {
        let batch = self.batch.map(usize::from);
        match name {
            WorkName::Generate => match batch {
                Some(batch) => vec![Work::Generate { batch }],
                None => [1, 8].map(|batch| Work::Generate { batch }).to_vec(),
            },
            WorkName::Project => vec![Work::Project],
            WorkName::Train => vec![Work::Train { batch: batch.unwrap_or(8) }],
            WorkName::Student => {
                let sides = |preset| [256, 512].map(|side_px| Work::Student { preset, side_px });
                Preset::ALL.into_iter().flat_map(sides).collect()
            }
        }
    }
}

fn table(found: &Benched) -> Vec<String> {
    let head = format!(
        "{} threads, {}, peak {:.0} GFLOP/s (multiply-adds on registers)",
        found.threads, found.instructions, found.peak_gflops
    );
    let columns = format!(
        "{:<10} {:>6} {:>12} {:>12} {:>12} {:>14}",
        "work", "batch", "best ms", "median ms", "images/s", "share of peak"
    );
    let rows = found.results.iter().map(row);
    [head, columns].into_iter().chain(rows).collect()
}

fn row(timing: &Timing) -> String {
    let share = timing.share_of_peak.map_or_else(|| "-".to_owned(), |share| format!("{:.0} %", share * 100.0));
    format!(
        "{:<10} {:>6} {:>12.1} {:>12.1} {:>12.2} {:>14}",
        timing.work,
        timing.batch,
        timing.best_seconds * 1e3,
        timing.median_seconds * 1e3,
        timing.images_per_second,
        share
    )
}
