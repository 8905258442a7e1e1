//! TensorBoard's event files: numbers over time, appended record by record, read while they grow.
//!
//! A file is a sequence of records: length, checksum of the length, bytes, checksum of the bytes; the bytes are an
//! `Event` message in the encoding of protocol buffers (TensorFlow's `record_writer.h` and `event.proto`).

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};

use crate::store::atomic::AtomicFile;

/// Numbers at one time.
#[derive(Clone, Debug, PartialEq)]
pub struct Scalars {
    /// Seconds since 1970.
    pub wall_time: f64,
    /// Where on the horizontal axis they are shown.
    pub step: i64,
    /// Names and values.
    pub values: Vec<(String, f32)>,
}

/// An event file that grows.
pub struct EventFile {
    file: File,
    path: String,
}

impl EventFile {
    /// Writes a file that begins with `history`, in place of an older one, and goes on from there.
    ///
    /// # Errors
    /// When the file cannot be written; the message names it.
    pub fn create(path: &Path, history: impl IntoIterator<Item = Scalars>) -> Result<EventFile> {
        let shown = path.display().to_string();
        let mut file = AtomicFile::create(path)?;
        let mut history = history.into_iter().peekable();
        let began = history.peek().map_or(0.0, |first| first.wall_time);
        file.write_all(&record(&version(began)))?;
        for scalars in history {
            file.write_all(&record(&event(&scalars)))?;
        }
        file.commit()?;
        let file = OpenOptions::new().append(true).open(path).with_context(|| format!("cannot write `{shown}`"))?;
        Ok(EventFile { file, path: shown })
    }

    /// Adds a record. One that was cut off by a crash is skipped by whoever reads the file.
    ///
    /// # Errors
    /// When the disk is full or fails; the file is then as it was before.
    pub fn append(&mut self, scalars: &Scalars) -> Result<()> {
        let bytes = record(&event(scalars));
        let describe = || format!("cannot write `{}`", self.path);
        let length = self.file.metadata().with_context(describe)?.len();
        self.file.write_all(&bytes).inspect_err(|_| drop(self.file.set_len(length))).with_context(describe)
    }
}

/// Kinds of values on the wire.
const VARINT: u64 = 0;
const EIGHT_BYTES: u64 = 1;
const LENGTH_AND_BYTES: u64 = 2;
const FOUR_BYTES: u64 = 5;

/// Fields of `Event`.
const WALL_TIME: u64 = 1;
const STEP: u64 = 2;
const FILE_VERSION: u64 = 3;
const SUMMARY: u64 = 5;
/// The field of `Summary`, and those of its `Value`.
const VALUE: u64 = 1;
const TAG: u64 = 1;
const SIMPLE_VALUE: u64 = 2;

fn version(wall_time: f64) -> Vec<u8> {
    let mut bytes = Vec::new();
    put_key(&mut bytes, WALL_TIME, EIGHT_BYTES);
    bytes.extend(wall_time.to_le_bytes());
    put_bytes(&mut bytes, FILE_VERSION, b"brain.Event:2");
    bytes
}

fn event(scalars: &Scalars) -> Vec<u8> {
    let mut summary = Vec::new();
    for (name, value) in &scalars.values {
        let mut entry = Vec::new();
        put_bytes(&mut entry, TAG, name.as_bytes());
        put_key(&mut entry, SIMPLE_VALUE, FOUR_BYTES);
        entry.extend(value.to_le_bytes());
        put_bytes(&mut summary, VALUE, &entry);
    }
    let mut bytes = Vec::new();
    put_key(&mut bytes, WALL_TIME, EIGHT_BYTES);
    bytes.extend(scalars.wall_time.to_le_bytes());
    put_key(&mut bytes, STEP, VARINT);
    put_varint(&mut bytes, scalars.step as u64);
    put_bytes(&mut bytes, SUMMARY, &summary);
    bytes
}

fn put_key(to: &mut Vec<u8>, field: u64, kind: u64) {
    put_varint(to, field << 3 | kind);
}

fn put_bytes(to: &mut Vec<u8>, field: u64, bytes: &[u8]) {
    put_key(to, field, LENGTH_AND_BYTES);
    put_varint(to, bytes.len() as u64);
    to.extend(bytes);
}

/// Seven bits a byte, the lowest first.
fn put_varint(to: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        to.push(number as u8 | 0x80);
        number >>= 7;
    }
    to.push(number as u8);
}

fn record(bytes: &[u8]) -> Vec<u8> {
    let length = (bytes.len() as u64).to_le_bytes();
    let parts: [&[u8]; 4] = [&length, &masked(&length), bytes, &masked(bytes)];
    parts.concat()
}

/// The checksum as it is stored, so that checksums of data that holds checksums keep their use.
fn masked(bytes: &[u8]) -> [u8; 4] {
    let crc = crc32c(bytes);
    crc.rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes()
}

/// Castagnoli's cyclic redundancy check, reflected (RFC 3720, appendix B.4).
fn crc32c(bytes: &[u8]) -> u32 {
    const TABLE: [u32; 256] = {
        let mut table = [0; 256];
        let mut byte = 0;
        while byte < 256 {
            let (mut crc, mut bit) = (byte as u32, 0);
            while bit < 8 {
                crc = if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 };
                bit += 1;
            }
            table[byte] = crc;
            byte += 1;
        }
        table
    };
    !bytes.iter().fold(u32::MAX, |crc, byte| crc >> 8 ^ TABLE[((crc ^ u32::from(*byte)) & 0xff) as usize])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_those_of_the_standard() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
        assert_eq!(crc32c(&[]), 0);
    }

    /// The bytes by hand, from the definition of the message.
    #[test]
    fn an_event_is_encoded_field_by_field() {
        let scalars = Scalars { wall_time: 1.5, step: 300, values: vec![("loss".to_owned(), 0.25)] };
        let message = event(&scalars);
        let expected = [
            &[0x09, 0, 0, 0, 0, 0, 0, 0xf8, 0x3f][..],
            &[0x10, 0xac, 0x02],
            &[0x2a, 13, 0x0a, 11, 0x0a, 4],
            b"loss",
            &[0x15, 0, 0, 0x80, 0x3e],
        ];
        assert_eq!(message, expected.concat());
        let bytes = record(&message);
        assert_eq!(bytes[..8], (message.len() as u64).to_le_bytes());
        assert_eq!(bytes.len(), message.len() + 16);
    }

    /// Takes a file apart again.
    fn messages(bytes: &[u8]) -> Vec<Vec<u8>> {
        let (mut rest, mut found) = (bytes, Vec::new());
        while !rest.is_empty() {
            let length = u64::from_le_bytes(rest[..8].try_into().unwrap()) as usize;
            assert_eq!(rest[8..12], masked(&rest[..8]));
            let message = &rest[12..12 + length];
            assert_eq!(rest[12 + length..16 + length], masked(message));
            found.push(message.to_vec());
            rest = &rest[16 + length..];
        }
        found
    }

    #[test]
    fn history_and_what_follows_are_all_in_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events");
        let at = |step: i64| Scalars { wall_time: step as f64, step, values: vec![("p".to_owned(), step as f32)] };
        for _ in 0..2 {
            let mut file = EventFile::create(&path, [at(0), at(1)]).unwrap();
            file.append(&at(2)).unwrap();
            let messages = messages(&std::fs::read(&path).unwrap());
            assert_eq!(messages, [version(0.0), event(&at(0)), event(&at(1)), event(&at(2))]);
        }
    }

    #[test]
    fn long_and_negative_numbers_take_ten_bytes_at_most() {
        let varint = |number: u64| {
            let mut bytes = Vec::new();
            put_varint(&mut bytes, number);
            bytes
        };
        assert_eq!(varint(127), [127]);
        assert_eq!(varint(128), [0x80, 1]);
        assert_eq!(varint(-1i64 as u64).len(), 10);
    }
}
