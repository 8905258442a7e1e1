//! Runs the README: each `toonify` line in a fenced `sh` block is executed, in order, in one temporary folder.
//!
//! A block whose work takes hours is marked ```` ```sh short ````: it runs with the smaller numbers of [`SHORTER`].
//! Lines that begin with `make` must name a target of the Makefile.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn repository_file(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Marks a block whose work takes hours.
const SHORT: &str = "sh short";

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

/// What makes the work of hours one of seconds: the README's words, and what stands for them in this test.
const SHORTER: [(&str, &str); 4] = [
    ("--kimg 40", "--kimg 1 --grid 4x2 --metrics none"),
    ("snapshot-000040", "snapshot-000001"),
    ("--count 20000", "--count 24"),
    ("--preset small", "--preset small --size 64 --kimg 0.05"),
];

/// Lines of the blocks, comments and empty lines left out; long work made short.
fn tested_lines(markdown: &str) -> Vec<String> {
    let shorter = |line: String| SHORTER.iter().fold(line, |line, (long, short)| line.replace(long, short));
    let lines = shell_blocks(markdown).into_iter().flat_map(|block| {
        let short = block.info == SHORT;
        block.lines.into_iter().map(move |line| if short { shorter(line) } else { line })
    });
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

/// Runs a command line in `folder`.
fn run(line: &str, folder: &Path) {
    let mut shell = Command::new("sh");
    shell.args(["-eu", "-c", line]).current_dir(folder).env("PATH", path_with_toonify());
    let output = shell.output().expect("a shell");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "line failed ({}): {line}\n{said}", output.status);
}

/// The folder of characters that the README's reader has: some that the shipped generator made, enlarged.
fn make_characters(folder: &Path) {
    run("toonify generate --network characters64 --seeds 0-11 --trunc 0.6 --outdir small", folder);
    run("toonify dataset build --source small --dest characters --width 256 --height 256", folder);
}

#[test]
fn every_toonify_line_runs_in_order() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    make_characters(folder.path());
    let lines = tested_lines(&repository_file("README.md"));
    let commands: Vec<_> = lines.iter().filter(|line| line.starts_with("toonify ")).collect();
    assert!(!commands.is_empty(), "the README shows no command that runs");
    for line in commands {
        run(line, folder.path());
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
fn every_line_is_run_or_names_a_target() {
    let readme = repository_file("README.md");
    for line in tested_lines(&readme) {
        let known = line.starts_with("toonify ") || line.starts_with("make ");
        assert!(known, "no test runs `{line}`");
    }
    for block in shell_blocks(&readme).iter().filter(|block| block.info != "sh") {
        assert_eq!(block.info, SHORT, "a block that no test runs: {:?}", block.lines);
    }
}

#[test]
fn every_number_that_is_made_smaller_is_in_a_block_of_long_work() {
    let readme = repository_file("README.md");
    let long: Vec<_> = shell_blocks(&readme).into_iter().filter(|block| block.info == SHORT).collect();
    for (number, _) in SHORTER {
        let used = long.iter().flat_map(|block| &block.lines).any(|line| line.contains(number));
        assert!(used, "the README has no `{number}` any more");
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
        "```sh\n# see\ntoonify a \\\n  --kimg 40\n```\ntext\n```rust\nmake x\n```\n```sh short\nb --kimg 40\n```\n";
    assert_eq!(tested_lines(markdown), ["toonify a --kimg 40", "b --kimg 1 --grid 4x2 --metrics none"]);
    assert_eq!(shell_blocks(markdown).len(), 2);
}
