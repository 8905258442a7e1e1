//! Runs the README: each `toonify` line in a fenced `sh` block is executed, in order, in one temporary folder.
//!
//! A block that cannot run here is marked ```` ```sh no-test ```` and opens with a comment that says why.
//! Lines that begin with `make` must name a target of the Makefile.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn repository_file(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A fenced block: what stands behind the fence, and its lines.
struct Block {
    info: String,
    lines: Vec<String>,
}

/// The blocks of `markdown` whose language is `sh`, continued lines joined.
fn shell_blocks(markdown: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut open = false;
    for line in markdown.lines() {
        match line.strip_prefix("```") {
            Some(_) if open => open = false,
            Some(info) => {
                open = true;
                blocks.push(Block { info: info.trim().to_owned(), lines: Vec::new() });
            }
            None if open => {
                let lines = &mut blocks.last_mut().expect("an open block").lines;
                match lines.last_mut().filter(|last| last.ends_with('\\')) {
                    Some(last) => {
                        last.pop();
                        last.push_str(line.trim_start());
                    }
                    None => lines.push(line.to_owned()),
                }
            }
            None => {}
        }
    }
    blocks.retain(|block| block.info.split_whitespace().next() == Some("sh"));
    blocks
}

/// Lines of the blocks that are meant to run, comments and empty lines left out.
fn tested_lines(markdown: &str) -> Vec<String> {
    let tested = shell_blocks(markdown).into_iter().filter(|block| block.info == "sh");
    let lines = tested.flat_map(|block| block.lines);
    lines.filter(|line| !line.trim().is_empty() && !line.starts_with('#')).collect()
}

fn makefile_targets() -> Vec<String> {
    let makefile = repository_file("Makefile");
    let rules = makefile.lines().filter(|line| line.starts_with(|c: char| c.is_ascii_lowercase()));
    rules.filter_map(|line| line.split_once(':')).map(|(target, _)| target.to_owned()).collect()
}

/// A search path on which `toonify` is the binary under test.
fn path_with_toonify() -> std::ffi::OsString {
    let binary = PathBuf::from(env!("CARGO_BIN_EXE_toonify"));
    let folder = binary.parent().expect("a binary lies in a folder").to_owned();
    let others = std::env::var_os("PATH").unwrap_or_default();
    std::env::join_paths(std::iter::once(folder).chain(std::env::split_paths(&others))).expect("a search path")
}

#[test]
fn every_toonify_line_runs_in_order() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let lines = tested_lines(&repository_file("README.md"));
    let commands: Vec<_> = lines.iter().filter(|line| line.starts_with("toonify ")).collect();
    assert!(!commands.is_empty(), "the README shows no command that runs");
    for line in commands {
        let mut shell = Command::new("sh");
        shell.args(["-eu", "-c", line]).current_dir(&folder).env("PATH", path_with_toonify());
        let output = shell.output().expect("a shell");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "README line failed ({}): {line}\n{said}", output.status);
    }
}

#[test]
fn every_make_line_names_a_target() {
    let targets = makefile_targets();
    for line in tested_lines(&repository_file("README.md")).iter().filter(|line| line.starts_with("make ")) {
        for target in line.split('#').next().expect("split gives one part").split_whitespace().skip(1) {
            assert!(targets.iter().any(|known| known == target), "`{line}`: the Makefile has no target `{target}`");
        }
    }
}

#[test]
fn every_other_line_is_marked_as_not_run_with_a_reason() {
    let readme = repository_file("README.md");
    for line in tested_lines(&readme) {
        let known = line.starts_with("toonify ") || line.starts_with("make ");
        assert!(known, "no test runs `{line}`: mark its block ```sh no-test and open it with `# why`");
    }
    for block in shell_blocks(&readme).iter().filter(|block| block.info != "sh") {
        assert_eq!(block.info, "sh no-test");
        let reason = block.lines.first().is_some_and(|line| line.starts_with("# "));
        assert!(reason, "a `no-test` block must open with a comment that says why: {:?}", block.lines);
    }
}

#[test]
fn continuous_integration_runs_the_readmes_test_command() {
    let readme = tested_lines(&repository_file("README.md"));
    let test = readme.iter().find(|line| line.starts_with("make test")).expect("the README says how to run the tests");
    let command = test.split('#').next().expect("split gives one part").trim_end();
    assert!(repository_file(".ci/run").lines().any(|line| line == command), "`.ci/run` does not call `{command}`");
}

#[test]
fn blocks_are_found_and_continued_lines_joined() {
    let markdown =
        "```sh\n# see\ntoonify a \\\n  --b\n```\ntext\n```rust\nmake x\n```\n```sh no-test\n# why\ncd x\n```\n";
    assert_eq!(tested_lines(markdown), ["toonify a --b"]);
    assert_eq!(shell_blocks(markdown).len(), 2);
}
