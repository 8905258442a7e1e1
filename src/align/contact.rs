//! Aligned faces to sheets for looking at, in the order of their names, a hundred to a page.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use image::imageops::{self, FilterType};
use image::{DynamicImage, RgbImage};
use rayon::prelude::*;

use crate::sheet::{PAPER, Sheet};
use crate::store::{photo, picture};

const N_COLUMNS: usize = 10;
const N_ROWS: usize = 10;
const CELL_PX: u32 = 128;
const NAME: &str = "contact_sheet";

/// Writes the sheets of `faces`, which are paths below `out`: `contact_sheet.png`, or `contact_sheet_001.png` and so on.
///
/// # Errors
/// When a face cannot be read or a sheet cannot be written; the message names it.
pub(super) fn write(out: &Path, faces: &[&Path]) -> Result<Vec<PathBuf>> {
    delete_sheets_of_before(out)?;
    let pages: Vec<&[&Path]> = faces.chunks(N_COLUMNS * N_ROWS).collect();
    let mut written = Vec::new();
    for (i, page) in pages.iter().enumerate() {
        let first = i * N_COLUMNS * N_ROWS;
        let title = format!("faces {} to {} of {}", first + 1, first + page.len(), faces.len());
        let name = if pages.len() == 1 { format!("{NAME}.png") } else { format!("{NAME}_{:03}.png", i + 1) };
        let path = out.join(name);
        picture::write(&path, &draw(out, page, title)?.into())?;
        written.push(path);
    }
    Ok(written)
}

/// Fewer faces may need fewer pages than last time.
fn delete_sheets_of_before(out: &Path) -> Result<()> {
    for entry in fs::read_dir(out).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix(NAME)?.strip_suffix(".png"));
        if number.is_some_and(|number| number.chars().all(|c| c == '_' || c.is_ascii_digit())) {
            let path = entry.path();
            fs::remove_file(&path).with_context(|| format!("cannot delete `{}`", path.display()))?;
        }
    }
    Ok(())
}

fn draw(out: &Path, faces: &[&Path], title: String) -> Result<RgbImage> {
    let n_columns = faces.len().min(N_COLUMNS);
    let rows = faces.chunks(n_columns).map(|row| caption(row[0])).collect::<Vec<_>>();
    let mut cells = faces.par_iter().map(|face| thumbnail(&out.join(face), CELL_PX)).collect::<Result<Vec<_>>>()?;
    cells.resize(rows.len() * n_columns, RgbImage::from_pixel(CELL_PX, CELL_PX, PAPER).into());
    Sheet { title, columns: vec![String::new(); n_columns], rows, cells, cell_px: CELL_PX }.render()
}

/// The end of the first face's name in a row: long names differ there more often than at their beginning.
fn caption(face: &Path) -> String {
    let name = face.strip_prefix("faces").unwrap_or(face).with_extension("").display().to_string();
    let n_chars = name.chars().count();
    if n_chars <= 28 { name } else { format!("..{}", name.chars().skip(n_chars - 26).collect::<String>()) }
}

/// A picture file, no larger than `side_px`.
pub(super) fn thumbnail(path: &Path, side_px: u32) -> Result<DynamicImage> {
    Ok(fit(photo::read(path)?.into_rgb8(), side_px).into())
}

/// A picture, no larger than `side_px`.
pub(super) fn fit(picture: RgbImage, side_px: u32) -> RgbImage {
    let longest = picture.width().max(picture.height());
    if longest <= side_px {
        return picture;
    }
    let side = |length: u32| ((u64::from(length) * u64::from(side_px) / u64::from(longest)) as u32).max(1);
    imageops::resize(&picture, side(picture.width()), side(picture.height()), FilterType::Triangle)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pages(n_faces: usize, folder: &Path) -> Vec<String> {
        let face = folder.join("face.png");
        picture::write(&face, &RgbImage::from_pixel(16, 16, image::Rgb([1, 2, 3])).into()).unwrap();
        let written = write(folder, &vec![Path::new("face.png"); n_faces]).unwrap();
        written.iter().map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn a_hundred_faces_fit_on_a_page_and_old_pages_go_away() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(pages(101, folder.path()), ["contact_sheet_001.png", "contact_sheet_002.png"]);
        assert_eq!(pages(3, folder.path()), ["contact_sheet.png"]);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "the face and one sheet");
        let sheet = photo::read(&folder.path().join("contact_sheet.png")).unwrap().into_rgb8();
        assert_eq!(sheet.pixels().filter(|pixel| pixel.0 == [1, 2, 3]).count(), 3 * 128 * 128);
    }

    #[test]
    fn captions_keep_the_end_of_long_names() {
        assert_eq!(caption(Path::new("faces/a/b_00.png")), "a/b_00");
        assert_eq!(caption(Path::new(&format!("faces/{}_07.png", "x".repeat(40)))), format!("..{}_07", "x".repeat(23)));
    }
}
