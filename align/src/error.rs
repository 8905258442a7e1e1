//! What can go wrong in this crate, one variant for each thing a caller could do differently.

/// Result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// An error of the alignment crate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The photo holds no face that the detector knows.
    #[error("no face found")]
    NoFace,
    /// One face was asked for and the photo holds more.
    #[error("{count} faces found, expected exactly one")]
    SeveralFaces {
        /// How many faces there are.
        count: usize,
    },
    /// Every face is smaller than was asked for.
    #[error("the largest face is {largest_px} px wide, expected at least {min_px} px")]
    TooSmall {
        /// Width of the largest face's box.
        largest_px: u32,
        /// Width that was asked for.
        min_px: u32,
    },
    /// The landmarks do not span a square: eyes and mouth lie in one point, or a number is not finite.
    #[error("the landmarks do not span a face")]
    Degenerate,
    /// The frame lies outside the photo, or reaches so far beyond it that little would be photo.
    #[error("the crop's frame lies outside the photo of {width}x{height} px")]
    OutsidePhoto {
        /// Width of the photo in pixels.
        width: u32,
        /// Height of the photo in pixels.
        height: u32,
    },
    /// A number is outside the range that makes sense.
    #[error("`{what}` is {found}, expected {expected}")]
    Value {
        /// Name of the setting.
        what: &'static str,
        /// The value that was given.
        found: String,
        /// What would have been accepted.
        expected: &'static str,
    },
    /// The landmark model cannot be used.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// dlib gave up; the text is its own.
    #[error("the face detector failed: {0}")]
    Detector(String),
}

/// A landmark model whose bytes cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ModelError {
    /// The file is not the one that is known to be good.
    #[error("the landmark model has sha256 {found}, expected {expected}")]
    Checksum {
        /// Digest of the bytes that were given.
        found: String,
        /// Digest of the published file.
        expected: String,
    },
    /// The bytes end in the middle of the model.
    #[error("the landmark model ends too early, at byte {offset}")]
    Truncated {
        /// Where the bytes ended.
        offset: usize,
    },
    /// The bytes go on after the model.
    #[error("the landmark model has {count} bytes after its end")]
    TrailingBytes {
        /// How many bytes are left over.
        count: usize,
    },
    /// A value makes no sense where it stands.
    #[error("the landmark model is corrupt at byte {offset}: {what}")]
    Corrupt {
        /// Where the value ends.
        offset: usize,
        /// What is wrong with it.
        what: &'static str,
    },
    /// dlib itself could not open the file.
    #[error("dlib cannot open the model: {0}")]
    Refused(String),
}
