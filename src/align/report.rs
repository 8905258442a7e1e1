//! Records to `report.html`: one page that needs nothing else, with counts, the faces most in doubt, and every photo that
//! was left out with the reason.

use std::io::Cursor;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use image::RgbImage;
use image::codecs::jpeg::JpegEncoder;
use rayon::prelude::*;

use super::contact::{fit, thumbnail};
use super::journal::{FaceRecord, Record, Skipped, Why};
use super::outcome::AlignOutcome;
use super::sources::Sources;
use crate::store::atomic;
use crate::store::photo::Photo;

/// Faces with the lowest scores that are shown.
const N_DOUBTFUL: usize = 24;
/// Photos left out that are shown with a picture; the others are named.
const N_SHOWN: usize = 48;
const THUMBNAIL_PX: u32 = 144;

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:60rem;padding:0 1rem;color:#202124;\
background:#fafaf8}table{border-collapse:collapse}td{padding:.15rem 1rem .15rem 0;vertical-align:top}\
td.n{text-align:right}.faces{display:flex;flex-wrap:wrap;gap:1rem}figure{margin:0;width:144px}\
img{max-width:144px;display:block}figcaption,small{font-size:12px;color:#606368;overflow-wrap:anywhere}";

/// Writes the page.
///
/// # Errors
/// When a face that is shown cannot be read, or the page cannot be written.
pub(super) fn write(out: &Path, (sources, records): (&Sources, &[&Record]), outcome: &AlignOutcome) -> Result<PathBuf> {
    let mut page =
        String::from("<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\">\n<title>Aligned faces</title>\n");
    page += &format!("<style>{STYLE}</style>\n<h1>Aligned faces</h1>\n");
    page += &counts(outcome);
    page += &doubtful(out, records)?;
    page += &left_out(sources, records);
    let path = out.join("report.html");
    atomic::write(&path, page.as_bytes())?;
    Ok(path)
}

fn counts(outcome: &AlignOutcome) -> String {
    let counts = &outcome.counts;
    let mut rows = vec![(counts.photos, "photos"), (counts.aligned, "aligned"), (outcome.faces, "faces")];
    rows.extend(counts.skipped());
    let rows = rows.iter().map(|(count, name)| format!("<tr><td class=n>{count}<td>{name}\n"));
    format!("<table>\n{}</table>\n", rows.collect::<String>())
}

/// The faces with the lowest scores, lowest first.
fn doubtful(out: &Path, records: &[&Record]) -> Result<String> {
    let mut faces: Vec<(&Record, &FaceRecord)> =
        records.iter().flat_map(|record| record.faces.iter().map(move |face| (*record, face))).collect();
    faces.sort_by(|a, b| a.1.score.total_cmp(&b.1.score));
    faces.truncate(N_DOUBTFUL);
    if faces.is_empty() {
        return Ok(String::new());
    }
    let figure = |(record, face): &(&Record, &FaceRecord)| -> Result<String> {
        let picture = thumbnail(&out.join(&face.file), THUMBNAIL_PX)?.into_rgb8();
        let caption = format!("score {:.2}, {} px<br>{}", face.score, face.rect.width(), escaped(&record.source));
        Ok(format!("<figure>{}<figcaption>{caption}</figcaption></figure>\n", img(&picture)?))
    };
    let figures = faces.par_iter().map(figure).collect::<Result<String>>()?;
    Ok(format!("<h2>Lowest scores</h2>\n<div class=faces>\n{figures}</div>\n"))
}

/// Every photo that has no face, by name, with its reason; the first ones with a picture.
fn left_out(sources: &Sources, records: &[&Record]) -> String {
    let skipped: Vec<(&Record, &Skipped)> =
        records.iter().filter_map(|record| Some((*record, record.skipped.as_ref()?))).collect();
    if skipped.is_empty() {
        return String::new();
    }
    let mut page = String::from("<h2>Left out</h2>\n<table>\n");
    let rows = skipped.par_iter().enumerate().map(|(i, (record, skipped))| {
        let shown = i < N_SHOWN && skipped.why != Why::Unreadable;
        let picture = if shown { photo_img(sources, &record.source) } else { None };
        let detail = escaped(&skipped.detail);
        format!("<tr><td>{}<td>{}<br><small>{detail}</small>\n", picture.unwrap_or_default(), escaped(&record.source))
    });
    page.extend(rows.collect::<Vec<_>>());
    page + "</table>\n"
}

/// A photo of the source, or nothing: it may be gone by now, and the page does without.
fn photo_img(sources: &Sources, name: &str) -> Option<String> {
    let input = sources.inputs.iter().find(|input| input.name == name)?;
    let photo = Photo::from_bytes(&sources.read(input).ok()?, sources.path(input)).ok()?;
    img(&fit(photo.pixels, THUMBNAIL_PX)).ok()
}

fn img(picture: &RgbImage) -> Result<String> {
    let mut bytes = Cursor::new(Vec::new());
    picture.write_with_encoder(JpegEncoder::new_with_quality(&mut bytes, 85)).context("cannot encode a thumbnail")?;
    Ok(format!("<img alt=\"\" src=\"data:image/jpeg;base64,{}\">", base64(bytes.get_ref())))
}

/// RFC 4648, section 4.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let byte = |i: usize| u32::from(group.get(i).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for i in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * i) & 63) as usize];
            text.push(if i > group.len() { '=' } else { char::from(digit) });
        }
    }
    text
}

/// Text as HTML.
fn escaped(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '&' => html.push_str("&amp;"),
            '"' => html.push_str("&quot;"),
            c => html.push(c),
        }
    }
    html
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_agrees_with_the_vectors_of_its_standard() {
        for (plain, encoded) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(plain.as_bytes()), encoded);
        }
    }

    #[test]
    fn file_names_cannot_become_markup() {
        assert_eq!(escaped("<a href=\"x\">&"), "&lt;a href=&quot;x&quot;&gt;&amp;");
    }
}
