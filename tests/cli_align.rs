//! `toonify align` on faces that are drawn here: what is written, what is left out and why, stopping and going on.
#![cfg(feature = "dlib")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use image::codecs::jpeg::JpegEncoder;
use serde_json::Value;
use tempfile::TempDir;

mod support;

use support::{check_failed as fail, drawn, files, landmark_model, portrait, save};

/// A folder for photos and one for faces; `None` where the landmark model is not installed.
fn folders() -> Option<(TempDir, PathBuf, PathBuf)> {
    landmark_model()?;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (photos, out) = (folder.path().join("photos"), folder.path().join("out"));
    fs::create_dir(&photos).expect("a folder");
    Some((folder, photos, out))
}

fn align(photos: &Path, out: &Path, args: &[&str]) -> Output {
    command(photos, out, args).output().expect("the binary runs")
}

fn command(photos: &Path, out: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_toonify"));
    command.arg("align").args([photos, out]).args(["--size", "64"]).args(args);
    command
}

/// Runs with `--json` and gives the outcome and what was said.
fn succeed(photos: &Path, out: &Path, args: &[&str]) -> (Value, String) {
    let output = align(photos, out, &[args, &["--json"]].concat());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{args:?}: {said}");
    (serde_json::from_slice(&output.stdout).expect("JSON"), said)
}

fn journal(out: &Path) -> BTreeMap<String, Value> {
    let text = fs::read_to_string(out.join("faces.jsonl")).expect("a journal");
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("each line is JSON"));
    lines.map(|record| (record["source"].as_str().expect("a name").to_owned(), record)).collect()
}

fn cut_off_jpeg() -> Vec<u8> {
    let mut bytes = Vec::new();
    portrait().write_with_encoder(JpegEncoder::new(&mut bytes)).expect("memory takes everything");
    bytes.truncate(bytes.len() / 2);
    bytes
}

/// One photo of each fate.
fn fill_with_every_fate(photos: &Path) {
    save(&portrait(), photos.join("a/anna.png"));
    save(&portrait(), photos.join("b/anna.png"));
    save(&drawn([460, 240], &[([110.0, 120.0], 0.6), ([340.0, 120.0], 0.8)]), photos.join("couple.png"));
    save(&drawn([200, 200], &[]), photos.join("wall.png"));
    fs::write(photos.join("cut<off>.jpg"), cut_off_jpeg()).expect("a file");
    fs::write(photos.join("notes.txt"), "no photo").expect("a file");
}

#[test]
fn every_photo_is_counted_and_every_face_written() {
    let Some((_folder, photos, out)) = folders() else { return };
    fill_with_every_fate(&photos);
    let (outcome, said) = succeed(&photos, &out, &["--contact-sheet", "--report"]);
    for (name, count) in
        [("photos", 5), ("aligned", 3), ("faces", 4), ("no_face", 1), ("unreadable", 1), ("resumed", 0)]
    {
        assert_eq!(outcome[name], count, "{name}: {outcome}");
    }
    assert!(said.contains("cut<off>.jpg: the JPEG file is cut off"), "{said}");
    assert!(said.contains("wall.png: no face found") && said.contains("1 other files"), "{said}");
    let faces = ["a/anna_00.png", "b/anna_00.png", "couple_00.png", "couple_01.png"];
    assert_eq!(files(&out.join("faces")), faces);
    for face in faces {
        let face = image::open(out.join("faces").join(face)).expect("a picture").into_rgb8();
        assert_eq!(face.dimensions(), (64, 64));
        // FFHQ's frame has the nose a little below the middle.
        let [red, green, blue] = face.get_pixel(32, 36).0.map(i32::from);
        assert!(red > 150 && red - blue > 40 && green > 110, "the middle is skin: {red} {green} {blue}");
    }
    let page = fs::read_to_string(out.join("report.html")).expect("a report");
    assert!(page.contains("cut&lt;off&gt;.jpg") && page.contains("wall.png") && !page.contains("http"));
    assert_eq!(page.matches("<img").count(), 4 + 1, "four faces and the wall");
    let sheet = image::open(out.join("contact_sheet.png")).expect("a sheet");
    assert!(sheet.width() > 4 * 128, "four faces in a row");
}

#[test]
fn the_journal_holds_the_way_back_to_each_photo() {
    let Some((_folder, photos, out)) = folders() else { return };
    fill_with_every_fate(&photos);
    succeed(&photos, &out, &[]);
    let journal = journal(&out);
    let couple = &journal["couple.png"];
    assert_eq!(couple["size"], serde_json::json!([460, 240]));
    let [first, second] = couple["faces"].as_array().expect("faces").as_slice() else { panic!("two faces: {couple}") };
    assert!(first["box"]["left"].as_i64() > second["box"]["left"].as_i64(), "the larger one comes first: {couple}");
    assert!(first["score"].as_f64() > Some(0.3));
    let frame: toonify_align::CropFrame = serde_json::from_value(first["frame"].clone()).expect("a frame");
    let landmarks: toonify_align::Landmarks = serde_json::from_value(first["landmarks"].clone()).expect("landmarks");
    assert_eq!(toonify_align::frame(&landmarks, toonify_align::CropGeometry::FFHQ).expect("a face"), frame);
    assert_eq!(journal["wall.png"]["skipped"]["why"], "no_face");
    assert_eq!(journal["cut<off>.jpg"]["skipped"]["why"], "unreadable");
    assert_eq!(journal["cut<off>.jpg"]["size"], Value::Null);
}

#[test]
fn which_faces_are_taken_is_the_users_choice() {
    let Some((folder, photos, _)) = folders() else { return };
    save(&drawn([460, 240], &[([110.0, 120.0], 0.6), ([340.0, 120.0], 0.8)]), photos.join("couple.png"));
    save(&portrait(), photos.join("single.png"));
    for (i, (args, faces, fate, count)) in [
        (&["--faces", "largest"][..], 2, "aligned", 2),
        (&["--faces", "1"], 2, "aligned", 2),
        (&["--faces", "2"], 3, "aligned", 2),
        (&["--faces", "only"], 1, "several_faces", 1),
        (&["--min-size", "80"], 2, "aligned", 2),
    ]
    .into_iter()
    .enumerate()
    {
        let (outcome, _) = succeed(&photos, &folder.path().join(i.to_string()), args);
        assert_eq!((&outcome["faces"], &outcome[fate]), (&faces.into(), &count.into()), "{args:?}: {outcome}");
    }
    for (args, fate) in [(["--min-size", "5000"], "too_small"), (["--min-score", "99"], "low_score")] {
        let output = align(&photos, &folder.path().join(fate), &[&args[..], &["--json"]].concat());
        fail(&output, 1, &["no photo could be aligned"]);
        let outcome: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert_eq!(outcome[fate], 2, "{outcome}");
    }
}

#[test]
fn small_faces_are_found_by_looking_closer() {
    let Some((folder, photos, out)) = folders() else { return };
    save(&drawn([120, 120], &[([60.0, 60.0], 0.25)]), photos.join("far.png"));
    let (outcome, _) = succeed(&photos, &out, &[]);
    assert_eq!(outcome["aligned"], 1);
    let output = align(&photos, &folder.path().join("without"), &["--upsample", "0"]);
    fail(&output, 1, &["far.png: no face found"]);
}

#[test]
fn a_second_run_does_only_what_is_missing() {
    let Some((_folder, photos, out)) = folders() else { return };
    fill_with_every_fate(&photos);
    succeed(&photos, &out, &[]);
    let face = |name: &str| out.join("faces").join(name);
    let before = fs::read(face("couple_00.png")).expect("a face");
    fs::write(face("b/anna_00.png"), "").expect("a file");
    fs::write(face("couple_00.png"), "touched by its owner").expect("a file");
    save(&portrait(), photos.join("a/anna.bmp"));

    let (outcome, said) = succeed(&photos, &out, &[]);
    // Done: a/anna.png, couple.png and wall.png. To do: the emptied face, the new photo, the one that was unreadable.
    assert_eq!((&outcome["resumed"], &outcome["aligned"]), (&3.into(), &4.into()), "{said}");
    assert_eq!(fs::read(face("couple_00.png")).expect("a face"), b"touched by its owner");
    assert!(fs::metadata(face("b/anna_00.png")).expect("made again").len() > 0);
    assert!(face("a/anna-bmp_00.png").is_file(), "{:?}", files(&out));
    assert_eq!(journal(&out).len(), 6);

    // Another setting: all again, and what no longer belongs goes away.
    let (outcome, said) = succeed(&photos, &out, &["--faces", "largest"]);
    assert_eq!((&outcome["resumed"], &outcome["faces"]), (&0.into(), &4.into()));
    assert!(said.contains("the settings have changed (faces all → largest)"), "{said}");
    assert_eq!(fs::read(face("couple_00.png")).expect("a face"), before);
    assert!(!face("couple_01.png").exists());
}

#[test]
fn a_folder_of_faces_belongs_to_one_source() {
    let Some((folder, photos, out)) = folders() else { return };
    save(&portrait(), photos.join("anna.png"));
    succeed(&photos, &out, &[]);
    let others = folder.path().join("others");
    save(&portrait(), others.join("anna.png"));
    fail(&align(&others, &out, &[]), 1, &["holds the faces of", "choose another folder"]);
}

#[test]
fn any_number_of_threads_gives_the_same_faces() {
    let Some((folder, photos, _)) = folders() else { return };
    fill_with_every_fate(&photos);
    let [one, four] = ["1", "4"].map(|jobs| {
        let out = folder.path().join(jobs);
        succeed(&photos, &out, &["--jobs", jobs]);
        let read = |name: &String| (name.clone(), fs::read(out.join(name)).expect("a file"));
        files(&out).iter().map(read).collect::<BTreeMap<_, _>>()
    });
    assert_eq!(one, four);
}

/// Twelve photos that take a while, a process that works on them, and the moment when it has finished a few.
fn start_working(photos: &Path, out: &Path) -> Child {
    for i in 0..12 {
        save(&drawn([700, 700], &[([200.0 + 10.0 * f64::from(i), 300.0], 1.0)]), photos.join(format!("{i:02}.png")));
    }
    let mut work = command(photos, out, &["--jobs", "2", "--upsample", "1"]);
    let child = work.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().expect("the binary runs");
    let start = Instant::now();
    let n_done = || fs::read_to_string(out.join("faces.jsonl")).map_or(0, |text| text.lines().count());
    while n_done() < 2 {
        assert!(start.elapsed() < Duration::from_secs(60), "nothing is done");
        sleep(Duration::from_millis(5));
    }
    child
}

/// Every face in the journal is there, every file can be read, and going on gives all twelve.
fn check_whole_and_go_on(photos: &Path, out: &Path) {
    for name in files(&out.join("faces")).iter().filter(|name| name.ends_with(".png")) {
        image::open(out.join("faces").join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    let text = fs::read_to_string(out.join("faces.jsonl")).expect("a journal");
    let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()).collect::<Vec<_>>();
    for record in &lines {
        let file = record["faces"][0]["file"].as_str().expect("a face");
        assert!(out.join(file).is_file(), "{file} is in the journal and not there");
    }
    let (outcome, _) = succeed(photos, out, &["--upsample", "1"]);
    assert_eq!((&outcome["aligned"], &outcome["resumed"]), (&12.into(), &lines.len().into()));
    assert_eq!(files(&out.join("faces")).len(), 12, "nothing but faces: {:?}", files(out));
}

#[cfg(unix)]
fn stop(child: &Child, signal: &str) {
    assert!(support::signal(child, signal), "the work was over before it could be stopped");
}

#[cfg(unix)]
#[test]
fn ctrl_c_finishes_what_has_begun_and_the_same_command_goes_on() {
    let Some((_folder, photos, out)) = folders() else { return };
    let child = start_working(&photos, &out);
    stop(&child, "INT");
    let output = child.wait_with_output().expect("it ends");
    fail(&output, 1, &["stopped after", "of 12 photos; the same command goes on from there"]);
    assert!(!files(&out).iter().any(|name| name.ends_with(".tmp")), "{:?}", files(&out));
    check_whole_and_go_on(&photos, &out);
}

#[cfg(unix)]
#[test]
fn a_killed_run_leaves_whole_files_and_a_journal_to_go_on_from() {
    let Some((_folder, photos, out)) = folders() else { return };
    let mut child = start_working(&photos, &out);
    stop(&child, "KILL");
    child.wait().expect("it ends");
    fs::write(out.join("faces/.toonify-half.tmp"), "what a kill may leave").expect("a file");
    check_whole_and_go_on(&photos, &out);
}

#[test]
fn a_zip_of_photos_becomes_a_zip_for_training() {
    let Some((folder, _, out)) = folders() else { return };
    let path = folder.path().join("photos.zip");
    let mut zip = zip::ZipWriter::new(fs::File::create(&path).expect("a file"));
    for name in ["x/b.png", "a.png"] {
        let mut bytes = std::io::Cursor::new(Vec::new());
        portrait().write_to(&mut bytes, image::ImageFormat::Png).expect("memory takes everything");
        zip.start_file(name, zip::write::SimpleFileOptions::default()).expect("a member");
        std::io::Write::write_all(&mut zip, bytes.get_ref()).expect("a member");
    }
    zip.finish().expect("an archive");
    let (outcome, _) = succeed(&path, &out, &["--format", "zip"]);
    assert_eq!(outcome["aligned"], 2);
    let mut made = zip::ZipArchive::new(fs::File::open(out.join("dataset.zip")).expect("a zip")).expect("a zip");
    let names: Vec<String> = made.file_names().map(|name| name.expect("UTF-8").into_owned()).collect();
    assert_eq!(names, ["00000/img00000000.png", "00000/img00000001.png", "dataset.json"]);
    let mut text = String::new();
    std::io::Read::read_to_string(&mut made.by_name("dataset.json").expect("a member"), &mut text).expect("UTF-8");
    assert_eq!(text, "{\"labels\": null}");
    let mut first = Vec::new();
    let mut member = made.by_index(0).expect("a member");
    assert_eq!(member.compression(), zip::CompressionMethod::Stored);
    std::io::Read::read_to_end(&mut member, &mut first).expect("bytes");
    assert_eq!(first, fs::read(out.join("faces/a_00.png")).expect("a face"), "in the order of the names");
}

#[test]
fn a_single_photo_and_jpeg_faces_work_too() {
    let Some((_folder, photos, out)) = folders() else { return };
    save(&portrait(), photos.join("anna.png"));
    let output = align(&photos.join("anna.png"), &out, &["--format", "jpg"]);
    assert!(output.status.success());
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(
        printed.starts_with("1 of 1 photos aligned, 1 faces\n") && printed.contains("photos per second"),
        "{printed}"
    );
    let face = fs::read(out.join("faces/anna_00.jpg")).expect("a face");
    assert!(face.starts_with(&[0xff, 0xd8]));
}

#[test]
fn what_cannot_be_done_is_said_and_nothing_is_made() {
    let Some((folder, photos, out)) = folders() else { return };
    let missing = folder.path().join("missing");
    fail(&align(&missing, &out, &[]), 1, &["missing", "No such file"]);
    fail(&align(&photos, &out, &[]), 1, &["holds no pictures"]);
    save(&portrait(), photos.join("anna.png"));
    fail(&align(&photos, &out, &["--model", "no/model.dat"]), 1, &["`no/model.dat` does not exist"]);
    let other = folder.path().join("other.dat");
    fs::write(&other, "no model").expect("a file");
    fail(&align(&photos, &out, &["--model", other.to_str().expect("UTF-8")]), 1, &["other.dat", "sha256"]);
    fail(&align(&photos, &photos, &[]), 2, &["choose another folder"]);
    for (args, words) in [
        (["--faces", "0"], "`all`, `largest`, `only`"),
        (["--size", "0"], "4..=4096"),
        (["--upsample", "3"], "auto, 0, 1, 2"),
        (["--min-score", "nan"], "not a number"),
        (["--jobs", "0"], "1..=1024"),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_toonify"));
        let output = command.arg("align").args([&photos, &out]).args(args).output().expect("the binary runs");
        fail(&output, 2, &[words]);
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_toonify"));
    command.arg("align").args([&photos, &out]).args(["--format", "zip", "--size", "100"]);
    fail(&command.output().expect("the binary runs"), 2, &["power of two"]);
    assert!(!out.exists());
}

/// The published script's crops, from the same pixels: every byte.
#[test]
fn the_published_crops_are_repeated_byte_for_byte() {
    let goldens = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/goldens/align");
    let Some((_folder, _, out)) = folders() else { return };
    if !goldens.is_dir() {
        println!("not there, left out: {}", goldens.display());
        return;
    }
    let published = ["--crop", "published", "--landmarks", "dlib", "--upsample", "1", "--faces", "3", "--size", "256"];
    let mut command = Command::new(env!("CARGO_BIN_EXE_toonify"));
    let output = command.arg("align").args([&goldens.join("input"), &out]).args(published).output().expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let index = fs::read_to_string(goldens.join("index.json")).expect("an index");
    let golden_faces: Vec<Value> =
        serde_json::from_str::<Value>(&index).expect("JSON").as_array().expect("a list of faces").clone();
    assert_eq!(files(&out.join("faces")).len(), golden_faces.len());
    let journal = journal(&out);
    for golden in &golden_faces {
        let name = golden["name"].as_str().expect("a name");
        // Faces of equal size may come in another order: the box says which is which.
        let source = format!("{}.png", name.rsplit_once('_').expect("a number behind it").0);
        let edges = ["left", "top", "right", "bottom"];
        let same_box = |face: &&Value| (0..4).all(|i| face["box"][edges[i]] == golden["rect"][i]);
        let face = journal[&source]["faces"].as_array().expect("faces").iter().find(same_box);
        let file = face.unwrap_or_else(|| panic!("{name}: another box"))["file"].as_str().expect("a file");
        let ours = image::open(out.join(file)).expect("a face").into_rgb8();
        let theirs = image::open(goldens.join(format!("{name}.pil256.png"))).expect("a crop").into_rgb8();
        assert!(ours == theirs, "{name} differs");
    }
}
