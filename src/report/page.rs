//! The page of a run.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::Value;

use crate::report::record::{Curve, RunRecord};
use crate::store::atomic;
use crate::store::page::escape;

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:75rem;padding:0 1rem;\
background:#fafaf8;color:#202124}figure{margin:0 0 1.5rem}img{max-width:100%;border-radius:4px}\
table{border-collapse:collapse}td,th{padding:.15rem 1rem .15rem 0;text-align:left;font-weight:400}th{color:#60646a}\
.curves{display:grid;grid-template-columns:repeat(auto-fit,minmax(26rem,1fr));gap:1rem}\
summary{cursor:pointer}h2{font-weight:500}";

/// What is said first, by its name in the statistics.
const SUMMARY: [(&str, &str); 7] = [
    ("Progress/kimg", "thousands of images"),
    ("Timing/total_sec", "seconds of training"),
    ("Timing/sec_per_kimg", "seconds for a thousand images"),
    ("Progress/augment", "probability of augmentation"),
    ("Loss/signs/real", "mean sign for real images"),
    ("Loss/G/loss", "loss of the generator"),
    ("Loss/D/loss", "loss of the discriminator"),
];

/// Writes the page; pictures are named relative to it.
pub(super) fn write(record: &RunRecord, (plots, film): (&[PathBuf], Option<&Path>), path: &Path) -> Result<()> {
    let title = escape(&record.name());
    let mut body = format!("<h1>{title}</h1>\n{}", summary(record));
    let picture = |source: &str, caption: &str| {
        let (source, caption) = (escape(source), escape(caption));
        format!("<figure><img src=\"{source}\" alt=\"{caption}\"><figcaption>{caption}</figcaption></figure>\n")
    };
    if let Some(film) = film {
        body += &picture(&relative(film, record), "the same latents at every snapshot");
    }
    if let Some((kimg, fakes)) = record.fakes.last_key_value() {
        let source = escape(&relative(fakes, record));
        let _ = writeln!(body, "<p>All of the grid at {kimg} kimg: <a href=\"{source}\">{source}</a></p>");
    }
    body += "<div class=\"curves\">\n";
    for plot in plots {
        body += &picture(&relative(plot, record), "");
    }
    body += "</div>\n";
    let _ = writeln!(body, "<details><summary>Options</summary><table>\n{}</table></details>", options(record));
    let page = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title><style>{STYLE}</style>\
         </head>\n<body>\n{body}</body></html>\n"
    );
    atomic::write(path, page.as_bytes())
}

fn relative(path: &Path, record: &RunRecord) -> String {
    let inner = path.strip_prefix(&record.folder).unwrap_or(path);
    inner.components().map(|part| part.as_os_str().to_string_lossy()).collect::<Vec<_>>().join("/")
}

/// The last numbers, and the best of each metric.
fn summary(record: &RunRecord) -> String {
    let row = |caption: &str, value: String| format!("<tr><th>{}</th><td>{value}</td></tr>\n", escape(caption));
    let last = |(name, caption): &(&str, &str)| Some(row(caption, short(record.curves.get(*name)?.last()?.1)));
    let mut rows: String = SUMMARY.iter().filter_map(last).collect();
    for (name, curve) in record.metrics.values().flatten() {
        if let (Some((kimg, value)), Some((best_kimg, best))) = (curve.last(), best(name, curve)) {
            rows += &row(name, format!("{} at {kimg} kimg; best {} at {best_kimg}", short(*value), short(best)));
        }
    }
    format!("<table>\n{rows}</table>\n")
}

/// The best point of a metric: more is better of precision, recall and the inception score, less of everything else.
fn best(name: &str, curve: &Curve) -> Option<(f64, f64)> {
    let more = name.ends_with("_precision") || name.ends_with("_recall") || name.starts_with("is");
    let rank = |value: f64| if more { -value } else { value };
    curve.iter().copied().min_by(|a, b| rank(a.1).total_cmp(&rank(b.1)))
}

/// Four digits.
fn short(value: f64) -> String {
    let digits = if value == 0.0 { 0 } else { (3.0 - value.abs().log10().floor()).clamp(0.0, 8.0) as usize };
    let text = format!("{value:.digits$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// Every option with its path, in a row.
fn options(record: &RunRecord) -> String {
    let mut rows = String::new();
    add_options(&mut rows, "", &record.options);
    rows
}

fn add_options(rows: &mut String, path: &str, value: &Value) {
    match value {
        Value::Object(map) => {
            for (name, value) in map {
                add_options(rows, &if path.is_empty() { name.clone() } else { format!("{path}.{name}") }, value);
            }
        }
        Value::Null if path.is_empty() => {}
        other => {
            let _ = writeln!(rows, "<tr><th>{}</th><td>{}</td></tr>", escape(path), escape(&other.to_string()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_is_the_least_but_for_precision_recall_and_inception_score() {
        let curve = vec![(0.0, 5.0), (4.0, 2.0), (8.0, 9.0)];
        assert_eq!(best("swd", &curve), Some((4.0, 2.0)));
        assert_eq!(best("fid50k_full", &curve), Some((4.0, 2.0)));
        for name in ["pr50k3_full_precision", "pr50k3_recall", "is50k_mean"] {
            assert_eq!(best(name, &curve), Some((8.0, 9.0)), "{name}");
        }
        assert_eq!(best("swd", &Vec::new()), None);
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!([1234.5678, 0.000123456, 0.5, 0.0, -2.0].map(short), ["1235", "0.0001235", "0.5", "0", "-2"]);
    }
}
