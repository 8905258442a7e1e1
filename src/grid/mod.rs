//! The blend grid: rows are latents, columns go from the base model over blends at every resolution to the tuned one.

mod curves;
mod names;
mod scores;

use std::path::PathBuf;

use anyhow::{Result, bail};
use image::DynamicImage;
use serde::Serialize;
use toonify_networks::checkpoint::{Checkpoint, Parts};
use toonify_networks::latent::{W, WPlus};
use toonify_networks::stylegan2::{
    BlendCurve, Generator, GeneratorConfig, Layer, Level, Noise, Resolution, Slope, Weights, require_alike,
};

use self::curves::Place;
use self::scores::Scorer;
pub use self::scores::{CellScore, ScorePlan};
use crate::events::{Event, Sink};
use crate::latents::{self, FaceSource, Preparation};
use crate::pixels::{self, Rounding};
use crate::sheet::Sheet;
use crate::store::{animation, checkpoint, folder, page, picture};

/// What to render; nothing is left to ask.
#[derive(Clone, Debug)]
pub struct GridPlan {
    /// The model that knows photos; its mapping network maps the seeds.
    pub base: PathBuf,
    /// Models tuned from it, each with blends of its own.
    pub tuned: Vec<PathBuf>,
    /// Which of the two gives the low resolutions.
    pub low: LowModel,
    /// What is blended.
    pub blends: Blends,
    /// Resolutions to blend at; empty for all.
    pub resolutions: Vec<Resolution>,
    /// Ways to change from one model to the other, each with columns of its own.
    pub slopes: Vec<Slope>,
    /// The rows; seeds are mapped by the base.
    pub rows: Vec<FaceSource>,
    /// Truncation and class of the rows.
    pub preparation: Preparation,
    /// Folder for the sheet, the page and the single images.
    pub outdir: PathBuf,
    /// Side of a cell on the sheet in pixels.
    pub cell_px: u32,
    /// Whether the columns also become the frames of a film.
    pub film: Film,
    /// Whether, and by what, the cells are judged.
    pub scores: Option<ScorePlan>,
}

/// Which model gives the low resolutions: pose and shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LowModel {
    /// Shapes of the characters, skin of the photos.
    Tuned,
    /// Shapes of the photos, paint of the characters.
    Base,
}

/// What a column's resolution says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blends {
    /// Layers up to it come from the model of the low resolutions, all others from the other one.
    UpTo,
    /// It alone comes from the tuned model, whatever gives the low resolutions otherwise.
    Alone,
}

/// Whether to make an animated GIF.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Film {
    /// Pictures only.
    No,
    /// One GIF in which the columns follow each other.
    Yes,
}

/// What was rendered.
#[derive(Clone, Debug, Serialize)]
pub struct Gridded {
    /// All cells on one sheet.
    pub sheet: PathBuf,
    /// A page that shows the sheet and every cell.
    pub page: PathBuf,
    /// The film, if one was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub film: Option<PathBuf>,
    /// The cells, row by row.
    pub cells: Vec<PathBuf>,
    /// What stands above each column.
    pub columns: Vec<String>,
    /// The numbers of the cells, row by row, if they were asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub scores: Vec<CellScore>,
    /// The curves of the scores.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plot: Option<PathBuf>,
    /// The blend that keeps most of the identity for what it gains of the characters, if both were measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub best: Option<String>,
}

/// Renders the grid and writes sheet, page and cells.
///
/// # Errors
/// When a file cannot be read or written, or the models do not fit; the first layer that differs is named.
pub fn run(plan: &GridPlan, sink: &mut dyn Sink) -> Result<Gridded> {
    let base = checkpoint::read(&plan.base, if plan.scores.is_some() { Parts::All } else { Parts::GeneratorEma })?;
    let mut tuned = Vec::new();
    for path in &plan.tuned {
        let model = checkpoint::read(path, Parts::GeneratorEma)?;
        let names = [plan.base.display().to_string(), path.display().to_string()];
        require_alike((&names[0], &base.config), (&names[1], &model.config))?;
        tuned.push(model.ema);
    }
    let tuned: Vec<_> = names::shortest(&plan.tuned).into_iter().zip(tuned).collect();
    let generator = Generator::from_weights(&base.config, &base.ema)?;
    let faces = latents::faces(&plan.rows, &generator, &plan.preparation, sink)?;
    let captions = faces.iter().map(|face| face.caption.clone()).collect();
    let mut rows = Rows { captions, ws: latents::batch(&faces)? };
    let scorer = plan.scores.as_ref().map(|scores| Scorer::open(scores, &base, sink)).transpose()?;
    folder::create(&plan.outdir)?;

    sink.event(&Event::Started { what: "rendering the blend grid".to_owned() });
    let (columns, places): (Vec<Column>, Vec<Place>) = columns(plan, &base, &tuned)?.into_iter().unzip();
    if scorer.is_some() {
        // What all faces have in common is taken off before identities are compared.
        let average = W::new(generator.w_avg().unsqueeze(0)?, base.config.w_dim)?.broadcast(base.config.num_ws())?;
        rows.captions.push("average".to_owned());
        rows.ws = WPlus::cat(&[rows.ws, average])?;
    }
    let mut grid = render(&base.config, &columns, &rows, sink)?;
    let scores = match scorer {
        None => Vec::new(),
        Some(scorer) => {
            let scores = scorer.score(&grid, sink)?;
            grid.drop_last_row();
            scores
        }
    };
    save(plan, &grid, (&places, &scores), sink)
}

/// Latents with their captions.
pub struct Rows {
    /// One caption a row.
    pub captions: Vec<String>,
    /// `[rows, num_ws, w_dim]`
    pub ws: WPlus,
}

/// One column: a generator, already blended.
pub struct Column {
    /// What stands above it.
    pub caption: String,
    /// Its tensors; those that are not mixed are shared with their model.
    pub weights: Weights<Layer>,
}

/// A grid of images with its captions.
pub struct Grid {
    /// One caption a column.
    pub columns: Vec<String>,
    /// One caption a row.
    pub rows: Vec<String>,
    /// `rows · columns` images, row by row.
    pub cells: Vec<DynamicImage>,
}

/// The base, every blend, and every tuned model.
fn columns(plan: &GridPlan, base: &Checkpoint, tuned: &[(String, Weights<Layer>)]) -> Result<Vec<(Column, Place)>> {
    let resolutions = resolutions(plan, base.config.resolution)?;
    let mut columns = vec![(Column { caption: "base".to_owned(), weights: base.ema.clone() }, Place::Base)];
    let several = tuned.len() > 1;
    for (name, model) in tuned {
        let whose = if several { format!("{name} ") } else { String::new() };
        for &slope in &plan.slopes {
            for &resolution in &resolutions {
                let (caption, weights) = match plan.blends {
                    Blends::UpTo => {
                        let caption = format!("{whose}swap {resolution}{}", width_of(slope));
                        (caption, swapped(plan.low, (&base.ema, model), &base.config, (resolution, slope))?)
                    }
                    Blends::Alone => {
                        (format!("{whose}{resolution} alone"), alone((&base.ema, model), &base.config, resolution)?)
                    }
                };
                let line = format!("{}{}", if several { name } else { "blends" }, width_of(slope));
                let place = Place::Blend { line, model: name.clone(), resolution };
                columns.push((Column { caption, weights }, place));
            }
        }
        let caption = if several { name } else { "tuned" };
        let column = Column { caption: caption.to_owned(), weights: model.clone() };
        columns.push((column, Place::Tuned { model: name.clone() }));
    }
    Ok(columns)
}

/// The resolutions of the plan, or all at which a blend is neither of the two models.
fn resolutions(plan: &GridPlan, size: Resolution) -> Result<Vec<Resolution>> {
    if let Some(resolution) = plan.resolutions.iter().find(|resolution| **resolution > size) {
        bail!("cannot blend at {resolution} px, the networks have {size} px");
    }
    Ok(match (plan.resolutions.as_slice(), plan.blends) {
        ([], Blends::UpTo) => size.half().map_or(vec![], |half| half.ladder().collect()),
        ([], Blends::Alone) => size.ladder().collect(),
        (chosen, _) => chosen.to_vec(),
    })
}

/// Layers up to a resolution from one model, all others from the other.
fn swapped(
    low: LowModel,
    (base, tuned): (&Weights<Layer>, &Weights<Layer>),
    config: &GeneratorConfig,
    (resolution, slope): (Resolution, Slope),
) -> Result<Weights<Layer>> {
    let curve = BlendCurve::swap(resolution, Level::Zero, slope)?;
    Ok(match low {
        LowModel::Tuned => tuned.blend(base, config, &curve)?,
        LowModel::Base => base.blend(tuned, config, &curve)?,
    })
}

/// One resolution from the tuned model, all others from the base.
fn alone(
    (base, tuned): (&Weights<Layer>, &Weights<Layer>),
    config: &GeneratorConfig,
    resolution: Resolution,
) -> Result<Weights<Layer>> {
    let share = |other: Resolution| if other == resolution { 1.0 } else { 0.0 };
    let curve = BlendCurve::shares(config.resolution.ladder().map(share).collect(), config.resolution)?;
    Ok(base.blend(tuned, config, &curve)?)
}

/// The width of a change as captions have it.
fn width_of(slope: Slope) -> String {
    match slope {
        Slope::Hard => String::new(),
        Slope::Logistic { width } | Slope::Linear { width } => format!(" ~{width}"),
    }
}

/// Renders every row with every column's generator.
///
/// # Errors
/// When latents and networks do not fit.
pub fn render(config: &GeneratorConfig, columns: &[Column], rows: &Rows, sink: &mut dyn Sink) -> Result<Grid> {
    let total = columns.len() as u64;
    let mut rendered = Vec::new();
    for (done, column) in columns.iter().enumerate() {
        let generator = Generator::from_weights(config, &column.weights)?;
        let mut cells = Vec::new();
        for row in 0..rows.ws.len() {
            let image = generator.render(&rows.ws.narrow(row, 1)?, &Noise::Const)?;
            cells.extend(pixels::to_images(&image, Rounding::Generate)?);
        }
        rendered.push(cells);
        sink.event(&Event::Progress { done: done as u64 + 1, total, unit: "columns" });
    }
    let row_cells = |row: usize| rendered.iter().map(move |column| column[row].clone());
    Ok(Grid {
        columns: columns.iter().map(|column| column.caption.clone()).collect(),
        rows: rows.captions.clone(),
        cells: (0..rows.captions.len()).flat_map(row_cells).collect(),
    })
}

impl Grid {
    /// The captioned sheet.
    ///
    /// # Errors
    /// When it would be too large for a picture.
    pub fn sheet(&self, title: &str, cell_px: u32) -> Result<DynamicImage> {
        self.sheet_with_notes(title, cell_px, &[])
    }

    /// The captioned sheet with a line under each cell.
    fn sheet_with_notes(&self, title: &str, cell_px: u32, notes: &[String]) -> Result<DynamicImage> {
        let (title, columns, rows) = (title.to_owned(), self.columns.clone(), self.rows.clone());
        let sheet = Sheet { title, columns, rows, cells: self.cells.clone(), cell_px };
        Ok(sheet.render_with_notes(notes)?.into())
    }

    /// The cells of a column, from the top.
    fn column(&self, column: usize) -> impl Iterator<Item = &DynamicImage> {
        self.cells.iter().skip(column).step_by(self.columns.len())
    }

    fn drop_last_row(&mut self) {
        self.rows.pop();
        self.cells.truncate(self.rows.len() * self.columns.len());
    }

    /// One frame a column: all rows below each other.
    fn frames(&self, cell_px: u32) -> Result<Vec<DynamicImage>> {
        let frame = |(column, caption): (usize, &String)| {
            let cells = self.column(column).cloned().collect();
            let single = Grid { columns: vec![caption.clone()], rows: self.rows.clone(), cells };
            single.sheet("", cell_px)
        };
        self.columns.iter().enumerate().map(frame).collect()
    }
}

fn save(
    plan: &GridPlan,
    grid: &Grid,
    (places, scores): (&[Place], &[CellScore]),
    sink: &mut dyn Sink,
) -> Result<Gridded> {
    let title = match (plan.blends, plan.low) {
        (Blends::Alone, _) => "One resolution from the tuned model, all others from the base",
        (Blends::UpTo, LowModel::Tuned) => "From the tuned model up to the swap, from the base above",
        (Blends::UpTo, LowModel::Base) => "From the base up to the swap, from the tuned model above",
    };
    let legend = match (scores.first(), scores.iter().any(|cell| cell.distance.is_some())) {
        (None, _) => "",
        (Some(_), false) => " (id: identity kept)",
        (Some(_), true) => " (id: identity kept, d: distance from characters)",
    };
    let title = &format!("{title}{legend}");
    let means = mean_scores(places, scores);
    let (cells, plot) = (save_cells(plan, grid)?, save_plot(plan, &means)?);
    let best = curves::best(&means).map(|column| grid.columns[column].clone());
    let (sheet, page) = (plan.outdir.join("grid.png"), plan.outdir.join("grid.html"));
    let notes: Vec<String> = scores.iter().map(CellScore::short).collect();
    picture::write(&sheet, &grid.sheet_with_notes(title, plan.cell_px, &notes)?)?;
    let film = save_film(plan, grid)?;
    let name = |path: &PathBuf| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let figures: Vec<String> = plot.iter().chain(&film).map(name).collect();
    let figures: Vec<&str> = figures.iter().map(String::as_str).collect();
    page::write_table(&page, title, (&grid.columns, &grid.rows, &figures), |row, column| page::Cell {
        source: cell_name(row, column),
        note: notes.get(row * grid.columns.len() + column).cloned().unwrap_or_default(),
    })?;
    for path in [&sheet, &page].into_iter().chain(&film).chain(&plot) {
        sink.event(&Event::Saved { path: path.clone() });
    }
    Ok(Gridded { sheet, page, film, cells, columns: grid.columns.clone(), scores: scores.to_vec(), plot, best })
}

/// Writes the columns as a film, where one is wanted.
fn save_film(plan: &GridPlan, grid: &Grid) -> Result<Option<PathBuf>> {
    if plan.film == Film::No {
        return Ok(None);
    }
    let path = plan.outdir.join("grid.gif");
    animation::write(&path, &grid.frames(plan.cell_px)?, animation::Frames { per_second: 2.0 })?;
    Ok(Some(path))
}

fn cell_name(row: usize, column: usize) -> String {
    format!("cells/{row:02}-{column:02}.png")
}

fn save_cells(plan: &GridPlan, grid: &Grid) -> Result<Vec<PathBuf>> {
    folder::create(plan.outdir.join("cells"))?;
    let n_columns = grid.columns.len();
    let save = |(index, cell): (usize, &DynamicImage)| {
        let path = plan.outdir.join(cell_name(index / n_columns, index % n_columns));
        picture::write(&path, cell)?;
        Ok(path)
    };
    grid.cells.iter().enumerate().map(save).collect()
}

/// The mean scores of every column; none without scores.
fn mean_scores(places: &[Place], scores: &[CellScore]) -> Vec<curves::Column> {
    if scores.is_empty() {
        return Vec::new();
    }
    let column = |(index, place)| curves::Column::of(place, scores.iter().skip(index).step_by(places.len()));
    places.iter().enumerate().map(column).collect()
}

/// Draws the columns' mean scores, where there are scores.
fn save_plot(plan: &GridPlan, columns: &[curves::Column]) -> Result<Option<PathBuf>> {
    if columns.is_empty() {
        return Ok(None);
    }
    let path = plan.outdir.join("scores.png");
    picture::write(&path, &curves::draw(columns, plan.low)?.into())?;
    Ok(Some(path))
}
