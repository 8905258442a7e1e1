//! What tests of the command line have in common: running it, and faces that are drawn, not photographed.
#![allow(dead_code, reason = "each test file uses its own part of it")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use image::{Rgb, RgbImage};

pub mod tiny;

/// Debian's landmark model.
pub const LANDMARK_MODEL: &str = "/usr/share/dlib/shape_predictor_68_face_landmarks.dat";

/// Runs the command line.
pub fn toonify(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_toonify")).args(args).output().expect("the binary runs")
}

/// What the command prints; it has to end well.
pub fn succeed(args: &[&str]) -> String {
    let output = toonify(args);
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// The command ends with `code` and an error that contains every one of `words`; nothing panics.
pub fn fail(args: &[&str], code: i32, words: &[&str]) -> Output {
    let output = toonify(args);
    check_failed(&output, code, words);
    output
}

/// It ended with `code` and an error that contains every one of `words`, without a panic.
pub fn check_failed(output: &Output, code: i32, words: &[&str]) {
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{error}");
    assert!(!error.contains("panicked"), "{error}");
    for word in words {
        assert!(error.contains(word), "does not say `{word}`: {error}");
    }
}

/// A path as an argument.
pub fn text(path: &Path) -> &str {
    path.to_str().expect("temporary folders have UTF-8 names")
}

/// What lies beside the repository, if it does.
pub fn beside(name: &str) -> Option<PathBuf> {
    there(Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared").join(name))
}

/// Debian's landmark model, if it is installed.
pub fn landmark_model() -> Option<PathBuf> {
    there(LANDMARK_MODEL.into())
}

fn there(path: PathBuf) -> Option<PathBuf> {
    if !path.exists() {
        println!("not there, left out: {}", path.display());
        return None;
    }
    Some(path)
}

/// All files below `folder`, with `/`, sorted.
pub fn files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(&next).into_iter().flatten() {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push(path.strip_prefix(folder).expect("below it").to_str().expect("UTF-8").to_owned());
            }
        }
    }
    found.sort();
    found
}

/// Writes a picture and the folders above it.
pub fn save(picture: &RgbImage, path: PathBuf) {
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
    picture.save(path).expect("a picture can be written");
}

/// A photo with one face that dlib finds.
pub fn portrait() -> RgbImage {
    drawn([220, 240], &[([110.0, 120.0], 0.8)])
}

/// A backdrop with a face at each centre, `scale` 1 being 160 px from chin to hair.
pub fn drawn(size: [u32; 2], faces: &[([f64; 2], f64)]) -> RgbImage {
    let mut photo = RgbImage::from_pixel(size[0], size[1], Rgb([150, 165, 180]));
    for &(centre, scale) in faces {
        draw_face(&mut photo, centre, scale);
    }
    photo
}

fn draw_face(photo: &mut RgbImage, centre: [f64; 2], scale: f64) {
    let mut ellipse = |at: [f64; 2], radii: [f64; 2], colour: [u8; 3], softness: f64| {
        for (x, y, pixel) in photo.enumerate_pixels_mut() {
            let dx = (f64::from(x) - centre[0] - at[0] * scale) / (radii[0] * scale);
            let dy = (f64::from(y) - centre[1] - at[1] * scale) / (radii[1] * scale);
            let share = ((1.0 + softness - dx.hypot(dy)) / (2.0 * softness)).clamp(0.0, 1.0);
            for (value, target) in pixel.0.iter_mut().zip(colour) {
                *value = (f64::from(*value) * (1.0 - share) + f64::from(target) * share).round() as u8;
            }
        }
    };
    ellipse([0.0, -10.0], [72.0, 95.0], [60, 45, 35], 0.06); // hair
    ellipse([0.0, 5.0], [60.0, 80.0], [215, 170, 145], 0.06); // skin
    for side in [-1.0, 1.0] {
        ellipse([side * 25.0, -10.0], [16.0, 10.0], [165, 120, 100], 0.5); // socket
        ellipse([side * 25.0, -9.0], [11.0, 5.5], [245, 245, 245], 0.06);
        ellipse([side * 25.0, -9.0], [5.0, 5.0], [40, 30, 25], 0.06);
        ellipse([side * 25.0, -25.0], [17.0, 4.0], [70, 50, 40], 0.3); // brow
        ellipse([side * 8.0, 24.0], [4.0, 3.0], [120, 75, 60], 0.4); // nostril
    }
    ellipse([0.0, 10.0], [5.0, 18.0], [228, 185, 160], 0.6); // nose
    ellipse([0.0, 22.0], [12.0, 6.0], [195, 145, 120], 0.5);
    ellipse([0.0, 47.0], [24.0, 8.0], [165, 75, 75], 0.2); // lips
    ellipse([0.0, 46.0], [22.0, 2.0], [90, 40, 40], 0.3);
}

/// Runs a command, sends it Ctrl-C once it has said `words`, and gives what it said in all.
#[cfg(unix)]
pub fn interrupt_after(words: &str, args: &[&str]) -> Output {
    use std::io::{BufRead, BufReader, Read};
    use std::process::Stdio;

    let mut command = Command::new(env!("CARGO_BIN_EXE_toonify"));
    let mut child = command.args(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary runs");
    let mut stderr = BufReader::new(child.stderr.take().expect("it is piped"));
    let mut said = String::new();
    while !said.contains(words) {
        assert!(stderr.read_line(&mut said).expect("UTF-8") > 0, "it ended without saying `{words}`: {said}");
    }
    assert!(signal(&child, "INT"), "it ended too early: {said}");
    stderr.read_to_string(&mut said).expect("UTF-8");
    let mut output = child.wait_with_output().expect("it ends");
    output.stderr = said.into_bytes();
    output
}

/// Sends a signal to a running command; false when it has ended already.
#[cfg(unix)]
pub fn signal(child: &std::process::Child, name: &str) -> bool {
    // The shell's own `kill`: the program of that name is not on every machine.
    let script = format!("kill -{name} {}", child.id());
    Command::new("sh").args(["-c", &script]).status().expect("there is a shell").success()
}
