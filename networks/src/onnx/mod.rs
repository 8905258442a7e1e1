//! Networks as ONNX files, for programs that know nothing of this one.
//!
//! Weights are constants and only operators are used that Unity's inference engine and onnxruntime-web run; both lists,
//! with their sources, are in docs/export.md. Images are `[N, C, H, W]`, RGB in sRGB, from −1 to 1, which the metadata
//! of the file says too. The format is that of <https://github.com/onnx/onnx/blob/main/onnx/onnx.proto>.

mod graph;
mod proto;
mod student;
mod stylegan2;

pub use graph::{Dimension, Graph, OPSET, Operator, Storage};
pub use student::{Size, student};
pub use stylegan2::{mapping, synthesis};
