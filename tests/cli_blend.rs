//! Blends and blend grids on networks that the program made itself.

use std::path::Path;
use std::sync::OnceLock;

use tempfile::TempDir;

mod support;

use support::{fail, succeed, text, tiny};

/// Networks of 16 px in `small`, of 32 px in `large`: `base.safetensors` and `tuned.safetensors` each.
fn networks() -> &'static Path {
    static NETWORKS: OnceLock<TempDir> = OnceLock::new();
    let folder = NETWORKS.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for (name, px) in [("small", 16), ("large", 32)] {
            tiny::networks(&folder.path().join(name), px);
        }
        folder
    });
    folder.path()
}

fn network(name: &str) -> String {
    text(&networks().join(format!("{name}.safetensors"))).to_owned()
}

/// The picture of seed 1.
fn picture(network: &Path) -> Vec<u8> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    succeed(&["generate", "--network", text(network), "--seeds", "1", "--outdir", text(folder.path()), "-q"]);
    std::fs::read(folder.path().join("seed0001.png")).expect("the picture")
}

#[test]
fn a_swap_above_the_last_resolution_is_the_low_model_and_its_parents_are_told() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (low, high, out) = (network("small/base"), network("small/tuned"), folder.path().join("a.safetensors"));
    succeed(&["blend", "--low", &low, "--high", &high, "--resolution", "16", "-o", text(&out)]);
    assert_eq!(picture(&out), picture(Path::new(&low)));
    let told = succeed(&["inspect", text(&out)]);
    for word in ["toonify blend", "low: ", "high: ", "sha256", "hard above 16 px"] {
        assert!(told.contains(word), "`{word}` is not in {told}");
    }
}

#[test]
fn every_curve_and_both_published_scripts_can_be_asked_for() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (low, high) = (network("small/base"), network("small/tuned"));
    let mut pictures = Vec::new();
    let curves: [&[&str]; 7] = [
        &["--resolution", "4"],
        &["--resolution", "4", "--level", "1"],
        &["--resolution", "4", "--curve", "logistic", "--width", "2"],
        &["--resolution", "4", "--curve", "linear", "--width", "2"],
        &["--curve", "0,0.5,0.25"],
        &["--resolution", "8", "--compat", "pinkney", "--width", "1"],
        &["--resolution", "4", "--compat", "dvschultz", "--mapping", "high"],
    ];
    for (index, curve) in curves.iter().enumerate() {
        let out = folder.path().join(format!("{index}.safetensors"));
        let args = [&["blend", "--low", &low, "--high", &high, "-o", text(&out)], *curve].concat();
        succeed(&args);
        pictures.push(picture(&out));
    }
    let count = pictures.len();
    pictures.sort();
    pictures.dedup();
    assert_eq!(pictures.len(), count, "no two of these blends are the same");
}

#[test]
fn whole_models_are_averaged_with_their_shares() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (a, b, out) = (network("small/base"), network("small/tuned"), folder.path().join("mean.safetensors"));
    let (all, none) = (format!("{a}=1"), format!("{b}=0"));
    succeed(&["blend", "--model", &all, "--model", &none, "--model", &none, "-o", text(&out)]);
    assert_eq!(picture(&out), picture(Path::new(&a)));
}

#[test]
fn what_cannot_be_blended_is_refused_by_name() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (small, large) = (network("small/base"), network("large/base"));
    let out = folder.path().join("x.safetensors");
    let out = text(&out);
    let both = ["blend", "--low", &small, "--high", &large, "-o", out];
    fail(&[&both[..], &["--resolution", "8"]].concat(), 1, &["synthesis.b32.conv0", "missing", "small", "large"]);
    let same = ["blend", "--low", &small, "--high", &small, "-o", out];
    fail(&[&same[..], &["--resolution", "32"]].concat(), 1, &["32 px", "16 px"]);
    fail(&[&same[..], &["--curve", "0,1"]].concat(), 1, &["number of shares", "3"]);
    fail(&[&same[..], &["--curve", "logstic", "--resolution", "8"]].concat(), 2, &["did you mean `logistic`?"]);
    fail(&same, 2, &["--resolution"]);
    fail(&["blend", "--model", &small, "-o", out], 2, &["--model at least twice"]);
    fail(&["blend", "--low", &small, "-o", out], 2, &["--high"]);
    assert!(!Path::new(out).exists());
}

#[test]
fn a_grid_has_a_column_for_every_blend_and_a_row_for_every_latent() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (base, tuned) = (network("small/base"), network("small/tuned"));
    let printed = succeed(&[
        "grid",
        "--base",
        &base,
        "--tuned",
        &tuned,
        "--seeds",
        "0-2",
        "--gif",
        "--json",
        "--outdir",
        text(folder.path()),
    ]);
    let outcome: serde_json::Value = serde_json::from_str(&printed).expect("JSON");
    assert_eq!(outcome["cells"].as_array().expect("a list").len(), 3 * 4, "base, swaps at 4 and 8, tuned");
    for file in ["grid.png", "grid.html", "grid.gif", "cells/02-03.png"] {
        assert!(folder.path().join(file).is_file(), "{file}");
    }
    let page = std::fs::read_to_string(folder.path().join("grid.html")).expect("the page");
    assert!(page.contains("swap 8") && page.contains("seed 2") && page.contains("cells/00-00.png"));
}

#[test]
fn a_grid_can_show_what_each_resolution_carries() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (base, tuned, out) = (network("small/base"), network("small/tuned"), folder.path().join("out"));
    let models = ["grid", "--base", &base, "--tuned", &tuned, "--seeds", "1", "--trunc", "1"];
    let args = [&models[..], &["--alone", "--json", "--outdir", text(&out)]].concat();
    let outcome: serde_json::Value = serde_json::from_str(&succeed(&args)).expect("JSON");
    assert_eq!(outcome["columns"], serde_json::json!(["base", "4 alone", "8 alone", "16 alone", "tuned"]));
    let blend = folder.path().join("blend.safetensors");
    succeed(&["blend", "--low", &base, "--high", &tuned, "--curve", "0,1,0", "-o", text(&blend)]);
    assert_eq!(std::fs::read(out.join("cells/00-02.png")).expect("a cell"), picture(&blend));
}

#[test]
fn scores_say_how_much_identity_is_kept_and_how_far_the_characters_are() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (base, tuned) = (network("small/base"), network("small/tuned"));
    let (characters, out) = (folder.path().join("characters"), folder.path().join("out"));
    succeed(&["generate", "--network", &tuned, "--seeds", "20-43", "--outdir", text(&characters), "-q"]);
    let models = ["grid", "--base", &base, "--tuned", &tuned, "--seeds", "0-3", "--width", "0", "--width", "1"];
    let scored = ["--scores", "--characters", text(&characters), "--json", "--outdir", text(&out)];
    let outcome: serde_json::Value = serde_json::from_str(&succeed(&[&models[..], &scored].concat())).expect("JSON");
    let columns = outcome["columns"].as_array().expect("a list");
    let names = ["base", "swap 4", "swap 8", "swap 4 ~1", "swap 8 ~1", "tuned"];
    assert!(columns.iter().eq(names.iter()), "{columns:?}");
    let scores = outcome["scores"].as_array().expect("a list");
    assert_eq!(scores.len(), 4 * columns.len());
    let mean = |column: usize, what: &str| {
        let cells = scores.iter().skip(column).step_by(columns.len());
        cells.map(|cell| cell[what].as_f64().expect("a number")).sum::<f64>() / 4.0
    };
    assert!((mean(0, "identity") - 1.0).abs() < 1e-9, "the base keeps all");
    assert!(mean(5, "identity") < mean(1, "identity"), "the less is left of the base the less is kept: {scores:?}");
    assert!(mean(5, "distance") < 0.7 * mean(0, "distance"), "the tuned model is nearer to its own images: {scores:?}");
    assert!((0.3..2.0).contains(&mean(5, "distance")), "as near as they are to each other: {scores:?}");
    let plot = image::open(out.join("scores.png")).expect("curves");
    assert_eq!((plot.width(), plot.height()), (720, 3 * 400));
    let page = std::fs::read_to_string(out.join("grid.html")).expect("the page");
    assert!(page.contains("id 1.00  d "), "{page}");
    assert!(!page.contains("average"), "the average face is no row");
    fail(
        &["grid", "--base", &base, "--tuned", &tuned, "--seeds", "1", "--characters", "x", "--outdir", "y"],
        2,
        &["--scores"],
    );
    let missing = ["--scores", "--characters", "no/such", "--outdir", text(&out)];
    fail(&[&models[..], &missing].concat(), 1, &["no/such"]);
}

#[test]
fn checkpoints_resolutions_and_widths_are_swept_on_one_sheet_with_a_film_and_an_answer() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (base, tuned) = (network("small/base"), network("small/tuned"));
    let (characters, out) = (folder.path().join("characters"), folder.path().join("out"));
    succeed(&["generate", "--network", &tuned, "--seeds", "20-27", "--outdir", text(&characters), "-q"]);
    // Two snapshots of the same name, the first half-way to the other.
    let snapshots = ["early", "late"].map(|run| folder.path().join(run).join("network.safetensors"));
    std::fs::create_dir(folder.path().join("early")).expect("a folder");
    std::fs::create_dir(folder.path().join("late")).expect("a folder");
    succeed(&["blend", "--model", &base, "--model", &tuned, "-o", text(&snapshots[0])]);
    std::fs::copy(&tuned, &snapshots[1]).expect("a copy");
    let models = ["grid", "--base", &base, "--tuned", text(&snapshots[0]), "--tuned", text(&snapshots[1])];
    let sweep = ["--seeds", "0-1", "--width", "0", "--width", "1", "--resolutions", "4,8", "--scores", "--gif"];
    let rest = ["--characters", text(&characters), "--json", "--outdir", text(&out)];
    let outcome: serde_json::Value =
        serde_json::from_str(&succeed(&[&models[..], &sweep, &rest].concat())).expect("JSON");
    let columns: Vec<&str> =
        outcome["columns"].as_array().expect("a list").iter().map(|name| name.as_str().expect("text")).collect();
    let of = |run: &str| {
        let swaps = ["swap 4", "swap 8", "swap 4 ~1", "swap 8 ~1"].map(|swap| format!("{run}/network {swap}"));
        swaps.into_iter().chain([format!("{run}/network")]).collect::<Vec<_>>()
    };
    let expected: Vec<String> = std::iter::once("base".to_owned()).chain(of("early")).chain(of("late")).collect();
    assert_eq!(columns, expected);
    assert_eq!(outcome["scores"].as_array().expect("a list").len(), 2 * columns.len());
    let best = outcome["best"].as_str().expect("an answer");
    assert!(columns.contains(&best) && best.contains("swap"), "{best}");
    for file in ["grid.png", "grid.html", "grid.gif", "scores.png"] {
        assert!(out.join(file).is_file(), "{file}");
    }
    let film = std::io::BufReader::new(std::fs::File::open(out.join("grid.gif")).expect("a film"));
    let film = image::codecs::gif::GifDecoder::new(film).expect("a GIF");
    let frames = image::AnimationDecoder::into_frames(film).collect_frames().expect("whole frames");
    assert_eq!(frames.len(), columns.len());
    let page = std::fs::read_to_string(out.join("grid.html")).expect("the page");
    assert!(page.contains("late/network swap 8 ~1") && page.contains("grid.gif") && page.contains("scores.png"));
}
