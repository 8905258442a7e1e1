//! What became of every tensor of a checkpoint file.

use serde::Serialize;

use crate::checkpoint::Kind;

/// Account of an import: each tensor of the file is matched, verified, unused or among the ignored objects.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ImportReport {
    /// Kind of the file.
    pub kind: Kind,
    /// Number of tensors that have a place in the networks.
    pub matched: usize,
    /// How many of those are transposed, reversed, reshaped or shifted on the way.
    pub turned: usize,
    /// Number of filters beside the weights that agree with the configuration.
    pub verified: usize,
    /// Canonical names of tensors that the file does not have and that are estimated instead.
    pub missing: Vec<String>,
    /// Tensors of the file that have no place in the networks; empty unless they were allowed.
    pub unused: Vec<String>,
    /// Objects of the file that are no networks, such as the optimiser's state.
    pub ignored: Vec<String>,
}

/// What to do with tensors that have no place in the networks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unused {
    /// Refuse the file: it may not be what it seems.
    #[default]
    Refuse,
    /// Leave them out and list them in the report.
    Allow,
}
