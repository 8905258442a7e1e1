//! Photos' names to the names of their faces: the photo's own without its extension, never the same for two photos.

use std::collections::HashSet;
use std::path::Path;

use super::sources::slashed;

/// Gives each photo the stem of its faces' files, folders kept: `class_1/anna.jpg` → `class_1/anna`.
///
/// A photo keeps the stem that `known` remembers for its place in the list. Of photos that differ in their extension only,
/// the first gets the plain stem, the others carry their extension too: `anna`, `anna-png`.
pub fn stems(photos: &[&str], known: impl Fn(usize) -> Option<String>) -> Vec<String> {
    let remembered: Vec<Option<String>> = (0..photos.len()).map(known).collect();
    let mut taken: HashSet<String> = remembered.iter().flatten().map(|stem| stem.to_lowercase()).collect();
    let mut give = |photo: &str| {
        let free = candidates(photo).find(|stem| taken.insert(stem.to_lowercase()));
        free.expect("the candidates never end")
    };
    photos.iter().zip(remembered).map(|(photo, stem)| stem.unwrap_or_else(|| give(photo))).collect()
}

/// `a/b`, `a/b-jpg`, `a/b-jpg-2`, `a/b-jpg-3` … for `a/b.jpg`.
fn candidates(photo: &str) -> impl Iterator<Item = String> {
    let path = slashed(Path::new(photo));
    let name_at = path.rfind('/').map_or(0, |slash| slash + 1);
    let (stem, full) = match path[name_at..].rfind('.').filter(|dot| *dot > 0) {
        Some(dot) => {
            (path[..name_at + dot].to_owned(), format!("{}-{}", &path[..name_at + dot], &path[name_at + dot + 1..]))
        }
        None => (path.clone(), path.clone()),
    };
    let numbered = full.clone();
    [stem, full].into_iter().chain((2..).map(move |number: u32| format!("{numbered}-{number}")))
}

/// The file of a photo's `index`th face, below the output folder.
pub(super) fn face_file(stem: &str, index: usize, extension: &str) -> String {
    format!("faces/{stem}_{index:02}.{extension}")
}

/// The stem that [`face_file`] was given.
pub(super) fn stem_of(file: &str) -> Option<&str> {
    let (stem, number) = file.strip_prefix("faces/")?.rsplit_once('_')?;
    number.starts_with(|c: char| c.is_ascii_digit()).then_some(stem)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(photos: &[&str], expected: &[&str]) {
        assert_eq!(stems(photos, |_| None), expected);
    }

    #[test]
    fn photos_of_different_folders_stay_apart() {
        check(&["a/x.jpg", "b/x.jpg", "x.jpg"], &["a/x", "b/x", "x"]);
    }

    #[test]
    fn photos_that_differ_in_extension_or_case_only_stay_apart() {
        check(&["x.JPG", "x.jpg", "x.png"], &["x", "x-jpg", "x-png"]);
        check(&["a.b.jpg", ".jpg", "noext", "../noext"], &["a.b", ".jpg", "noext", "noext-2"]);
    }

    #[test]
    fn a_new_photo_does_not_rename_an_old_one() {
        let known = |photo: usize| (photo == 1).then(|| "x".to_owned());
        assert_eq!(stems(&["x.jpg", "x.png"], known), ["x-jpg", "x"]);
    }

    #[test]
    fn the_stem_is_found_again() {
        for stem in ["anna", "a/anna_00", "b.c"] {
            assert_eq!(stem_of(&face_file(stem, 3, "png")), Some(stem));
        }
        assert_eq!(stem_of("elsewhere/a_00.png"), None);
    }
}
