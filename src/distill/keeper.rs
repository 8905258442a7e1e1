//! What is written down while a student learns: the student, the state to go on from, numbers, and previews.

use std::collections::HashMap;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, ensure};
use image::{DynamicImage, RgbImage};
use serde::{Deserialize, Serialize};
use toonify_networks::checkpoint::Precision;
use toonify_networks::pix2pix::{StudentConfig, StudentFile, StudentHistory, Swift};

use super::batches::{batch, squared};
use super::recipe::Pix2pix;
use super::{DistillPlan, DistillSettings};
use crate::events::{Event, Sink};
use crate::pairs::reader::{self, Extra, Pair, PairSet};
use crate::pixels::{self, Rounding};
use crate::sheet::Sheet;
use crate::store::photo::{self, Photo};
use crate::store::{picture, student, tensors};
use crate::train::fit::{Flow, Log, Progress, Watch};

/// Most pairs that are held out, and the part of the set that they are at most.
const HELD_OUT: usize = 8;
const HELD_OUT_PART: usize = 10;
/// Names of the files.
const STUDENT: &str = "student.safetensors";
const STATE: &str = "state.safetensors";
const STATS: &str = "stats.jsonl";

/// What the state file says beside its tensors.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Record {
    config: StudentConfig,
    settings: DistillSettings,
    at: Progress,
}

/// Watches a training.
pub(super) struct Keeper<'a> {
    plan: &'a DistillPlan,
    stop: &'a AtomicBool,
    sink: &'a mut dyn Sink,
    /// Pairs that the student does not see, and their number in the set.
    unseen: Vec<Pair>,
    /// Real photos that it does not see either.
    photos: Vec<Pair>,
    saved: Option<Progress>,
}

impl<'a> Keeper<'a> {
    pub fn open(
        plan: &'a DistillPlan,
        set: &PairSet,
        (stop, sink): (&'a AtomicBool, &'a mut dyn Sink),
    ) -> Result<Keeper<'a>> {
        let count = HELD_OUT.min(set.len() / HELD_OUT_PART);
        let side = plan.settings.size_px;
        let unseen = (set.len() - count..set.len()).map(|index| Ok(squared(set.get(index)?, side, (0.5, 0.5))));
        let extra = if plan.student.img_channels > 3 { Extra::Depth } else { Extra::None };
        let photo = |path: &PathBuf| Ok(squared(unpaired(path, extra)?, side, (0.5, 0.5)));
        Ok(Keeper {
            unseen: unseen.collect::<Result<_>>()?,
            photos: plan.photos.iter().map(photo).collect::<Result<_>>()?,
            plan,
            stop,
            sink,
            saved: None,
        })
    }

    /// Number of pairs at the end of the set that are not for training.
    pub fn held_out(&self) -> usize {
        self.unseen.len()
    }

    pub fn tell(&mut self, event: &Event) {
        self.sink.event(event);
    }

    pub fn student_path(&self) -> PathBuf {
        self.plan.out.join(STUDENT)
    }

    /// Puts back what an earlier run saved; returns how far it had come.
    pub fn restore(&mut self, recipe: &mut Pix2pix) -> Result<Progress> {
        let path = self.plan.out.join(STATE);
        if !path.exists() {
            return Ok(Progress::default());
        }
        let (record, tensors) = tensors::read::<Record>(&path)?;
        let same = record.config == self.plan.student && record.settings == self.plan.settings;
        ensure!(same, "`{}` belongs to a training with other settings; choose another folder", path.display());
        let state: HashMap<String, _> = tensors.into_iter().collect();
        recipe.restore(&state, record.at.step).with_context(|| format!("cannot go on from `{}`", path.display()))?;
        self.tell(&Event::Note(format!("going on after {:.1} kimg", record.at.kimg())));
        self.saved = Some(record.at);
        Ok(record.at)
    }

    /// Saves what is not saved yet; returns the mean difference of the held-out pairs.
    pub fn finish(&mut self, recipe: &Pix2pix, at: Progress) -> Result<Option<f64>> {
        if self.saved != Some(at) {
            self.save(recipe, at)?;
        }
        Ok(self.translated(recipe)?.1)
    }

    fn save(&mut self, recipe: &Pix2pix, at: Progress) -> Result<()> {
        let history = StudentHistory {
            resolution_px: Some(self.plan.settings.size_px as usize),
            kimg: at.kimg(),
            notes: vec![serde_json::to_string(&self.plan.settings)?],
        };
        let (config, weights) = (recipe.config().clone(), recipe.average().clone());
        let file = StudentFile { config: config.clone(), weights, discriminator: None, history };
        student::write(&self.student_path(), &file, Precision::Single)?;
        let state = recipe.state()?;
        let entries: Vec<_> = state.iter().map(|(name, tensor)| tensors::Entry::tensor(name.clone(), tensor)).collect();
        tensors::write(
            &self.plan.out.join(STATE),
            &Record { config, settings: self.plan.settings.clone(), at },
            &entries,
        )?;
        self.saved = Some(at);
        let path = self.student_path();
        self.tell(&Event::Saved { path });
        Ok(())
    }

    /// The student's pictures of the held-out pairs and of the photos, and the mean difference of the former.
    fn translated(&self, recipe: &Pix2pix) -> Result<(Vec<RgbImage>, Option<f64>)> {
        let mut swift = Swift::new(recipe.config(), recipe.average())?;
        let (mut pictures, mut sum) = (Vec::new(), 0.0);
        for (index, pair) in self.unseen.iter().chain(&self.photos).enumerate() {
            let batch = batch(std::slice::from_ref(pair))?;
            let made = swift.forward(&batch.photo)?;
            if index < self.unseen.len() {
                sum += f64::from((&made - &batch.picture)?.abs()?.mean_all()?.to_scalar::<f32>()?);
            }
            pictures.extend(pixels::to_rgb(&made, Rounding::Grid)?);
        }
        let mean = (!self.unseen.is_empty()).then(|| sum / self.unseen.len() as f64);
        Ok((pictures, mean))
    }

    /// A sheet with a row each of photos, of what the teacher made of them, and of what the student does.
    fn preview(&mut self, recipe: &Pix2pix, at: Progress) -> Result<Option<f64>> {
        let (students, mean) = self.translated(recipe)?;
        if students.is_empty() {
            return Ok(mean);
        }
        let shown = || self.unseen.iter().chain(&self.photos);
        let columns = students.len();
        let cells = shown().map(|pair| &pair.a).chain(shown().map(|pair| &pair.b)).chain(&students);
        let cells: Vec<DynamicImage> = cells.map(|image| DynamicImage::from(image.clone())).collect();
        let sheet = Sheet {
            title: format!("{:.1} kimg", at.kimg()),
            columns: vec![String::new(); columns],
            rows: ["photo", "teacher", "student"].map(str::to_owned).to_vec(),
            cells,
            cell_px: self.plan.settings.size_px.clamp(64, Sheet::CELL_PX),
        };
        let path = self.plan.out.join(format!("preview-{:06}.png", at.images / 1000));
        picture::write(&path, &sheet.render()?.into())?;
        self.tell(&Event::Saved { path });
        Ok(mean)
    }

    /// Adds a line of numbers.
    fn write_stats(&mut self, log: &mut Log, at: Progress, held_out_l1: Option<f64>) -> Result<()> {
        let tally = std::mem::take(&mut log.tally);
        let mut line = serde_json::Map::new();
        line.insert("kimg".to_owned(), at.kimg().into());
        line.insert("held_out_l1".to_owned(), held_out_l1.into());
        line.extend(tally.iter().map(|(name, sums)| (name.to_owned(), sums.mean().into())));
        let path = self.plan.out.join(STATS);
        let mut file = OpenOptions::new().create(true).append(true).open(&path);
        let written = file.as_mut().map_err(|error| std::io::Error::new(error.kind(), error.to_string()));
        let bytes = format!("{}\n", serde_json::Value::Object(line));
        written
            .and_then(|file| file.write_all(bytes.as_bytes()))
            .with_context(|| format!("cannot write `{}`", path.display()))
    }
}

/// A photo of which no teacher has made anything.
fn unpaired(path: &Path, extra: Extra) -> Result<Pair> {
    let (a, depth) = match extra {
        Extra::None => (Photo::read(path)?.pixels, None),
        Extra::Depth => {
            let both = reader::with_depth(photo::read(path)?, None);
            let (a, depth) = both.with_context(|| format!("cannot use `{}`", path.display()))?;
            (a, Some(depth))
        }
    };
    let b = RgbImage::from_pixel(a.width(), a.height(), crate::sheet::PAPER);
    Ok(Pair { a, depth, b })
}

impl Watch<Pix2pix> for Keeper<'_> {
    fn after_step(&mut self, recipe: &mut Pix2pix, at: Progress, log: &mut Log) -> Result<Flow> {
        let total = (self.plan.kimg * 1000.0) as u64;
        self.tell(&Event::Progress { done: at.images.min(total), total, unit: "images" });
        let (every, size) = ((self.plan.every_kimg * 1000.0).max(1.0) as u64, self.plan.settings.batch_size.max(1));
        let stopped = self.stop.load(Ordering::Relaxed);
        if at.images / every > (at.images - size) / every || at.images >= total || stopped {
            let held_out = self.preview(recipe, at)?;
            self.write_stats(log, at, held_out)?;
            self.save(recipe, at)?;
            if let Some(mean) = held_out {
                self.tell(&Event::Status(format!("held out {mean:.3}")));
            }
        }
        Ok(if stopped { Flow::Stop } else { Flow::Continue })
    }
}
