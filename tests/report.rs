//! `toonify report`: from the files of a run to curves, a page and a film.

use std::fs;
use std::path::Path;

use image::{AnimationDecoder, Rgb, RgbImage};
use serde_json::json;
use toonify::events::{Recording, Silent};
use toonify::report;

/// A folder as a training of four ticks leaves it.
fn make_run(folder: &Path) {
    let mut lines = String::new();
    for tick in 0..4 {
        let one = |value: f64| json!({ "num": 1, "mean": value, "std": 0.0 });
        let line = json!({
            "Progress/kimg": one(f64::from(tick) * 4.0),
            "Progress/augment": one(f64::from(tick) * 0.01),
            "Loss/G/loss": one(1.0 + f64::from(tick)),
            "Loss/D/loss": one(0.5),
            "Loss/signs/real": one(0.25),
            "Loss/signs/fake": one(-0.25),
            "Loss/r1_penalty": one(0.001),
            "Timing/sec_per_kimg": one(60.0),
            "timestamp": 1.7e9,
        });
        lines += &format!("{line}\n");
        // A grid of four by two images of 16 px.
        let grey = Rgb([60 * tick as u8; 3]);
        RgbImage::from_pixel(64, 32, grey).save(folder.join(format!("fakes{:06}.png", 4 * tick))).expect("a picture");
    }
    fs::write(folder.join("stats.jsonl"), lines).expect("a file");
    let metric = |swd: f64, kimg: u32| {
        let snapshot = format!("network-snapshot-{kimg:06}.safetensors");
        format!("{}\n", json!({ "results": { "swd": swd, "swd_16px": 14.0 }, "snapshot_pkl": snapshot }))
    };
    fs::write(folder.join("metric-swd.jsonl"), metric(10.25, 8) + &metric(12.5, 12)).expect("a file");
    let options = json!({ "generator": { "resolution": 16 }, "data": { "path": "<game>.zip" } });
    fs::write(folder.join("training_options.json"), options.to_string()).expect("a file");
}

fn frames(gif: &Path) -> Vec<RgbImage> {
    let file = std::io::BufReader::new(fs::File::open(gif).expect("a film"));
    let decoder = image::codecs::gif::GifDecoder::new(file).expect("a GIF");
    let frames = decoder.into_frames().collect_frames().expect("whole frames");
    frames.into_iter().map(|frame| image::DynamicImage::from(frame.into_buffer()).into_rgb8()).collect()
}

#[test]
fn a_run_becomes_curves_a_page_and_a_film() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    make_run(folder.path());
    let mut events = Recording::default();
    let reported = report::run(folder.path(), &mut events).expect("a report");
    let names: Vec<_> =
        reported.plots.iter().map(|path| path.file_name().expect("a name").to_str().expect("UTF-8")).collect();
    assert_eq!(names, ["losses.png", "signs.png", "p.png", "regularisers.png", "speed.png", "metric-swd.png"]);
    for plot in &reported.plots {
        let drawn = image::open(plot).expect("a picture").into_rgb8();
        assert!(drawn.pixels().any(|pixel| pixel.0 == [26, 95, 180]), "{} has a line", plot.display());
    }
    let page = fs::read_to_string(&reported.page).expect("the page");
    for part in [
        "report/losses.png",
        "report/timelapse.gif",
        "fakes000012.png",
        "12.5 at 12 kimg; best 10.25 at 8",
        "&lt;game&gt;.zip",
    ] {
        assert!(page.contains(part), "the page lacks {part}");
    }
    assert_eq!(events.saved().count(), 8);
    // From dark to light, four pictures of the same cells.
    let film = frames(&reported.film.expect("a film"));
    let brightness: Vec<u8> = film.iter().map(|frame| frame.get_pixel(3, 3).0[0]).collect();
    assert_eq!(film.len(), 4);
    assert!(brightness.windows(2).all(|pair| pair[0] < pair[1]), "{brightness:?}");
}

#[test]
fn a_report_grows_with_its_run() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    make_run(folder.path());
    let first = report::run(folder.path(), &mut Silent).expect("a report").film.expect("a film");
    let kept = folder.path().join("report/frames/fakes000004.png");
    let before = fs::metadata(&kept).expect("a small picture").modified().expect("a time");
    RgbImage::from_pixel(64, 32, Rgb([255; 3])).save(folder.path().join("fakes000016.png")).expect("a picture");
    report::run(folder.path(), &mut Silent).expect("a report");
    assert_eq!(frames(&first).len(), 5);
    let after = fs::metadata(&kept).expect("a small picture").modified().expect("a time");
    assert_eq!(before, after, "small pictures are made once");
}
