//! `toonify train` as a process: what it writes, how it is stopped and killed, and what it refuses.

#![cfg(unix)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use image::{Rgb, RgbImage};
use tempfile::TempDir;

mod support;

use support::text;

/// Made-up images of 8 px: a bright spot on a dark ground, somewhere else in each.
fn images(folder: &Path, px: u32, count: u32) -> PathBuf {
    let set = folder.join(format!("spots{px}"));
    fs::create_dir_all(&set).expect("a folder");
    for index in 0..count {
        let (cx, cy) = (index % px, (index * 3 / 2) % px);
        let spot = |x: u32, y: u32| 255 - (30 * (x.abs_diff(cx) + y.abs_diff(cy))).min(235) as u8;
        let image = RgbImage::from_fn(px, px, |x, y| Rgb([spot(x, y), spot(x, y) / 2, 40]));
        image.save(set.join(format!("{index:04}.png"))).expect("a picture");
    }
    set
}

/// Options of a network that trains a thousand images in seconds; the batch comes in two rounds.
const TINY: [&str; 18] = [
    "--cbase",
    "64",
    "--cmax",
    "8",
    "--latent",
    "8",
    "--batch",
    "40",
    "--batch-gpu",
    "20",
    "--kimg",
    "1",
    "--grid",
    "3x2",
    "--seed",
    "5",
    "--augpipe",
    "custom",
];

/// What the options above call a run on the images of [`workplace`].
const NAME: &str = "spots8-auto1-kimg1-batch40-custom-cbase64-cmax8-latent8";

fn toonify(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_toonify"));
    command.arg("train").args(args).env("RAYON_NUM_THREADS", "2").stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn succeed(args: &[&str]) -> String {
    let output = toonify(args).output().expect("the binary runs");
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn fail(args: &[&str], words: &[&str]) {
    let Output { status, stderr, .. } = toonify(args).output().expect("the binary runs");
    let error = String::from_utf8_lossy(&stderr);
    assert!(!status.success() && !error.contains("panicked"), "{args:?}: {error}");
    for word in words {
        assert!(error.contains(word), "{args:?} does not say `{word}`: {error}");
    }
}

/// A folder with images, and the options for a run on them that writes to `runs` below it.
fn workplace() -> (TempDir, Vec<String>, PathBuf) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let set = images(folder.path(), 8, 30);
    let runs = folder.path().join("runs");
    let mut options: Vec<String> = TINY.iter().map(|option| option.to_string()).collect();
    options.extend(["--data", text(&set), "--outdir", text(&runs)].map(str::to_owned));
    (folder, options, runs.join(format!("00000-{NAME}")))
}

fn borrowed(options: &[String]) -> Vec<&str> {
    options.iter().map(String::as_str).collect()
}

fn wait_for(what: &str, mut there: impl FnMut() -> bool) {
    let started = Instant::now();
    while !there() {
        assert!(started.elapsed() < Duration::from_secs(300), "waited for {what} too long");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Waits until the run has saved its state more than once since now, so that it is in the middle of its work.
fn wait_until_saved(state: &Path, child: &mut Child) {
    let modified = || fs::metadata(state).and_then(|metadata| metadata.modified()).ok();
    for _ in 0..2 {
        let before = modified();
        wait_for("a state", || modified() != before || child.try_wait().expect("a status").is_some());
    }
}

/// What must not depend on how a run came to its end.
const RESULTS: [&str; 3] = ["network-snapshot-000001.safetensors", "fakes000001.png", "training-state.safetensors"];

#[test]
fn a_run_that_is_killed_again_and_again_ends_with_the_same_bytes() {
    let (_one, options, calm) = workplace();
    succeed(&borrowed(&options));
    let (_other, mut options, shaken) = workplace();
    // The same images, so that the settings are the same too.
    let data = options.iter().position(|option| option == "--data").expect("an option") + 1;
    options[data] =
        calm.parent().and_then(Path::parent).map(|folder| text(&folder.join("spots8")).to_owned()).expect("a folder");
    options.extend(["--save-every", "0"].map(str::to_owned));
    let state = shaken.join("training-state.safetensors");
    let resume = ["--resume", text(&shaken), "--save-every", "0"];
    let mut kills = 0;
    for attempt in 0..4 {
        let mut child =
            if attempt == 0 { toonify(&borrowed(&options)) } else { toonify(&resume) }.spawn().expect("it runs");
        wait_until_saved(&state, &mut child);
        // A different place within a step each time.
        std::thread::sleep(Duration::from_millis(7 * attempt));
        child.kill().expect("it can be killed");
        kills += u32::from(!child.wait().expect("a status").success());
    }
    assert!(kills >= 2, "the run was over before it could be killed");
    succeed(&resume);
    for name in RESULTS {
        let read = |folder: &Path| fs::read(folder.join(name)).expect(name);
        assert!(read(&calm) == read(&shaken), "{name} differs");
    }
    let lines = |folder: &Path| fs::read_to_string(folder.join("stats.jsonl")).expect("statistics").lines().count();
    assert_eq!(lines(&calm), lines(&shaken));
}

#[test]
fn an_interrupted_run_saves_says_how_to_go_on_and_ends_well() {
    let (_folder, mut options, run) = workplace();
    options.extend(["--save-every", "0"].map(str::to_owned));
    let mut child = toonify(&borrowed(&options)).spawn().expect("it runs");
    wait_until_saved(&run.join("training-state.safetensors"), &mut child);
    assert!(support::signal(&child, "INT"), "the run was over before it could be stopped");
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("--resume") && said.contains(text(&run)), "{said}");
}

/// Runs the command as on a disk where files of more than `blocks` KiB cannot be written.
fn on_a_full_disk(blocks: u32, args: &[&str]) -> Output {
    let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" train \"$@\"");
    let mut command = Command::new("bash");
    command.args(["-c", &script, env!("CARGO_BIN_EXE_toonify")]).args(args).env("RAYON_NUM_THREADS", "2");
    command.output().expect("bash runs")
}

fn leftovers(run: &Path) -> usize {
    let names = fs::read_dir(run).expect("a folder").map(|entry| entry.expect("an entry").file_name());
    names.filter(|name| name.to_string_lossy().starts_with(".toonify")).count()
}

#[test]
fn a_disk_that_is_full_at_the_end_leaves_the_last_good_snapshot_alone() {
    let (_folder, options, run) = workplace();
    succeed(&borrowed(&options));
    let read = || RESULTS.map(|name| fs::read(run.join(name)).expect(name));
    let before = read();
    let output = on_a_full_disk(8, &["--resume", text(&run), "--kimg", "2"]);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && error.contains("cannot write"), "{error}");
    assert!(read() == before, "the last good snapshot was touched");
    assert_eq!(leftovers(&run), 0);
    succeed(&["--resume", text(&run), "--kimg", "2"]);
}

/// The state does not fit, small files do: every attempt to save it fails, and the training goes on to its end.
#[test]
fn a_disk_that_is_full_for_a_while_costs_nothing_but_a_warning() {
    let (_one, options, calm) = workplace();
    succeed(&borrowed(&options));
    succeed(&["--resume", text(&calm), "--kimg", "2"]);
    let (_other, mut options, tight) = workplace();
    let data = options.iter().position(|option| option == "--data").expect("an option") + 1;
    let place = calm.parent().and_then(Path::parent).expect("a folder");
    options[data] = text(&place.join("spots8")).to_owned();
    succeed(&borrowed(&options));
    let state = fs::read(tight.join("training-state.safetensors")).expect("a state");
    let output = on_a_full_disk(8, &["--resume", text(&tight), "--kimg", "2", "--save-every", "0"]);
    let error = String::from_utf8_lossy(&output.stderr);
    let warnings = error.matches("the training goes on, the last good state is kept").count();
    assert!(warnings > 5, "it went on after each of the first failures: {error}");
    assert!(fs::read(tight.join("training-state.safetensors")).expect("a state") == state);
    // There is room again: the run ends as if there had always been.
    succeed(&["--resume", text(&tight), "--kimg", "2"]);
    for name in ["network-snapshot-000002.safetensors", "fakes000002.png", "training-state.safetensors"] {
        assert!(fs::read(calm.join(name)).expect(name) == fs::read(tight.join(name)).expect(name), "{name} differs");
    }
}

#[test]
fn a_run_goes_on_as_it_was_begun_and_beyond_its_end() {
    let (folder, options, run) = workplace();
    succeed(&borrowed(&options));
    let refuse = |args: &[&str], words: &[&str]| {
        let output = toonify(&[&["--resume", text(&run)], args].concat()).output().expect("the binary runs");
        support::check_failed(&output, 2, words);
    };
    refuse(
        &["--gamma", "3", "--seed", "6", "--mirror"],
        &["--gamma 3, but", "--seed 6, but the run has 5", "--mirror true"],
    );
    refuse(&["--cfg", "paper256", "--batch", "20"], &["--cfg paper256, but the run has auto", "--batch 20"]);
    refuse(&["--aug", "noaug"], &["--aug noaug, but the run has ada"]);
    refuse(&["--target", "0.7", "--augpipe", "bgc"], &["--target 0.7, but the run has 0.6", "the run has custom"]);
    refuse(&["--freezed", "2", "--freeze-mapping"], &["--freezed 2, but the run has 0", "--freeze-mapping true"]);
    refuse(
        &["--cmax", "4", "--latent", "16", "--lr", "0.1"],
        &["--cmax 4, but the run has 8", "--latent 16", "--lr 0.1"],
    );
    refuse(&["--outdir", text(folder.path())], &["--outdir", "but the run has"]);
    refuse(&["--kimg", "0"], &["--kimg must be at least 1"]);
    refuse(&["--metrics", "fid"], &["--metrics can only contain"]);
    // The command that began the run goes on with it, to a later end.
    let mut again = borrowed(&options);
    let kimg = again.iter().position(|option| *option == "--kimg").expect("an option") + 1;
    again[kimg] = "2";
    again.extend(["--resume", text(&run), "--metrics", "none"]);
    succeed(&again);
    assert!(run.join("network-snapshot-000002.safetensors").is_file());
    let metrics = fs::read_to_string(run.join("metric-swd.jsonl")).expect("metrics");
    assert_eq!(metrics.lines().count(), 2, "nothing was measured the second time: {metrics}");
    // A snapshot that was not measured is measured when the run is looked at again.
    let said = succeed(&["--resume", text(&run), "--metrics", "swd"]);
    assert!(said.contains("metrics   kimg 2"), "{said}");
}

/// A process that holds the folder of a run keeps others out.
#[test]
fn two_processes_do_not_train_in_one_folder() {
    let (_folder, mut options, run) = workplace();
    options.extend(["--save-every", "0"].map(str::to_owned));
    let mut child = toonify(&borrowed(&options)).spawn().expect("it runs");
    wait_until_saved(&run.join("training-state.safetensors"), &mut child);
    fail(&["--resume", text(&run), "--kimg", "2"], &["another run is writing"]);
    child.kill().expect("it can be killed");
    child.wait().expect("a status");
}

#[test]
fn snapshots_can_be_rendered_tuned_and_inspected() {
    let (folder, options, run) = workplace();
    succeed(&borrowed(&options));
    for name in
        ["reals.png", "fakes_init.png", "fakes000000.png", "fakes000001.png", "training_options.json", "stats.jsonl"]
    {
        assert!(run.join(name).is_file(), "{name}");
    }
    let fakes = image::open(run.join("fakes000001.png")).expect("a picture");
    assert_eq!((fakes.width(), fakes.height()), (24, 16));
    let network = run.join("network-snapshot-000001.safetensors");
    let other =
        Command::new(env!("CARGO_BIN_EXE_toonify")).args(["inspect", text(&network)]).output().expect("it runs");
    assert!(other.status.success(), "{}", String::from_utf8_lossy(&other.stderr));
    let mut tuned = borrowed(&options);
    tuned.extend([
        "--resume",
        text(&network),
        "--freezed",
        "3",
        "--freezeg",
        "1",
        "--freeze-mapping",
        "--aug",
        "noaug",
    ]);
    tuned.retain(|option| !["--augpipe", "custom"].contains(option));
    succeed(&tuned);
    let begins =
        |name: &str| name.starts_with("00001-") && name.contains("-resumecustom-freezed3-freezeg1-freezemapping");
    let runs = fs::read_dir(folder.path().join("runs")).expect("a folder").map(|entry| entry.expect("an entry").path());
    let second =
        runs.filter(|path| path.file_name().is_some_and(|name| begins(&name.to_string_lossy()))).collect::<Vec<_>>();
    assert_eq!(second.len(), 1, "{second:?}");
    assert!(second[0].join("fakes000001.png").is_file());
    // The same without --cbase, --cmax and --latent: the file says what the networks look like.
    let shaped_by_the_file: Vec<&str> = tuned[6..].to_vec();
    assert_eq!(tuned[..6], TINY[..6]);
    succeed(&shaped_by_the_file);
    tuned.extend(["--cmax", "4"]);
    let first = tuned.iter().position(|option| *option == "--cmax").expect("an option");
    tuned.drain(first..first + 2);
    fail(&tuned, &["does not fit", "G.synthesis.b4.const", "[8, 4, 4]", "[4, 4, 4]"]);
}

#[test]
fn networks_for_other_images_are_refused_in_words() {
    let (folder, options, run) = workplace();
    succeed(&borrowed(&options));
    let network = run.join("network-snapshot-000001.safetensors");
    let mut tuned = borrowed(&options);
    tuned.extend(["--resume", text(&network)]);
    let sixteen = images(folder.path(), 16, 6);
    let data = tuned.iter().position(|option| *option == "--data").expect("an option") + 1;
    tuned[data] = text(&sixteen);
    fail(&tuned, &["does not fit", "8x8 px", "16x16 px", "dataset build"]);
    let labelled = labelled(folder.path());
    tuned[data] = text(&labelled);
    tuned.push("--cond");
    fail(&tuned, &["does not fit", "no labels", "labels of 3 numbers", "--cond"]);
    let gray = folder.path().join("gray");
    fs::create_dir(&gray).expect("a folder");
    for index in 0..5u8 {
        image::GrayImage::from_pixel(8, 8, image::Luma([50 * index]))
            .save(gray.join(format!("{index}.png")))
            .expect("a picture");
    }
    tuned.pop();
    tuned[data] = text(&gray);
    fail(&tuned, &["does not fit", "3 channels", "gray"]);
}

/// Images of 8 px in three classes.
fn labelled(folder: &Path) -> PathBuf {
    let inner = folder.join("classes");
    fs::create_dir(&inner).expect("a folder");
    let set = images(&inner, 8, 6);
    let labels: Vec<String> = (0..6).map(|index| format!("[\"{index:04}.png\", {}]", index % 3)).collect();
    fs::write(set.join("dataset.json"), format!("{{\"labels\": [{}]}}", labels.join(","))).expect("labels");
    set
}

#[test]
fn what_cannot_be_trained_is_refused_before_the_first_step() {
    let (folder, options, _run) = workplace();
    let with = |more: &[&str], words: &[&str]| {
        let mut options = borrowed(&options);
        options.extend(more);
        fail(&options, words);
    };
    with(&["--cond", "True"], &["--cond=True requires labels"]);
    with(&["--aug", "fixed"], &["--aug=fixed requires specifying --p"]);
    with(&["--mirror", "perhaps"], &["true or false"]);
    with(&["--resume", text(&folder.path().join("missing.pkl"))], &["missing.pkl"]);
    let mut odd = borrowed(&options);
    odd.retain(|option| !["--batch", "40", "--batch-gpu", "20"].contains(option));
    odd.extend(["--batch", "30", "--batch-gpu", "10"]);
    fail(&odd, &["10 images at a time", "groups of 4"]);
    fail(&["--resume", text(folder.path())], &["training-state.safetensors"]);
    fail(&[], &["--outdir is missing"]);
    assert!(!folder.path().join("runs").exists(), "nothing was begun");
}
