//! Style mixing: the rows' faces with some layers of the columns' (Karras et al. 2019, figure 3), as the published
//! `style_mixing.py` renders it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Result;
use candle_core::Device;
use image::DynamicImage;
use toonify_networks::latent::{Seed, Truncation, WPlus, Z};
use toonify_networks::stylegan2::Generator;

use crate::events::{Event, Sink};
use crate::pixels::{self, Rounding};
use crate::render::{self, NoiseMode};
use crate::sheet;
use crate::store::{folder, picture};

/// What to mix; nothing is left to ask.
#[derive(Clone, Debug)]
pub struct StyleMixPlan {
    /// Checkpoint file.
    pub network: PathBuf,
    /// Seeds of the faces that give all other layers.
    pub rows: Vec<Seed>,
    /// Seeds of the faces that give the layers in `styles`.
    pub cols: Vec<Seed>,
    /// Layers taken from the columns, counted from 0.
    pub styles: Vec<usize>,
    /// Truncation of `w`.
    pub truncation: Truncation,
    /// Class of a conditional network.
    pub class: Option<usize>,
    /// Noise of the synthesis network.
    pub noise: NoiseMode,
    /// Folder for the images; made when it is not there.
    pub outdir: PathBuf,
}

/// What was rendered.
#[derive(Clone, Debug, serde::Serialize)]
pub struct StyleMixed {
    /// One image a pair, `ROW-COL.png`, and one a seed, `SEED-SEED.png`.
    pub images: Vec<PathBuf>,
    /// The published grid: rows at the left, columns on top, black corner.
    pub grid: PathBuf,
}

/// Renders all pairs.
///
/// # Errors
/// When the checkpoint cannot be read, a layer does not exist, or an image cannot be written.
pub fn run(plan: &StyleMixPlan, sink: &mut dyn Sink) -> Result<StyleMixed> {
    let generator = render::generator(&plan.network)?;
    let ws = latents(plan, &generator, sink)?;
    folder::create(&plan.outdir)?;

    let total = (ws.len() + plan.rows.len() * plan.cols.len()) as u64;
    sink.event(&Event::Started { what: format!("mixing styles of `{}`", plan.network.display()) });
    let mut images = BTreeMap::new();
    for (&seed, w) in &ws {
        images.insert((seed, seed), render(&generator, w, plan.noise, seed)?);
        sink.event(&Event::Progress { done: images.len() as u64, total, unit: "images" });
    }
    for &row in &plan.rows {
        for &col in &plan.cols {
            let mixed = ws[&row].mix(&ws[&col], &plan.styles)?;
            images.insert((row, col), render(&generator, &mixed, plan.noise, row)?);
            sink.event(&Event::Progress { done: images.len() as u64, total, unit: "images" });
        }
    }
    save(plan, &images, sink)
}

/// The truncated `w` of every seed, repeated for each layer.
fn latents(plan: &StyleMixPlan, generator: &Generator, sink: &mut dyn Sink) -> Result<BTreeMap<Seed, WPlus>> {
    let config = generator.config();
    let label = render::label(plan.class, config, 1, sink)?;
    let mut ws = BTreeMap::new();
    for &seed in plan.rows.iter().chain(&plan.cols) {
        let z = Z::from_seeds(&[seed], config.z_dim, &Device::Cpu)?;
        let w = generator.map(&z, label.as_ref())?.broadcast(config.num_ws())?;
        ws.insert(seed, w.truncate(generator.w_avg(), &plan.truncation)?);
    }
    Ok(ws)
}

fn render(generator: &Generator, w: &WPlus, noise: NoiseMode, seed: Seed) -> Result<DynamicImage> {
    let noise = render::noise(noise, generator.config(), seed.0)?;
    let image = generator.render(w, &noise)?;
    Ok(pixels::to_images(&image, Rounding::Generate)?.remove(0))
}

fn save(plan: &StyleMixPlan, images: &BTreeMap<(Seed, Seed), DynamicImage>, sink: &mut dyn Sink) -> Result<StyleMixed> {
    let mut outcome = StyleMixed { images: Vec::new(), grid: plan.outdir.join("grid.png") };
    for ((row, col), image) in images {
        let path = plan.outdir.join(format!("{}-{}.png", row.0, col.0));
        picture::write(&path, image)?;
        sink.event(&Event::Saved { path: path.clone() });
        outcome.images.push(path);
    }
    picture::write(&outcome.grid, &grid(plan, images)?)?;
    sink.event(&Event::Saved { path: outcome.grid.clone() });
    Ok(outcome)
}

/// The published grid without captions, so that its pixels are the published ones.
fn grid(plan: &StyleMixPlan, images: &BTreeMap<(Seed, Seed), DynamicImage>) -> Result<DynamicImage> {
    let cell = |row: Seed, col: Seed| Some(images[&(row, col)].to_rgb8());
    let mut cells = vec![None];
    cells.extend(plan.cols.iter().map(|&col| cell(col, col)));
    for &row in &plan.rows {
        cells.push(cell(row, row));
        cells.extend(plan.cols.iter().map(|&col| cell(row, col)));
    }
    Ok(sheet::tile(&cells, plan.cols.len() + 1)?.into())
}
