//! `toonify project`

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, ValueEnum};
use toonify_networks::projection::Space;

use crate::align::model;
use crate::cli::eyes::EyesArgs;
use crate::cli::interrupt::stop_at_ctrl_c;
use crate::cli::model_file::model_file;
use crate::cli::{Misuse, OutputArgs};
use crate::eyes::EyesPlan;
use crate::photo::ShippedStyle;
use crate::project::{
    self, FilmKind, NoiseKept, PERSON_MODEL, PersonPlan, ProjectPlan, ProjectedTarget, ProjectorPlan, Settings,
};

const EXAMPLES: &str = "\
Examples:
  # One aligned photo, as the published projector does it
  toonify project --network ffhq.pkl --target face.png --outdir projected

  # A folder of photos, a w for every layer, and the generator tuned to each face; run it again to go on
  toonify project --network ffhq.pkl --target faces --outdir projected --space w+ --tune-steps 350

  # Compared by LPIPS, with weights that torchvision and the LPIPS authors publish
  toonify project --network ffhq.pkl --target face.png --outdir projected --perception vgg16 \\
      --weights vgg16.pth --lpips lpips_vgg.pth";

/// Arguments of `toonify project`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ProjectArgs {
    /// Checkpoint file (.pkl, .pt or .safetensors)
    #[arg(long, value_name = "FILE", value_parser = model_file)]
    network: PathBuf,
    /// Aligned photo, or a folder of them; the centred square is taken
    #[arg(long, value_name = "FILE|DIR")]
    target: PathBuf,
    /// Folder for the results; a folder of targets gets a folder each
    #[arg(long, value_name = "DIR")]
    outdir: PathBuf,
    /// Film of the search: steps.gif, or proj.mp4 where ffmpeg is installed
    #[arg(long, value_enum, value_name = "KIND", default_value_t = FilmArg::Gif)]
    save_video: FilmArg,
    /// Save the noise images that were found with w, and show the result with them
    #[arg(long)]
    keep_noise: bool,
    #[command(flatten)]
    search: SearchArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// How latents are searched for; the same wherever photos are projected.
#[derive(Clone, Debug, Args)]
pub(crate) struct SearchArgs {
    /// Steps of the search [default: 1000, or 100 with an encoder]
    #[arg(long, value_name = "N")]
    num_steps: Option<usize>,
    /// Where the random numbers start
    #[arg(long, value_name = "SEED", default_value_t = 303)]
    seed: u32,
    /// One w for all layers, or one for each (closer, but further from what can be edited) [default: w]
    #[arg(long, value_enum)]
    space: Option<SpaceArg>,
    /// Then tune the generator to each target for N steps (pivotal tuning)
    #[arg(long, value_name = "N", default_value_t = 0)]
    tune_steps: usize,
    /// While tuning, keep other faces as they were (twice the time)
    #[arg(long, requires = "tune_steps")]
    keep_others: bool,
    /// End a search early when the distance has not improved by 1 % over N steps
    #[arg(long, value_name = "N")]
    patience: Option<usize>,
    /// Targets to search for at once
    #[arg(long, value_name = "N")]
    batch: Option<usize>,
    #[command(flatten)]
    eyes: EyesArgs,
    /// dlib's face recognition network, to measure whether the result is the same person [default:
    /// dlib_face_recognition_resnet_model_v1.dat beside the landmark model, if it is there]
    #[arg(long, value_name = "FILE")]
    identity_model: Option<PathBuf>,
    /// Class of a conditional network
    #[arg(long, value_name = "INDEX")]
    class: Option<usize>,
    /// Encoder (of `toonify encoder train`) whose answer the search starts from; a few dozen steps are enough then
    #[arg(long, value_name = "FILE", value_parser = model_file)]
    encoder: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum FilmArg {
    /// steps.gif
    #[value(alias = "true")]
    Gif,
    /// proj.mp4
    Mp4,
    /// No film
    #[value(alias = "false")]
    Off,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum SpaceArg {
    /// One w for all layers
    W,
    /// One w for each layer
    #[value(name = "w+", alias = "w_plus")]
    WPlus,
}

/// Steps of a search, as published.
pub(crate) const NUM_STEPS: usize = 1000;
/// Steps of a search that starts from an encoder's answer.
const REFINING_STEPS: usize = 100;

impl SearchArgs {
    /// Fills what was not chosen with what suits the models that come with the program.
    pub(crate) fn suit(&mut self, shipped: &ShippedStyle) {
        self.num_steps.get_or_insert(shipped.num_steps);
        self.encoder.get_or_insert_with(|| shipped.encoder.clone());
        self.space.get_or_insert(match shipped.space {
            Space::W => SpaceArg::W,
            Space::WPlus => SpaceArg::WPlus,
        });
    }

    /// What makes images alike.
    pub(crate) fn eyes(&self) -> Result<EyesPlan> {
        self.eyes.plan()
    }

    /// Class of a conditional network.
    pub(crate) fn class(&self) -> Option<usize> {
        self.class
    }

    /// The plan for a network; without film, and the noise images are dropped.
    pub(crate) fn projector(self, network: PathBuf) -> Result<ProjectorPlan> {
        if self.num_steps == Some(0) || self.batch == Some(0) || self.patience == Some(0) {
            return Err(Misuse("--num-steps, --batch and --patience count from 1".to_owned()).into());
        }
        let (eyes, person) = (self.eyes.plan()?, person(self.identity_model)?);
        let settings = Settings {
            num_steps: self.num_steps.unwrap_or(if self.encoder.is_some() { REFINING_STEPS } else { NUM_STEPS }),
            seed: self.seed,
            space: match self.space {
                None | Some(SpaceArg::W) => Space::W,
                Some(SpaceArg::WPlus) => Space::WPlus,
            },
            tune_steps: self.tune_steps,
            keep_others: self.keep_others,
            patience: self.patience,
            eyes,
            class: self.class,
            noise: NoiseKept::No,
            encoder: self.encoder,
        };
        Ok(ProjectorPlan { network, settings, batch: self.batch, film: FilmKind::Off, person })
    }
}

/// The models that recognise people: those that are given, or those that are found.
fn person(given: Option<PathBuf>) -> Result<Option<PersonPlan>> {
    match (given, model::locate(None)) {
        (Some(network), landmarks) => Ok(Some(PersonPlan { network, landmarks: landmarks? })),
        (None, Ok(landmarks)) => {
            let network = landmarks.with_file_name(PERSON_MODEL);
            Ok(network.is_file().then_some(PersonPlan { network, landmarks }))
        }
        (None, Err(_)) => Ok(None),
    }
}

impl ProjectArgs {
    fn plan(self) -> Result<ProjectPlan> {
        let mut projector = self.search.projector(self.network)?;
        projector.settings.noise = if self.keep_noise { NoiseKept::Yes } else { NoiseKept::No };
        projector.film = match self.save_video {
            FilmArg::Gif => FilmKind::Gif,
            FilmArg::Mp4 => FilmKind::Mp4,
            FilmArg::Off => FilmKind::Off,
        };
        Ok(ProjectPlan { target: self.target, outdir: self.outdir, projector })
    }

    pub(crate) fn run(mut self) -> Result<()> {
        let output = std::mem::take(&mut self.output);
        let plan = self.plan()?;
        let mut sink = output.sink();
        let outcome = project::run(&plan, &stop_at_ctrl_c(&mut sink), &mut sink)?;
        output.print(&outcome, outcome.targets.iter().map(line))
    }
}

/// One target in a line: folder, mean squared error at the start, after the search, and after tuning.
fn line(target: &ProjectedTarget) -> String {
    let record = &target.record;
    let tuned = record.tuned.map(|tuned| format!(" → {:.4} tuned", tuned.reached.mse)).unwrap_or_default();
    let how = if target.reused { "done before".to_owned() } else { format!("{:.0} s", record.seconds) };
    let (start, reached) = (record.start.mse, record.reached.mse);
    let person = record.tuned.map_or(record.person, |tuned| tuned.person);
    let person = person.map(|distance| format!("  identity {distance:.2}")).unwrap_or_default();
    format!("{}  mse {start:.4} → {reached:.4}{tuned}{person}  ({how})", target.folder.display())
}
