//! Points and lines on plain axes whose ticks have names, with captions in the face of the sheets.

use std::ops::Range;

use anyhow::{Result, ensure};
use image::{Rgb, RgbImage};

use crate::sheet::PAPER;
use crate::sheet::text::{self, Place, TextSize};

/// A plot.
#[derive(Clone, Debug)]
pub struct Plot {
    /// One line above everything.
    pub title: String,
    /// What is measured along the horizontal and the vertical axis.
    pub captions: [String; 2],
    /// Names of places on the horizontal axis; without any, round numbers.
    pub x_names: Vec<(f64, String)>,
    /// The lines, first one in the strongest colour.
    pub series: Vec<Series>,
}

/// A line through points.
#[derive(Clone, Debug)]
pub struct Series {
    /// What it shows.
    pub name: String,
    /// Its points, in their order.
    pub points: Vec<PlotPoint>,
}

/// A point with a word beside it.
#[derive(Clone, Debug)]
pub struct PlotPoint {
    /// Horizontal place.
    pub x: f64,
    /// Vertical place.
    pub y: f64,
    /// What stands beside it; may be empty.
    pub label: String,
}

/// Width and height in pixels.
const SIZE_PX: [u32; 2] = [720, 400];
/// Room around the axes: left, right, top, bottom.
const MARGIN_PX: [u32; 4] = [80, 60, 64, 56];
const INK: Rgb<u8> = Rgb([96, 99, 104]);
const GRID: Rgb<u8> = Rgb([225, 225, 222]);
const COLOURS: [Rgb<u8>; 6] = [
    Rgb([26, 95, 180]),
    Rgb([198, 70, 0]),
    Rgb([38, 162, 105]),
    Rgb([97, 53, 131]),
    Rgb([165, 29, 45]),
    Rgb([120, 100, 20]),
];

impl Plot {
    /// Draws the plot; points that are not finite are left out.
    ///
    /// # Errors
    /// When there is no point to draw.
    pub fn render(&self) -> Result<RgbImage> {
        let points = || self.series.iter().flat_map(|series| &series.points).filter(|point| is_finite(point));
        ensure!(points().next().is_some(), "a plot needs at least one point");
        let x = range(points().map(|point| point.x).chain(self.x_names.iter().map(|(x, _)| *x)));
        let y = range(points().map(|point| point.y));
        let axes = Axes { x, y };
        let mut canvas = RgbImage::from_pixel(SIZE_PX[0], SIZE_PX[1], PAPER);
        self.draw_ticks(&axes, &mut canvas);
        for (series, colour) in self.series.iter().zip(COLOURS.iter().cycle()) {
            draw_series(series, &axes, *colour, &mut canvas);
        }
        self.write_captions(&mut canvas);
        Ok(canvas)
    }

    fn draw_ticks(&self, axes: &Axes, canvas: &mut RgbImage) {
        let [left, right, top, bottom] = MARGIN_PX.map(i64::from);
        let [width, height] = SIZE_PX.map(i64::from);
        let size = TextSize::Small;
        for value in round_numbers(&axes.y) {
            let y = axes.pixel(axes.x.start, value).1;
            line(canvas, [(left, y), (width - right, y)], GRID);
            let words = short(value);
            let x_px = (left as u32).saturating_sub(size.width_px(&words) + 8);
            write(canvas, (x_px, (y as u32).saturating_sub(size.line_px() / 2)), &words, INK);
        }
        let numbers = || round_numbers(&axes.x).into_iter().map(|value| (value, short(value))).collect();
        let names: Vec<(f64, String)> = if self.x_names.is_empty() { numbers() } else { self.x_names.clone() };
        for (value, name) in names {
            let x = axes.pixel(value, axes.y.start).0;
            line(canvas, [(x, top), (x, height - bottom)], GRID);
            let x_px = (x as u32).saturating_sub(size.width_px(&name) / 2);
            write(canvas, (x_px, (height - bottom + 8) as u32), &name, INK);
        }
    }

    fn write_captions(&self, canvas: &mut RgbImage) {
        let (size, [left, _, _, bottom]) = (TextSize::Small, MARGIN_PX);
        let [x_caption, y_caption] = &self.captions;
        write(canvas, (left, 8), &format!("{}: {y_caption}", self.title), INK);
        let mut x_px = left;
        for (series, colour) in self.series.iter().zip(COLOURS.iter().cycle()).filter(|(s, _)| !s.name.is_empty()) {
            write(canvas, (x_px, 12 + size.line_px()), &series.name, *colour);
            x_px += size.width_px(&series.name) + 3 * size.char_px();
        }
        let middle = (SIZE_PX[0].saturating_sub(size.width_px(x_caption))) / 2;
        write(canvas, (middle, SIZE_PX[1] - bottom + 10 + size.line_px()), x_caption, INK);
    }
}

/// Where values lie in the picture.
struct Axes {
    x: Range<f64>,
    y: Range<f64>,
}

impl Axes {
    fn pixel(&self, x: f64, y: f64) -> (i64, i64) {
        let [left, right, top, bottom] = MARGIN_PX.map(f64::from);
        let [width, height] = SIZE_PX.map(f64::from);
        let part = |value: f64, range: &Range<f64>| (value - range.start) / (range.end - range.start);
        let across = left + part(x, &self.x) * (width - left - right);
        let down = height - bottom - part(y, &self.y) * (height - top - bottom);
        (across.round() as i64, down.round() as i64)
    }
}

fn is_finite(point: &PlotPoint) -> bool {
    point.x.is_finite() && point.y.is_finite()
}

/// From the smallest to the largest value with a little room; never empty.
fn range(values: impl Iterator<Item = f64>) -> Range<f64> {
    let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
    let room = if high > low { 0.06 * (high - low) } else { low.abs().max(1.0) * 0.1 };
    low - room..high + room
}

/// About five round numbers in a range.
fn round_numbers(range: &Range<f64>) -> Vec<f64> {
    let rough = (range.end - range.start) / 5.0;
    let power = 10f64.powf(rough.log10().floor());
    let fits = |step: &f64| *step >= rough;
    let step = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power).into_iter().find(fits).unwrap_or(rough);
    let (first, last) = ((range.start / step).ceil() as i64, (range.end / step).floor() as i64);
    (first..=last).map(|i| i as f64 * step).collect()
}

/// A number in few characters.
fn short(value: f64) -> String {
    let rounded = (value * 1e4).round() / 1e4;
    if rounded == 0.0 { "0".to_owned() } else { format!("{rounded}") }
}

fn draw_series(series: &Series, axes: &Axes, colour: Rgb<u8>, canvas: &mut RgbImage) {
    let points: Vec<&PlotPoint> = series.points.iter().filter(|point| is_finite(point)).collect();
    let pixel = |point: &PlotPoint| axes.pixel(point.x, point.y);
    for pair in points.windows(2) {
        let ends = [pixel(pair[0]), pixel(pair[1])];
        line(canvas, ends, colour);
        line(canvas, ends.map(|(x, y)| (x, y + 1)), colour);
    }
    for point in points {
        let (x, y) = pixel(point);
        for dy in -3..=3 {
            line(canvas, [(x - 3, y + dy), (x + 3, y + dy)], colour);
        }
        let place = ((x + 6).max(0) as u32, (y - 18).max(0) as u32);
        write(canvas, place, &point.label, colour);
    }
}

fn write(canvas: &mut RgbImage, (x_px, y_px): (u32, u32), words: &str, ink: Rgb<u8>) {
    text::draw(canvas, Place { x_px, y_px }, words, (TextSize::Small, ink));
}

fn line(canvas: &mut RgbImage, [from, to]: [(i64, i64); 2], ink: Rgb<u8>) {
    let (dx, dy) = (to.0 - from.0, to.1 - from.1);
    let n_points = dx.abs().max(dy.abs()).max(1);
    for i in 0..=n_points {
        let (x, y) = (from.0 + dx * i / n_points, from.1 + dy * i / n_points);
        let (Ok(x), Ok(y)) = (u32::try_from(x), u32::try_from(y)) else { continue };
        if let Some(pixel) = canvas.get_pixel_mut_checked(x, y) {
            *pixel = ink;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plot(points: &[(f64, f64)]) -> Plot {
        let points = points.iter().map(|&(x, y)| PlotPoint { x, y, label: String::new() }).collect();
        let series = vec![Series { name: "a".to_owned(), points }];
        Plot { title: "t".to_owned(), captions: ["x".to_owned(), "y".to_owned()], x_names: vec![], series }
    }

    /// Where the line's ink lies in a column, from the top.
    fn row_of_ink(picture: &RgbImage, columns: Range<u32>) -> Option<u32> {
        (80..340).find(|&y| columns.clone().any(|x| picture.get_pixel(x, y) == &COLOURS[0]))
    }

    #[test]
    fn larger_values_stand_higher() {
        let picture = plot(&[(0.0, 0.0), (1.0, 1.0)]).render().expect("a plot");
        let (left, right) = (row_of_ink(&picture, 110..130), row_of_ink(&picture, 600..620));
        assert!(left > right && right.is_some(), "{left:?} {right:?}");
    }

    #[test]
    fn one_point_is_enough_and_none_is_not() {
        assert!(plot(&[(3.0, 3.0)]).render().is_ok());
        assert!(plot(&[]).render().is_err() && plot(&[(f64::NAN, 1.0)]).render().is_err());
    }

    #[test]
    fn ticks_are_round_and_inside() {
        let ticks = |range| round_numbers(&range).into_iter().map(short).collect::<Vec<_>>();
        assert_eq!(ticks(0.03..1.01), ["0.2", "0.4", "0.6", "0.8", "1"]);
        assert_eq!(ticks(-1.1..1.1), ["-1", "-0.5", "0", "0.5", "1"]);
    }
}
