//! Short names for files, each different from the others.

use std::path::{Component, Path, PathBuf};

/// The end of each path, without the ending of the file: as many parts as it takes to tell all of them apart. Snapshots of
/// two runs are called alike, their folders are not.
pub(super) fn shortest(paths: &[PathBuf]) -> Vec<String> {
    let longest = paths.iter().map(|path| path.components().count()).max().unwrap_or(1);
    let named = |parts: usize| -> Vec<String> { paths.iter().map(|path| end(path, parts)).collect() };
    (1..longest).map(named).find(|names| are_different(names)).unwrap_or_else(|| named(longest))
}

fn end(path: &Path, parts: usize) -> String {
    let whole = path.with_extension("");
    let plain = whole.components().filter(|part| matches!(part, Component::Normal(_) | Component::ParentDir));
    let mut last: Vec<String> =
        plain.rev().take(parts).map(|part| part.as_os_str().to_string_lossy().into_owned()).collect();
    last.reverse();
    last.join("/")
}

fn are_different(names: &[String]) -> bool {
    names.iter().enumerate().all(|(index, name)| !names[..index].contains(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(paths: &[&str], expected: &[&str]) {
        assert_eq!(shortest(&paths.iter().map(PathBuf::from).collect::<Vec<_>>()), expected);
    }

    #[test]
    fn names_are_as_long_as_it_takes_to_tell_them_apart() {
        check(&["models/k20.pkl"], &["k20"]);
        check(&["runs/k20.pkl", "runs/k40.pkl"], &["k20", "k40"]);
        check(&["/r/a/n-40.safetensors", "/r/b/n-40.safetensors"], &["a/n-40", "b/n-40"]);
        check(&["../n.pkl", "n.pkl"], &["../n", "n"]);
        check(&["n.pkl", "n.pkl"], &["n", "n"]);
    }
}
