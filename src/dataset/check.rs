//! Everything that is wrong with a training set, each fault with its file.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use anyhow::Result;
use rayon::prelude::*;
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::dataset::format::{self, LABELS_FILE, Label};
use crate::dataset::picture::{Picture, Shape};
use crate::events::{Event, Sink};
use crate::store::bundle::Bundle;

/// What was found in a set.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The set.
    pub path: PathBuf,
    /// Files that are images by name.
    pub images: usize,
    /// What most images have in common; `None` when none can be read.
    pub shape: Option<Shape>,
    /// Images that have a label; `None` where the set has no labels.
    pub labeled: Option<usize>,
    /// What must be put right before training, in the order of files.
    pub problems: Vec<Finding>,
    /// What may be meant.
    pub warnings: Vec<Finding>,
}

/// One fault of one file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The file inside the set.
    pub file: String,
    /// What is wrong.
    pub fault: Fault,
    /// The same in words.
    pub text: String,
}

/// What can be wrong with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// The set holds no image.
    NoImages,
    /// The file cannot be read or decoded.
    Unreadable,
    /// It is stored in a way that training programs do not read as gray or RGB.
    Encoding,
    /// It is not square.
    NotSquare,
    /// Its side is no power of two.
    NotPowerOfTwo,
    /// It has another size than most.
    Size,
    /// It has other channels than most.
    Channels,
    /// It has no label though others have.
    MissingLabel,
    /// There is a label for it, but no such file.
    ExtraLabel,
    /// Its label is of another kind than the first.
    LabelKind,
    /// Its name is used more than once.
    DuplicateName,
    /// The same pixels stand in another file.
    DuplicatePicture,
}

/// Reads the whole set at `path` and lists what is wrong with it.
///
/// # Errors
/// When there is no folder or zip at `path`. Faults inside are findings, not errors.
pub fn run(path: &Path, sink: &mut dyn Sink) -> Result<Report> {
    let bundle = Bundle::open(path)?;
    let images = format::images_of(&bundle);
    sink.event(&Event::Started { what: format!("checking `{}`", path.display()) });
    let looks = look_at_all(&bundle, &images, sink);
    let shape = commonest(looks.iter().filter_map(|look| look.as_ref().ok().map(|seen| seen.shape)));
    let mut report = Report {
        path: path.to_owned(),
        images: images.len(),
        shape,
        labeled: None,
        problems: vec![],
        warnings: vec![],
    };
    if images.is_empty() {
        report.problem("", Fault::NoImages, "no image files found");
    }
    for name in bundle.duplicates() {
        report.problem(name, Fault::DuplicateName, "several entries have this name");
    }
    for (&image, look) in images.iter().zip(&looks) {
        match look {
            Err((fault, text)) => report.problem(bundle.name(image), *fault, text),
            Ok(seen) => report.check_shape(bundle.name(image), seen.shape),
        }
    }
    report.check_labels(&bundle, &images);
    report.compare_pictures(&bundle, &images, &looks);
    // Stable: faults of one file stay in the order in which they were found.
    report.problems.sort_by(|a, b| a.file.cmp(&b.file));
    Ok(report)
}

/// What is kept of an image that could be read.
struct Seen {
    shape: Shape,
    /// Half of SHA-256 over the pixels: enough to tell billions apart.
    hash: [u8; 16],
}

type Look = Result<Seen, (Fault, String)>;

/// Decodes every image, some at a time, so that memory does not grow with the set.
fn look_at_all(bundle: &Bundle, images: &[usize], sink: &mut dyn Sink) -> Vec<Look> {
    let mut looks = Vec::with_capacity(images.len());
    for group in images.chunks(rayon::current_num_threads() * 4) {
        looks.par_extend(group.par_iter().map(|image| look_at(bundle, *image)));
        sink.event(&Event::Progress { done: looks.len() as u64, total: images.len() as u64, unit: "images" });
    }
    looks
}

fn look_at(bundle: &Bundle, image: usize) -> Look {
    let unreadable = |error: anyhow::Error| (Fault::Unreadable, error.root_cause().to_string());
    let bytes = bundle.read(image).map_err(unreadable)?;
    let path = bundle.path_of(image);
    if is_palette_png(&bytes) {
        return Err((Fault::Encoding, "it is stored with a palette, expected 8-bit gray or RGB".to_owned()));
    }
    let picture = match Picture::from_stored(&bytes, &path) {
        Ok(picture) => picture,
        // Another picture than a set may hold, or no picture at all?
        Err(error) => match Picture::from_any(&bytes, &path) {
            Ok(_) => return Err((Fault::Encoding, "it has transparency or more than 8 bits a channel".to_owned())),
            Err(_) => return Err(unreadable(error)),
        },
    };
    let shape = picture.shape();
    let digest = Sha256::digest(picture.into_bytes());
    let hash = digest[..16].try_into().expect("SHA-256 has 32 bytes");
    Ok(Seen { shape, hash })
}

/// The published loader takes palette indices for levels of gray. The colour type is byte 25 of a PNG file.
fn is_palette_png(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\x89PNG\r\n\x1a\n") && bytes.get(25) == Some(&3)
}

/// What occurs most often, if possible of what can be trained; of several, the smallest.
fn commonest(shapes: impl Iterator<Item = Shape>) -> Option<Shape> {
    let mut counts: BTreeMap<Shape, usize> = BTreeMap::new();
    shapes.for_each(|shape| *counts.entry(shape).or_insert(0) += 1);
    let best = counts.into_iter().rev().max_by_key(|(shape, count)| (shape.check_trainable().is_ok(), *count));
    best.map(|(shape, _)| shape)
}

impl Report {
    fn problem(&mut self, file: &str, fault: Fault, text: impl Into<String>) {
        self.problems.push(Finding { file: file.to_owned(), fault, text: text.into() });
    }

    fn check_shape(&mut self, file: &str, found: Shape) {
        let Some(common) = self.shape else { return };
        let Shape { width, height, .. } = found;
        if width != height {
            self.problem(file, Fault::NotSquare, format!("it is {width}x{height}, not square"));
        } else if !width.is_power_of_two() {
            self.problem(file, Fault::NotPowerOfTwo, format!("its side, {width} px, is no power of two"));
        } else if (width, height) != (common.width, common.height) {
            let text = format!("it is {width}x{height}, most are {}x{}", common.width, common.height);
            self.problem(file, Fault::Size, text);
        }
        if found.channels != common.channels {
            let text = format!("its channels number {}, those of most {}", found.channels, common.channels);
            self.problem(file, Fault::Channels, text);
        }
    }

    fn check_labels(&mut self, bundle: &Bundle, images: &[usize]) {
        let listed = match format::labels_of(bundle) {
            Ok(listed) => listed.unwrap_or_default(),
            Err(error) => return self.problem(LABELS_FILE, Fault::Unreadable, error.root_cause().to_string()),
        };
        let Some((_, first)) = listed.first().cloned() else { return };
        let mut by_name: BTreeMap<String, Label> = BTreeMap::new();
        for (name, label) in listed {
            if let Some(text) = label.disagreement(&first) {
                self.problem(&name, Fault::LabelKind, format!("its label is of another kind: {text}"));
            }
            if by_name.contains_key(&name) {
                self.problem(&name, Fault::DuplicateName, "it has several labels");
            }
            by_name.insert(name, label);
        }
        let mut labeled = 0;
        for &image in images {
            match by_name.remove(bundle.name(image)) {
                Some(_) => labeled += 1,
                None => self.problem(bundle.name(image), Fault::MissingLabel, "it has no label, others have"),
            }
        }
        self.labeled = Some(labeled);
        for name in by_name.keys() {
            self.problem(name, Fault::ExtraLabel, "there is a label for it, but no such image");
        }
    }

    fn compare_pictures(&mut self, bundle: &Bundle, images: &[usize], looks: &[Look]) {
        let mut first_of: HashMap<(Shape, [u8; 16]), usize> = HashMap::new();
        for (&image, look) in images.iter().zip(looks) {
            let Ok(Seen { shape, hash }) = look else { continue };
            match first_of.get(&(*shape, *hash)) {
                None => drop(first_of.insert((*shape, *hash), image)),
                Some(&first) => self.warnings.push(Finding {
                    file: bundle.name(image).to_owned(),
                    fault: Fault::DuplicatePicture,
                    text: format!("it is the same picture as `{}`", bundle.name(first)),
                }),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commonest_shape_can_be_trained_if_any_can() {
        let shape = |(width, height)| Shape { width, height, channels: 3 };
        let check = |sizes: &[(u32, u32)], expected: Option<(u32, u32)>| {
            assert_eq!(commonest(sizes.iter().copied().map(shape)), expected.map(shape), "{sizes:?}");
        };
        check(&[(16, 16), (32, 32), (32, 32)], Some((32, 32)));
        check(&[(16, 16), (32, 32)], Some((16, 16)));
        check(&[(30, 40), (30, 40), (32, 32)], Some((32, 32)));
        check(&[(30, 40), (24, 24), (24, 24)], Some((24, 24)));
        check(&[], None);
    }

    #[test]
    fn palettes_are_seen_in_the_header() {
        let mut png = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\0\x01\0\0\0\x01\x08\x03\0\0\0".to_vec();
        assert!(is_palette_png(&png));
        png[25] = 2;
        assert!(!is_palette_png(&png) && !is_palette_png(&png[..20]) && !is_palette_png(b""));
    }
}
