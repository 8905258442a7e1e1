//! Pictures to one picture: a captioned [`Sheet`] for reading, a bare [`tile`] for the published grids.
//!
//! Columns are captioned above, rows at the left. Small pictures are enlarged by whole factors, so that every pixel of
//! a tiny network stays a crisp square; larger ones are reduced smoothly. Nothing here reads or writes files.

pub mod text;

use anyhow::{Result, ensure};
use image::imageops::{self, FilterType};
use image::{DynamicImage, Rgb, RgbImage};

use text::{Place, TextSize};

/// The colour between the pictures.
pub const PAPER: Rgb<u8> = Rgb([250, 250, 248]);
const TITLE_INK: Rgb<u8> = Rgb([32, 33, 36]);
const CAPTION_INK: Rgb<u8> = Rgb([96, 99, 104]);

/// Longest caption of a row, in characters; longer ones are shortened.
const ROW_CAPTION_CHARS: u32 = 28;
/// Room between a column's caption and its first picture.
const CAPTION_DROP_PX: u32 = 6;
/// Longest side of a sheet in pixels: what a PNG viewer still opens.
const MAX_SIDE_PX: u64 = 32_768;

/// Pictures in rows and columns with captions.
#[derive(Clone, Debug)]
pub struct Sheet {
    /// One line above everything; empty for none.
    pub title: String,
    /// A caption for each column, from the left; all may be empty.
    pub columns: Vec<String>,
    /// A caption for each row, from the top; all may be empty.
    pub rows: Vec<String>,
    /// `rows · columns` pictures, gray or in colours, row by row.
    pub cells: Vec<DynamicImage>,
    /// Side of the square into which each picture is fitted, in pixels.
    pub cell_px: u32,
}

impl Sheet {
    /// A good cell for most screens, in pixels.
    pub const CELL_PX: u32 = 256;

    /// Draws the sheet.
    ///
    /// # Errors
    /// When the number of pictures is not that of rows times columns, when one of them is empty, or when the result
    /// would be wider or higher than 32768 px.
    pub fn render(&self) -> Result<RgbImage> {
        self.render_with_notes(&[])
    }

    /// Draws the sheet with a line under each picture, row by row; without notes there is no room for them either.
    ///
    /// # Errors
    /// As [`Sheet::render`], and when the notes are neither none nor one for each picture.
    pub fn render_with_notes(&self, notes: &[String]) -> Result<RgbImage> {
        let (n_rows, n_columns) = (self.rows.len(), self.columns.len());
        let n_cells = self.cells.len();
        ensure!(n_cells > 0 && self.cell_px > 0, "a sheet needs at least one picture and cells of at least 1 px");
        ensure!(n_cells == n_rows * n_columns, "{n_cells} pictures do not fill {n_rows} rows of {n_columns}");
        ensure!(notes.is_empty() || notes.len() == n_cells, "{} notes do not fit {n_cells} pictures", notes.len());
        let layout = Layout::of(self).with_notes(notes);
        let (width, height) = layout.size_px(n_columns, n_rows)?;
        let mut canvas = RgbImage::from_pixel(width, height, PAPER);
        layout.draw_captions(self, &mut canvas);
        for (i, cell) in self.cells.iter().enumerate() {
            ensure!(cell.width() > 0 && cell.height() > 0, "picture {i} of the sheet is empty");
            let Place { x_px, y_px } = layout.cell(i % n_columns, i / n_columns);
            let picture = fit(cell, self.cell_px);
            let (dx, dy) = ((self.cell_px - picture.width()) / 2, (self.cell_px - picture.height()) / 2);
            imageops::replace(&mut canvas, &picture, i64::from(x_px + dx), i64::from(y_px + dy));
            if let Some(note) = notes.get(i) {
                layout.draw_note(note, Place { x_px, y_px }, &mut canvas);
            }
        }
        Ok(canvas)
    }
}

/// Scales `picture` into a square of `side_px`: up by a whole factor, down smoothly, its shape kept.
fn fit(picture: &DynamicImage, side_px: u32) -> RgbImage {
    let (width, height) = (picture.width(), picture.height());
    let longest = width.max(height);
    let rgb = picture.to_rgb8();
    match side_px / longest {
        0 => {
            let scaled = |px: u32| (u64::from(px) * u64::from(side_px)).div_ceil(u64::from(longest)) as u32;
            imageops::resize(&rgb, scaled(width), scaled(height), FilterType::CatmullRom)
        }
        1 => rgb,
        factor => imageops::resize(&rgb, width * factor, height * factor, FilterType::Nearest),
    }
}

/// Where things stand on a sheet; all lengths in pixels.
struct Layout {
    cell: u32,
    /// Height of the notes under the cells.
    notes: u32,
    gap: u32,
    margin: u32,
    /// Left edge of the first column, behind the row captions.
    left: u32,
    /// Upper edge of the first row, below title and column captions.
    top: u32,
    caption: TextSize,
    title: TextSize,
}

impl Layout {
    fn of(sheet: &Sheet) -> Layout {
        let cell = sheet.cell_px;
        let (caption, title) = match cell {
            0..=383 => (TextSize::Small, TextSize::Medium),
            384..=767 => (TextSize::Medium, TextSize::Large),
            _ => (TextSize::Large, TextSize::Large),
        };
        let line = caption.line_px();
        let margin = 2 * line;
        let widest = sheet.rows.iter().map(|row| row.chars().count() as u32).max().unwrap_or(0);
        let gutter = match widest.min(ROW_CAPTION_CHARS) {
            0 => 0,
            chars => chars * caption.char_px() + line,
        };
        let above = if sheet.columns.iter().any(|column| !column.is_empty()) { line + CAPTION_DROP_PX } else { 0 };
        let header = if sheet.title.is_empty() { 0 } else { title.line_px() + line };
        Layout {
            cell,
            notes: 0,
            gap: (cell / 32).clamp(6, 16),
            margin,
            left: margin + gutter,
            top: margin + header + above,
            caption,
            title,
        }
    }

    /// Makes room for a line under each cell, if there are notes.
    fn with_notes(self, notes: &[String]) -> Layout {
        Layout { notes: if notes.is_empty() { 0 } else { TextSize::Small.line_px() }, ..self }
    }

    /// Upper left corner of a cell.
    fn cell(&self, column: usize, row: usize) -> Place {
        let (across, down) = (self.cell + self.gap, self.cell + self.notes + self.gap);
        Place { x_px: self.left + column as u32 * across, y_px: self.top + row as u32 * down }
    }

    fn draw_note(&self, note: &str, cell: Place, canvas: &mut RgbImage) {
        let size = TextSize::Small;
        let words = size.shorten(note, self.cell);
        let x_px = cell.x_px + (self.cell - size.width_px(&words)) / 2;
        text::draw(canvas, Place { x_px, y_px: cell.y_px + self.cell }, &words, (size, CAPTION_INK));
    }

    /// Width and height of the whole sheet.
    fn size_px(&self, n_columns: usize, n_rows: usize) -> Result<(u32, u32)> {
        let side = |start: u32, cell: u32, n: usize| {
            let step = u64::from(cell) + u64::from(self.gap);
            u64::from(start) + step.saturating_mul(n as u64) - u64::from(self.gap) + u64::from(self.margin)
        };
        let (width, height) = (side(self.left, self.cell, n_columns), side(self.top, self.cell + self.notes, n_rows));
        ensure!(
            width.max(height) <= MAX_SIDE_PX,
            "the sheet would be {width}x{height} px, at most {MAX_SIDE_PX} are possible: use fewer or smaller cells"
        );
        Ok((width as u32, height as u32))
    }

    fn draw_captions(&self, sheet: &Sheet, canvas: &mut RgbImage) {
        let caption = (self.caption, CAPTION_INK);
        let room = canvas.width() - 2 * self.margin;
        let fits = |size: &TextSize| size.width_px(&sheet.title) <= room;
        let size = [self.title, TextSize::Small].into_iter().find(fits).unwrap_or(TextSize::Small);
        let title = size.shorten(&sheet.title, room);
        // Above the first column; a title that is too long for that begins further left.
        let x_px = self.left.min(canvas.width() - self.margin - size.width_px(&title));
        text::draw(canvas, Place { x_px, y_px: self.margin }, &title, (size, TITLE_INK));
        for (i, column) in sheet.columns.iter().enumerate() {
            let words = self.caption.shorten(column, self.cell);
            let x_px = self.cell(i, 0).x_px + (self.cell - self.caption.width_px(&words)) / 2;
            let y_px = self.top - self.caption.line_px() - CAPTION_DROP_PX;
            text::draw(canvas, Place { x_px, y_px }, &words, caption);
        }
        for (i, row) in sheet.rows.iter().enumerate() {
            let words = self.caption.shorten(row, ROW_CAPTION_CHARS * self.caption.char_px());
            let x_px = self.left - self.caption.line_px().min(self.left) - self.caption.width_px(&words);
            let y_px = self.cell(0, i).y_px + (self.cell.saturating_sub(self.caption.line_px())) / 2;
            text::draw(canvas, Place { x_px, y_px }, &words, caption);
        }
    }
}

/// Sets pictures of one size edge to edge, `n_columns` in a row, as the published grids are; `None` stays black.
///
/// # Errors
/// When there is no picture, when the pictures differ in size, when they do not fill the rows, or when the result would
/// be wider or higher than 32768 px.
pub fn tile(cells: &[Option<RgbImage>], n_columns: usize) -> Result<RgbImage> {
    let Some(first) = cells.iter().flatten().next() else { anyhow::bail!("a grid needs at least one picture") };
    let (width, height) = first.dimensions();
    let n_rows = cells.len() / n_columns.max(1);
    ensure!(n_rows * n_columns == cells.len(), "{} pictures do not fill rows of {n_columns}", cells.len());
    let side = |px: u32, n: usize| u64::from(px).saturating_mul(n as u64);
    let (w, h) = (side(width, n_columns), side(height, n_rows));
    ensure!(w.max(h) <= MAX_SIDE_PX, "the grid would be {w}x{h} px, at most {MAX_SIDE_PX} are possible");
    let mut canvas = RgbImage::new(w as u32, h as u32);
    for (i, cell) in cells.iter().enumerate() {
        let Some(picture) = cell else { continue };
        ensure!(picture.dimensions() == (width, height), "the pictures of a grid need one size");
        let (column, row) = (i % n_columns, i / n_columns);
        imageops::replace(&mut canvas, picture, side(width, column) as i64, side(height, row) as i64);
    }
    Ok(canvas)
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::GrayImage;

    fn plain(width: u32, height: u32, rgb: [u8; 3]) -> DynamicImage {
        RgbImage::from_pixel(width, height, Rgb(rgb)).into()
    }

    fn sheet(columns: &[&str], rows: &[&str], cells: Vec<DynamicImage>) -> Sheet {
        let owned = |names: &[&str]| names.iter().map(|name| name.to_string()).collect();
        Sheet { title: String::new(), columns: owned(columns), rows: owned(rows), cells, cell_px: 64 }
    }

    fn count(picture: &RgbImage, rgb: [u8; 3]) -> usize {
        picture.pixels().filter(|pixel| pixel.0 == rgb).count()
    }

    #[test]
    fn every_picture_is_there_in_its_place() {
        let colours = [[200, 0, 0], [0, 200, 0], [0, 0, 200], [9, 9, 9]];
        let cells = colours.iter().map(|rgb| plain(64, 64, *rgb)).collect();
        let drawn = sheet(&["base", "toon"], &["seed 1", "seed 2"], cells).render().unwrap();
        for rgb in colours {
            assert_eq!(count(&drawn, rgb), 64 * 64, "{rgb:?}");
        }
        let corner = |rgb: [u8; 3]| drawn.enumerate_pixels().find(|(_, _, pixel)| pixel.0 == rgb).unwrap();
        let [red, green, blue, _] = colours.map(|rgb| (corner(rgb).0, corner(rgb).1));
        assert_eq!((green.0 - red.0, green.1), (64 + 6, red.1));
        assert_eq!((blue.0, blue.1 - red.1), (red.0, 64 + 6));
    }

    #[test]
    fn captions_take_room_only_where_there_are_any() {
        let size = |columns: &[&str], rows: &[&str]| {
            sheet(columns, rows, vec![plain(64, 64, [0; 3])]).render().unwrap().dimensions()
        };
        let (bare_w, bare_h) = size(&[""], &[""]);
        assert_eq!((bare_w, bare_h), (64 + 64, 64 + 64));
        assert_eq!(size(&["column"], &[""]), (bare_w, bare_h + 16 + 6));
        assert!(size(&[""], &["a row"]).0 > bare_w);
    }

    #[test]
    fn small_pictures_grow_by_whole_factors_and_large_ones_shrink() {
        let check = |width, height, expected| {
            assert_eq!(fit(&plain(width, height, [7; 3]), 64).dimensions(), expected, "{width}x{height}");
        };
        check(16, 16, (64, 64));
        check(24, 24, (48, 48));
        check(64, 32, (64, 32));
        check(128, 64, (64, 32));
        check(1000, 1, (64, 1));
    }

    #[test]
    fn gray_pictures_are_accepted() {
        let gray = GrayImage::from_pixel(64, 64, image::Luma([77]));
        let drawn = sheet(&[""], &[""], vec![gray.into()]).render().unwrap();
        assert_eq!(count(&drawn, [77; 3]), 64 * 64);
    }

    #[test]
    fn captions_longer_than_their_room_stay_inside() {
        let mut wide = sheet(&[&"x".repeat(300)], &[&"y".repeat(300)], vec![plain(64, 64, [1, 2, 3])]);
        wide.title = "t".repeat(300);
        let drawn = wide.render().unwrap();
        assert_eq!(count(&drawn, [1, 2, 3]), 64 * 64);
        assert!(drawn.width() < 500);
        let edge = drawn.width() - 1;
        assert!((0..drawn.height()).all(|y| *drawn.get_pixel(0, y) == PAPER && *drawn.get_pixel(edge, y) == PAPER));
    }

    #[test]
    fn wrong_counts_and_empty_pictures_are_refused() {
        let check = |sheet: Sheet, expected: &str| {
            let text = sheet.render().unwrap_err().to_string();
            assert!(text.contains(expected), "{text}");
        };
        check(sheet(&["a", "b"], &["c"], vec![plain(4, 4, [0; 3])]), "1 pictures do not fill 1 rows of 2");
        check(sheet(&[], &[], vec![]), "at least one picture");
        check(sheet(&["a"], &["b"], vec![plain(0, 4, [0; 3])]), "is empty");
        let mut huge = sheet(&["a"], &["b"], vec![plain(4, 4, [0; 3])]);
        huge.cell_px = u32::MAX;
        check(huge, "at most 32768");
    }

    #[test]
    fn a_grid_is_bare_and_black_where_nothing_is() {
        let picture = |value| Some(RgbImage::from_pixel(2, 3, Rgb([value; 3])));
        let grid = tile(&[None, picture(1), picture(2), picture(3)], 2).unwrap();
        assert_eq!(grid.dimensions(), (4, 6));
        assert_eq!([(0, 0), (2, 0), (0, 3), (3, 5)].map(|(x, y)| grid.get_pixel(x, y).0[0]), [0, 1, 2, 3]);
        assert!(tile(&[picture(1), picture(2), picture(3)], 2).is_err());
        assert!(tile(&[None], 1).is_err() && tile(&[picture(1)], 0).is_err());
        assert!(tile(&[picture(1), Some(RgbImage::new(1, 1))], 2).is_err());
    }
}
