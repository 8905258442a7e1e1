//! Style mixing: the rows' faces with some layers of the columns' (Karras et al. 2019, figure 3), as the published
//! `style_mixing.py` renders it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Result, ensure};
use image::DynamicImage;
use toonify_networks::latent::WPlus;
use toonify_networks::stylegan2::{Arithmetic, Generator};

use crate::events::{Event, Sink};
use crate::latents::{self, Face, FaceSource, Preparation};
use crate::pixels::{self, Rounding};
use crate::render::{self, NoiseMode};
use crate::sheet;
use crate::store::{folder, picture};

/// What to mix; nothing is left to ask.
#[derive(Clone, Debug)]
pub struct StyleMixPlan {
    /// Checkpoint file.
    pub network: PathBuf,
    /// The faces that give all other layers.
    pub rows: Vec<FaceSource>,
    /// The faces that give the layers in `styles`.
    pub cols: Vec<FaceSource>,
    /// Layers taken from the columns, counted from 0.
    pub styles: Vec<usize>,
    /// Truncation and class.
    pub preparation: Preparation,
    /// Noise of the synthesis network.
    pub noise: NoiseMode,
    /// Arithmetic of the blocks that the checkpoint marks for half precision.
    pub arithmetic: Arithmetic,
    /// Folder for the images; made when it is not there.
    pub outdir: PathBuf,
}

/// What was rendered.
#[derive(Clone, Debug, serde::Serialize)]
pub struct StyleMixed {
    /// One image a pair, `ROW-COL.png`, and one a face, `FACE-FACE.png`; seeds are called by their number, files by their
    /// name.
    pub images: Vec<PathBuf>,
    /// The published grid: rows at the left, columns on top, black corner.
    pub grid: PathBuf,
}

/// Renders all pairs.
///
/// # Errors
/// When the checkpoint or latents cannot be read, a layer does not exist, or an image cannot be written.
pub fn run(plan: &StyleMixPlan, sink: &mut dyn Sink) -> Result<StyleMixed> {
    let generator = render::generator(&plan.network, plan.arithmetic)?;
    let rows = latents::faces(&plan.rows, &generator, &plan.preparation, sink)?;
    let cols = latents::faces(&plan.cols, &generator, &plan.preparation, sink)?;
    let single = one_of_each(&rows, &cols)?;
    folder::create(&plan.outdir)?;

    // A face with its own layers is itself.
    let pairs = rows.iter().flat_map(|row| cols.iter().map(move |col| (row, col)));
    let pairs: Vec<(&Face, &Face)> = pairs.filter(|(row, col)| row.name != col.name).collect();
    let total = (single.len() + pairs.len()) as u64;
    sink.event(&Event::Started { what: format!("mixing styles of `{}`", plan.network.display()) });
    let mut images: Images = Vec::new();
    let mut add = |pair: [&Face; 2], ws: &WPlus| -> Result<()> {
        images.push((pair.map(|face| face.name.clone()), render(&generator, ws, plan.noise, pair[0])?));
        sink.event(&Event::Progress { done: images.len() as u64, total, unit: "images" });
        Ok(())
    };
    for face in single {
        add([face, face], &face.ws)?;
    }
    for (row, col) in pairs {
        add([row, col], &row.ws.mix(&col.ws, &plan.styles)?)?;
    }
    save(plan, (&rows, &cols), &images, sink)
}

/// Images by the names of their row and column.
type Images = Vec<([String; 2], DynamicImage)>;

/// The faces without repetitions, by name; two that differ must not have one.
fn one_of_each<'a>(rows: &'a [Face], cols: &'a [Face]) -> Result<Vec<&'a Face>> {
    let mut single: BTreeMap<(usize, &str), &Face> = BTreeMap::new();
    for face in rows.iter().chain(cols) {
        // Numbers in their order: shorter ones come first.
        let known = single.entry((face.name.len(), &face.name)).or_insert(face);
        let same = (known.ws.tensor() - face.ws.tensor())?.abs()?.max_all()?.to_scalar::<f32>()? == 0.0;
        ensure!(same, "two different faces are called `{}`: rename one of the files", face.name);
    }
    Ok(single.into_values().collect())
}

fn render(generator: &Generator, w: &WPlus, noise: NoiseMode, row: &Face) -> Result<DynamicImage> {
    let noise = render::noise(noise, generator.config(), row.noise_seed)?;
    let image = generator.render(w, &noise)?;
    Ok(pixels::to_images(&image, Rounding::Generate)?.remove(0))
}

fn save(plan: &StyleMixPlan, faces: (&[Face], &[Face]), images: &Images, sink: &mut dyn Sink) -> Result<StyleMixed> {
    let mut outcome = StyleMixed { images: Vec::new(), grid: plan.outdir.join("grid.png") };
    for ([row, col], image) in images {
        let path = plan.outdir.join(format!("{row}-{col}.png"));
        picture::write(&path, image)?;
        sink.event(&Event::Saved { path: path.clone() });
        outcome.images.push(path);
    }
    picture::write(&outcome.grid, &grid(faces, images)?)?;
    sink.event(&Event::Saved { path: outcome.grid.clone() });
    Ok(outcome)
}

/// The published grid without captions, so that its pixels are the published ones.
fn grid((rows, cols): (&[Face], &[Face]), images: &Images) -> Result<DynamicImage> {
    let cell = |row: &Face, col: &Face| {
        let image = images.iter().find(|([a, b], _)| *a == row.name && *b == col.name);
        image.map(|(_, image)| image.to_rgb8())
    };
    let mut cells = vec![None];
    cells.extend(cols.iter().map(|col| cell(col, col)));
    for row in rows {
        cells.push(cell(row, row));
        cells.extend(cols.iter().map(|col| cell(row, col)));
    }
    Ok(sheet::tile(&cells, cols.len() + 1)?.into())
}
