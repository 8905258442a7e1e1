//! `toonify photo` from the photo to the pasted photo: on faces that are drawn here with networks that the program made,
//! and on a real portrait where one lies beside the repository.
#![cfg(feature = "dlib")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Result;
use image::RgbImage;
use serde_json::Value;
use tempfile::TempDir;
use toonify::align::{FaceSearch, Faces};
use toonify::events::{Recording, Sink};
use toonify::photo::{self, AlignedFace, Ending, Engine, EnginePlan, Fate, MaskKind, PastePlan, PhotoPlan, Toon};
use toonify_align::{ColourMatch, Feather};
use toonify_networks::checkpoint::Precision;
use toonify_networks::pix2pix::{BlockKind, Preset, StudentFile, StudentHistory, StudentLayer};
use toonify_networks::random::RandomState;
use toonify_networks::stylegan2::Weights;

mod support;

use support::{
    beside, check_failed, drawn, fail, files, interrupt_after, landmark_model, portrait, save, succeed, text, tiny,
    toonify,
};

/// A folder with `base.safetensors` and `tuned.safetensors` of 16 px, made once.
fn networks() -> &'static Path {
    static NETWORKS: OnceLock<TempDir> = OnceLock::new();
    let folder = NETWORKS.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a temporary folder");
        tiny::networks(folder.path(), 16);
        folder
    });
    folder.path()
}

fn network(name: &str) -> String {
    text(&networks().join(format!("{name}.safetensors"))).to_owned()
}

fn couple() -> RgbImage {
    drawn([460, 240], &[([110.0, 120.0], 0.6), ([340.0, 120.0], 0.8)])
}

fn open(path: PathBuf) -> RgbImage {
    image::open(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).into_rgb8()
}

/// Arguments of a run with few steps.
fn arguments(photo: &Path, out: &Path, more: &[&str]) -> Vec<String> {
    let (base, tuned) = (network("base"), network("tuned"));
    let args = ["photo", text(photo), "-o", text(out), "--base", &base, "--num-steps", "5", "--json"];
    let style: &[&str] = match more.contains(&"--blended") {
        true => &[],
        false => &["--tuned", &tuned, "--resolution", "4"],
    };
    args.iter().chain(style).chain(more).map(|arg| (*arg).to_owned()).collect()
}

fn run(photo: &Path, out: &Path, more: &[&str]) -> Value {
    let args = arguments(photo, out, more);
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    serde_json::from_str(&succeed(&args)).expect("JSON")
}

/// What is printed by a run that ends with code 1, and what it says.
fn run_and_fail(photo: &Path, out: &Path, words: &[&str]) -> Value {
    let args = arguments(photo, out, &[]);
    let output = toonify(&args.iter().map(String::as_str).collect::<Vec<_>>());
    check_failed(&output, 1, words);
    serde_json::from_slice(&output.stdout).expect("JSON")
}

#[test]
fn every_face_becomes_a_toon_and_comes_back_into_the_photo() {
    if landmark_model().is_none() {
        return;
    }
    let folder = tempfile::tempdir().expect("folder");
    let (photo, out, stages) = (folder.path().join("couple.png"), folder.path().join("out"), folder.path().join("s"));
    save(&couple(), photo.clone());
    let outcome = run(&photo, &out, &["--stages", text(&stages)]);
    assert_eq!((&outcome["done"], &outcome["faces"]), (&1.into(), &2.into()), "{outcome}");
    let made: Vec<String> = files(&out).into_iter().filter(|name| !name.starts_with("w/")).collect();
    assert_eq!(made, ["photos.json", "photos/couple.png", "toons/couple_00.png", "toons/couple_01.png"]);
    for name in ["projected_w.npz", "proj.png", "project.json"] {
        assert!(out.join("w/couple_01").join(name).is_file(), "{name}");
    }
    let pasted = open(out.join("photos/couple.png"));
    assert_eq!(pasted.dimensions(), (460, 240));
    let before = couple();
    for face in [[110, 120], [340, 120]] {
        assert_ne!(pasted.get_pixel(face[0], face[1]), before.get_pixel(face[0], face[1]), "{face:?}");
    }
    assert_eq!(pasted.get_pixel(2, 2), before.get_pixel(2, 2), "the backdrop stays as it is");
    assert_eq!(open(out.join("toons/couple_00.png")).dimensions(), (16, 16));
    let expected = ["1-faces.png", "2-face00-1-crop.png", "2-face00-2-projected.png", "2-face00-3-toon.png"];
    let found = files(&stages.join("couple"));
    assert_eq!(&found[..4], expected, "{found:?}");
    assert_eq!(found.len(), 2 + 2 * 4, "{found:?}");
    assert_eq!(open(stages.join("couple/3-pasted.png")), pasted);
}

#[test]
fn a_second_style_takes_the_latents_of_the_first() {
    if landmark_model().is_none() {
        return;
    }
    let folder = tempfile::tempdir().expect("folder");
    let (photo, out, other) = (folder.path().join("anna.png"), folder.path().join("a"), folder.path().join("b"));
    save(&portrait(), photo.clone());
    run(&photo, &out, &[]);
    let record = |out: &Path| fs::read(out.join("w/anna_00/project.json")).expect("a record");
    let toon = |out: &Path| fs::read(out.join("toons/anna_00.png")).expect("a toon");
    let (found, first) = (record(&out), toon(&out));

    let kept = out.join("w");
    run(&photo, &other, &["--w", text(&kept), "--low", "base"]);
    assert!(!other.join("w").exists(), "nothing was projected again");
    assert_eq!(record(&out), found);
    assert_ne!(toon(&other), first, "another style");

    let outcome = run(&photo, &out, &["--trunc", "0"]);
    assert_eq!(outcome["reused"], 0, "{outcome}");
    assert_eq!(record(&out), found, "in the same folder they are found again");
    assert_ne!(toon(&out), first, "truncated to the average face");

    // A blend that was made before, and the latents as a file: the first toon again.
    let (blend, base, tuned) = (folder.path().join("blend.safetensors"), network("base"), network("tuned"));
    let blended = ["--low", &tuned, "--high", &base, "--resolution", "4", "--mapping", "high"];
    succeed(&[&["blend"], &blended[..], &["-o", text(&blend)]].concat());
    let (latents, third) = (kept.join("anna_00/projected_w.npz"), folder.path().join("c"));
    succeed(&["photo", text(&photo), "-o", text(&third), "--blended", text(&blend), "--w", text(&latents)]);
    assert_eq!(toon(&third), first);
    let two = ["--w", text(&latents), "--w", text(&latents), "--blended", text(&blend)];
    fail(&[&["photo", text(&photo), "-o", text(&third)], &two[..]].concat(), 1, &["1 faces", "2 latents"]);
}

#[test]
fn a_folder_goes_on_counts_every_photo_and_names_every_failure() {
    if landmark_model().is_none() {
        return;
    }
    let folder = tempfile::tempdir().expect("folder");
    let (photos, out) = (folder.path().join("photos"), folder.path().join("out"));
    save(&portrait(), photos.join("a/anna.png"));
    save(&couple(), photos.join("couple.png"));
    save(&drawn([200, 200], &[]), photos.join("wall.png"));
    fs::write(photos.join("broken.jpg"), b"\xff\xd8\xff").expect("a file");
    let words = ["2 of 4 photos could not be toonified", "wall.png: no face found", "broken.jpg: "];
    let outcome = run_and_fail(&photos, &out, &words);
    assert_eq!((&outcome["done"], &outcome["faces"], &outcome["reused"]), (&2.into(), &3.into(), &0.into()));
    assert!(out.join("photos/a/anna.png").is_file() && out.join("photos/couple.png").is_file());
    assert!(!out.join("photos/wall.png").exists());

    fs::remove_file(out.join("toons/couple_01.png")).expect("it was there");
    fs::remove_file(photos.join("broken.jpg")).expect("it was there");
    let outcome = run_and_fail(&photos, &out, &["1 of 3 photos could not be toonified"]);
    assert_eq!((&outcome["done"], &outcome["reused"]), (&2.into(), &1.into()), "{outcome}");
    fs::remove_file(photos.join("wall.png")).expect("it was there");
    assert_eq!(run(&photos, &out, &[])["reused"], 2);
}

#[test]
fn faces_that_are_looked_for_at_the_same_time_stay_with_their_photos() {
    if landmark_model().is_none() {
        return;
    }
    let folder = tempfile::tempdir().expect("folder");
    let photos = folder.path().join("photos");
    save(&couple(), photos.join("a.png"));
    save(&drawn([200, 200], &[]), photos.join("b.png"));
    for (name, shift) in [("c.png", 0.0), ("d.png", 20.0), ("e.png", -10.0)] {
        save(&drawn([220, 260], &[([110.0, 120.0 + shift], 0.8)]), photos.join(name));
    }
    let made = |threads: &str| {
        let out = folder.path().join(threads);
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_toonify"));
        let output = command.args(arguments(&photos, &out, &[])).env("RAYON_NUM_THREADS", threads).output();
        check_failed(&output.expect("the binary runs"), 1, &["1 of 5 photos could not be toonified", "b.png: no face"]);
        let pictures = files(&out).into_iter().filter(|name| name.ends_with(".png"));
        pictures.map(|name| (fs::read(out.join(&name)).expect("a picture"), name)).collect::<Vec<_>>()
    };
    let alone = made("1");
    assert!(alone.len() > 2 * 5, "{}", alone.len());
    assert!(alone == made("3"), "the same pictures, byte for byte");
}

#[test]
fn a_photo_without_a_face_says_so() {
    if landmark_model().is_none() {
        return;
    }
    let folder = tempfile::tempdir().expect("folder");
    let photo = folder.path().join("wall.png");
    save(&drawn([200, 200], &[]), photo.clone());
    run_and_fail(&photo, &folder.path().join("out"), &["wall.png: no face found"]);
}

#[cfg(unix)]
#[test]
fn ctrl_c_leaves_a_result_and_the_same_command_makes_it_better() {
    if landmark_model().is_none() {
        return;
    }
    let folder = tempfile::tempdir().expect("folder");
    let (photo, out) = (folder.path().join("anna.png"), folder.path().join("out"));
    save(&portrait(), photo.clone());
    let mut args = arguments(&photo, &out, &[]);
    let steps = args.iter().position(|arg| arg == "5").expect("the number of steps");
    args[steps] = "1000000".to_owned();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let output = interrupt_after("step 1 of 1000000", &args);
    check_failed(
        &output,
        1,
        &["stopped after 0 of 1 photos (1 more with what was found so far)", "goes on from there"],
    );
    assert_eq!(open(out.join("photos/anna.png")).dimensions(), portrait().dimensions());
    let outcome = run(&photo, &out, &[]);
    assert_eq!((&outcome["done"], &outcome["interrupted"]), (&1.into(), &0.into()), "{outcome}");
}

#[test]
fn a_student_makes_toons_without_a_search() {
    if landmark_model().is_none() {
        return;
    }
    let folder = tempfile::tempdir().expect("folder");
    let (photo, student, out) =
        (folder.path().join("c.png"), folder.path().join("s.safetensors"), folder.path().join("o"));
    save(&couple(), photo.clone());
    let config = Preset::Tiny.config(BlockKind::Plain, 3);
    let weights = Weights::<StudentLayer>::random(&config, &mut RandomState::new(1)).expect("weights");
    let history = StudentHistory { resolution_px: Some(64), ..StudentHistory::default() };
    let file = StudentFile { config, weights, discriminator: None, history };
    toonify::store::student::write(&student, &file, Precision::Single).expect("a file");
    let args = ["photo", text(&photo), "-o", text(&out), "--student", text(&student), "--json"];
    let outcome: Value = serde_json::from_str(&succeed(&args)).expect("JSON");
    assert_eq!((&outcome["done"], &outcome["faces"]), (&1.into(), &2.into()), "{outcome}");
    assert_eq!(open(out.join("toons/c_01.png")).dimensions(), (64, 64));
    assert!(!out.join("w").exists(), "nothing was projected");
    assert_ne!(open(out.join("photos/c.png")), couple());
    let outcome: Value = serde_json::from_str(&succeed(&args)).expect("JSON");
    assert_eq!(outcome["reused"], 1, "{outcome}");
    fail(&["photo", text(&photo), "-o", text(&out), "--student", text(&photo)], 1, &["c.png"]);
    fail(&["photo", text(&photo), "-o", text(&out), "--student", "s", "--base", "b"], 2, &["--base"]);
}

#[test]
fn misuse_is_told_before_anything_is_made() {
    let folder = tempfile::tempdir().expect("folder");
    let (photo, out) = (folder.path().join("anna.png"), folder.path().join("out"));
    let base = ["photo", text(&photo), "-o", text(&out), "--base", "x.pkl"];
    fail(&base, 2, &["--blended"]);
    fail(&[&base[..], &["--tuned", "y.pkl"]].concat(), 2, &["--resolution"]);
    fail(&[&base[..], &["--blended", "y.pkl", "--feather", "2"]].concat(), 2, &["0.01 to 0.5"]);
    fail(&[&base[..], &["--blended", "y.pkl", "--tune-steps", "3"]].concat(), 2, &["--tuned instead"]);
    fail(&[&base[..], &["--blended", "y.pkl", "--w", "a", "--w", "b"]].concat(), 2, &["one folder"]);
    fail(&["photo", text(&photo), "-o", text(&out), "--blended", "y.pkl"], 2, &["--base"]);
    fail(&["photo", "-o", text(&out), "--blended", "y.pkl"], 2, &["<IN>"]);
    assert!(!out.exists());
}

/// Gives every face back as it is, two at a time, and may be told to stop after some.
struct Mirror<'a> {
    calls: Vec<usize>,
    stop_after: usize,
    stop: &'a AtomicBool,
}

impl Engine for Mirror<'_> {
    fn side_px(&self) -> u32 {
        512
    }

    fn identity(&self) -> String {
        "mirror".to_owned()
    }

    fn faces_at_once(&self) -> usize {
        2
    }

    fn toons(&mut self, faces: &[AlignedFace], _how: (&AtomicBool, &mut dyn Sink)) -> Result<Vec<Option<Toon>>> {
        self.calls.push(faces.len());
        if self.calls.len() >= self.stop_after {
            self.stop.store(true, Ordering::Relaxed);
        }
        let toon = |face: &AlignedFace| Toon { image: face.image.clone(), stages: vec![], ending: Ending::Whole };
        Ok(faces.iter().map(|face| Some(toon(face))).collect())
    }
}

fn plan(photos: &Path, out: &Path) -> PhotoPlan {
    PhotoPlan {
        sources: vec![photos.to_owned()],
        out: out.to_owned(),
        model: support::LANDMARK_MODEL.into(),
        search: FaceSearch::usual(Faces::All),
        engine: EnginePlan::Student("unused".into()),
        paste: PastePlan { mask: MaskKind::Head, feather: Feather::default(), colour: ColourMatch::Off },
        stages: None,
    }
}

#[test]
fn an_engine_that_changes_nothing_gives_the_photo_back() {
    if landmark_model().is_none() {
        return;
    }
    let folder = tempfile::tempdir().expect("folder");
    let (photos, out) = (folder.path().join("photos"), folder.path().join("out"));
    // Nothing of the square lies beyond the photo, where pixels would have to be invented.
    let before = drawn([420, 420], &[([210.0, 210.0], 0.8)]);
    for name in ["a.png", "b.png", "c.png"] {
        save(&before, photos.join(name));
    }
    let stop = AtomicBool::new(false);
    let run = |stop_after: usize| {
        stop.store(false, Ordering::Relaxed);
        let mut engine = Mirror { calls: Vec::new(), stop_after, stop: &stop };
        let mut sink = Recording::default();
        let outcome = photo::run_with(&plan(&photos, &out), &mut engine, (&stop, &mut sink)).expect("it works");
        (outcome, engine.calls)
    };
    let (outcome, calls) = run(1);
    assert_eq!((outcome.done, outcome.left, calls), (2, 1, vec![2]), "faces of two photos fill the engine");
    assert!(photo::check_complete(&outcome).expect_err("one is missing").to_string().contains("after 2 of 3 photos"));
    let (outcome, calls) = run(9);
    assert_eq!((outcome.done, outcome.reused, calls), (3, 2, vec![1]));
    assert!(outcome.photos.iter().all(|photo| photo.fate == Fate::Done));
    photo::check_complete(&outcome).expect("all is there");

    let after = open(out.join("photos/b.png"));
    let off: u64 = before.as_raw().iter().zip(after.as_raw()).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
    // Rounding alone, but for the drawn edges, which are sharper than photos have them.
    let mean = off as f64 / before.as_raw().len() as f64;
    assert!(mean < 0.1, "cropping and pasting costs {mean:.3} levels on average");
}

#[test]
fn one_run_at_a_time_writes_to_a_folder() {
    if landmark_model().is_none() {
        return;
    }
    let folder = tempfile::tempdir().expect("folder");
    let (photo, out) = (folder.path().join("anna.png"), folder.path().join("out"));
    save(&portrait(), photo.clone());
    fs::create_dir(&out).expect("a folder");
    let held = toonify::store::lock::FolderLock::take(&out).expect("nobody has it");
    let args = arguments(&photo, &out, &[]);
    fail(&args.iter().map(String::as_str).collect::<Vec<_>>(), 1, &["another run is writing to", text(&out)]);
    fail(&["align", text(&photo), text(&out)], 1, &["another run is writing to", text(&out)]);
    drop(held);
    run(&photo, &out, &[]);
}

#[test]
fn the_whole_chain_runs_on_a_real_portrait() {
    let Some(photo) = beside("data/faces_us_congress/images/A000014.jpg") else { return };
    if landmark_model().is_none() {
        return;
    }
    let out = tempfile::tempdir().expect("folder");
    let outcome = run(&photo, out.path(), &["--tune-steps", "2"]);
    assert_eq!((&outcome["done"], &outcome["faces"]), (&1.into(), &1.into()), "{outcome}");
    let (before, after) = (open(photo), open(out.path().join("photos/A000014.png")));
    let changed = before.pixels().zip(after.pixels()).filter(|(a, b)| a != b).count();
    let share = changed as f64 / f64::from(before.width() * before.height());
    assert!((0.1..0.7).contains(&share), "{share} of the photo changed: the head and nothing else");
    assert!(out.path().join("w/A000014_00/tuned.safetensors").is_file());
}

#[test]
fn faces_of_photos_become_rows_of_a_grid_and_are_projected_once() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (photo, out) = (folder.path().join("couple.png"), folder.path().join("grid"));
    save(&couple(), photo.clone());
    let (base, tuned) = (network("base"), network("tuned"));
    let models = ["grid", "--base", &base, "--tuned", &tuned, "--num-steps", "2", "--outdir", text(&out), "--json"];
    let grid = |more: &[&str]| -> Value {
        serde_json::from_str(&succeed(&[&models[..], &["--photos", text(&photo)], more].concat())).expect("JSON")
    };
    assert_eq!(grid(&[])["cells"].as_array().map(Vec::len), Some(2 * 4), "two faces; base, swaps at 4 and 8, tuned");
    let page = fs::read_to_string(out.join("grid.html")).expect("the page");
    assert!(page.contains("couple_00") && page.contains("couple_01"));
    let record = || fs::read(out.join("projected/couple_00/project.json")).expect("a record");
    let first = record();
    assert_eq!(grid(&["--seeds", "3"])["cells"].as_array().map(Vec::len), Some(3 * 4), "and a seed");
    assert!(record() == first, "projected again");

    let empty = folder.path().join("empty.png");
    save(&RgbImage::new(200, 200), empty.clone());
    let elsewhere = folder.path().join("elsewhere");
    let models = ["grid", "--base", &base, "--tuned", &tuned, "--outdir", text(&elsewhere)];
    fail(&[&models[..], &["--photos", text(&empty)]].concat(), 1, &["no face", "empty.png", "faces.jsonl"]);
    fail(&models, 2, &["--seeds"]);
}
