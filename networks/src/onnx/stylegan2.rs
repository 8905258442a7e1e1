//! The generator as two graphs: `z` → `ws`, and `ws` → `image`.
//!
//! Modulation is unfused, so that the kernels are constants: the style scales what goes in, the demodulation what comes
//! out. Resampling is a fixed filter, growing a fixed transposed convolution without groups. Gains are part of the
//! weights, as the leaky ReLU lets positive factors pass.

use candle_core::Tensor;

use super::graph::{Attribute, Graph, Operator, Storage};
use super::student::{note_images, numbers};
use crate::error::{Error, Result};
use crate::latent::Truncation;
use crate::ops::upfirdn2d::up_padding;
use crate::ops::{Activation, Filter};
use crate::stylegan2::{Architecture, GeneratorConfig, Layer, Resolution, Slot, Term, Weights};

/// Added to sums of squares, as in the published networks.
const EPSILON: f32 = 1e-8;

/// Writes the mapping network down, with truncation: `z` `[N, z_dim]` (and `label` `[N, c_dim]`) → `ws`
/// `[N, num_ws, w_dim]`.
///
/// # Errors
/// [`Error::Value`] for an activation that is no rectifier.
pub fn mapping(
    config: &GeneratorConfig,
    weights: &Weights<Layer>,
    truncation: &Truncation,
    storage: Storage,
) -> Result<Graph> {
    let mut writer = Writer { config, weights, graph: Graph::new("mapping", storage) };
    let mut x = Vec::new();
    if config.z_dim > 0 {
        let z = writer.graph.input("z", &["batch".into(), config.z_dim.into()]);
        x.push(writer.normalised(&z, "z"));
    }
    if config.c_dim > 0 {
        let label = writer.graph.input("label", &["batch".into(), config.c_dim.into()]);
        let embedded = writer.fully_connected(&label, Layer::Embed, (Activation::Linear, 1.0))?;
        x.push(writer.normalised(&embedded, "label"));
    }
    let mut x = match x.as_slice() {
        [only] => only.clone(),
        both => {
            let both: Vec<&str> = both.iter().map(String::as_str).collect();
            writer.graph.apply(Operator::Concat, &both, &[Attribute::Int("axis", 1)])
        }
    };
    let act = (config.mapping.activation, config.mapping.lr_multiplier);
    for index in 0..config.mapping.num_layers {
        x = writer.fully_connected(&x, |term| Layer::Fc(index, term), act)?;
    }
    writer.truncated(&x, truncation)?;
    let mut graph = writer.graph;
    graph.output("ws", &["batch".into(), config.num_ws().into(), config.w_dim.into()]);
    for (key, value) in [("kind", "mapping"), ("input", "z, drawn from the standard normal distribution")] {
        graph.note(key, value);
    }
    graph.note("truncation_psi", truncation.psi);
    Ok(graph)
}

/// Writes the synthesis network down, with the fixed noise of the checkpoint: `ws` `[N, num_ws, w_dim]` → `image`
/// `[N, img_channels, R, R]`, cut off at −1 and 1.
///
/// # Errors
/// [`Error::Value`] for an activation that is no rectifier, or a resampling filter of one tap.
pub fn synthesis(config: &GeneratorConfig, weights: &Weights<Layer>, storage: Storage) -> Result<Graph> {
    let mut writer = Writer { config, weights, graph: Graph::new("synthesis", storage) };
    writer.graph.input("ws", &["batch".into(), config.num_ws().into(), config.w_dim.into()]);
    writer.graph.integers("image_axes", &[2, 3]);
    let (mut x, mut image) = (writer.constant(Layer::Const)?, None);
    for resolution in config.resolution.ladder() {
        (x, image) = writer.block(resolution, x, image)?;
    }
    let image = image.expect("the last block makes an image");
    let mut graph = writer.graph;
    let (low, high) = (graph.scalar("lowest", -1.0), graph.scalar("highest", 1.0));
    graph.named(Operator::Clip, &[&image, &low, &high], &[], "image");
    let side = config.resolution.px();
    graph.output("image", &["batch".into(), config.img_channels.into(), side.into(), side.into()]);
    for (key, value) in [("kind", "synthesis"), ("input", "ws"), ("noise", "const")] {
        graph.note(key, value);
    }
    note_images(&mut graph);
    Ok(graph)
}

struct Writer<'a> {
    config: &'a GeneratorConfig,
    weights: &'a Weights<Layer>,
    graph: Graph,
}

/// A styled convolution: where its tensors are, and what follows it.
struct Styled {
    resolution: Resolution,
    slot: Slot,
    /// Index of its `w`.
    index: usize,
    /// Factor of what comes out.
    gain: f64,
}

/// Slope of an activation for negative numbers, with its gain.
fn rectifier(activation: Activation) -> Result<(f64, f64)> {
    let slope = activation.negative_slope(None);
    let slope = slope.ok_or_else(|| Error::value("activation", format!("{activation:?}"), "linear, relu or lrelu"))?;
    Ok((slope, activation.default_gain()))
}

fn scaled(numbers: &[f32], factor: f64) -> Vec<f32> {
    numbers.iter().map(|number| (f64::from(*number) * factor) as f32).collect()
}

impl Writer<'_> {
    fn tensor(&self, layer: Layer) -> &Tensor {
        self.weights.get(layer).expect("weights are complete")
    }

    /// A tensor as it is, with an axis of length 1 in front.
    fn constant(&mut self, layer: Layer) -> Result<String> {
        let shape = [&[1], self.tensor(layer).dims()].concat();
        let numbers = numbers(self.tensor(layer))?;
        Ok(self.graph.constant(&layer.to_string(), &shape, &numbers))
    }

    /// x · rsqrt(mean x² + ε)
    fn normalised(&mut self, x: &str, name: &str) -> String {
        let graph = &mut self.graph;
        let square = graph.apply(Operator::Mul, &[x, x], &[]);
        let settings = [Attribute::Ints("axes", &[1]), Attribute::Int("keepdims", 1)];
        let mean = graph.apply(Operator::ReduceMean, &[&square], &settings);
        let factor = self.rsqrt(&mean, &format!("{name}.epsilon"));
        self.graph.apply(Operator::Mul, &[x, &factor], &[])
    }

    /// 1 / √(x + ε)
    fn rsqrt(&mut self, x: &str, epsilon: &str) -> String {
        let epsilon = self.graph.scalar(epsilon, EPSILON);
        let sum = self.graph.apply(Operator::Add, &[x, &epsilon], &[]);
        let root = self.graph.apply(Operator::Sqrt, &[&sum], &[]);
        self.graph.apply(Operator::Reciprocal, &[&root], &[])
    }

    fn activated(&mut self, x: String, slope: f64) -> String {
        if slope == 1.0 {
            return x;
        }
        self.graph.apply(Operator::LeakyRelu, &[&x], &[Attribute::Float("alpha", slope as f32)])
    }

    fn fully_connected(
        &mut self,
        x: &str,
        layer: impl Fn(Term) -> Layer,
        (activation, lr_multiplier): (Activation, f64),
    ) -> Result<String> {
        let (slope, gain) = rectifier(activation)?;
        let (outputs, inputs) = self.tensor(layer(Term::Weight)).dims2()?;
        let factor = gain * lr_multiplier / (inputs as f64).sqrt();
        let weight = scaled(&numbers(self.tensor(layer(Term::Weight)))?, factor);
        let bias = scaled(&numbers(self.tensor(layer(Term::Bias)))?, gain * lr_multiplier);
        let weight = self.graph.constant(&layer(Term::Weight).to_string(), &[outputs, inputs], &weight);
        let bias = self.graph.constant(&layer(Term::Bias).to_string(), &[outputs], &bias);
        let y = self.graph.apply(Operator::Gemm, &[x, &weight, &bias], &[Attribute::Int("transB", 1)]);
        Ok(self.activated(y, slope))
    }

    /// `w` for every layer, pulled towards the average: ψ·w + (1 − ψ)·average.
    fn truncated(&mut self, w: &str, truncation: &Truncation) -> Result<()> {
        let (layers, length) = (self.config.num_ws(), self.config.w_dim);
        let average = numbers(self.tensor(Layer::WAvg))?;
        let cutoff = truncation.cutoff.unwrap_or(layers);
        let psi = |layer: usize| if layer < cutoff { truncation.psi } else { 1.0 };
        let factors: Vec<f32> = (0..layers).map(|layer| psi(layer) as f32).collect();
        let rests: Vec<f32> = (0..layers).flat_map(|layer| scaled(&average, 1.0 - psi(layer))).collect();
        let graph = &mut self.graph;
        let axis = graph.integers("layer_axis", &[1]);
        let w = graph.apply(Operator::Unsqueeze, &[w, &axis], &[]);
        let factors = graph.constant("truncation", &[1, layers, 1], &factors);
        let pulled = graph.apply(Operator::Mul, &[&w, &factors], &[]);
        let rests = graph.constant("average", &[1, layers, length], &rests);
        graph.named(Operator::Add, &[&pulled, &rests], &[], "ws");
        Ok(())
    }

    /// The features and the image after the block at `resolution`.
    fn block(
        &mut self,
        resolution: Resolution,
        mut x: String,
        image: Option<String>,
    ) -> Result<(String, Option<String>)> {
        let last = 2 * resolution.log2() - 4;
        let residual = self.config.architecture == Architecture::Resnet && resolution > Resolution::R4;
        let gain = if residual { 0.5f64.sqrt() } else { 1.0 };
        let mut shortcut = None;
        if resolution > Resolution::R4 {
            shortcut = residual.then(|| self.shortcut(resolution, &x, gain)).transpose()?;
            x = self.styled_conv(&x, &Styled { resolution, slot: Slot::Conv0, index: last - 1, gain: 1.0 })?;
        }
        x = self.styled_conv(&x, &Styled { resolution, slot: Slot::Conv1, index: last, gain })?;
        if let Some(shortcut) = shortcut {
            x = self.graph.apply(Operator::Add, &[&x, &shortcut], &[]);
        }
        let mut image = image.map(|image| self.enlarged(resolution, &image)).transpose()?;
        if self.config.architecture == Architecture::Skip || resolution == self.config.resolution {
            let rgb = self.image_of(&x, resolution, last + 1)?;
            image = Some(match image {
                Some(image) => self.graph.apply(Operator::Add, &[&image, &rgb], &[]),
                None => rgb,
            });
        }
        Ok((x, image))
    }

    /// The style `[N, I]` of a layer, scaled by `factor`.
    fn style(&mut self, layer: &impl Fn(Term) -> Layer, index: usize, factor: f64) -> Result<String> {
        let position = self.graph.index(&format!("{}.w", layer(Term::AffineWeight)), index as i64);
        let w = self.graph.apply(Operator::Gather, &["ws", &position], &[Attribute::Int("axis", 1)]);
        let (inputs, length) = self.tensor(layer(Term::AffineWeight)).dims2()?;
        let scale = factor / (length as f64).sqrt();
        let weight = scaled(&numbers(self.tensor(layer(Term::AffineWeight)))?, scale);
        let bias = scaled(&numbers(self.tensor(layer(Term::AffineBias)))?, factor);
        let weight = self.graph.constant(&layer(Term::AffineWeight).to_string(), &[inputs, length], &weight);
        let bias = self.graph.constant(&layer(Term::AffineBias).to_string(), &[inputs], &bias);
        Ok(self.graph.apply(Operator::Gemm, &[&w, &weight, &bias], &[Attribute::Int("transB", 1)]))
    }

    /// Scales the channels of `x` `[N, C, R, R]` by `factors` `[N, C]`.
    fn channels_scaled(&mut self, x: &str, factors: &str) -> String {
        let factors = self.graph.apply(Operator::Unsqueeze, &[factors, "image_axes"], &[]);
        self.graph.apply(Operator::Mul, &[x, &factors], &[])
    }

    fn styled_conv(&mut self, x: &str, styled: &Styled) -> Result<String> {
        let (resolution, slot) = (styled.resolution, styled.slot);
        let layer = |term| Layer::Block { resolution, slot, term };
        let (slope, act_gain) = rectifier(self.config.activation)?;
        let gain = act_gain * styled.gain;
        let style = self.style(&layer, styled.index, 1.0)?;
        let x = self.channels_scaled(x, &style);
        let y = if slot == Slot::Conv0 { self.growing_conv(&x, &layer, gain)? } else { self.conv(&x, &layer, gain)? };
        let factors = self.demodulation(&style, &layer)?;
        let mut y = self.channels_scaled(&y, &factors);
        if self.config.use_noise {
            y = self.noisy(&y, &layer, gain)?;
        }
        let bias = scaled(&numbers(self.tensor(layer(Term::Bias)))?, gain);
        let bias = self.graph.constant(&layer(Term::Bias).to_string(), &[1, bias.len(), 1, 1], &bias);
        let y = self.graph.apply(Operator::Add, &[&y, &bias], &[]);
        let y = self.activated(y, slope);
        Ok(self.clamped(y, &layer(Term::Bias), styled.gain))
    }

    fn noisy(&mut self, y: &str, layer: &impl Fn(Term) -> Layer, gain: f64) -> Result<String> {
        let strength = f64::from(numbers(self.tensor(layer(Term::NoiseStrength)))?[0]);
        let noise = scaled(&numbers(self.tensor(layer(Term::NoiseConst)))?, strength * gain);
        let (height, width) = self.tensor(layer(Term::NoiseConst)).dims2()?;
        let noise = self.graph.constant(&layer(Term::NoiseConst).to_string(), &[1, 1, height, width], &noise);
        Ok(self.graph.apply(Operator::Add, &[y, &noise], &[]))
    }

    fn clamped(&mut self, y: String, layer: &Layer, gain: f64) -> String {
        let Some(clamp) = self.config.conv_clamp else { return y };
        let bound = (clamp * gain) as f32;
        let low = self.graph.scalar(&format!("{layer}.lowest"), -bound);
        let high = self.graph.scalar(&format!("{layer}.highest"), bound);
        self.graph.apply(Operator::Clip, &[&y, &low, &high], &[])
    }

    /// rsqrt(style² · Σ kernel² + ε), `[N, O]`.
    fn demodulation(&mut self, style: &str, layer: &impl Fn(Term) -> Layer) -> Result<String> {
        let weight = self.tensor(layer(Term::Weight));
        let (outputs, inputs, _, _) = weight.dims4()?;
        let energies = numbers(&weight.sqr()?.sum((2, 3))?.t()?.contiguous()?)?;
        let name = layer(Term::Weight).to_string();
        let energies = self.graph.constant(&format!("{name}.energy"), &[inputs, outputs], &energies);
        let square = self.graph.apply(Operator::Mul, &[style, style], &[]);
        let sum = self.graph.apply(Operator::MatMul, &[&square, &energies], &[]);
        Ok(self.rsqrt(&sum, &format!("{name}.epsilon")))
    }

    fn conv(&mut self, x: &str, layer: &impl Fn(Term) -> Layer, gain: f64) -> Result<String> {
        let shape = self.tensor(layer(Term::Weight)).dims().to_vec();
        let weight = scaled(&numbers(self.tensor(layer(Term::Weight)))?, gain);
        let weight = self.graph.constant(&layer(Term::Weight).to_string(), &shape, &weight);
        let settings = [
            Attribute::Ints("kernel_shape", &[shape[2] as i64, shape[3] as i64]),
            Attribute::Ints("pads", &[(shape[2] / 2) as i64; 4]),
        ];
        Ok(self.graph.apply(Operator::Conv, &[x, &weight], &settings))
    }

    /// The kernel laid down in steps of two, then the filter.
    fn growing_conv(&mut self, x: &str, layer: &impl Fn(Term) -> Layer, gain: f64) -> Result<String> {
        let (outputs, inputs, _, _) = self.tensor(layer(Term::Weight)).dims4()?;
        let weight = self.tensor(layer(Term::Weight)).transpose(0, 1)?.contiguous()?;
        let weight = scaled(&numbers(&weight)?, gain);
        let name = layer(Term::Weight).to_string();
        let weight = self.graph.constant(&name, &[inputs, outputs, 3, 3], &weight);
        // Padding of the convolution and of the filter, less what the transposed convolution adds by itself.
        let filter = Filter::new(&self.config.resample_filter)?;
        let (before, after) = up_padding(filter.width(), 2);
        let (before, after) = (before as i64 - 1, after as i64);
        let crop = [(-before).max(0), (-after).max(0)];
        let y = self.transposed(x, &weight, 3, crop);
        let taps: Vec<f32> = filter.multiplied_out().iter().rev().map(|tap| (4.0 * tap) as f32).collect();
        let repeated: Vec<f32> = (0..outputs).flat_map(|_| taps.iter().copied()).collect();
        let side = filter.width();
        let kernel = self.graph.constant(&format!("{name}.filter"), &[outputs, 1, side, side], &repeated);
        let (before, after) = (before.max(0), after.max(0));
        let settings = [
            Attribute::Ints("kernel_shape", &[side as i64; 2]),
            Attribute::Ints("pads", &[before, before, after, after]),
            Attribute::Int("group", outputs as i64),
        ];
        Ok(self.graph.apply(Operator::Conv, &[&y, &kernel], &settings))
    }

    fn transposed(&mut self, x: &str, weight: &str, side: i64, [before, after]: [i64; 2]) -> String {
        let settings = [
            Attribute::Ints("kernel_shape", &[side; 2]),
            Attribute::Ints("strides", &[2; 2]),
            Attribute::Ints("pads", &[before, before, after, after]),
        ];
        self.graph.apply(Operator::ConvTranspose, &[x, weight], &settings)
    }

    /// `x` at twice the resolution, its channels mixed by `mixing` `[I, O]`, filtered: one transposed convolution.
    fn grown(&mut self, x: &str, name: &str, (inputs, outputs): (usize, usize), mixing: &[f32]) -> Result<String> {
        let filter = Filter::new(&self.config.resample_filter)?;
        let side = filter.width() as i64;
        // What the adjoint of a padded filter keeps of its canvas of 2·H + side − 2 pixels.
        let crop = side - 1 - up_padding(filter.width(), 2).0 as i64;
        if crop < 0 || side - 2 - crop < 0 {
            return Err(Error::value("resample_filter", format!("{side} taps"), "at least 2"));
        }
        let taps: Vec<f64> = filter.multiplied_out().iter().map(|tap| 4.0 * tap).collect();
        let kernels = mixing.iter().flat_map(|factor| scaled_taps(&taps, *factor)).collect::<Vec<f32>>();
        let kernels = self.graph.constant(name, &[inputs, outputs, side as usize, side as usize], &kernels);
        Ok(self.transposed(x, &kernels, side, [crop, side - 2 - crop]))
    }

    fn enlarged(&mut self, resolution: Resolution, image: &str) -> Result<String> {
        let channels = self.config.img_channels;
        let identity: Vec<f32> =
            (0..channels * channels).map(|i| if i / channels == i % channels { 1.0 } else { 0.0 }).collect();
        self.grown(image, &format!("synthesis.b{resolution}.enlarge"), (channels, channels), &identity)
    }

    /// The 1x1 convolution beside a residual block, and its filter, in one.
    fn shortcut(&mut self, resolution: Resolution, x: &str, gain: f64) -> Result<String> {
        let layer = Layer::Block { resolution, slot: Slot::Skip, term: Term::Weight };
        let (outputs, inputs, _, _) = self.tensor(layer).dims4()?;
        let weight = self.tensor(layer).reshape((outputs, inputs))?.t()?.contiguous()?;
        let mixing = scaled(&numbers(&weight)?, gain / (inputs as f64).sqrt());
        self.grown(x, &layer.to_string(), (inputs, outputs), &mixing)
    }

    fn image_of(&mut self, x: &str, resolution: Resolution, index: usize) -> Result<String> {
        let layer = |term| Layer::Block { resolution, slot: Slot::ToRgb, term };
        let (outputs, inputs, _, _) = self.tensor(layer(Term::Weight)).dims4()?;
        let style = self.style(&layer, index, 1.0 / (inputs as f64).sqrt())?;
        let x = self.channels_scaled(x, &style);
        let (weight, bias) = (numbers(self.tensor(layer(Term::Weight)))?, numbers(self.tensor(layer(Term::Bias)))?);
        let weight = self.graph.constant(&layer(Term::Weight).to_string(), &[outputs, inputs, 1, 1], &weight);
        let bias = self.graph.constant(&layer(Term::Bias).to_string(), &[outputs], &bias);
        let y = self.graph.apply(Operator::Conv, &[&x, &weight, &bias], &[Attribute::Ints("kernel_shape", &[1, 1])]);
        Ok(self.clamped(y, &layer(Term::Bias), 1.0))
    }
}

fn scaled_taps(taps: &[f64], factor: f32) -> Vec<f32> {
    taps.iter().map(|tap| (tap * f64::from(factor)) as f32).collect()
}
