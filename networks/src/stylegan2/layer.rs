//! Typed names: one value for every tensor of a network, and the list of tensors that a configuration asks for.
//!
//! `Display` and `FromStr` are inverses; the text is the canonical name, which is the one of the StyleGAN2-ADA PyTorch
//! networks (`synthesis.b8.conv0.affine.weight`).

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result};
use crate::stylegan2::config::{Architecture, DiscriminatorConfig, GeneratorConfig, MappingConfig, Resolution};

/// A set of typed tensor names that some configuration makes complete.
pub trait TensorName: Copy + Ord + fmt::Display + FromStr<Err = Error> + fmt::Debug + Send + Sync + 'static {
    /// What decides which names exist and how large their tensors are.
    type Config;

    /// Lists every tensor that a network of this configuration has, with its shape.
    fn all(config: &Self::Config) -> Vec<(Self, Vec<usize>)>;
}

/// What a tensor is within its layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Term {
    /// Kernel `[O, I, k, k]` or matrix `[O, I]`.
    Weight,
    /// Bias `[O]`.
    Bias,
    /// Matrix from `w` to the style, `[I, w_dim]`.
    AffineWeight,
    /// Bias of the style, `[I]`, about 1.
    AffineBias,
    /// The fixed noise image, `[R, R]`.
    NoiseConst,
    /// Factor of the noise, a scalar.
    NoiseStrength,
}

const TERMS: [(Term, &str); 6] = [
    (Term::Weight, "weight"),
    (Term::Bias, "bias"),
    (Term::AffineWeight, "affine.weight"),
    (Term::AffineBias, "affine.bias"),
    (Term::NoiseConst, "noise_const"),
    (Term::NoiseStrength, "noise_strength"),
];

/// Place of a layer within a generator's block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Slot {
    /// The up-sampling convolution; absent at 4 px.
    Conv0,
    /// The second convolution.
    Conv1,
    /// The 1x1 convolution to the image.
    ToRgb,
    /// The 1x1 convolution beside a residual block.
    Skip,
}

const SLOTS: [(Slot, &str); 4] =
    [(Slot::Conv0, "conv0"), (Slot::Conv1, "conv1"), (Slot::ToRgb, "torgb"), (Slot::Skip, "skip")];

/// One tensor of a generator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Layer {
    /// Label embedding of the mapping network.
    Embed(Term),
    /// Fully connected layer of the mapping network, from 0.
    Fc(usize, Term),
    /// Running average of `w`, `[w_dim]`.
    WAvg,
    /// The learnt input of the synthesis network, `[C, 4, 4]`.
    Const,
    /// A layer of a synthesis block.
    Block {
        /// Output resolution of the block.
        resolution: Resolution,
        /// Which of the block's layers.
        slot: Slot,
        /// Which of the layer's tensors.
        term: Term,
    },
}

impl TensorName for Layer {
    type Config = GeneratorConfig;

    fn all(config: &GeneratorConfig) -> Vec<(Layer, Vec<usize>)> {
        let mut list = Vec::new();
        mapping_layers(&config.mapping, config.z_dim, config.c_dim, config.w_dim, &mut |index, term, shape| {
            list.push((index.map_or(Layer::Embed(term), |index| Layer::Fc(index, term)), shape));
        });
        list.push((Layer::WAvg, vec![config.w_dim]));
        list.push((Layer::Const, vec![config.channels.at(Resolution::R4), 4, 4]));
        for resolution in config.resolution.ladder() {
            for (slot, term, shape) in synthesis_block(config, resolution) {
                list.push((Layer::Block { resolution, slot, term }, shape));
            }
        }
        list
    }
}

/// Tensors of the synthesis block that ends at `resolution`.
fn synthesis_block(config: &GeneratorConfig, resolution: Resolution) -> Vec<(Slot, Term, Vec<usize>)> {
    let (r, out) = (resolution.px(), config.channels.at(resolution));
    let below = resolution.half().map(|half| config.channels.at(half));
    let mut list = Vec::new();
    let mut styled = |slot, inputs: usize, outputs: usize, kernel: usize| {
        list.push((slot, Term::Weight, vec![outputs, inputs, kernel, kernel]));
        list.push((slot, Term::Bias, vec![outputs]));
        list.push((slot, Term::AffineWeight, vec![inputs, config.w_dim]));
        list.push((slot, Term::AffineBias, vec![inputs]));
        if config.use_noise && slot != Slot::ToRgb {
            list.push((slot, Term::NoiseConst, vec![r, r]));
            list.push((slot, Term::NoiseStrength, vec![]));
        }
    };
    if let Some(below) = below {
        styled(Slot::Conv0, below, out, 3);
    }
    styled(Slot::Conv1, out, out, 3);
    if config.architecture == Architecture::Skip || resolution == config.resolution {
        styled(Slot::ToRgb, out, config.img_channels, 1);
    }
    if let (Architecture::Resnet, Some(below)) = (config.architecture, below) {
        list.push((Slot::Skip, Term::Weight, vec![out, below, 1, 1]));
    }
    list
}

/// Calls `push(index, term, shape)` for the embedding (`None`) and the layers of a mapping network.
fn mapping_layers(
    config: &MappingConfig,
    z_dim: usize,
    c_dim: usize,
    w_dim: usize,
    push: &mut dyn FnMut(Option<usize>, Term, Vec<usize>),
) {
    let embed = if c_dim > 0 { config.embed_features } else { 0 };
    if c_dim > 0 {
        push(None, Term::Weight, vec![embed, c_dim]);
        push(None, Term::Bias, vec![embed]);
    }
    let mut inputs = z_dim + embed;
    for index in 0..config.num_layers {
        let outputs = if index + 1 == config.num_layers { w_dim } else { config.layer_features };
        push(Some(index), Term::Weight, vec![outputs, inputs]);
        push(Some(index), Term::Bias, vec![outputs]);
        inputs = outputs;
    }
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Layer::Embed(term) => write!(f, "mapping.embed.{}", text_of(&TERMS, term)),
            Layer::Fc(index, term) => write!(f, "mapping.fc{index}.{}", text_of(&TERMS, term)),
            Layer::WAvg => f.write_str("mapping.w_avg"),
            Layer::Const => f.write_str("synthesis.b4.const"),
            Layer::Block { resolution, slot, term } => {
                write!(f, "synthesis.b{resolution}.{}.{}", text_of(&SLOTS, slot), text_of(&TERMS, term))
            }
        }
    }
}

impl FromStr for Layer {
    type Err = Error;

    fn from_str(name: &str) -> Result<Layer> {
        parse_generator(name).ok_or_else(|| Error::value("tensor name", name, "a tensor of a StyleGAN2 generator"))
    }
}

fn parse_generator(name: &str) -> Option<Layer> {
    match name {
        "mapping.w_avg" => return Some(Layer::WAvg),
        "synthesis.b4.const" => return Some(Layer::Const),
        _ => {}
    }
    if let Some(rest) = name.strip_prefix("mapping.") {
        return Some(match parse_mapping(rest)? {
            (None, term) => Layer::Embed(term),
            (Some(index), term) => Layer::Fc(index, term),
        });
    }
    let (resolution, rest) = parse_block(name.strip_prefix("synthesis.")?)?;
    let (slot, term) = rest.split_once('.')?;
    Some(Layer::Block { resolution, slot: value_of(&SLOTS, slot)?, term: value_of(&TERMS, term)? })
}

/// Place of a layer within a discriminator's block; `Conv`, `Fc` and `Out` belong to the epilogue at 4 px.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DiscriminatorSlot {
    /// The 1x1 convolution from the image.
    FromRgb,
    /// The first convolution.
    Conv0,
    /// The down-sampling convolution.
    Conv1,
    /// The 1x1 convolution beside a residual block.
    Skip,
    /// Epilogue: the convolution after the minibatch standard deviation.
    Conv,
    /// Epilogue: the fully connected layer.
    Fc,
    /// Epilogue: the logit, or the vector that meets the mapped label.
    Out,
}

const DISCRIMINATOR_SLOTS: [(DiscriminatorSlot, &str); 7] = [
    (DiscriminatorSlot::FromRgb, "fromrgb"),
    (DiscriminatorSlot::Conv0, "conv0"),
    (DiscriminatorSlot::Conv1, "conv1"),
    (DiscriminatorSlot::Skip, "skip"),
    (DiscriminatorSlot::Conv, "conv"),
    (DiscriminatorSlot::Fc, "fc"),
    (DiscriminatorSlot::Out, "out"),
];

/// One tensor of a discriminator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DiscriminatorLayer {
    /// Label embedding of the mapping network.
    Embed(Term),
    /// Fully connected layer of the mapping network, from 0.
    Fc(usize, Term),
    /// A layer of a block.
    Block {
        /// Input resolution of the block.
        resolution: Resolution,
        /// Which of the block's layers.
        slot: DiscriminatorSlot,
        /// Which of the layer's tensors.
        term: Term,
    },
}

impl TensorName for DiscriminatorLayer {
    type Config = DiscriminatorConfig;

    fn all(config: &DiscriminatorConfig) -> Vec<(DiscriminatorLayer, Vec<usize>)> {
        let mut list = Vec::new();
        if config.c_dim > 0 {
            mapping_layers(&config.mapping, 0, config.c_dim, config.cmap_dim, &mut |index, term, shape| {
                let name = index.map_or(DiscriminatorLayer::Embed(term), |index| DiscriminatorLayer::Fc(index, term));
                list.push((name, shape));
            });
        }
        for resolution in config.resolution.ladder().rev() {
            for (slot, term, shape) in discriminator_block(config, resolution) {
                list.push((DiscriminatorLayer::Block { resolution, slot, term }, shape));
            }
        }
        list
    }
}

/// Tensors of the discriminator block that begins at `resolution`; at 4 px the epilogue.
///
/// A network for 4 px images, which the published code cannot build, reads its image in the epilogue.
fn discriminator_block(
    config: &DiscriminatorConfig,
    resolution: Resolution,
) -> Vec<(DiscriminatorSlot, Term, Vec<usize>)> {
    use DiscriminatorSlot::{Conv, Conv0, Conv1, Fc, FromRgb, Out, Skip};
    let width = config.channels.at(resolution);
    let mut list = Vec::new();
    let mut biased = |slot, shape: Vec<usize>| {
        let outputs = shape[0];
        list.push((slot, Term::Weight, shape));
        list.push((slot, Term::Bias, vec![outputs]));
    };
    if resolution == config.resolution || config.architecture == Architecture::Skip {
        biased(FromRgb, vec![width, config.img_channels, 1, 1]);
    }
    let Some(half) = resolution.half() else {
        biased(Conv, vec![width, width + config.mbstd_num_channels, 3, 3]);
        biased(Fc, vec![width, width * 16]);
        let logits = if config.c_dim > 0 { config.cmap_dim } else { 1 };
        biased(Out, vec![logits, width]);
        return list;
    };
    let below = config.channels.at(half);
    biased(Conv0, vec![width, width, 3, 3]);
    biased(Conv1, vec![below, width, 3, 3]);
    if config.architecture == Architecture::Resnet {
        list.push((Skip, Term::Weight, vec![below, width, 1, 1]));
    }
    list
}

impl fmt::Display for DiscriminatorLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DiscriminatorLayer::Embed(term) => write!(f, "mapping.embed.{}", text_of(&TERMS, term)),
            DiscriminatorLayer::Fc(index, term) => write!(f, "mapping.fc{index}.{}", text_of(&TERMS, term)),
            DiscriminatorLayer::Block { resolution, slot, term } => {
                write!(f, "b{resolution}.{}.{}", text_of(&DISCRIMINATOR_SLOTS, slot), text_of(&TERMS, term))
            }
        }
    }
}

impl FromStr for DiscriminatorLayer {
    type Err = Error;

    fn from_str(name: &str) -> Result<DiscriminatorLayer> {
        parse_discriminator(name)
            .ok_or_else(|| Error::value("tensor name", name, "a tensor of a StyleGAN2 discriminator"))
    }
}

fn parse_discriminator(name: &str) -> Option<DiscriminatorLayer> {
    if let Some(rest) = name.strip_prefix("mapping.") {
        return Some(match parse_mapping(rest)? {
            (None, term) => DiscriminatorLayer::Embed(term),
            (Some(index), term) => DiscriminatorLayer::Fc(index, term),
        });
    }
    let (resolution, rest) = parse_block(name)?;
    let (slot, term) = rest.split_once('.')?;
    let slot = value_of(&DISCRIMINATOR_SLOTS, slot)?;
    Some(DiscriminatorLayer::Block { resolution, slot, term: value_of(&TERMS, term)? })
}

/// Reads `embed.weight` or `fc3.bias`.
fn parse_mapping(name: &str) -> Option<(Option<usize>, Term)> {
    let (layer, term) = name.split_once('.')?;
    let term = value_of(&TERMS, term)?;
    if layer == "embed" {
        return Some((None, term));
    }
    Some((Some(parse_number(layer.strip_prefix("fc")?)?), term))
}

/// Reads `b16.rest` into the resolution and the rest.
fn parse_block(name: &str) -> Option<(Resolution, &str)> {
    let (block, rest) = name.strip_prefix('b')?.split_once('.')?;
    Some((Resolution::new(parse_number(block)?).ok()?, rest))
}

/// Reads a number that is written in the one way `Display` writes it.
fn parse_number(text: &str) -> Option<usize> {
    let number: usize = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

fn text_of<T: PartialEq>(table: &[(T, &'static str)], value: &T) -> &'static str {
    table.iter().find(|(v, _)| v == value).map(|(_, text)| *text).expect("the table lists every value of its enum")
}

fn value_of<T: Copy>(table: &[(T, &str)], text: &str) -> Option<T> {
    table.iter().find(|(_, t)| *t == text).map(|(value, _)| *value)
}
