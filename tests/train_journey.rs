//! From a training set over the command line to a tuned network and its report, with a tiny network.

use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use image::{DynamicImage, ImageFormat, Rgb, RgbImage};
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

/// A tiny network in a few steps.
const TINY: [&str; 9] = [
    "--cbase=64",
    "--cmax=4",
    "--latent=8",
    "--map-layers=2",
    "--batch=128",
    "--kimg=1",
    "--snap=1",
    "--grid=3x2",
    "--quiet",
];

fn toonify(folder: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_toonify"));
    // Nothing of this machine may decide how a test ends.
    command.env("TOONIFY_MODELS", folder.join("models")).env("XDG_CACHE_HOME", folder).env("HOME", folder);
    command.current_dir(folder).args(args).output().expect("the binary runs")
}

fn train(folder: &Path, args: &[&str]) -> PathBuf {
    let output = toonify(folder, &[&["train", "--data=set.zip", "--outdir=runs"], &TINY[..], args].concat());
    let (answer, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{args:?}: {error}");
    let run = answer.split_once(": 1.0 kimg").unwrap_or_else(|| panic!("{answer}")).0;
    folder.join(run)
}

/// Sixteen images of 8 px in one colour each.
fn make_set(path: &Path) {
    let mut zip = ZipWriter::new(std::fs::File::create(path).expect("a new file"));
    for i in 0..16u8 {
        let mut png = Cursor::new(Vec::new());
        let image = RgbImage::from_pixel(8, 8, Rgb([16 * i, 255 - 16 * i, 128]));
        DynamicImage::from(image).write_to(&mut png, ImageFormat::Png).expect("a picture becomes a PNG");
        zip.start_file(format!("img{i:02}.png"), SimpleFileOptions::default()).expect("an entry");
        zip.write_all(png.get_ref()).expect("its bytes");
    }
    zip.finish().expect("a whole zip");
}

fn name(run: &Path) -> String {
    run.file_name().expect("a name").to_string_lossy().into_owned()
}

#[test]
fn a_network_is_trained_reported_and_tuned_by_its_name() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    make_set(&folder.path().join("set.zip"));
    let run = train(folder.path(), &["--aug=noaug"]);
    assert_eq!(name(&run), "00000-set-auto1-kimg1-batch128-noaug-cbase64-cmax4-latent8-map2");
    let made = ["report.html", "report/losses.png", "report/metric-swd.png", "report/timelapse.gif", "stats.jsonl"];
    for file in made {
        assert!(run.join(file).is_file(), "{file} is missing");
    }
    // Without another word patches are compared at each snapshot, in the published form.
    let lines = std::fs::read_to_string(run.join("metric-swd.jsonl")).expect("metrics");
    let lines: Vec<serde_json::Value> = lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let snapshots: Vec<_> = lines.iter().map(|line| line["snapshot_pkl"].as_str().expect("a name")).collect();
    assert_eq!(snapshots, ["network-snapshot-000000.safetensors", "network-snapshot-000001.safetensors"]);
    for line in &lines {
        assert!(line["results"]["swd"].as_f64().is_some_and(|swd| swd > 0.0), "{line}");
        assert_eq!(
            (line["metric"].as_str(), line["reals"].as_u64(), line["fakes"].as_u64()),
            (Some("swd"), Some(16), Some(16))
        );
    }
    let events = std::fs::read(run.join("events.out.tfevents.0.toonify")).expect("events");
    assert_eq!(
        events.windows(11).filter(|bytes| bytes == b"Metrics/swd").count(),
        2 * lines[0]["results"].as_object().expect("numbers").len()
    );
    // Under a published name the network is found in the folder of models, whatever is in the file.
    let models = folder.path().join("models");
    std::fs::create_dir(&models).expect("a folder");
    let published = "celebahq-res256-mirror-paper256-kimg100000-ada-target0.5.pkl";
    std::fs::copy(run.join("network-snapshot-000001.safetensors"), models.join(published)).expect("a copy");
    let args = ["--resume=celebahq256", "--augpipe=custom", "--target=0.5", "--freezed=1", "--freezeg=1", "--mirror"];
    let tuned = train(folder.path(), &args);
    let expected = "00001-set-mirror-auto1-kimg1-batch128-target0.5-custom-resumecelebahq256-freezed1-freezeg1-cbase64";
    assert!(name(&tuned).starts_with(expected), "{}", name(&tuned));
    // The report can be made again at any time.
    let page = tuned.join("report.html");
    std::fs::remove_file(&page).expect("the training made one");
    let output = toonify(folder.path(), &["report", &format!("runs/{}", name(&tuned))]);
    assert!(output.status.success() && page.is_file(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn what_does_not_fit_is_said_before_the_first_step() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    make_set(&folder.path().join("set.zip"));
    let check = |args: &[&str], code: i32, words: &[&str]| {
        let output = toonify(folder.path(), &[&["train", "--data=set.zip", "--outdir=runs"], &TINY[..], args].concat());
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {error}");
        assert!(words.iter().all(|word| error.contains(word)), "{args:?}: {error}");
        assert!(!folder.path().join("runs").exists(), "nothing is written");
    };
    check(&["--augpipe=filter"], 1, &["imgfilter", "8×8"]);
    check(&["--resume=no/such.pkl"], 1, &["no/such.pkl"]);
    check(&["--metrics=fid50k_full"], 1, &["inception-2015-12-05.pt", "put it at"]);
    check(&["--metrics=kid50k_full", "--detector=set.zip"], 1, &["set.zip"]);
    check(&["--metrics=swd,pr50k3_full", "--detector=no/such.pth"], 1, &["no/such.pth"]);
    check(&["--cond"], 2, &["--cond=True requires labels"]);
    check(&["--cbase=4"], 2, &["--cbase"]);
    check(&["--augpipe=bgx"], 2, &["bgcfnc", "lumaflip"]);
    check(&["--lr=-1"], 2, &["--lr"]);
}
