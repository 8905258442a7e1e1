//! A zip archive of stored entries, written as a stream: sizes and checksums are known before the bytes.

use std::io::Write;

use crate::checkpoint::write::ExportError;

/// Entries begin at multiples of this, as PyTorch likes it for mapping them.
const ALIGNMENT: u64 = 64;
/// Length of a header in front of an entry, without name and padding.
const LOCAL_HEADER: u64 = 30;
/// Identifier of the extra field that is only there as padding, as PyTorch writes it ("FB").
const PADDING: u16 = 0x4246;

/// Writes entries and, at the end, the directory.
pub(super) struct ArchiveWriter<'w> {
    out: &'w mut dyn Write,
    position: u64,
    directory: Vec<u8>,
    count: u16,
}

/// What is known of an entry before it is written.
pub(super) struct EntryHead {
    /// Name within the archive.
    pub name: String,
    /// Number of bytes.
    pub size: u64,
    /// CRC-32 of the bytes.
    pub crc: u32,
}

impl<'w> ArchiveWriter<'w> {
    /// Begins an archive at the current place of `out`.
    pub fn new(out: &'w mut dyn Write) -> Self {
        ArchiveWriter { out, position: 0, directory: Vec::new(), count: 0 }
    }

    /// Writes a small entry.
    pub fn small_entry(&mut self, name: String, bytes: &[u8]) -> Result<(), ExportError> {
        let head = EntryHead { name, size: bytes.len() as u64, crc: crc32fast::hash(bytes) };
        self.entry(&head, |out| Ok(out.write_all(bytes)?))
    }

    /// Writes an entry whose bytes `body` writes: exactly as many as the head says.
    pub fn entry(
        &mut self,
        head: &EntryHead,
        body: impl FnOnce(&mut dyn Write) -> Result<(), ExportError>,
    ) -> Result<(), ExportError> {
        let start = narrow(self.position)?;
        let size = narrow(head.size)?;
        // Version 2.0, no flags, stored, at the first moment that the format knows: 1980-01-01.
        let mut common = Vec::new();
        for field in [20u16, 0, 0, 0, 0x21] {
            common.extend(field.to_le_bytes());
        }
        for field in [head.crc, size, size] {
            common.extend(field.to_le_bytes());
        }
        common.extend((head.name.len() as u16).to_le_bytes());
        let padding = self.padding(&head.name);
        self.put(&0x0403_4b50u32.to_le_bytes())?;
        self.put(&common)?;
        self.put(&(padding.len() as u16).to_le_bytes())?;
        self.put(head.name.as_bytes())?;
        self.put(&padding)?;
        body(self.out)?;
        self.position += head.size;

        self.directory.extend(0x0201_4b50u32.to_le_bytes());
        self.directory.extend(20u16.to_le_bytes());
        self.directory.extend(common);
        // No extra field, no comment, first disk, no attributes.
        self.directory.extend([0; 12]);
        self.directory.extend(start.to_le_bytes());
        self.directory.extend(head.name.as_bytes());
        self.count += 1;
        Ok(())
    }

    /// Writes the directory.
    pub fn finish(mut self) -> Result<(), ExportError> {
        let (start, size) = (narrow(self.position)?, narrow(self.directory.len() as u64)?);
        let directory = std::mem::take(&mut self.directory);
        self.put(&directory)?;
        let mut end = 0x0605_4b50u32.to_le_bytes().to_vec();
        for field in [0u16, 0, self.count, self.count] {
            end.extend(field.to_le_bytes());
        }
        end.extend(size.to_le_bytes());
        end.extend(start.to_le_bytes());
        end.extend(0u16.to_le_bytes());
        self.put(&end)?;
        Ok(self.out.flush()?)
    }

    /// An extra field that makes the entry's bytes begin where they should.
    fn padding(&self, name: &str) -> Vec<u8> {
        let head = self.position + LOCAL_HEADER + name.len() as u64 + 4;
        let length = head.next_multiple_of(ALIGNMENT) - head;
        let mut field = PADDING.to_le_bytes().to_vec();
        field.extend((length as u16).to_le_bytes());
        field.resize(field.len() + length as usize, b'Z');
        field
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), ExportError> {
        self.position += bytes.len() as u64;
        Ok(self.out.write_all(bytes)?)
    }
}

/// The format without zip64 counts in 32 bits; the largest StyleGAN2 checkpoint has a tenth of that.
fn narrow(number: u64) -> Result<u32, ExportError> {
    u32::try_from(number).map_err(|_| ExportError::Unwritable {
        format: "a rosinality checkpoint",
        what: "its size".to_owned(),
        expected: "less than 4 GiB".to_owned(),
        found: format!("{number} bytes"),
    })
}
