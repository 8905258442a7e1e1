//! The scores of a grid as pictures: over the resolution of the swap, and against each other.

use anyhow::Result;
use image::{RgbImage, imageops};
use toonify_networks::stylegan2::Resolution;

use crate::grid::LowModel;
use crate::grid::scores::CellScore;
use crate::plot::{Plot, PlotPoint, Series};

/// Where a column stands among the blends.
#[derive(Clone, Debug, PartialEq)]
pub enum Place {
    /// The base model.
    Base,
    /// A tuned model.
    Tuned {
        /// The model's name.
        model: String,
    },
    /// A blend.
    Blend {
        /// The tuned model's name and how the blend changes over, where there are several: what its line is called.
        line: String,
        /// The tuned model's name.
        model: String,
        /// Its resolution.
        resolution: Resolution,
    },
}

/// Mean scores of one column.
#[derive(Clone, Debug)]
pub struct Column {
    /// Where it stands.
    pub place: Place,
    /// Mean identity kept.
    pub identity: f64,
    /// Mean distance from the characters.
    pub distance: Option<f64>,
}

impl Column {
    /// Averages the scores of a column's cells.
    pub fn of<'a>(place: &Place, cells: impl Iterator<Item = &'a CellScore> + Clone) -> Column {
        let mean = |values: Vec<f64>| values.iter().sum::<f64>() / values.len() as f64;
        let identity = mean(cells.clone().filter_map(|cell| cell.identity).collect());
        let distances: Vec<f64> = cells.filter_map(|cell| cell.distance).collect();
        Column { place: place.clone(), identity, distance: (!distances.is_empty()).then(|| mean(distances)) }
    }

    fn label(&self) -> String {
        match &self.place {
            Place::Base => "base".to_owned(),
            Place::Tuned { .. } => "tuned".to_owned(),
            Place::Blend { resolution, .. } => resolution.to_string(),
        }
    }
}

/// The blend that is nearest to what one wants of both: the identity of the base, the style of a tuned model. Both are
/// measured in parts of the way from the base to the column that has most of the style. `None` without distances, and
/// when no column is nearer to the characters than the base.
pub fn best(columns: &[Column]) -> Option<usize> {
    let base = columns.iter().find(|column| column.place == Place::Base)?.distance?;
    let least = columns.iter().filter_map(|column| column.distance).fold(f64::INFINITY, f64::min);
    let missing = |column: &Column| Some((1.0 - column.identity).hypot((column.distance? - least) / (base - least)));
    let blends = columns.iter().enumerate().filter(|(_, column)| matches!(column.place, Place::Blend { .. }));
    let ranked = blends.filter_map(|(index, column)| Some((index, missing(column)?)));
    ranked.filter(|(_, missing)| missing.is_finite()).min_by(|a, b| a.1.total_cmp(&b.1)).map(|(index, _)| index)
}

/// Draws all curves below each other.
///
/// # Errors
/// When there is nothing to draw.
pub fn draw(columns: &[Column], low: LowModel) -> Result<RgbImage> {
    let identity = |column: &Column| Some(column.identity);
    let mut plots = vec![over_resolution(columns, "Identity", "part that is kept", identity)];
    if columns.iter().any(|column| column.distance.is_some()) {
        plots.push(over_resolution(columns, "Style", "distance from the characters", |column| column.distance));
        plots.push(against_each_other(columns, low));
    }
    let pictures = plots.iter().map(Plot::render).collect::<Result<Vec<_>>>()?;
    let height = pictures.iter().map(RgbImage::height).sum();
    let mut sheet = RgbImage::new(pictures[0].width(), height);
    let mut top = 0;
    for picture in pictures {
        imageops::replace(&mut sheet, &picture, 0, top);
        top += i64::from(picture.height());
    }
    Ok(sheet)
}

/// The names of the lines, in the columns' order.
fn lines(columns: &[Column]) -> Vec<(&str, &str)> {
    let mut names: Vec<(&str, &str)> = Vec::new();
    for column in columns {
        if let Place::Blend { line, model, .. } = &column.place
            && !names.iter().any(|(known, _)| known == line)
        {
            names.push((line, model));
        }
    }
    names
}

/// The columns of one line: its blends by resolution.
fn blends<'a>(columns: &'a [Column], line: &str) -> Vec<&'a Column> {
    let is_mine = |column: &&Column| matches!(&column.place, Place::Blend { line: own, .. } if own == line);
    let mut mine: Vec<&Column> = columns.iter().filter(is_mine).collect();
    mine.sort_by_key(|column| octave(column));
    mine
}

/// The horizontal place of a blend; resolutions double from place to place.
fn octave(column: &Column) -> u32 {
    match &column.place {
        Place::Blend { resolution, .. } => resolution.px().ilog2(),
        Place::Base | Place::Tuned { .. } => 0,
    }
}

fn over_resolution(columns: &[Column], title: &str, measure: &str, value: impl Fn(&Column) -> Option<f64>) -> Plot {
    let point =
        |column: &Column| Some(PlotPoint { x: f64::from(octave(column)), y: value(column)?, label: String::new() });
    let series = lines(columns).into_iter().map(|(line, _)| Series {
        name: line.to_owned(),
        points: blends(columns, line).into_iter().filter_map(point).collect(),
    });
    let mut octaves: Vec<u32> = columns.iter().map(octave).filter(|octave| *octave > 0).collect();
    octaves.sort_unstable();
    octaves.dedup();
    Plot {
        title: title.to_owned(),
        captions: ["resolution of the blend, px".to_owned(), measure.to_owned()],
        x_names: octaves.into_iter().map(|octave| (f64::from(octave), (1u64 << octave).to_string())).collect(),
        series: series.collect(),
    }
}

/// From the base over a line's blends to its tuned model: the nearer to the upper left corner, the better.
fn against_each_other(columns: &[Column], low: LowModel) -> Plot {
    let point = |column: &Column| Some(PlotPoint { x: column.distance?, y: column.identity, label: column.label() });
    let series = lines(columns).into_iter().map(|(line, model)| {
        let is_base = |column: &&Column| column.place == Place::Base;
        let is_tuned = |column: &&Column| matches!(&column.place, Place::Tuned { model: own } if own == model);
        let mut way = blends(columns, line);
        if low == LowModel::Base {
            // A base that gives the lower layers gives the more the later it ends.
            way.reverse();
        }
        let ends = (columns.iter().filter(is_base), columns.iter().filter(is_tuned));
        Series { name: line.to_owned(), points: ends.0.chain(way).chain(ends.1).filter_map(point).collect() }
    });
    Plot {
        title: "Both".to_owned(),
        captions: ["distance from the characters".to_owned(), "identity that is kept".to_owned()],
        x_names: vec![],
        series: series.collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(place: Place, identity: f64, distance: f64) -> Column {
        Column { place, identity, distance: Some(distance) }
    }

    fn blend(resolution: Resolution) -> Place {
        Place::Blend { line: "blends".to_owned(), model: "tuned".to_owned(), resolution }
    }

    #[test]
    fn the_best_blend_gains_most_for_what_it_loses() {
        let mut columns = vec![
            column(Place::Base, 1.0, 4.0),
            column(blend(Resolution::R4), 0.95, 3.8),
            column(blend(Resolution::new(8).unwrap()), 0.8, 1.5),
            column(blend(Resolution::new(16).unwrap()), 0.2, 1.1),
            column(Place::Tuned { model: "tuned".to_owned() }, 0.1, 1.0),
        ];
        assert_eq!(best(&columns), Some(2));
        columns.iter_mut().for_each(|column| column.distance = None);
        assert_eq!(best(&columns), None);
        let alike = vec![column(Place::Base, 1.0, 1.0), column(blend(Resolution::R4), 0.9, 1.0)];
        assert_eq!(best(&alike), None);
    }
}
