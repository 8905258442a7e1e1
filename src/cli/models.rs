//! `toonify models`: `list`, `path`, `pull` and `rm`.

use anyhow::Result;
use clap::{Args, Subcommand};

use crate::cli::OutputArgs;
use crate::models::{self, ModelEntry};
use crate::store::models::ModelFolders;

const EXAMPLES: &str = "\
Examples:
  # What is here, and what can be had
  toonify models list

  # A published face model, for fine-tuning
  toonify models pull celebahq256

Wherever a command takes a model, its name does as well as its file. Some come within the program and are unpacked into the
cache when they are used. All others are looked for in the folder that TOONIFY_MODELS names, in `models` beside the program, and in the cache.";

/// What can be done with models.
#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub(crate) enum ModelsCommand {
    /// List the models that are here or known by name
    List(ListArgs),
    /// Say where a model lies
    Path(NameArgs),
    /// Download a model, known by name or by its address
    Pull(NameArgs),
    /// Delete a model from the cache
    Rm(NameArgs),
}

/// Arguments of `toonify models list`.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    output: OutputArgs,
}

/// A model.
#[derive(Debug, Args)]
pub(crate) struct NameArgs {
    /// Name, file name or address
    name: String,
    #[command(flatten)]
    output: OutputArgs,
}

impl ModelsCommand {
    pub(crate) fn run(self) -> Result<()> {
        let folders = ModelFolders::of_this_user();
        let (path, output) = match self {
            ModelsCommand::List(args) => {
                let list = models::list(&folders);
                return args.output.print(&list, list.iter().map(line));
            }
            ModelsCommand::Path(args) => (models::path(&args.name, &folders)?, args.output),
            ModelsCommand::Pull(args) => (models::pull(&args.name, &folders, &mut args.output.sink())?, args.output),
            ModelsCommand::Rm(args) => (models::remove(&args.name, &folders)?, args.output),
        };
        output.print(&path, [path.display().to_string()])
    }
}

/// Name, size and place of what is here; name and address of what is not.
fn line(entry: &ModelEntry) -> String {
    let place = match (&entry.path, &entry.url) {
        (Some(path), _) => path.display().to_string(),
        (None, Some(url)) => url.clone(),
        (None, None) => format!("within the program: {}", entry.about),
    };
    let size = entry.bytes.map_or("-".to_owned(), |bytes| format!("{:.1} MB", bytes as f64 / 1e6));
    format!("{:<24} {size:>10}  {place}", entry.name)
}
