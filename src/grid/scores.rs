//! How good each blend is: how much of a face's identity it keeps, and how far it is from a set of characters.
//!
//! A style changes all faces alike, and identity is how faces differ. So identity kept is the cosine between two
//! differences of features: the base's image of a face less its image of the average face, and the same under the blend. 1
//! is all, 0 none. The features are those of the perception that projecting uses.
//!
//! The distance from the characters is of style: mean and standard deviation of every channel of every feature map (the
//! statistics of Huang and Belongie 2017, "Arbitrary Style Transfer in Real-time with Adaptive Instance Normalization"),
//! each in units of its spread over the characters, as the root of the mean square. A typical character has about 1.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use candle_core::{D, DType, Device, Tensor};
use image::{DynamicImage, RgbImage};
use serde::Serialize;
use toonify_networks::checkpoint::Checkpoint;
use toonify_networks::perceptual::Backbone;

use crate::events::{Event, Sink};
use crate::eyes::{self, Eyes, EyesPlan};
use crate::grid::Grid;
use crate::pixels;
use crate::store::bundle::Bundle;
use crate::store::folder;
use crate::store::photo::Photo;

/// What to judge by.
#[derive(Clone, Debug)]
pub struct ScorePlan {
    /// The perception.
    pub eyes: EyesPlan,
    /// A folder or zip of characters.
    pub characters: Option<PathBuf>,
}

/// The numbers of one cell.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct CellScore {
    /// Part of the identity that is kept, at most 1; `None` where the base itself shows the average face.
    pub identity: Option<f64>,
    /// Distance from the characters; about 1 for one of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub distance: Option<f64>,
}

impl CellScore {
    /// The numbers in a few characters.
    pub fn short(&self) -> String {
        // Rounded before it is written, so that nothing is `-0.00`.
        let rounded = |value: f64| (value * 100.0).round() / 100.0 + 0.0;
        let number = |name: &str, value: Option<f64>| value.map(|value| format!("{name} {:.2}", rounded(value)));
        let parts = [number("id", self.identity), number("d", self.distance)];
        parts.into_iter().flatten().collect::<Vec<_>>().join("  ")
    }
}

/// Judges cells.
pub struct Scorer {
    eyes: Eyes,
    characters: Option<Characters>,
    channels: usize,
    side_px: u32,
}

/// At most so many characters are looked at, spread evenly over the set.
const MOST_CHARACTERS: usize = 500;
/// Images in one pass.
const BATCH: usize = 8;

impl Scorer {
    /// Opens the perception and learns the characters' style.
    ///
    /// # Errors
    /// When weights or characters cannot be read.
    pub fn open(plan: &ScorePlan, base: &Checkpoint, sink: &mut dyn Sink) -> Result<Scorer> {
        let eyes = eyes::open(&plan.eyes, base, sink)?;
        let (channels, side_px) = (base.config.img_channels, base.config.resolution.px() as u32);
        let mut scorer = Scorer { eyes, characters: None, channels, side_px };
        if let Some(path) = &plan.characters {
            let backbone = eyes::backbone(&plan.eyes, base)?.unwrap_or_else(|| Box::new(Colours { channels }));
            scorer.characters = Some(Characters::learn(path, backbone, &scorer, sink)?);
        }
        Ok(scorer)
    }

    /// Pictures as the networks see them: `[N, C, R, R]`, 0 to 255.
    fn tensor(&self, pictures: &[RgbImage]) -> Result<Tensor> {
        let squares: Vec<RgbImage> = pictures.iter().map(|picture| pixels::square(picture, self.side_px)).collect();
        let tensor = match self.channels {
            1 => pixels::from_gray(&squares.iter().map(pixels::to_gray).collect::<Vec<_>>(), &Device::Cpu)?,
            _ => pixels::from_rgb(&squares, &Device::Cpu)?,
        };
        Ok(tensor.affine(127.5, 127.5)?)
    }

    /// Features of pictures, a row each.
    fn features(&self, pictures: &[RgbImage]) -> Result<Tensor> {
        let batches = pictures.chunks(BATCH).map(|batch| {
            let features = self.eyes.perception.features(&self.tensor(batch)?)?;
            Ok(features.to_dtype(DType::F64)?)
        });
        Ok(Tensor::cat(&batches.collect::<Result<Vec<_>>>()?, 0)?)
    }

    /// Scores the cells of a grid whose first column is the base and whose last row is the average face; that row is left
    /// out.
    ///
    /// # Errors
    /// When the networks fail.
    pub fn score(&self, grid: &Grid, sink: &mut dyn Sink) -> Result<Vec<CellScore>> {
        let (n_columns, n_rows) = (grid.columns.len(), grid.rows.len() - 1);
        let mut columns: Vec<Vec<CellScore>> = Vec::new();
        let mut of_base: Option<Tensor> = None;
        for column in 0..n_columns {
            let pictures = grid.column(column).map(DynamicImage::to_rgb8).collect::<Vec<_>>();
            let features = self.features(&pictures)?;
            let average = features.narrow(0, n_rows, 1)?;
            let own = features.narrow(0, 0, n_rows)?.broadcast_sub(&average)?; // [rows, F]
            let identities = cosines(of_base.get_or_insert_with(|| own.clone()), &own)?;
            let distances = match &self.characters {
                Some(characters) => characters.distances(self, &pictures[..n_rows])?.into_iter().map(Some).collect(),
                None => vec![None; n_rows],
            };
            let cell = |(identity, distance)| CellScore { identity, distance };
            columns.push(identities.into_iter().zip(distances).map(cell).collect());
            sink.event(&Event::Progress { done: column as u64 + 1, total: n_columns as u64, unit: "columns scored" });
        }
        Ok((0..n_rows).flat_map(|row| columns.iter().map(move |column| column[row])).collect())
    }
}

/// Cosine of the angle between the rows of two matrices; `None` where one of them is zero.
fn cosines(a: &Tensor, b: &Tensor) -> Result<Vec<Option<f64>>> {
    let product = (a * b)?.sum(D::Minus1)?.to_vec1::<f64>()?;
    let lengths = |x: &Tensor| -> Result<Vec<f64>> { Ok(x.sqr()?.sum(D::Minus1)?.sqrt()?.to_vec1()?) };
    let (of_a, of_b) = (lengths(a)?, lengths(b)?);
    let lengths = of_a.into_iter().zip(of_b).map(|(a, b)| a * b);
    Ok(product.into_iter().zip(lengths).map(|(product, length)| (length > 0.0).then(|| product / length)).collect())
}

/// The style of a set of characters.
struct Characters {
    backbone: Box<dyn Backbone>,
    mean: Vec<f64>,
    spread: Vec<f64>,
}

impl Characters {
    fn learn(path: &Path, backbone: Box<dyn Backbone>, scorer: &Scorer, sink: &mut dyn Sink) -> Result<Characters> {
        let bundle = Bundle::open(path)?;
        let all: Vec<usize> =
            (0..bundle.len()).filter(|&index| folder::is_image_name(Path::new(bundle.name(index)))).collect();
        ensure!(all.len() > 1, "`{}` holds {} pictures: a set of characters needs two", path.display(), all.len());
        let count = all.len().min(MOST_CHARACTERS);
        let chosen: Vec<usize> = (0..count).map(|i| all[i * all.len() / count]).collect();
        let mut characters = Characters { backbone, mean: vec![], spread: vec![] };
        let mut styles = Vec::new();
        for batch in chosen.chunks(BATCH) {
            let read = |&index: &usize| Ok(Photo::from_bytes(&bundle.read(index)?, bundle.path_of(index))?.pixels);
            let pictures = batch.iter().map(read).collect::<Result<Vec<_>>>()?;
            styles.extend(characters.styles(&scorer.tensor(&pictures)?)?);
            sink.event(&Event::Progress { done: styles.len() as u64, total: count as u64, unit: "characters" });
        }
        (characters.mean, characters.spread) = mean_and_spread(&styles);
        Ok(characters)
    }

    fn distances(&self, scorer: &Scorer, pictures: &[RgbImage]) -> Result<Vec<f64>> {
        let mut distances = Vec::new();
        for batch in pictures.chunks(BATCH) {
            let styles = self.styles(&scorer.tensor(batch)?)?;
            distances.extend(styles.iter().map(|style| self.distance(style)));
        }
        Ok(distances)
    }

    /// Root mean square of a style's deviations, in units of the characters' spread; what never varies says nothing.
    fn distance(&self, style: &[f64]) -> f64 {
        let parts = style.iter().zip(&self.mean).zip(&self.spread).filter(|(_, spread)| **spread > 0.0);
        let squares: Vec<f64> = parts.map(|((value, mean), spread)| ((value - mean) / spread).powi(2)).collect();
        (squares.iter().sum::<f64>() / squares.len().max(1) as f64).sqrt()
    }

    /// Mean and standard deviation of every channel of every feature map, for each image.
    fn styles(&self, images: &Tensor) -> Result<Vec<Vec<f64>>> {
        let mut parts = Vec::new();
        for map in self.backbone.feature_maps(images)? {
            let flat = map.to_dtype(DType::F64)?.flatten_from(2)?; // [N, C, h · w]
            let mean = flat.mean_keepdim(D::Minus1)?;
            let spread = flat.broadcast_sub(&mean)?.sqr()?.mean(D::Minus1)?.sqrt()?; // [N, C]
            parts.extend([mean.squeeze(D::Minus1)?, spread]);
        }
        Ok(Tensor::cat(&parts, 1)?.to_vec2()?)
    }
}

fn mean_and_spread(rows: &[Vec<f64>]) -> (Vec<f64>, Vec<f64>) {
    let n = rows.len() as f64;
    let column = |i: usize| rows.iter().map(move |row| row[i]);
    let of_column = |i: usize| {
        let mean = column(i).sum::<f64>() / n;
        (mean, (column(i).map(|value| (value - mean).powi(2)).sum::<f64>() / n).sqrt())
    };
    (0..rows[0].len()).map(of_column).unzip()
}

/// The image itself at every scale down to 8 px, for checkpoints without a discriminator.
struct Colours {
    channels: usize,
}

impl Backbone for Colours {
    fn channels(&self) -> Vec<usize> {
        vec![self.channels]
    }

    fn feature_maps(&self, images: &Tensor) -> toonify_networks::Result<Vec<Tensor>> {
        let mut maps = vec![images.clone()];
        while let Some(last) = maps.last().filter(|last| last.dims()[2] >= 16) {
            maps.push(last.avg_pool2d(2)?);
        }
        Ok(maps)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identity_is_the_direction_of_what_sets_a_face_apart() {
        let rows = |numbers: &[[f64; 2]; 3]| Tensor::new(numbers, &Device::Cpu).expect("a matrix");
        let found = cosines(&rows(&[[1.0, 0.0], [1.0, 0.0], [0.0, 0.0]]), &rows(&[[5.0, 0.0], [0.0, 2.0], [1.0, 1.0]]));
        assert_eq!(found.expect("cosines"), [Some(1.0), Some(0.0), None]);
    }

    #[test]
    fn a_typical_character_is_at_distance_1_and_constants_say_nothing() {
        let rows = [vec![1.0, 7.0], vec![3.0, 7.0]];
        let (mean, spread) = mean_and_spread(&rows);
        assert_eq!((&mean, &spread), (&vec![2.0, 7.0], &vec![1.0, 0.0]));
        let characters = Characters { backbone: Box::new(Colours { channels: 3 }), mean, spread };
        assert_eq!(characters.distance(&rows[0]), 1.0);
        assert_eq!(characters.distance(&[5.0, 0.0]), 3.0);
    }

    #[test]
    fn colours_are_looked_at_down_to_8_px() {
        let maps =
            Colours { channels: 3 }.feature_maps(&Tensor::zeros((2, 3, 32, 32), DType::F32, &Device::Cpu).unwrap());
        let sides: Vec<usize> = maps.unwrap().iter().map(|map| map.dims()[2]).collect();
        assert_eq!(sides, [32, 16, 8]);
    }
}
