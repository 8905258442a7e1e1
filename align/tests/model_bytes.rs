//! The landmark model's reader against bytes that lie: cut off, damaged, endless, or simply another file.

use image::RgbImage;
use proptest::prelude::*;
use toonify_align::{LandmarkModel, ModelError, Rect};

/// Writes dlib's serialisation format.
#[derive(Default)]
struct Writer(Vec<u8>);

impl Writer {
    fn integer(&mut self, value: i64) -> &mut Self {
        let bytes = value.unsigned_abs().to_le_bytes();
        let count = bytes.iter().rposition(|&byte| byte != 0).map_or(1, |last| last + 1);
        self.0.push(count as u8 | if value < 0 { 0x80 } else { 0 });
        self.0.extend(&bytes[..count]);
        self
    }

    fn integers(&mut self, values: impl IntoIterator<Item = i64>) -> &mut Self {
        values.into_iter().for_each(|value| {
            self.integer(value);
        });
        self
    }

    /// A column of 68 points, each coordinate 3/4 of its number over 100.
    fn shape(&mut self, step: i64) -> &mut Self {
        self.integers([136, 1]);
        (0..136).fold(self, |writer, i| writer.integers([(i * step) % 97, -7]))
    }
}

/// What a model is made of; a test changes one thing.
struct Plan {
    version: i64,
    n_leaves: i64,
    split_index: i64,
    probe_landmark: i64,
    n_offset_lists: i64,
}

const GOOD: Plan = Plan { version: 1, n_leaves: 4, split_index: 1, probe_landmark: 67, n_offset_lists: 2 };

/// Two stages of two trees with three splits, and two probes each.
fn model(plan: &Plan) -> Vec<u8> {
    let mut writer = Writer::default();
    writer.integer(plan.version).shape(31).integer(2);
    for _ in 0..2 {
        writer.integer(2);
        for _ in 0..2 {
            writer.integer(3);
            (0..3).for_each(|_| {
                writer.integers([0, plan.split_index, 5, 0]);
            });
            writer.integer(plan.n_leaves);
            (0..plan.n_leaves).for_each(|leaf| {
                writer.shape(leaf + 2);
            });
        }
    }
    writer.integers([2, 2, 0, plan.probe_landmark, 2, 3, 4]);
    writer.integer(plan.n_offset_lists);
    (0..plan.n_offset_lists).for_each(|_| {
        writer.integers([2, 1, -3, 1, -3, -1, -3, 5, -3]);
    });
    writer.0
}

#[track_caller]
fn check(plan: &Plan, expected: &str) {
    let error = LandmarkModel::unverified(&model(plan)).err().expect("the model is wrong");
    assert!(error.to_string().contains(expected), "`{error}` does not say `{expected}`");
}

#[test]
fn a_good_model_loads_and_runs() {
    let model = LandmarkModel::unverified(&model(&GOOD)).expect("it is good");
    let first = model.mean_shape().points()[1];
    assert_eq!((first.x, first.y), (62.0 / 128.0, 93.0 / 128.0));
    let rect = Rect { left: -5, top: 3, right: 20, bottom: 30 };
    assert!(model.landmarks(&RgbImage::new(16, 16), &rect).points().iter().all(|p| p.is_finite()));
}

#[test]
fn every_wrong_index_is_found_when_loading() {
    check(&Plan { version: 2, ..GOOD }, "no shape predictor of version 1");
    check(&Plan { n_leaves: 5, ..GOOD }, "leaves do not fit its splits");
    check(&Plan { split_index: 2, ..GOOD }, "a pixel that does not exist");
    check(&Plan { split_index: -1, ..GOOD }, "an index out of range");
    check(&Plan { probe_landmark: 68, ..GOOD }, "an index out of range");
    check(&Plan { n_offset_lists: 1, ..GOOD }, "another number of offset lists");
}

#[test]
fn every_prefix_of_a_model_is_refused() {
    let bytes = model(&GOOD);
    for len in 0..bytes.len() {
        let error = LandmarkModel::unverified(&bytes[..len]).err().expect("it is cut off");
        assert!(matches!(error, ModelError::Truncated { .. }), "{len} bytes: {error}");
    }
}

#[test]
fn bytes_after_the_model_are_refused() {
    let bytes = [model(&GOOD), vec![0; 3]].concat();
    assert_eq!(LandmarkModel::unverified(&bytes).err(), Some(ModelError::TrailingBytes { count: 3 }));
}

#[test]
fn another_file_than_the_published_one_is_refused_by_its_checksum() {
    let error = LandmarkModel::published(b"").err().expect("nothing is not the model");
    let sha256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    assert!(matches!(error, ModelError::Checksum { found, .. } if found == sha256));
}

#[test]
fn a_huge_count_asks_for_no_memory() {
    let mut writer = Writer::default();
    writer.integer(1).shape(3).integer(i64::MAX);
    assert!(matches!(LandmarkModel::unverified(&writer.0), Err(ModelError::Truncated { .. })));
}

proptest! {
    #[test]
    fn damaged_models_fail_or_stay_harmless(place in 0usize..10_000, value: u8, more in 0usize..10_000) {
        let mut bytes = model(&GOOD);
        let len = bytes.len();
        bytes[place % len] = value;
        bytes[more % len] ^= value;
        if let Ok(model) = LandmarkModel::unverified(&bytes) {
            model.landmarks(&RgbImage::new(9, 9), &Rect { left: 0, top: 0, right: 8, bottom: 8 });
        }
    }

    #[test]
    fn noise_is_no_model(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(LandmarkModel::unverified(&bytes).is_err());
    }
}
