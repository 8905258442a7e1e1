//! Whether images are copies: each with the pictures of a training set that are most like it, on one sheet.
//!
//! A number alone says little, so images that were never trained on can be looked up as well: a generator that copies lies much
//! nearer to its training set than they do.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use candle_core::{DType, Device};
use image::{DynamicImage, RgbImage, imageops};
use rayon::prelude::*;
use serde::Serialize;

use crate::events::{Event, Sink};
use crate::eyes::{self, Eyes, EyesPlan};
use crate::pixels;
use crate::sheet::Sheet;
use crate::store::bundle::Bundle;
use crate::store::photo::Photo;
use crate::store::{folder, picture};

/// What to look up, where; nothing is left to ask.
#[derive(Clone, Debug)]
pub struct NeighboursPlan {
    /// Folder or zip of the images, say of a generator's.
    pub images: PathBuf,
    /// Folder or zip of the training set.
    pub data: PathBuf,
    /// Folder or zip of images that were not trained on.
    pub held_out: Option<PathBuf>,
    /// Whether the training showed every picture in a mirror as well.
    pub mirrored: Mirrored,
    /// What makes images alike.
    pub eyes: EyesPlan,
    /// Neighbours of each image on the sheet.
    pub count: usize,
    /// Images on the sheet; all are looked up.
    pub shown: usize,
    /// The sheet.
    pub out: PathBuf,
}

/// Whether mirror images count as pictures of the training set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mirrored {
    /// Only as they are.
    No,
    /// As they are and in a mirror.
    Yes,
}

/// What was found.
#[derive(Clone, Debug, Serialize)]
pub struct Neighbours {
    /// The sheet.
    pub sheet: PathBuf,
    /// What made images alike.
    pub perception: String,
    /// Pictures of the training set, mirror images not counted.
    pub pictures: usize,
    /// Half of the images are nearer to the training set than this.
    pub median: f64,
    /// The same for images that were held out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held_out_median: Option<f64>,
    /// The images with their nearest pictures.
    pub images: Vec<Nearest>,
}

/// The pictures that are nearest to an image, the nearest first.
#[derive(Clone, Debug, Serialize)]
pub struct Nearest {
    /// The image.
    pub name: String,
    /// Names of the pictures.
    pub pictures: Vec<String>,
    /// Their distances: the roots of the perception's squared distances.
    pub distances: Vec<f64>,
}

/// Looks every image up and draws the sheet.
///
/// # Errors
/// When a picture or the perception's weights cannot be read, a set is empty, or the sheet cannot be written.
pub fn run(plan: &NeighboursPlan, sink: &mut dyn Sink) -> Result<Neighbours> {
    let eyes = eyes::alone(&plan.eyes)?;
    let images = Album::read(&plan.images)?;
    let data = Album::read(&plan.data)?;
    let side_px = images.pictures[0].width();
    let known = known_features(&eyes, &data, (side_px, plan.mirrored), sink)?;
    let found = look_up(&features(&eyes, &images.pictures, side_px)?, &known, plan.count);
    let held_out_median = match &plan.held_out {
        None => None,
        Some(path) => {
            let held_out = Album::read(path)?;
            let found = look_up(&features(&eyes, &held_out.pictures, side_px)?, &known, 1);
            Some(median(&found))
        }
    };
    picture::write(&plan.out, &sheet(plan, (&images, &data), &found)?)?;
    sink.event(&Event::Saved { path: plan.out.clone() });
    let name = |index: usize| data.names[index % data.names.len()].clone();
    let nearest = |(image, found): (&String, &Vec<Found>)| Nearest {
        name: image.clone(),
        pictures: found.iter().map(|found| name(found.index)).collect(),
        distances: found.iter().map(|found| found.distance).collect(),
    };
    Ok(Neighbours {
        sheet: plan.out.clone(),
        perception: eyes.name,
        pictures: data.names.len(),
        median: median(&found),
        held_out_median,
        images: images.names.iter().zip(&found).map(nearest).collect(),
    })
}

/// Pictures with their names.
struct Album {
    names: Vec<String>,
    pictures: Vec<RgbImage>,
}

impl Album {
    fn read(path: &Path) -> Result<Album> {
        let bundle = Bundle::open(path)?;
        let mut album = Album { names: vec![], pictures: vec![] };
        for index in (0..bundle.len()).filter(|&index| folder::is_image_name(Path::new(bundle.name(index)))) {
            album.pictures.push(Photo::from_bytes(&bundle.read(index)?, bundle.path_of(index))?.pixels);
            album.names.push(bundle.name(index).to_owned());
        }
        ensure!(!album.names.is_empty(), "`{}` holds no pictures", path.display());
        Ok(album)
    }
}

/// Images in one pass.
const BATCH: usize = 16;

/// Features of an image, in one row.
type Features = Vec<f32>;

/// Features of pictures, scaled to squares of `side_px`.
fn features(eyes: &Eyes, pictures: &[RgbImage], side_px: u32) -> Result<Vec<Features>> {
    let rows = |batch: &[RgbImage]| -> Result<Vec<Features>> {
        let squares: Vec<RgbImage> = batch.iter().map(|picture| pixels::square(picture, side_px)).collect();
        let images = pixels::from_rgb(&squares, &Device::Cpu)?.affine(127.5, 127.5)?;
        Ok(eyes.perception.features(&images)?.to_dtype(DType::F32)?.to_vec2()?)
    };
    Ok(pictures.chunks(BATCH).map(rows).collect::<Result<Vec<_>>>()?.concat())
}

/// Features of the training set; those of mirror images come after all others.
fn known_features(
    eyes: &Eyes,
    data: &Album,
    (side_px, mirrored): (u32, Mirrored),
    sink: &mut dyn Sink,
) -> Result<Vec<Features>> {
    sink.event(&Event::Started { what: format!("looking at {} pictures", data.names.len()) });
    let mut known = features(eyes, &data.pictures, side_px)?;
    if mirrored == Mirrored::Yes {
        let mirror: Vec<RgbImage> = data.pictures.iter().map(imageops::flip_horizontal).collect();
        known.extend(features(eyes, &mirror, side_px)?);
    }
    Ok(known)
}

/// A picture of the training set; mirror images count on from the number of pictures.
#[derive(Clone, Copy, Debug)]
struct Found {
    index: usize,
    distance: f64,
}

/// The `count` nearest of `known` for each of `asked`, the nearest first.
fn look_up(asked: &[Features], known: &[Features], count: usize) -> Vec<Vec<Found>> {
    let nearest = |asked: &Features| {
        let distances = known.iter().map(|known| distance(asked, known)).enumerate();
        let mut found: Vec<Found> = distances.map(|(index, distance)| Found { index, distance }).collect();
        found.sort_by(|a, b| a.distance.total_cmp(&b.distance));
        found.truncate(count);
        found
    };
    asked.par_iter().map(nearest).collect()
}

/// Of two rows of features; parts are summed in single precision, their sums in double.
fn distance(a: &[f32], b: &[f32]) -> f64 {
    const PART: usize = 1 << 10;
    const LANES: usize = 16;
    let part = |(a, b): (&[f32], &[f32])| {
        let mut sums = [0.0f32; LANES];
        for (a, b) in a.chunks(LANES).zip(b.chunks(LANES)) {
            for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
                *sum += (a - b) * (a - b);
            }
        }
        f64::from(sums.iter().sum::<f32>())
    };
    a.chunks(PART).zip(b.chunks(PART)).map(part).sum::<f64>().sqrt()
}

/// Of the distances to the nearest.
fn median(found: &[Vec<Found>]) -> f64 {
    let mut nearest: Vec<f64> = found.iter().filter_map(|found| Some(found.first()?.distance)).collect();
    nearest.sort_by(f64::total_cmp);
    nearest.get(nearest.len() / 2).copied().unwrap_or(f64::NAN)
}

fn sheet(plan: &NeighboursPlan, (images, data): (&Album, &Album), found: &[Vec<Found>]) -> Result<DynamicImage> {
    let n_rows = images.pictures.len().min(plan.shown);
    let (mut cells, mut notes) = (Vec::new(), Vec::new());
    for (image, found) in images.pictures.iter().zip(found).take(n_rows) {
        cells.push(DynamicImage::from(image.clone()));
        notes.push(String::new());
        for Found { index, distance } in found {
            let picture = &data.pictures[index % data.pictures.len()];
            let is_mirror = *index >= data.pictures.len();
            cells.push(if is_mirror { imageops::flip_horizontal(picture) } else { picture.clone() }.into());
            notes.push(format!("{distance:.2}"));
        }
    }
    let columns =
        ["image".to_owned()].into_iter().chain((1..=found[0].len()).map(|i| format!("nearest {i}"))).collect();
    let title = "Images, and the pictures of the training set that are most like them".to_owned();
    let sheet = Sheet { title, columns, rows: vec![String::new(); n_rows], cells, cell_px: 96 };
    Ok(sheet.render_with_notes(&notes)?.into())
}

#[cfg(test)]
mod tests {
    use image::Rgb;

    use super::*;
    use crate::events::Silent;
    use crate::eyes::Sight;

    fn spot(x: u32, colour: u8) -> RgbImage {
        RgbImage::from_fn(16, 16, |px, _| if px / 4 == x { Rgb([colour, 90, 200]) } else { Rgb([20, 20, 20]) })
    }

    fn save(folder: &Path, pictures: &[(&str, RgbImage)]) -> PathBuf {
        std::fs::create_dir_all(folder).expect("a folder");
        for (name, picture) in pictures {
            picture.save(folder.join(name)).expect("a picture");
        }
        folder.to_owned()
    }

    #[test]
    fn a_copy_is_found_at_distance_0_in_a_mirror_too_and_others_are_further_away() {
        let root = tempfile::tempdir().expect("a temporary folder");
        let data = [("a.png", spot(0, 250)), ("b.png", spot(1, 120)), ("c.png", spot(1, 60))];
        let images = [("copy.png", spot(1, 120)), ("mirror.png", spot(3, 250))];
        let plan = NeighboursPlan {
            images: save(&root.path().join("images"), &images),
            data: save(&root.path().join("data"), &data),
            held_out: Some(save(&root.path().join("held"), &[("new.png", spot(2, 250))])),
            mirrored: Mirrored::Yes,
            eyes: EyesPlan { sight: Sight::Pixel, weights: None, lpips: None },
            count: 2,
            shown: 2,
            out: root.path().join("sheet.png"),
        };
        let found = run(&plan, &mut Silent).expect("neighbours");
        let nearest: Vec<(&str, f64)> =
            found.images.iter().map(|image| (image.pictures[0].as_str(), image.distances[0])).collect();
        assert_eq!(nearest, [("b.png", 0.0), ("a.png", 0.0)]);
        assert_eq!(found.images[0].pictures[1], "c.png");
        assert!(found.median == 0.0 && found.held_out_median.is_some_and(|median| median > 0.0));
        assert!(plan.out.is_file());
        let plain = run(&NeighboursPlan { mirrored: Mirrored::No, ..plan }, &mut Silent).expect("neighbours");
        assert!(plain.images[1].distances[0] > 0.0);
    }
}
