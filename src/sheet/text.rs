//! Short captions in a fixed-width face, drawn with smooth edges.

use image::{Rgb, RgbImage};
use noto_sans_mono_bitmap::{FontWeight, RasterHeight, get_raster, get_raster_width};

/// Height of a line of text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextSize {
    /// 16 px
    Small,
    /// 24 px
    Medium,
    /// 32 px
    Large,
}

/// Where a line of text goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Left edge in pixels.
    pub x_px: u32,
    /// Upper edge of the line in pixels.
    pub y_px: u32,
}

impl TextSize {
    fn raster(self) -> RasterHeight {
        match self {
            TextSize::Small => RasterHeight::Size16,
            TextSize::Medium => RasterHeight::Size24,
            TextSize::Large => RasterHeight::Size32,
        }
    }

    /// Height of a line in pixels.
    pub fn line_px(self) -> u32 {
        self.raster().val() as u32
    }

    /// Width of a character in pixels.
    pub fn char_px(self) -> u32 {
        get_raster_width(FontWeight::Regular, self.raster()) as u32
    }

    /// Width of `text` in pixels.
    pub fn width_px(self, text: &str) -> u32 {
        self.char_px() * text.chars().count() as u32
    }

    /// `text` if it fits into `width_px`, otherwise its beginning and two dots.
    pub fn shorten(self, text: &str, width_px: u32) -> String {
        let fitting = (width_px / self.char_px()) as usize;
        if text.chars().count() <= fitting {
            return text.to_owned();
        }
        let beginning: String = text.chars().take(fitting.saturating_sub(2)).collect();
        let dots = ".".repeat(fitting.min(2));
        beginning.trim_end().to_owned() + &dots
    }
}

/// Draws `text` onto `canvas`; what would stand beyond its edges is left out.
///
/// Characters that the face lacks appear as `?`.
pub fn draw(canvas: &mut RgbImage, place: Place, text: &str, (size, ink): (TextSize, Rgb<u8>)) {
    for (i, character) in text.chars().enumerate() {
        let glyph = |c| get_raster(c, FontWeight::Regular, size.raster());
        let Some(glyph) = glyph(character).or_else(|| glyph('?')) else { continue };
        for (y, row) in glyph.rows().enumerate() {
            for (x, coverage) in row.iter().enumerate() {
                let column = place.x_px + i as u32 * size.char_px() + x as u32;
                if let Some(pixel) = canvas.get_pixel_mut_checked(column, place.y_px + y as u32) {
                    *pixel = mix(*pixel, ink, *coverage);
                }
            }
        }
    }
}

/// `paper` where `coverage` is 0, `ink` where it is 255.
fn mix(paper: Rgb<u8>, ink: Rgb<u8>, coverage: u8) -> Rgb<u8> {
    let share = u32::from(coverage);
    let channel = |i: usize| (u32::from(paper.0[i]) * (255 - share) + u32::from(ink.0[i]) * share + 127) / 255;
    Rgb([channel(0) as u8, channel(1) as u8, channel(2) as u8])
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHITE: Rgb<u8> = Rgb([255; 3]);
    const BLACK: Rgb<u8> = Rgb([0; 3]);

    fn ink_on(text: &str) -> usize {
        let mut canvas = RgbImage::from_pixel(64, 20, WHITE);
        draw(&mut canvas, Place { x_px: 2, y_px: 2 }, text, (TextSize::Small, BLACK));
        canvas.pixels().filter(|pixel| **pixel != WHITE).count()
    }

    #[test]
    fn letters_leave_ink_and_spaces_none() {
        assert_eq!(ink_on("   "), 0);
        assert!(ink_on("w") > 20);
        assert!(ink_on("wä×") > ink_on("w"));
        assert_eq!(ink_on("漢"), ink_on("?"));
    }

    #[test]
    fn text_beyond_the_edge_is_cut_off() {
        assert!(ink_on("a very long caption indeed") > 0);
    }

    #[test]
    fn long_text_is_shortened_to_fit() {
        let check = |text: &str, chars: u32, expected: &str| {
            assert_eq!(TextSize::Small.shorten(text, chars * TextSize::Small.char_px()), expected);
        };
        check("seed 12", 7, "seed 12");
        check("seed 123", 7, "seed..");
        check("seeds123", 7, "seeds..");
        check("seed", 1, ".");
        check("seed", 0, "");
    }
}
