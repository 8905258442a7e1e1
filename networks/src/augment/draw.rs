//! Drawing what happens to each image of a batch.

use std::f64::consts::{FRAC_PI_2, PI};

use candle_core::DType;
use candle_core::cpu::erf::erf_inv;

use super::apply::{Augmentation, Cutout, Noise};
use super::colour::check_channels;
use super::filter_bank::{BANDS, band_gains};
use super::matrix::Matrix;
use super::set::{AugmentSet, Range, Transformation};
use crate::draws::Draws;
use crate::error::{Error, Result};

/// How the transformations are chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Chance {
    /// Each with this probability, times its multiplier.
    Probability(f64),
    /// Every one, at this percentile of its distribution in place of a random draw (the published `debug_percentile`).
    Percentile(f64),
}

impl Augmentation {
    /// Draws what happens to each image of a batch `[n, channels, height, width]`.
    ///
    /// # Errors
    /// [`Error::Value`] for a negative probability, a percentile outside (0, 1), colours without one or three channels,
    /// or images that are too small to be filtered.
    pub fn draw(set: &AugmentSet, chance: Chance, shape: [usize; 4], draws: &mut dyn Draws) -> Result<Augmentation> {
        check(set, chance, shape)?;
        let [n, channels, height, width] = shape;
        let mut draw = Draw { set, chance, n, draws };
        Ok(Augmentation {
            geometry: draw.geometry((height, width))?,
            colours: draw.colours(channels)?,
            bands: draw.bands()?,
            noise: draw.noise(shape)?,
            cutout: draw.cutout()?,
        })
    }
}

fn check(set: &AugmentSet, chance: Chance, [_, channels, height, width]: [usize; 4]) -> Result<()> {
    let fits = match chance {
        Chance::Probability(p) => p >= 0.0,
        Chance::Percentile(percentile) => percentile > 0.0 && percentile < 1.0,
    };
    if !fits {
        return Err(Error::value(
            "augmentation",
            format!("{chance:?}"),
            "a probability, or a percentile inside (0, 1)",
        ));
    }
    let has = |part: &Transformation| set.multiplier(*part) > 0.0;
    if COLOURS.iter().any(has) {
        check_channels(channels)?;
    }
    if has(&Transformation::Imgfilter) && height.min(width) <= super::filter_bank::REACH {
        let expected = format!("more than {} px on each side", super::filter_bank::REACH);
        return Err(Error::value("image size for imgfilter", format!("{width}×{height}"), expected));
    }
    Ok(())
}

const PLACES: [Transformation; 7] = {
    use Transformation::*;
    [Xflip, Rotate90, Xint, Scale, Rotate, Aniso, Xfrac]
};

const COLOURS: [Transformation; 5] = {
    use Transformation::*;
    [Brightness, Contrast, Lumaflip, Hue, Saturation]
};

/// A batch while its transformations are drawn, each its values first and then whether it happens: the published order.
struct Draw<'a> {
    set: &'a AugmentSet,
    chance: Chance,
    n: usize,
    draws: &'a mut dyn Draws,
}

impl Draw<'_> {
    fn has(&self, part: Transformation) -> bool {
        self.set.multiplier(part) > 0.0
    }

    /// For each image a whole number below `choices`, or 0 where the transformation does not happen.
    fn choices(&mut self, part: Transformation, choices: f64) -> Result<Vec<f64>> {
        let values = self.draws.fractions(self.n)?;
        self.gated(part, values, |u| (u * choices).floor(), |q| (q * choices).floor())
    }

    /// Numbers uniform in [-1, 1), or 0 where the transformation does not happen; `axes` for each image.
    fn spread(&mut self, part: Transformation, axes: usize) -> Result<Vec<f64>> {
        let values = self.draws.fractions(self.n * axes)?;
        self.gated(part, values, |u| 2.0 * u - 1.0, |q| 2.0 * q - 1.0)
    }

    /// Normal numbers, or 0 where the transformation does not happen; `axes` for each image.
    fn normal(&mut self, part: Transformation, axes: usize) -> Result<Vec<f64>> {
        let values = self.gauss(self.n * axes)?;
        // The published percentile leaves out the factor √2 that would make it one of the normal distribution.
        self.gated(part, values, |g| g, |q| erf_inv(2.0 * q - 1.0))
    }

    fn gauss(&mut self, count: usize) -> Result<Vec<f64>> {
        Ok(self.draws.normal(&[count])?.to_dtype(DType::F64)?.to_vec1()?)
    }

    fn gated(
        &mut self,
        part: Transformation,
        values: Vec<f64>,
        random: impl Fn(f64) -> f64,
        fixed: impl Fn(f64) -> f64,
    ) -> Result<Vec<f64>> {
        let multiplier = self.set.multiplier(part);
        self.gate(values.into_iter().map(random).collect(), move |p| multiplier * p, fixed)
    }

    /// Sets to 0 what belongs to images in which the transformation, of probability `probability(p)`, does not happen.
    fn gate(
        &mut self,
        mut values: Vec<f64>,
        probability: impl Fn(f64) -> f64,
        fixed: impl Fn(f64) -> f64,
    ) -> Result<Vec<f64>> {
        let gates = self.draws.fractions(self.n)?;
        let axes = values.len() / self.n.max(1);
        match self.chance {
            Chance::Percentile(percentile) => values.fill(fixed(percentile)),
            Chance::Probability(p) => {
                let shut = gates.into_iter().map(|gate| gate >= probability(p));
                let images = values.chunks_exact_mut(axes.max(1)).zip(shut);
                images.filter(|(_, shut)| *shut).for_each(|(values, _)| values.fill(0.0));
            }
        }
        Ok(values)
    }

    /// Maps from the transformed image to the given one, in pixels from the centre.
    fn geometry(&mut self, (height, width): (usize, usize)) -> Result<Option<Vec<Matrix<3>>>> {
        use Transformation::*;
        if !PLACES.iter().any(|&part| self.has(part)) {
            return Ok(None);
        }
        let (h, w) = (height as f64, width as f64);
        let mut maps = vec![Matrix::IDENTITY; self.n];
        if self.has(Xflip) {
            let flips = self.choices(Xflip, 2.0)?;
            append(&mut maps, flips.into_iter().map(|i| Matrix::scaling(1.0 - 2.0 * i, 1.0)));
        }
        if self.has(Rotate90) {
            let turns = self.choices(Rotate90, 4.0)?;
            append(&mut maps, turns.into_iter().map(|i| Matrix::rotation(FRAC_PI_2 * i)));
        }
        if self.has(Xint) {
            let (moves, most) = (self.spread(Xint, 2)?, self.set.range(Range::XintMax));
            let pixels = |share: f64, side: f64| -(share * most * side).round_ties_even();
            append(&mut maps, moves.chunks_exact(2).map(|t| Matrix::translation(pixels(t[0], w), pixels(t[1], h))));
        }
        if self.has(Scale) {
            let (sizes, std) = (self.normal(Scale, 1)?, self.set.range(Range::ScaleStd));
            append(&mut maps, sizes.into_iter().map(|g| (-g * std).exp2()).map(|s| Matrix::scaling(s, s)));
        }
        self.rotate(&mut maps, Turn::BeforeAniso)?;
        if self.has(Aniso) {
            let (aspects, std) = (self.normal(Aniso, 1)?, self.set.range(Range::AnisoStd));
            append(&mut maps, aspects.into_iter().map(|g| (g * std).exp2()).map(|s| Matrix::scaling(1.0 / s, s)));
        }
        self.rotate(&mut maps, Turn::AfterAniso)?;
        if self.has(Xfrac) {
            let (moves, std) = (self.normal(Xfrac, 2)?, self.set.range(Range::XfracStd));
            append(&mut maps, moves.chunks_exact(2).map(|t| Matrix::translation(-t[0] * std * w, -t[1] * std * h)));
        }
        Ok(Some(maps))
    }

    /// One of the two rotations; together they happen with the probability that the set asks for.
    fn rotate(&mut self, maps: &mut [Matrix<3>], turn: Turn) -> Result<()> {
        let multiplier = self.set.multiplier(Transformation::Rotate);
        if multiplier == 0.0 {
            return Ok(());
        }
        let values = self.draws.fractions(self.n)?.into_iter().map(|u| 2.0 * u - 1.0).collect();
        let either = |p: f64| 1.0 - (1.0 - multiplier * p).clamp(0.0, 1.0).sqrt();
        let angles = self.gate(values, either, |q| match turn {
            Turn::BeforeAniso => 2.0 * q - 1.0,
            Turn::AfterAniso => 0.0,
        })?;
        let most = PI * self.set.range(Range::RotateMax);
        append(maps, angles.into_iter().map(|share| Matrix::rotation(share * most)));
        Ok(())
    }

    /// Maps of homogeneous colours.
    fn colours(&mut self, channels: usize) -> Result<Option<Vec<Matrix<4>>>> {
        use Transformation::*;
        if !COLOURS.iter().any(|&part| self.has(part)) {
            return Ok(None);
        }
        let mut maps = vec![Matrix::IDENTITY; self.n];
        if self.has(Brightness) {
            let (shifts, std) = (self.normal(Brightness, 1)?, self.set.range(Range::BrightnessStd));
            prepend(&mut maps, shifts.into_iter().map(|g| Matrix::shifting(g * std)));
        }
        if self.has(Contrast) {
            let (factors, std) = (self.normal(Contrast, 1)?, self.set.range(Range::ContrastStd));
            prepend(&mut maps, factors.into_iter().map(|g| Matrix::stretching((g * std).exp2())));
        }
        if self.has(Lumaflip) {
            let flips = self.choices(Lumaflip, 2.0)?;
            prepend(&mut maps, flips.into_iter().map(|i| Matrix::IDENTITY.plus(-2.0 * i, Matrix::LUMA)));
        }
        if self.has(Hue) && channels > 1 {
            let (turns, most) = (self.spread(Hue, 1)?, PI * self.set.range(Range::HueMax));
            prepend(&mut maps, turns.into_iter().map(|share| Matrix::turning(share * most)));
        }
        if self.has(Saturation) && channels > 1 {
            let (factors, std) = (self.normal(Saturation, 1)?, self.set.range(Range::SaturationStd));
            let saturated = |s: f64| Matrix::LUMA.plus(s, Matrix::IDENTITY.plus(-1.0, Matrix::LUMA));
            prepend(&mut maps, factors.into_iter().map(|g| saturated((g * std).exp2())));
        }
        Ok(Some(maps))
    }

    /// Gains of the frequency bands.
    fn bands(&mut self) -> Result<Option<Vec<[f64; BANDS]>>> {
        let multiplier = self.set.multiplier(Transformation::Imgfilter);
        if multiplier == 0.0 {
            return Ok(None);
        }
        let std = self.set.range(Range::ImgfilterStd);
        let mut gains = vec![[1.0; BANDS]; self.n];
        for (band, range) in
            [Range::ImgfilterBand0, Range::ImgfilterBand1, Range::ImgfilterBand2, Range::ImgfilterBand3]
                .into_iter()
                .enumerate()
        {
            let likely = self.set.range(range);
            let values = self.gauss(self.n)?;
            let drawn = self.gate(
                values,
                |p| multiplier * p * likely,
                |q| if likely > 0.0 { erf_inv(2.0 * q - 1.0) } else { 0.0 },
            )?;
            for (gains, g) in gains.iter_mut().zip(drawn) {
                let change = band_gains(band, (g * std).exp2());
                gains.iter_mut().zip(change).for_each(|(gain, change)| *gain *= change);
            }
        }
        Ok(Some(gains))
    }

    fn noise(&mut self, shape: [usize; 4]) -> Result<Option<Noise>> {
        if !self.has(Transformation::Noise) {
            return Ok(None);
        }
        let values = self.gauss(self.n)?.into_iter().map(f64::abs).collect();
        let sigmas = self.gated(Transformation::Noise, values, |g| g, erf_inv)?;
        let std = self.set.range(Range::NoiseStd);
        let pixels = self.draws.normal(&shape)?;
        Ok(Some(Noise { sigmas: sigmas.into_iter().map(|sigma| sigma * std).collect(), pixels }))
    }

    /// Squares whose side is 0 where nothing is cut out; here it is drawn first whether it happens, then where.
    fn cutout(&mut self) -> Result<Option<Vec<Cutout>>> {
        if !self.has(Transformation::Cutout) {
            return Ok(None);
        }
        let size = self.set.range(Range::CutoutSize);
        let sides = self.gated(Transformation::Cutout, vec![1.0; self.n], |one| one, |_| 1.0)?;
        let mut centres = self.draws.fractions(2 * self.n)?;
        if let Chance::Percentile(percentile) = self.chance {
            centres.fill(percentile);
        }
        let squares = sides.into_iter().zip(centres.chunks_exact(2));
        Ok(Some(squares.map(|(side, at)| Cutout { side: side * size, centre: (at[0], at[1]) }).collect()))
    }
}

/// Which of the two rotations.
#[derive(Clone, Copy)]
enum Turn {
    BeforeAniso,
    AfterAniso,
}

/// The step comes first on the way from the transformed image to the given one.
fn append(maps: &mut [Matrix<3>], steps: impl Iterator<Item = Matrix<3>>) {
    maps.iter_mut().zip(steps).for_each(|(map, step)| *map = *map * step);
}

/// The step comes last.
fn prepend(maps: &mut [Matrix<4>], steps: impl Iterator<Item = Matrix<4>>) {
    maps.iter_mut().zip(steps).for_each(|(map, step)| *map = step * *map);
}
