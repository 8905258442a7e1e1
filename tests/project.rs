//! `toonify project` on networks that it made itself: what it writes, that it goes on where it stopped, what it refuses.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::Value;
use tempfile::TempDir;

mod support;

use support::{beside, check_failed, fail, interrupt_after, succeed, text, tiny};

/// A folder with `base.safetensors` of 16 px and three of its faces in `faces`, made once.
fn demo() -> &'static Path {
    static DEMO: OnceLock<TempDir> = OnceLock::new();
    let folder = DEMO.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a temporary folder");
        tiny::networks(folder.path(), 16);
        let (network, faces) = (folder.path().join("base.safetensors"), folder.path().join("faces"));
        succeed(&["generate", "--network", text(&network), "--seeds", "5-7", "--outdir", text(&faces)]);
        folder
    });
    folder.path()
}

fn network() -> PathBuf {
    demo().join("base.safetensors")
}

fn face(seed: u32) -> PathBuf {
    demo().join(format!("faces/seed{seed:04}.png"))
}

/// Projects onto the demo network and returns what `--json` prints.
fn project(target: &Path, outdir: &Path, more: &[&str]) -> Value {
    let network = network();
    let mut args = vec!["project", "--network", text(&network), "--target", text(target), "--outdir", text(outdir)];
    args.extend(["--json", "--quiet"]);
    args.extend(more);
    serde_json::from_str(&succeed(&args)).expect("JSON")
}

fn mse(target: &Value, stage: &str) -> f64 {
    target[stage]["mse"].as_f64().unwrap_or_else(|| panic!("no mse of {stage} in {target}"))
}

#[test]
fn a_face_of_the_network_is_found_again_in_sixty_steps() {
    let out = tempfile::tempdir().expect("folder");
    let outcome = project(&face(5), out.path(), &["--num-steps", "60"]);
    let target = &outcome["targets"][0];
    assert!(mse(target, "reached") * 10.0 < mse(target, "start"), "{target}");
    for name in ["projected_w.npz", "target.png", "proj.png", "steps.gif", "loss.png", "project.json"] {
        assert!(out.path().join(name).is_file(), "{name}");
    }
    let rendered = out.path().join("again");
    let (network, latents) = (network(), out.path().join("projected_w.npz"));
    succeed(&["generate", "--network", text(&network), "--projected-w", text(&latents), "--outdir", text(&rendered)]);
    let open = |path: PathBuf| image::open(path).expect("an image").to_rgb8();
    let (again, shown) = (open(rendered.join("proj00.png")), open(out.path().join("proj.png")));
    let far = again.as_raw().iter().zip(shown.as_raw()).filter(|(a, b)| a.abs_diff(**b) > 1);
    assert_eq!(far.count(), 0, "the saved latents render the saved image, but for the two rules of rounding");
}

#[test]
fn w_plus_comes_closer_than_w_and_tuning_closer_still() {
    let out = tempfile::tempdir().expect("folder");
    // A face of the other network, which this one cannot render.
    let faces = out.path().join("faces");
    let tuned = demo().join("tuned.safetensors");
    succeed(&["generate", "--network", text(&tuned), "--seeds", "5", "--outdir", text(&faces)]);
    let target = faces.join("seed0005.png");
    let with = |name: &str, more: &[&str]| {
        let steps = ["--num-steps", "60", "--save-video", "off"];
        project(&target, &out.path().join(name), &[&steps, more].concat())["targets"][0].clone()
    };
    let (w, w_plus) = (with("w", &[]), with("w+", &["--space", "w+", "--tune-steps", "30"]));
    assert!(mse(&w_plus, "reached") < 0.9 * mse(&w, "reached"), "{w_plus} {w}");
    assert!(mse(&w_plus, "tuned") < 0.9 * mse(&w_plus, "reached"), "{w_plus}");
    assert!(!out.path().join("w/steps.gif").exists(), "no film was asked for");

    // The tuned generator renders the tuned image, and says where it comes from.
    let saved = out.path().join("w+/tuned.safetensors");
    let told: Value = serde_json::from_str(&succeed(&["inspect", "--json", text(&saved)])).expect("JSON");
    assert!(told.to_string().contains("pivotal tuning, 30 steps"), "{told}");
    assert!(out.path().join("w+/tuned.png").is_file());
}

#[test]
fn a_folder_becomes_a_folder_and_a_second_run_does_only_what_is_missing() {
    let out = tempfile::tempdir().expect("folder");
    let inputs = out.path().join("in");
    fs::create_dir(&inputs).expect("a folder");
    for seed in [5, 6, 7] {
        fs::copy(face(seed), inputs.join(format!("{seed}.png"))).expect("a copy");
    }
    fs::write(inputs.join("broken.png"), b"\x89PNG\r\n\x1a\n").expect("a file");
    let run = |more: &[&str]| {
        let outcome =
            project(&inputs, &out.path().join("out"), &[&["--num-steps", "6", "--batch", "2"], more].concat());
        let reused = outcome["targets"].as_array().expect("a list").iter().map(|target| target["reused"] == true);
        (reused.collect::<Vec<_>>(), outcome["skipped"].as_u64())
    };
    assert_eq!(run(&[]), (vec![false; 3], Some(1)));
    let latents = |name: &str| fs::read(out.path().join("out").join(name).join("projected_w.npz")).expect("latents");
    let first = latents("6");
    assert_eq!(run(&[]), (vec![true; 3], Some(1)));

    // As if the run had been stopped before it finished the second face.
    fs::remove_file(out.path().join("out/6/project.json")).expect("it was there");
    assert_eq!(run(&[]), (vec![true, false, true], Some(1)));
    assert!(latents("5") != first && latents("6").len() == first.len());
    assert_eq!(run(&["--seed", "4"]), (vec![false; 3], Some(1)), "other settings, other results");
    fs::copy(face(5), inputs.join("7.png")).expect("a copy");
    assert_eq!(run(&["--seed", "4"]), (vec![true, true, false], Some(1)), "another picture under the same name");
}

#[test]
fn the_same_plan_and_seed_give_the_same_bytes() {
    let out = tempfile::tempdir().expect("folder");
    let run = |name: &str| {
        let folder = out.path().join(name);
        project(&face(6), &folder, &["--num-steps", "8", "--tune-steps", "2", "--keep-noise"]);
        ["projected_w.npz", "proj.png", "steps.gif", "loss.png", "noise.npz", "tuned.safetensors", "tuned.png"]
            .map(|file| fs::read(folder.join(file)).expect(file))
    };
    assert!(run("a") == run("b"));
}

#[test]
fn an_early_end_takes_fewer_steps() {
    let out = tempfile::tempdir().expect("folder");
    let outcome = project(&face(6), out.path(), &["--num-steps", "300", "--patience", "10", "--save-video", "off"]);
    let steps = outcome["targets"][0]["steps"].as_u64().expect("a number");
    assert!((20..300).contains(&steps), "{steps}");
}

#[cfg(unix)]
#[test]
fn ctrl_c_leaves_the_w_of_the_target_under_way_and_the_same_command_goes_on() {
    let out = tempfile::tempdir().expect("folder");
    let (network, face, folder) = (network(), face(5), out.path().join("face"));
    let args = ["project", "--network", text(&network), "--target", text(&face), "--outdir", text(&folder)];
    let steps = ["--num-steps", "1000000", "--save-video", "off"];
    let output = interrupt_after("step 1 of 1000000", &[&args[..], &steps].concat());
    check_failed(&output, 1, &["stopped after 0 of 1 targets", "goes on from there", text(&folder)]);
    for name in ["projected_w.npz", "target.png", "proj.png"] {
        assert!(folder.join(name).is_file(), "{name}");
    }
    assert!(!folder.join("project.json").exists(), "it is not finished");
    let outcome = project(&face, &folder, &["--num-steps", "3", "--save-video", "off"]);
    assert_eq!(outcome["targets"][0]["reused"], false);
}

#[cfg(unix)]
#[test]
fn a_film_goes_through_ffmpeg_where_that_is_installed() {
    use std::os::unix::fs::PermissionsExt;
    let out = tempfile::tempdir().expect("folder");
    let bin = out.path().join("bin");
    fs::create_dir(&bin).expect("a folder");
    let film = |path: &std::ffi::OsStr, name: &str| {
        let (network, face, folder) = (network(), face(6), out.path().join(name));
        let mut command = Command::new(env!("CARGO_BIN_EXE_toonify"));
        command.args(["project", "--network", text(&network), "--target", text(&face), "--outdir", text(&folder)]);
        let output = command.args(["--num-steps", "4", "--save-video", "mp4"]).env("PATH", path).output();
        let output = output.expect("the binary runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        (folder, String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (folder, said) = film(bin.as_os_str(), "without");
    assert!(said.contains("ffmpeg is not installed") && folder.join("steps.gif").is_file(), "{said}");

    // Stands in for ffmpeg: keeps what it is fed, in the file that is named last.
    let script = "#!/bin/sh\n[ \"$1\" = -version ] && exit 0\nfor last in \"$@\"; do :; done\ncat > \"$last\"\n";
    fs::write(bin.join("ffmpeg"), script).expect("a script");
    fs::set_permissions(bin.join("ffmpeg"), fs::Permissions::from_mode(0o755)).expect("it can be run");
    let system = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths(std::iter::once(bin).chain(std::env::split_paths(&system))).expect("a search path");
    let (folder, _said) = film(&path, "with");
    let fed = fs::metadata(folder.join("proj.mp4")).expect("the film").len();
    assert_eq!(fed, 4 * 32 * 16 * 3, "four pictures of two images of 16 px");
}

#[test]
fn misuse_and_what_cannot_be_read_are_refused_in_words() {
    let out = tempfile::tempdir().expect("folder");
    let (network, face, folder) = (network(), face(5), out.path().join("never"));
    let with = |network: &Path, target: &Path, more: &[&'static str]| -> Vec<String> {
        let args = ["project", "--network", text(network), "--target", text(target), "--outdir", text(&folder)];
        args.iter().chain(more).map(|arg| (*arg).to_owned()).collect()
    };
    let check = |args: Vec<String>, code: i32, words: &[&str]| {
        fail(&args.iter().map(String::as_str).collect::<Vec<_>>(), code, words);
    };
    check(with(&network, &face, &["--perception", "vgg16"]), 2, &["--weights"]);
    check(with(&network, &face, &["--weights", "x"]), 2, &["--perception"]);
    check(with(&network, &face, &["--perception", "vgg"]), 2, &["vgg16"]);
    check(with(&network, &face, &["--num-steps", "0"]), 2, &["--num-steps"]);
    check(with(&network, &face, &["--space", "z"]), 2, &["w+"]);
    check(with(Path::new("no-such.pkl"), &face, &[]), 1, &["no-such.pkl"]);
    check(with(&network, Path::new("no-such.png"), &[]), 1, &["no-such.png"]);
    check(with(&network, &network, &[]), 1, &["base.safetensors"]);
    check(with(&network, &face, &["--perception", "discriminator"]), 1, &["no discriminator"]);
    check(with(&network, &face, &["--identity-model", "no/such.dat"]), 1, &["no/such.dat"]);
    let wrong = ["--perception", "squeezenet", "--weights"];
    check([with(&network, &face, &wrong), vec![text(&face).to_owned()]].concat(), 1, &["seed0005.png"]);
    check([with(&network, &face, &wrong), vec![text(&network).to_owned()]].concat(), 1, &["SqueezeNet"]);
    let empty = out.path().join("empty");
    fs::create_dir(&empty).expect("a folder");
    check(with(&network, &empty, &[]), 1, &["no pictures"]);
    assert!(!folder.exists(), "nothing is made for what cannot be done");
}

#[test]
fn a_real_crop_is_projected_onto_a_published_kind_of_checkpoint() {
    let Some(network) = beside("goldens/ckpt_r64_skip_resnet_map8/network.pkl") else { return };
    let Some(crop) = beside("goldens/align/astronaut_00.pil256.png") else { return };
    let out = tempfile::tempdir().expect("folder");
    let args = ["project", "--network", text(&network), "--target", text(&crop), "--outdir", text(out.path())];
    let printed = succeed(&[&args[..], &["--num-steps", "40", "--json"]].concat());
    let outcome: Value = serde_json::from_str(&printed).expect("JSON");
    let target = &outcome["targets"][0];
    assert_eq!(target["perception"], "the checkpoint's discriminator and pixels");
    let distance = |stage: &str| target[stage]["distance"].as_f64().expect("a number");
    assert!(distance("reached") < 0.8 * distance("start"), "{target}");
}

#[test]
fn a_person_is_measured_where_the_recognition_network_is_installed() {
    let named = std::env::var_os("TOONIFY_MODELS").map(PathBuf::from).unwrap_or_else(|| "/usr/share/dlib".into());
    let model = named.join("dlib_face_recognition_resnet_model_v1.dat");
    if !model.is_file() || support::landmark_model().is_none() {
        println!("not there, left out: {}", model.display());
        return;
    }
    let out = tempfile::tempdir().expect("folder");
    let photo = out.path().join("face.png");
    support::save(&support::portrait(), photo.clone());
    let more = ["--num-steps", "3", "--save-video", "off", "--identity-model", text(&model)];
    let outcome = project(&photo, &out.path().join("out"), &more);
    let person = outcome["targets"][0]["person"].as_f64().expect("a distance");
    assert!(person.is_finite() && person > 0.0, "{person}");
}

#[test]
fn a_conditional_network_needs_its_class() {
    let Some(network) = beside("goldens/ckpt_r32_cond5/network.pkl") else { return };
    let (out, face) = (tempfile::tempdir().expect("folder"), face(5));
    let args = ["project", "--network", text(&network), "--target", text(&face), "--outdir", text(out.path())];
    let steps = ["--num-steps", "3", "--save-video", "off"];
    fail(&[&args[..], &steps].concat(), 1, &["--class"]);
    fail(&[&args[..], &steps, &["--class", "5"]].concat(), 1, &["0 to 4"]);
    succeed(&[&args[..], &steps, &["--class", "4"]].concat());
}
