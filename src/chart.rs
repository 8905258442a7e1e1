//! Numbers over numbers to a picture: lines on a grid, with captions in the face of the sheets.

use std::ops::Range;

use anyhow::{Result, anyhow, ensure};
use image::{Rgb, RgbImage};
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;

use crate::sheet::PAPER;
use crate::sheet::text::{self, Place, TextSize};

/// Lines over a common axis.
#[derive(Clone, Debug)]
pub struct Chart {
    /// One line above everything.
    pub title: String,
    /// What is counted along the horizontal axis.
    pub x_caption: String,
    /// How values become heights.
    pub scale: Scale,
    /// The lines, first one in the strongest colour.
    pub lines: Vec<Line>,
}

/// How values become heights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// Equal differences are equally high.
    Linear,
    /// Equal ratios are equally high; only values above 0 are shown.
    Logarithmic,
}

/// One line of a chart.
#[derive(Clone, Debug)]
pub struct Line {
    /// What it shows.
    pub name: String,
    /// Where it goes: places along the horizontal axis, from 0, and values; those that are no numbers are left out.
    pub points: Vec<(f64, f64)>,
}

/// Width and height in pixels.
const SIZE_PX: (u32, u32) = (720, 400);
/// Room around the grid: left, right, top, bottom.
const MARGIN_PX: [u32; 4] = [80, 24, 64, 56];
const INK: Rgb<u8> = Rgb([96, 99, 104]);
const GRID: RGBColor = RGBColor(225, 225, 222);
const COLOURS: [RGBColor; 4] =
    [RGBColor(26, 95, 180), RGBColor(198, 70, 0), RGBColor(38, 162, 105), RGBColor(97, 53, 131)];

type Coordinates = Cartesian2d<RangedCoordf64, RangedCoordf64>;

impl Chart {
    /// Whether there is anything to draw.
    pub fn can_be_shown(&self) -> bool {
        self.lines.iter().any(|line| line.shown(self.scale).next().is_some())
    }

    /// Draws the chart.
    ///
    /// # Errors
    /// When no line has a value that can be shown.
    pub fn render(&self) -> Result<RgbImage> {
        let (width, height) = SIZE_PX;
        let (x_range, y_range) = self.ranges()?;
        let (x_ticks, y_ticks) = (linear_ticks(&(0.0..x_range.end)), self.scale.ticks(&y_range));
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
        let shown = self.lines.iter().flat_map(|line| line.shown(self.scale));
        let (mut end, mut low, mut high) = (0.0f64, f64::INFINITY, f64::NEG_INFINITY);
        for (x, y) in shown {
            (end, low, high) = (end.max(x), low.min(y), high.max(y));
        }
        ensure!(low <= high, "a chart needs at least one value that it can show");
        Ok((0.0..if end > 0.0 { end } else { 1.0 }, self.scale.room_around(low, high)))
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
        let height = |y: f64| self.scale.height(y);
        let coordinates = Coordinates::new(x_range.clone(), height(y_range.start)..height(y_range.end), pixels);
        let area = inner.apply_coord_spec(coordinates);
        let draw = |points: Vec<(f64, f64)>, style: ShapeStyle| {
            area.draw(&PathElement::new(points, style)).map_err(|error| error.to_string())
        };
        for &y in y_ticks {
            draw(vec![(x_range.start, height(y)), (x_range.end, height(y))], GRID.into())?;
        }
        for (line, colour) in self.lines.iter().zip(COLOURS.iter().cycle()) {
            draw(line.shown(self.scale).map(|(x, y)| (x, height(y))).collect(), colour.stroke_width(2))?;
        }
        let pixel = |x: f64, y: f64| area.map_coordinate(&(x, height(y)));
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
    /// A line of values one a step, the first at 1.
    pub fn by_step(name: &str, values: &[f64]) -> Self {
        let points = values.iter().enumerate().map(|(step, value)| (step as f64 + 1.0, *value)).collect();
        Line { name: name.to_owned(), points }
    }

    fn shown(&self, scale: Scale) -> impl Iterator<Item = (f64, f64)> {
        let can_be_shown = move |y: f64| match scale {
            Scale::Linear => true,
            Scale::Logarithmic => y > 0.0,
        };
        self.points.iter().copied().filter(move |&(x, y)| x.is_finite() && y.is_finite() && can_be_shown(y))
    }
}

impl Scale {
    /// What is drawn in proportion.
    fn height(self, value: f64) -> f64 {
        match self {
            Scale::Linear => value,
            Scale::Logarithmic => value.log10(),
        }
    }

    fn room_around(self, low: f64, high: f64) -> Range<f64> {
        match self {
            Scale::Logarithmic => low / 1.1..high * 1.1,
            Scale::Linear => {
                let room = if high > low { (high - low) * 0.05 } else { low.abs().max(1.0) * 0.05 };
                low - room..high + room
            }
        }
    }

    fn ticks(self, range: &Range<f64>) -> Vec<f64> {
        match self {
            Scale::Linear => linear_ticks(range),
            Scale::Logarithmic => logarithmic_ticks(range),
        }
    }
}

/// About five round numbers within the range.
fn linear_ticks(range: &Range<f64>) -> Vec<f64> {
    let rough = (range.end - range.start) / 5.0;
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power).into_iter().find(|step| *step >= rough);
    let step = step.unwrap_or(rough);
    // The last may lie beyond the end by rounding alone.
    let (first, last) = ((range.start / step).ceil() as i64, (range.end / step + 1e-9).floor() as i64);
    (first..=last).map(|i| i as f64 * step).collect()
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
    if value != 0.0 && !(1e-3..1e5).contains(&value.abs()) {
        return format!("{value:.0e}");
    }
    // Multiples of a step such as 0.1 carry rounding in their last digits.
    format!("{}", (value * 1e6).round() / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(values: &[f64]) -> Chart {
        let lines = vec![Line::by_step("loss", values)];
        Chart { title: "a projection".into(), x_caption: "steps".into(), scale: Scale::Logarithmic, lines }
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
        assert_eq!(linear_ticks(&(0.0..1000.0)), [0.0, 200.0, 400.0, 600.0, 800.0, 1000.0]);
        assert_eq!(linear_ticks(&(0.0..3.0)), [0.0, 1.0, 2.0, 3.0]);
        assert_eq!(linear_ticks(&(-1.05..1.05)), [-1.0, -0.5, 0.0, 0.5, 1.0]);
        assert_eq!(logarithmic_ticks(&(0.15..6.0)), [0.2, 0.5, 1.0, 2.0, 5.0]);
        assert_eq!(logarithmic_ticks(&(1e-4..2.0)).len(), 5);
        assert_eq!([short(3.0 * 0.1), short(-0.5), short(-2e-4)], ["0.3", "-0.5", "-2e-4"]);
        assert_eq!([short(0.05), short(20.0), short(0.0), short(1e-7)], ["0.05", "20", "0", "1e-7"]);
    }

    #[test]
    fn values_below_zero_are_shown_on_a_linear_scale() {
        let signs = Line { name: "signs".into(), points: vec![(0.0, -1.0), (4.0, 1.0)] };
        let level = Line { name: "level".into(), points: vec![(0.0, 0.5), (4.0, 0.5)] };
        for lines in [vec![signs.clone()], vec![level.clone()], vec![signs, level]] {
            let chart = Chart { scale: Scale::Linear, lines, ..chart(&[]) };
            assert!(chart.render().unwrap().pixels().any(|pixel| pixel.0 == [26, 95, 180]));
        }
    }

    #[test]
    fn nothing_to_show_is_an_error_and_odd_values_are_left_out() {
        assert!(chart(&[]).render().is_err() && chart(&[0.0, f64::NAN]).render().is_err());
        assert!(chart(&[0.0, 1.0, f64::INFINITY]).render().is_ok());
    }
}
