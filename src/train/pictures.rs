//! The pictures of a run: a grid of training images, and what the averaged generator makes of one fixed set of latents.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;
use candle_core::{Device, Tensor};
use image::RgbImage;
use toonify_networks::draws::Draws;
use toonify_networks::grad::Dual;
use toonify_networks::random::RandomState;
use toonify_networks::stylegan2::{Generator, GeneratorConfig, Layer, Noise, Parameters};

use crate::pixels::{self, Rounding};
use crate::sheet;
use crate::store::picture;
use crate::train::settings::Settings;
use crate::train::source::{self, Source};

/// Images that are rendered at once.
const BATCH: usize = 8;

/// The published size of a grid: about that of a 8K screen.
pub fn published_grid(px: usize) -> (usize, usize) {
    ((7680 / px).clamp(7, 32), (4320 / px).clamp(4, 32))
}

/// A fixed set of training images and of latents.
pub struct Grid {
    columns: usize,
    /// Images of the training set, row by row.
    indices: Vec<usize>,
    /// `[N, z_dim]`
    z: Tensor,
    /// `[N, c_dim]`
    labels: Option<Tensor>,
}

impl Grid {
    /// Chooses images and latents; with labels, each row has one label.
    ///
    /// # Errors
    /// Only when the device refuses a tensor.
    pub fn new(source: &dyn Source, settings: &Settings) -> Result<Grid> {
        let (columns, rows) = settings.grid;
        let shape = source.shape();
        let indices = match shape.c_dim {
            0 => any_images(shape.count, columns * rows),
            _ => rows_of_one_label(source, (columns, rows)),
        };
        let numbers: Vec<f32> = indices.iter().flat_map(|index| source.label(*index)).collect();
        let labels = (shape.c_dim > 0).then(|| Tensor::from_vec(numbers, (indices.len(), shape.c_dim), &Device::Cpu));
        let z = RandomState::new(settings.seed).normal(&[indices.len(), settings.generator.z_dim])?;
        Ok(Grid { columns, indices, z, labels: labels.transpose()? })
    }

    /// Writes the training images.
    ///
    /// # Errors
    /// When an image cannot be read or the file cannot be written.
    pub fn write_reals(&self, source: &dyn Source, path: &Path) -> Result<()> {
        self.write(self.reals(source)?, path).map(drop)
    }

    /// How different the training images are from each other, see [`Grid::write_fakes`].
    ///
    /// # Errors
    /// When an image cannot be read.
    pub fn reals_spread(&self, source: &dyn Source) -> Result<f64> {
        Ok(spread(&self.reals(source)?))
    }

    fn reals(&self, source: &dyn Source) -> Result<Vec<RgbImage>> {
        self.indices.iter().map(|index| Ok(source::picture(source, *index)?.into_rgb8())).collect()
    }

    fn write(&self, cells: Vec<RgbImage>, path: &Path) -> Result<f64> {
        let spread = spread(&cells);
        let cells: Vec<Option<RgbImage>> = cells.into_iter().map(Some).collect();
        picture::write(path, &sheet::tile(&cells, self.columns)?.into())?;
        Ok(spread)
    }

    /// Writes what a generator makes of the latents, with its own noise, and returns how different the images are from
    /// each other: the standard deviation over the images, as the mean of all bytes.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write_fakes(&self, weights: &Parameters<Layer>, config: &GeneratorConfig, path: &Path) -> Result<f64> {
        let generator = Generator::new(config, &weights.fixed())?;
        let mut cells = Vec::with_capacity(self.indices.len());
        for start in (0..self.indices.len()).step_by(BATCH) {
            let count = BATCH.min(self.indices.len() - start);
            let label = self.labels.as_ref().map(|labels| labels.narrow(0, start, count)).transpose()?;
            let z = self.z.narrow(0, start, count)?;
            let w = generator.mapping.forward(Some(&z.into()), label.as_ref())?.into_value();
            let ws = w.unsqueeze(1)?.repeat((1, config.num_ws(), 1))?;
            let images = generator.synthesis.forward(&Dual::from(ws), &Noise::Const)?;
            cells.extend(pixels::to_rgb(images.value(), Rounding::Grid)?);
        }
        self.write(cells, path)
    }
}

/// The standard deviation of each byte over the images, and the mean of those.
fn spread(images: &[RgbImage]) -> f64 {
    let Some(first) = images.first() else { return 0.0 };
    let (count, bytes) = (images.len() as f64, first.as_raw().len());
    let deviation = |byte: usize| {
        let values = images.iter().map(|image| f64::from(image.as_raw()[byte]));
        let (sum, squares) = values.fold((0.0, 0.0), |(sum, squares), x| (sum + x, squares + x * x));
        (squares / count - (sum / count).powi(2)).max(0.0).sqrt()
    };
    (0..bytes).map(deviation).sum::<f64>() / bytes.max(1) as f64
}

/// Images in random order, from the first again when there are too few.
fn any_images(count: usize, cells: usize) -> Vec<usize> {
    let mut indices: Vec<usize> = (0..count).collect();
    RandomState::new(0).shuffle(&mut indices);
    indices.into_iter().cycle().take(cells).collect()
}

/// The labels take turns by row; within a label the images are in random order.
fn rows_of_one_label(source: &dyn Source, (columns, rows): (usize, usize)) -> Vec<usize> {
    let mut groups: BTreeMap<Vec<u32>, Vec<usize>> = BTreeMap::new();
    for index in 0..source.shape().count {
        // Numbers sort as their bits do, from the back as the published tool sorts them.
        let key = source.label(index).iter().rev().map(|number| number.to_bits()).collect();
        groups.entry(key).or_default().push(index);
    }
    let mut groups: Vec<Vec<usize>> = groups.into_values().collect();
    let mut random = RandomState::new(0);
    groups.iter_mut().for_each(|group| random.shuffle(group));
    let mut used = vec![0; groups.len()];
    let mut indices = Vec::with_capacity(columns * rows);
    for row in 0..rows {
        let which = row % groups.len();
        let group = &groups[which];
        indices.extend((0..columns).map(|column| group[(used[which] + column) % group.len()]));
        used[which] += columns;
    }
    indices
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grids_have_the_published_size() {
        assert_eq!(published_grid(16), (32, 32));
        assert_eq!(published_grid(256), (30, 16));
        assert_eq!(published_grid(1024), (7, 4));
    }

    #[test]
    fn images_that_are_alike_have_no_spread() {
        let plain = |value| RgbImage::from_pixel(2, 2, image::Rgb([value; 3]));
        assert_eq!(spread(&[plain(7), plain(7)]), 0.0);
        assert_eq!(spread(&[plain(0), plain(200)]), 100.0);
        assert_eq!(spread(&[]), 0.0);
    }

    #[test]
    fn every_image_is_shown_before_one_is_shown_again() {
        let mut shown = any_images(5, 12);
        assert_eq!(shown[..5], shown[5..10]);
        shown.truncate(5);
        shown.sort_unstable();
        assert_eq!(shown, [0, 1, 2, 3, 4]);
    }
}
