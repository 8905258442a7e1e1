//! What can go wrong in this crate, one variant for each thing a caller could do differently.

use crate::checkpoint::ImportError;

/// Result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// An error of the networks crate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A tensor has another shape than its place needs.
    #[error("tensor `{name}` has shape {found:?}, expected {expected:?}")]
    Shape {
        /// What the tensor is called, in canonical names.
        name: String,
        /// Shape that was asked for.
        expected: Vec<usize>,
        /// Shape that was found.
        found: Vec<usize>,
    },
    /// A value is outside the range that the mathematics allows.
    #[error("`{what}` is {found}, expected {expected}")]
    Value {
        /// Name of the setting or argument.
        what: &'static str,
        /// The value that was given.
        found: String,
        /// What would have been accepted.
        expected: String,
    },
    /// Two networks that should be built alike are not.
    #[error("the models do not fit: `{what}` is {} in `{}` and {} in `{}`", first.1, first.0, second.1, second.0)]
    Unlike {
        /// What differs first.
        what: String,
        /// Name of the first network, and what it has.
        first: Box<(String, String)>,
        /// Name of the second network, and what it has.
        second: Box<(String, String)>,
    },
    /// A checkpoint file could not be understood.
    #[error(transparent)]
    Import(#[from] ImportError),
    /// A tensor operation failed.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
}

impl Error {
    /// Makes a [`Error::Value`] without ceremony.
    pub fn value(what: &'static str, found: impl ToString, expected: impl ToString) -> Self {
        Error::Value { what, found: found.to_string(), expected: expected.to_string() }
    }
}
