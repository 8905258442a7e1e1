//! Any checkpoint file to another kind, and a student to another precision.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use serde::Serialize;
use toonify_networks::checkpoint::{ImportReport, Parts, Precision, Unused};

use crate::events::{Event, Sink};
use crate::store::checkpoint::{self, CheckpointFile, Format};
use crate::store::student;

/// What to convert; nothing is left to ask.
#[derive(Clone, Debug)]
pub struct ConvertPlan {
    /// Checkpoint of any kind.
    pub input: PathBuf,
    /// File to write.
    pub output: PathBuf,
    /// Kind of the file to write.
    pub format: Format,
    /// Networks to take along.
    pub parts: Parts,
    /// What to do with tensors that have no place in the networks.
    pub unused: Unused,
}

/// What was converted.
#[derive(Clone, Debug, Serialize)]
pub struct Converted {
    /// The file that was written.
    pub output: PathBuf,
    /// What became of every tensor of the input; a student has all that it should have, or cannot be read.
    pub report: Option<ImportReport>,
}

/// Reads and writes.
///
/// # Errors
/// When the input cannot be read, the output cannot hold it, or the file cannot be written.
pub fn run(plan: &ConvertPlan, sink: &mut dyn Sink) -> Result<Converted> {
    sink.event(&Event::Started { what: format!("converting `{}`", plan.input.display()) });
    if student::is_student(&plan.input)? {
        return convert_student(plan, sink);
    }
    let (checkpoint, report) = CheckpointFile::open(&plan.input)?.read(plan.parts, plan.unused)?;
    for name in &report.unused {
        sink.event(&Event::Warning(format!("left out, it has no place in a StyleGAN2 network: {name}")));
    }
    for note in &checkpoint.provenance.notes {
        sink.event(&Event::Note(note.clone()));
    }
    for note in checkpoint::write(&plan.output, &checkpoint, plan.format)? {
        sink.event(&Event::Note(note));
    }
    sink.event(&Event::Saved { path: plan.output.clone() });
    Ok(Converted { output: plan.output.clone(), report: Some(report) })
}

fn convert_student(plan: &ConvertPlan, sink: &mut dyn Sink) -> Result<Converted> {
    let precision = match plan.format {
        Format::Toonify => Precision::Single,
        Format::ToonifyHalf => Precision::Half,
        Format::Rosinality => bail!("`{}` is a student, which is written to .safetensors", plan.input.display()),
    };
    student::write(&plan.output, &student::read(&plan.input)?, precision)?;
    sink.event(&Event::Saved { path: plan.output.clone() });
    Ok(Converted { output: plan.output.clone(), report: None })
}

/// The kind of file that a name asks for.
///
/// # Errors
/// When the name's ending is none that can be written.
pub fn format_of(output: &Path) -> Result<Format> {
    match output.extension().and_then(|extension| extension.to_str()) {
        Some("safetensors") => Ok(Format::Toonify),
        Some("pt") => Ok(Format::Rosinality),
        _ => bail!("cannot tell what to write to `{}`: expected a name in .safetensors or .pt", output.display()),
    }
}
