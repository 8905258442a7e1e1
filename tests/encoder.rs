//! `toonify encoder train` and projections that start from its answer.

mod support;

use std::path::{Path, PathBuf};

use support::{fail, succeed, text};

fn network() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference/networks/ckpt_r32_resnetG_skipD_clamp/network.pkl")
}

fn train(out: &Path, kimg: &str, more: &[&str]) -> serde_json::Value {
    let (network, out) = (network(), text(out).to_owned());
    let args = ["encoder", "train", "--network", text(&network), "--out", &out, "--kimg", kimg, "--json", "-q"];
    serde_json::from_str(&succeed(&[&args[..], more].concat())).expect("JSON")
}

/// Mean squared error at the start of the search, and after it, of one projected target.
fn project(target: &Path, folder: &Path, extra: &[&str]) -> (f64, f64) {
    let network = network();
    let base = ["project", "--network", text(&network), "--target", text(target), "--outdir", text(folder)];
    let quick = ["--num-steps", "8", "--save-video", "off", "--perception", "pixel", "--json", "-q"];
    let printed = succeed(&[&base[..], &quick, extra].concat());
    let outcome: serde_json::Value = serde_json::from_str(&printed).expect("JSON");
    let mse = |stage: &str| outcome["targets"][0][stage]["mse"].as_f64().expect("a number");
    (mse("start"), mse("reached"))
}

#[test]
fn an_encoder_learns_and_its_answer_is_a_better_start_than_the_average() {
    let root = tempfile::tempdir().expect("a temporary folder");
    let encoder = root.path().join("encoder.safetensors");
    let trained = train(&encoder, "1.6", &[]);
    assert_eq!((trained["images"].as_u64(), trained["interrupted"].as_bool()), (Some(1600), Some(false)));
    // An encoder that has learnt nothing leaves 1.
    assert!(trained["unlike"].as_f64().is_some_and(|left| left < 0.6), "{trained}");

    let network = network();
    let faces = root.path().join("faces");
    succeed(&["generate", "--network", text(&network), "--seeds", "901,905,907", "--outdir", text(&faces), "-q"]);
    let mut sums = [0.0; 4];
    for name in ["seed0901.png", "seed0905.png", "seed0907.png"] {
        let target = faces.join(name);
        let average = project(&target, &root.path().join("average").join(name), &[]);
        let informed = project(&target, &root.path().join("encoder").join(name), &["--encoder", text(&encoder)]);
        let all = [average.0, average.1, informed.0, informed.1];
        sums.iter_mut().zip(all).for_each(|(sum, mse)| *sum += mse);
    }
    let [average_start, average_end, encoder_start, encoder_end] = sums;
    assert!(encoder_start < average_start && encoder_end < average_end, "{sums:?}");
}

#[test]
fn the_same_seed_gives_the_same_encoder() {
    let root = tempfile::tempdir().expect("a temporary folder");
    let [first, second] = ["a", "b"].map(|name| root.path().join(name));
    for out in [&first, &second] {
        train(out, "0.032", &[]);
    }
    let [first, second] = [first, second].map(|path| std::fs::read(path).expect("a file"));
    assert!(first == second, "the files differ");
}

#[test]
fn photos_take_part_in_the_training_and_have_to_fit() {
    let root = tempfile::tempdir().expect("a temporary folder");
    let [faces, small, alone, joined] = ["faces", "small", "alone", "joined"].map(|name| root.path().join(name));
    let network = network();
    succeed(&["generate", "--network", text(&network), "--seeds", "1-5", "--outdir", text(&faces), "-q"]);
    train(&alone, "0.032", &[]);
    let trained = train(&joined, "0.032", &["--photos", text(&faces), "--mirror"]);
    assert_eq!(trained["images"].as_u64(), Some(32), "photos count as well");
    let [alone, joined] = [alone, joined].map(|path| std::fs::read(path).expect("a file"));
    assert!(alone != joined, "the photos made no difference");

    succeed(&["dataset", "build", "--source", text(&faces), "--dest", text(&small), "--width", "16", "--height", "16"]);
    let base = ["encoder", "train", "--network", text(&network), "--out", "unused", "--photos"];
    fail(&[&base[..], &[text(&small)]].concat(), 1, &["16 px", "32 px", "dataset build"]);
    fail(&[&base[..], &["no/such"]].concat(), 1, &["no/such"]);
    fail(&[&base[..], &[text(&faces), "--batch", "1"]].concat(), 2, &["--batch"]);
}

#[test]
fn what_does_not_fit_is_said_in_words() {
    let root = tempfile::tempdir().expect("a temporary folder");
    let (network, folder) = (network(), Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference/networks"));
    let out = root.path().join("encoder.safetensors");
    let conditional = folder.join("ckpt_r32_cond5/network.pkl");
    fail(&["encoder", "train", "--network", text(&conditional), "--out", text(&out)], 1, &["conditional"]);
    fail(&["encoder", "train", "--network", text(&network), "--out", text(&out), "--kimg", "0"], 2, &["--kimg"]);
    assert!(!out.exists());
    train(&out, "0.016", &[]);
    let gray = folder.join("ckpt_r16_origG_origD_gray/network.pkl");
    let faces = root.path().join("faces");
    succeed(&["generate", "--network", text(&gray), "--seeds", "1", "--outdir", text(&faces), "-q"]);
    let projected = root.path().join("projected");
    let base = ["project", "--target", text(&faces), "--outdir", text(&projected), "--num-steps", "2", "--encoder"];
    fail(&[&base[..], &[text(&out), "--network", text(&gray)]].concat(), 1, &["encoder.safetensors", "32 px", "16 px"]);
    fail(&[&base[..], &[text(&gray), "--network", text(&gray)]].concat(), 1, &["network.pkl", "encoder"]);
}
