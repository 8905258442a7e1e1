//! A student beside its teacher on photos that neither has seen (`toonify compare`): the teacher finds the face, projects
//! it and renders the blend; the student translates the same face at once. How far the teacher is from itself, when only
//! the seed of its search differs, is the yardstick.
//!
//! The output folder holds `sheet.png`, `compare.json`, and `teacher/` and `again/`, in which projections are kept: a second
//! run does what is missing.

mod faces;
mod measures;

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result, ensure};
use image::imageops::FilterType;
use image::{DynamicImage, RgbImage};
use serde::Serialize;

pub use faces::Framing;
pub use measures::{Distance, Spread};

use crate::events::{Event, Sink};
use crate::eyes::{self, EyesPlan};
use crate::photo::{BlendedEngine, Engine, StudentEngine, StylePlan, Toon};
use crate::sheet::Sheet;
use crate::store::lock::FolderLock;
use crate::store::{atomic, folder, json, picture};
use faces::Face;
use measures::Ruler;

/// What to compare; nothing is left to ask.
#[derive(Clone, Debug)]
pub struct ComparePlan {
    /// The student.
    pub student: PathBuf,
    /// Photos, or folders of them.
    pub photos: Vec<PathBuf>,
    /// How a photo becomes a face.
    pub framing: Framing,
    /// The teacher.
    pub teacher: StylePlan,
    /// The teacher by another search.
    pub again: StylePlan,
    /// What makes pictures alike beside their pixels, if anything.
    pub eyes: Option<EyesPlan>,
    /// Photos that are shown; all are measured.
    pub shown: usize,
    /// Folder for the results.
    pub out: PathBuf,
}

/// What was measured. Distances are of pictures of [`Compared::side_px`].
#[derive(Clone, Debug, Serialize)]
pub struct Compared {
    /// Photos with a face.
    pub photos: usize,
    /// Photos without, and why.
    pub left_out: Vec<(PathBuf, String)>,
    /// Side of the pictures that are compared: the larger of the teacher's and the student's.
    pub side_px: u32,
    /// What the perceptual distance looks with, if there is one.
    pub perception: Option<String>,
    /// From the student to the teacher.
    pub student: Spread,
    /// From the teacher to itself by another search.
    pub again: Spread,
    /// From the photo to the teacher: what there is to learn.
    pub photo: Spread,
    /// The sheet.
    pub sheet: PathBuf,
}

/// The pictures of one face, all of one size.
struct Row {
    photo: RgbImage,
    teacher: RgbImage,
    again: RgbImage,
    student: RgbImage,
}

/// Compares.
///
/// # Errors
/// When networks cannot be read or do not fit, no photo has a face, the work was stopped, or a result cannot be written.
pub fn run(plan: &ComparePlan, stop: &AtomicBool, sink: &mut dyn Sink) -> Result<Compared> {
    folder::create(&plan.out)?;
    let _lock = FolderLock::take(&plan.out)?;
    atomic::sweep(&plan.out);
    let ruler = Ruler::open(plan.eyes.as_ref().map(eyes::alone).transpose()?);
    let (rows, left_out, side_px) = rows(plan, stop, sink)?;
    sink.event(&Event::Started { what: format!("measuring {} faces", rows.len()) });
    let measured = |pair: fn(&Row) -> (&RgbImage, &RgbImage)| ruler.measure(rows.iter().map(pair));
    let student = measured(|row| (&row.student, &row.teacher))?;
    let again = measured(|row| (&row.again, &row.teacher))?;
    let photo = measured(|row| (&row.photo, &row.teacher))?;
    let sheet = plan.out.join("sheet.png");
    picture::write(&sheet, &sheet_of(&rows[..rows.len().min(plan.shown)], &student, side_px)?)?;
    sink.event(&Event::Saved { path: sheet.clone() });
    let outcome = Compared {
        photos: rows.len(),
        left_out,
        side_px,
        perception: ruler.perception(),
        student: Spread::of(&student),
        again: Spread::of(&again),
        photo: Spread::of(&photo),
        sheet,
    };
    json::write(&plan.out.join("compare.json"), &outcome)?;
    Ok(outcome)
}

type LeftOut = Vec<(PathBuf, String)>;

/// The pictures of every photo that has a face.
fn rows(plan: &ComparePlan, stop: &AtomicBool, sink: &mut dyn Sink) -> Result<(Vec<Row>, LeftOut, u32)> {
    let mut student = StudentEngine::open(&plan.student)?;
    let mut teacher = BlendedEngine::open(&plan.teacher)?;
    let side_px = student.side_px().max(teacher.side_px());
    let (faces, left_out) = faces::find(plan, sink)?;
    ensure!(!faces.is_empty(), "none of the photos has a face");
    let of_student = toons(&mut student, &faces, (stop, &mut *sink))?;
    let of_teacher = toons(&mut teacher, &faces, (stop, &mut *sink))?;
    drop(teacher);
    let of_again = toons(&mut BlendedEngine::open(&plan.again)?, &faces, (stop, sink))?;
    let grown = |toon: Toon| resized(toon.image, side_px);
    let toons = of_student.into_iter().zip(of_teacher).zip(of_again);
    let row = |(face, ((student, teacher), again)): (&Face, ((Toon, Toon), Toon))| {
        let photo = face.image(side_px)?;
        let (teacher, again, student) = (grown(teacher), grown(again), grown(student));
        Ok(Row { photo, teacher, again, student })
    };
    let rows = faces.iter().zip(toons).map(row).collect::<Result<_>>()?;
    Ok((rows, left_out, side_px))
}

fn toons(engine: &mut dyn Engine, faces: &[Face], (stop, sink): (&AtomicBool, &mut dyn Sink)) -> Result<Vec<Toon>> {
    let side_px = engine.side_px();
    let aligned = faces.iter().map(|face| face.aligned(side_px)).collect::<Result<Vec<_>>>()?;
    let mut toons = Vec::new();
    for group in aligned.chunks(engine.faces_at_once().max(1)) {
        let made: Option<Vec<Toon>> = engine.toons(group, (stop, &mut *sink))?.into_iter().collect();
        toons.extend(made.context("stopped; the same command goes on from there")?);
    }
    Ok(toons)
}

fn resized(image: RgbImage, side_px: u32) -> RgbImage {
    if image.dimensions() == (side_px, side_px) {
        return image;
    }
    image::imageops::resize(&image, side_px, side_px, FilterType::Lanczos3)
}

/// A column for each face, with the student's distances under it.
fn sheet_of(rows: &[Row], distances: &[Distance], side_px: u32) -> Result<DynamicImage> {
    let pictures: [fn(&Row) -> &RgbImage; 4] =
        [|row| &row.photo, |row| &row.teacher, |row| &row.again, |row| &row.student];
    let cells = pictures.iter().flat_map(|of| rows.iter().map(|row| DynamicImage::from(of(row).clone())));
    let sheet = Sheet {
        title: String::new(),
        columns: (1..=rows.len()).map(|number| number.to_string()).collect(),
        rows: ["photo", "teacher", "teacher, searched again", "student"].map(str::to_owned).to_vec(),
        cells: cells.collect(),
        cell_px: side_px.clamp(128, Sheet::CELL_PX),
    };
    let blank = std::iter::repeat_n(String::new(), 3 * rows.len());
    let notes: Vec<String> = blank.chain(distances.iter().take(rows.len()).map(Distance::to_string)).collect();
    Ok(sheet.render_with_notes(&notes)?.into())
}
