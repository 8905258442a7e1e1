//! Zip archives whose entries are stored: their bytes are borrowed from the file, never copied or unpacked.
//!
//! Follows PKWARE's APPNOTE 6.3, zip64 included, as far as `torch.save` uses it.

use std::collections::BTreeMap;

use crate::checkpoint::ImportError;
use crate::checkpoint::reader::Reader;

const END_RECORD: u32 = 0x0605_4b50;
const END_RECORD_LENGTH: usize = 22;
const LONGEST_COMMENT: usize = 0xffff;
const END_RECORD_64: u32 = 0x0606_4b50;
const END_LOCATOR_64: u32 = 0x0706_4b50;
const END_LOCATOR_64_LENGTH: usize = 20;
const CENTRAL_HEADER: u32 = 0x0201_4b50;
const LOCAL_HEADER: u32 = 0x0403_4b50;
const EXTRA_64: u16 = 1;
/// Stands for a number that is in the zip64 fields.
const ELSEWHERE: u32 = u32::MAX;

const ARCHIVE: &str = "directory of the zip archive";

/// The entries of an archive by name.
pub(crate) struct Entries<'a> {
    bytes: &'a [u8],
    by_name: BTreeMap<&'a str, Entry>,
}

/// Where an entry lies.
struct Entry {
    stored: bool,
    crc: u32,
    packed_size: u64,
    size: u64,
    /// Offset of the header in front of its bytes.
    header: u64,
}

/// Reads the directory of a zip archive.
///
/// # Errors
/// [`ImportError::Truncated`] or [`ImportError::Malformed`] for damage and for two entries of one name.
pub(crate) fn entries(bytes: &[u8]) -> Result<Entries<'_>, ImportError> {
    let (start, count) = directory(bytes)?;
    let mut input = Reader::new(bytes);
    input.take(start, ARCHIVE)?;
    let mut by_name = BTreeMap::new();
    for _ in 0..count {
        let (name, entry) = central_header(&mut input)?;
        if by_name.insert(name, entry).is_some() {
            return Err(ImportError::malformed(format!("zip entry `{name}`"), "one entry of this name", "two"));
        }
    }
    Ok(Entries { bytes, by_name })
}

/// Offset and number of entries of the directory.
fn directory(bytes: &[u8]) -> Result<(u64, u64), ImportError> {
    let signature = END_RECORD.to_le_bytes();
    let earliest = bytes.len().saturating_sub(END_RECORD_LENGTH + LONGEST_COMMENT);
    let tail = &bytes[earliest..];
    let found = tail.windows(END_RECORD_LENGTH).rposition(|window| window.starts_with(&signature));
    let Some(end) = found.map(|offset| earliest + offset) else {
        return Err(ImportError::malformed("zip archive", "a directory at its end", "none: the file is cut short"));
    };
    let mut input = Reader::new(&bytes[end + 10..]);
    let (count, _size, start) = (input.u16(ARCHIVE)?, input.u32(ARCHIVE)?, input.u32(ARCHIVE)?);
    if count != u16::MAX && start != ELSEWHERE {
        return Ok((start.into(), count.into()));
    }
    directory_64(bytes, end)
}

/// As [`directory`], from the zip64 records in front of the end record at `end`.
fn directory_64(bytes: &[u8], end: usize) -> Result<(u64, u64), ImportError> {
    let malformed = || ImportError::malformed(ARCHIVE, "a zip64 record", "none");
    let locator = end.checked_sub(END_LOCATOR_64_LENGTH).ok_or_else(malformed)?;
    let mut input = Reader::new(&bytes[locator..]);
    if input.u32(ARCHIVE)? != END_LOCATOR_64 {
        return Err(malformed());
    }
    input.u32(ARCHIVE)?;
    let record = input.u64(ARCHIVE)?;
    let mut input = Reader::new(bytes);
    input.take(record, ARCHIVE)?;
    if input.u32(ARCHIVE)? != END_RECORD_64 {
        return Err(malformed());
    }
    input.take(8 + 2 + 2 + 4 + 4 + 8, ARCHIVE)?;
    let (count, _size, start) = (input.u64(ARCHIVE)?, input.u64(ARCHIVE)?, input.u64(ARCHIVE)?);
    Ok((start, count))
}

fn central_header<'a>(input: &mut Reader<'a>) -> Result<(&'a str, Entry), ImportError> {
    if input.u32(ARCHIVE)? != CENTRAL_HEADER {
        return Err(ImportError::malformed(ARCHIVE, "another entry", "none"));
    }
    input.take(4, ARCHIVE)?;
    let (flags, method) = (input.u16(ARCHIVE)?, input.u16(ARCHIVE)?);
    input.take(4, ARCHIVE)?;
    let (crc, packed_size, size) = (input.u32(ARCHIVE)?, input.u32(ARCHIVE)?, input.u32(ARCHIVE)?);
    let (name, extra, comment) = (input.u16(ARCHIVE)?, input.u16(ARCHIVE)?, input.u16(ARCHIVE)?);
    input.take(8, ARCHIVE)?;
    let header = input.u32(ARCHIVE)?;
    let name = input.take(name.into(), ARCHIVE)?;
    let name = std::str::from_utf8(name).map_err(|error| ImportError::malformed(ARCHIVE, "names in UTF-8", error))?;
    let wide = wide_numbers(input.take(extra.into(), ARCHIVE)?)?;
    input.take(comment.into(), ARCHIVE)?;
    let mut wide = wide.into_iter();
    let mut widened = |number: u32| match number {
        ELSEWHERE => wide.next().ok_or_else(|| ImportError::malformed(ARCHIVE, "a zip64 number", "none")),
        _ => Ok(number.into()),
    };
    let (size, packed_size, header) = (widened(size)?, widened(packed_size)?, widened(header)?);
    let encrypted = flags & 1 == 1;
    Ok((name, Entry { stored: method == 0 && !encrypted, crc, packed_size, size, header }))
}

/// The numbers of the zip64 extra field, if there is one.
fn wide_numbers(extra: &[u8]) -> Result<Vec<u64>, ImportError> {
    let mut input = Reader::new(extra);
    while input.rest().len() >= 4 {
        let (id, length) = (input.u16(ARCHIVE)?, input.u16(ARCHIVE)?);
        let field = input.take(length.into(), ARCHIVE)?;
        if id == EXTRA_64 {
            let words = field.chunks_exact(8).map(|word| word.try_into().expect("chunks have eight bytes"));
            return Ok(words.map(u64::from_le_bytes).collect());
        }
    }
    Ok(Vec::new())
}

impl<'a> Entries<'a> {
    /// Names of all entries.
    pub fn names(&self) -> impl Iterator<Item = &'a str> {
        self.by_name.keys().copied()
    }

    /// The bytes of an entry, borrowed from the archive.
    ///
    /// # Errors
    /// [`ImportError::Malformed`] when there is none of this name or it is compressed or encrypted, and
    /// [`ImportError::Truncated`] when it reaches beyond the end.
    pub fn read(&self, name: &str) -> Result<&'a [u8], ImportError> {
        let object = format!("zip entry `{name}`");
        let Some(entry) = self.by_name.get(name) else {
            return Err(ImportError::malformed(object, "present", "missing"));
        };
        if !entry.stored || entry.size != entry.packed_size {
            return Err(ImportError::malformed(object, "stored as it is", "compressed or encrypted"));
        }
        let mut input = Reader::new(self.bytes);
        input.take(entry.header, &object)?;
        if input.u32(&object)? != LOCAL_HEADER {
            return Err(ImportError::malformed(object, "a header in front of its bytes", "none"));
        }
        input.take(22, &object)?;
        let (name_length, extra_length) = (input.u16(&object)?, input.u16(&object)?);
        input.take(u64::from(name_length) + u64::from(extra_length), &object)?;
        input.take(entry.size, &object)
    }

    /// As [`read`](Self::read), and compares the checksum: for entries that are read from end to end anyway.
    ///
    /// # Errors
    /// Those of `read`, and [`ImportError::Malformed`] when the checksum differs.
    pub fn read_checked(&self, name: &str) -> Result<&'a [u8], ImportError> {
        let bytes = self.read(name)?;
        let (expected, found) = (self.by_name[name].crc, crc32fast::hash(bytes));
        if expected == found {
            return Ok(bytes);
        }
        let object = format!("zip entry `{name}`");
        Err(ImportError::malformed(object, format!("checksum {expected:08x}"), format!("{found:08x}")))
    }
}
