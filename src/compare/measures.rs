//! How far pictures are apart.

use std::fmt;

use anyhow::Result;
use candle_core::Device;
use image::RgbImage;
use serde::Serialize;
use toonify_networks::perceptual;

use crate::eyes::Eyes;
use crate::pixels;

/// How far two pictures are apart.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Distance {
    /// Mean absolute difference of numbers from −1 to 1.
    pub l1: f64,
    /// Perceptual distance, where there is something to look with.
    pub perceptual: Option<f64>,
}

/// Distances of many pairs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// Their mean.
    pub mean: Distance,
    /// Their standard deviation from pair to pair.
    pub deviation: Distance,
}

impl fmt::Display for Distance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3}", self.l1)?;
        self.perceptual.map_or(Ok(()), |perceptual| write!(f, " / {perceptual:.3}"))
    }
}

impl Spread {
    /// Mean and deviation of distances, of which there is at least one.
    pub fn of(distances: &[Distance]) -> Spread {
        let l1 = moments(distances.iter().map(|distance| distance.l1));
        let seen: Vec<f64> = distances.iter().filter_map(|distance| distance.perceptual).collect();
        let perceptual = (!seen.is_empty()).then(|| moments(seen.into_iter()));
        Spread {
            mean: Distance { l1: l1.0, perceptual: perceptual.map(|moments| moments.0) },
            deviation: Distance { l1: l1.1, perceptual: perceptual.map(|moments| moments.1) },
        }
    }
}

/// Mean and standard deviation.
fn moments(numbers: impl ExactSizeIterator<Item = f64> + Clone) -> (f64, f64) {
    let count = numbers.len() as f64;
    let mean = numbers.clone().sum::<f64>() / count;
    (mean, (numbers.map(|number| (number - mean).powi(2)).sum::<f64>() / count).sqrt())
}

/// Measures.
pub(super) struct Ruler {
    eyes: Option<Eyes>,
}

impl Ruler {
    pub fn open(eyes: Option<Eyes>) -> Ruler {
        Ruler { eyes }
    }

    /// What it looks with.
    pub fn perception(&self) -> Option<String> {
        self.eyes.as_ref().map(|eyes| eyes.name.clone())
    }

    /// The distance of each pair.
    pub fn measure<'a>(&self, pairs: impl Iterator<Item = (&'a RgbImage, &'a RgbImage)>) -> Result<Vec<Distance>> {
        pairs.map(|(a, b)| self.distance(a, b)).collect()
    }

    fn distance(&self, a: &RgbImage, b: &RgbImage) -> Result<Distance> {
        let tensor = |image: &RgbImage| pixels::from_rgb(std::slice::from_ref(image), &Device::Cpu);
        let (a, b) = (tensor(a)?, tensor(b)?);
        let l1 = f64::from((&a - &b)?.abs()?.mean_all()?.to_scalar::<f32>()?);
        let bytes = |image: &candle_core::Tensor| image.affine(127.5, 127.5);
        let perceptual = match &self.eyes {
            None => None,
            Some(eyes) => Some(perceptual::distances(eyes.perception.as_ref(), &bytes(&a)?, &bytes(&b)?)?[0]),
        };
        Ok(Distance { l1, perceptual })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Rgb;

    #[test]
    fn distances_are_of_numbers_from_minus_one_to_one() {
        let gray = |level: u8| RgbImage::from_pixel(4, 4, Rgb([level; 3]));
        let distance = Ruler::open(None).distance(&gray(0), &gray(255)).unwrap();
        assert_eq!(distance, Distance { l1: 2.0, perceptual: None });
    }

    #[test]
    fn spreads_have_mean_and_deviation() {
        let distances = [1.0, 3.0].map(|l1| Distance { l1, perceptual: Some(2.0 * l1) });
        let spread = Spread::of(&distances);
        assert_eq!(spread.mean, Distance { l1: 2.0, perceptual: Some(4.0) });
        assert_eq!(spread.deviation, Distance { l1: 1.0, perceptual: Some(2.0) });
        assert_eq!(spread.mean.to_string(), "2.000 / 4.000");
    }
}
