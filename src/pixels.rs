//! The only crossing between images and tensors: `u8` pixels outside, `f32` `[N, C, H, W]` in [-1, 1] inside.
//!
//! The published tools turn numbers into pixels by three different rules; [`Rounding`] names them, so that each of our
//! commands gives the very bytes of its model.

use anyhow::{Context, Result, bail, ensure};
use candle_core::{DType, Device, Tensor};
use image::{DynamicImage, GrayImage, RgbImage, imageops};
use toonify_align::resample::{Filter, resize};

/// How a number in [-1, 1] becomes a byte. Numbers outside end at 0 and 255, not-a-number at 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rounding {
    /// Of the image generator and of style mixing: `x · 127.5 + 128`, cut off. 0 becomes 128.
    Generate,
    /// Of the projector: `(x + 1) · 127.5`, cut off. 0 becomes 127.
    Projector,
    /// Of the sample grids made while training: `(x + 1) · 127.5` to the nearest byte, halves to the even one.
    Grid,
}

impl Rounding {
    /// The byte for `x`, in the single-precision arithmetic of the published tools.
    pub fn byte(self, x: f32) -> u8 {
        // `as` cuts off towards zero and stays within 0 and 255.
        match self {
            Rounding::Generate => (x * 127.5 + 128.0) as u8,
            Rounding::Projector => ((x + 1.0) * 127.5) as u8,
            Rounding::Grid => ((x + 1.0) * 127.5).round_ties_even() as u8,
        }
    }
}

/// The number for a byte, as the published tools read images: `byte / 127.5 - 1`.
fn number(byte: u8) -> f32 {
    f32::from(byte) / 127.5 - 1.0
}

/// Makes an image of each sample: gray where there is one channel, RGB where there are three.
///
/// # Shapes
/// `images` `[N, 1 or 3, H, W]`, of any float type and on any device.
///
/// # Errors
/// When the tensor has another shape.
pub fn to_images(images: &Tensor, rounding: Rounding) -> Result<Vec<DynamicImage>> {
    let (n, c, h, w) = images.dims4().context("images need the shape [N, C, H, W]")?;
    ensure!(c == 1 || c == 3, "images need 1 or 3 channels, found {c}");
    let (width, height) = (u32::try_from(w)?, u32::try_from(h)?);
    let interleaved = images.permute((0, 2, 3, 1))?.to_device(&Device::Cpu)?.to_dtype(DType::F32)?; // [N, H, W, C]
    let numbers = interleaved.flatten_all()?.to_vec1::<f32>()?;
    let bytes = numbers.into_iter().map(|x| rounding.byte(x));
    let mut bytes = bytes.collect::<Vec<u8>>();
    let mut made = Vec::with_capacity(n);
    for _ in 0..n {
        let rest = bytes.split_off(h * w * c);
        let pixels = std::mem::replace(&mut bytes, rest);
        let image = match c {
            1 => GrayImage::from_raw(width, height, pixels).map(DynamicImage::from),
            _ => RgbImage::from_raw(width, height, pixels).map(DynamicImage::from),
        };
        made.push(image.expect("h · w · c bytes make an image"));
    }
    Ok(made)
}

/// As [`to_images`], gray repeated in all three channels.
///
/// # Errors
/// When the tensor is not `[N, 1 or 3, H, W]`.
pub fn to_rgb(images: &Tensor, rounding: Rounding) -> Result<Vec<RgbImage>> {
    Ok(to_images(images, rounding)?.into_iter().map(DynamicImage::into_rgb8).collect())
}

/// Makes a batch of RGB images of one size.
///
/// # Shapes
/// `[N, 3, H, W]`, in [-1, 1].
///
/// # Errors
/// When there are no images, or when they differ in size.
pub fn from_rgb(images: &[RgbImage], device: &Device) -> Result<Tensor> {
    let sizes = images.iter().map(RgbImage::dimensions);
    from_bytes(sizes, images.iter().flat_map(|image| image.as_raw()), 3, device)
}

/// Makes a batch of gray images of one size.
///
/// # Shapes
/// `[N, 1, H, W]`, in [-1, 1].
///
/// # Errors
/// When there are no images, or when they differ in size.
pub fn from_gray(images: &[GrayImage], device: &Device) -> Result<Tensor> {
    let sizes = images.iter().map(GrayImage::dimensions);
    from_bytes(sizes, images.iter().flat_map(|image| image.as_raw()), 1, device)
}

/// Bytes of N images, interleaved, to `[N, C, H, W]`.
fn from_bytes<'a>(
    mut sizes: impl ExactSizeIterator<Item = (u32, u32)>,
    bytes: impl Iterator<Item = &'a u8>,
    c: usize,
    device: &Device,
) -> Result<Tensor> {
    let n = sizes.len();
    let Some((width, height)) = sizes.next() else { bail!("a batch needs at least one image") };
    if let Some((w, h)) = sizes.find(|size| *size != (width, height)) {
        bail!("images of one batch need one size, found {width}x{height} and {w}x{h} px");
    }
    let numbers: Vec<f32> = bytes.map(|byte| number(*byte)).collect();
    let interleaved = Tensor::from_vec(numbers, (n, height as usize, width as usize, c), &Device::Cpu)?; // [N, H, W, C]
    Ok(interleaved.permute((0, 3, 1, 2))?.contiguous()?.to_device(device)?) // [N, C, H, W]
}

/// Turns colours to gray as Pillow's mode `L` does: 0.299 R + 0.587 G + 0.114 B (ITU-R BT.601), in 16-bit fixed point.
pub fn to_gray(image: &RgbImage) -> GrayImage {
    let luma = |rgb: &image::Rgb<u8>| {
        let [r, g, b] = rgb.0.map(u32::from);
        ((19_595 * r + 38_470 * g + 7_471 * b + 0x8000) >> 16) as u8
    };
    let (width, height) = image.dimensions();
    let pixels = image.pixels().map(luma).collect();
    GrayImage::from_raw(width, height, pixels).expect("one byte a pixel makes a gray image")
}

/// The centred square of a picture, resized with Pillow's Lanczos filter, as the published projector does it.
pub fn square(picture: &RgbImage, side_px: u32) -> RgbImage {
    let (width, height) = picture.dimensions();
    let side = width.min(height);
    let square = imageops::crop_imm(picture, (width - side) / 2, (height - side) / 2, side, side).to_image();
    resize(&square, [side_px; 2], Filter::Lanczos)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(x: f32, [generate, projector, grid]: [u8; 3]) {
        assert_eq!(Rounding::Generate.byte(x), generate, "generate, {x}");
        assert_eq!(Rounding::Projector.byte(x), projector, "projector, {x}");
        assert_eq!(Rounding::Grid.byte(x), grid, "grid, {x}");
    }

    #[test]
    fn each_rule_gives_its_published_byte() {
        check(-1.0, [0, 0, 0]);
        check(0.0, [128, 127, 128]);
        check(1.0, [255, 255, 255]);
        check(0.5, [191, 191, 191]);
        check(-0.5, [64, 63, 64]);
        check(1.0 / 127.5, [129, 128, 128]);
        check(-1.5, [0, 0, 0]);
        check(40.0, [255, 255, 255]);
        check(f32::NEG_INFINITY, [0, 0, 0]);
        check(f32::INFINITY, [255, 255, 255]);
        check(f32::NAN, [0, 0, 0]);
    }

    /// A 16 x 16 picture in which every byte occurs in every channel.
    fn all_bytes() -> RgbImage {
        RgbImage::from_fn(16, 16, |x, y| {
            let byte = (16 * y + x) as u8;
            image::Rgb([byte, 255 - byte, byte.wrapping_mul(3)])
        })
    }

    #[test]
    fn images_survive_the_way_in_and_out() {
        let image = all_bytes();
        let gray = to_gray(&image);
        for rounding in [Rounding::Generate, Rounding::Grid] {
            let batch = from_rgb(&[image.clone(), image.clone()], &Device::Cpu).unwrap();
            assert_eq!(to_rgb(&batch, rounding).unwrap(), [image.clone(), image.clone()]);
            let batch = from_gray(std::slice::from_ref(&gray), &Device::Cpu).unwrap();
            assert_eq!(to_images(&batch, rounding).unwrap(), [DynamicImage::from(gray.clone())]);
        }
    }

    #[test]
    fn channels_come_before_rows_and_columns() {
        let mut image = RgbImage::new(3, 2);
        image.put_pixel(2, 1, image::Rgb([255, 0, 0]));
        let batch = from_rgb(&[image], &Device::Cpu).unwrap();
        assert_eq!(batch.dims(), [1, 3, 2, 3]);
        let numbers = batch.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(numbers.iter().position(|x| *x == 1.0), Some(5));
        assert_eq!(numbers.iter().filter(|x| **x == -1.0).count(), 17);
    }

    #[test]
    fn gray_is_repeated_where_colours_are_wanted() {
        let batch = Tensor::full(0.5f32, (2, 1, 4, 6), &Device::Cpu).unwrap();
        let images = to_rgb(&batch, Rounding::Generate).unwrap();
        assert_eq!(images[1].dimensions(), (6, 4));
        assert!(images[1].pixels().all(|pixel| pixel.0 == [191; 3]));
    }

    #[test]
    fn gray_weighs_colours_as_pillow_does() {
        let gray = |rgb| to_gray(&RgbImage::from_pixel(1, 1, image::Rgb(rgb))).get_pixel(0, 0).0[0];
        assert_eq!([gray([255, 0, 0]), gray([0, 255, 0]), gray([0, 0, 255])], [76, 150, 29]);
        assert_eq!([gray([255; 3]), gray([0; 3]), gray([1, 2, 3])], [255, 0, 2]);
    }

    fn check_refused(result: Result<impl Sized>, expected: &str) {
        let text = format!("{:#}", result.err().expect("an error"));
        assert!(text.contains(expected), "{text}");
    }

    #[test]
    fn wrong_shapes_are_refused_in_words() {
        let zeros = |shape: &[usize]| Tensor::zeros(shape, DType::F32, &Device::Cpu).unwrap();
        check_refused(to_images(&zeros(&[3, 8, 8]), Rounding::Generate), "[N, C, H, W]");
        check_refused(to_images(&zeros(&[1, 4, 8, 8]), Rounding::Generate), "1 or 3 channels, found 4");
        check_refused(from_rgb(&[], &Device::Cpu), "at least one image");
        let images = [RgbImage::new(4, 4), RgbImage::new(4, 8)];
        check_refused(from_rgb(&images, &Device::Cpu), "4x4 and 4x8 px");
    }

    #[test]
    fn the_middle_of_a_wide_picture_is_taken() {
        let picture =
            RgbImage::from_fn(
                12,
                4,
                |x, _| if (4..8).contains(&x) { image::Rgb([9, 8, 7]) } else { image::Rgb([255; 3]) },
            );
        assert_eq!(square(&picture, 4), RgbImage::from_pixel(4, 4, image::Rgb([9, 8, 7])));
        assert_eq!(
            square(&RgbImage::from_pixel(1, 3, image::Rgb([5; 3])), 8),
            RgbImage::from_pixel(8, 8, image::Rgb([5; 3]))
        );
    }
}
