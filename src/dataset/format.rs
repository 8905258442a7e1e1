//! The published format of training sets: numbered PNG files and a `dataset.json` with their labels.
//!
//! A set is a folder or a zip with images at any depth, all of one size, square, of one or three channels. In front of
//! everything lies `dataset.json`: `{"labels": null}`, or a list of `[name, class]` or `[name, [number, …]]`
//! (`dataset_tool.py` of NVlabs/stylegan2-ada-pytorch describes it in its help).

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use crate::store::bundle::Bundle;
use crate::store::folder;

/// The file with the labels.
pub const LABELS_FILE: &str = "dataset.json";
/// More classes than any set has; keeps a slip in a label from filling the memory with one-hot vectors.
const MAX_CLASSES: u32 = 1 << 16;

/// What is known of an image beside its pixels.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(untagged)]
pub enum Label {
    /// One of the classes 0, 1, …
    Class(u32),
    /// Numbers of any meaning.
    Vector(Vec<f64>),
}

impl Label {
    /// The label in a few characters, for captions.
    pub fn caption(&self) -> String {
        match self {
            Label::Class(class) => format!("class {class}"),
            Label::Vector(numbers) => {
                let short: Vec<String> = numbers.iter().take(4).map(|number| format!("{number:.3}")).collect();
                format!("[{}{}]", short.join(", "), if numbers.len() > 4 { ", .." } else { "" })
            }
        }
    }

    /// How two labels differ in kind, if they do.
    pub fn disagreement(&self, other: &Label) -> Option<String> {
        match (self, other) {
            (Label::Class(_), Label::Class(_)) => None,
            (Label::Vector(a), Label::Vector(b)) if a.len() == b.len() => None,
            (Label::Vector(a), Label::Vector(b)) => {
                Some(format!("it has {} numbers, others have {}", a.len(), b.len()))
            }
            (Label::Class(_), Label::Vector(_)) => Some("it is a class, others are vectors".to_owned()),
            (Label::Vector(_), Label::Class(_)) => Some("it is a vector, others are classes".to_owned()),
        }
    }
}

/// What is used of a `dataset.json`; other sets keep more in it.
#[derive(Deserialize)]
struct Contents {
    labels: Option<Vec<(String, serde_json::Value)>>,
}

/// Parses a `dataset.json`: names and labels in the file's order, `None` when it says that there are none.
///
/// # Errors
/// When it is no JSON of that form, or when a label is neither a class nor a list of numbers; the message names it.
pub fn parse_labels(json: &[u8]) -> Result<Option<Vec<(String, Label)>>> {
    let contents: Contents =
        serde_json::from_slice(json).context("expected {\"labels\": null or [[name, label], …]}")?;
    let Some(labels) = contents.labels else { return Ok(None) };
    let parsed = labels.into_iter().map(|(name, value)| {
        let label = parse_label(&value).with_context(|| format!("the label of `{name}` is {value}"))?;
        Ok((name, label))
    });
    parsed.collect::<Result<Vec<_>>>().map(Some)
}

fn parse_label(value: &serde_json::Value) -> Result<Label> {
    if let Some(numbers) = value.as_array() {
        let numbers: Option<Vec<f64>> = numbers.iter().map(serde_json::Value::as_f64).collect();
        return Ok(Label::Vector(numbers.context("expected numbers only")?));
    }
    // Classes may be written as `1.0`.
    match value.as_f64() {
        Some(class) if class.fract() == 0.0 && (0.0..f64::from(MAX_CLASSES)).contains(&class) => {
            Ok(Label::Class(class as u32))
        }
        _ => bail!("expected a class from 0 to {} or a list of numbers", MAX_CLASSES - 1),
    }
}

/// A `dataset.json` with these labels.
pub fn labels_json(labels: Option<&[(String, Label)]>) -> Vec<u8> {
    #[derive(Serialize)]
    struct Contents<'a> {
        labels: Option<&'a [(String, Label)]>,
    }
    serde_json::to_vec(&Contents { labels }).expect("names and numbers have a JSON form")
}

/// The name of image `index`: `00000/img00000042.png`. The folder is the first five digits of eight.
pub fn image_name(index: usize) -> String {
    let digits = format!("{index:08}");
    format!("{}/img{digits}.png", &digits[..5])
}

/// Whether a file of this name is an image that can be decoded here.
pub fn is_image(name: &str) -> bool {
    folder::is_image_name(Path::new(name))
}

/// The files of `bundle` that are images, in the order of names.
pub(super) fn images_of(bundle: &Bundle) -> Vec<usize> {
    (0..bundle.len()).filter(|index| is_image(bundle.name(*index))).collect()
}

/// The labels that lie in `bundle`; `None` where there is no `dataset.json` or none in it.
pub(super) fn labels_of(bundle: &Bundle) -> Result<Option<Vec<(String, Label)>>> {
    let Some(index) = bundle.find(LABELS_FILE) else { return Ok(None) };
    let labels = parse_labels(&bundle.read(index)?);
    labels.with_context(|| format!("cannot understand `{}`", bundle.path_of(index).display()))
}

/// The labels of all `images` of a set, in their order; `None` where the set has no labels.
///
/// # Errors
/// When an image has none, or when labels differ in kind; the message names the image.
pub(super) fn complete_labels(bundle: &Bundle, images: &[usize]) -> Result<Option<Vec<Label>>> {
    let Some(listed) = labels_of(bundle)?.filter(|listed| !listed.is_empty()) else { return Ok(None) };
    let mut by_name: BTreeMap<String, Label> = listed.into_iter().collect();
    let mut labels: Vec<Label> = Vec::with_capacity(images.len());
    for &image in images {
        let (name, path) = (bundle.name(image), bundle.path().display());
        let Some(label) = by_name.remove(name) else { bail!("`{name}` has no label in the {LABELS_FILE} of `{path}`") };
        if let Some(text) = labels.first().and_then(|first| label.disagreement(first)) {
            bail!("the label of `{name}` of `{path}` is of another kind: {text}");
        }
        labels.push(label);
    }
    Ok(Some(labels))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_published_ones() {
        assert_eq!(image_name(0), "00000/img00000000.png");
        assert_eq!(image_name(1234), "00001/img00001234.png");
        assert_eq!(image_name(12_345_678), "12345/img12345678.png");
    }

    #[test]
    fn images_are_known_by_their_extension() {
        for (name, expected) in [("a/b.png", true), ("B.JPG", true), ("a.json", false), ("a", false), (".png", false)] {
            assert_eq!(is_image(name), expected, "{name}");
        }
    }

    #[test]
    fn labels_survive_the_way_out_and_in() {
        let classes = vec![("a".to_owned(), Label::Class(7)), ("b/ü".to_owned(), Label::Class(0))];
        let vectors = vec![("a".to_owned(), Label::Vector(vec![0.1, -2.0, 1e-9]))];
        for labels in [None, Some(vec![]), Some(classes), Some(vectors)] {
            assert_eq!(parse_labels(&labels_json(labels.as_deref())).unwrap(), labels);
        }
        assert_eq!(labels_json(None), br#"{"labels":null}"#);
    }

    #[track_caller]
    fn check_refused(json: &str, words: &str) {
        let error = format!("{:#}", parse_labels(json.as_bytes()).unwrap_err());
        assert!(error.contains(words), "{error}");
    }

    #[test]
    fn other_files_and_labels_are_refused_by_name() {
        assert_eq!(parse_labels(br#"{"labels":[["a",2.0]],"more":1}"#).unwrap().unwrap()[0].1, Label::Class(2));
        check_refused("", "expected");
        check_refused("[]", "expected");
        check_refused(r#"{"labels":[["a"]]}"#, "expected");
        check_refused(r#"{"labels":[["a",-1]]}"#, "the label of `a` is -1");
        check_refused(r#"{"labels":[["a",1.5]]}"#, "the label of `a` is 1.5");
        check_refused(r#"{"labels":[["a",4294967296]]}"#, "from 0 to 65535");
        check_refused(r#"{"labels":[["a",["x"]]]}"#, "numbers only");
        check_refused(r#"{"labels":[["a",null]]}"#, "the label of `a`");
    }
}
