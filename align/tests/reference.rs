//! Against numbers in `tests/reference/align`, made by the Python script there: crops of a drawn photo by Pillow, NumPy
//! and SciPy, and the frames of real faces by the published alignment script.

use image::{Rgb, RgbImage};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use toonify_align::geometry::Point;
use toonify_align::{CropFrame, CropGeometry, CropMethod, Landmarks, crop, frame};

#[derive(Deserialize)]
struct Crops {
    crops: Vec<Crop>,
}

#[derive(Deserialize)]
struct Crop {
    center: Point,
    right: Point,
    size_px: u32,
    transform_px: u32,
    some_pixels: Vec<[u8; 3]>,
    sha256: String,
}

/// The script's photo: slopes, waves and noise from whole numbers.
fn drawn_photo() -> RgbImage {
    RgbImage::from_fn(240, 180, |x, y| Rgb([(x * 255 / 239) as u8, (x * y / 32) as u8, ((x * 13) ^ (y * 29)) as u8]))
}

#[test]
fn published_crops_are_those_of_pillow_numpy_and_scipy() {
    let json = include_str!("../../tests/reference/align/crops.json");
    let Crops { crops } = serde_json::from_str(json).expect("the script wrote it");
    assert_eq!(crops.len(), 11);
    let photo = drawn_photo();
    for Crop { center, right, size_px, transform_px, some_pixels, sha256 } in crops {
        let frame = CropFrame::new(center, right).expect("it has area");
        let found =
            crop(&photo, &frame, size_px, CropMethod::Published { transform_px }).expect("it touches the photo");
        let step = (size_px / 4) as usize;
        let lines = (step / 2..size_px as usize).step_by(step);
        let pixels = lines.clone().flat_map(|y| lines.clone().map(move |x| (x, y)));
        let pixels: Vec<[u8; 3]> = pixels.map(|(x, y)| found.get_pixel(x as u32, y as u32).0).collect();
        assert_eq!(pixels, some_pixels, "{center:?} {right:?}");
        let digest: String = Sha256::digest(found.as_raw()).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(digest, sha256, "{center:?} {right:?}");
    }
}

#[derive(Deserialize)]
struct Faces {
    faces: Vec<Face>,
}

#[derive(Deserialize)]
struct Face {
    name: String,
    landmarks: Landmarks,
    quad: [Point; 4],
    qsize: f64,
}

#[test]
fn frames_of_real_faces_are_those_of_the_published_script() {
    let json = include_str!("../../tests/reference/align/faces.json");
    let Faces { faces } = serde_json::from_str(json).expect("the script wrote it");
    assert_eq!(faces.len(), 31);
    for face in faces {
        let frame = frame(&face.landmarks, CropGeometry::FFHQ).expect("a face");
        assert_eq!((frame.quad().0, frame.side_px()), (face.quad, face.qsize), "{}", face.name);
    }
}
