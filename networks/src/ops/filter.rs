//! Resampling filters: short FIR kernels that every up- and downsampling of StyleGAN2 shares.

use candle_core::{Device, Tensor};

use crate::error::{Error, Result};
use crate::ops::Orientation;

/// A 1-D filter of this many taps or more stays 1-D and runs as two passes in the published code.
const SEPARABLE_FROM_TAPS: usize = 8;
/// Longest side of a filter; the published ones have at most 12 taps.
const MAX_TAPS: usize = 256;

/// A FIR filter, ready for [`upfirdn2d`](crate::ops::upfirdn2d()).
#[derive(Clone, Debug, PartialEq)]
pub struct Filter {
    taps: Taps,
}

/// Numbers of a filter in row order.
#[derive(Clone, Debug, PartialEq)]
enum Taps {
    /// One set of taps for both axes.
    Separable(Vec<f32>),
    /// Rows × columns.
    Planar { taps: Vec<f32>, rows: usize, columns: usize },
}

/// Whether a filter is scaled before use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Normalization {
    /// Divided by the sum of its taps, so that a constant image keeps its value.
    UnitSum,
    /// Used as it is.
    Raw,
}

/// How taps of one axis become a filter of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FilterForm {
    /// Separable from eight taps on, below that planar: the published rule.
    ByLength,
    /// Kept as one set of taps for both axes.
    Separable,
    /// Multiplied out to a square.
    Planar,
}

/// The options of the published `setup_filter`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FilterSetup {
    /// Whether the taps are divided by their sum.
    pub normalization: Normalization,
    /// `Correlation` stores the taps reversed.
    pub orientation: Orientation,
    /// Gain over both axes together.
    pub gain: f64,
    /// What becomes of taps of one axis.
    pub form: FilterForm,
}

impl Default for FilterSetup {
    fn default() -> Self {
        FilterSetup {
            normalization: Normalization::UnitSum,
            orientation: Orientation::Convolution,
            gain: 1.0,
            form: FilterForm::ByLength,
        }
    }
}

impl Filter {
    /// The filter of the published networks for these taps: normalised, separable from eight taps on.
    ///
    /// # Errors
    /// [`Error::Value`] for no taps, too many, or taps without a sum.
    pub fn new(taps: &[f32]) -> Result<Filter> {
        Filter::from_1d(taps, &FilterSetup::default())
    }

    /// One tap of value 1: filtering changes nothing.
    pub fn identity() -> Filter {
        Filter { taps: Taps::Planar { taps: vec![1.0], rows: 1, columns: 1 } }
    }

    /// A filter from the taps of one axis.
    ///
    /// # Errors
    /// As [`Filter::new`].
    pub fn from_1d(taps: &[f32], setup: &FilterSetup) -> Result<Filter> {
        check_length(taps.len())?;
        let separable = match setup.form {
            FilterForm::ByLength => taps.len() >= SEPARABLE_FROM_TAPS,
            FilterForm::Separable => true,
            FilterForm::Planar => false,
        };
        if separable {
            return Ok(Filter { taps: Taps::Separable(prepare(taps.to_vec(), setup, setup.gain.sqrt())?) });
        }
        let square = taps.iter().flat_map(|a| taps.iter().map(move |b| a * b)).collect();
        Filter::planar(square, taps.len(), setup)
    }

    /// A filter from rows × `columns` numbers, row by row.
    ///
    /// # Errors
    /// As [`Filter::new`], and when the rows are not all equally long.
    pub fn from_2d(taps: &[f32], columns: usize, setup: &FilterSetup) -> Result<Filter> {
        check_length(columns)?;
        if !taps.len().is_multiple_of(columns) {
            return Err(Error::value("filter taps", taps.len(), format!("a multiple of {columns}")));
        }
        check_length(taps.len() / columns)?;
        Filter::planar(taps.to_vec(), columns, setup)
    }

    fn planar(taps: Vec<f32>, columns: usize, setup: &FilterSetup) -> Result<Filter> {
        let rows = taps.len() / columns;
        Ok(Filter { taps: Taps::Planar { taps: prepare(taps, setup, setup.gain)?, rows, columns } })
    }

    /// The numbers as the published buffer `resample_filter` holds them: `[rows, columns]`, or `[taps]` if separable.
    ///
    /// # Errors
    /// When candle cannot make the tensor.
    pub fn tensor(&self) -> Result<Tensor> {
        Ok(match &self.taps {
            Taps::Separable(taps) => Tensor::from_slice(taps, taps.len(), &Device::Cpu)?,
            Taps::Planar { taps, rows, columns } => Tensor::from_slice(taps, (*rows, *columns), &Device::Cpu)?,
        })
    }

    /// Columns: the extent along x in pixels.
    pub fn width(&self) -> usize {
        match &self.taps {
            Taps::Separable(taps) => taps.len(),
            Taps::Planar { columns, .. } => *columns,
        }
    }

    /// Rows: the extent along y in pixels.
    pub fn height(&self) -> usize {
        match &self.taps {
            Taps::Separable(taps) => taps.len(),
            Taps::Planar { rows, .. } => *rows,
        }
    }

    /// All taps multiplied out, row by row: [`height`](Self::height) × [`width`](Self::width).
    pub(crate) fn multiplied_out(&self) -> Vec<f64> {
        match &self.taps {
            Taps::Separable(taps) => {
                taps.iter().flat_map(|&a| taps.iter().map(move |&b| f64::from(a) * f64::from(b))).collect()
            }
            Taps::Planar { taps, .. } => taps.iter().map(|&tap| f64::from(tap)).collect(),
        }
    }

    /// Whether the filter is the product of one for each axis.
    pub(crate) fn is_separable(&self) -> bool {
        self.factors().len() == 1
    }

    /// The filter as a sum of products (vertical taps, horizontal taps): one if it is separable, else one for each row.
    pub(crate) fn factors(&self) -> Vec<(Vec<f64>, Vec<f64>)> {
        match &self.taps {
            Taps::Separable(taps) => {
                let taps: Vec<f64> = taps.iter().map(|&tap| f64::from(tap)).collect();
                vec![(taps.clone(), taps)]
            }
            Taps::Planar { columns, .. } => {
                let taps = self.multiplied_out();
                single_product(&taps, *columns).map_or_else(|| rows(&taps, *columns), |product| vec![product])
            }
        }
    }
}

/// Vertical and horizontal taps whose product is the filter, to within the rounding of its numbers.
fn single_product(taps: &[f64], columns: usize) -> Option<(Vec<f64>, Vec<f64>)> {
    let largest = (0..taps.len()).max_by(|&a, &b| taps[a].abs().total_cmp(&taps[b].abs()))?;
    let (row, column, peak) = (largest / columns, largest % columns, taps[largest]);
    if peak == 0.0 {
        return None;
    }
    let vertical: Vec<f64> = taps.iter().skip(column).step_by(columns).copied().collect();
    let horizontal: Vec<f64> = taps[row * columns..][..columns].iter().map(|tap| tap / peak).collect();
    let product = vertical.iter().flat_map(|v| horizontal.iter().map(move |h| v * h));
    let error = product.zip(taps).map(|(product, tap)| (product - tap).abs()).fold(0.0, f64::max);
    (error <= f64::from(f32::EPSILON) * peak.abs()).then_some((vertical, horizontal))
}

/// One product for each row of the filter.
fn rows(taps: &[f64], columns: usize) -> Vec<(Vec<f64>, Vec<f64>)> {
    let count = taps.len() / columns;
    let vertical = |row: usize| (0..count).map(|i| if i == row { 1.0 } else { 0.0 }).collect();
    taps.chunks_exact(columns).enumerate().map(|(row, taps)| (vertical(row), taps.to_vec())).collect()
}

/// Normalises, turns round and scales, in single precision as the published code does.
fn prepare(mut taps: Vec<f32>, setup: &FilterSetup, gain: f64) -> Result<Vec<f32>> {
    if setup.normalization == Normalization::UnitSum {
        let sum: f32 = taps.iter().sum();
        if sum == 0.0 || !sum.is_finite() {
            return Err(Error::value("sum of the filter taps", sum, "a finite number other than 0"));
        }
        taps.iter_mut().for_each(|tap| *tap /= sum);
    }
    if setup.orientation == Orientation::Correlation {
        taps.reverse();
    }
    taps.iter_mut().for_each(|tap| *tap *= gain as f32);
    Ok(taps)
}

fn check_length(taps: usize) -> Result<()> {
    if (1..=MAX_TAPS).contains(&taps) {
        return Ok(());
    }
    Err(Error::value("filter taps", taps, format!("from 1 to {MAX_TAPS} along each axis")))
}
