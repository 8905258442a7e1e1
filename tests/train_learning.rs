//! Training learns: in some seconds, a tiny network comes nearer to pictures that are made on the spot.
//!
//! `make learning` shows the same on photos, in half an hour.

use std::path::Path;

use image::{Rgb, RgbImage};
use serde_json::Value;

mod support;

use support::{succeed, text};

/// What the sliced Wasserstein distance is divided by at least, between the first step and the last. Of the seeds that were
/// tried the factors were 2.3 to 3.2.
const FACTOR: f64 = 1.8;

/// Blobs of 16 px: warm ones on a blue ground, of different sizes at different places.
fn make_blobs(folder: &Path) {
    for index in 0..200u32 {
        let unit = |salt: u32| f64::from((index * 2_654_435 + salt * 97_003) % 1009) / 1009.0;
        let (x, y, radius) = (5.0 + 6.0 * unit(1), 5.0 + 6.0 * unit(2), 3.0 + 2.0 * unit(3));
        let colour = [200.0 + 50.0 * unit(4), 90.0 + 80.0 * unit(5), 40.0];
        let picture = RgbImage::from_fn(16, 16, |px, py| {
            let away = (f64::from(px) - x).hypot(f64::from(py) - y) / radius;
            let share = (1.5 - away).clamp(0.0, 1.0);
            let ground = [30.0, 50.0, 140.0];
            Rgb([0, 1, 2].map(|c| (share * colour[c] + (1.0 - share) * ground[c]).round() as u8))
        });
        support::save(&picture, folder.join(format!("{index:03}.png")));
    }
}

#[test]
fn the_distance_from_the_training_set_falls() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (set, runs) = (folder.path().join("blobs"), folder.path().join("runs"));
    make_blobs(&set);
    let network = ["--cbase", "128", "--cmax", "16", "--latent", "16", "--map-layers", "2", "--batch", "8"];
    let training = ["--kimg", "2", "--aug", "noaug", "--gamma", "1", "--lr", "0.005", "--ema", "0.3", "--grid", "4x2"];
    let place = ["train", "--outdir", text(&runs), "--data", text(&set), "--json", "--quiet"];
    let outcome: Value = serde_json::from_str(&succeed(&[&place[..], &network, &training].concat())).expect("JSON");
    let log = Path::new(outcome["folder"].as_str().expect("a folder")).join("metric-swd.jsonl");
    let log = std::fs::read_to_string(log).expect("metrics");
    let distances: Vec<f64> = log
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON")["results"]["swd"].as_f64().expect("a number"))
        .collect();
    let (first, last) = (distances[0], distances[distances.len() - 1]);
    assert!(first > FACTOR * last, "SWD went from {first:.1} to {last:.1}: less than a factor of {FACTOR}");
}
