//! A cursor over borrowed bytes: hands out pieces of the input without copying, and says what was cut short.

use crate::checkpoint::ImportError;

/// Reads little-endian numbers and pieces from the front of `bytes`.
#[derive(Clone)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Reader<'a> {
    /// Starts at the first byte.
    pub fn new(bytes: &'a [u8]) -> Self {
        Reader { bytes, position: 0 }
    }

    /// Number of bytes read so far.
    pub fn position(&self) -> usize {
        self.position
    }

    /// Everything that has not been read.
    pub fn rest(&self) -> &'a [u8] {
        &self.bytes[self.position..]
    }

    /// The next `count` bytes, which belong to `object`.
    ///
    /// # Errors
    /// [`ImportError::Truncated`] when fewer are left.
    pub fn take(&mut self, count: u64, object: &str) -> Result<&'a [u8], ImportError> {
        let left = (self.bytes.len() - self.position) as u64;
        if count > left {
            let object = format!("{object} at byte {}", self.position);
            return Err(ImportError::Truncated { object, expected: count, found: left });
        }
        let piece = &self.bytes[self.position..][..count as usize];
        self.position += piece.len();
        Ok(piece)
    }

    /// The next `N` bytes as an array.
    ///
    /// # Errors
    /// [`ImportError::Truncated`] when fewer are left.
    pub fn array<const N: usize>(&mut self, object: &str) -> Result<[u8; N], ImportError> {
        Ok(self.take(N as u64, object)?.try_into().expect("`take` returns as many bytes as it was asked for"))
    }

    /// The next byte.
    ///
    /// # Errors
    /// [`ImportError::Truncated`] at the end.
    pub fn u8(&mut self, object: &str) -> Result<u8, ImportError> {
        Ok(self.array::<1>(object)?[0])
    }

    /// The next two bytes as a number.
    ///
    /// # Errors
    /// [`ImportError::Truncated`] when fewer are left.
    pub fn u16(&mut self, object: &str) -> Result<u16, ImportError> {
        Ok(u16::from_le_bytes(self.array(object)?))
    }

    /// The next four bytes as a number.
    ///
    /// # Errors
    /// [`ImportError::Truncated`] when fewer are left.
    pub fn u32(&mut self, object: &str) -> Result<u32, ImportError> {
        Ok(u32::from_le_bytes(self.array(object)?))
    }

    /// The next eight bytes as a number.
    ///
    /// # Errors
    /// [`ImportError::Truncated`] when fewer are left.
    pub fn u64(&mut self, object: &str) -> Result<u64, ImportError> {
        Ok(u64::from_le_bytes(self.array(object)?))
    }

    /// The bytes up to the next line feed, which is read but not returned.
    ///
    /// # Errors
    /// [`ImportError::Truncated`] when there is no line feed in the next 256 bytes.
    pub fn line(&mut self, object: &str) -> Result<&'a [u8], ImportError> {
        const LONGEST: usize = 256;
        let rest = self.rest();
        let window = &rest[..rest.len().min(LONGEST)];
        let Some(length) = window.iter().position(|&byte| byte == b'\n') else {
            let object = format!("{object} at byte {}", self.position);
            return Err(ImportError::Truncated { object, expected: LONGEST as u64, found: window.len() as u64 });
        };
        self.position += length + 1;
        Ok(&rest[..length])
    }
}
