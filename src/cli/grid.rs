//! `toonify grid`

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Result, bail, ensure};
use clap::{Args, ValueEnum};
use toonify_networks::checkpoint::Parts;
use toonify_networks::latent::Truncation;
use toonify_networks::stylegan2::{Resolution, Slope};

use crate::align::{self, AlignPlan, Crop, FaceFormat, FaceSearch, Faces, model};
use crate::cli::interrupt::stop_at_ctrl_c;
use crate::cli::model_file::model_file;
use crate::cli::numbers::NumberList;
use crate::cli::project::SearchArgs;
use crate::cli::{Misuse, OutputArgs};
use crate::events::Sink;
use crate::grid::{self, Blends, Film, GridPlan, LowModel, ScorePlan};
use crate::latents::{FaceSource, Preparation};
use crate::project::{LATENTS, Projector, Task, Unreadable};
use crate::store::{checkpoint, folder};

const EXAMPLES: &str = "\
Examples:
  # Four faces through every blend of two models
  toonify grid --base ffhq.pkl --tuned characters.pkl --seeds 0-3 --trunc 0.7 --outdir grid

  # All faces of photos: found, aligned and projected first; and others that `project` or `photo` have projected before
  toonify grid --base ffhq.pkl --tuned characters.pkl --photos friends --num-steps 300 --outdir grid
  toonify grid --base ffhq.pkl --tuned characters.pkl --w projected --outdir grid

  # Which snapshot, resolution and width keep the identity and look like the characters: numbers and curves
  toonify grid --base ffhq.pkl --tuned k20.pkl --tuned k40.pkl --w anna/projected_w.npz --w ben/projected_w.npz \
      --width 0 --width 1 --scores --characters characters.zip --outdir sweep --gif";

/// Arguments of `toonify grid`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct GridArgs {
    /// The model that knows photos
    #[arg(long, value_name = "FILE", value_parser = model_file)]
    base: PathBuf,
    /// A model tuned from it; repeat it to compare several
    #[arg(long, value_name = "FILE", required = true, value_parser = model_file)]
    tuned: Vec<PathBuf>,
    /// Which of the two gives the low resolutions: pose and shape
    #[arg(long, value_enum, default_value_t = LowArg::Tuned)]
    low: LowArg,
    /// One resolution at a time from the tuned model, all others from the base: what each resolution carries
    #[arg(long, conflicts_with_all = ["low", "width"])]
    alone: bool,
    /// Resolutions to blend at, as in 8,16,32 [default: all]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    resolutions: Vec<Resolution>,
    /// Width of the change in octaves, 0 for a hard swap; repeat it to compare several
    #[arg(long, value_name = "OCTAVES", default_value = "0")]
    width: Vec<f64>,
    /// Rows: seeds of the base model
    #[arg(long, value_name = "LIST", required_unless_present_any = ["w", "photos"])]
    seeds: Option<NumberList>,
    /// Rows: the faces of a photo, a folder or a zip file of photos, aligned and projected into the base; kept in OUTDIR,
    /// so that the next grid does not search again
    #[arg(long, value_name = "FILE|DIR|ZIP")]
    photos: Option<PathBuf>,
    /// Rows: photos, by their projected latents: a .npz file, or all in a folder that `project` or `photo` wrote; repeat
    /// it for several
    #[arg(long, value_name = "FILE|DIR")]
    w: Vec<PathBuf>,
    /// Truncation [default: 0.7 for seeds, 1 for projected latents]
    #[arg(long, value_name = "PSI", allow_negative_numbers = true)]
    trunc: Option<f64>,
    /// Side of a cell on the sheet
    #[arg(long, value_name = "PX", default_value_t = 128)]
    cell: u32,
    /// Also write the columns as an animated GIF
    #[arg(long)]
    gif: bool,
    /// Judge the cells: identity kept, and with --characters the distance from them
    #[arg(long)]
    scores: bool,
    /// Folder or zip of the characters that the tuned model learnt
    #[arg(long, value_name = "DIR|ZIP", requires = "scores")]
    characters: Option<PathBuf>,
    /// dlib's 68-point landmark model, for photos [default: in $TOONIFY_MODELS, in models/ beside the program,
    /// /usr/share/dlib]
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
    #[command(flatten)]
    search: SearchArgs,
    /// Folder for the sheet, the page and the single images
    #[arg(long, value_name = "DIR")]
    outdir: PathBuf,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum LowArg {
    /// Shapes of the characters, skin of the photos
    Tuned,
    /// Shapes of the photos, paint of the characters
    Base,
}

/// The files themselves, and those that folders hold.
fn latents_of(places: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for place in places {
        if place.is_dir() {
            let found = folder::files_called(place, LATENTS)?;
            ensure!(!found.is_empty(), "there is no `{LATENTS}` in or below `{}`", place.display());
            files.extend(found);
        } else {
            files.push(place.clone());
        }
    }
    Ok(files)
}

impl GridArgs {
    /// Aligns the faces of photos and projects them; the files of their latents.
    fn project(&self, photos: &Path, (stop, sink): (&AtomicBool, &mut dyn Sink)) -> Result<Vec<PathBuf>> {
        let resolution = checkpoint::read(&self.base, Parts::GeneratorEma)?.config.resolution;
        let plan = AlignPlan {
            source: photos.to_owned(),
            out: self.outdir.join("aligned"),
            model: model::locate(self.model.clone())?,
            settings: align::Settings {
                size: resolution.px() as u32,
                search: FaceSearch::usual(Faces::All),
                format: FaceFormat::Png,
                crop: Crop::Clean,
            },
            jobs: rayon::current_num_threads(),
            extras: vec![],
        };
        let outcome = align::run(&plan, stop, sink)?;
        let (shown, journal) = (photos.display(), outcome.journal.display());
        ensure!(outcome.faces > 0, "no face could be taken from `{shown}`; why is in `{journal}`");
        let projected = self.outdir.join("projected");
        let task = |face: &PathBuf| {
            let name = face.strip_prefix("faces").unwrap_or(face).with_extension("");
            Task { path: plan.out.join(face), pixels: None, folder: projected.join(name) }
        };
        let tasks: Vec<Task> = outcome.files.iter().map(task).collect();
        let files: Vec<PathBuf> = tasks.iter().map(|task| task.folder.join(LATENTS)).collect();
        let projector = self.search.clone().projector(self.base.clone())?;
        let outcome = Projector::new(&projector)?.project(tasks, Unreadable::Refused, (stop, sink))?;
        if stop.load(Ordering::Relaxed) {
            bail!(
                "stopped after {} of {} faces; the same command goes on from there",
                outcome.targets.len(),
                files.len()
            );
        }
        Ok(files)
    }

    /// The rows: photos first, then saved latents, then seeds.
    fn rows(&self, how: (&AtomicBool, &mut dyn Sink)) -> Result<Vec<FaceSource>> {
        let mut files = match &self.photos {
            Some(photos) => self.project(photos, how)?,
            None => Vec::new(),
        };
        files.extend(latents_of(&self.w)?);
        let seeds = self.seeds.iter().flat_map(NumberList::seeds).map(FaceSource::Seed);
        Ok(files.into_iter().map(FaceSource::File).chain(seeds).collect())
    }

    fn plan(self, how: (&AtomicBool, &mut dyn Sink)) -> Result<GridPlan> {
        let eyes = self.search.eyes()?;
        if let Some(width) = self.width.iter().find(|width| !(0.0..=16.0).contains(*width)) {
            return Err(Misuse(format!("--width {width}: expected 0 to 16 octaves")).into());
        }
        let rows = self.rows(how)?;
        let truncation = |default: f64| Truncation { psi: self.trunc.unwrap_or(default), cutoff: None };
        let preparation = Preparation { seeds: truncation(0.7), files: truncation(1.0), class: self.search.class() };
        let slope = |&width: &f64| if width == 0.0 { Slope::Hard } else { Slope::Logistic { width } };
        Ok(GridPlan {
            base: self.base,
            tuned: self.tuned,
            low: match self.low {
                LowArg::Tuned => LowModel::Tuned,
                LowArg::Base => LowModel::Base,
            },
            blends: if self.alone { Blends::Alone } else { Blends::UpTo },
            resolutions: self.resolutions,
            slopes: self.width.iter().map(slope).collect(),
            rows,
            preparation,
            outdir: self.outdir,
            cell_px: self.cell,
            film: if self.gif { Film::Yes } else { Film::No },
            scores: self.scores.then_some(ScorePlan { eyes, characters: self.characters }),
        })
    }

    pub(crate) fn run(mut self) -> Result<()> {
        let output = std::mem::take(&mut self.output);
        let mut sink = output.sink();
        let plan = self.plan((&stop_at_ctrl_c(&mut sink), &mut sink))?;
        let outcome = grid::run(&plan, &mut sink)?;
        drop(sink);
        let files = [&outcome.sheet, &outcome.page].into_iter().chain(&outcome.film).chain(&outcome.plot);
        let best = outcome.best.iter().map(|best| format!("most style for the identity it costs: {best}"));
        let lines: Vec<String> = files.map(|path| path.display().to_string()).chain(best).collect();
        output.print(&outcome, lines)
    }
}
