//! Against the published tools: 31 faces in 13 photos, with the boxes and landmarks of dlib's Python package and the crops
//! of the published alignment script. The folder is no part of the repository; without it these tests say so and pass.

#![allow(clippy::print_stdout, reason = "a test that is skipped says so")]

use std::path::{Path, PathBuf};

use image::RgbImage;
use serde::Deserialize;
use toonify_align::geometry::Point;
use toonify_align::{CropFrame, CropGeometry, CropMethod, Landmarks, Paste, crop, frame, paste};

#[derive(Deserialize)]
struct Golden {
    name: String,
    input: String,
    #[cfg(feature = "dlib")]
    rect: [i32; 4],
    #[cfg(feature = "dlib")]
    score: f64,
    quad: [[f64; 2]; 4],
    qsize: f64,
}

struct Goldens {
    folder: PathBuf,
    faces: Vec<Golden>,
}

impl Goldens {
    fn open() -> Option<Self> {
        let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/goldens/align")).to_owned();
        let Ok(index) = std::fs::read_to_string(folder.join("index.json")) else {
            println!("skipped: no goldens at {}", folder.display());
            return None;
        };
        let faces: Vec<Golden> = serde_json::from_str(&index).expect("the index is readable");
        assert_eq!(faces.len(), 31);
        Some(Goldens { folder, faces })
    }

    fn image(&self, name: &str) -> RgbImage {
        image::open(self.folder.join(name)).expect("the golden picture is readable").to_rgb8()
    }

    fn landmarks(&self, face: &Golden) -> Landmarks {
        let json = std::fs::read(self.folder.join(format!("{}.landmarks.json", face.name))).expect("it is there");
        serde_json::from_slice(&json).expect("68 points")
    }
}

#[test]
fn frames_are_those_of_the_published_script() {
    let Some(goldens) = Goldens::open() else { return };
    for face in &goldens.faces {
        let frame = frame(&goldens.landmarks(face), CropGeometry::FFHQ).expect("a face");
        assert_eq!(frame.quad().0, face.quad.map(Point::from), "{}", face.name);
        assert_eq!(frame.side_px(), face.qsize, "{}", face.name);
    }
}

/// Compares published crops of one size; returns how many there were.
fn check_crops(goldens: &Goldens, size_px: u32) -> usize {
    let mut compared = 0;
    for face in &goldens.faces {
        let name = format!("{}.pil{size_px}.png", face.name);
        if !goldens.folder.join(&name).exists() {
            continue;
        }
        let frame = frame(&goldens.landmarks(face), CropGeometry::FFHQ).expect("a face");
        let photo = goldens.image(&face.input);
        let found = crop(&photo, &frame, size_px, CropMethod::published(size_px)).expect("inside the photo");
        let expected = goldens.image(&name);
        let different = expected.as_raw().iter().zip(found.as_raw()).filter(|(a, b)| a != b).count();
        assert_eq!(different, 0, "{name}: bytes differ");
        compared += 1;
    }
    compared
}

#[test]
fn crops_of_256_are_byte_identical() {
    let Some(goldens) = Goldens::open() else { return };
    assert_eq!(check_crops(&goldens, 256), 31);
}

#[test]
fn crops_of_1024_are_byte_identical() {
    let Some(goldens) = Goldens::open() else { return };
    assert_eq!(check_crops(&goldens, 1024), 3);
}

#[test]
fn clean_crops_show_the_same_place_as_published_ones() {
    let Some(goldens) = Goldens::open() else { return };
    for face in &goldens.faces {
        let frame = frame(&goldens.landmarks(face), CropGeometry::FFHQ).expect("a face");
        let clean = crop(&goldens.image(&face.input), &frame, 256, CropMethod::Clean).expect("inside the photo");
        let shift = shift(&clean, &goldens.image(&format!("{}.pil256.png", face.name)));
        assert!(shift.length() < 0.05, "{}: shifted by {shift:?} px", face.name);
    }
}

/// By how many pixels the second picture is shifted against the first: one step of Lucas and Kanade (1981).
fn shift(a: &RgbImage, b: &RgbImage) -> Point {
    let value = |image: &RgbImage, x: u32, y: u32| f64::from(image.get_pixel(x, y).0[1]);
    let (mut xx, mut xy, mut yy, mut xd, mut yd) = (0.0, 0.0, 0.0, 0.0, 0.0);
    for y in 1..a.height() - 1 {
        for x in 1..a.width() - 1 {
            let slope_x = (value(a, x + 1, y) - value(a, x - 1, y)) / 2.0;
            let slope_y = (value(a, x, y + 1) - value(a, x, y - 1)) / 2.0;
            let difference = value(a, x, y) - value(b, x, y);
            (xx, xy, yy) = (xx + slope_x * slope_x, xy + slope_x * slope_y, yy + slope_y * slope_y);
            (xd, yd) = (xd + slope_x * difference, yd + slope_y * difference);
        }
    }
    Point::new(xd * yy - yd * xy, yd * xx - xd * xy) * (1.0 / (xx * yy - xy * xy))
}

/// Crops, pastes back unchanged, and gives the mean difference inside the mask, in levels.
fn there_and_back(photo: &RgbImage, frame: &CropFrame, size_px: u32, method: CropMethod) -> f64 {
    let how = Paste::default();
    let mut pasted = photo.clone();
    paste(&mut pasted, &crop(photo, frame, size_px, method).expect("inside the photo"), frame, &how).expect("as well");
    let (mut sum, mut count) = (0, 0);
    for ((x, y, before), after) in photo.enumerate_pixels().zip(pasted.pixels()) {
        let unit = frame.crop_from_photo(1) * Point::new(x.into(), y.into()) + Point::new(0.5, 0.5);
        let difference = before.0.iter().zip(after.0).map(|(a, b)| u64::from(a.abs_diff(b))).sum::<u64>();
        match how.mask.alpha(unit) {
            0.0 => assert_eq!(difference, 0, "a pixel outside the mask has changed"),
            _ => (sum, count) = (sum + difference, count + 3),
        }
    }
    sum as f64 / f64::from(count)
}

#[test]
fn a_crop_pasted_back_returns_the_photo() {
    let Some(goldens) = Goldens::open() else { return };
    for face in &goldens.faces {
        let frame = frame(&goldens.landmarks(face), CropGeometry::FFHQ).expect("a face");
        // As many pixels as the photo has, or more; otherwise detail is lost, which no paste can bring back.
        let size_px = if frame.side_px() <= 256.0 { 256 } else { 1024 };
        let difference = there_and_back(&goldens.image(&face.input), &frame, size_px, CropMethod::Clean);
        assert!(difference < 1.0, "{}: {difference} levels by way of {size_px} px", face.name);
    }
}

#[cfg(feature = "dlib")]
mod with_dlib {
    use std::collections::BTreeMap;

    use toonify_align::{DlibFinder, DlibLandmarks, Face, FaceFinder, LandmarkModel, Rect, Search, Upsampling};

    use super::*;

    const MODEL: &str = "/usr/share/dlib/shape_predictor_68_face_landmarks.dat";

    fn rect([left, top, right, bottom]: [i32; 4]) -> Rect {
        Rect { left, top, right, bottom }
    }

    fn found(goldens: &Goldens, search: Search) -> BTreeMap<&str, Vec<Face>> {
        let mut finder = DlibFinder::new(search).expect("one version of dlib");
        let inputs = goldens.faces.iter().map(|face| face.input.as_str());
        let mut found: BTreeMap<&str, Vec<Face>> = inputs.map(|input| (input, Vec::new())).collect();
        for (input, faces) in &mut found {
            *faces = finder.find(&goldens.image(input)).expect("dlib copes with it");
        }
        found
    }

    #[test]
    fn boxes_and_scores_are_those_of_python_dlib() {
        let Some(goldens) = Goldens::open() else { return };
        let found = found(&goldens, Search { upsampling: Upsampling::Once, ..Search::default() });
        for golden in &goldens.faces {
            let faces = &found[golden.input.as_str()];
            let face = faces.iter().find(|face| face.rect == rect(golden.rect));
            let score = face.unwrap_or_else(|| panic!("{}: no {:?} in {faces:?}", golden.name, golden.rect)).score;
            assert!((score - golden.score).abs() < 6e-5, "{}: {score} is not {}", golden.name, golden.score);
        }
        let mut finder =
            DlibFinder::new(Search { upsampling: Upsampling::Once, ..Search::default() }).expect("as above");
        assert_eq!(finder.find(&goldens.image("input/dogs_noface.png")).expect("dlib copes with it"), []);
    }

    #[test]
    fn clones_on_other_threads_find_the_same() {
        let Some(goldens) = Goldens::open() else { return };
        let photo = goldens.image("input/2008_001322.png");
        let mut finder = DlibFinder::new(Search::default()).expect("one version of dlib");
        let expected = finder.find(&photo).expect("dlib copes with it");
        assert!(!expected.is_empty());
        std::thread::scope(|scope| {
            for mut clone in [finder.clone(), finder.clone(), finder.clone()] {
                let (photo, expected) = (&photo, &expected);
                scope.spawn(move || assert_eq!(&clone.find(photo).expect("dlib copes with it"), expected));
            }
        });
    }

    #[test]
    fn rounded_landmarks_are_those_of_python_dlib() {
        let Some(goldens) = Goldens::open() else { return };
        let Ok(bytes) = std::fs::read(MODEL) else { return println!("skipped: no model at {MODEL}") };
        let model = LandmarkModel::published(&bytes).expect("the published model");
        let dlib = DlibLandmarks::open(Path::new(MODEL)).expect("it was just read");
        for golden in &goldens.faces {
            let (photo, rect) = (goldens.image(&golden.input), rect(golden.rect));
            let expected = goldens.landmarks(golden);
            let fractional = model.landmarks(&photo, &rect);
            assert_eq!(fractional.rounded(), expected, "{}", golden.name);
            assert_ne!(fractional, expected, "{}: the fractions are lost", golden.name);
            assert_eq!(dlib.landmarks(&photo, &rect).expect("68 points"), expected, "{}", golden.name);
        }
    }
}
