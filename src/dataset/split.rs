//! A training set in two: one to train on, one held out to measure with. The same seed gives the same parts.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Result, ensure};
use serde::Serialize;
use toonify_networks::random::RandomState;

use crate::dataset::format::{self, LABELS_FILE, Label};
use crate::dataset::reader::{Reader, Selection};
use crate::events::{Event, Sink};
use crate::store::bundle_writer::BundleWriter;

/// What to divide, and how.
#[derive(Clone, Debug)]
pub struct SplitPlan {
    /// Folder or zip with the set.
    pub set: PathBuf,
    /// Zip or folder for the larger part.
    pub train: PathBuf,
    /// Zip or folder for the part held out.
    pub held_out: PathBuf,
    /// The share that is held out, between 0 and 1.
    pub share: f64,
    /// What the choice begins with.
    pub seed: u32,
}

/// What became of the set.
#[derive(Clone, Debug, Serialize)]
pub struct Split {
    /// The part to train on.
    pub train: PathBuf,
    /// Images in it.
    pub train_images: usize,
    /// The part held out.
    pub held_out: PathBuf,
    /// Images in it.
    pub held_out_images: usize,
}

/// Writes both parts. Files are copied as they are, under their names; labels go with their images. When `stop` becomes
/// true, nothing is left behind.
///
/// # Errors
/// When the set cannot be read, when a part would be empty, when a part cannot be written, or when the work was stopped.
pub fn run(plan: &SplitPlan, stop: &AtomicBool, sink: &mut dyn Sink) -> Result<Split> {
    ensure!(plan.train != plan.held_out, "both parts would be written to `{}`", plan.train.display());
    let reader = Reader::open(&plan.set, Selection::ALL)?;
    let (train, held_out) = divide(reader.len(), plan)?;
    let mut copied = Copied { done: 0, total: reader.len() as u64, stop };
    // Neither part gets its name before both are whole.
    let train_writer = copied.write(&reader, &plan.train, &train, sink)?;
    let held_out_writer = copied.write(&reader, &plan.held_out, &held_out, sink)?;
    for (writer, path, images) in [(train_writer, &plan.train, &train), (held_out_writer, &plan.held_out, &held_out)] {
        writer.commit()?;
        warn_of_lost_classes(&reader, path, images, sink);
        sink.event(&Event::Saved { path: path.clone() });
    }
    Ok(Split {
        train: plan.train.clone(),
        train_images: train.len(),
        held_out: plan.held_out.clone(),
        held_out_images: held_out.len(),
    })
}

/// Images to train on and images held out, each in the order of names.
fn divide(count: usize, plan: &SplitPlan) -> Result<(Vec<usize>, Vec<usize>)> {
    ensure!(plan.share > 0.0 && plan.share < 1.0, "the share held out must lie between 0 and 1, found {}", plan.share);
    let held_out = (count as f64 * plan.share).round() as usize;
    ensure!(
        held_out > 0 && held_out < count,
        "a share of {} of {count} images leaves one part empty: choose another",
        plan.share
    );
    let mut order: Vec<usize> = (0..count).collect();
    RandomState::new(plan.seed).shuffle(&mut order);
    let mut train = order.split_off(held_out);
    order.sort_unstable();
    train.sort_unstable();
    Ok((train, order))
}

/// How far the work is.
struct Copied<'a> {
    done: u64,
    total: u64,
    stop: &'a AtomicBool,
}

impl Copied<'_> {
    fn write(&mut self, reader: &Reader, path: &Path, images: &[usize], sink: &mut dyn Sink) -> Result<BundleWriter> {
        let mut writer = BundleWriter::create(path)?;
        let mut labels = Vec::new();
        for &index in images {
            ensure!(!self.stop.load(Ordering::Relaxed), "stopped: `{}` was not made", path.display());
            let name = reader.image_name(index);
            writer.add(name, &reader.file(index)?)?;
            labels.extend(reader.stored_label(index).map(|label| (name.to_owned(), label.clone())));
            self.done += 1;
            sink.event(&Event::Progress { done: self.done, total: self.total, unit: "images" });
        }
        writer.add(LABELS_FILE, &format::labels_json((!labels.is_empty()).then_some(labels.as_slice())))?;
        Ok(writer)
    }
}

/// Classes are counted up to the largest one that occurs: a part without it would make another network.
fn warn_of_lost_classes(reader: &Reader, path: &Path, images: &[usize], sink: &mut dyn Sink) {
    let Some(Label::Class(_)) = reader.stored_label(0) else { return };
    let last = Label::Class(reader.label_dim() as u32 - 1);
    if !images.iter().any(|index| reader.stored_label(*index) == Some(&last)) {
        let text = format!("no image of {} went into `{}`: its labels look shorter", last.caption(), path.display());
        sink.event(&Event::Warning(text));
    }
}
