//! dlib behind the crate's own types (feature `dlib`): its frontal face detector and its landmark predictor.
//!
//! The crate `dlib-face-recognition` makes, clones and drops the C++ objects. Detection runs through a few lines of C++ of
//! our own (`cpp/detect.cpp`), because that crate hides the scores and lets C++ exceptions abort the process. Decision
//! 0006 says why.

use std::ffi::{CStr, c_char, c_void};
use std::path::Path;

use dlib_face_recognition::{FaceDetector, ImageMatrix, LandmarkPredictor, LandmarkPredictorTrait, Rectangle};
use image::RgbImage;

use crate::error::ModelError;
use crate::face::{Face, Landmarks, Rect};
use crate::find::{FaceFinder, Search};
use crate::geometry::Point;
use crate::{Error, Result};

/// More faces than this in one photo are not reported; the best come first.
const MAX_FACES: usize = 1024;

/// dlib's frontal face detector (histograms of oriented gradients, five views).
///
/// Cloning is cheap next to making a new one (0.1 ms against 250 ms): make one, then clone it for each thread.
#[derive(Clone)]
pub struct DlibFinder {
    detector: FaceDetector,
    search: Search,
}

impl DlibFinder {
    /// Makes a detector; its weights are compiled into dlib.
    ///
    /// # Errors
    /// [`Error::Value`] for senseless settings, [`Error::Detector`] when the two C++ halves of the program were compiled
    /// against different versions of dlib.
    pub fn new(search: Search) -> Result<Self> {
        search.validate()?;
        // SAFETY: both functions only return a constant.
        let (size, align) = unsafe { (toonify_detector_size(), toonify_detector_align()) };
        if (size, align) != (size_of::<FaceDetector>(), align_of::<FaceDetector>()) {
            return Err(Error::Detector("compiled against two versions of dlib; run `cargo clean`".into()));
        }
        Ok(DlibFinder { detector: FaceDetector::new(), search })
    }

    /// Changes how to look; the detector stays.
    ///
    /// # Errors
    /// [`Error::Value`] for senseless settings.
    pub fn with_search(self, search: Search) -> Result<Self> {
        search.validate()?;
        Ok(DlibFinder { search, ..self })
    }
}

impl FaceFinder for DlibFinder {
    fn find(&mut self, photo: &RgbImage) -> Result<Vec<Face>> {
        let DlibFinder { detector, search } = self;
        search.run(photo, |picture, upsamplings| detect(detector, picture, upsamplings, search.min_score))
    }
}

/// One look of dlib at a picture; boxes are in its pixels, best score first.
fn detect(detector: &mut FaceDetector, picture: &RgbImage, upsamplings: u32, min_score: f64) -> Result<Vec<Face>> {
    let size = [picture.width() as usize, picture.height() as usize];
    // SAFETY: the picture holds `3 * width * height` bytes.
    unsafe { detect_pixels(detector, (picture.as_ptr(), size), upsamplings, min_score) }
}

/// The same for pixels by their address, width and height.
///
/// # Safety
/// There have to be `3 * width * height` bytes, or more than any memory holds, in which case none is read.
unsafe fn detect_pixels(
    detector: &mut FaceDetector,
    (pixels, [width, height]): (*const u8, [usize; 2]),
    upsamplings: u32,
    min_score: f64,
) -> Result<Vec<Face>> {
    let mut found = vec![Detection::default(); MAX_FACES];
    let mut message = [0; 256];
    // SAFETY: `FaceDetector` is a `dlib::frontal_face_detector` and fields of size 0 (`new` compared size and alignment),
    // borrowed mutably here. The caller vouches for the pixels. Both output buffers are as long as stated, and the function
    // writes no more than that and lets no exception out.
    let count = unsafe {
        toonify_detect(
            std::ptr::from_mut(detector).cast(),
            pixels,
            width,
            height,
            upsamplings,
            min_score,
            found.as_mut_ptr(),
            found.len(),
            message.as_mut_ptr(),
            message.len(),
        )
    };
    let Ok(count) = usize::try_from(count) else {
        // SAFETY: the function ends the message with a zero byte whenever it reports failure.
        let text = unsafe { CStr::from_ptr(message.as_ptr()) };
        return Err(Error::Detector(text.to_string_lossy().into_owned()));
    };
    Ok(found[..count].iter().map(Detection::face).collect())
}

/// A detection as the C++ side writes it.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Detection {
    left: i64,
    top: i64,
    right: i64,
    bottom: i64,
    score: f64,
}

impl Detection {
    fn face(&self) -> Face {
        let edge = |value: i64| value.clamp(i32::MIN.into(), i32::MAX.into()) as i32;
        let rect =
            Rect { left: edge(self.left), top: edge(self.top), right: edge(self.right), bottom: edge(self.bottom) };
        Face { rect, score: self.score }
    }
}

unsafe extern "C" {
    fn toonify_detector_size() -> usize;
    fn toonify_detector_align() -> usize;
    fn toonify_detect(
        detector: *mut c_void,
        rgb: *const u8,
        width: usize,
        height: usize,
        upsamplings: u32,
        min_score: f64,
        found: *mut Detection,
        capacity: usize,
        message: *mut c_char,
        message_capacity: usize,
    ) -> i64;
}

/// dlib's own landmark predictor: whole pixels, and no check of the model. Share one among threads.
///
/// [`LandmarkModel`](crate::landmarks::LandmarkModel) reads the same file and keeps the fractions; this one is for those
/// who want the published tools' points exactly.
pub struct DlibLandmarks(LandmarkPredictor);

impl DlibLandmarks {
    /// Lets dlib open the model file; the one place where this crate is given a path, for dlib takes nothing else.
    ///
    /// # Errors
    /// [`ModelError::Refused`] when the file is missing or dlib cannot read it.
    pub fn open(path: &Path) -> Result<Self> {
        if path.to_str().is_none_or(|text| text.contains('\0')) {
            return Err(ModelError::Refused(format!("`{}` is not a path that dlib can take", path.display())).into());
        }
        let predictor = LandmarkPredictor::open(path).map_err(|text| Error::Model(ModelError::Refused(text)))?;
        Ok(DlibLandmarks(predictor))
    }

    /// Finds the 68 points of a face, each on a whole pixel.
    ///
    /// # Errors
    /// [`Error::Value`] when the model has another number of points.
    pub fn landmarks(&self, photo: &RgbImage, rect: &Rect) -> Result<Landmarks> {
        // SAFETY: the photo holds `3 * width * height` bytes, and the matrix is a copy of them.
        let matrix = unsafe { ImageMatrix::new(photo.width() as usize, photo.height() as usize, photo.as_ptr()) };
        let [left, top, right, bottom] = [rect.left, rect.top, rect.right, rect.bottom].map(Into::into);
        let points = self.0.face_landmarks(&matrix, &Rectangle { left, top, right, bottom });
        points.iter().map(|p| Point::new(p.x() as f64, p.y() as f64)).collect::<Vec<_>>().try_into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finder_can_be_sent_to_another_thread() {
        fn check<T: Send>() {}
        check::<DlibFinder>();
    }

    #[test]
    fn tiny_and_empty_pictures_hold_no_face() {
        let mut finder = DlibFinder::new(Search::default()).expect("one version of dlib");
        for (width, height) in [(0, 0), (1, 1), (3, 1), (2, 90), (79, 79)] {
            assert_eq!(finder.find(&RgbImage::new(width, height)).expect("no exception"), []);
        }
    }

    #[test]
    fn an_exception_of_dlib_is_an_error() {
        let mut finder = DlibFinder::new(Search::default()).expect("one version of dlib");
        let endless = (std::ptr::NonNull::<u8>::dangling().as_ptr().cast_const(), [1 << 40, 1 << 20]);
        // SAFETY: no memory holds that many pixels.
        let result = unsafe { detect_pixels(&mut finder.detector, endless, 0, 0.0) };
        assert!(matches!(result, Err(Error::Detector(text)) if text.contains("bad_a")));
        assert_eq!(finder.find(&RgbImage::new(90, 90)).expect("it still works"), []);
    }

    #[test]
    fn a_missing_model_is_a_clear_error() {
        let Err(error) = DlibLandmarks::open(Path::new("no such file.dat")) else { panic!("opened a missing file") };
        assert!(error.to_string().starts_with("dlib cannot open the model: "), "{error}");
    }
}
