//! A student's life on the command line: pairs, training, pictures, pipes, and files for other programs.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use image::{Rgb, RgbImage};
use tempfile::TempDir;
use toonify::apply::y4m::{Chroma, Head};
use toonify::store::checkpoint::{self, Format};
use toonify::store::student;
use toonify_networks::checkpoint::{DiscriminatorCheckpoint, Parts, Precision};
use toonify_networks::pix2pix::{BlockKind, Preset, StudentConfig, StudentFile, StudentHistory, StudentLayer};
use toonify_networks::random::RandomState;
use toonify_networks::stylegan2::{Architecture, DiscriminatorConfig, DiscriminatorLayer, Weights};

mod support;

use support::{check_failed, fail, files, succeed, text, tiny};

/// `base.safetensors`, `tuned.safetensors` of 16 px, and an untrained `student.safetensors`.
fn folder() -> &'static Path {
    static FOLDER: OnceLock<TempDir> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a temporary folder");
        tiny::networks(folder.path(), 16);
        with_discriminator(folder.path());
        let config = StudentConfig {
            img_channels: 3,
            fine_width: 8,
            coarse_width: 8,
            fine_blocks: 1,
            coarse_blocks: 1,
            exit_width: 4,
            block: BlockKind::Plain,
        };
        let weights = Weights::<StudentLayer>::random(&config, &mut RandomState::new(1)).expect("a student");
        let history = StudentHistory::default();
        let file = StudentFile { config, weights, discriminator: None, history };
        student::write(&folder.path().join("student.safetensors"), &file, Precision::Single).expect("a file");
        folder
    });
    folder.path()
}

/// `judged.safetensors`: the base with a discriminator.
fn with_discriminator(base: &Path) {
    let mut checkpoint = checkpoint::read(&base.join("base.safetensors"), Parts::All).expect("a checkpoint");
    let generator = &checkpoint.config;
    let config = DiscriminatorConfig {
        c_dim: 0,
        resolution: generator.resolution,
        img_channels: 3,
        cmap_dim: 0,
        mapping: generator.mapping.clone(),
        channels: generator.channels.clone(),
        architecture: Architecture::Resnet,
        activation: generator.activation,
        conv_clamp: None,
        num_fp16_res: 0,
        mbstd_group_size: Some(4),
        mbstd_num_channels: 1,
        freeze_layers: 0,
        resample_filter: generator.resample_filter.clone(),
    };
    let weights = Weights::<DiscriminatorLayer>::random(&config, &mut RandomState::new(4)).expect("a discriminator");
    checkpoint.discriminator = Some(DiscriminatorCheckpoint { config, weights });
    checkpoint::write(&base.join("judged.safetensors"), &checkpoint, Format::Toonify).expect("a file");
}

fn model(name: &str) -> String {
    text(&folder().join(format!("{name}.safetensors"))).to_owned()
}

fn pairs(out: &Path, more: &[&str]) -> String {
    let (base, tuned) = (model("judged"), model("tuned"));
    let args = ["pairs", "--base", &base, "--blended", &tuned, "-o", text(out), "-q"];
    succeed(&[&args[..], more].concat())
}

fn read_all(folder: &Path) -> Vec<(String, Vec<u8>)> {
    files(folder).into_iter().map(|name| (name.clone(), std::fs::read(folder.join(name)).expect("a file"))).collect()
}

#[test]
fn pairs_do_not_depend_on_how_often_one_was_interrupted() {
    let temporary = tempfile::tempdir().expect("a temporary folder");
    let (whole, parts) = (temporary.path().join("whole"), temporary.path().join("parts"));
    for reject in ["0", "0.4"] {
        let more = |count: &'static str| ["--count", count, "--reject", reject, "--seed", "3"];
        for folder in [&whole, &parts] {
            let _ = std::fs::remove_dir_all(folder);
        }
        pairs(&whole, &more("11"));
        pairs(&parts, &more("3"));
        assert!(pairs(&parts, &more("11")).contains("3 of an earlier run"));
        let (whole, parts) = (read_all(&whole), read_all(&parts));
        assert_eq!(whole.len(), 23, "eleven pairs and pairs.json");
        assert_eq!(whole, parts);
    }
}

#[test]
fn pairs_of_another_plan_are_not_mixed_in() {
    let temporary = tempfile::tempdir().expect("a temporary folder");
    pairs(temporary.path(), &["--count", "2", "--layout", "side-by-side"]);
    let wide = image::open(temporary.path().join("pairs/000001.png")).expect("a pair");
    assert_eq!((wide.width(), wide.height()), (32, 16));
    let (base, tuned) = (model("base"), model("tuned"));
    let args = ["pairs", "--base", &base, "--blended", &tuned, "-o", text(temporary.path()), "--seed", "9"];
    fail(&args, 1, &["other models or settings"]);
    let args = ["pairs", "--base", &base, "--blended", &tuned, "-o", text(temporary.path()), "--reject", "0.5"];
    fail(&args, 1, &["no discriminator"]);
    let args = ["pairs", "--base", &base, "--blended", &tuned, "-o", text(temporary.path()), "--trunc-min", "2"];
    fail(&args, 2, &["--trunc-min"]);
}

/// Pairs whose pictures are their photos in other colours: something that a student learns at once.
fn recoloured(folder: &Path, count: u32) {
    for (name, swap) in [("A", false), ("B", true)] {
        std::fs::create_dir_all(folder.join(name)).expect("a folder");
        for index in 0..count {
            let image = RgbImage::from_fn(32, 32, |x, y| {
                let (r, g) = ((x * 8 + index * 37) as u8, (y * 8) as u8);
                if swap { Rgb([255 - r, g, 200]) } else { Rgb([r, g, 60]) }
            });
            image.save(folder.join(name).join(format!("{index:03}.png"))).expect("a picture");
        }
    }
}

#[test]
fn a_student_learns_and_goes_on_where_it_was() {
    let temporary = tempfile::tempdir().expect("a temporary folder");
    let set = temporary.path().join("set");
    recoloured(&set, 20);
    let train = |out: &str, kimg: &str, more: &[&str]| {
        let out = temporary.path().join(out);
        let args = ["distill", text(&set), "-o", text(&out), "--preset", "tiny", "--size", "32", "--batch", "2", "-q"];
        let rest = ["--every", "0.02", "--augment", "none", "--shift", "1", "--lr", "0.001", "--kimg", kimg];
        succeed(&[&args[..], &rest, more].concat());
        out
    };
    let whole = train("whole", "0.06", &[]);
    let held_out: Vec<f64> = std::fs::read_to_string(whole.join("stats.jsonl"))
        .expect("statistics")
        .lines()
        .map(|line| {
            serde_json::from_str::<serde_json::Value>(line).expect("JSON")["held_out_l1"].as_f64().expect("a mean")
        })
        .collect();
    assert_eq!(held_out.len(), 3);
    assert!(held_out[2] < 0.8 * held_out[0], "{held_out:?}");
    train("parts", "0.02", &[]);
    let parts = train("parts", "0.06", &[]);
    let student = |folder: &PathBuf| std::fs::read(folder.join("student.safetensors")).expect("a student");
    assert!(student(&whole) == student(&parts), "two runs give another student than one");
    assert!(whole.join("preview-000000.png").exists());
    train("options", "0.004", &["--identity", "1", "--blocks", "separable"]);
    let args = ["distill", text(&set), "-o", text(&whole), "--size", "32", "--batch", "3"];
    fail(&args, 1, &["other settings"]);
    fail(&["distill", text(&set), "-o", text(&whole), "--size", "30"], 1, &["multiple of 8"]);
    fail(&["distill", text(&set), "-o", text(&whole), "--extra", "depth"], 1, &["no depth"]);
}

/// Screenshots whose alpha channel is depth, and a student of one step that was trained with it.
fn student_with_depth(folder: &Path) -> (PathBuf, PathBuf) {
    let (set, out) = (folder.join("set"), folder.join("deep"));
    recoloured(&set, 12);
    for path in std::fs::read_dir(set.join("A")).expect("a folder").map(|entry| entry.expect("a file").path()) {
        let colours = image::open(&path).expect("a picture").into_rgb8();
        let deep = image::RgbaImage::from_fn(32, 32, |x, y| {
            let [r, g, b] = colours.get_pixel(x, y).0;
            image::Rgba([r, g, b, (x * 8) as u8])
        });
        deep.save(path).expect("a picture");
    }
    let args = ["distill", text(&set), "-o", text(&out), "--preset", "tiny", "--size", "32", "--batch", "2", "-q"];
    let photo = set.join("A/003.png");
    let rest = ["--extra", "depth", "--kimg", "0.002", "--judge-width", "8", "--photos", text(&photo)];
    succeed(&[&args[..], &rest].concat());
    (set.join("A"), out.join("student.safetensors"))
}

#[test]
fn depth_goes_from_screenshots_into_the_student_and_out_into_its_file() {
    let temporary = tempfile::tempdir().expect("a temporary folder");
    let (screens, student) = student_with_depth(temporary.path());
    let student = text(&student);
    let made = |name: &str, more: &[&str]| {
        let out = temporary.path().join(name);
        succeed(&[&["apply", student, text(&screens), "-o", text(&out), "-q"][..], more].concat());
        image::open(out.join("003.png")).expect("a result").into_rgb8()
    };
    let depths = temporary.path().join("depths");
    std::fs::create_dir(&depths).expect("a folder");
    let write = |depth: fn(u32) -> u8| {
        for name in files(&screens) {
            let picture = image::GrayImage::from_fn(32, 32, |x, _| image::Luma([depth(x)]));
            picture.save(depths.join(name)).expect("a picture");
        }
    };
    let by_alpha = made("by-alpha", &[]);
    write(|x| (x * 8) as u8);
    assert_eq!(made("by-the-same", &["--depth", text(&depths)]), by_alpha);
    write(|x| 255 - (x * 8) as u8);
    assert_ne!(made("by-another", &["--depth", text(&depths)]), by_alpha);
    let flat = temporary.path().join("flat.png");
    RgbImage::new(32, 32).save(&flat).expect("a picture");
    fail(&["apply", student, text(&flat), "-o", "x.png"], 1, &["flat.png", "depth"]);
    let onnx = temporary.path().join("deep.onnx");
    assert!(succeed(&["export", student, text(&onnx), "--size", "32"]).contains("Slice"));
    assert!(succeed(&["inspect", student]).contains("RGB and depth"));
}

#[test]
fn depth_is_the_fourth_plane_of_raw_frames_or_a_file_of_its_own() {
    let temporary = tempfile::tempdir().expect("a temporary folder");
    let (_, student) = student_with_depth(temporary.path());
    let frame = |kind: &str, planes: &[&[u8]]| {
        let head = format!("YUV4MPEG2 W32 H32 F25:1 C{kind}\nFRAME\n").into_bytes();
        [head, planes.concat()].concat()
    };
    let colours: Vec<u8> = (0..3 * 1024).map(|index| 40 + (index % 97) as u8).collect();
    let depth: Vec<u8> = (0..1024).map(|index| (index % 251) as u8).collect();
    let file = temporary.path().join("depth.y4m");
    std::fs::write(&file, frame("mono", &[&depth])).expect("a file");
    let args = ["apply", text(&student), "-", "-o", "-", "-q"];
    let with_alpha = piped(&args, &frame("444alpha", &[&colours, &depth]));
    assert!(with_alpha.status.success(), "{}", String::from_utf8_lossy(&with_alpha.stderr));
    let with_file = piped(&[&args[..], &["--depth", text(&file)]].concat(), &frame("444", &[&colours]));
    assert!(with_file.status.success(), "{}", String::from_utf8_lossy(&with_file.stderr));
    assert!(with_alpha.stdout.starts_with(b"YUV4MPEG2 W32 H32 C444 F25:1\n"));
    assert_eq!(with_alpha.stdout, with_file.stdout);
    check_failed(&piped(&args, &frame("444", &[&colours])), 1, &["depth"]);
    let two_frames = [frame("444", &[&colours]), [b"FRAME\n", &colours[..]].concat()].concat();
    check_failed(&piped(&[&args[..], &["--depth", text(&file)]].concat(), &two_frames), 1, &["depth ends"]);
}

#[test]
fn a_student_is_compared_with_its_teacher_and_the_teacher_with_itself() {
    let temporary = tempfile::tempdir().expect("a temporary folder");
    let (photos, out) = (temporary.path().join("photos"), temporary.path().join("compare"));
    recoloured(&photos, 3);
    let photos = photos.join("A");
    std::fs::write(photos.join("broken.png"), b"\x89PNG\r\n\x1a\nbroken").expect("a file");
    let (student, base, tuned) = (model("student"), model("base"), model("tuned"));
    let args =
        ["compare", &student, text(&photos), "-o", text(&out), "--base", &base, "--blended", &tuned, "--aligned"];
    let rest = ["--num-steps", "2", "--json", "-q"];
    let told: serde_json::Value = serde_json::from_str(&succeed(&[&args[..], &rest].concat())).expect("JSON");
    let mean = |what: &str| told[what]["mean"]["l1"].as_f64().expect("a number");
    assert_eq!((told["photos"].as_u64(), told["left_out"].as_array().map(Vec::len)), (Some(3), Some(1)));
    // Another seed finds another face of the same photo; an untrained student gives the photo back.
    assert!(mean("again") > 0.0 && mean("again") < mean("photo"), "{told}");
    assert!((mean("student") / mean("photo") - 1.0).abs() < 0.2, "{told}");
    assert!(out.join("sheet.png").exists() && out.join("compare.json").exists());
    assert_eq!(files(&out.join("teacher")).iter().filter(|name| name.ends_with("project.json")).count(), 3);
}

#[test]
fn a_small_student_takes_two_megabytes_in_half_precision() {
    let temporary = tempfile::tempdir().expect("a temporary folder");
    let [whole, half, pickle] =
        ["small.safetensors", "half.safetensors", "x.pt"].map(|name| temporary.path().join(name));
    let config = Preset::Small.config(BlockKind::Plain, 3);
    let weights = Weights::<StudentLayer>::random(&config, &mut RandomState::new(1)).expect("a student");
    let file = StudentFile { config, weights, discriminator: None, history: StudentHistory::default() };
    student::write(&whole, &file, Precision::Single).expect("a file");
    succeed(&["convert", "--half", text(&whole), text(&half)]);
    assert!(std::fs::metadata(&half).expect("a file").len() <= 2_000_000);
    let told = succeed(&["inspect", text(&half)]);
    assert!(told.contains("small, plain blocks, RGB") && told.contains("802,348 parameters"), "{told}");
    assert!(succeed(&["inspect", "--layers", text(&half)]).contains("[96, 96, 3, 3]"));
    fail(&["convert", text(&whole), text(&pickle)], 1, &["student"]);
}

#[test]
fn broken_pictures_are_named_and_the_others_are_translated() {
    let temporary = tempfile::tempdir().expect("a temporary folder");
    let (photos, toons) = (temporary.path().join("photos"), temporary.path().join("toons"));
    std::fs::create_dir(&photos).expect("a folder");
    for index in 0..40 {
        let image = RgbImage::from_pixel(20 + index, 17, Rgb([5 * index as u8; 3]));
        image.save(photos.join(format!("{index:02}.png"))).expect("a picture");
    }
    for name in ["03.png", "17.png", "38.png"] {
        std::fs::write(photos.join(name), b"\x89PNG\r\n\x1a\nbroken").expect("a file");
    }
    let student = model("student");
    let args = ["apply", &student, text(&photos), "-o", text(&toons), "-q"];
    fail(&args, 1, &["3 of 40 pictures", "03.png", "17.png", "38.png"]);
    assert_eq!(files(&toons).len(), 37);
    let toon = image::open(toons.join("05.png")).expect("a result");
    assert_eq!((toon.width(), toon.height()), (25, 17));
    fail(&args, 1, &["3 of 40 pictures"]);
    let single = temporary.path().join("single.png");
    succeed(&["apply", &student, text(&photos.join("04.png")), "-o", text(&single), "--max-size", "12"]);
    assert_eq!(image::open(single).expect("a result").width(), 12);
}

/// Runs the command with bytes on its standard input.
fn piped(args: &[&str], input: &[u8]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_toonify"));
    let mut child = command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let child = child.as_mut().expect("the binary runs");
    let (mut stdin, bytes) = (child.stdin.take().expect("piped"), input.to_vec());
    // A program that stops reading early closes the pipe; what it says then is what is tested.
    let writer = std::thread::spawn(move || drop(stdin.write_all(&bytes)));
    let mut output = Output { status: Default::default(), stdout: Vec::new(), stderr: Vec::new() };
    std::io::Read::read_to_end(&mut child.stdout.take().expect("piped"), &mut output.stdout).expect("its output");
    std::io::Read::read_to_end(&mut child.stderr.take().expect("piped"), &mut output.stderr).expect("its errors");
    output.status = child.wait().expect("it ends");
    writer.join().expect("a writer");
    output
}

#[test]
fn raw_frames_go_from_pipe_to_pipe() {
    let head = Head { size: (18, 10), chroma: Chroma::Full, rest: " F25:1".to_owned() };
    let (mut stream, frame) = (Vec::new(), RgbImage::from_pixel(18, 10, Rgb([90, 120, 60])));
    head.write(&mut stream).expect("bytes");
    for _ in 0..3 {
        head.write_frame(&frame, &mut stream).expect("bytes");
    }
    let student = model("student");
    let args = ["apply", &student, "-", "-o", "-"];
    let output = piped(&args, &stream);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut made = output.stdout.as_slice();
    assert_eq!(Head::read(&mut made).expect("a head"), head);
    for _ in 0..3 {
        assert!(head.read_frame(&mut made).expect("a frame").is_some());
    }
    assert!(made.is_empty());
    check_failed(&piped(&args, b"no frames"), 1, &["YUV4MPEG2"]);
    check_failed(&piped(&args, &stream[..stream.len() - 5]), 1, &["cut off"]);
    fail(&["apply", &student, "-", "-o", "x.mp4"], 2, &["pipe"]);
}

/// The frames that `apply` makes of frames, without loss on the way.
fn applied(frames: &[RgbImage], more: &[&str]) -> Vec<RgbImage> {
    let head = Head { size: frames[0].dimensions(), chroma: Chroma::Full, rest: " F25:1".to_owned() };
    let mut stream = Vec::new();
    head.write(&mut stream).expect("bytes");
    frames.iter().for_each(|frame| head.write_frame(frame, &mut stream).expect("bytes"));
    let student = model("student");
    let output = piped(&[&["apply", &student, "-", "-o", "-"], more].concat(), &stream);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut made = output.stdout.as_slice();
    let head = Head::read(&mut made).expect("a head");
    frames.iter().map(|_| head.read_frame(&mut made).expect("a frame").expect("as many frames").pixels).collect()
}

/// Something to see, and grain.
fn textured(mut grain: impl FnMut() -> u8) -> RgbImage {
    RgbImage::from_fn(64, 48, |x, y| {
        let wave = (0.4 * f64::from(x)).sin() + (0.3 * f64::from(y) + 0.1 * f64::from(x)).cos();
        Rgb([140.0, 110.0, 90.0].map(|level| (level + 30.0 * wave) as u8 + grain()))
    })
}

#[test]
fn a_video_of_whole_frames_is_held_steady_unless_that_is_switched_off() {
    let mut grain = RandomState::new(7);
    let frames: Vec<RgbImage> = (0..6).map(|_| textured(|| (8.0 * grain.uniform()) as u8)).collect();
    let changes = |frames: &[RgbImage]| {
        let squares = frames.windows(2).flat_map(|pair| pair[0].iter().zip(pair[1].iter()));
        squares.map(|(a, b)| u64::from(a.abs_diff(*b)).pow(2)).sum::<u64>()
    };
    let (with, without) = (applied(&frames, &[]), applied(&frames, &["--smoothing", "0"]));
    assert_eq!(with[0], without[0], "nothing came before the first frame");
    assert!(4 * changes(&with) < changes(&without), "{} and {}", changes(&with), changes(&without));
    assert_eq!(applied(&frames[5..], &[])[0], without[5], "each frame by itself");
    fail(&["apply", &model("student"), "-", "-o", "-", "--smoothing", "1"], 2, &["0 to 0.99"]);
}

#[test]
fn pictures_of_a_folder_are_none_of_a_video() {
    let temporary = tempfile::tempdir().expect("a temporary folder");
    let [photos, out, single] = ["photos", "out", "single.png"].map(|name| temporary.path().join(name));
    std::fs::create_dir(&photos).expect("a folder");
    for (name, level) in [("1.png", 0), ("2.png", 5)] {
        textured(|| level).save(photos.join(name)).expect("a photo");
    }
    let apply = |from: &Path, to: &Path| succeed(&["apply", &model("student"), text(from), "-o", text(to), "-q"]);
    apply(&photos, &out);
    apply(&photos.join("2.png"), &single);
    assert_eq!(image::open(single).expect("a result"), image::open(out.join("2.png")).expect("a result"));
}

#[test]
fn a_video_needs_ffmpeg() {
    let temporary = tempfile::tempdir().expect("a temporary folder");
    let (video, out, student) = (temporary.path().join("a.mp4"), temporary.path().join("b.mp4"), model("student"));
    std::fs::write(&video, b"").expect("a file");
    let mut command = Command::new(env!("CARGO_BIN_EXE_toonify"));
    let output = command.args(["apply", &student, text(&video), "-o", text(&out)]).env("PATH", "").output();
    check_failed(&output.expect("the binary runs"), 1, &["ffmpeg", "not installed"]);
    assert!(!out.exists());
}

/// Makes a program of a shell script.
#[cfg(unix)]
fn stand_in(folder: &Path, name: &str, script: &str) {
    use std::os::unix::fs::PermissionsExt;
    let program = folder.join(name);
    std::fs::write(&program, format!("#!/bin/sh\n{script}\n")).expect("a script");
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).expect("rights");
}

/// Stands in for ffmpeg: decodes to two frames of 4:4:4, and "encodes" by copying what it is given.
#[cfg(unix)]
const STAND_IN: &str = r#"
for word do last=$word; done
case "$*" in
    *broken*) echo 'moov atom not found' >&2; exit 1 ;;
    *hide_banner*) exit 1 ;;
    *"-y"*) cat > "${last#file:}" ;;
    *) printf 'YUV4MPEG2 W8 H8 F25:1 C444\n'
       for frame in 1 2; do printf 'FRAME\n'; head -c 192 /dev/zero; done ;;
esac
"#;

#[cfg(unix)]
#[test]
fn a_video_goes_through_ffmpeg_and_appears_when_it_is_complete() {
    let temporary = tempfile::tempdir().expect("a temporary folder");
    stand_in(temporary.path(), "ffmpeg", STAND_IN);
    let path = format!("{}:{}", text(temporary.path()), std::env::var("PATH").unwrap_or_default());
    let student = model("student");
    let run = |input: &str, output: &Path| {
        let input = temporary.path().join(input);
        std::fs::write(&input, b"a video").expect("a file");
        let mut command = Command::new(env!("CARGO_BIN_EXE_toonify"));
        command.args(["apply", &student, text(&input), "-o", text(output)]).env("PATH", &path).output()
    };
    let out = temporary.path().join("out.mp4");
    let output = run("in.mp4", &out).expect("the binary runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let made = std::fs::read(&out).expect("a video");
    let mut frames = made.as_slice();
    let head = Head::read(&mut frames).expect("a head");
    assert!((0..2).all(|_| head.read_frame(&mut frames).expect("a frame").is_some()));
    assert!(head.read_frame(&mut frames).expect("the end").is_none());
    let bad = temporary.path().join("bad.mp4");
    check_failed(&run("broken.mp4", &bad).expect("the binary runs"), 1, &["moov atom not found"]);
    assert!(!bad.exists());
    assert!(!files(temporary.path()).iter().any(|name| name.contains(".tmp.")), "nothing unfinished is left");
}

#[test]
fn students_and_generators_are_exported() {
    let temporary = tempfile::tempdir().expect("a temporary folder");
    let out = |name: &str| text(&temporary.path().join(name)).to_owned();
    let (student, base) = (model("student"), model("base"));
    let told = succeed(&["export", &student, &out("a.onnx"), "--size", "64x32"]);
    assert!(told.contains("opset 13") && told.contains("DepthToSpace"), "{told}");
    // Every program that can be had has run the file, or it is said that none has.
    assert_ne!(told.contains("  run in "), told.contains("no other program has run the file"), "{told}");
    assert!(!cfg!(feature = "verify") || told.contains("run in tract: off by at most"), "{told}");
    succeed(&["export", &student, &out("b.onnx"), "--half"]);
    let size = |name: &str| std::fs::metadata(temporary.path().join(name)).expect("a file").len();
    assert!(size("b.onnx") < size("a.onnx"));
    assert!(succeed(&["export", &base, &out("c.onnx")]).contains("ConvTranspose"));
    succeed(&["export", &base, &out("d.onnx"), "--part", "mapping", "--trunc", "0.7"]);
    fail(&["export", &student, &out("e.onnx"), "--part", "mapping"], 1, &["is a student"]);
    fail(&["export", &student, &out("e.onnx"), "--size", "100"], 1, &["multiples of 8"]);
    fail(&["export", &base, &out("e.onnx"), "--part", "student"], 1, &["student"]);
    assert!(!temporary.path().join("e.onnx").exists());
}

/// Exports with a Python of this script and nothing else.
#[cfg(unix)]
fn exported_with(python: &str) -> (Output, bool) {
    let temporary = tempfile::tempdir().expect("a temporary folder");
    stand_in(temporary.path(), "python3", python);
    let path = format!("{}:/usr/bin:/bin", text(temporary.path()));
    let out = temporary.path().join("a.onnx");
    let mut command = Command::new(env!("CARGO_BIN_EXE_toonify"));
    command.args(["export", &model("student"), text(&out), "--size", "16"]).env("PATH", path);
    (command.output().expect("the binary runs"), out.exists())
}

#[cfg(unix)]
#[test]
fn an_exported_file_that_another_program_runs_differently_is_refused() {
    let zeros = r#"for word do last=$word; done; head -c 3072 /dev/zero > "$last/output"; echo 9.9"#;
    let (output, written) = exported_with(zeros);
    check_failed(&output, 1, &["onnxruntime 9.9", "off by"]);
    assert!(!written);
    let (output, written) = exported_with("echo 'ValueError: no such operator' >&2; exit 1");
    check_failed(&output, 1, &["no such operator"]);
    assert!(!written);
    let (output, written) = exported_with("exit 3");
    assert!(output.status.success() && written);
    let told = String::from_utf8_lossy(&output.stdout);
    assert_eq!(told.contains("no other program has run the file"), !cfg!(feature = "verify"), "{told}");
}
