//! Networks to ONNX files, for programs that know nothing of this one.
//!
//! Before a file gets its name it is run in every other runtime at hand, and compared with our own result: onnxruntime,
//! where a Python has it, and tract, with the feature `verify`.

mod comparison;
mod onnxruntime;
#[cfg(feature = "verify")]
mod tract;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::Serialize;
use toonify_networks::checkpoint::{Checkpoint, Parts};
use toonify_networks::latent::Truncation;
use toonify_networks::onnx::{self, Graph, OPSET, Operator, Size, Storage};
use toonify_networks::pix2pix::StudentFile;

use crate::events::{Event, Sink};
use crate::store::{atomic, checkpoint, student};

/// What to export; nothing is left to ask.
#[derive(Clone, Debug)]
pub struct ExportPlan {
    /// A student, or a checkpoint of any kind.
    pub model: PathBuf,
    /// File to write.
    pub output: PathBuf,
    /// The network in it.
    pub part: Part,
    /// How exactly weights are stored.
    pub storage: Storage,
}

/// The networks that can be exported.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Part {
    /// `photo` → `picture`
    Student(Size),
    /// `ws` → `image`
    Synthesis,
    /// `z` → `ws`
    Mapping(Truncation),
}

/// What was exported.
#[derive(Clone, Debug, Serialize)]
pub struct Exported {
    /// The file that was written.
    pub output: PathBuf,
    /// Its size.
    pub bytes: usize,
    /// Version of the operator set.
    pub opset: i64,
    /// Number of operations.
    pub nodes: usize,
    /// Operators in use.
    pub operators: Vec<String>,
    /// How the file compares with our own networks, one for each runtime at hand; empty when nobody has run it.
    pub comparisons: Vec<Comparison>,
}

/// A file's result beside our own, on random inputs.
#[derive(Clone, Debug, Serialize)]
pub struct Comparison {
    /// Who ran the file: name and version.
    pub runtime: String,
    /// Largest difference.
    pub largest: f32,
    /// Mean difference.
    pub mean: f32,
    /// Difference that the precision of the weights explains.
    pub tolerance: f32,
}

/// What there is to say when nobody has run a file.
pub const NOT_RUN: &str = "no other program has run the file: \
    for python3 to do it, `pip install onnxruntime numpy`, or build with `--features verify`";

/// A network as it was read.
enum Model {
    Student(Box<StudentFile>),
    Generator(Box<Checkpoint>),
}

/// Reads, writes, and compares where it can.
///
/// # Errors
/// When the model cannot be read, does not have the part, uses something that no file can say, or the file cannot be
/// written; and when a file that was run gives something else than our own network.
pub fn run(plan: &ExportPlan, sink: &mut dyn Sink) -> Result<Exported> {
    sink.event(&Event::Started { what: format!("exporting `{}`", plan.model.display()) });
    let model = read(plan)?;
    let graph = graph(&model, plan).with_context(|| format!("cannot export `{}`", plan.model.display()))?;
    let (nodes, operators) = (graph.nodes(), graph.operators().into_iter().map(Operator::name).collect());
    let bytes = graph.into_bytes();
    sink.event(&Event::Started { what: "running the file".to_owned() });
    let comparisons = comparison::compare(&model, plan, &bytes)?;
    if comparisons.is_empty() {
        sink.event(&Event::Warning(NOT_RUN.to_owned()));
    }
    atomic::write(&plan.output, &bytes)?;
    sink.event(&Event::Saved { path: plan.output.clone() });
    Ok(Exported { output: plan.output.clone(), bytes: bytes.len(), opset: OPSET, nodes, operators, comparisons })
}

/// What to export when only the file is given: a student as it is, otherwise the synthesis network.
///
/// # Errors
/// When there is no such file.
pub fn usual_part(model: &Path, size: Size) -> Result<Part> {
    Ok(if student::is_student(model)? { Part::Student(size) } else { Part::Synthesis })
}

fn read(plan: &ExportPlan) -> Result<Model> {
    match (plan.part, student::is_student(&plan.model)?) {
        (Part::Student(_), _) => Ok(Model::Student(Box::new(student::read(&plan.model)?))),
        (Part::Synthesis | Part::Mapping(_), false) => {
            Ok(Model::Generator(Box::new(checkpoint::read(&plan.model, Parts::GeneratorEma)?)))
        }
        (Part::Synthesis | Part::Mapping(_), true) => {
            bail!("`{}` is a student, which has neither mapping nor synthesis network", plan.model.display())
        }
    }
}

fn graph(model: &Model, plan: &ExportPlan) -> Result<Graph> {
    Ok(match (model, plan.part) {
        (Model::Student(file), Part::Student(size)) => {
            let mut graph = onnx::student(&file.config, &file.weights, size, plan.storage)?;
            graph.note("history", serde_json::to_string(&file.history)?);
            graph
        }
        (Model::Generator(model), Part::Synthesis) => onnx::synthesis(&model.config, &model.ema, plan.storage)?,
        (Model::Generator(model), Part::Mapping(truncation)) => {
            onnx::mapping(&model.config, &model.ema, &truncation, plan.storage)?
        }
        (Model::Student(_), _) | (Model::Generator(_), Part::Student(_)) => bail!("the model has no such part"),
    })
}
