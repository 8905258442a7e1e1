//! Numbers over numbers to a picture: lines on a grid, with captions in the face of the sheets.

use std::ops::Range;

use anyhow::{Result, anyhow, ensure};
use image::{Rgb, RgbImage};
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;

use crate::sheet::PAPER;
use crate::sheet::text::{self, Place, TextSize};

/// Lines over a common axis, the values on a logarithmic one.
#[derive(Clone, Debug)]
pub struct Chart {
    /// One line above everything.
    pub title: String,
    /// What is counted along the horizontal axis.
    pub x_caption: String,
    /// The lines, first one in the strongest colour.
    pub lines: Vec<Line>,
}

/// One line of a chart.
#[derive(Clone, Debug)]
pub struct Line {
    /// What it shows.
    pub name: String,
    /// Its values, one a step from 1; those that are not above 0 are left out.
    pub values: Vec<f64>,
}

/// Width and height in pixels.
const SIZE_PX: (u32, u32) = (720, 400);
/// Room around the grid: left, right, top, bottom.
const MARGIN_PX: [u32; 4] = [80, 24, 64, 56];
const INK: Rgb<u8> = Rgb([96, 99, 104]);
const GRID: RGBColor = RGBColor(225, 225, 222);
const COLOURS: [RGBColor; 4] =
    [RGBColor(26, 95, 180), RGBColor(198, 70, 0), RGBColor(38, 162, 105), RGBColor(97, 53, 131)];

type Coordinates<'a> = Cartesian2d<RangedCoordf64, LogCoord<f64>>;

impl Chart {
    /// Draws the chart.
    ///
    /// # Errors
    /// When no line has a value above 0.
    pub fn render(&self) -> Result<RgbImage> {
        let (width, height) = SIZE_PX;
        let (x_range, y_range) = self.ranges()?;
        let (x_ticks, y_ticks) = (linear_ticks(x_range.end), logarithmic_ticks(&y_range));
        let mut bytes = RgbImage::from_pixel(width, height, PAPER).into_raw();
        let at = self
            .draw_lines(&mut bytes, (x_range, y_range), (&x_ticks, &y_ticks))
            .map_err(|error| anyhow!("cannot draw a chart: {error}"))?;
        let mut picture = RgbImage::from_raw(width, height, bytes).expect("the buffer has the picture's size");
        self.write_captions(
            &mut picture,
            &x_ticks.iter().zip(at.0).collect::<Vec<_>>(),
            &y_ticks.iter().zip(at.1).collect::<Vec<_>>(),
        );
        Ok(picture)
    }

    fn ranges(&self) -> Result<(Range<f64>, Range<f64>)> {
        let shown = self.lines.iter().flat_map(|line| line.points());
        let (mut steps, mut low, mut high) = (1.0f64, f64::INFINITY, 0.0f64);
        for (x, y) in shown {
            (steps, low, high) = (steps.max(x), low.min(y), high.max(y));
        }
        ensure!(low <= high, "a chart needs at least one value above 0");
        Ok((0.0..steps, low / 1.1..high * 1.1))
    }

    /// Draws grid and lines; returns where the ticks are, in pixels.
    fn draw_lines(
        &self,
        bytes: &mut [u8],
        (x_range, y_range): (Range<f64>, Range<f64>),
        (x_ticks, y_ticks): (&[f64], &[f64]),
    ) -> std::result::Result<(Vec<u32>, Vec<u32>), Box<dyn std::error::Error + '_>> {
        let canvas = BitMapBackend::with_buffer(bytes, SIZE_PX).into_drawing_area();
        let [left, right, top, bottom] = MARGIN_PX.map(|px| px as i32);
        let inner = canvas.margin(top, bottom, left, right);
        let (columns, rows) = inner.get_pixel_range();
        // Rows are counted from the top, values from the bottom.
        let pixels = (columns, rows.end..rows.start);
        let coordinates = Coordinates::new(x_range.clone(), y_range.clone().log_scale(), pixels);
        let area = inner.apply_coord_spec(coordinates);
        let draw = |points: Vec<(f64, f64)>, style: ShapeStyle| {
            area.draw(&PathElement::new(points, style)).map_err(|error| error.to_string())
        };
        for &y in y_ticks {
            draw(vec![(x_range.start, y), (x_range.end, y)], GRID.into())?;
        }
        for (line, colour) in self.lines.iter().zip(COLOURS.iter().cycle()) {
            draw(line.points().collect(), colour.stroke_width(2))?;
        }
        let pixel = |x: f64, y: f64| area.map_coordinate(&(x, y));
        let xs = x_ticks.iter().map(|&x| pixel(x, y_range.start).0.max(0) as u32).collect();
        let ys = y_ticks.iter().map(|&y| pixel(0.0, y).1.max(0) as u32).collect();
        Ok((xs, ys))
    }

    fn write_captions(&self, picture: &mut RgbImage, x_ticks: &[(&f64, u32)], y_ticks: &[(&f64, u32)]) {
        let (size, [left, _, top, bottom]) = (TextSize::Small, MARGIN_PX);
        let mut write =
            |x_px: u32, y_px: u32, words: &str, ink| text::draw(picture, Place { x_px, y_px }, words, (size, ink));
        write(left, 8, &self.title, INK);
        let mut x_px = left;
        for (line, colour) in self.lines.iter().zip(COLOURS.iter().cycle()) {
            write(x_px, 12 + size.line_px(), &line.name, Rgb([colour.0, colour.1, colour.2]));
            x_px += size.width_px(&line.name) + 3 * size.char_px();
        }
        for (value, y_px) in y_ticks {
            let words = short(**value);
            write(
                left.saturating_sub(size.width_px(&words) + 8),
                y_px.saturating_sub(size.line_px() / 2).max(top / 2),
                &words,
                INK,
            );
        }
        let below = SIZE_PX.1 - bottom + 8;
        for (value, x_px) in x_ticks {
            let words = short(**value);
            write(x_px.saturating_sub(size.width_px(&words) / 2), below, &words, INK);
        }
        let middle = (SIZE_PX.0 - size.width_px(&self.x_caption)) / 2;
        write(middle, below + size.line_px() + 2, &self.x_caption, INK);
    }
}

impl Line {
    fn points(&self) -> impl Iterator<Item = (f64, f64)> {
        let all = self.values.iter().enumerate().map(|(step, value)| (step as f64 + 1.0, *value));
        all.filter(|(_, value)| *value > 0.0 && value.is_finite())
    }
}

/// About five round numbers from 0 to `end`.
fn linear_ticks(end: f64) -> Vec<f64> {
    let rough = end / 5.0;
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power).into_iter().find(|step| *step >= rough);
    let step = step.unwrap_or(rough).max(1.0);
    (0..=(end / step) as usize).map(|i| i as f64 * step).collect()
}

/// 1, 2 and 5 times powers of ten within the range, or the powers alone where those would be many.
fn logarithmic_ticks(range: &Range<f64>) -> Vec<f64> {
    const MANY: usize = 8;
    let powers = range.start.log10().floor() as i32..=range.end.log10().ceil() as i32;
    let ticks = |factors: &[f64]| -> Vec<f64> {
        let all = powers.clone().flat_map(|power| factors.iter().map(move |factor| factor * 10f64.powi(power)));
        all.filter(|tick| range.contains(tick)).collect()
    };
    let fine = ticks(&[1.0, 2.0, 5.0]);
    if fine.len() > MANY { ticks(&[1.0]) } else { fine }
}

/// A round number in as few characters as it needs.
fn short(value: f64) -> String {
    if value != 0.0 && !(1e-3..1e5).contains(&value) { format!("{value:.0e}") } else { format!("{value}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(values: &[f64]) -> Chart {
        let lines = vec![Line { name: "loss".into(), values: values.to_vec() }];
        Chart { title: "a projection".into(), x_caption: "steps".into(), lines }
    }

    #[test]
    fn a_falling_line_runs_from_the_upper_left_to_the_lower_right() {
        let drawn = chart(&[100.0, 10.0, 1.0, 0.1]).render().unwrap();
        let blue = |x: u32, y: u32| drawn.get_pixel(x, y).0 == [26, 95, 180];
        let height = |x: u32| (MARGIN_PX[2]..SIZE_PX.1).find(|y| blue(x, *y));
        // The first of the four values stands at a quarter of the width.
        let (left, right) = (height(SIZE_PX.0 / 2).unwrap(), height(SIZE_PX.0 - MARGIN_PX[1] - 20).unwrap());
        assert!(left < right, "{left} px, then {right} px from the top");
    }

    #[test]
    fn ticks_are_round_and_few() {
        assert_eq!(linear_ticks(1000.0), [0.0, 200.0, 400.0, 600.0, 800.0, 1000.0]);
        assert_eq!(linear_ticks(3.0), [0.0, 1.0, 2.0, 3.0]);
        assert_eq!(logarithmic_ticks(&(0.15..6.0)), [0.2, 0.5, 1.0, 2.0, 5.0]);
        assert_eq!(logarithmic_ticks(&(1e-4..2.0)).len(), 5);
        assert_eq!([short(0.05), short(20.0), short(0.0), short(1e-7)], ["0.05", "20", "0", "1e-7"]);
    }

    #[test]
    fn nothing_to_show_is_an_error_and_odd_values_are_left_out() {
        assert!(chart(&[]).render().is_err() && chart(&[0.0, f64::NAN]).render().is_err());
        assert!(chart(&[0.0, 1.0, f64::INFINITY]).render().is_ok());
    }
}
