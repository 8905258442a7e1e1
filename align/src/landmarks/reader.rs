//! The primitives of dlib's serialisation format: integers of variable length, floating point as mantissa and exponent,
//! columns of numbers. Bytes in, checked values out.

use crate::error::ModelError;

type Result<T> = std::result::Result<T, ModelError>;

/// Reads values one after the other.
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    offset: usize,
}

/// From this exponent on dlib means infinities and not-a-number.
const NOT_FINITE: i64 = 32_000;

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Reader { bytes, offset: 0 }
    }

    /// An error at the current place.
    pub(super) fn corrupt(&self, what: &'static str) -> ModelError {
        ModelError::Corrupt { offset: self.offset, what }
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let rest = &self.bytes[self.offset..];
        let taken = rest.get(..count).ok_or(ModelError::Truncated { offset: self.bytes.len() })?;
        self.offset += count;
        Ok(taken)
    }

    /// An integer: a byte with the sign and the number of bytes that follow, lowest first.
    pub(super) fn integer(&mut self) -> Result<i64> {
        let control = self.take(1)?[0];
        let count = usize::from(control & 0x0f);
        if control & 0x70 != 0 || !(1..=8).contains(&count) {
            return Err(self.corrupt("an integer with a wrong length"));
        }
        let magnitude = self.take(count)?.iter().rev().fold(0u64, |value, &byte| value << 8 | u64::from(byte));
        let value = i64::try_from(magnitude).map_err(|_| self.corrupt("an integer beyond 63 bits"))?;
        Ok(if control & 0x80 == 0 { value } else { -value })
    }

    /// An index that has to be below `limit`.
    pub(super) fn index(&mut self, limit: usize) -> Result<u16> {
        let value = self.integer()?;
        match u16::try_from(value) {
            Ok(index) if usize::from(index) < limit => Ok(index),
            _ => Err(self.corrupt("an index out of range")),
        }
    }

    /// How many items follow, each of `least_bytes` or more; so nobody asks for more memory than the file could fill.
    pub(super) fn count(&mut self, least_bytes: usize) -> Result<usize> {
        let count = usize::try_from(self.integer()?).map_err(|_| self.corrupt("a negative count"))?;
        if count > (self.bytes.len() - self.offset) / least_bytes {
            return Err(ModelError::Truncated { offset: self.bytes.len() });
        }
        Ok(count)
    }

    /// A number: mantissa times two to the exponent.
    pub(super) fn number(&mut self) -> Result<f32> {
        let (mantissa, exponent) = (self.integer()?, self.integer()?);
        if exponent.abs() >= NOT_FINITE {
            return Err(self.corrupt("a number that is not finite"));
        }
        let value = (mantissa as f64 * power_of_two(exponent)) as f32;
        if value.is_finite() { Ok(value) } else { Err(self.corrupt("a number that is too large")) }
    }

    /// The height of a column matrix whose numbers follow; newer files negate both its dimensions.
    pub(super) fn column_height(&mut self) -> Result<usize> {
        let (rows, columns) = (self.integer()?, self.integer()?);
        if columns.abs() != 1 {
            return Err(self.corrupt("a matrix that is no column"));
        }
        usize::try_from(rows.unsigned_abs()).map_err(|_| self.corrupt("a column that is too high"))
    }

    /// Says that the model is complete.
    pub(super) fn finish(self) -> Result<()> {
        match self.bytes.len() - self.offset {
            0 => Ok(()),
            count => Err(ModelError::TrailingBytes { count }),
        }
    }
}

/// Two to the exponent; 0 below the normal numbers and infinite above, as for an `f32` it comes to the same.
fn power_of_two(exponent: i64) -> f64 {
    match exponent {
        -1022..=1023 => f64::from_bits(((exponent + 1023) as u64) << 52),
        ..-1022 => 0.0,
        _ => f64::INFINITY,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(bytes: &[u8], expected: i64) {
        assert_eq!(Reader::new(bytes).integer(), Ok(expected));
    }

    #[test]
    fn integers_are_read() {
        check(&[1, 0], 0);
        check(&[1, 200], 200);
        check(&[0x82, 0x01, 0x02], -513);
        check(&[8, 255, 255, 255, 255, 255, 255, 255, 127], i64::MAX);
    }

    #[test]
    fn wrong_integers_are_refused() {
        for bytes in [&[0][..], &[9; 10], &[0x11, 1], &[8, 255, 255, 255, 255, 255, 255, 255, 255]] {
            assert!(matches!(Reader::new(bytes).integer(), Err(ModelError::Corrupt { .. })), "{bytes:?}");
        }
        assert_eq!(Reader::new(&[2, 1]).integer(), Err(ModelError::Truncated { offset: 2 }));
    }

    #[test]
    fn numbers_are_read_and_infinities_refused() {
        assert_eq!(Reader::new(&[1, 3, 0x81, 2]).number(), Ok(0.75));
        let infinity = [1, 0, 2, 0x00, 0x7d];
        assert!(matches!(Reader::new(&infinity).number(), Err(ModelError::Corrupt { .. })));
        assert!(matches!(Reader::new(&[1, 1, 1, 128]).number(), Err(ModelError::Corrupt { .. })));
    }

    #[test]
    fn powers_of_two_are_exact() {
        for exponent in [-1022, -60, -1, 0, 1, 77, 1023] {
            assert_eq!(power_of_two(exponent), 2f64.powi(exponent as i32));
        }
        assert_eq!((power_of_two(-1100), power_of_two(1024)), (0.0, f64::INFINITY));
    }

    #[test]
    fn counts_that_the_bytes_cannot_hold_are_refused() {
        assert_eq!(Reader::new(&[1, 2, 0, 0]).count(1), Ok(2));
        assert_eq!(Reader::new(&[1, 2, 0, 0]).count(2), Err(ModelError::Truncated { offset: 4 }));
        assert!(matches!(Reader::new(&[0x81, 2]).count(1), Err(ModelError::Corrupt { .. })));
    }
}
