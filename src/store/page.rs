//! HTML pages: one file, no script, nothing fetched from elsewhere.

use std::path::Path;

use anyhow::Result;

use crate::store::atomic;

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;margin:2rem;background:#fafaf8;color:#202124}\
table{border-collapse:separate;border-spacing:6px}th,td{font-weight:400;color:#60646a}\
img{display:block;width:min(256px,14vw);image-rendering:auto;border-radius:4px}td img:hover{outline:3px solid #8ab4f8}\
img.figure{width:auto;max-width:100%}.scenes{display:flex;flex-wrap:wrap;gap:1rem}\
img.scene{width:auto;min-width:min(256px,100%);max-width:min(100%,800px);max-height:512px}";

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
    write_body(path, title, &format!("<table>\n{body}</table>\n{figures}"))
}

/// A part of a story: some pictures under a headline.
#[derive(Clone, Debug, Default)]
pub struct Chapter {
    /// The headline.
    pub title: String,
    /// What is to be seen.
    pub text: String,
    /// Addresses of its pictures relative to the page.
    pub sources: Vec<String>,
}

/// Writes a page that goes through `chapters` from top to bottom.
///
/// # Errors
/// When the file cannot be written; the message names it.
pub fn write_story(path: &Path, title: &str, chapters: &[Chapter]) -> Result<()> {
    let chapter = |Chapter { title, text, sources }: &Chapter| {
        let (title, text) = (escape(title), escape(text));
        let picture = |source: &String| {
            let source = escape(source);
            format!("<a href=\"{source}\"><img class=\"scene\" src=\"{source}\" alt=\"{title}\"></a>\n")
        };
        let pictures: String = sources.iter().map(picture).collect();
        format!("<h2>{title}</h2>\n<p>{text}</p>\n<p class=\"scenes\">{pictures}</p>\n")
    };
    write_body(path, title, &chapters.iter().map(chapter).collect::<String>())
}

fn write_body(path: &Path, title: &str, body: &str) -> Result<()> {
    let title = escape(title);
    let page = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title><style>{STYLE}</style>\
         </head>\n<body><h1>{title}</h1>\n{body}</body></html>\n"
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

    #[test]
    fn a_story_shows_its_pictures_in_order() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("page.html");
        let chapter = |title: &str, source: &str| Chapter {
            title: title.to_owned(),
            text: "<b>".to_owned(),
            sources: vec![source.to_owned()],
        };
        write_story(&path, "two", &[chapter("first", "a.png"), chapter("second", "b.png")]).expect("a page");
        let page = std::fs::read_to_string(&path).expect("the page");
        let place = |text: &str| page.find(text).unwrap_or_else(|| panic!("{text} is not in {page}"));
        assert!(place("first") < place("src=\"a.png\"") && place("src=\"a.png\"") < place("second"));
        assert!(place("second") < place("src=\"b.png\"") && !page.contains("<b>"));
    }
}
