//! Some images of a training set on one sheet, each row with its label.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use image::{DynamicImage, RgbImage};
use serde::Serialize;
use toonify_networks::random::RandomState;

use crate::dataset::reader::{Reader, Selection};
use crate::events::{Event, Sink};
use crate::sheet::{PAPER, Sheet};
use crate::store::picture;

/// What to show where.
#[derive(Clone, Debug)]
pub struct ShowPlan {
    /// Folder or zip with the set.
    pub set: PathBuf,
    /// The PNG file to write.
    pub output: PathBuf,
    /// How many images.
    pub images: usize,
    /// What their choice begins with.
    pub seed: u32,
}

/// What was shown.
#[derive(Clone, Debug, Serialize)]
pub struct Shown {
    /// The sheet.
    pub output: PathBuf,
    /// The images on it, row by row.
    pub images: Vec<String>,
}

/// Smallest side of a picture on the sheet, in pixels.
const MIN_CELL_PX: u32 = 64;

/// Writes the sheet.
///
/// # Errors
/// When the set or an image of it cannot be read, when no image is asked for, or when the sheet cannot be written.
pub fn run(plan: &ShowPlan, sink: &mut dyn Sink) -> Result<Shown> {
    ensure!(plan.images > 0, "a sheet needs at least one image");
    let reader = Reader::open(&plan.set, Selection::ALL)?;
    let chosen = choose(&reader, plan);
    let n_columns = (chosen.len() as f64).sqrt().ceil() as usize;
    let rows = rows(&reader, &chosen, n_columns);
    let mut sheet = Sheet {
        title: format!("{}: {} images, {} px", reader.name(), reader.stored(), reader.resolution()),
        columns: vec![String::new(); n_columns],
        rows: rows.iter().map(|row| caption(&reader, row)).collect(),
        cells: Vec::with_capacity(rows.len() * n_columns),
        cell_px: reader.resolution().clamp(MIN_CELL_PX, Sheet::CELL_PX),
    };
    let blank = DynamicImage::from(RgbImage::from_pixel(1, 1, PAPER));
    for row in &rows {
        for &index in row {
            sheet.cells.push(reader.picture(index)?.into());
        }
        sheet.cells.resize(sheet.cells.len().next_multiple_of(n_columns), blank.clone());
        sink.event(&Event::Progress {
            done: (sheet.cells.len() / n_columns) as u64,
            total: rows.len() as u64,
            unit: "rows",
        });
    }
    picture::write(&plan.output, &sheet.render()?.into())?;
    sink.event(&Event::Saved { path: plan.output.clone() });
    let images = rows.iter().flatten().map(|index| reader.image_name(*index).to_owned()).collect();
    Ok(Shown { output: plan.output.clone(), images })
}

/// Random images, in the order of names.
fn choose(reader: &Reader, plan: &ShowPlan) -> Vec<usize> {
    let mut order: Vec<usize> = (0..reader.len()).collect();
    RandomState::new(plan.seed).shuffle(&mut order);
    order.truncate(plan.images);
    order.sort_unstable();
    order
}

/// Images in rows, none with more than one label.
fn rows(reader: &Reader, chosen: &[usize], n_columns: usize) -> Vec<Vec<usize>> {
    let mut groups: Vec<(String, Vec<usize>)> = Vec::new();
    for &index in chosen {
        let label = reader.stored_label(index).map(|label| label.caption()).unwrap_or_default();
        match groups.iter_mut().find(|(known, _)| *known == label) {
            Some((_, group)) => group.push(index),
            None => groups.push((label, vec![index])),
        }
    }
    // Classes by their number: `class 10` comes behind `class 9`.
    groups.sort_by(|(a, _), (b, _)| (a.len(), a).cmp(&(b.len(), b)));
    groups.iter().flat_map(|(_, group)| group.chunks(n_columns).map(<[usize]>::to_vec)).collect()
}

/// The label of a row, or where there are none, the name of its first image.
fn caption(reader: &Reader, row: &[usize]) -> String {
    match reader.stored_label(row[0]) {
        Some(label) => label.caption(),
        None => reader.image_name(row[0]).to_owned(),
    }
}
