//! `toonify demo`

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use crate::align::model;
use crate::cli::OutputArgs;
use crate::cli::interrupt::stop_at_ctrl_c;
use crate::demo::{self, DemoPlan};
use crate::store::models::ModelFolders;

const EXAMPLES: &str = "\
Examples:
  # demo/index.html: from a portrait of nobody to a game character, stage by stage
  toonify demo

  # The same with a photo of your own
  toonify demo --photo me.jpg --outdir me";

/// Arguments of `toonify demo`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct DemoArgs {
    /// A photo with a face [default: a portrait that the shipped generator made]
    #[arg(long, value_name = "FILE")]
    photo: Option<PathBuf>,
    /// Folder for the page and everything on it
    #[arg(long, value_name = "DIR", default_value = "demo")]
    outdir: PathBuf,
    /// dlib's 68-point landmark model [default: in $TOONIFY_MODELS, in models/ beside the program, /usr/share/dlib]
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
    #[command(flatten)]
    output: OutputArgs,
}

impl DemoArgs {
    pub(crate) fn run(self) -> Result<()> {
        let plan = DemoPlan {
            photo: self.photo,
            outdir: self.outdir,
            landmarks: model::locate(self.model)?,
            folders: ModelFolders::of_this_user(),
        };
        let mut sink = self.output.sink();
        let outcome = demo::run(&plan, &stop_at_ctrl_c(&mut sink), &mut sink)?;
        drop(sink);
        let files = [&outcome.page, &outcome.toon, &outcome.pasted, &outcome.grid, &outcome.student_toon];
        self.output.print(&outcome, files.map(|path| path.display().to_string()))
    }
}
