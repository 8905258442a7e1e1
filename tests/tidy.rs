//! Holds the rules of docs/ARCHITECTURE.md and docs/STYLE.md that neither the compiler nor clippy can hold.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Files over 500 lines that may stay so, with the reason.
const LONG_FILES: &[(&str, &str)] = &[];
/// Functions over 60 lines that may stay so (`file::function`), with the reason.
const LONG_FUNCTIONS: &[(&str, &str)] = &[];

/// The modules of the root package by layer; whatever is not named here is an error.
const FOUNDATIONS: &[&str] =
    &["pixels", "store", "sheet", "chart", "events", "render", "latents", "eyes", "plot", "statistics"];
const ACTS: &[&str] = &[
    "inspect",
    "convert",
    "generate",
    "style_mix",
    "interpolate",
    "blend",
    "grid",
    "align",
    "dataset",
    "project",
    "train",
    "export",
    "pairs",
    "metrics",
    "models",
    "neighbours",
];
const JOURNEYS: &[&str] = &["bench", "demo", "photo", "distill", "apply", "compare", "encoder", "report"];
const EDGES: &[&str] = &["main", "cli", "serve"];
/// What a journey or an edge may import although the layers alone would not allow it.
const EXTRA_EDGES: &[(&str, &str)] = &[("cli", "serve"), ("main", "cli"), ("apply", "photo"), ("compare", "photo")];

/// Files that may hold a loop over training steps.
const STEP_LOOPS: &[&str] = &["src/train/fit.rs", "src/project/search.rs"];

struct Source {
    /// Path from the repository root, with `/`.
    path: String,
    lines: Vec<String>,
}

fn sources(folders: &[&str]) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    for folder in folders {
        collect(root, &root.join(folder), &mut found);
    }
    assert!(!found.is_empty(), "no Rust files below {folders:?}");
    found
}

fn collect(root: &Path, folder: &Path, found: &mut Vec<Source>) {
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.expect("a readable folder").path();
        if path.is_dir() {
            collect(root, &path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).expect("UTF-8 source");
            let path = path.strip_prefix(root).expect("below the root").to_string_lossy().replace('\\', "/");
            found.push(Source { path, lines: text.lines().map(str::to_owned).collect() });
        }
    }
}

const LIBRARIES_AND_BINARY: &[&str] = &["src", "networks/src", "align/src", "verify/src"];
const EVERYTHING: &[&str] = &[
    "src",
    "networks/src",
    "align/src",
    "verify/src",
    "verify/tests",
    "tests",
    "networks/tests",
    "align/tests",
    "benches",
    "networks/benches",
    "networks/fuzz/fuzz_targets",
];

/// Code lines with their numbers, without comments.
fn code(source: &Source) -> impl Iterator<Item = (usize, &str)> {
    let lines = source.lines.iter().enumerate().map(|(i, line)| (i + 1, line.as_str()));
    lines.filter(|(_, line)| !line.trim_start().starts_with("//"))
}

/// Code lines in front of the file's own tests.
fn code_without_tests(source: &Source) -> impl Iterator<Item = (usize, &str)> {
    code(source).take_while(|(_, line)| *line != "#[cfg(test)]")
}

fn fail_if_any(rule: &str, mut faults: Vec<String>) {
    faults.sort();
    assert!(faults.is_empty(), "{rule}:\n  {}", faults.join("\n  "));
}

/// Every code line of `folders`, tests left out, that `is_fault` objects to, as `path:line: text`.
fn faulty_lines(folders: &[&str], is_fault: impl Fn(&Source, &str) -> bool) -> Vec<String> {
    let mut faults = Vec::new();
    for source in sources(folders) {
        let lines = code_without_tests(&source).filter(|(_, line)| is_fault(&source, line));
        faults.extend(lines.map(|(number, line)| format!("{}:{number}: {}", source.path, line.trim())));
    }
    faults
}

#[test]
fn every_file_opens_by_saying_what_it_is_for() {
    let opens = |source: &Source| source.lines.first().is_some_and(|line| line.starts_with("//! "));
    let faults = sources(EVERYTHING).into_iter().filter(|source| !opens(source)).map(|source| source.path);
    fail_if_any("a file must open with `//! ` and a sentence", faults.collect());
}

/// The module of the root package that a file belongs to: `src/store/atomic.rs` → `store`.
fn module_of(path: &str) -> &str {
    let inner = path.strip_prefix("src/").expect("a file of the root package");
    inner.split('/').next().expect("split gives one part").trim_end_matches(".rs")
}

fn layer(module: &str) -> Option<usize> {
    [FOUNDATIONS, ACTS, JOURNEYS, EDGES].iter().position(|layer| layer.contains(&module)).map(|i| i + 1)
}

/// The modules that a file names: `use crate::store::…`, `use crate::{pixels, store::…}`, `crate::pixels::…`.
fn imports(source: &Source) -> BTreeSet<String> {
    let text: String = code(source).map(|(_, line)| line.to_owned() + "\n").collect();
    let mut modules = BTreeSet::new();
    for root in ["crate::", "toonify::"] {
        for (start, _) in text.match_indices(root) {
            let before = text[..start].chars().next_back();
            if !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':') {
                modules.extend(heads(&text[start + root.len()..]));
            }
        }
    }
    modules
}

/// First path segments of what follows `crate::`: of the one path, or of each path in the braces.
fn heads(rest: &str) -> Vec<String> {
    let word = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let Some(group) = rest.strip_prefix('{') else { return vec![word(rest)] };
    let mut depth = 0;
    let mut starts = vec![group];
    for (i, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => starts.push(&group[i + 1..]),
            _ => {}
        }
    }
    starts.into_iter().map(|start| word(start.trim_start())).filter(|name| !name.is_empty()).collect()
}

/// Whether the module `from` may import the module `to`.
fn may_import(from: &str, to: &str) -> bool {
    match (layer(from), layer(to)) {
        _ if from == to || EXTRA_EDGES.contains(&(from, to)) => true,
        (Some(1), Some(1)) => true,
        (Some(upper), Some(lower)) => lower < upper,
        _ => false,
    }
}

#[test]
fn modules_import_downwards_only() {
    let mut faults = Vec::new();
    for source in sources(&["src"]).iter().filter(|source| source.path != "src/lib.rs") {
        let from = module_of(&source.path);
        let forbidden = imports(source).into_iter().filter(|to| !may_import(from, to));
        faults.extend(forbidden.map(|to| format!("{}: `{from}` must not import `{to}`", source.path)));
    }
    fail_if_any("docs/ARCHITECTURE.md lists the layers", faults);
}

#[test]
fn only_the_command_line_knows_clap() {
    let at_the_edge = |path: &str| path == "src/main.rs" || path.starts_with("src/cli/");
    let is_fault = |source: &Source, line: &str| line.contains("clap::") && !at_the_edge(&source.path);
    fail_if_any("flags stop at src/cli", faulty_lines(LIBRARIES_AND_BINARY, is_fault));
}

#[test]
fn only_the_command_line_prints() {
    let at_the_edge = |path: &str| path == "src/main.rs" || path.starts_with("src/cli/");
    let prints = |line: &str| ["print!(", "println!(", "stdout()", "stderr()"].iter().any(|call| line.contains(call));
    // The libraries are held by clippy's `print_stdout` and `print_stderr`.
    let is_fault = |source: &Source, line: &str| prints(line) && !at_the_edge(&source.path);
    fail_if_any("a workflow reports events, src/cli prints", faulty_lines(&["src"], is_fault));
}

#[test]
fn nothing_is_left_for_later() {
    let marks = ["dbg!", "todo!", "unimplemented!", "#[ignore"];
    let is_fault =
        |source: &Source, line: &str| source.path != "tests/tidy.rs" && marks.iter().any(|mark| line.contains(mark));
    fail_if_any("finish it or leave it out", faulty_lines(EVERYTHING, is_fault));
}

#[test]
fn there_is_one_training_loop() {
    let is_fault =
        |source: &Source, line: &str| line.contains("for step in") && !STEP_LOOPS.contains(&source.path.as_str());
    fail_if_any("use `train::fit`", faulty_lines(&["src"], is_fault));
}

/// Compares what is too long with the list of what may be: both sides must agree.
fn compare_with_list(rule: &str, too_long: BTreeSet<String>, list: &[(&str, &str)]) {
    let listed: BTreeSet<String> = list.iter().map(|(name, _)| name.to_string()).collect();
    let new = too_long.difference(&listed).map(|name| format!("{name} is too long"));
    let stale = listed.difference(&too_long).map(|name| format!("{name} is listed but no longer too long"));
    fail_if_any(rule, new.chain(stale).collect());
}

#[test]
fn files_stay_under_500_lines() {
    let long = sources(EVERYTHING).into_iter().filter(|source| source.lines.len() > 500);
    compare_with_list("split it, or list it with a reason", long.map(|source| source.path).collect(), LONG_FILES);
}

/// The functions of a file with their lengths. Formatted code closes a function at the indentation that it began with.
fn functions(source: &Source) -> Vec<(String, usize)> {
    let mut found = Vec::new();
    for (start, line) in source.lines.iter().enumerate() {
        let indent = line.len() - line.trim_start().len();
        let Some(name) = function_name(line.trim_start()) else { continue };
        let end = format!("{}}}", &line[..indent]);
        let one_line = line.ends_with('}') || line.ends_with(';');
        let length = if one_line { 0 } else { source.lines[start..].iter().take_while(|line| **line != end).count() };
        found.push((format!("{}::{name}", source.path), length + 1));
    }
    found
}

/// `pub(crate) unsafe fn name<…` → `name`.
fn function_name(line: &str) -> Option<&str> {
    let (before, after) = line.split_once("fn ")?;
    let known =
        |word: &str| ["pub", "const", "unsafe", "async", "extern", "\"C\""].contains(&word) || word.starts_with("pub(");
    let name = after.split(['(', '<']).next()?;
    (before.split_whitespace().all(known) && (before.is_empty() || before.ends_with(' '))).then_some(name)
}

#[test]
fn functions_stay_under_60_lines() {
    let all: Vec<(String, usize)> = sources(EVERYTHING).iter().flat_map(functions).collect();
    assert!(all.iter().any(|(name, _)| name == "tests/tidy.rs::functions"), "functions are not recognised");
    let long = all.into_iter().filter(|(_, length)| *length > 60).map(|(name, _)| name);
    compare_with_list("take it apart, or list it with a reason", long.collect(), LONG_FUNCTIONS);
}

#[test]
fn imports_are_recognised_in_every_spelling() {
    let check = |line: &str, expected: &[&str]| {
        let source = Source { path: "src/grid.rs".into(), lines: vec![line.into()] };
        assert_eq!(imports(&source).into_iter().collect::<Vec<_>>(), expected, "{line}");
    };
    check("use crate::store::atomic;", &["store"]);
    check("use crate::{pixels, store::{atomic, folder}, sheet};", &["pixels", "sheet", "store"]);
    check("    let image = crate::pixels::to_images(&x)?;", &["pixels"]);
    check("use toonify::cli;", &["cli"]);
    check("use toonify_networks::stylegan2::Layer;", &[]);
    check("// see crate::blend", &[]);
    assert!(may_import("blend", "store") && !may_import("blend", "grid") && !may_import("store", "blend"));
    assert!(may_import("cli", "blend") && !may_import("serve", "cli"));
}

/// Names under the `[…dependencies]` headings of a manifest, our own crates left out.
fn dependencies(manifest: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut listed = false;
    for line in manifest.lines() {
        if line.starts_with('[') {
            listed = line.ends_with("dependencies]");
        } else if let Some((name, _)) = line.split_once([' ', '.', '=']).filter(|_| listed) {
            names.insert(name.to_owned());
        }
    }
    names.retain(|name| !name.starts_with("toonify-") && !name.starts_with('#'));
    names
}

#[test]
fn every_dependency_has_a_reason() {
    let read = |name: &str| fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).expect(name);
    let manifests = ["Cargo.toml", "networks/Cargo.toml", "align/Cargo.toml", "verify/Cargo.toml"].map(read);
    let used: BTreeSet<String> = manifests.iter().flat_map(|manifest| dependencies(manifest)).collect();
    let page = read("docs/decisions/0010-dependencies.md");
    let rows = page.lines().filter_map(|line| line.strip_prefix("| ")?.split(" |").next());
    let explained: BTreeSet<String> = rows.flat_map(|row| row.split(", ")).map(str::to_owned).collect();
    let new = used.difference(&explained).map(|name| format!("`{name}` has no reason yet"));
    let unused = explained.difference(&used).filter(|name| *name != "crate");
    let stale = unused.map(|name| format!("`{name}` has a reason but is in no manifest"));
    fail_if_any("docs/decisions/0010-dependencies.md gives the reasons", new.chain(stale).collect());
}

/// The targets of the links in a Markdown document, addresses on the web left out.
fn local_links(markdown: &str) -> impl Iterator<Item = &str> {
    let ends = markdown.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next());
    ends.filter(|link| !link.is_empty() && !link.contains("://"))
}

#[test]
fn every_link_in_the_documents_leads_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut faults = Vec::new();
    for folder in ["", "docs", "docs/decisions"] {
        for entry in fs::read_dir(root.join(folder)).expect("a folder of documents") {
            let path = entry.expect("a readable folder").path();
            if path.extension().is_some_and(|extension| extension == "md") {
                let text = fs::read_to_string(&path).expect("UTF-8 text");
                let dead = local_links(&text).filter(|link| !path.with_file_name(link).exists());
                faults.extend(dead.map(|link| format!("{}: {link}", path.display())));
            }
        }
    }
    fail_if_any("write the document or drop the link", faults);
}
