//! The curves of a run as pictures.

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::chart::{Chart, Line, Scale};
use crate::report::record::{Curve, RunRecord};
use crate::store::picture;

/// A chart of several curves.
struct Plot {
    file_name: &'static str,
    title: &'static str,
    scale: Scale,
    /// Names in the statistics, and in the chart.
    curves: &'static [(&'static str, &'static str)],
}

const PLOTS: [Plot; 6] = [
    Plot {
        file_name: "losses.png",
        title: "Losses: neither should run away",
        scale: Scale::Linear,
        curves: &[("Loss/G/loss", "generator"), ("Loss/D/loss", "discriminator")],
    },
    Plot {
        file_name: "signs.png",
        title: "Mean sign of the discriminator's answers: 0 is unsure, 1 sure that an image is real",
        scale: Scale::Linear,
        curves: &[("Loss/signs/real", "real images"), ("Loss/signs/fake", "generated images")],
    },
    Plot {
        file_name: "scores.png",
        title: "Mean answer of the discriminator",
        scale: Scale::Linear,
        curves: &[("Loss/scores/real", "real images"), ("Loss/scores/fake", "generated images")],
    },
    Plot {
        file_name: "p.png",
        title: "Probability of augmentation: above 0.8 augmentations begin to show in generated images",
        scale: Scale::Linear,
        curves: &[("Progress/augment", "p")],
    },
    Plot {
        file_name: "regularisers.png",
        title: "Regularisers",
        scale: Scale::Logarithmic,
        curves: &[("Loss/r1_penalty", "R1"), ("Loss/pl_penalty", "path length")],
    },
    Plot {
        file_name: "speed.png",
        title: "Seconds for a thousand images",
        scale: Scale::Linear,
        curves: &[("Timing/sec_per_kimg", "s/kimg")],
    },
];

/// Draws what there is to draw into `folder`: fixed charts, then one for each metric.
pub(super) fn write(record: &RunRecord, folder: &Path) -> Result<Vec<PathBuf>> {
    let mut written = Vec::new();
    for plot in &PLOTS {
        let lines = plot.curves.iter().filter_map(|(name, shown)| Some(line(shown, record.curves.get(*name)?)));
        let chart = chart(plot.title, plot.scale, lines.collect());
        written.extend(draw(&chart, folder.join(plot.file_name))?);
    }
    for (name, curves) in &record.metrics {
        let lines = curves.iter().map(|(name, curve)| line(name, curve));
        let chart = chart(name, Scale::Linear, lines.collect());
        written.extend(draw(&chart, folder.join(format!("metric-{}.png", file_part(name))))?);
    }
    Ok(written)
}

fn line(name: &str, curve: &Curve) -> Line {
    Line { name: name.to_owned(), points: curve.clone() }
}

fn chart(title: &str, scale: Scale, lines: Vec<Line>) -> Chart {
    Chart { title: title.to_owned(), x_caption: "thousands of images".to_owned(), scale, lines }
}

/// Nothing where there is nothing to show.
fn draw(chart: &Chart, path: PathBuf) -> Result<Option<PathBuf>> {
    if !chart.can_be_shown() {
        return Ok(None);
    }
    picture::write(&path, &chart.render()?.into())?;
    Ok(Some(path))
}

/// A name from a file, as part of another file's name.
fn file_part(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' || c == '-' { c } else { '_' }).collect()
}
