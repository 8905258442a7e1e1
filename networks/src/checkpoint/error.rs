//! What can be wrong with a checkpoint file: one variant for each way, always with what was expected and what was found.

use std::fmt;

use crate::error::Error;

/// The files that can be read, for messages.
pub const ACCEPTED: &str = "a StyleGAN2 checkpoint: an NVIDIA `.pkl` (PyTorch or TensorFlow), a rosinality `.pt` or a \
                            toonify `.safetensors`";

/// A checkpoint file that could not be understood. The caller adds the file's path.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The first bytes belong to no kind of file that is known here.
    #[error("the file {found}; expected {ACCEPTED}")]
    UnknownFormat {
        /// What the file begins with.
        found: String,
    },
    /// The file is of a known kind, but what it holds is not a StyleGAN2 network that can be built.
    #[error("the file holds {found}; expected {ACCEPTED}")]
    Unsupported {
        /// What the file holds.
        found: String,
    },
    /// The bytes end before an object does.
    #[error("{object} ends early: expected {expected} more bytes, found {found}")]
    Truncated {
        /// What was being read, and where.
        object: String,
        /// How many bytes it needs.
        expected: u64,
        /// How many are left.
        found: u64,
    },
    /// An object is not built the way its format says.
    #[error("{object}: expected {expected}, found {found}")]
    Malformed {
        /// What was being read.
        object: String,
        /// What the format says.
        expected: String,
        /// What is there.
        found: String,
    },
    /// A count or size is far above what any checkpoint has.
    #[error("{object}: expected at most {expected}, found {found}")]
    TooLarge {
        /// What is counted.
        object: String,
        /// The largest number accepted.
        expected: u64,
        /// The number announced or reached.
        found: u64,
    },
    /// A pickle names a class or function that no checkpoint needs. Nothing in a pickle is ever executed.
    #[error(
        "the pickle names `{found}` at byte {position}; expected only the classes that StyleGAN2 checkpoints are made of \
         (nothing was executed)"
    )]
    ForbiddenGlobal {
        /// Module and name.
        found: String,
        /// Offset of the instruction within the pickle.
        position: usize,
    },
    /// A pickle holds an instruction that no checkpoint needs.
    #[error(
        "the pickle has the instruction {found} at byte {position}; expected only instructions of protocols 2 to 5 that checkpoints use"
    )]
    Opcode {
        /// Name of the instruction, or its byte.
        found: String,
        /// Offset of the instruction within the pickle.
        position: usize,
    },
    /// A network was built with a setting that is not known.
    #[error("{object} has the unknown setting `{found}`; expected only {expected}")]
    UnknownSetting {
        /// The network or part of it.
        object: String,
        /// Name of the setting.
        found: String,
        /// The names that are known.
        expected: String,
    },
    /// A setting has a value that cannot be used.
    #[error("{object}: setting `{setting}` is {found}, expected {expected}")]
    Setting {
        /// The network or part of it.
        object: String,
        /// Name of the setting.
        setting: String,
        /// What would have been accepted.
        expected: String,
        /// The value.
        found: String,
    },
    /// The network needs a tensor that the file does not have.
    #[error(
        "{object} lacks the tensor `{name}` (`{canonical}`): expected shape {expected:?}, found none; {count} missing in all"
    )]
    Missing {
        /// Network in the file.
        object: String,
        /// What the tensor is called in this kind of file.
        name: String,
        /// Its canonical name.
        canonical: String,
        /// Its shape, in canonical layout.
        expected: Vec<usize>,
        /// How many tensors are missing.
        count: usize,
    },
    /// The file has tensors that the network does not have.
    #[error("{object} has tensors that its configuration does not have: expected none, found {}", Names(found))]
    Unused {
        /// Network in the file.
        object: String,
        /// Their names in the file.
        found: Vec<String>,
    },
    /// A tensor has another shape than the configuration says.
    #[error("{object}: tensor `{name}` has shape {found:?}, expected {expected:?}")]
    Shape {
        /// Network in the file.
        object: String,
        /// What the tensor is called in this kind of file.
        name: String,
        /// Shape that the configuration asks for, in canonical layout.
        expected: Vec<usize>,
        /// Shape in the file, turned to canonical layout.
        found: Vec<usize>,
    },
}

impl ImportError {
    /// Makes an [`ImportError::Malformed`] without ceremony.
    pub(crate) fn malformed(object: impl ToString, expected: impl ToString, found: impl ToString) -> Self {
        ImportError::Malformed { object: object.to_string(), expected: expected.to_string(), found: found.to_string() }
    }

    /// Turns the complaint of a configuration's own check into one about `object` in the file.
    pub(crate) fn from_check(object: &str, error: Error) -> Self {
        match error {
            Error::Value { what, found, expected } => {
                ImportError::Setting { object: object.to_owned(), setting: what.to_owned(), expected, found }
            }
            other => ImportError::malformed(object, "a valid configuration", other),
        }
    }
}

/// Shows the first few of many names.
struct Names<'n>(&'n [String]);

impl fmt::Display for Names<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 5;
        for (index, name) in self.0.iter().take(SHOWN).enumerate() {
            write!(f, "{}`{name}`", if index == 0 { "" } else { ", " })?;
        }
        if self.0.len() > SHOWN {
            write!(f, " and {} more", self.0.len() - SHOWN)?;
        }
        Ok(())
    }
}
