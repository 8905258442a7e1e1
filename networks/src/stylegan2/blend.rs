//! Layer swapping and interpolation between generators (Pinkney and Adler 2020, "Resolution Dependent GAN
//! Interpolation for Controllable Image Synthesis Between Domains").

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use candle_core::{DType, Device, Tensor};

use crate::error::{Error, Result};
use crate::stylegan2::config::{GeneratorConfig, Resolution};
use crate::stylegan2::layer::{Layer, Slot, TensorName, Term};
use crate::stylegan2::weights::Weights;

/// How much of the high-resolution model each tensor takes; total over [`Layer`].
#[derive(Clone, Debug, PartialEq)]
pub struct BlendCurve {
    rule: Rule,
    mapping: Side,
}

/// One of the two models of a blend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The model that gives the low resolutions: pose and shape.
    Low,
    /// The model that gives the high resolutions: texture and colour.
    High,
}

/// Where, within the block after the named resolution, one model gives way to the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Level {
    /// Before the block's first convolution: the named resolution is the last from the low model.
    #[default]
    Zero,
    /// After the block's first convolution.
    One,
}

/// How fast one model gives way to the other.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Slope {
    /// At once.
    Hard,
    /// By 1 / (1 + exp(−x / width)), x in octaves.
    Logistic {
        /// In octaves; towards 0 it becomes the hard switch.
        width: f64,
    },
    /// In a straight line.
    Linear {
        /// From all low to all high, in octaves; towards 0 it becomes the hard switch.
        width: f64,
    },
}

#[derive(Clone, Debug, PartialEq)]
enum Rule {
    Swap { resolution: Resolution, level: Level, slope: Slope },
    Shares(Vec<f64>),
    Pinkney { resolution: Resolution, level: Level, width: Option<f64> },
    Dvschultz { resolution: Resolution },
}

impl BlendCurve {
    /// The rule of this project: layers up to and including `resolution` come from the low model, layers above it from
    /// the high one. Noise goes with its convolution; the learnt constant is the first layer of 4 px.
    ///
    /// # Errors
    /// [`Error::Value`] for a width that is not positive.
    pub fn swap(resolution: Resolution, level: Level, slope: Slope) -> Result<Self> {
        if let Slope::Logistic { width } | Slope::Linear { width } = slope {
            check_width(width)?;
        }
        Ok(Self::of(Rule::Swap { resolution, level, slope }))
    }

    /// A hard swap above `resolution`.
    pub fn hard(resolution: Resolution) -> Self {
        Self::of(Rule::Swap { resolution, level: Level::Zero, slope: Slope::Hard })
    }

    /// A share of the high model for each resolution, 4 px first.
    ///
    /// # Errors
    /// [`Error::Value`] when a share is outside 0 to 1 or their number is not that of the resolutions.
    pub fn shares(shares: Vec<f64>, resolution: Resolution) -> Result<Self> {
        let expected = resolution.ladder().count();
        if shares.len() != expected {
            let expected = format!("{expected}, one for each resolution from 4 to {resolution}");
            return Err(Error::value("number of shares", shares.len(), expected));
        }
        match shares.iter().find(|share| !(0.0..=1.0).contains(*share)) {
            Some(share) => Err(Error::value("share", share, "0 to 1")),
            None => Ok(Self::of(Rule::Shares(shares))),
        }
    }

    /// Exactly what justinpinkney's `blend_models.py` does, odd corners included: the hard switch comes one position
    /// after the named one, the smooth one (`width`) is half-way at it, `b4.conv1` and noise images stay low.
    ///
    /// # Errors
    /// [`Error::Value`] for a negative width; 0 counts as hard, as it does there.
    pub fn pinkney(resolution: Resolution, level: Level, width: Option<f64>) -> Result<Self> {
        let width = width.filter(|&width| width != 0.0);
        width.map_or(Ok(()), check_width)?;
        Ok(Self::of(Rule::Pinkney { resolution, level, width }))
    }

    /// Exactly what dvschultz's `blend_models.py` does: parameters above `resolution` are high, all buffers low.
    pub fn dvschultz(resolution: Resolution) -> Self {
        Self::of(Rule::Dvschultz { resolution })
    }

    fn of(rule: Rule) -> Self {
        BlendCurve { rule, mapping: Side::Low }
    }

    /// Takes the mapping network and the average `w`, which belong together, from `side`; low by default.
    pub fn with_mapping(self, side: Side) -> Self {
        BlendCurve { mapping: side, ..self }
    }

    /// Share of the high-resolution model in `layer`, from 0 to 1.
    pub fn share(&self, layer: Layer) -> f64 {
        let place = match layer {
            Layer::Embed(_) | Layer::Fc(..) | Layer::WAvg => {
                return match self.mapping {
                    Side::Low => 0.0,
                    Side::High => 1.0,
                };
            }
            Layer::Const => Place { resolution: Resolution::R4, slot: Slot::Conv0, term: Term::Weight },
            Layer::Block { resolution, slot, term } => Place { resolution, slot, term },
        };
        match &self.rule {
            Rule::Swap { resolution, level, slope } => slope.at(place.octaves_above(*resolution, *level)),
            Rule::Shares(shares) => shares.get(place.resolution.log2() - 2).copied().unwrap_or(1.0),
            Rule::Pinkney { resolution, level, width } => place.pinkney(*resolution, *level, *width),
            Rule::Dvschultz { resolution } => hard(place.resolution > *resolution && place.term != Term::NoiseConst),
        }
    }
}

impl BlendCurve {
    /// Share of the high model in the first and the second convolution of every resolution up to `size`, 4 px first.
    pub fn profile(&self, size: Resolution) -> Vec<[f64; 2]> {
        let share = |resolution, slot| self.share(Layer::Block { resolution, slot, term: Term::Weight });
        size.ladder().map(|resolution| [Slot::Conv0, Slot::Conv1].map(|slot| share(resolution, slot))).collect()
    }
}

impl fmt::Display for BlendCurve {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.rule {
            Rule::Swap { resolution, level, slope } => {
                write!(f, "{slope} above {resolution} px")?;
                if *level == Level::One {
                    f.write_str(" (level 1)")?;
                }
            }
            Rule::Shares(shares) => write!(f, "shares {shares:?}")?,
            Rule::Pinkney { resolution, level, width } => {
                let level = usize::from(*level == Level::One);
                write!(f, "as pinkney at {resolution} px, level {level}, width {width:?}")?;
            }
            Rule::Dvschultz { resolution } => write!(f, "as dvschultz at {resolution} px")?,
        }
        match self.mapping {
            Side::Low => f.write_str(", mapping low"),
            Side::High => f.write_str(", mapping high"),
        }
    }
}

impl fmt::Display for Slope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Slope::Hard => f.write_str("hard"),
            Slope::Logistic { width } => write!(f, "logistic of width {width}"),
            Slope::Linear { width } => write!(f, "linear of width {width}"),
        }
    }
}

fn check_width(width: f64) -> Result<()> {
    if width > 0.0 && width.is_finite() {
        return Ok(());
    }
    Err(Error::value("blend width", width, "a positive number of octaves"))
}

fn hard(high: bool) -> f64 {
    f64::from(u8::from(high))
}

fn logistic(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

impl Slope {
    fn at(self, octaves: f64) -> f64 {
        match self {
            Slope::Hard => hard(octaves > 0.0),
            Slope::Logistic { width } => logistic(octaves / width),
            Slope::Linear { width } => (octaves / width + 0.5).clamp(0.0, 1.0),
        }
    }
}

/// Where a tensor of the synthesis network sits.
struct Place {
    resolution: Resolution,
    slot: Slot,
    term: Term,
}

impl Place {
    /// Two positions a resolution: what reaches it, and what follows there.
    fn position(&self) -> f64 {
        let second = match self.slot {
            Slot::Conv0 | Slot::Skip => 0,
            Slot::Conv1 | Slot::ToRgb => 1,
        };
        (2 * self.resolution.log2() + second) as f64
    }

    /// Distance from the swap, which lies between the last position of the low model and the first of the high one.
    fn octaves_above(&self, swap: Resolution, level: Level) -> f64 {
        let last_low = match level {
            Level::Zero => 2 * swap.log2() + 1,
            Level::One => 2 * swap.log2() + 2,
        };
        (self.position() - (last_low as f64 + 0.5)) / 2.0
    }

    fn pinkney(&self, resolution: Resolution, level: Level, width: Option<f64>) -> f64 {
        let forgotten = (self.resolution, self.slot) == (Resolution::R4, Slot::Conv1) || self.slot == Slot::Skip;
        if forgotten || self.term == Term::NoiseConst {
            return 0.0;
        }
        let named = 2 * resolution.log2() + usize::from(level == Level::One);
        let x = self.position() - named as f64;
        width.map_or(hard(x > 1.0), |width| logistic(x / width))
    }
}

/// Refuses generators that cannot be blended, each given with the name that a message shall use for it.
///
/// # Errors
/// [`Error::Unlike`] naming the first tensor that differs, or the resampling filter.
pub fn require_alike(a: (&str, &GeneratorConfig), b: (&str, &GeneratorConfig)) -> Result<()> {
    let shapes = |config| -> BTreeMap<Layer, Vec<usize>> { Layer::all(config).into_iter().collect() };
    let (in_a, in_b) = (shapes(a.1), shapes(b.1));
    let unlike = |what: String, found: [String; 2]| {
        let [first, second] = found;
        Error::Unlike { what, first: Box::new((a.0.to_owned(), first)), second: Box::new((b.0.to_owned(), second)) }
    };
    let names: BTreeSet<Layer> = in_a.keys().chain(in_b.keys()).copied().collect();
    if let Some(layer) = names.into_iter().find(|layer| in_a.get(layer) != in_b.get(layer)) {
        let shown = |shape: Option<&Vec<usize>>| shape.map_or("missing".to_owned(), |shape| format!("{shape:?}"));
        return Err(unlike(layer.to_string(), [shown(in_a.get(&layer)), shown(in_b.get(&layer))]));
    }
    if a.1.resample_filter != b.1.resample_filter {
        let found = [a.1, b.1].map(|config| format!("{:?}", config.resample_filter));
        return Err(unlike("resampling filter".to_owned(), found));
    }
    Ok(())
}

impl Weights<Layer> {
    /// Joins two generators of the same configuration; `self` is the low-resolution model.
    ///
    /// # Errors
    /// [`Error::Shape`] naming the first layer that differs, [`Error::Value`] for one that only one of them has.
    pub fn blend(&self, high: &Weights<Layer>, config: &GeneratorConfig, curve: &BlendCurve) -> Result<Weights<Layer>> {
        Weights::build(config, |layer, _shape| {
            let (low, high) = (self.counterpart(layer)?, high.counterpart(layer)?);
            if low.dims() != high.dims() {
                let (expected, found) = (low.dims().to_vec(), high.dims().to_vec());
                return Err(Error::Shape { name: layer.to_string(), expected, found });
            }
            Ok(match curve.share(layer) {
                0.0 => low.clone(),
                1.0 => high.clone(),
                share => ((high * share)? + (low * (1.0 - share))?)?,
            })
        })
    }

    /// Adds up whole generators of the same configuration, each with its share; the shares are made to sum to 1.
    ///
    /// # Errors
    /// [`Error::Value`] without models or when the shares sum to nothing, and as [`Weights::blend`].
    pub fn average(models: &[(&Weights<Layer>, f64)], config: &GeneratorConfig) -> Result<Weights<Layer>> {
        let total: f64 = models.iter().map(|(_, share)| share).sum();
        if models.is_empty() || !total.is_finite() || total.abs() < 1e-9 {
            return Err(Error::value("sum of the shares", total, "other than 0, for at least one model"));
        }
        Weights::build(config, |layer, shape| {
            let mut sum = Tensor::zeros(shape, DType::F32, &Device::Cpu)?;
            for (weights, share) in models {
                sum = (sum + (weights.counterpart(layer)? * (share / total))?)?;
            }
            Ok(sum)
        })
    }

    fn counterpart(&self, layer: Layer) -> Result<&Tensor> {
        self.get(layer).ok_or_else(|| Error::value("tensor", format!("{layer} missing"), "present in both models"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolution(px: usize) -> Resolution {
        Resolution::new(px).expect("a resolution")
    }

    fn shares(curve: &BlendCurve, slot: Slot) -> Vec<f64> {
        let share = |resolution| curve.share(Layer::Block { resolution, slot, term: Term::Weight });
        resolution(64).ladder().map(share).collect()
    }

    #[test]
    fn the_named_resolution_is_the_last_one_from_the_low_model() {
        let curve = BlendCurve::hard(resolution(16));
        assert_eq!(shares(&curve, Slot::Conv0), [0.0, 0.0, 0.0, 1.0, 1.0]);
        assert_eq!(shares(&curve, Slot::ToRgb), [0.0, 0.0, 0.0, 1.0, 1.0]);
        assert_eq!(curve.share(Layer::Const), 0.0);
    }

    #[test]
    fn level_one_leaves_one_more_convolution_to_the_low_model() {
        let curve = BlendCurve::swap(resolution(16), Level::One, Slope::Hard).expect("a curve");
        assert_eq!(shares(&curve, Slot::Conv0), [0.0, 0.0, 0.0, 0.0, 1.0]);
        assert_eq!(shares(&curve, Slot::Conv1), [0.0, 0.0, 0.0, 1.0, 1.0]);
    }

    #[test]
    fn a_smooth_curve_of_no_width_is_the_hard_one() {
        for slope in [Slope::Logistic { width: 1e-9 }, Slope::Linear { width: 1e-9 }] {
            let curve = BlendCurve::swap(resolution(16), Level::Zero, slope).expect("a curve");
            assert_eq!(shares(&curve, Slot::Conv1), shares(&BlendCurve::hard(resolution(16)), Slot::Conv1));
        }
        let falls = BlendCurve::swap(resolution(16), Level::Zero, Slope::Linear { width: 4.0 }).expect("a curve");
        assert_eq!(shares(&falls, Slot::Conv1), [0.0, 0.1875, 0.4375, 0.6875, 0.9375]);
    }

    #[test]
    fn the_mapping_network_and_the_average_go_together() {
        let curve = BlendCurve::hard(resolution(16)).with_mapping(Side::High);
        assert_eq!(curve.share(Layer::WAvg), 1.0);
        assert_eq!(curve.share(Layer::Fc(3, Term::Bias)), 1.0);
        assert_eq!(curve.share(Layer::Const), 0.0);
    }

    #[test]
    fn shares_and_widths_outside_their_range_are_refused() {
        assert!(BlendCurve::shares(vec![0.0, 0.5, 1.5], resolution(16)).is_err());
        assert!(BlendCurve::shares(vec![0.0, 0.5], resolution(16)).is_err());
        assert!(BlendCurve::pinkney(resolution(16), Level::Zero, Some(-1.0)).is_err());
        for width in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(BlendCurve::swap(resolution(16), Level::Zero, Slope::Logistic { width }).is_err());
        }
    }
}
