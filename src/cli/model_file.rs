//! Arguments that take a model: its file, or its name.

use std::path::PathBuf;

use crate::models;
use crate::store::models::ModelFolders;

/// The file of a model that is given by path or by name; for clap's `value_parser`.
pub(crate) fn model_file(text: &str) -> Result<PathBuf, String> {
    models::file(text, &ModelFolders::of_this_user()).map_err(|error| format!("{error:#}"))
}
