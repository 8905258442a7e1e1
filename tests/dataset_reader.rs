//! Sets are read and sampled as the published loader does: same images, flips, labels and order.
//!
//! `tests/reference/dataset/cases.json` says what the published loader gave.

use std::path::{Path, PathBuf};

use serde_json::Value;
use sha2::{Digest, Sha256};
use toonify::dataset::{Labels, Mirror, Reader, Sampler, Selection};

fn reference() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference/dataset")
}

fn cases() -> Vec<Value> {
    let text = std::fs::read(reference().join("cases.json")).expect("the reference is there");
    let mut cases: Value = serde_json::from_slice(&text).expect("JSON");
    let Value::Array(sets) = cases["sets"].take() else { panic!("a list of sets") };
    assert_eq!(sets.len(), 5);
    sets
}

fn numbers(value: &Value) -> Vec<usize> {
    value.as_array().expect("a list").iter().map(|number| number.as_u64().expect("a number") as usize).collect()
}

/// The set of a case; the larger one lies beside the repository, if at all.
fn set_of(case: &Value) -> Option<PathBuf> {
    let name = case["path"].as_str().expect("a name");
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/goldens/datasets");
    let found = [reference(), beside].iter().map(|folder| folder.join(name)).find(|path| path.is_file());
    if found.is_none() {
        println!("not there, left out: {name}");
    }
    found
}

/// The published loader ignores labels unless it is told to use them.
fn selection(arguments: &Value) -> Selection {
    Selection {
        labels: if arguments["use_labels"] == true { Labels::Read } else { Labels::Ignored },
        max_size: arguments["max_size"].as_u64().map(|count| count as usize),
        seed: arguments["random_seed"].as_u64().unwrap_or(0) as u32,
        mirror: if arguments["xflip"] == true { Mirror::Double } else { Mirror::No },
    }
}

/// Bytes `[H, W, C]` to SHA-256 over `[C, H, W]`.
fn hash(pixels: &[u8], channels: usize) -> String {
    let planes = (0..channels).flat_map(|c| pixels.iter().skip(c).step_by(channels).copied());
    let digest = Sha256::digest(planes.collect::<Vec<u8>>());
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn images_flips_and_labels_are_the_published_ones() {
    for case in cases() {
        let Some(path) = set_of(&case) else { continue };
        let reader = Reader::open(&path, selection(&case["kwargs"])).expect("a good set");
        assert_eq!(reader.len() as u64, case["length"], "{case}");
        assert_eq!(reader.name(), case["name"].as_str().expect("a name"));
        let shape = [reader.channels(), reader.resolution(), reader.resolution()].map(|side| side as usize);
        assert_eq!(shape.to_vec(), numbers(&case["image_shape"]));
        assert_eq!(vec![reader.label_dim()], numbers(&case["label_shape"]));
        let (images, flips): (Vec<usize>, Vec<bool>) = (0..reader.len()).map(|index| reader.origin(index)).unzip();
        assert_eq!(images, numbers(&case["raw_idx"]));
        assert_eq!(flips.iter().map(|&flip| usize::from(flip)).collect::<Vec<_>>(), numbers(&case["xflip"]));
        for item in case["items"].as_array().expect("a list") {
            let index = item["idx"].as_u64().expect("a number") as usize;
            let sample = reader.get(index).expect("an image");
            assert_eq!(hash(&sample.pixels, shape[0]), item["sha256"].as_str().expect("a hash"), "image {index}");
            let label: Vec<f32> = serde_json::from_value(item["label"].clone()).expect("numbers");
            assert_eq!(sample.label, label, "image {index}");
        }
    }
}

#[test]
fn the_order_of_training_is_the_published_one() {
    for case in cases() {
        let count = case["length"].as_u64().expect("a number") as usize;
        let published = &case["infinite_sampler"];
        let seed = published["seed"].as_u64().expect("a number") as u32;
        let order: Vec<usize> = Sampler::new(count, seed).take(60).collect();
        assert_eq!(order, numbers(&published["first_60"]), "{count} images");
        // The second of two processes takes every other image of the same order.
        let second: Vec<usize> = Sampler::new(count, 0).skip(1).step_by(2).take(20).collect();
        assert_eq!(second, numbers(&case["infinite_sampler_rank1_of_2_seed0"]), "{count} images");
    }
}

fn set(files: &[(&str, u32, u32)], labels: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, width, height) in files {
        image::RgbImage::new(*width, *height).save(folder.path().join(name)).expect("a picture");
    }
    std::fs::write(folder.path().join("dataset.json"), labels).expect("labels");
    folder
}

#[track_caller]
fn check_refused(result: anyhow::Result<impl Sized>, words: &[&str]) {
    let error = format!("{:#}", result.err().expect("an error"));
    assert!(words.iter().all(|word| error.contains(word)), "{error}");
}

#[test]
fn sets_that_cannot_be_read_are_refused_by_name() {
    let none = r#"{"labels": null}"#;
    check_refused(Reader::open(set(&[], none).path(), Selection::ALL), &["no image files found"]);
    check_refused(Reader::open(set(&[("a.png", 8, 4)], none).path(), Selection::ALL), &["a.png", "8x4", "a square"]);
    check_refused(Reader::open(set(&[("a.png", 8, 8)], "{").path(), Selection::ALL), &["dataset.json"]);
    let two = [("a.png", 8, 8), ("b.png", 8, 8)];
    let one_label = set(&two, r#"{"labels": [["a.png", 1]]}"#);
    check_refused(Reader::open(one_label.path(), Selection::ALL), &["b.png", "has no label"]);
    let ignored = Selection { labels: Labels::Ignored, ..Selection::ALL };
    assert_eq!(Reader::open(one_label.path(), ignored).expect("a set without labels").label_dim(), 0);
    let mixed = set(&two, r#"{"labels": [["a.png", 1], ["b.png", [0.5]]]}"#);
    check_refused(Reader::open(mixed.path(), Selection::ALL), &["b.png", "is a vector"]);
    let sizes = set(&[("a.png", 8, 8), ("b.png", 4, 4)], none);
    let reader = Reader::open(sizes.path(), Selection::ALL).expect("only the first image is looked at");
    check_refused(reader.get(1), &["b.png", "4x4", "expected 8x8"]);
}

#[test]
fn vectors_are_labels_too_and_threads_share_a_reader() {
    let set = set(&[("a.png", 8, 8), ("b.png", 8, 8)], r#"{"labels": [["b.png", [0.5, 2]], ["a.png", [1, -1]]]}"#);
    let reader = Reader::open(set.path(), Selection { mirror: Mirror::Double, ..Selection::ALL }).expect("a set");
    std::thread::scope(|scope| {
        let label = |index| {
            scope.spawn({
                let reader = &reader;
                move || reader.get(index).expect("an image").label
            })
        };
        let labels = [label(0), label(3)].map(|thread| thread.join().expect("no panic"));
        assert_eq!(labels, [[1.0, -1.0], [0.5, 2.0]]);
    });
}
