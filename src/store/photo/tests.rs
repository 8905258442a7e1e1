//! Pictures of every kind, made here or by Pillow (`tests/photos/`), each 16x8: left half red, right half blue.

use image::codecs::jpeg::JpegEncoder;
use image::{ImageBuffer, Luma, LumaA, Rgb, Rgba};

use super::*;

const LEFT: [u8; 3] = [200, 40, 30];
const RIGHT: [u8; 3] = [20, 60, 210];

fn picture() -> RgbImage {
    RgbImage::from_fn(16, 8, |x, _| Rgb(if x < 8 { LEFT } else { RIGHT }))
}

fn encoded(picture: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    picture.into().write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

fn jpeg() -> Vec<u8> {
    let mut bytes = Vec::new();
    picture().write_with_encoder(JpegEncoder::new_with_quality(&mut bytes, 95)).unwrap();
    bytes
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/photos").join(name)
}

fn pixels(bytes: &[u8]) -> RgbImage {
    Photo::from_bytes(bytes, "photo").unwrap().pixels
}

#[track_caller]
fn check(found: &RgbImage, tolerance: u8) {
    assert_eq!(found.dimensions(), (16, 8));
    for (at, expected) in [((2, 4), LEFT), ((13, 4), RIGHT)] {
        let found = found.get_pixel(at.0, at.1).0;
        let near = found.iter().zip(expected).all(|(a, b)| a.abs_diff(b) <= tolerance);
        assert!(near, "{found:?} at {at:?}, expected {expected:?}");
    }
}

#[track_caller]
fn refused(bytes: &[u8], words: &str) {
    let error = format!("{:#}", Photo::from_bytes(bytes, "dir/photo.jpg").unwrap_err());
    assert!(error.starts_with("cannot read picture `dir/photo.jpg`: ") && error.contains(words), "{error}");
}

#[test]
fn lossless_formats_keep_every_pixel() {
    for format in [ImageFormat::Png, ImageFormat::Bmp, ImageFormat::Tiff, ImageFormat::WebP] {
        assert_eq!(pixels(&encoded(picture(), format)), picture(), "{format:?}");
    }
}

#[test]
fn files_made_by_pillow_are_read() {
    // JPEG is lossy; CMYK goes through a conversion besides, where Pillow's own reader gives the same numbers.
    let names = ["palette.png", "deflate.tiff", "animation.gif", "lossless.webp", "progressive.jpg", "cmyk.jpg"];
    for (name, tolerance) in names.into_iter().zip([0, 0, 0, 0, 3, 3]) {
        check(&Photo::read(fixture(name)).unwrap_or_else(|error| panic!("{error:#}")).pixels, tolerance);
    }
}

#[test]
fn transparent_pixels_are_white_and_half_transparent_ones_half_white() {
    let half: Rgba<u8> = Rgba([200, 40, 30, 128]);
    let rgba = ImageBuffer::from_fn(2, 1, |x, _| if x == 0 { Rgba([9, 9, 9, 0]) } else { half });
    let found = pixels(&encoded(rgba, ImageFormat::Png));
    assert_eq!([found.get_pixel(0, 0).0, found.get_pixel(1, 0).0], [[255; 3], [227, 147, 142]]);
    let gray: ImageBuffer<LumaA<u8>, _> = ImageBuffer::from_pixel(1, 1, LumaA([40, 0]));
    assert_eq!(pixels(&encoded(gray, ImageFormat::Png)).get_pixel(0, 0).0, [255; 3]);
    let palette = Photo::read(fixture("palette_transparent.png")).unwrap().pixels;
    let white = palette.pixels().filter(|pixel| pixel.0 == [255; 3]).count();
    assert_eq!(white, 64, "one of the two colours is transparent");
}

#[test]
fn gray_and_deep_pictures_become_rgb_and_keep_their_kind_when_asked() {
    let gray: ImageBuffer<Luma<u8>, _> = ImageBuffer::from_pixel(3, 2, Luma([77]));
    let bytes = encoded(gray, ImageFormat::Png);
    assert_eq!(pixels(&bytes).get_pixel(1, 1).0, [77; 3]);
    assert_eq!(decode(&bytes, Path::new("gray")).unwrap().color(), image::ColorType::L8);
    let deep: ImageBuffer<Luma<u16>, _> = ImageBuffer::from_pixel(3, 2, Luma([77 * 257 + 100]));
    assert_eq!(pixels(&encoded(deep, ImageFormat::Png)).get_pixel(0, 0).0, [77; 3]);
    let deep: ImageBuffer<Rgb<u16>, _> = ImageBuffer::from_pixel(1, 1, Rgb(LEFT.map(|value| u16::from(value) * 257)));
    assert_eq!(pixels(&encoded(deep, ImageFormat::Tiff)).get_pixel(0, 0).0, LEFT);
}

/// A JPEG with an EXIF block that holds nothing but the orientation (TIFF 6.0, tag 274).
fn with_orientation(jpeg: &[u8], orientation: u8) -> Vec<u8> {
    let mut app1 = vec![0xff, 0xe1, 0, 34];
    app1.extend(b"Exif\0\0MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0");
    app1.extend([orientation, 0, 0, 0, 0, 0, 0]);
    [&jpeg[..2], &app1, &jpeg[2..]].concat()
}

#[test]
fn exif_orientation_is_applied() {
    // Where the red half lies: orientation 1 as stored, 2 mirrored, 3 turned by 180°, 6 and 8 by 90° either way.
    for (orientation, size, red_at, blue_at) in [
        (1, (16, 8), (2, 4), (13, 4)),
        (2, (16, 8), (13, 4), (2, 4)),
        (3, (16, 8), (13, 4), (2, 4)),
        (6, (8, 16), (4, 2), (4, 13)),
        (8, (8, 16), (4, 13), (4, 2)),
    ] {
        let found = pixels(&with_orientation(&jpeg(), orientation));
        assert_eq!(found.dimensions(), size, "orientation {orientation}");
        let red = found.get_pixel(red_at.0, red_at.1).0[0];
        let blue = found.get_pixel(blue_at.0, blue_at.1).0[0];
        assert!(red > 150 && blue < 60, "orientation {orientation}");
    }
}

#[test]
fn every_truncated_file_is_refused() {
    let files = [
        jpeg(),
        with_orientation(&jpeg(), 6),
        std::fs::read(fixture("progressive.jpg")).unwrap(),
        std::fs::read(fixture("cmyk.jpg")).unwrap(),
        encoded(picture(), ImageFormat::Bmp),
        encoded(picture(), ImageFormat::Tiff),
        encoded(picture(), ImageFormat::WebP),
    ];
    for whole in files {
        assert!(Photo::from_bytes(&whole, "whole").is_ok());
        for length in 0..whole.len() {
            let result = Photo::from_bytes(&whole[..length], "part");
            assert!(result.is_err(), "{length} of {} bytes", whole.len());
        }
    }
}

#[test]
fn png_and_gif_files_are_refused_when_a_pixel_is_missing() {
    // What follows the pixels (PNG's IEND with its checksum, GIF's trailer and later frames) may be lost.
    let png = encoded(picture(), ImageFormat::Png);
    let gif = encoded(picture(), ImageFormat::Gif);
    for (whole, tail) in [(png, 24), (gif, 4)] {
        for length in 0..whole.len() - tail {
            assert!(Photo::from_bytes(&whole[..length], "part").is_err(), "{length} of {} bytes", whole.len());
        }
    }
}

#[test]
fn what_follows_the_end_of_a_jpeg_does_not_matter() {
    let whole = [&jpeg()[..], b"a second picture, or a film"].concat();
    check(&pixels(&whole), 3);
}

#[test]
fn the_cut_is_named() {
    let whole = jpeg();
    refused(&whole[..whole.len() - 20], "the JPEG file is cut off");
}

#[test]
fn the_format_is_told_by_the_content() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("really_a_png.jpg");
    std::fs::write(&path, encoded(picture(), ImageFormat::Png)).unwrap();
    assert_eq!(Photo::read(&path).unwrap().pixels, picture());
    refused(b"", "the file is empty");
    refused(b"GIFT wrapping", "no PNG, JPEG, WebP, BMP, GIF or TIFF");
    refused(b"\0\0\0\x18ftypheic\0\0\0\0", "HEIC pictures are not read");
    refused(b"\0\0\0\x18ftypavif\0\0\0\0", "AVIF pictures are not read");
}

#[test]
fn too_many_pixels_are_refused_before_they_are_decoded() {
    // The frame header says 65535x65535; the data behind it is that of 16x8.
    let mut bytes = jpeg();
    let header = bytes.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
    bytes[header + 5..header + 9].fill(0xff);
    refused(&bytes, "65535x65535 pixels, at most 200 million");
    assert!(count_pixels(&bytes, Path::new("huge")).is_err());
    assert_eq!(count_pixels(&jpeg(), Path::new("small")).unwrap(), 16 * 8);
}

#[test]
fn a_missing_file_is_named() {
    let error = format!("{:#}", Photo::read("no/such.jpg").unwrap_err());
    assert!(error.starts_with("cannot read picture `no/such.jpg`: No such file"), "{error}");
}
