//! The bytes of a JPEG file to whether they are all there: the markers are walked to the end-of-image marker (ITU-T T.81,
//! annex B). The decoder itself fills what is missing with gray and says nothing.

use anyhow::{Result, anyhow, bail};

const START_OF_SCAN: u8 = 0xda;
const END_OF_IMAGE: u8 = 0xd9;

/// Refuses a file that ends before its end-of-image marker.
///
/// What follows that marker is nobody's business: cameras put further pictures and videos there. A thumbnail's own end,
/// inside a segment, does not count; every scan of a progressive file does.
///
/// # Errors
/// When the file is cut off, or when a segment does not start where the one before it ended.
pub(super) fn check_complete(bytes: &[u8]) -> Result<()> {
    let cut_off = || anyhow!("the JPEG file is cut off: it ends after {} bytes, inside the picture", bytes.len());
    let mut at = 2;
    loop {
        let Some(&[0xff, marker]) = bytes.get(at..at + 2) else {
            if bytes.len() < at + 2 {
                return Err(cut_off());
            }
            bail!("the JPEG file is damaged: byte {at} is not the start of a segment");
        };
        at += match marker {
            // A fill byte; the next one may be the marker.
            0xff => 1,
            END_OF_IMAGE => return Ok(()),
            // Markers that stand alone.
            0x01 | 0xd0..=0xd8 => 2,
            _ => 2 + segment_len(bytes, at + 2).ok_or_else(cut_off)?,
        };
        if marker == START_OF_SCAN {
            at += scan_len(bytes.get(at..).unwrap_or_default()).ok_or_else(cut_off)?;
        }
    }
}

/// Length of a segment, that of its two length bytes included.
fn segment_len(bytes: &[u8], at: usize) -> Option<usize> {
    let length = bytes.get(at..at + 2)?;
    Some(usize::from(u16::from_be_bytes([length[0], length[1]])).max(2))
}

/// Bytes of entropy-coded data in front of the next marker that is no restart.
fn scan_len(bytes: &[u8]) -> Option<usize> {
    let ends = |pair: &[u8]| pair[0] == 0xff && !matches!(pair[1], 0x00 | 0xd0..=0xd7 | 0xff);
    bytes.windows(2).position(ends)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: [u8; 8] = [0xff, 0xd8, 0xff, 0xe0, 0, 4, 0xff, 0xd9];
    const SCAN: [u8; 10] = [0xff, 0xda, 0, 3, 7, 0xaa, 0xff, 0, 0xff, 0xd3];

    #[track_caller]
    fn check(parts: &[&[u8]], complete: bool) {
        assert_eq!(check_complete(&parts.concat()).is_ok(), complete);
    }

    #[test]
    fn a_file_is_complete_at_its_own_end_marker_only() {
        let end: &[u8] = &[0xff, 0xd9];
        check(&[&HEAD, &SCAN, end], true);
        check(&[&HEAD, &SCAN, &SCAN, &[0xff], end, b"trailing"], true);
        check(&[&HEAD, &SCAN], false);
        check(&[&HEAD, &SCAN, &[0xff]], false);
        check(&[&HEAD], false);
        check(&[&HEAD, &SCAN, end, &SCAN], true);
    }

    #[test]
    fn every_prefix_is_refused() {
        let whole = [&HEAD[..], &SCAN, &SCAN, &[0xff, 0xd9]].concat();
        for length in 0..whole.len() {
            assert!(check_complete(&whole[..length]).is_err(), "{length} bytes of {}", whole.len());
        }
        assert!(check_complete(&whole).is_ok());
    }

    #[test]
    fn bytes_where_a_segment_should_start_are_damage() {
        let error = check_complete(&[&HEAD[..], &[1, 2, 3]].concat()).unwrap_err().to_string();
        assert!(error.contains("byte 8 is not the start of a segment"), "{error}");
    }
}
