//! FFHQ face alignment: from a photo to framed faces, and back into the photo.
//!
//! The steps, each a public function with a value between it and the next:
//!
//! 1. [`find`]: a [`FaceFinder`] gives each face's box and score; [`face::choose`] picks the wanted ones.
//! 2. [`landmarks`]: a [`LandmarkSource`] gives 68 points for a box.
//! 3. [`frame()`]: the points give a [`CropFrame`], the square of the photo that FFHQ would show.
//! 4. [`crop()`]: photo and frame give the aligned face.
//! 5. [`paste()`]: photo, frame and a new face give the photo with the new face in it.
//!
//! ```no_run
//! use toonify_align::{CropGeometry, CropMethod, FaceFinder, LandmarkSource, Result, crop, frame};
//!
//! fn align(
//!     photo: &image::RgbImage, finder: &mut dyn FaceFinder, source: &LandmarkSource,
//! ) -> Result<Vec<image::RgbImage>> {
//!     let faces = finder.find(photo)?;
//!     let aligned = faces.iter().map(|face| {
//!         let landmarks = source.landmarks(photo, &face.rect)?;
//!         crop(photo, &frame(&landmarks, CropGeometry::FFHQ)?, 256, CropMethod::Clean)
//!     });
//!     aligned.collect()
//! }
//! ```
//!
//! No file is opened and nothing is printed; pixels come as [`image::RgbImage`], upright. The one exception is
//! `DlibLandmarks::open`, because dlib takes nothing but a path.

mod canvas;
pub mod colour;
pub mod crop;
#[cfg(feature = "dlib")]
pub mod dlib;
mod edge;
pub mod error;
pub mod face;
pub mod find;
pub mod frame;
pub mod geometry;
#[cfg(feature = "dlib")]
pub mod identity;
pub mod landmarks;
pub mod mask;
mod pad;
pub mod paste;
pub mod resample;
mod simd;
mod transform;
mod warp;

pub use colour::ColourMatch;
pub use crop::{CropMethod, crop};
#[cfg(feature = "dlib")]
pub use dlib::{DlibFinder, DlibLandmarks};
pub use error::{Error, ModelError, Result};
pub use face::{Face, Landmarks, Rect, Wanted};
pub use find::{FaceFinder, Search, Upsampling};
pub use frame::{CropFrame, CropGeometry, frame};
#[cfg(feature = "dlib")]
pub use identity::{DlibIdentity, Identity};
pub use landmarks::{LandmarkModel, LandmarkSource};
pub use mask::{Feather, Mask};
pub use paste::{Paste, paste};
