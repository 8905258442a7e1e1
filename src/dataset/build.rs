//! Pictures of all sizes to a training set, as the published `dataset_tool.py` makes one: same names, pixels and messages.
//!
//! Pictures pass through in small groups, decoded and resized in parallel and written in order, so that memory does not
//! grow with the set.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, bail, ensure};
use image::RgbImage;
use rayon::prelude::*;
use serde::Serialize;

use crate::dataset::format::{self, LABELS_FILE, Label};
use crate::dataset::picture::{Channels, Picture, Shape};
use crate::dataset::transform::Transform;
use crate::dataset::video::{self, Frames, Video};
use crate::events::{Event, Sink};
use crate::store::bundle::Bundle;
use crate::store::bundle_writer::{self, BundleWriter};

/// What to make of what.
#[derive(Clone, Debug)]
pub struct BuildPlan {
    /// Folder, zip or video.
    pub source: PathBuf,
    /// Zip or folder to make.
    pub dest: PathBuf,
    /// How pictures get their size.
    pub transform: Transform,
    /// The channels of the set.
    pub channels: Channels,
    /// At most so many pictures of the source are looked at.
    pub max_images: Option<usize>,
    /// Which pictures of a video are taken.
    pub frames: Frames,
    /// What a picture does that cannot be used.
    pub bad: Bad,
}

/// What a picture does that cannot be read or does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bad {
    /// It ends the work.
    Stops,
    /// It is named, counted and left out.
    Skipped,
}

/// What was made.
#[derive(Clone, Debug, Serialize)]
pub struct Built {
    /// The set.
    pub dest: PathBuf,
    /// Images in it.
    pub images: usize,
    /// What all images have in common.
    pub shape: Shape,
    /// Whether `dataset.json` holds labels.
    pub labeled: bool,
    /// Pictures left out because they are smaller than a wide crop wants.
    pub too_small: usize,
    /// Pictures left out because they are bad.
    pub skipped: usize,
}

/// Makes the set. When `stop` becomes true, nothing is left behind.
///
/// # Errors
/// When source or destination cannot be used, when no picture is left, when the work was stopped, and, unless such pictures are skipped, when one
/// cannot be read or differs from the first; the message names it.
pub fn run(plan: &BuildPlan, stop: &AtomicBool, sink: &mut dyn Sink) -> Result<Built> {
    let mut inputs = Inputs::open(plan)?;
    let dest = plan.dest.display();
    let is_zip = bundle_writer::is_zip_name(&plan.dest);
    ensure!(is_zip || bundle_writer::is_free(&plan.dest), "--dest folder must be empty: `{dest}` is not");
    sink.event(&Event::Started { what: format!("building `{dest}` from `{}`", plan.source.display()) });
    let mut set = Set::create(plan)?;
    let group = rayon::current_num_threads() * 2;
    let total = inputs.total();
    loop {
        let inputs: Vec<Input> = inputs.by_ref().take(group).collect::<Result<_>>()?;
        if inputs.is_empty() {
            break;
        }
        ensure!(!stop.load(Ordering::Relaxed), "stopped: `{dest}` was not made");
        let made: Vec<_> = inputs.into_par_iter().map(|input| make(input, plan)).collect();
        for made in made {
            set.take(made, sink)?;
            if let Some(total) = total {
                sink.event(&Event::Progress { done: set.seen.min(total), total, unit: "images" });
            }
        }
    }
    set.finish(sink)
}

/// A picture of the source, not yet decoded if it is a file.
struct Input {
    index: usize,
    path: PathBuf,
    label: Option<Label>,
    content: Content,
}

enum Content {
    File(Arc<Bundle>, usize),
    Frame(RgbImage),
}

/// The pictures of the source, one at a time.
enum Inputs {
    Files { bundle: Arc<Bundle>, order: Vec<usize>, labels: BTreeMap<String, Label>, next: usize },
    Video { path: PathBuf, video: std::iter::Take<Video>, estimate: Option<u64>, next: usize },
}

impl Inputs {
    fn open(plan: &BuildPlan) -> Result<Inputs> {
        let path = plan.source.clone();
        ensure!(path.exists(), "Missing input file or directory: {}", path.display());
        let most = plan.max_images.unwrap_or(usize::MAX);
        if video::is_video_name(&path) && path.is_file() {
            let estimate = Video::estimate(&path, plan.frames).map(|count| count.min(most as u64));
            let video = Video::open(&path, plan.frames)?.take(most);
            return Ok(Inputs::Video { path, video, estimate, next: 0 });
        }
        let known = path.is_dir() || bundle_writer::is_zip_name(&path);
        ensure!(known, "cannot build from `{}`: expected a folder, a .zip or a video such as .mp4", path.display());
        let bundle = Bundle::open(&path)?;
        let mut order = format::images_of(&bundle);
        if path.is_dir() {
            // The published tool sorts paths of a folder part by part, names of a zip as strings.
            order.sort_by(|a, b| Path::new(bundle.name(*a)).cmp(Path::new(bundle.name(*b))));
        }
        order.truncate(most);
        let labels = format::labels_of(&bundle)?.unwrap_or_default().into_iter().collect();
        Ok(Inputs::Files { bundle: Arc::new(bundle), order, labels, next: 0 })
    }

    fn total(&self) -> Option<u64> {
        match self {
            Inputs::Files { order, .. } => Some(order.len() as u64),
            Inputs::Video { estimate, .. } => *estimate,
        }
    }
}

impl Iterator for Inputs {
    type Item = Result<Input>;

    fn next(&mut self) -> Option<Result<Input>> {
        match self {
            Inputs::Files { bundle, order, labels, next } => {
                let member = *order.get(*next)?;
                let label = labels.get(bundle.name(member)).cloned();
                let content = Content::File(Arc::clone(bundle), member);
                *next += 1;
                Some(Ok(Input { index: *next - 1, path: bundle.path_of(member), label, content }))
            }
            Inputs::Video { path, video, next, .. } => {
                let frame = video.next()?;
                *next += 1;
                let path = path.join(format!("frame {next}"));
                Some(frame.map(|frame| Input { index: *next - 1, path, label: None, content: Content::Frame(frame) }))
            }
        }
    }
}

/// A picture after its transformation.
struct Made {
    index: usize,
    path: PathBuf,
    label: Option<Label>,
    /// Shape and PNG file; `None` when the picture is too small for the crop.
    image: Result<Option<(Shape, Vec<u8>)>>,
}

fn make(input: Input, plan: &BuildPlan) -> Made {
    let Input { index, path, label, content } = input;
    let image = || -> Result<Option<(Shape, Vec<u8>)>> {
        let picture = match content {
            Content::File(bundle, member) => Picture::from_any(&bundle.read(member)?, &path)?,
            Content::Frame(frame) => Picture::Rgb(frame),
        };
        let Some(picture) = plan.transform.apply(picture.with_channels(plan.channels)) else { return Ok(None) };
        Ok(Some((picture.shape(), picture.to_png()?)))
    };
    let image = image();
    Made { index, path, label, image }
}

/// The set in the making.
struct Set<'a> {
    plan: &'a BuildPlan,
    writer: BundleWriter,
    shape: Option<Shape>,
    labels: Vec<(String, Option<Label>)>,
    seen: u64,
    too_small: usize,
    skipped: usize,
}

impl<'a> Set<'a> {
    fn create(plan: &'a BuildPlan) -> Result<Set<'a>> {
        let writer = BundleWriter::create(&plan.dest)?;
        Ok(Set { plan, writer, shape: None, labels: Vec::new(), seen: 0, too_small: 0, skipped: 0 })
    }

    fn take(&mut self, made: Made, sink: &mut dyn Sink) -> Result<()> {
        self.seen += 1;
        let usable = made
            .image
            .and_then(|image| image.map(|(shape, png)| self.check_shape(shape, &made.path).map(|()| png)).transpose());
        match (usable, self.plan.bad) {
            (Ok(Some(png)), _) => {
                let name = format::image_name(made.index);
                self.writer.add(&name, &png)?;
                self.labels.push((name, made.label));
            }
            (Ok(None), _) => self.too_small += 1,
            (Err(error), Bad::Skipped) => {
                self.skipped += 1;
                sink.event(&Event::Skipped { path: made.path, why: reason(&error) });
            }
            (Err(error), Bad::Stops) => {
                return Err(error.context(format!(
                    "cannot use `{}` (--skip-bad leaves out such pictures and counts them)",
                    made.path.display()
                )));
            }
        }
        Ok(())
    }

    /// The first picture decides; all others must be as it is.
    fn check_shape(&mut self, shape: Shape, path: &Path) -> Result<()> {
        let Some(expected) = self.shape else {
            shape.check_trainable()?;
            self.shape = Some(shape);
            return Ok(());
        };
        ensure!(
            shape == expected,
            "Image {} attributes must be equal across all images of the dataset.  Got: {shape}, the first image is \
             {expected}",
            path.display()
        );
        Ok(())
    }

    fn finish(mut self, sink: &mut dyn Sink) -> Result<Built> {
        let (images, too_small, skipped) = (self.labels.len(), self.too_small, self.skipped);
        let Some(shape) = self.shape else {
            let source = self.plan.source.display();
            bail!("no image of `{source}` could be used: {too_small} were too small, {skipped} were bad");
        };
        let unlabeled = self.labels.iter().filter(|(_, label)| label.is_none()).count();
        if unlabeled > 0 && unlabeled < images {
            let text = format!("{unlabeled} of {images} images have no label, so none is written");
            sink.event(&Event::Warning(text));
        }
        let labels: Option<Vec<_>> = self.labels.into_iter().map(|(name, label)| Some((name, label?))).collect();
        self.writer.add(LABELS_FILE, &format::labels_json(labels.as_deref()))?;
        self.writer.commit().context("cannot finish the set")?;
        sink.event(&Event::Saved { path: self.plan.dest.clone() });
        Ok(Built { dest: self.plan.dest.clone(), images, shape, labeled: labels.is_some(), too_small, skipped })
    }
}

/// The innermost causes of an error: the path stands in front of them already.
fn reason(error: &anyhow::Error) -> String {
    error.root_cause().to_string()
}
