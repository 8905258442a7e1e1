//! Raw frames in a pipe: YUV4MPEG2, as ffmpeg and mplayer speak it (<https://wiki.multimedia.cx/index.php/YUV4MPEG2>).
//!
//! Colours are those of ITU-R BT.601, in 4:4:4 or 4:2:0; other kinds are refused. Luma is from 16 to 235, or from 0 to 255
//! where `XCOLORRANGE=FULL` says so. Depth is the
//! fourth plane of `C444alpha`, or a stream of its own, such as one of `Cmono`.

use std::io::{BufRead, Write};

use anyhow::{Context, Result, bail, ensure};
use image::{GrayImage, RgbImage};
use rayon::prelude::*;

use super::Frame;
use crate::store::photo::MAX_PIXELS;

/// How often chroma is sampled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chroma {
    /// Once a pixel.
    Full,
    /// Once a pixel, with a fourth plane behind: depth.
    FullAlpha,
    /// Once for 2x2 pixels.
    Quarter,
    /// Not at all: depth alone.
    Mono,
}

/// Which bytes stand for black and white.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Range {
    /// 16 and 235; chroma from 16 to 240.
    Limited,
    /// 0 and 255, as in JPEG files.
    Full,
}

/// How a head says that its frames have the full range.
const FULL_RANGE: &str = "XCOLORRANGE=FULL";

/// What the head of a stream says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Columns and rows.
    pub size: (u32, u32),
    /// Chroma of the frames.
    pub chroma: Chroma,
    /// Rate, interlacing, aspect and comments, as they were read: passed on untouched.
    pub rest: String,
}

/// Longest line of parameters.
const LONGEST_LINE: usize = 1024;
const MAGIC: &str = "YUV4MPEG2";

impl Head {
    /// Reads the first line.
    ///
    /// # Errors
    /// When it is no YUV4MPEG2, or of a kind that is not known.
    pub fn read(input: &mut impl BufRead) -> Result<Head> {
        let line = line(input).with_context(|| format!("the pipe does not begin with `{MAGIC}`"))?;
        let line = line.with_context(|| format!("the pipe is empty, expected `{MAGIC}`"))?;
        let mut words = line.split(' ');
        ensure!(words.next() == Some(MAGIC), "the pipe does not begin with `{MAGIC}`");
        let (mut width, mut height, mut chroma, mut rest) = (0, 0, Chroma::Quarter, String::new());
        for word in words.filter(|word| !word.is_empty()) {
            let (key, value) = word.split_at(word.chars().next().map_or(0, char::len_utf8));
            match key {
                "W" => width = value.parse().context("the width of the frames is no number")?,
                "H" => height = value.parse().context("the height of the frames is no number")?,
                "C" => chroma = chroma_of(value)?,
                _ => rest.push_str(&format!(" {word}")),
            }
        }
        let pixels = u64::from(width) * u64::from(height);
        ensure!(pixels > 0 && pixels <= MAX_PIXELS, "frames of {width}x{height} pixels cannot be translated");
        Ok(Head { size: (width, height), chroma, rest })
    }

    /// The head of a stream of results: colours alone.
    pub fn of_results(&self) -> Head {
        let chroma = if self.chroma == Chroma::Quarter { Chroma::Quarter } else { Chroma::Full };
        Head { chroma, ..self.clone() }
    }

    /// Writes the first line.
    ///
    /// # Errors
    /// When the pipe is closed.
    pub fn write(&self, output: &mut impl Write) -> Result<()> {
        let kind = match self.chroma {
            Chroma::Full => "444",
            Chroma::FullAlpha => "444alpha",
            Chroma::Quarter => "420jpeg",
            Chroma::Mono => "mono",
        };
        let (width, height) = self.size;
        Ok(writeln!(output, "{MAGIC} W{width} H{height} C{kind}{}", self.rest)?)
    }

    fn range(&self) -> Range {
        if self.rest.split(' ').any(|word| word == FULL_RANGE) { Range::Full } else { Range::Limited }
    }

    /// Columns and rows of a plane of chroma.
    fn chroma_size(&self) -> (usize, usize) {
        let (width, height) = (self.size.0 as usize, self.size.1 as usize);
        match self.chroma {
            Chroma::Full | Chroma::FullAlpha => (width, height),
            Chroma::Mono => (0, 0),
            Chroma::Quarter => (width.div_ceil(2), height.div_ceil(2)),
        }
    }

    /// Reads a frame; `None` at the end.
    ///
    /// # Errors
    /// When it is cut off, or something else than a frame follows.
    pub fn read_frame(&self, input: &mut impl BufRead) -> Result<Option<Frame>> {
        ensure!(self.chroma != Chroma::Mono, "frames of kind `Cmono` have no colours");
        let Some(planes) = self.read_planes(input)? else { return Ok(None) };
        let (width, height) = self.size;
        let (columns, rows) = self.chroma_size();
        let luma = width as usize * height as usize;
        let (step, range) = (if self.chroma == Chroma::Quarter { 2 } else { 1 }, self.range());
        let mut bytes = vec![0; 3 * luma];
        bytes.par_chunks_exact_mut(3 * width as usize).enumerate().for_each(|(y, row)| {
            for (x, pixel) in row.chunks_exact_mut(3).enumerate() {
                let place = luma + y / step * columns + x / step;
                let yuv = [planes[y * width as usize + x], planes[place], planes[place + columns * rows]];
                pixel.copy_from_slice(&rgb(yuv, range));
            }
        });
        let pixels = RgbImage::from_raw(width, height, bytes).expect("three bytes a pixel");
        let alpha = || GrayImage::from_raw(width, height, planes[3 * luma..].to_vec()).expect("a byte a pixel");
        Ok(Some(Frame { pixels, depth: (self.chroma == Chroma::FullAlpha).then(alpha) }))
    }

    /// Reads a frame of a stream of depth: what is brighter is deeper. `None` at the end.
    ///
    /// # Errors
    /// As [`Head::read_frame`].
    pub fn read_depth(&self, input: &mut impl BufRead) -> Result<Option<GrayImage>> {
        let Some(mut planes) = self.read_planes(input)? else { return Ok(None) };
        let (width, height) = self.size;
        planes.truncate(width as usize * height as usize);
        if self.chroma != Chroma::Mono {
            planes.iter_mut().for_each(|luma| *luma = rgb([*luma, 128, 128], self.range())[0]);
        }
        Ok(Some(GrayImage::from_raw(width, height, planes).expect("a byte a pixel")))
    }

    /// The bytes of a frame, plane after plane.
    fn read_planes(&self, input: &mut impl BufRead) -> Result<Option<Vec<u8>>> {
        let Some(line) = line(input)? else { return Ok(None) };
        ensure!(line == "FRAME" || line.starts_with("FRAME "), "found `{line}` in the pipe, expected `FRAME`");
        let (columns, rows) = self.chroma_size();
        let luma = self.size.0 as usize * self.size.1 as usize;
        let alpha = if self.chroma == Chroma::FullAlpha { luma } else { 0 };
        let mut planes = vec![0; luma + 2 * columns * rows + alpha];
        input.read_exact(&mut planes).context("the last frame is cut off")?;
        Ok(Some(planes))
    }

    /// Writes a frame.
    ///
    /// # Errors
    /// When it is of another size, or the pipe is closed.
    pub fn write_frame(&self, frame: &RgbImage, output: &mut impl Write) -> Result<()> {
        ensure!(frame.dimensions() == self.size, "a frame of {:?} in a stream of {:?}", frame.dimensions(), self.size);
        let (columns, rows) = self.chroma_size();
        let range = self.range();
        let (pixels, _) = frame.as_raw().as_chunks();
        let converted: Vec<[f32; 3]> = pixels.par_iter().map(|pixel| yuv(*pixel, range)).collect();
        let width = self.size.0 as usize;
        let mut bytes: Vec<u8> = converted.iter().map(|yuv| byte(yuv[0])).collect();
        for channel in [1, 2] {
            let chroma = (0..rows * columns)
                .into_par_iter()
                .map(|index| byte(self.chroma_at(&converted, (index / columns, index % columns), (channel, width))));
            bytes.par_extend(chroma);
        }
        output.write_all(b"FRAME\n")?;
        Ok(output.write_all(&bytes)?)
    }

    /// Mean chroma of the pixels that share it.
    fn chroma_at(&self, pixels: &[[f32; 3]], (row, column): (usize, usize), (channel, width): (usize, usize)) -> f32 {
        if self.chroma == Chroma::Full {
            return pixels[row * width + column][channel];
        }
        let height = pixels.len() / width;
        let (rows, columns) = (2 * row..(2 * row + 2).min(height), 2 * column..(2 * column + 2).min(width));
        let count = (rows.len() * columns.len()) as f32;
        let places = rows.flat_map(|y| columns.clone().map(move |x| y * width + x));
        places.map(|place| pixels[place][channel]).sum::<f32>() / count
    }
}

fn chroma_of(kind: &str) -> Result<Chroma> {
    match kind {
        "444" => Ok(Chroma::Full),
        "444alpha" => Ok(Chroma::FullAlpha),
        "mono" => Ok(Chroma::Mono),
        "420" | "420jpeg" | "420mpeg2" | "420paldv" => Ok(Chroma::Quarter),
        _ => {
            bail!("frames of kind `C{kind}` are not known; convert them to 8 bits, 4:2:0 or 4:4:4 (`-pix_fmt yuv420p`)")
        }
    }
}

/// The next line without its end; `None` at the end of the stream.
fn line(input: &mut impl BufRead) -> Result<Option<String>> {
    let mut bytes = Vec::new();
    loop {
        let mut byte = [0];
        if input.read(&mut byte)? == 0 {
            ensure!(bytes.is_empty(), "the pipe ends within a line");
            return Ok(None);
        }
        match byte[0] {
            b'\n' => return Ok(Some(String::from_utf8(bytes).context("a line of the pipe is no text")?)),
            byte => bytes.push(byte),
        }
        ensure!(bytes.len() <= LONGEST_LINE, "a line of the pipe has more than {LONGEST_LINE} bytes");
    }
}

/// ITU-R BT.601, section 2.5: luma from 16 to 235, chroma from 16 to 240; or the full range, as JFIF has it.
fn rgb([y, u, v]: [u8; 3], range: Range) -> [u8; 3] {
    let (black, of_luma, of_chroma) = range.scales();
    let y = (f32::from(y) - black) * (255.0 / of_luma);
    let (u, v) = ((f32::from(u) - 128.0) * (255.0 / of_chroma), (f32::from(v) - 128.0) * (255.0 / of_chroma));
    [byte(y + 1.402 * v), byte(y - 0.344_136 * u - 0.714_136 * v), byte(y + 1.772 * u)]
}

fn yuv(pixel: [u8; 3], range: Range) -> [f32; 3] {
    let (black, of_luma, of_chroma) = range.scales();
    let [r, g, b] = pixel.map(f32::from);
    let y = 0.299 * r + 0.587 * g + 0.114 * b;
    let (u, v) = ((b - y) / 1.772, (r - y) / 1.402);
    [black + y * (of_luma / 255.0), 128.0 + u * (of_chroma / 255.0), 128.0 + v * (of_chroma / 255.0)]
}

impl Range {
    /// Luma of black, and the widths of luma and chroma.
    fn scales(self) -> (f32, f32, f32) {
        match self {
            Range::Limited => (16.0, 219.0, 224.0),
            Range::Full => (0.0, 255.0, 255.0),
        }
    }
}

fn byte(x: f32) -> u8 {
    x.round() as u8
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Rgb;

    fn head(chroma: Chroma) -> Head {
        Head { size: (5, 3), chroma, rest: " F30000:1001 Ip A1:1".to_owned() }
    }

    #[test]
    fn streams_come_back_as_they_were() {
        for chroma in [Chroma::Full, Chroma::Quarter] {
            let (head, mut stream) = (head(chroma), Vec::new());
            let frame = RgbImage::from_pixel(5, 3, Rgb([200, 100, 50]));
            head.write(&mut stream).unwrap();
            head.write_frame(&frame, &mut stream).unwrap();
            head.write_frame(&frame, &mut stream).unwrap();
            let mut input = stream.as_slice();
            assert_eq!(Head::read(&mut input).unwrap(), head);
            for _ in 0..2 {
                let read = head.read_frame(&mut input).unwrap().unwrap();
                assert!(read.depth.is_none());
                let off = read.pixels.iter().zip(frame.iter()).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
                assert!(off <= 2, "{off}");
            }
            assert!(head.read_frame(&mut input).unwrap().is_none());
        }
    }

    #[test]
    fn frames_of_the_full_range_say_so_in_their_head() {
        let head = Head { rest: " XCOLORRANGE=FULL".to_owned(), ..head(Chroma::Full) };
        let (mut stream, frame) =
            (Vec::new(), RgbImage::from_fn(5, 3, |x, y| Rgb([(x * 60) as u8, 255, (y * 9) as u8])));
        head.write_frame(&frame, &mut stream).unwrap();
        let read = head.read_frame(&mut stream.as_slice()).unwrap().unwrap();
        assert!(read.pixels.iter().zip(frame.iter()).all(|(a, b)| a.abs_diff(*b) <= 2));
        assert_eq!(yuv([255; 3], Range::Full).map(byte), [255, 128, 128]);
        assert_eq!(yuv([0; 3], Range::Full).map(byte), [0, 128, 128]);
    }

    #[test]
    fn the_fourth_plane_is_depth() {
        let head = head(Chroma::FullAlpha);
        let depth: Vec<u8> = (0..15).map(|index| index * 17).collect();
        let stream = [&b"FRAME\n"[..], &[128; 45], &depth].concat();
        let frame = head.read_frame(&mut stream.as_slice()).unwrap().unwrap();
        assert_eq!(frame.depth.unwrap().into_raw(), depth);
        assert_eq!(head.of_results().chroma, Chroma::Full);
    }

    #[test]
    fn streams_of_depth_have_one_plane_or_a_luma_of_which_black_is_16() {
        let check = |chroma, bytes: &[u8], expected: [u8; 2]| {
            let head = Head { size: (2, 1), chroma, rest: String::new() };
            let stream = [&b"FRAME\n"[..], bytes].concat();
            assert_eq!(head.read_depth(&mut stream.as_slice()).unwrap().unwrap().into_raw(), expected);
        };
        check(Chroma::Mono, &[0, 200], [0, 200]);
        check(Chroma::Full, &[16, 235, 128, 128, 128, 128], [0, 255]);
        check(Chroma::Quarter, &[16, 235, 9, 9], [0, 255]);
        assert!(head(Chroma::Mono).read_frame(&mut &b"FRAME\n"[..]).is_err());
    }

    #[test]
    fn black_white_and_primaries_have_their_published_codes() {
        let check = |pixel: [u8; 3], expected: [u8; 3]| assert_eq!(yuv(pixel, Range::Limited).map(byte), expected);
        check([0, 0, 0], [16, 128, 128]);
        check([255, 255, 255], [235, 128, 128]);
        check([255, 0, 0], [81, 90, 240]);
        check([0, 255, 0], [145, 54, 34]);
        check([0, 0, 255], [41, 240, 110]);
    }

    #[test]
    fn what_is_no_stream_is_refused() {
        let refused = |bytes: &[u8]| assert!(Head::read(&mut &bytes[..]).is_err(), "{bytes:?}");
        refused(b"");
        refused(b"P6\n1 1\n255\n");
        refused(b"YUV4MPEG2 W0 H2\n");
        refused(b"YUV4MPEG2 W4 H4 C422\n");
        refused(b"YUV4MPEG2 W999999 H999999\n");
        refused(&[b'x'; 5000]);
        assert!(head(Chroma::Full).read_frame(&mut &b"FRAME\nabc"[..]).is_err());
        assert!(head(Chroma::Full).read_frame(&mut &b"FROM\n"[..]).is_err());
    }
}
