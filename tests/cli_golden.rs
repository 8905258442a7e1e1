//! The commands give the published tools' files: same names, at least 99.9 % of the bytes equal, none off by more than 1.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The published tools' inputs and outputs, beside the repository.
fn goldens() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/goldens");
    if !folder.is_dir() {
        println!("not there, left out: {}", folder.display());
        return None;
    }
    Some(folder)
}

fn toonify(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_toonify")).args(args).output().expect("the binary runs")
}

/// Runs a command on a golden checkpoint and compares every image that the published tool wrote.
fn check(checkpoint: &str, published: &str, command: &str, args: &[&str]) {
    let Some(goldens) = goldens() else { return };
    let out = tempfile::tempdir().expect("a temporary folder");
    let network = goldens.join(checkpoint);
    let mut all = vec![command, "--network", network.to_str().expect("UTF-8"), "--outdir"];
    all.push(out.path().to_str().expect("UTF-8"));
    all.extend(args);
    let output = toonify(&all);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    let expected = std::fs::read_dir(goldens.join("cli_tools").join(published)).expect("the published folder");
    let mut names: Vec<_> = expected.map(|entry| entry.expect("an entry").path()).collect();
    names.sort();
    assert!(!names.is_empty());
    for path in names {
        let name = path.file_name().expect("a name");
        compare(&path, &out.path().join(name));
    }
}

fn compare(expected: &Path, found: &Path) {
    let open = |path: &Path| image::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).to_rgb8();
    let (a, b) = (open(expected), open(found));
    assert_eq!(a.dimensions(), b.dimensions(), "{}", expected.display());
    let off = a.as_raw().iter().zip(b.as_raw()).filter(|(a, b)| a != b).count();
    let far = a.as_raw().iter().zip(b.as_raw()).filter(|(a, b)| a.abs_diff(**b) > 1).count();
    assert_eq!(far, 0, "{}: {far} bytes are off by more than 1", expected.display());
    assert!(off * 1000 <= a.as_raw().len(), "{}: {off} of {} bytes differ", expected.display(), a.as_raw().len());
}

#[test]
fn generate_renders_the_published_images_of_seeds() {
    check("ckpt_r64_skip_resnet_map8/network.pkl", "gen", "generate", &["--seeds", "3-5", "--trunc", "0.7"]);
}

#[test]
fn generate_renders_the_published_images_of_a_class() {
    check("ckpt_r32_cond5/network.pkl", "gen_cond", "generate", &["--seeds", "1,2", "--class", "3"]);
}

#[test]
fn generate_renders_the_published_images_of_projected_latents() {
    let Some(goldens) = goldens() else { return };
    let latents = goldens.join("cli_tools/projected_w.npz");
    let args = ["--projected-w", latents.to_str().expect("UTF-8")];
    check("ckpt_r64_skip_resnet_map8/network.pkl", "gen_projected", "generate", &args);
}

#[test]
fn style_mix_renders_the_published_pairs_and_grid() {
    let args = ["--rows", "1,2", "--cols", "3,4", "--styles", "0-3", "--trunc", "0.8"];
    check("ckpt_r64_skip_resnet_map8/network.pkl", "mix", "style-mix", &args);
}
