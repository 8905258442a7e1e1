//! The whole way with a drawn face and a fake finder: nothing here needs dlib, a model or a file.

use image::{Rgb, RgbImage};
use proptest::prelude::*;
use toonify_align::face::choose;
use toonify_align::geometry::Point;
use toonify_align::{
    ColourMatch, CropFrame, CropGeometry, CropMethod, Error, Face, FaceFinder, Feather, Landmarks, Mask, Paste, Rect,
    Result, Search, Wanted, crop, frame, paste,
};

const SKIN: Rgb<u8> = Rgb([230, 180, 150]);
const BACKDROP: Rgb<u8> = Rgb([40, 90, 160]);
const EYE: Rgb<u8> = Rgb([20, 20, 30]);

/// A disc of skin with two dark eyes and a mouth, turned by `angle` about its centre.
struct Drawing {
    center: Point,
    radius: f64,
    angle: f64,
}

impl Drawing {
    /// From the face's own coordinates, in radii, to the photo's.
    fn place(&self, x: f64, y: f64) -> Point {
        let (sin, cos) = self.angle.sin_cos();
        self.center + Point::new(cos * x - sin * y, sin * x + cos * y) * self.radius
    }

    fn landmarks(&self) -> Landmarks {
        Landmarks::new(std::array::from_fn(|i| match i {
            0..17 => {
                let turn = std::f64::consts::PI * (1.0 - i as f64 / 16.0);
                self.place(turn.cos(), turn.sin())
            }
            17..27 => self.place((i as f64 - 21.5) / 8.0, -0.45),
            36..42 => self.place(-0.35, -0.2),
            42..48 => self.place(0.35, -0.2),
            48 => self.place(-0.3, 0.5),
            54 => self.place(0.3, 0.5),
            _ => self.place(0.0, 0.2),
        }))
    }

    fn photo(&self, width: u32, height: u32) -> RgbImage {
        RgbImage::from_fn(width, height, |x, y| {
            let at = Point::new(x.into(), y.into());
            let near = |p: Point, radii: f64| (at - p).length() < radii * self.radius;
            match () {
                () if near(self.place(-0.35, -0.2), 0.1) || near(self.place(0.35, -0.2), 0.1) => EYE,
                () if near(self.center, 1.0) => SKIN,
                () => BACKDROP,
            }
        })
    }
}

/// Finds skin: the box around all of its pixels.
struct SkinFinder;

impl FaceFinder for SkinFinder {
    fn find(&mut self, photo: &RgbImage) -> Result<Vec<Face>> {
        Search::default().run(photo, |picture, _| {
            let skin = picture.enumerate_pixels().filter(|(_, _, pixel)| **pixel == SKIN);
            let rect = skin.fold(None, |rect: Option<Rect>, (x, y, _)| {
                let (x, y) = (x as i32, y as i32);
                let rect = rect.unwrap_or(Rect { left: x, top: y, right: x, bottom: y });
                Some(Rect {
                    left: rect.left.min(x),
                    top: rect.top.min(y),
                    right: rect.right.max(x),
                    bottom: rect.bottom.max(y),
                })
            });
            Ok(rect.map(|rect| Face { rect, score: 1.0 }).into_iter().collect())
        })
    }
}

/// The frame of the only face in the photo, its landmarks laid out in the box.
fn found_frame(finder: &mut dyn FaceFinder, photo: &RgbImage) -> Result<CropFrame> {
    let faces = choose(&finder.find(photo)?, Wanted::Only, 20)?;
    let Rect { left, top, right, bottom } = faces[0].rect;
    let center = Point::new(f64::from(left + right) / 2.0, f64::from(top + bottom) / 2.0);
    let drawing = Drawing { center, radius: f64::from(right - left + 1) / 2.0, angle: 0.0 };
    frame(&drawing.landmarks(), CropGeometry::FFHQ)
}

#[test]
fn a_drawn_face_is_found_framed_and_cropped() {
    let drawing = Drawing { center: Point::new(150.0, 120.0), radius: 50.0, angle: 0.0 };
    let photo = drawing.photo(320, 260);
    let frame = found_frame(&mut SkinFinder, &photo).expect("one face");
    for method in [CropMethod::published(128), CropMethod::Clean] {
        let face = crop(&photo, &frame, 128, method).expect("inside the photo");
        let at = |x: f64, y: f64| {
            let p = frame.crop_from_photo(128) * drawing.place(x, y);
            *face.get_pixel(p.x.round() as u32, p.y.round() as u32)
        };
        assert_eq!(at(-0.35, -0.2), EYE, "{method:?}");
        assert_eq!(at(0.35, -0.2), EYE, "{method:?}");
        assert_eq!(at(0.0, 0.6), SKIN, "{method:?}");
    }
}

#[test]
fn each_disappointment_has_its_own_error() {
    let photo = |radius| Drawing { center: Point::new(60.0, 60.0), radius, angle: 0.0 }.photo(120, 120);
    assert!(matches!(found_frame(&mut SkinFinder, &RgbImage::new(90, 90)), Err(Error::NoFace)));
    assert!(matches!(found_frame(&mut SkinFinder, &photo(5.0)), Err(Error::TooSmall { .. })));
    assert!(found_frame(&mut SkinFinder, &photo(30.0)).is_ok());
}

#[test]
fn a_turned_face_is_upright_in_its_crop() {
    for degrees in [-170.0f64, -80.0, -44.0, 10.0, 46.0, 95.0, 179.0] {
        let drawing = Drawing { center: Point::new(160.0, 160.0), radius: 45.0, angle: degrees.to_radians() };
        let frame = frame(&drawing.landmarks(), CropGeometry::FFHQ).expect("a face");
        let eye = frame.crop_from_photo(100) * drawing.place(-0.35, -0.2);
        for method in [CropMethod::published(100), CropMethod::Clean] {
            let face = crop(&drawing.photo(320, 320), &frame, 100, method).expect("inside the photo");
            let pixel = *face.get_pixel(eye.x.round() as u32, eye.y.round() as u32);
            // Sharp filters ring by a few levels this near to the skin, which is 200 levels brighter.
            assert!(pixel.0.iter().zip(EYE.0).all(|(a, b)| a.abs_diff(b) < 10), "{degrees}° {method:?}: {pixel:?}");
            assert!(eye.x < 50.0 && eye.y < 50.0, "{degrees}°: the left eye is at {eye:?}");
        }
    }
}

#[test]
fn frames_that_miss_the_photo_are_refused() {
    let photo = RgbImage::new(100, 80);
    let frames = [([-500.0, 40.0], [30.0, 0.0]), ([50.0, 40.0], [1e7, 0.0]), ([1e300, 40.0], [30.0, 1.0])];
    for (center, right) in frames {
        let frame = CropFrame::new(center.into(), right.into()).expect("it has area");
        for method in [CropMethod::published(64), CropMethod::Clean] {
            let error = crop(&photo, &frame, 64, method).expect_err("there is no photo in it");
            assert!(matches!(error, Error::OutsidePhoto { width: 100, height: 80 }), "{center:?} {method:?}: {error}");
        }
    }
    let frame = CropFrame::new(Point::new(-500.0, 0.0), Point::new(30.0, 0.0)).expect("it has area");
    let pasted = paste(&mut photo.clone(), &RgbImage::new(8, 8), &frame, &Paste::default());
    assert!(matches!(pasted, Err(Error::OutsidePhoto { .. })));
}

#[test]
fn senseless_sizes_are_refused() {
    let photo = RgbImage::new(100, 80);
    let frame = CropFrame::new(Point::new(50.0, 40.0), Point::new(20.0, 0.0)).expect("it has area");
    for (size_px, method) in [
        (0, CropMethod::Clean),
        (16_385, CropMethod::Clean),
        (64, CropMethod::Published { transform_px: 63 }),
        (64, CropMethod::Published { transform_px: 16_385 }),
    ] {
        assert!(matches!(crop(&photo, &frame, size_px, method), Err(Error::Value { .. })), "{size_px} {method:?}");
    }
    for face in [RgbImage::new(0, 0), RgbImage::new(8, 9)] {
        let pasted = paste(&mut photo.clone(), &face, &frame, &Paste::default());
        assert!(matches!(pasted, Err(Error::Value { what: "face", .. })));
    }
    assert!(matches!(crop(&RgbImage::new(0, 0), &frame, 64, CropMethod::Clean), Err(Error::OutsidePhoto { .. })));
}

#[test]
fn several_threads_make_the_same_bytes_as_one() {
    let drawing = Drawing { center: Point::new(40.0, 60.0), radius: 40.0, angle: 0.4 };
    let photo = drawing.photo(200, 150);
    let frame = frame(&drawing.landmarks(), CropGeometry::FFHQ).expect("a face");
    let make = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads can be had");
        pool.install(|| {
            [CropMethod::published(96), CropMethod::Clean]
                .map(|method| crop(&photo, &frame, 96, method).expect("inside"))
        })
    };
    assert_eq!(make(1), make(3));
}

/// Slopes and soft waves, so that resampling has little to lose.
fn soft_photo(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| {
        let wave = |a: f64, b: f64| (128.0 + 90.0 * (f64::from(x) * a + f64::from(y) * b).sin()) as u8;
        Rgb([wave(0.2, 0.05), wave(-0.1, 0.3), (x * 255 / width) as u8])
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn a_crop_pasted_back_returns_the_photo(
        x in 20.0..180.0, y in 20.0..120.0, half_side in 15.0..60.0, angle in -3.2..3.2, extra in 1.0f64..3.0,
    ) {
        let photo = soft_photo(200, 140);
        let right = Point::new(f64::cos(angle), f64::sin(angle)) * half_side;
        let frame = CropFrame::new(Point::new(x, y), right).expect("it has area");
        let size_px = f64::ceil(frame.side_px() * extra) as u32;
        let how = Paste { mask: Mask::square(Feather::default()), colour: ColourMatch::MeanAndSpread };
        let mut pasted = photo.clone();
        paste(&mut pasted, &crop(&photo, &frame, size_px, CropMethod::Clean).expect("it overlaps"), &frame, &how)
            .expect("it overlaps");
        let (mut sum, mut count) = (0u64, 0u64);
        for ((px, py, before), after) in photo.enumerate_pixels().zip(pasted.pixels()) {
            let unit = frame.crop_from_photo(1) * Point::new(px.into(), py.into()) + Point::new(0.5, 0.5);
            let difference: u64 = before.0.iter().zip(after.0).map(|(a, b)| u64::from(a.abs_diff(b))).sum();
            match how.mask.alpha(unit) {
                0.0 => prop_assert_eq!(difference, 0),
                _ => (sum, count) = (sum + difference, count + 3),
            }
        }
        prop_assert!(sum as f64 <= count as f64, "{} levels on average", sum as f64 / count as f64);
    }

    #[test]
    fn any_frame_gives_a_crop_or_a_clear_error(
        x in -200.0..400.0, y in -200.0..400.0, right_x in -300.0..300.0, right_y in -300.0..300.0, size_px in 1u32..70,
    ) {
        let photo = soft_photo(200, 140);
        let frame = CropFrame::new(Point::new(x, y), Point::new(right_x, right_y)).expect("it has area");
        for method in [CropMethod::published(size_px), CropMethod::Clean] {
            match crop(&photo, &frame, size_px, method) {
                Ok(face) => prop_assert_eq!(face.dimensions(), (size_px, size_px)),
                Err(error) => prop_assert!(matches!(error, Error::OutsidePhoto { .. }), "{}", error),
            }
        }
        let mut pasted = photo.clone();
        match paste(&mut pasted, &RgbImage::new(size_px, size_px), &frame, &Paste::default()) {
            Ok(()) => prop_assert_eq!(pasted.dimensions(), (200, 140)),
            Err(error) => prop_assert!(matches!(error, Error::OutsidePhoto { .. }), "{}", error),
        }
    }
}

#[test]
fn a_new_face_shows_in_the_middle_and_takes_on_the_light() {
    let photo = RgbImage::from_fn(200, 200, |x, _| Rgb([60 + (x / 4) as u8, 50, 40]));
    let frame = CropFrame::new(Point::new(100.0, 100.0), Point::new(50.0, 5.0)).expect("it has area");
    let toon = RgbImage::from_fn(64, 64, |x, _| Rgb([150 + x as u8, 200, 220]));
    let pasted = |colour| {
        let mut photo = photo.clone();
        paste(&mut photo, &toon, &frame, &Paste { colour, ..Paste::default() }).expect("inside the photo");
        *photo.get_pixel(100, 100)
    };
    let close = |a: u8, b: u8| a.abs_diff(b) <= 3;
    let plain = pasted(ColourMatch::Off).0;
    assert!(close(plain[0], 182) && close(plain[1], 200) && close(plain[2], 220), "{plain:?}");
    let matched = pasted(ColourMatch::MeanAndSpread).0;
    assert!(close(matched[0], 85) && close(matched[1], 50) && close(matched[2], 40), "{matched:?}");
}
