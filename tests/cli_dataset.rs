//! `toonify dataset`: the published tool's files and errors, and what ours adds to them.
//!
//! `tests/reference/dataset` holds the published tool's inputs, outputs and errors.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use image::{DynamicImage, GrayImage, Rgb, RgbImage};
use serde_json::Value;
use tempfile::TempDir;
use zip::ZipArchive;

mod support;

use support::{fail, succeed, text, toonify};

fn reference() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference/dataset")
}

/// Names and bytes of a zip, in its order.
fn entries(path: &Path) -> Vec<(String, Vec<u8>)> {
    let mut archive = ZipArchive::new(std::fs::File::open(path).expect("a zip")).expect("a whole zip");
    let count = archive.len();
    let mut read = |index: usize| {
        let mut entry = archive.by_index(index).expect("an entry");
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).expect("a whole entry");
        (entry.name().expect("a name").into_owned(), bytes)
    };
    (0..count).map(&mut read).collect()
}

fn compare_sets(expected: &Path, found: &Path) {
    let (expected, found) = (entries(expected), entries(found));
    let names = |set: &[(String, Vec<u8>)]| set.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&expected), names(&found));
    for ((name, expected), (_, found)) in expected.iter().zip(&found) {
        if name == "dataset.json" {
            let parse = |bytes| serde_json::from_slice::<Value>(bytes).expect("JSON");
            assert_eq!(parse(expected), parse(found));
        } else {
            let pixels = |bytes| image::load_from_memory(bytes).expect("a picture");
            assert!(pixels(expected) == pixels(found), "{name} differs");
            assert_eq!(expected.len(), found.len(), "{name} is stored without compression");
        }
    }
}

#[test]
fn every_run_of_the_published_tool_gives_the_same_files_or_the_same_error() {
    let cases = std::fs::read(reference().join("cases.json")).expect("the reference is there");
    let cases: Value = serde_json::from_slice(&cases).expect("JSON");
    let runs = cases["runs"].as_array().expect("a list");
    assert_eq!(runs.len(), 13);
    for run in runs {
        let out = tempfile::tempdir().expect("folder");
        let here = |arg: &Value| {
            let arg = arg.as_str().expect("text").replace("<SOURCE>", text(&reference().join("source")));
            arg.replace("<OUT>", text(out.path()))
        };
        let args: Vec<String> = run["args"].as_array().expect("a list").iter().map(here).collect();
        let args: Vec<&str> = ["dataset", "build"].into_iter().chain(args.iter().map(String::as_str)).collect();
        match (run["output"].as_str(), run["error"].as_str()) {
            (Some(output), None) => {
                succeed(&args);
                compare_sets(&reference().join(output), &out.path().join(output));
            }
            (None, Some(error)) => {
                let output = fail(&args, run["exit_code"].as_i64().expect("a code") as i32, &[]);
                check_error(error, &String::from_utf8_lossy(&output.stderr));
                assert_eq!(std::fs::read_dir(out.path()).expect("the folder").count(), 0, "nothing is left behind");
            }
            _ => panic!("a run has an output or an error: {run}"),
        }
    }
}

/// Our message contains the published one. White space does not count (the published text lacks a space in one place), and
/// of a wrong choice only the words in quotes: the command line's parser has its own words around them.
fn check_error(published: &str, ours: &str) {
    let dense = |text: &str| text.split_whitespace().collect::<String>();
    if published.starts_with("Invalid value") {
        for quoted in published.split('\'').skip(1).step_by(2) {
            assert!(ours.contains(quoted), "`{quoted}` is missing in: {ours}");
        }
    } else {
        assert!(dense(ours).contains(&dense(published)), "published: {published}\nours: {ours}");
    }
}

fn picture(side: u32, seed: u32) -> DynamicImage {
    RgbImage::from_fn(side, side, |x, y| Rgb([(x * 9 + seed) as u8, (y * 5) as u8, (x * y + 31 * seed) as u8])).into()
}

/// A folder with pictures, and room for outputs.
struct Workshop(TempDir);

impl Workshop {
    /// Six pictures of 16 px with the classes 0, 1, 2, 0, 1, 2.
    fn labeled() -> Workshop {
        let shop = Workshop(tempfile::tempdir().expect("folder"));
        for index in 0..6 {
            shop.save(&format!("set/{index}.png"), &picture(16, index));
        }
        let labels: Vec<String> = (0..6).map(|index| format!("[\"{index}.png\", {}]", index % 3)).collect();
        shop.write("set/dataset.json", format!("{{\"labels\": [{}]}}", labels.join(", ")).as_bytes());
        shop
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        text(&self.path(name)).to_owned()
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        std::fs::create_dir_all(self.path(name).parent().expect("a folder")).expect("folders can be made");
        std::fs::write(self.path(name), bytes).expect("files can be written");
    }

    fn save(&self, name: &str, picture: &DynamicImage) {
        let mut bytes = std::io::Cursor::new(Vec::new());
        picture.write_to(&mut bytes, image::ImageFormat::Png).expect("a PNG file");
        self.write(name, bytes.get_ref());
    }

    /// The findings of `dataset check` as `file: fault`.
    fn check(&self, set: &str, code: i32) -> (Vec<String>, Vec<String>) {
        let output = toonify(&["dataset", "check", "--json", &self.text(set)]);
        assert_eq!(output.status.code(), Some(code), "{}", String::from_utf8_lossy(&output.stderr));
        let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let findings = |kind: &str| {
            let all = report[kind].as_array().expect("a list").iter();
            let word = |finding: &Value, key: &str| finding[key].as_str().expect("text").to_owned();
            all.map(|finding| format!("{}: {}", word(finding, "file"), word(finding, "fault"))).collect()
        };
        (findings("problems"), findings("warnings"))
    }
}

#[test]
fn a_folder_a_zip_and_a_built_set_make_the_same_set() {
    let shop = Workshop::labeled();
    let (set, zip, folder, again) = (shop.text("set"), shop.text("a.zip"), shop.text("b"), shop.text("c.zip"));
    succeed(&["dataset", "build", "--source", &set, "--dest", &zip]);
    succeed(&["dataset", "build", "--source", &zip, "--dest", &folder]);
    succeed(&["dataset", "build", "--source", &folder, "--dest", &again]);
    assert_eq!(std::fs::read(&zip).expect("a zip"), std::fs::read(&again).expect("a zip"));
    assert_eq!(shop.check("b", 0), (vec![], vec![]));
}

#[test]
fn a_bad_picture_stops_the_work_by_name_or_is_counted() {
    let shop = Workshop::labeled();
    shop.write("set/3b.jpg", b"\xff\xd8\xff\xe0 and then nothing");
    shop.save("set/4b.png", &picture(32, 1));
    shop.save("set/4c.png", &GrayImage::new(16, 16).into());
    let (set, zip) = (shop.text("set"), shop.text("a.zip"));
    fail(&["dataset", "build", "--source", &set, "--dest", &zip], 1, &["3b.jpg", "--skip-bad"]);
    assert!(!shop.path("a.zip").exists());
    let printed = succeed(&["dataset", "build", "--source", &set, "--dest", &zip, "--skip-bad", "--json"]);
    let built: Value = serde_json::from_str(&printed).expect("JSON");
    assert_eq!((&built["images"], &built["skipped"], &built["labeled"]), (&6.into(), &3.into(), &true.into()));
    let names: Vec<String> = entries(&shop.path("a.zip")).into_iter().map(|(name, _)| name).collect();
    assert!(names.contains(&"00000/img00000008.png".to_owned()), "numbers stay those of the source: {names:?}");
    std::fs::remove_file(shop.path("set/3b.jpg")).expect("it is there");
    let equal = "attributes must be equal across all images of the dataset.  Got: 32x32 with 3 channels";
    fail(&["dataset", "build", "--source", &set, "--dest", &zip], 1, &["4b.png", equal]);
    std::fs::remove_file(shop.path("set/4b.png")).expect("it is there");
    let printed = succeed(&["dataset", "build", "--source", &set, "--dest", &zip, "--channels", "3"]);
    assert!(printed.contains("7 images, 16x16 with 3 channels, no labels"), "{printed}");
}

#[test]
fn check_names_every_offending_file() {
    let shop = Workshop::labeled();
    assert_eq!(shop.check("set", 0), (vec![], vec![]));
    shop.write("set/3.png", b"no picture");
    shop.save("set/7.png", &picture(16, 1));
    shop.save("set/8.png", &picture(32, 8));
    shop.save("set/9.png", &picture(24, 9));
    shop.save("set/a.png", &picture(16, 10).crop_imm(0, 0, 16, 8));
    shop.save("set/b.png", &GrayImage::from_pixel(16, 16, image::Luma([9])).into());
    shop.save("set/c.png", &picture(16, 12).to_rgba8().into());
    let mut labels: Value =
        serde_json::from_slice(&std::fs::read(shop.path("set/dataset.json")).expect("labels")).expect("JSON");
    let list = labels["labels"].as_array_mut().expect("a list");
    list.extend(["7", "8", "9", "a", "b"].map(|name| serde_json::json!([format!("{name}.png"), 0])));
    list.push(serde_json::json!(["gone.png", [0.5]]));
    list.push(serde_json::json!(["0.png", 1]));
    shop.write("set/dataset.json", labels.to_string().as_bytes());
    let (problems, warnings) = shop.check("set", 1);
    let expected = [
        "0.png: duplicate_name",
        "3.png: unreadable",
        "8.png: size",
        "9.png: not_power_of_two",
        "a.png: not_square",
        "b.png: channels",
        "c.png: encoding",
        "c.png: missing_label",
        "gone.png: label_kind",
        "gone.png: extra_label",
    ];
    assert_eq!(problems, expected);
    assert_eq!(warnings, ["7.png: duplicate_picture"]);
    let output = fail(&["dataset", "check", &shop.text("set")], 1, &["10 problems"]);
    assert!(String::from_utf8_lossy(&output.stdout).contains("problem: 8.png: it is 32x32, most are 16x16"));
}

#[test]
fn check_understands_damaged_and_empty_sets() {
    let shop = Workshop::labeled();
    shop.write("set/dataset.json", b"{");
    assert_eq!(shop.check("set", 1).0, ["dataset.json: unreadable"]);
    shop.write("empty/notes.txt", b"");
    assert_eq!(shop.check("empty", 1).0, [": no_images"]);
    shop.write("cut.zip", b"PK\x03\x04");
    fail(&["dataset", "check", &shop.text("cut.zip")], 1, &["cut.zip", "zip"]);
    fail(&["dataset", "check", &shop.text("none.zip")], 1, &["none.zip", "No such file"]);
    let mut zip = std::fs::read(reference().join("crop16.zip")).expect("a set");
    zip[100] ^= 1;
    shop.write("damaged.zip", &zip);
    assert_eq!(shop.check("damaged.zip", 1).0, ["00000/img00000000.png: unreadable"]);
}

#[test]
fn show_draws_the_chosen_images() {
    let shop = Workshop::labeled();
    let sheet = shop.text("sheet.png");
    let printed = succeed(&["dataset", "show", &shop.text("set"), &sheet, "--images", "4", "--json"]);
    let shown: Value = serde_json::from_str(&printed).expect("JSON");
    let names = shown["images"].as_array().expect("a list");
    assert_eq!(names.len(), 4);
    let drawn = image::open(&sheet).expect("a picture").to_rgb8();
    for name in names {
        let path = shop.path("set").join(name.as_str().expect("a name"));
        let corner = *image::open(path).expect("a picture").to_rgb8().get_pixel(15, 15);
        // Pictures of 16 px are shown at 64 px, each pixel as a square of 4.
        assert!(drawn.pixels().filter(|pixel| **pixel == corner).count() >= 16, "{name} is not on the sheet");
    }
    let first = std::fs::read(&sheet).expect("the sheet");
    succeed(&["dataset", "show", &shop.text("set"), &sheet, "--images", "4", "--seed", "1"]);
    assert_ne!(first, std::fs::read(&sheet).expect("the sheet"));
    fail(&["dataset", "show", &shop.text("set"), &sheet, "--images", "0"], 1, &["at least one"]);
}

#[test]
fn split_divides_images_with_their_labels() {
    let shop = Workshop::labeled();
    let (set, train, test) = (shop.text("set"), shop.text("train.zip"), shop.text("test.zip"));
    let args = ["dataset", "split", &set, "--train", &train, "--held-out", &test, "--share", "0.3"];
    succeed(&args);
    let parts = [shop.path("train.zip"), shop.path("test.zip")].map(|path| entries(&path));
    assert_eq!(parts.each_ref().map(Vec::len), [4 + 1, 2 + 1]);
    let mut all: Vec<String> = Vec::new();
    for part in &parts {
        let labels: Value = serde_json::from_slice(&part.last().expect("labels").1).expect("JSON");
        for (name, bytes) in &part[..part.len() - 1] {
            assert_eq!(*bytes, std::fs::read(shop.path("set").join(name)).expect("a picture"), "{name}");
            let number: u32 = name.trim_end_matches(".png").parse().expect("a number");
            let expected = serde_json::json!([name, number % 3]);
            assert!(labels["labels"].as_array().expect("a list").contains(&expected), "{labels}");
            all.push(name.clone());
        }
    }
    all.sort();
    assert_eq!(all, ["0.png", "1.png", "2.png", "3.png", "4.png", "5.png"]);
    let before = std::fs::read(&train).expect("a zip");
    succeed(&args);
    assert_eq!(before, std::fs::read(&train).expect("a zip"), "the same seed gives the same parts");
    fail(&["dataset", "split", &set, "--train", "x.zip", "--held-out", "y.zip", "--share", "0.01"], 1, &["empty"]);
    fail(&["dataset", "split", &set, "--train", "x.zip", "--held-out", "x.zip"], 1, &["both parts"]);
    assert!(!Path::new("x.zip").exists());
    let first = shop.text("first.zip");
    fail(&["dataset", "split", &set, "--train", &first, "--held-out", &set], 1, &["must be empty"]);
    assert!(!shop.path("first.zip").exists(), "one part alone is not left behind");
    let output = toonify(&["dataset", "split", &set, "--train", &first, "--held-out", &test, "--share", "0.8"]);
    assert!(output.status.success());
    let missing = !entries(&shop.path("first.zip")).iter().any(|(name, _)| name == "2.png" || name == "5.png");
    assert_eq!(String::from_utf8_lossy(&output.stderr).contains("no image of class 2"), missing);
}

/// Stands in for `ffmpeg`: two pictures, or the complaint about a broken film.
#[cfg(unix)]
const FAKE_FFMPEG: &str = r#"#!/bin/sh
case "$*" in
*-hide_banner*) echo '  Duration: 00:00:01.00, start: 0' >&2; exit 1 ;;
*file:*broken.mp4*) echo 'moov atom not found' >&2; exit 183 ;;
*-protocol_whitelist\ file\ *file:*film.mp4*fps=2*image2pipe*) ;;
*) echo "unexpected: $*" >&2; exit 1 ;;
esac
printf 'P6\n2 2\n255\nabcdefghijklP6\n2 2\n255\nmnopqrstuvwx'
"#;

#[cfg(unix)]
fn with_path(folder: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_toonify"));
    command.env("PATH", format!("{}:/usr/bin:/bin", folder.display())).args(args).output().expect("the binary runs")
}

#[cfg(unix)]
#[test]
fn pictures_of_a_video_come_from_a_process() {
    use std::os::unix::fs::PermissionsExt;
    let shop = Workshop(tempfile::tempdir().expect("folder"));
    shop.write("bin/ffmpeg", FAKE_FFMPEG.as_bytes());
    std::fs::set_permissions(shop.path("bin/ffmpeg"), std::fs::Permissions::from_mode(0o755)).expect("it is ours");
    for name in ["film.mp4", "broken.mp4"] {
        shop.write(name, b"");
    }
    let (film, broken, zip) = (shop.text("film.mp4"), shop.text("broken.mp4"), shop.text("a.zip"));
    let build = |source: &str| {
        with_path(&shop.path("bin"), &["dataset", "build", "--source", source, "--dest", &zip, "--fps", "2"])
    };
    let output = build(&film);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let frames = entries(&shop.path("a.zip"));
    let pixels = image::load_from_memory(&frames[1].1).expect("a picture").into_rgb8().into_raw();
    assert_eq!((frames.len(), pixels.as_slice()), (3, &b"mnopqrstuvwx"[..]));
    let output = build(&broken);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(1) && error.contains("moov atom not found"), "{error}");
    let output = with_path_only(&shop.path("nothing"), &["dataset", "build", "--source", &film, "--dest", &zip]);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(1) && error.contains("ffmpeg") && error.contains("not installed"), "{error}");
}

#[cfg(unix)]
fn with_path_only(folder: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_toonify")).env("PATH", folder).args(args).output().expect("the binary runs")
}

#[test]
fn a_real_video_is_taken_apart_where_ffmpeg_is_installed() {
    if Command::new("ffmpeg").arg("-version").output().is_err() {
        println!("ffmpeg is not installed, left out");
        return;
    }
    let shop = Workshop(tempfile::tempdir().expect("folder"));
    let film = shop.text("film.mp4");
    let made = Command::new("ffmpeg")
        .args(["-loglevel", "error", "-f", "lavfi", "-i", "testsrc=duration=2:size=64x48:rate=10", &film])
        .status();
    assert!(made.expect("ffmpeg runs").success());
    let build = |extra: &[&str]| {
        let zip = shop.text("a.zip");
        let fixed = ["dataset", "build", "--source", &film, "--dest", &zip, "--transform", "center-crop", "--json"];
        let args = fixed.into_iter().chain(["--width", "32", "--height", "32"]).chain(extra.iter().copied());
        let built: Value = serde_json::from_str(&succeed(&args.collect::<Vec<_>>())).expect("JSON");
        built["images"].as_u64().expect("a number")
    };
    assert_eq!([build(&[]), build(&["--every", "5"]), build(&["--fps", "2"])], [20, 4, 4]);
    assert_eq!(build(&["--max-images", "3"]), 3);
    shop.write("film.mp4", b"no film");
    fail(&["dataset", "build", "--source", &film, "--dest", &shop.text("b.zip")], 1, &["film.mp4", "ffmpeg"]);
}

#[test]
fn every_command_shows_two_examples() {
    for command in ["build", "check", "show", "split"] {
        let help = succeed(&["dataset", command, "--help"]);
        let line = format!("toonify dataset {command} ");
        assert!(help.lines().filter(|known| known.trim_start().starts_with(&line)).count() >= 2, "{help}");
    }
}

#[test]
fn misuse_ends_with_code_2() {
    let with = |extra: &[&'static str]| {
        let args: Vec<&str> = ["dataset", "build", "--source", "x", "--dest", "never-made"].into_iter().collect();
        args.into_iter().chain(extra.iter().copied()).collect::<Vec<_>>()
    };
    fail(&with(&["--channels", "2"]), 2, &["1 or 3"]);
    fail(&with(&["--fps", "0"]), 2, &["--fps"]);
    fail(&with(&["--fps", "1", "--every", "2"]), 2, &["--every"]);
    fail(&with(&["--max-images", "0"]), 2, &["--max-images"]);
    fail(&with(&["--resize-filter", "cubic"]), 2, &["box", "lanczos"]);
    assert!(!Path::new("never-made").exists());
}

#[cfg(unix)]
#[test]
fn ctrl_c_leaves_nothing_behind() {
    let folder = tempfile::tempdir().expect("folder");
    let (source, dest) = (folder.path().join("in"), folder.path().join("sets"));
    let noisy = RgbImage::from_fn(1024, 1024, |x, y| Rgb([(x * y) as u8, (x ^ y) as u8, (x + 3 * y) as u8]));
    support::save(&noisy, source.join("0.png"));
    std::fs::create_dir(&dest).expect("a folder");
    for i in 1..400 {
        std::fs::hard_link(source.join("0.png"), source.join(format!("{i}.png"))).expect("a link");
    }
    for name in ["set.zip", "set"] {
        let made = dest.join(name);
        let mut command = Command::new(env!("CARGO_BIN_EXE_toonify"));
        command.args(["dataset", "build", "--source", text(&source), "--dest", text(&made)]);
        let child = command.stderr(std::process::Stdio::piped()).spawn().expect("the binary runs");
        let start = std::time::Instant::now();
        while std::fs::read_dir(&dest).expect("the folder").next().is_none() {
            assert!(start.elapsed().as_secs() < 60, "nothing is begun");
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        assert!(support::signal(&child, "INT"));
        let output = child.wait_with_output().expect("it ends");
        support::check_failed(&output, 1, &["stopped: ", text(&made), "was not made"]);
        assert_eq!(support::files(&dest), [""; 0]);
        assert_eq!(std::fs::read_dir(&dest).expect("the folder").count(), 0);
    }
}
