//! A photo, a folder or a zip file to the list of its photos, each with a name that stays the same from run to run.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{BufReader, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Component, Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, bail};
use zip::ZipArchive;

use crate::store::folder;
use crate::store::photo::{self, Photo};

/// Extensions of pictures that are not read here; such files are counted as unreadable, not passed over in silence.
const FOREIGN: [&str; 6] = ["heic", "heif", "avif", "jxl", "jp2", "psd"];

/// One photo.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// Its path below the source, with `/`: what the journal calls it.
    pub name: String,
    /// Length of its file, by which a changed photo is noticed.
    pub bytes: u64,
    place: Place,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    File(PathBuf),
    /// Number of the member in the archive.
    Member(usize),
}

/// All photos of a source, by name.
pub struct Sources {
    /// The photos.
    pub inputs: Vec<Input>,
    /// How many other files lie among them.
    pub others: usize,
    source: PathBuf,
    archive: Option<Mutex<ZipArchive<BufReader<File>>>>,
}

impl Sources {
    /// Lists what `source` holds; the folder `out` is left out when it lies inside.
    ///
    /// # Errors
    /// When there is no such source, or no picture in it.
    pub fn list(source: &Path, out: &Path) -> Result<Sources> {
        let mut sources = Sources { inputs: Vec::new(), others: 0, source: source.to_owned(), archive: None };
        let metadata = fs::metadata(source).with_context(|| format!("cannot read `{}`", source.display()))?;
        if metadata.is_dir() {
            sources.list_folder(source, fs::canonicalize(out).ok().as_deref())?;
        } else if is_zip(source)? {
            sources.list_archive()?;
        } else {
            let name = source.file_name().unwrap_or(source.as_os_str()).to_string_lossy().into_owned();
            sources.inputs.push(Input { name, bytes: metadata.len(), place: Place::File(source.to_owned()) });
        }
        if sources.inputs.is_empty() {
            bail!("`{}` holds no pictures", source.display());
        }
        sources.inputs.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(sources)
    }

    /// The photo's path, or the archive's with the member's behind it: for messages.
    pub fn path(&self, input: &Input) -> PathBuf {
        match &input.place {
            Place::File(path) => path.clone(),
            Place::Member(_) => self.source.join(&input.name),
        }
    }

    /// The bytes of a photo's file.
    ///
    /// # Errors
    /// When they cannot be read, or are more than any picture has.
    pub fn read(&self, input: &Input) -> Result<Vec<u8>> {
        match (&input.place, &self.archive) {
            (Place::Member(index), Some(archive)) => {
                // A thread that panicked while it read leaves nothing that the next one could trip over.
                let mut archive = archive.lock().unwrap_or_else(PoisonError::into_inner);
                let member = archive.by_index(*index)?;
                let mut bytes = Vec::new();
                member.take(photo::MAX_FILE_BYTES).read_to_end(&mut bytes)?;
                Ok(bytes)
            }
            (Place::File(path), _) => photo::read_bytes(path),
            (Place::Member(_), None) => unreachable!("members come from an archive"),
        }
    }

    /// Decodes the bytes of a photo's file; a decoder that panics has met a file that it cannot read, and one file must not
    /// end the work on thousands.
    ///
    /// # Errors
    /// When they are no picture, or more of one than can be handled.
    pub fn decode(&self, input: &Input, bytes: &[u8]) -> Result<Photo> {
        let decoded = catch_unwind(AssertUnwindSafe(|| Photo::from_bytes(bytes, self.path(input))));
        decoded.unwrap_or_else(|_| bail!("the decoder failed"))
    }

    /// Adds the pictures of `folder` and of the folders below; links to folders are not followed, so no list is endless.
    fn list_folder(&mut self, folder: &Path, out: Option<&Path>) -> Result<()> {
        let unreadable = || format!("cannot read the folder `{}`", folder.display());
        for entry in fs::read_dir(folder).with_context(unreadable)? {
            let entry = entry.with_context(unreadable)?;
            let (path, hidden) = (entry.path(), entry.file_name().to_string_lossy().starts_with('.'));
            if entry.file_type().with_context(unreadable)?.is_dir() {
                if !hidden && fs::canonicalize(&path).ok().as_deref() != out {
                    self.list_folder(&path, out)?;
                }
            } else if is_picture(&path) {
                let below = path.strip_prefix(&self.source).unwrap_or(&path);
                // A link that leads nowhere is listed, and named as unreadable later.
                let bytes = fs::metadata(&path).map_or(0, |metadata| metadata.len());
                self.inputs.push(Input { name: slashed(below), bytes, place: Place::File(path) });
            } else if !hidden {
                self.others += 1;
            }
        }
        Ok(())
    }

    fn list_archive(&mut self) -> Result<()> {
        let open = || -> Result<_> { Ok(ZipArchive::new(BufReader::new(File::open(&self.source)?))?) };
        let mut archive = open().with_context(|| format!("cannot read zip file `{}`", self.source.display()))?;
        for index in 0..archive.len() {
            let Ok(member) = archive.by_index_raw(index) else { continue };
            if member.is_dir() {
                continue;
            }
            let Ok(name) = member.name().map(|name| name.replace('\\', "/")) else { continue };
            let resource_fork = name.split('/').any(|part| part == "__MACOSX");
            match is_picture(Path::new(&name)) && !resource_fork {
                true => self.inputs.push(Input { name, bytes: member.size(), place: Place::Member(index) }),
                false => self.others += 1,
            }
        }
        self.archive = Some(Mutex::new(archive));
        Ok(())
    }
}

fn is_picture(path: &Path) -> bool {
    let foreign = |extension: &OsStr| FOREIGN.iter().any(|known| extension.eq_ignore_ascii_case(known));
    folder::is_image_name(path) || path.extension().is_some_and(foreign)
}

fn is_zip(path: &Path) -> Result<bool> {
    let mut head = Vec::new();
    let mut read = || File::open(path)?.take(4).read_to_end(&mut head);
    read().with_context(|| format!("cannot read `{}`", path.display()))?;
    Ok(head.starts_with(b"PK\x03\x04") || head.starts_with(b"PK\x05\x06"))
}

/// The parts of a path joined by `/`; whatever would lead out of a folder is dropped.
pub(super) fn slashed(path: &Path) -> String {
    let parts = path.components().filter_map(|part| match part {
        Component::Normal(name) => Some(name.to_string_lossy()),
        _ => None,
    });
    parts.collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn names(sources: &Sources) -> Vec<&str> {
        sources.inputs.iter().map(|input| input.name.as_str()).collect()
    }

    fn fill(folder: &Path, names: &[&str]) {
        for name in names {
            let path = folder.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, name).unwrap();
        }
    }

    #[test]
    fn a_folder_is_listed_to_its_depths_without_the_output() {
        let folder = tempfile::tempdir().unwrap();
        let files = ["b.jpg", "a/c.PNG", "a/b/d.webp", "x.heic", "notes.txt", ".hidden.png", ".git/e.png", "out/f.png"];
        fill(folder.path(), &files);
        let sources = Sources::list(folder.path(), &folder.path().join("out")).unwrap();
        assert_eq!(names(&sources), ["a/b/d.webp", "a/c.PNG", "b.jpg", "x.heic"]);
        assert_eq!((sources.others, sources.inputs[2].bytes), (1, 5));
        assert_eq!(sources.read(&sources.inputs[0]).unwrap(), b"a/b/d.webp");
    }

    #[cfg(unix)]
    #[test]
    fn a_folder_that_links_to_itself_is_listed_once() {
        let folder = tempfile::tempdir().unwrap();
        fill(folder.path(), &["a/b.png"]);
        std::os::unix::fs::symlink(folder.path(), folder.path().join("a/again")).unwrap();
        std::os::unix::fs::symlink("nowhere", folder.path().join("broken.png")).unwrap();
        let sources = Sources::list(folder.path(), Path::new("out")).unwrap();
        assert_eq!(names(&sources), ["a/b.png", "broken.png"]);
        assert!(sources.read(&sources.inputs[1]).is_err());
    }

    #[test]
    fn a_zip_file_is_known_by_its_content() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("photos.dat");
        let mut zip = zip::ZipWriter::new(File::create(&path).unwrap());
        for name in ["p/a.png", "notes.txt", "__MACOSX/p/a.png", "../b.jpg"] {
            zip.start_file(name, zip::write::SimpleFileOptions::default()).unwrap();
            zip.write_all(name.as_bytes()).unwrap();
        }
        zip.finish().unwrap();
        let sources = Sources::list(&path, Path::new("out")).unwrap();
        assert_eq!(names(&sources), ["../b.jpg", "p/a.png"]);
        assert_eq!(sources.read(&sources.inputs[1]).unwrap(), b"p/a.png");
        assert_eq!(sources.path(&sources.inputs[1]), path.join("p/a.png"));
    }

    #[test]
    fn a_single_photo_is_taken_whatever_its_name_is() {
        let folder = tempfile::tempdir().unwrap();
        fill(folder.path(), &["photo"]);
        let sources = Sources::list(&folder.path().join("photo"), Path::new("out")).unwrap();
        assert_eq!(names(&sources), ["photo"]);
    }

    #[test]
    fn nothing_to_do_is_an_error_that_names_the_source() {
        let folder = tempfile::tempdir().unwrap();
        for (path, words) in [(folder.path().join("missing"), "missing"), (folder.path().to_owned(), "no pictures")] {
            let Err(error) = Sources::list(&path, Path::new("out")) else { panic!("listed {}", path.display()) };
            assert!(format!("{error:#}").contains(words), "{error:#}");
        }
    }

    #[test]
    fn no_name_leads_out_of_its_folder() {
        assert_eq!(slashed(Path::new("../../etc/./a.png")), "etc/a.png");
        assert_eq!(slashed(Path::new("/a/b")), "a/b");
    }
}
