//! `toonify train --dry-run` resolves options, names runs and refuses nonsense as the published trainer does.
//!
//! `tests/reference/train/cases.json` holds calls of the published trainer and what came of them: the options that it
//! would have trained with and what it printed, or its error.

use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use image::{DynamicImage, ImageFormat};
use serde_json::Value;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// Training sets of the sizes and labels that the calls name.
fn make_sets(folder: &Path) {
    for resolution in [16u32, 32, 64, 128, 256, 512, 1024] {
        let images = if resolution <= 128 { 12 } else { 3 };
        make_set(
            &folder.join(format!("d{resolution}.zip")),
            DynamicImage::new_rgb8(resolution, resolution),
            images,
            None,
        );
    }
    make_set(&folder.join("lab32.zip"), DynamicImage::new_rgb8(32, 32), 40, Some(4));
    make_set(&folder.join("gray32.zip"), DynamicImage::new_luma8(32, 32), 10, None);
}

fn make_set(path: &Path, image: DynamicImage, images: usize, classes: Option<usize>) {
    let mut png = Cursor::new(Vec::new());
    image.write_to(&mut png, ImageFormat::Png).expect("a picture becomes a PNG");
    let mut zip = ZipWriter::new(std::fs::File::create(path).expect("a new file"));
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    let name = |i: usize| format!("00000/img{i:08}.png");
    for i in 0..images {
        zip.start_file(name(i), stored).expect("an entry");
        zip.write_all(png.get_ref()).expect("its bytes");
    }
    let labels =
        classes.map(|classes| (0..images).map(|i| serde_json::json!([name(i), i % classes])).collect::<Vec<_>>());
    zip.start_file("dataset.json", stored).expect("an entry");
    zip.write_all(serde_json::json!({ "labels": labels }).to_string().as_bytes()).expect("its bytes");
    zip.finish().expect("a whole zip");
}

/// A place with the training sets and an empty folder for runs.
struct Bench(tempfile::TempDir);

impl Bench {
    fn new() -> Self {
        let bench = Bench(tempfile::tempdir().expect("a temporary folder"));
        make_sets(bench.0.path());
        bench
    }

    fn path(&self) -> &str {
        self.0.path().to_str().expect("temporary folders have UTF-8 names")
    }

    fn call(&self, args: &[String]) -> Output {
        let args = args.iter().map(|arg| self.here(arg));
        let mut command = Command::new(env!("CARGO_BIN_EXE_toonify"));
        // Nothing of this machine may decide how a test ends.
        command.env_remove("TOONIFY_MODELS").env("XDG_CACHE_HOME", self.path()).env("HOME", self.path());
        command.arg("train").args(args).output().expect("the binary runs")
    }

    /// The call's text with the places of this bench.
    fn here(&self, text: &str) -> String {
        text.replace("<DATA>", self.path()).replace("<OUT>", &format!("{}/out", self.path()))
    }
}

/// The cases that come with the repository, and all of them where they lie beside it.
fn cases() -> Vec<Value> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let beside = root.join("../shared/goldens/cli_train/cases.json");
    if !beside.is_file() {
        println!("not there, left out: {}", beside.display());
    }
    let files: Vec<PathBuf> = vec![root.join("tests/reference/train/cases.json"), beside];
    let read = |path: &PathBuf| {
        let text = std::fs::read_to_string(path).expect("a readable file");
        serde_json::from_str::<Value>(&text).expect("JSON")["rows"].as_array().expect("rows").clone()
    };
    files.iter().filter(|path| path.is_file()).flat_map(read).collect()
}

fn args_of(case: &Value) -> Vec<String> {
    case["args"].as_array().expect("arguments").iter().map(|arg| arg.as_str().expect("text").to_owned()).collect()
}

/// Equal but for the kind of numbers: 20 and 20.0 are the same.
fn same(found: &Value, expected: &Value) -> bool {
    match (found, expected) {
        (Value::Number(a), Value::Number(b)) => {
            let (a, b) = (a.as_f64().expect("a number"), b.as_f64().expect("a number"));
            (a - b).abs() <= 1e-12 * b.abs()
        }
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| same(a, b)))
        }
        (a, b) => a == b,
    }
}

#[test]
fn every_published_call_is_resolved_as_published() {
    let bench = Bench::new();
    let cases = cases();
    let good: Vec<&Value> = cases.iter().filter(|case| case["exit_code"] == 0).collect();
    assert!(good.len() >= 8);
    for case in good {
        let (args, output) = (args_of(case), bench.call(&args_of(case)));
        let text = String::from_utf8(output.stdout).expect("UTF-8");
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        let (options, tail) = text
            .strip_prefix("Training options:\n")
            .and_then(|text| text.split_at_checked(text.find("\n}\n")? + 3))
            .expect("options, then the rest");
        let found: Value = serde_json::from_str(options).expect("options are JSON");
        let expected: Value = serde_json::from_str(&bench.here(&case["options"].to_string())).expect("JSON");
        assert!(same(&found, &expected), "{args:?}\nfound    {found}\nexpected {expected}");
        assert_eq!(tail, bench.here(case["tail"].as_str().expect("text")), "{args:?}");
    }
    assert!(!bench.0.path().join("out").exists(), "a dry run writes nothing");
}

/// What the published trainer says of its own accord. Its argument parser has its own words, as ours has.
fn own_words(output: &str) -> Option<&str> {
    let error = output.split_once("Error: ")?.1.trim_end();
    let parsers = ["Invalid value", "Missing option", "No such option"];
    (!parsers.iter().any(|words| error.starts_with(words))).then_some(error)
}

#[test]
fn every_published_error_is_an_error_here_in_the_same_words() {
    let bench = Bench::new();
    let cases = cases();
    let bad: Vec<&Value> = cases.iter().filter(|case| case["exit_code"] != 0).collect();
    assert!(bad.len() >= 8);
    for case in bad {
        let (args, output) = (args_of(case), bench.call(&args_of(case)));
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(
            Some(case["exit_code"].as_i64().expect("a number") as i32),
            output.status.code(),
            "{args:?}: {error}"
        );
        let published = case["output"].as_str().expect("text");
        match own_words(published) {
            // How files are read is not the trainer's business; the option and the path are named.
            Some(words) if words.starts_with("--data: ") => {
                let path = args.iter().find_map(|arg| arg.strip_prefix("--data=")).expect("--data is given");
                assert!(error.contains("--data: ") && error.contains(path), "{args:?}: {error}");
            }
            Some(words) => assert!(error.starts_with(&format!("error: {words}")), "{args:?}: {error}"),
            None => {
                let option =
                    published.split('\'').find(|part| part.starts_with("--")).filter(|option| *option != "--help");
                let option = option.or_else(|| published.rsplit('\'').nth(1)).expect("an option is named");
                assert!(error.contains(option.trim_end_matches('\'')), "{args:?} does not name {option}: {error}");
            }
        }
    }
}

fn dry_run(bench: &Bench, args: &[&str]) -> Value {
    let args: Vec<String> = [&["--outdir=<OUT>", "--data=<DATA>/d32.zip", "--dry-run", "--json"], args]
        .concat()
        .iter()
        .map(|arg| (*arg).to_owned())
        .collect();
    let output = bench.call(&args);
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

#[test]
fn the_game_character_command_is_understood() {
    let bench = Bench::new();
    let text = "--cfg paper256 --resume celebahq256 --outdir <OUT> --data=<DATA>/d256.zip --mirror True --snap 8 \
                --gpus=1 --target 0.5 --kimg 40 --augpipe custom --metrics pr50k3_full --freezed 10";
    let args: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
    let output = bench.call(&[args.clone(), vec!["--dry-run".to_owned(), "--json".to_owned()]].concat());
    let announced: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let name = "00000-d256-mirror-paper256-kimg40-target0.5-custom-resumecelebahq256-freezed10";
    assert!(announced["run_folder"].as_str().expect("a path").ends_with(name), "{announced}");
    let augmentation = &announced["options"]["augment_kwargs"];
    assert_eq!(augmentation.as_object().map(|map| map.len()), Some(4), "{augmentation}");
    assert!(["scale", "xflip", "noise"].iter().all(|part| augmentation[part] == 1.0));
    // Without the detector of the metric there is no training, and it is said where to put it.
    let output = bench.call(&args);
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.contains("pr50k3_full") && error.contains("vgg16.pt") && error.contains("put it at"), "{error}");
}

#[test]
fn booleans_take_every_spelling_or_none() {
    let bench = Bench::new();
    let check = |args: &[&str], expected: bool| {
        assert_eq!(dry_run(&bench, args)["options"]["training_set_kwargs"]["xflip"], expected, "{args:?}");
    };
    for yes in ["True", "true", "1", "yes", "Y", "on"] {
        check(&["--mirror", yes], true);
        check(&[&format!("--mirror={yes}")], true);
    }
    for no in ["False", "0", "no", "off"] {
        check(&["--mirror", no], false);
    }
    check(&["--mirror"], true);
    check(&["--mirror", "--snap", "8"], true);
    check(&[], false);
}

#[test]
fn our_own_options_are_in_the_name_and_in_the_networks() {
    let bench = Bench::new();
    let args = ["--augpipe=noise=0.5,xflip=1", "--freezeg=2", "--freeze-mapping", "--cbase=2048", "--cmax=64"];
    let announced = dry_run(&bench, &args);
    let name = "00000-d32-auto1-xflip1+noise0.5-freezeg2-freezemapping-cbase2048-cmax64";
    assert!(announced["run_folder"].as_str().expect("a path").ends_with(name), "{announced}");
    let synthesis = &announced["options"]["G_kwargs"]["synthesis_kwargs"];
    assert_eq!((synthesis["channel_base"].as_u64(), synthesis["channel_max"].as_u64()), (Some(2048), Some(64)));
}
