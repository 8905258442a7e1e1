//! How the generator grew: the fixed grid at each snapshot, as an animation.
//!
//! Pictures of the grid may be as large as a wall. What goes into the film is cut out and made small once, and kept, so
//! that a report in the thousandth hour costs no more than one in the first.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use image::imageops::FilterType;
use image::{DynamicImage, GenericImageView, RgbImage};

use crate::report::record::RunRecord;
use crate::sheet::PAPER;
use crate::sheet::text::{self, Place, TextSize};
use crate::store::animation::{self, Frames};
use crate::store::{folder, photo, picture};

/// Columns and rows of the grid that are shown.
const CELLS: (u32, u32) = (6, 4);
/// Width of the film in pixels, at most.
const WIDTH_PX: u32 = 768;
/// Most pictures in a film.
const PICTURES: usize = 100;
const RATE: Frames = Frames { per_second: 5.0 };
const INK: image::Rgb<u8> = image::Rgb([96, 99, 104]);

/// Writes `timelapse.gif` beside the curves; `None` with less than two pictures.
pub(super) fn write(record: &RunRecord, inner: &Path) -> Result<Option<PathBuf>> {
    let all: Vec<(u64, &Path)> = record.fakes.iter().map(|(kimg, path)| (*kimg, path.as_path())).collect();
    if all.len() < 2 {
        return Ok(None);
    }
    let small = inner.join("frames");
    folder::create(&small)?;
    let frames = evenly(&all).into_iter().map(|(kimg, path)| frame((kimg, path), record.cell_px(), &small));
    let frames = frames.collect::<Result<Vec<_>>>()?;
    // A run that was begun anew with another grid has pictures of another size; the last ones count.
    let size = frames.last().map(GenericImageView::dimensions);
    let frames: Vec<DynamicImage> = frames.into_iter().filter(|frame| Some(frame.dimensions()) == size).collect();
    let path = inner.join("timelapse.gif");
    animation::write(&path, &frames, RATE)?;
    Ok(Some(path))
}

/// At most [`PICTURES`], the first and the last among them.
fn evenly<'a>(all: &[(u64, &'a Path)]) -> Vec<(u64, &'a Path)> {
    let count = all.len().min(PICTURES);
    (0..count).map(|i| all[i * (all.len() - 1) / (count - 1).max(1)]).collect()
}

/// The small picture of one snapshot, from the folder of those or made now.
fn frame((kimg, path): (u64, &Path), cell_px: Option<u32>, small: &Path) -> Result<DynamicImage> {
    let kept = small.join(path.file_name().context("a picture has a name")?);
    let newer = |a: &Path, b: &Path| Some(a.metadata().ok()?.modified().ok()? >= b.metadata().ok()?.modified().ok()?);
    if newer(&kept, path) == Some(true) {
        return photo::read(&kept);
    }
    let cut = cut_out(&photo::read(path)?, cell_px);
    let captioned = DynamicImage::from(caption(&cut, &format!("{kimg} kimg")));
    picture::write(&kept, &captioned)?;
    Ok(captioned)
}

/// The first cells of the grid, no wider than the film.
fn cut_out(grid: &DynamicImage, cell_px: Option<u32>) -> RgbImage {
    let (width, height) = grid.dimensions();
    let cells = |count: u32, len: u32| cell_px.map_or(len, |px| (count * px).min(len));
    let cut = grid.crop_imm(0, 0, cells(CELLS.0, width), cells(CELLS.1, height));
    if cut.width() <= WIDTH_PX {
        return cut.into_rgb8();
    }
    let rows = (u64::from(cut.height()) * u64::from(WIDTH_PX) / u64::from(cut.width())).max(1) as u32;
    cut.resize_exact(WIDTH_PX, rows, FilterType::Triangle).into_rgb8()
}

/// Puts a line of text below a picture.
fn caption(above: &RgbImage, words: &str) -> RgbImage {
    let size = TextSize::Small;
    let mut both = RgbImage::from_pixel(above.width(), above.height() + size.line_px() + 8, PAPER);
    image::imageops::replace(&mut both, above, 0, 0);
    text::draw(&mut both, Place { x_px: 4, y_px: above.height() + 4 }, words, (size, INK));
    both
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_runs_are_thinned_from_the_first_picture_to_the_last() {
        let all: Vec<(u64, &Path)> = (0..250).map(|kimg| (kimg, Path::new(""))).collect();
        let kept: Vec<u64> = evenly(&all).into_iter().map(|(kimg, _)| kimg).collect();
        assert_eq!((kept.len(), kept[0], kept[99]), (100, 0, 249));
        assert_eq!(evenly(&all[..3]).len(), 3);
    }

    #[test]
    fn only_the_first_cells_are_shown_and_never_too_wide() {
        let grid = DynamicImage::new_rgb8(64 * 32, 64 * 16);
        assert_eq!(cut_out(&grid, Some(64)).dimensions(), (384, 256));
        assert_eq!(cut_out(&grid, Some(1024)).dimensions(), (768, 384));
        assert_eq!(cut_out(&grid, None).dimensions(), (768, 384));
    }
}
