//! The command line on a tiny network: outputs, exit codes, help, and one clear error for each mistake.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use tempfile::TempDir;

mod support;

use support::{fail, succeed, text, tiny};

/// A folder with `base.safetensors` and `tuned.safetensors` of 16 px, made once.
fn demo() -> &'static Path {
    static DEMO: OnceLock<TempDir> = OnceLock::new();
    let folder = DEMO.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a temporary folder");
        tiny::networks(folder.path(), 16);
        folder
    });
    folder.path()
}

fn network() -> String {
    text(&demo().join("base.safetensors")).to_owned()
}

fn png_count(folder: &Path) -> usize {
    let entries = std::fs::read_dir(folder).expect("the folder is there");
    entries.filter(|entry| entry.as_ref().expect("an entry").path().extension().is_some_and(|e| e == "png")).count()
}

#[test]
fn generate_names_its_files_like_the_published_tool_and_repeats_itself() {
    let (first, second) = (tempfile::tempdir().expect("folder"), tempfile::tempdir().expect("folder"));
    for folder in [&first, &second] {
        succeed(&["generate", "--network", &network(), "--seeds", "0-1,12", "--grid", "--outdir", text(folder.path())]);
    }
    for name in ["seed0000.png", "seed0001.png", "seed0012.png", "grid.png"] {
        let read = |folder: &TempDir| std::fs::read(folder.path().join(name)).expect(name);
        assert_eq!(read(&first), read(&second), "{name}");
    }
    assert_eq!(png_count(first.path()), 4);
}

#[test]
fn noise_modes_give_different_images_and_random_noise_repeats() {
    let folder = tempfile::tempdir().expect("folder");
    let render = |mode: &str, name: &str| {
        let out = folder.path().join(name);
        succeed(&["generate", "--network", &network(), "--seeds", "1", "--noise-mode", mode, "--outdir", text(&out)]);
        std::fs::read(out.join("seed0001.png")).expect("the image")
    };
    let (constant, random, none) = (render("const", "const"), render("random", "random"), render("none", "none"));
    assert!(constant != random && random != none && none != constant);
    assert_eq!(random, render("random", "again"));
}

/// The latents of two seeds of the demo's base, as projecting would leave them.
fn two_faces(folder: &Path) -> [String; 2] {
    ["anna", "ben"].map(|name| {
        let (faces, out) = (folder.join(format!("{name}-face")), folder.join(name));
        let seed = if name == "anna" { "5" } else { "6" };
        succeed(&["generate", "--network", &network(), "--seeds", seed, "--outdir", text(&faces)]);
        let target = faces.join(format!("seed000{seed}.png"));
        let args = ["project", "--network", &network(), "--target", text(&target), "--outdir", text(&out)];
        succeed(&[&args[..], &["--num-steps", "3", "--save-video", "off"]].concat());
        text(&out.join("projected_w.npz")).to_owned()
    })
}

#[test]
fn projected_latents_are_truncated_mixed_and_interpolated_as_seeds_are() {
    let folder = tempfile::tempdir().expect("folder");
    let [anna, ben] = two_faces(folder.path());
    let run = |args: &[&str], out: &str| {
        let out = folder.path().join(out);
        succeed(&[args, &["--network", &network(), "--outdir", text(&out)]].concat());
        out
    };
    let read = |path: PathBuf| std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let projected = |w: &str, psi: &str, out: &str| {
        read(run(&["generate", "--projected-w", w, "--trunc", psi], out).join("proj00.png"))
    };
    let average = read(run(&["generate", "--seeds", "1", "--trunc", "0"], "average").join("seed0001.png"));
    assert_eq!(projected(&anna, "0", "none"), average);
    let (whole, half) = (projected(&anna, "1", "whole"), projected(&anna, "0.5", "half"));
    assert!(whole != half && half != average);

    let mixed = run(&["mix", "--rows", &format!("{anna},3"), "--cols", &ben, "--styles", "0-2"], "mix");
    let names = ["3-3.png", "3-ben.png", "anna-anna.png", "anna-ben.png", "ben-ben.png", "grid.png"];
    assert_eq!(support::files(&mixed), names);
    assert_eq!(read(mixed.join("anna-anna.png")), whole);
    assert!(read(mixed.join("anna-ben.png")) != whole);

    let way = run(&["interpolate", "--faces", &format!("{anna},{ben},3"), "--frames", "3", "--gif"], "way");
    assert_eq!(support::files(&way).len(), 2 * 3 + 1 + 1);
    assert_eq!(read(way.join("frame0000.png")), whole);
    assert_eq!(read(way.join("frame0003.png")), read(mixed.join("ben-ben.png")));
    assert_eq!(read(way.join("frame0006.png")), read(mixed.join("3-3.png")));
    let round = run(&["interpolate", "--faces", &format!("{anna},{ben}"), "--frames", "2", "--round-trip"], "round");
    assert_eq!(support::files(&round).len(), 4);
    fail(&["interpolate", "--network", &network(), "--faces", "3", "--outdir", "x"], 1, &["two faces"]);
    fail(&["interpolate", "--network", &network(), "--faces", "3,x", "--outdir", "x"], 2, &["x", ".npz"]);
    fail(&["mix", "--network", &network(), "--rows", "3", "--cols", "no.npz", "--outdir", "x"], 1, &["no.npz"]);
}

#[test]
fn the_outcome_is_json_when_asked_for() {
    let folder = tempfile::tempdir().expect("folder");
    let printed =
        succeed(&["generate", "--network", &network(), "--seeds", "5", "--json", "--outdir", text(folder.path())]);
    let outcome: serde_json::Value = serde_json::from_str(&printed).expect("JSON");
    assert!(outcome["images"][0].as_str().expect("a path").ends_with("seed0005.png"));
    assert_eq!(outcome["resolution"], 16);
}

#[test]
fn inspect_tells_kind_configuration_and_counts() {
    let printed = succeed(&["inspect", &network()]);
    for word in ["16 px", "skip", "z 64", "w 64", "parameters"] {
        assert!(printed.contains(word), "`{word}` is not in {printed}");
    }
    let json: serde_json::Value = serde_json::from_str(&succeed(&["inspect", "--json", &network()])).expect("JSON");
    assert_eq!(json["generator"]["config"]["resolution"], 16);
}

#[test]
fn convert_keeps_every_pixel_through_both_formats() {
    let folder = tempfile::tempdir().expect("folder");
    let (pt, back) = (folder.path().join("a.pt"), folder.path().join("b.safetensors"));
    succeed(&["convert", &network(), text(&pt)]);
    succeed(&["convert", text(&pt), text(&back)]);
    let render = |network: &str, name: &str| {
        let out = folder.path().join(name);
        succeed(&["generate", "--network", network, "--seeds", "3", "--trunc", "0.5", "--outdir", text(&out)]);
        std::fs::read(out.join("seed0003.png")).expect("the image")
    };
    let original = render(&network(), "original");
    assert_eq!(original, render(text(&pt), "pt"));
    assert_eq!(original, render(text(&back), "back"));
}

#[test]
fn every_command_shows_two_examples() {
    let help = succeed(&["--help"]);
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let names = listed.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help");
    let mut commands = 0;
    for command in names {
        let help = succeed(&[command, "--help"]);
        let is_group = help.contains("\nCommands:\n"); // its subcommands have the examples
        let shown = help.split("Examples:").nth(1).unwrap_or_default();
        let examples = shown.matches(&format!("toonify {command}")).count();
        assert!(is_group || examples >= 2, "{command}: {help}");
        commands += 1;
    }
    assert!(commands >= 10, "{help}");
}

#[test]
fn misuse_ends_with_code_2_and_says_what_was_meant() {
    let out = ["--outdir", "never-made"];
    let with = |args: &[&str]| -> Vec<String> { args.iter().chain(&out).map(|&arg| arg.to_owned()).collect() };
    let cases: [(Vec<String>, &[&str]); 6] = [
        (with(&["generate", "--network", "x.pkl"]), &["--seeds"]),
        (with(&["generate", "--network", "x.pkl", "--seeds", "a-b"]), &["a-b", "0-7,12"]),
        (with(&["generate", "--network", "x.pkl", "--seeds", "1", "--noise-mode", "cosnt"]), &["const"]),
        (with(&["generate", "--network", "x.pkl", "--seed", "1"]), &["--seeds"]),
        (with(&["genrate", "--network", "x.pkl"]), &["generate"]),
        (with(&["style-mix", "--network", "x.pkl", "--rows", "1"]), &["--cols"]),
    ];
    for (args, words) in cases {
        fail(&args.iter().map(String::as_str).collect::<Vec<_>>(), 2, words);
    }
    assert!(!Path::new("never-made").exists());
}

#[test]
fn what_cannot_be_done_ends_with_code_1_and_names_the_file() {
    let folder = tempfile::tempdir().expect("folder");
    let file = |name: &str, bytes: &[u8]| -> PathBuf {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).expect("a file can be written");
        path
    };
    let (empty, noise) = (file("empty.pkl", b""), file("noise.pkl", b"\x93\xfa not a checkpoint"));
    let evil = file("evil.pkl", b"\x80\x02cos\nsystem\nX\x04\0\0\0echo\x85R.");
    for (path, words) in [
        ("no-such.pkl".to_owned(), vec!["no-such.pkl", "No such file"]),
        (text(folder.path()).to_owned(), vec!["is not a file"]),
        (text(&empty).to_owned(), vec!["empty.pkl", "expected"]),
        (text(&noise).to_owned(), vec!["noise.pkl", "expected"]),
        (text(&evil).to_owned(), vec!["evil.pkl", "os.system", "nothing was executed"]),
    ] {
        fail(&["inspect", &path], 1, &words);
        fail(
            &["generate", "--network", &path, "--seeds", "0", "--outdir", text(&folder.path().join("out"))],
            1,
            &words,
        );
    }
    assert!(!folder.path().join("out").exists(), "nothing is made for a network that cannot be read");
    fail(
        &["style-mix", "--network", &network(), "--rows", "1", "--cols", "2", "--styles", "0-40", "--outdir", "x"],
        1,
        &["0 to 5"],
    );
    let latents = file("w.npz", b"PK\x05\x06");
    fail(&["generate", "--network", &network(), "--projected-w", text(&latents), "--outdir", "x"], 1, &["w.npz"]);
    fail(&["convert", &network(), text(&folder.path().join("x.pkl"))], 1, &["x.pkl", ".safetensors", ".pt"]);
}
