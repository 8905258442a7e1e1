//! HTML pages: one file, no script, nothing fetched from elsewhere.

use std::path::Path;

use anyhow::Result;

use crate::store::atomic;

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;margin:2rem;background:#fafaf8;color:#202124}\
table{border-collapse:separate;border-spacing:6px}th,td{font-weight:400;color:#60646a}\
img{display:block;width:min(256px,14vw);image-rendering:auto;border-radius:4px}td img:hover{outline:3px solid #8ab4f8}\
img.figure{width:auto;max-width:100%}";

/// One picture of a table.
#[derive(Clone, Debug, Default)]
pub struct Cell {
    /// Its address relative to the page.
    pub source: String,
    /// What stands under it; may be empty.
    pub note: String,
}

/// Writes a page with a table of pictures, and `figures` of their own, addresses too, below it.
///
/// # Errors
/// When the file cannot be written; the message names it.
pub fn write_table(
    path: &Path,
    title: &str,
    (columns, rows, figures): (&[String], &[String], &[&str]),
    cell_at: impl Fn(usize, usize) -> Cell,
) -> Result<()> {
    let head: String = columns.iter().map(|caption| format!("<th>{}</th>", escape(caption))).collect();
    let mut body = format!("<tr><th></th>{head}</tr>\n");
    for (row, caption) in rows.iter().enumerate() {
        let cell = |(column, above): (usize, &String)| {
            let Cell { source, note } = cell_at(row, column);
            let (source, note) = (escape(&source), escape(&note));
            let alt = escape(&format!("{caption}, {above}"));
            format!("<td><a href=\"{source}\"><img src=\"{source}\" alt=\"{alt}\" title=\"{alt}\"></a>{note}</td>")
        };
        let cells: String = columns.iter().enumerate().map(cell).collect();
        body.push_str(&format!("<tr><th>{}</th>{cells}</tr>\n", escape(caption)));
    }
    let figure = |source: &&str| format!("<p><img class=\"figure\" src=\"{0}\" alt=\"{0}\"></p>\n", escape(source));
    let figures: String = figures.iter().map(figure).collect();
    let title = escape(title);
    let page = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title><style>{STYLE}</style>\
         </head>\n<body><h1>{title}</h1>\n<table>\n{body}</table>\n{figures}</body></html>\n"
    );
    atomic::write(path, page.as_bytes())
}

/// Text that is safe between tags and in attributes.
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn captions_cannot_leave_their_place() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("page.html");
        let captions = ["<b>&\"".to_owned()];
        write_table(&path, "a < b", (&captions, &captions, &["plot.png"]), |row, column| Cell {
            source: format!("{row}-{column}.png"),
            note: "<i>1".to_owned(),
        })
        .expect("a page");
        let page = std::fs::read_to_string(&path).expect("the page");
        assert!(page.contains("&lt;b&gt;&amp;&quot;") && page.contains("0-0.png") && !page.contains("<b>"));
        assert!(page.contains("src=\"plot.png\""), "{page}");
        assert!(page.contains("&lt;i&gt;1") && !page.contains("<i>"));
    }
}
