//! Paired images from a folder: ours, or anybody's, such as screenshots of a game and their stylised versions.
//!
//! Either `A/` and `B/` hold images of the same names, or each image of the folder (or of `pairs/`) holds A on the left
//! and B on the right. An extra channel of A is read from its alpha channel, from `depth/`, or from a third image on the right.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use image::{DynamicImage, GrayImage, RgbImage};

use super::{FOLDERS, TOGETHER};
use crate::store::{folder, photo};

/// Channels of A beside its colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extra {
    /// None.
    None,
    /// Distance from the camera, or anything else that one channel says.
    Depth,
}

/// A pair.
#[derive(Clone, Debug)]
pub struct Pair {
    /// The photo.
    pub a: RgbImage,
    /// Its extra channel.
    pub depth: Option<GrayImage>,
    /// What becomes of it.
    pub b: RgbImage,
}

/// Where the images of a pair are.
#[derive(Clone, Debug)]
enum Place {
    Files { a: PathBuf, b: PathBuf, depth: Option<PathBuf> },
    Together(PathBuf),
}

/// A set of pairs.
#[derive(Clone, Debug)]
pub struct PairSet {
    places: Vec<Place>,
    extra: Extra,
}

/// Folder of extra channels.
const DEPTH: &str = "depth";

impl PairSet {
    /// Lists the pairs in `path`.
    ///
    /// # Errors
    /// When there are none, or an image has no partner; the message names it.
    pub fn open(path: &Path, extra: Extra) -> Result<PairSet> {
        let [a, b] = FOLDERS.map(|name| path.join(name));
        let together = path.join(TOGETHER);
        let places = if a.is_dir() && b.is_dir() {
            partners(&a, &b, &path.join(DEPTH))?
        } else {
            let folder = if together.is_dir() { &together } else { path };
            folder::images(folder)?.into_iter().map(Place::Together).collect()
        };
        ensure!(!places.is_empty(), "`{}` holds no pairs", path.display());
        Ok(PairSet { places, extra })
    }

    /// Number of pairs.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Reads a pair.
    ///
    /// # Errors
    /// When an image cannot be read, or the images of the pair are not equally large; the message names it.
    pub fn get(&self, index: usize) -> Result<Pair> {
        match &self.places[index] {
            Place::Together(path) => {
                let picture = photo::read(path)?;
                split(&picture, self.extra).with_context(|| format!("cannot divide `{}`", path.display()))
            }
            Place::Files { a, b, depth } => {
                let (picture, b_picture) = (photo::read(a)?, photo::read(b)?);
                let (a_picture, depth) = match self.extra {
                    Extra::None => (colours(picture), None),
                    Extra::Depth => {
                        let both = with_depth(picture, depth.as_deref());
                        let (picture, depth) = both.with_context(|| format!("cannot use `{}`", a.display()))?;
                        (picture, Some(depth))
                    }
                };
                let (size, other) = (a_picture.dimensions(), (b_picture.width(), b_picture.height()));
                let depth_fits = depth.as_ref().is_none_or(|depth| depth.dimensions() == size);
                ensure!(size == other && depth_fits, "`{}` and its partner differ in size", a.display());
                Ok(Pair { a: a_picture, depth, b: b_picture.to_rgb8() })
            }
        }
    }
}

/// The colours of a picture, and its depth: the picture in `file`, otherwise the alpha channel.
///
/// # Errors
/// When the file cannot be read, or there is none and no alpha channel either.
pub fn with_depth(picture: DynamicImage, file: Option<&Path>) -> Result<(RgbImage, GrayImage)> {
    let depth = match file {
        Some(path) => photo::read(path)?.to_luma8(),
        None => alpha(&picture).context("it has no depth: neither an alpha channel nor a picture beside it")?,
    };
    Ok((colours(picture), depth))
}

/// Alpha stands for depth, so it is not laid over the colours.
fn colours(picture: DynamicImage) -> RgbImage {
    picture.to_rgb8()
}

fn alpha(picture: &DynamicImage) -> Option<GrayImage> {
    if !picture.color().has_alpha() {
        return None;
    }
    let rgba = picture.to_rgba8();
    let bytes = rgba.pixels().map(|pixel| pixel.0[3]).collect();
    GrayImage::from_raw(rgba.width(), rgba.height(), bytes)
}

fn by_stem(folder: &Path) -> Result<BTreeMap<String, PathBuf>> {
    if !folder.is_dir() {
        return Ok(BTreeMap::new());
    }
    let stem = |path: &PathBuf| path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    Ok(folder::images(folder)?.into_iter().map(|path| (stem(&path), path)).collect())
}

fn partners(a: &Path, b: &Path, depth: &Path) -> Result<Vec<Place>> {
    let (of_a, mut of_b, mut of_depth) = (by_stem(a)?, by_stem(b)?, by_stem(depth)?);
    let mut places = Vec::new();
    for (stem, path) in of_a {
        let Some(partner) = of_b.remove(&stem) else {
            bail!("`{}` has no partner in `{}`", path.display(), b.display())
        };
        places.push(Place::Files { a: path, b: partner, depth: of_depth.remove(&stem) });
    }
    match of_b.values().next() {
        None => Ok(places),
        Some(left) => bail!("`{}` has no partner in `{}`", left.display(), a.display()),
    }
}

/// A picture of two images side by side, or of three.
fn split(picture: &DynamicImage, extra: Extra) -> Result<Pair> {
    let has_third = extra == Extra::Depth && !picture.color().has_alpha();
    let parts = if has_third { 3 } else { 2 };
    let (width, height) = (picture.width() / parts, picture.height());
    ensure!(picture.width().is_multiple_of(parts) && width > 0, "its width is {}, not {parts} images", picture.width());
    let part = |index: u32| picture.crop_imm(index * width, 0, width, height);
    let depth = match (extra, has_third) {
        (Extra::None, _) => None,
        (Extra::Depth, true) => Some(part(2).to_luma8()),
        (Extra::Depth, false) => alpha(&part(0)),
    };
    Ok(Pair { a: colours(part(0)), depth, b: part(1).to_rgb8() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{Rgb, Rgba, RgbaImage};

    fn flat(value: u8) -> RgbImage {
        RgbImage::from_pixel(4, 4, Rgb([value; 3]))
    }

    #[test]
    fn folders_are_joined_by_name() {
        let folder = tempfile::tempdir().unwrap();
        for (name, value) in [("A", 10), ("B", 20), ("depth", 30)] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
            flat(value).save(folder.path().join(name).join("x.png")).unwrap();
        }
        let pair = PairSet::open(folder.path(), Extra::Depth).unwrap().get(0).unwrap();
        assert_eq!((pair.a, pair.b), (flat(10), flat(20)));
        assert_eq!(pair.depth.unwrap().get_pixel(0, 0).0, [30]);
        flat(1).save(folder.path().join("B").join("y.png")).unwrap();
        let error = PairSet::open(folder.path(), Extra::None).unwrap_err().to_string();
        assert!(error.contains("y.png"), "{error}");
    }

    #[test]
    fn pictures_are_divided_into_two_or_three() {
        let wide = |parts: u32| RgbImage::from_fn(4 * parts, 4, |x, _| Rgb([10 * (x / 4) as u8; 3]));
        let pair = split(&wide(2).into(), Extra::None).unwrap();
        assert_eq!((pair.a, pair.b), (flat(0), flat(10)));
        let pair = split(&wide(3).into(), Extra::Depth).unwrap();
        assert_eq!(pair.depth.unwrap().get_pixel(0, 0).0, [20]);
        assert!(split(&RgbImage::new(5, 4).into(), Extra::None).is_err());
    }

    #[test]
    fn alpha_is_depth_and_leaves_the_colours_alone() {
        let picture = RgbaImage::from_fn(8, 4, |x, _| Rgba([10 * (x / 4) as u8; 4]));
        let pair = split(&picture.into(), Extra::Depth).unwrap();
        assert_eq!((pair.a, pair.b), (flat(0), flat(10)));
        assert_eq!(pair.depth.unwrap().get_pixel(0, 0).0, [0]);
    }
}
