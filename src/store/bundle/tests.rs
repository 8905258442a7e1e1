//! Folders and zips that are as they should be, and zips that lie.

use std::io::{Cursor, Write};

use tempfile::TempDir;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::*;

fn zip_of(files: &[(&str, &[u8])], method: CompressionMethod) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in files {
        writer.start_file(*name, SimpleFileOptions::default().compression_method(method)).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

fn saved(folder: &TempDir, bytes: &[u8]) -> PathBuf {
    let path = folder.path().join("set.zip");
    fs::write(&path, bytes).unwrap();
    path
}

fn names(bundle: &Bundle) -> Vec<&str> {
    (0..bundle.len()).map(|index| bundle.name(index)).collect()
}

const FILES: [(&str, &[u8]); 3] = [("b/x.png", b"one"), ("b-b/y.png", b"two"), ("a.json", b"three")];

#[test]
fn a_folder_and_a_zip_of_it_read_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("set");
    for (name, bytes) in FILES {
        fs::create_dir_all(root.join(name).parent().unwrap()).unwrap();
        fs::write(root.join(name), bytes).unwrap();
    }
    for method in [CompressionMethod::Stored, CompressionMethod::Deflated] {
        let path = saved(&folder, &zip_of(&FILES, method));
        for bundle in [Bundle::open(&root).unwrap(), Bundle::open(&path).unwrap()] {
            assert_eq!(names(&bundle), ["a.json", "b-b/y.png", "b/x.png"]);
            assert_eq!(bundle.read(bundle.find("b/x.png").unwrap()).unwrap(), b"one");
            assert_eq!(bundle.read(0).unwrap(), b"three");
            assert_eq!(bundle.find("b"), None);
            assert!(bundle.duplicates().is_empty() && !bundle.is_empty());
        }
    }
}

#[cfg(unix)]
#[test]
fn a_link_to_a_folder_is_not_followed() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.png"), b"a").unwrap();
    std::os::unix::fs::symlink(folder.path(), folder.path().join("ring")).unwrap();
    std::os::unix::fs::symlink(folder.path().join("a.png"), folder.path().join("b.png")).unwrap();
    assert_eq!(names(&Bundle::open(folder.path()).unwrap()), ["a.png", "b.png"]);
}

/// The first (and only) entry cannot be read, and the error names zip, entry and reason.
#[track_caller]
fn check_refused(zip: &[u8], reason: &str) {
    let folder = tempfile::tempdir().unwrap();
    let bundle = Bundle::open(&saved(&folder, zip)).unwrap();
    let error = format!("{:#}", bundle.read(0).unwrap_err());
    assert!(error.contains("set.zip") && error.contains(bundle.name(0)) && error.contains(reason), "{error}");
}

/// A zip of one stored entry with `edit` applied to the local header and to the one in the list of entries.
fn tampered(edit: impl Fn(&mut [u8], &mut [u8])) -> Vec<u8> {
    let mut zip = zip_of(&[("a.png", b"0123456789")], CompressionMethod::Stored);
    let directory = zip.windows(4).position(|four| four == b"PK\x01\x02").unwrap();
    let (local, central) = zip.split_at_mut(directory);
    edit(local, central);
    zip
}

#[test]
fn entries_that_lie_about_their_length_are_refused() {
    check_refused(&tampered(|_, central| central[24..28].copy_from_slice(&11u32.to_le_bytes())), "announces 11 bytes");
    check_refused(&tampered(|_, central| central[24..28].copy_from_slice(&9u32.to_le_bytes())), "declared");
    let huge = (MAX_FILE_BYTES as u32 + 1).to_le_bytes();
    check_refused(&tampered(|_, central| central[24..28].copy_from_slice(&huge)), "at most");
}

#[test]
fn a_bomb_stops_at_what_it_announces() {
    let mut zip = zip_of(&[("a.png", &vec![0; 50_000_000])], CompressionMethod::Deflated);
    assert!(zip.len() < 100_000);
    let directory = zip.windows(4).position(|four| four == b"PK\x01\x02").unwrap();
    zip[directory + 24..directory + 28].copy_from_slice(&1000u32.to_le_bytes());
    check_refused(&zip, "larger than its declared");
}

#[test]
fn damaged_encrypted_and_escaping_entries_are_refused() {
    let data = 30 + "a.png".len();
    check_refused(&tampered(|local, _| local[data] ^= 1), "damaged");
    let encrypt = |local: &mut [u8], central: &mut [u8]| {
        local[6] |= 1;
        central[8] |= 1;
    };
    check_refused(&tampered(encrypt), "encrypted");
    check_refused(&tampered(|_, central| central[10] = 12), "ompression");
    for (written, name) in [("xx/xx/a.png", "../../a.png"), ("xetc/a.png", "/etc/a.png"), ("xx/a.png", "../a.png")] {
        let zip = zip_of(&[(written, b"a")], CompressionMethod::Stored);
        check_refused(&replaced(zip, written, name), "leads out of the archive");
    }
}

/// Replaces a name wherever it stands by one of the same length; writers would not write such names.
fn replaced(mut zip: Vec<u8>, from: &str, to: &str) -> Vec<u8> {
    while let Some(at) = zip.windows(from.len()).position(|bytes| bytes == from.as_bytes()) {
        zip[at..at + from.len()].copy_from_slice(to.as_bytes());
    }
    zip
}

#[test]
fn repeated_names_are_listed() {
    let folder = tempfile::tempdir().unwrap();
    let zip = zip_of(&[("a.png", b"1"), ("b.png", b"2"), ("c.png", b"3")], CompressionMethod::Stored);
    let bundle = Bundle::open(&saved(&folder, &replaced(zip, "c.png", "a.png"))).unwrap();
    assert_eq!(bundle.duplicates(), ["a.png"]);
    assert_eq!(names(&bundle), ["a.png", "b.png"]);
}

#[test]
fn what_is_no_folder_and_no_whole_zip_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let whole = zip_of(&FILES, CompressionMethod::Stored);
    for length in 0..whole.len() {
        let path = saved(&folder, &whole[..length]);
        let error = format!("{:#}", Bundle::open(&path).err().expect("an error"));
        assert!(error.contains("set.zip"), "{length} bytes: {error}");
    }
    let missing = Bundle::open(&folder.path().join("none")).err().expect("an error");
    assert!(format!("{missing:#}").contains("none"));
}

#[test]
fn no_single_damaged_byte_is_passed_over_in_silence_or_in_panic() {
    let folder = tempfile::tempdir().unwrap();
    let whole = zip_of(&FILES[..1], CompressionMethod::Stored);
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 0xff;
        let Ok(bundle) = Bundle::open(&saved(&folder, &bytes)) else { continue };
        for index in 0..bundle.len() {
            // A damaged byte may hit what is not used (times, rights), but never the contents.
            assert!(bundle.read(index).is_ok_and(|found| found == FILES[0].1) || bundle.read(index).is_err());
        }
    }
}
