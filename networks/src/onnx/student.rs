//! The student as a graph: `photo` → `picture`.

use candle_core::{DType, Tensor};

use super::graph::{Attribute, Dimension, Graph, Operator, Storage};
use crate::error::{Error, Result};
use crate::pix2pix::config::{COLOURS, FOLD, MULTIPLE};
use crate::pix2pix::steps::{Activated, Conv, Op, SLOPE, Value};
use crate::pix2pix::{StudentConfig, StudentLayer};
use crate::stylegan2::Weights;

/// Size of the images that a file takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// One image of this height and width, multiples of [`MULTIPLE`].
    Fixed(usize, usize),
    /// Any number of images of any size, as long as it is a multiple of [`MULTIPLE`].
    Dynamic,
}

/// Writes the student down. The picture is cut off at −1 and 1.
///
/// # Errors
/// [`Error::Value`] for a size that is no multiple of [`MULTIPLE`].
pub fn student(config: &StudentConfig, weights: &Weights<StudentLayer>, size: Size, storage: Storage) -> Result<Graph> {
    let (batch, height, width) = dimensions(size)?;
    let mut graph = Graph::new("student", storage);
    let shape = |channels: usize| [batch.clone(), channels.into(), height.clone(), width.clone()];
    let image = graph.input("photo", &shape(config.img_channels));
    let mut writer = Writer { config, weights, graph, image, values: Vec::new() };
    for step in config.steps() {
        let value = writer.step(step.op)?;
        writer.values.push(value);
    }
    let Writer { mut graph, values, .. } = writer;
    let (low, high) = (graph.scalar("lowest", -1.0), graph.scalar("highest", 1.0));
    let last = values.last().expect("a student has steps");
    graph.named(Operator::Clip, &[last, &low, &high], &[], "picture");
    graph.output("picture", &shape(COLOURS));
    for (key, value) in [("kind", "student"), ("input", "photo"), ("output", "picture")] {
        graph.note(key, value);
    }
    graph.note("size_multiple", MULTIPLE);
    if config.img_channels > COLOURS {
        graph.note("extra_channels", "depth behind the colours, from -1 (byte 0) to 1 (byte 255)");
    }
    note_images(&mut graph);
    Ok(graph)
}

/// What everybody has to know about the images of our files.
pub(super) fn note_images(graph: &mut Graph) {
    let facts = [
        ("layout", "NCHW"),
        ("channel_order", "RGB"),
        ("value_range", "-1 to 1"),
        ("colour_space", "sRGB, as stored in image files (not linear light)"),
    ];
    facts.iter().for_each(|(key, value)| graph.note(key, value));
}

fn dimensions(size: Size) -> Result<(Dimension, Dimension, Dimension)> {
    let Size::Fixed(height, width) = size else { return Ok(("batch".into(), "height".into(), "width".into())) };
    let fits = |side: usize| side > 0 && side.is_multiple_of(MULTIPLE);
    if fits(height) && fits(width) {
        return Ok((1.into(), height.into(), width.into()));
    }
    Err(Error::value("image size", format!("{height}×{width}"), format!("multiples of {MULTIPLE}")))
}

/// The numbers of a tensor in row-major order.
pub(super) fn numbers(tensor: &Tensor) -> Result<Vec<f32>> {
    Ok(tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?)
}

struct Writer<'a> {
    config: &'a StudentConfig,
    weights: &'a Weights<StudentLayer>,
    graph: Graph,
    image: String,
    /// Names of the results of the steps so far.
    values: Vec<String>,
}

impl Writer<'_> {
    fn step(&mut self, op: Op) -> Result<String> {
        Ok(match op {
            // The fold is part of the convolution that follows.
            Op::Image | Op::Fold(_) => self.image.clone(),
            Op::Conv(x, conv) => self.conv(x, &conv)?,
            Op::Double(x) => {
                let scales = self.graph.constant(&format!("scales_{}", x.0), &[4], &[1.0, 1.0, 2.0, 2.0]);
                let settings = [
                    Attribute::Text("mode", "nearest"),
                    Attribute::Text("coordinate_transformation_mode", "asymmetric"),
                    Attribute::Text("nearest_mode", "floor"),
                ];
                self.graph.apply(Operator::Resize, &[&self.values[x.0], "", &scales], &settings)
            }
            Op::Add(x, y) => self.graph.apply(Operator::Add, &[&self.values[x.0], &self.values[y.0]], &[]),
            Op::Unfold(x) => {
                let settings = [Attribute::Int("blocksize", 2), Attribute::Text("mode", "CRD")];
                self.graph.apply(Operator::DepthToSpace, &[&self.values[x.0]], &settings)
            }
            Op::AddColours(x) => {
                let colours = self.colours();
                self.graph.apply(Operator::Add, &[&self.values[x.0], &colours], &[])
            }
        })
    }

    /// The image without what is beside its colours.
    fn colours(&mut self) -> String {
        if self.config.img_channels == COLOURS {
            return self.image.clone();
        }
        let graph = &mut self.graph;
        let (from, to) = (graph.integers("first_colour", &[0]), graph.integers("last_colour", &[COLOURS as i64]));
        let axis = graph.integers("colour_axis", &[1]);
        graph.apply(Operator::Slice, &[&self.image, &from, &to, &axis], &[])
    }

    fn conv(&mut self, x: Value, conv: &Conv) -> Result<String> {
        let tensor = |layer| self.weights.get(layer).expect("weights are complete");
        let folded = matches!(self.config.steps()[x.0].op, Op::Fold(_));
        let (kernel, stride) = conv.kernel;
        let mut shape = tensor(conv.weight).dims().to_vec();
        let mut weight = numbers(tensor(conv.weight))?;
        let (mut side, mut step) = (kernel, stride);
        if folded {
            (shape, weight) = unfolded(&shape, &weight);
            (side, step) = (kernel * FOLD, stride * FOLD);
        }
        let padding = (kernel / 2 * (side / kernel)) as i64;
        let mut inputs = vec![self.values[x.0].clone()];
        inputs.push(self.graph.constant(&conv.weight.to_string(), &shape, &weight));
        if let Some(bias) = conv.bias {
            let numbers = numbers(tensor(bias))?;
            inputs.push(self.graph.constant(&bias.to_string(), &[numbers.len()], &numbers));
        }
        let settings = [
            Attribute::Ints("kernel_shape", &[side as i64; 2]),
            Attribute::Ints("strides", &[step as i64; 2]),
            Attribute::Ints("pads", &[padding; 4]),
            Attribute::Int("group", conv.groups as i64),
        ];
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        let y = self.graph.apply(Operator::Conv, &inputs, &settings);
        Ok(match conv.activation {
            Activated::Yes => self.graph.apply(Operator::LeakyRelu, &[&y], &[Attribute::Float("alpha", SLOPE as f32)]),
            Activated::No => y,
        })
    }
}

/// A kernel on folded pixels as one on pixels: `[O, C·16, k, k]` → `[O, C, 4·k, 4·k]`.
fn unfolded(shape: &[usize], weight: &[f32]) -> (Vec<usize>, Vec<f32>) {
    let (outputs, channels, kernel) = (shape[0], shape[1] / (FOLD * FOLD), shape[2]);
    let side = kernel * FOLD;
    let mut spread = Vec::with_capacity(weight.len());
    for plane in 0..outputs * channels {
        for (y, x) in (0..side).flat_map(|y| (0..side).map(move |x| (y, x))) {
            let place = (y % FOLD) * FOLD + x % FOLD;
            let tap = (y / FOLD) * kernel + x / FOLD;
            spread.push(weight[(plane * FOLD * FOLD + place) * kernel * kernel + tap]);
        }
    }
    (vec![outputs, channels, side, side], spread)
}
