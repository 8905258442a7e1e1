//! Seeds or projected latents to images, as the published `generate.py` renders them.

use std::path::PathBuf;

use anyhow::Result;
use image::{DynamicImage, RgbImage};
use toonify_networks::latent::{Seed, WPlus};
use toonify_networks::stylegan2::{Arithmetic, Generator, GeneratorConfig};

use crate::events::{Event, Sink};
use crate::latents::{self, Face, FaceSource, Preparation};
use crate::pixels::{self, Rounding};
use crate::render::{self, NoiseMode};
use crate::sheet::{self, Sheet};
use crate::store::{folder, picture};

/// What to render; nothing is left to ask.
#[derive(Clone, Debug)]
pub struct GeneratePlan {
    /// Checkpoint file.
    pub network: PathBuf,
    /// Where the latents come from.
    pub source: Source,
    /// Truncation and class.
    pub preparation: Preparation,
    /// Noise of the synthesis network.
    pub noise: NoiseMode,
    /// Arithmetic of the blocks that the checkpoint marks for half precision.
    pub arithmetic: Arithmetic,
    /// Folder for the images; made when it is not there.
    pub outdir: PathBuf,
    /// Whether all images also go into one sheet, `grid.png`.
    pub grid: Grid,
}

/// Where the latents come from.
#[derive(Clone, Debug)]
pub enum Source {
    /// Each seed is one `z`.
    Seeds(Vec<Seed>),
    /// A `.npz` file with `w` `[K, num_ws, w_dim]`.
    Projected(PathBuf),
}

/// Whether to make a contact sheet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grid {
    /// Single images only.
    No,
    /// Also one sheet of all images.
    Yes,
}

/// What was rendered.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Generated {
    /// The images, in order.
    pub images: Vec<PathBuf>,
    /// The sheet, if one was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grid: Option<PathBuf>,
    /// Side of the images.
    pub resolution: usize,
}

/// One image to be: its latents, its file name, and what its random noise starts from.
struct Item {
    file: String,
    caption: String,
    noise_seed: u32,
}

/// Renders the plan's images.
///
/// # Errors
/// When the checkpoint or the latents cannot be read or do not fit, or an image cannot be written.
pub fn run(plan: &GeneratePlan, sink: &mut dyn Sink) -> Result<Generated> {
    let generator = render::generator(&plan.network, plan.arithmetic)?;
    let (ws, items) = latents_of(plan, &generator, sink)?;
    folder::create(&plan.outdir)?;

    let config = generator.config();
    let mut outcome = Generated { images: Vec::new(), grid: None, resolution: config.resolution.px() };
    let mut cells = Vec::new();
    sink.event(&Event::Started { what: format!("rendering from `{}`", plan.network.display()) });
    let step = match (plan.noise, plan.arithmetic) {
        (NoiseMode::Random, _) | (_, Arithmetic::Half) => 1, // the published tool renders one at a time, which shows
        (NoiseMode::Const | NoiseMode::None, Arithmetic::Single) => batch_size(config),
    };
    for start in (0..items.len()).step_by(step) {
        let batch = &items[start..items.len().min(start + step)];
        let noise = render::noise(plan.noise, config, batch[0].noise_seed)?;
        let images = generator.render(&ws.narrow(start, batch.len())?, &noise)?;
        for (item, image) in batch.iter().zip(pixels::to_images(&images, Rounding::Generate)?) {
            let path = plan.outdir.join(&item.file);
            picture::write(&path, &image)?;
            sink.event(&Event::Saved { path: path.clone() });
            outcome.images.push(path);
            if plan.grid == Grid::Yes {
                cells.push(image);
            }
        }
        let (done, total) = (outcome.images.len() as u64, items.len() as u64);
        sink.event(&Event::Progress { done, total, unit: "images" });
    }
    if plan.grid == Grid::Yes {
        let path = plan.outdir.join("grid.png");
        picture::write(&path, &contact_sheet(&items, cells)?)?;
        outcome.grid = Some(path);
    }
    Ok(outcome)
}

/// Images in one pass: enough to keep the processor busy, few enough for the memory of a small machine.
fn batch_size(config: &GeneratorConfig) -> usize {
    (512 / config.resolution.px()).clamp(1, 8)
}

/// The latents in one batch, and what becomes of each.
fn latents_of(plan: &GeneratePlan, generator: &Generator, sink: &mut dyn Sink) -> Result<(WPlus, Vec<Item>)> {
    let sources = match &plan.source {
        Source::Seeds(seeds) => seeds.iter().copied().map(FaceSource::Seed).collect(),
        Source::Projected(path) => vec![FaceSource::File(path.clone())],
    };
    let faces = latents::faces(&sources, generator, &plan.preparation, sink)?;
    let item = |face: &Face| {
        let number = face.noise_seed;
        match &plan.source {
            Source::Seeds(_) => {
                Item { file: format!("seed{number:04}.png"), caption: face.caption.clone(), noise_seed: number }
            }
            Source::Projected(_) => {
                Item { file: format!("proj{number:02}.png"), caption: format!("w {number}"), noise_seed: number }
            }
        }
    };
    Ok((latents::batch(&faces)?, faces.iter().map(item).collect()))
}

/// All images on one sheet that is about as wide as high; the rows tell their first and their last.
fn contact_sheet(items: &[Item], mut cells: Vec<DynamicImage>) -> Result<DynamicImage> {
    let n_columns = (items.len() as f64).sqrt().ceil() as usize;
    let caption = |row: &[Item]| match row {
        [] => String::new(),
        [only] => only.caption.clone(),
        [first, .., last] => format!("{} to {}", first.caption, last.caption),
    };
    let rows: Vec<String> = items.chunks(n_columns).map(caption).collect();
    let (width, height) = (cells[0].width(), cells[0].height());
    let blank = DynamicImage::from(RgbImage::from_pixel(width, height, sheet::PAPER));
    cells.resize(rows.len() * n_columns, blank);
    let columns = vec![String::new(); n_columns];
    let sheet = Sheet { title: String::new(), columns, rows, cells, cell_px: width.clamp(64, Sheet::CELL_PX) };
    Ok(sheet.render()?.into())
}
