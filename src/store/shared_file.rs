//! One open file for many readers: each copy has a place of its own, so that threads read at once and none waits.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;

/// A file that is open for reading; a clone shares the file but not the place in it.
#[derive(Clone, Debug)]
pub struct SharedFile {
    file: Arc<File>,
    len: u64,
    at: u64,
}

impl SharedFile {
    /// Opens `path`, at its beginning.
    ///
    /// # Errors
    /// When there is no such file or it may not be read.
    pub fn open(path: &Path) -> io::Result<SharedFile> {
        let file = File::open(path)?;
        let len = file.metadata()?.len();
        Ok(SharedFile { file: Arc::new(file), len, at: 0 })
    }

    /// Goes to byte `at`; beyond the end nothing is read.
    pub fn rewind_to(&mut self, at: u64) {
        self.at = at;
    }
}

impl Read for SharedFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        #[cfg(unix)]
        let count = std::os::unix::fs::FileExt::read_at(&*self.file, buffer, self.at)?;
        #[cfg(windows)]
        let count = std::os::windows::fs::FileExt::seek_read(&*self.file, buffer, self.at)?;
        self.at += count as u64;
        Ok(count)
    }
}

impl Seek for SharedFile {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let place = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.len.checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = place.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        Ok(self.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_read_at_their_own_places() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("digits");
        std::fs::write(&path, b"0123456789").unwrap();
        let mut first = SharedFile::open(&path).unwrap();
        first.seek(SeekFrom::Start(2)).unwrap();
        let mut second = first.clone();
        let read = |file: &mut SharedFile| {
            let mut two = [0; 2];
            file.read_exact(&mut two).unwrap();
            two
        };
        assert_eq!([read(&mut first), read(&mut first), read(&mut second)], [*b"23", *b"45", *b"23"]);
        second.seek(SeekFrom::End(-2)).unwrap();
        assert_eq!(read(&mut second), *b"89");
        assert_eq!(second.read(&mut [0]).unwrap(), 0);
        assert!(second.seek(SeekFrom::Current(-11)).is_err());
    }
}
