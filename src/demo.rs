//! The main job on the models that come with the program: a portrait to a game character, every stage on one page.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use anyhow::{Context, Result};
use serde::Serialize;
use toonify_align::{ColourMatch, Feather};
use toonify_networks::latent::Truncation;

use crate::align::{FaceSearch, Faces};
use crate::events::{Event, Silent, Sink};
use crate::grid::{self, Blends, Film, GridPlan, Gridded, LowModel};
use crate::latents::{FaceSource, Preparation};
use crate::photo::{
    self, AlignedFace, Engine, EnginePlan, LatentsPlan, MaskKind, PastePlan, PhotoPlan, ShippedStyle, StudentEngine,
    Style, StylePlan, Toonified,
};
use crate::project::LATENTS;
use crate::store::models::ModelFolders;
use crate::store::page::{self, Chapter};
use crate::store::photo::Photo;
use crate::store::{folder, picture};

/// A portrait that the shipped generator made: of nobody.
const PORTRAIT: &[u8] = include_bytes!("../models/portrait.png");
/// The photo's name among the results.
const STEM: &str = "photo";
/// Times that the student is asked; the fastest counts.
const STUDENT_RUNS: usize = 10;

/// What to show, and with what; nothing is left to ask.
#[derive(Clone, Debug)]
pub struct DemoPlan {
    /// The photo; without one, a portrait of nobody.
    pub photo: Option<PathBuf>,
    /// Folder for the page and everything on it.
    pub outdir: PathBuf,
    /// dlib's 68-point landmark model.
    pub landmarks: PathBuf,
    /// Where models are unpacked.
    pub folders: ModelFolders,
}

/// What was made.
#[derive(Clone, Debug, Serialize)]
pub struct Demonstrated {
    /// Shows everything.
    pub page: PathBuf,
    /// The largest face as a game character.
    pub toon: PathBuf,
    /// The photo with game characters in place of its faces.
    pub pasted: PathBuf,
    /// The largest face through every blend of the two generators.
    pub grid: PathBuf,
    /// The largest face by the student.
    pub student_toon: PathBuf,
    /// Time that the student takes for it, the fastest of ten.
    pub student_milliseconds: f64,
    /// Time that all took.
    pub seconds: f64,
}

/// Goes from the photo to the page.
///
/// # Errors
/// When the photo cannot be read or shows no face, or a file cannot be written.
pub fn run(plan: &DemoPlan, stop: &AtomicBool, sink: &mut dyn Sink) -> Result<Demonstrated> {
    let begun = Instant::now();
    let photo = plan.outdir.join(format!("{STEM}.png"));
    let pixels = match &plan.photo {
        Some(path) => Photo::read(path)?.pixels,
        None => image::load_from_memory(PORTRAIT).context("the portrait within the program is a picture")?.into_rgb8(),
    };
    folder::create(&plan.outdir)?;
    picture::write(&photo, &pixels.into())?;
    let style = ShippedStyle::unpack(&plan.folders)?;

    let toonified = toonify(plan, (&photo, "generator"), by_search(plan, &style), (stop, sink))?;
    let gridded = render_grid(plan, &style, sink)?;
    let by_student = toonify(plan, (&photo, "student"), EnginePlan::Student(style.student.clone()), (stop, sink))?;
    let student_milliseconds = time_student(plan, &style)?;

    let (toon, pasted) = results(plan, "generator", &toonified)?;
    let (student_toon, _) = results(plan, "student", &by_student)?;
    let page = plan.outdir.join("index.html");
    write_page(&page, &style, student_milliseconds)?;
    sink.event(&Event::Saved { path: page.clone() });
    let seconds = begun.elapsed().as_secs_f64();
    Ok(Demonstrated { page, toon, pasted, grid: gridded.sheet, student_toon, student_milliseconds, seconds })
}

fn by_search(plan: &DemoPlan, style: &ShippedStyle) -> EnginePlan {
    EnginePlan::Blended(StylePlan {
        style: Style::Blend(style.blend()),
        latents: LatentsPlan::Projected {
            projector: Box::new(style.projector()),
            folder: plan.outdir.join("generator/w"),
        },
        truncation: Truncation { psi: 1.0, cutoff: None },
    })
}

/// The photo's faces as characters, in the folder `name`, with all stages.
fn toonify(
    plan: &DemoPlan,
    (photo, name): (&Path, &str),
    engine: EnginePlan,
    (stop, sink): (&AtomicBool, &mut dyn Sink),
) -> Result<Toonified> {
    let out = plan.outdir.join(name);
    let plan = PhotoPlan {
        sources: vec![photo.to_owned()],
        model: plan.landmarks.clone(),
        search: FaceSearch::usual(Faces::All),
        engine,
        paste: PastePlan { mask: MaskKind::Head, feather: Feather::new(0.1)?, colour: ColourMatch::Off },
        stages: Some(out.join("stages")),
        out,
    };
    let outcome = photo::run(&plan, stop, sink)?;
    photo::check_complete(&outcome)?;
    Ok(outcome)
}

/// The first toon and the pasted photo of a run.
fn results(plan: &DemoPlan, name: &str, toonified: &Toonified) -> Result<(PathBuf, PathBuf)> {
    let record = toonified.photos.first().context("the photo is in the outcome")?;
    let (toon, pasted) = (record.toons.first(), record.photo.as_ref());
    let below = |path: &PathBuf| plan.outdir.join(name).join(path);
    Ok((toon.map(below).context("a photo that is done has toons")?, pasted.map(below).context("and a result")?))
}

/// The photo's largest face through every blend.
fn render_grid(plan: &DemoPlan, style: &ShippedStyle, sink: &mut dyn Sink) -> Result<Gridded> {
    let plan = GridPlan {
        base: style.base.clone(),
        tuned: vec![style.tuned.clone()],
        low: LowModel::Base,
        blends: Blends::UpTo,
        resolutions: vec![],
        slopes: vec![style.slope],
        rows: vec![FaceSource::File(plan.outdir.join(format!("generator/w/{STEM}_00")).join(LATENTS))],
        preparation: Preparation::truncated(1.0),
        outdir: plan.outdir.join("grid"),
        cell_px: 128,
        film: Film::No,
        scores: None,
    };
    grid::run(&plan, sink)
}

/// The fewest milliseconds that the student takes for the largest face.
fn time_student(plan: &DemoPlan, style: &ShippedStyle) -> Result<f64> {
    let mut engine = StudentEngine::open(&style.student)?;
    let crop = plan.outdir.join(format!("student/stages/{STEM}/{CROP}"));
    let face = AlignedFace { name: STEM.to_owned(), image: Photo::read(crop)?.pixels };
    let mut fastest = f64::INFINITY;
    for _ in 0..STUDENT_RUNS {
        let begun = Instant::now();
        engine.toons(std::slice::from_ref(&face), (&AtomicBool::new(false), &mut Silent))?;
        fastest = fastest.min(begun.elapsed().as_secs_f64() * 1e3);
    }
    Ok(fastest)
}

const CROP: &str = "2-face00-1-crop.png";

fn write_page(path: &Path, style: &ShippedStyle, milliseconds: f64) -> Result<()> {
    let chapter = |title: &str, text: String, sources: &[&str]| {
        let sources = sources.iter().map(|source| format!("{source}.png")).collect();
        Chapter { title: title.to_owned(), text, sources }
    };
    let stage = |name: &str| format!("generator/stages/{STEM}/{name}");
    let (size, steps) = (style.resolution, style.num_steps);
    let chapters = [
        chapter(
            "The photo, its faces found",
            "Yellow: dlib's box. Green: 68 landmarks. Blue: the frame of FFHQ.".to_owned(),
            &[STEM, &stage("1-faces")],
        ),
        chapter(
            "The face, aligned",
            "Cut out along the frame, at the generator's resolution.".to_owned(),
            &[&stage("2-face00-1-crop")],
        ),
        chapter(
            "Projected",
            format!(
                "The nearest image that the generator of portraits can make: {steps} steps from the encoder's answer."
            ),
            &[&stage("2-face00-2-projected")],
        ),
        chapter(
            "A game character",
            format!(
                "The same latents through the blend: layers up to {size} px from the generator of portraits, above it from that of characters."
            ),
            &[&stage("2-face00-3-toon")],
        ),
        chapter("Pasted back", "With a soft rim around the head.".to_owned(), &[&stage("3-pasted")]),
        chapter(
            "Every blend",
            "Layers up to the named resolution from the generator of portraits, above it from that of characters."
                .to_owned(),
            &["grid/grid"],
        ),
        chapter(
            "In real time",
            format!(
                "A student, distilled from the blend, does all of this at once: {milliseconds:.1} ms for this face on this machine."
            ),
            &[&format!("student/stages/{STEM}/2-face00-2-toon"), &format!("student/stages/{STEM}/3-pasted")],
        ),
    ];
    page::write_story(path, "A photo becomes a game character", &chapters)
}
