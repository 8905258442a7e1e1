//! A folder or a zip to its named files: both are read alike, from many threads at once, and neither is trusted.
//!
//! Names are relative, with `/` between folders, and sorted as strings. A zip stays open and is read in place; nothing is
//! unpacked to disk, so no name in it can reach outside. Bytes are bounded by what an entry announces and by [`MAX_FILE_BYTES`],
//! and compared with its announced length and checksum (PKWARE's APPNOTE.TXT 6.3).

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use zip::ZipArchive;

use crate::store::shared_file::SharedFile;

/// The longest file that is read from a bundle.
pub const MAX_FILE_BYTES: u64 = 1 << 30;

/// Named files in a folder, at any depth, or in a zip.
pub struct Bundle {
    path: PathBuf,
    members: Vec<Member>,
    duplicates: Vec<String>,
    archive: Option<ZipArchive<SharedFile>>,
}

/// One file.
struct Member {
    name: String,
    place: Place,
}

enum Place {
    File(PathBuf),
    Entry(usize),
}

impl Bundle {
    /// Lists the files of the folder or zip at `path`.
    ///
    /// # Errors
    /// When there is nothing at `path`, when it cannot be read, or when it is a file other than a zip.
    pub fn open(path: &Path) -> Result<Bundle> {
        let describe = || format!("cannot read `{}`", path.display());
        let is_folder = fs::metadata(path).with_context(describe)?.is_dir();
        let mut bundle = if is_folder { open_folder(path) } else { open_zip(path) }.with_context(describe)?;
        bundle.members.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(bundle)
    }

    /// The folder or the zip.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How many files there are.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether there is no file.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// The name of file `index`, in the order of names.
    pub fn name(&self, index: usize) -> &str {
        &self.members[index].name
    }

    /// The file with this name.
    pub fn find(&self, name: &str) -> Option<usize> {
        self.members.binary_search_by(|member| member.name.as_str().cmp(name)).ok()
    }

    /// Names that a zip gives to several files; only the last of them can be read.
    pub fn duplicates(&self) -> &[String] {
        &self.duplicates
    }

    /// Where file `index` is, for messages: the archive counts as a folder.
    pub fn path_of(&self, index: usize) -> PathBuf {
        self.path.join(self.name(index))
    }

    /// Reads all bytes of file `index`.
    ///
    /// # Errors
    /// When it cannot be read, is too long, or when the zip entry is encrypted, damaged, of an unusual kind or of another
    /// length than it announces; the message names archive and entry.
    pub fn read(&self, index: usize) -> Result<Vec<u8>> {
        let member = &self.members[index];
        let bytes = match (&member.place, &self.archive) {
            (Place::Entry(entry), Some(archive)) => read_entry(archive, *entry),
            (Place::File(path), _) => read_file(path),
            (Place::Entry(_), None) => unreachable!("entries come from an archive"),
        };
        bytes.with_context(|| format!("cannot read `{}` of `{}`", member.name, self.path.display()))
    }
}

fn open_folder(path: &Path) -> Result<Bundle> {
    let mut members = Vec::new();
    collect(path, path, &mut members)?;
    Ok(Bundle { path: path.to_owned(), members, duplicates: Vec::new(), archive: None })
}

/// Adds all files below `folder`. Links to files count as files, links to folders are not followed: they could form rings.
fn collect(root: &Path, folder: &Path, members: &mut Vec<Member>) -> Result<()> {
    let describe = || format!("cannot read the folder `{}`", folder.display());
    for entry in fs::read_dir(folder).with_context(describe)? {
        let entry = entry.with_context(describe)?;
        let path = entry.path();
        if entry.file_type().with_context(describe)?.is_dir() {
            collect(root, &path, members)?;
        } else if path.is_file() {
            let relative = path.strip_prefix(root).expect("below the root");
            let parts: Vec<_> = relative.components().map(|part| part.as_os_str().to_string_lossy()).collect();
            members.push(Member { name: parts.join("/"), place: Place::File(path.clone()) });
        }
    }
    Ok(())
}

fn read_file(path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes)?;
    ensure!(bytes.len() as u64 <= MAX_FILE_BYTES, "it is longer than {MAX_FILE_BYTES} bytes");
    Ok(bytes)
}

fn open_zip(path: &Path) -> Result<Bundle> {
    let mut file = SharedFile::open(path)?;
    let archive = ZipArchive::new(file.clone()).context("neither a folder nor a whole zip")?;
    let mut members = Vec::with_capacity(archive.len());
    for (index, name) in archive.file_names().enumerate() {
        let name = name.with_context(|| format!("entry {index} has no readable name"))?;
        if !name.ends_with('/') {
            members.push(Member { name: name.into_owned(), place: Place::Entry(index) });
        }
    }
    let duplicates = match archive.has_duplicate_names() {
        true => {
            file.rewind_to(archive.central_directory_start());
            repeated_names(io::BufReader::new(file)).context("the list of entries is damaged")?
        }
        false => Vec::new(),
    };
    Ok(Bundle { path: path.to_owned(), members, duplicates, archive: Some(archive) })
}

/// Names that occur more than once in a central directory (APPNOTE 4.3.12).
fn repeated_names(mut directory: impl Read) -> io::Result<Vec<String>> {
    let mut counts = BTreeMap::new();
    let mut magic = [0; 4];
    // The directory is followed by another record, which begins otherwise.
    while directory.read_exact(&mut magic).map(|()| magic == *b"PK\x01\x02")? {
        let mut header = [0; 42];
        directory.read_exact(&mut header)?;
        let [name, extra, comment] = [24, 26, 28].map(|at| u16::from_le_bytes([header[at], header[at + 1]]));
        let mut text = vec![0; usize::from(name)];
        directory.read_exact(&mut text)?;
        *counts.entry(text).or_insert(0) += 1;
        let rest = u64::from(extra) + u64::from(comment);
        io::copy(&mut directory.by_ref().take(rest), &mut io::sink())?;
    }
    let repeated = counts.into_iter().filter(|(_, count)| *count > 1);
    Ok(repeated.map(|(name, _)| String::from_utf8_lossy(&name).into_owned()).collect())
}

/// Whether a relative name stays below the folder that it is taken from.
pub(super) fn is_inside(name: &str) -> bool {
    Path::new(name).components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir))
}

/// Reads an entry through a copy of the archive's reader, which costs nothing: the list of entries is shared.
fn read_entry(archive: &ZipArchive<SharedFile>, index: usize) -> Result<Vec<u8>> {
    let mut archive = archive.clone();
    let metadata = archive.by_index_raw(index)?;
    ensure!(!metadata.encrypted(), "the entry is encrypted");
    ensure!(metadata.is_file(), "the entry is a link or a folder");
    ensure!(is_inside(&metadata.name()?), "the entry's name leads out of the archive");
    let announced = metadata.size();
    ensure!(announced <= MAX_FILE_BYTES, "the entry announces {announced} bytes, at most {MAX_FILE_BYTES} are read");
    drop(metadata);
    let mut bytes = Vec::new();
    let entry = archive.by_index(index)?;
    entry.take(announced + 1).read_to_end(&mut bytes).context("the entry is damaged")?;
    match bytes.len() as u64 {
        found if found < announced => bail!("the entry announces {announced} bytes and holds {found}"),
        found if found > announced => bail!("the entry announces {announced} bytes and holds more"),
        _ => Ok(bytes),
    }
}

#[cfg(test)]
mod tests;
