//! Checkpoints of rosinality's stylegan2-pytorch: a dict of state dicts `g_ema`, `g` and `d`.
//!
//! The file says nothing of the configuration, so it is read off the tensors' shapes; what has no shape is the same in
//! every network of that project.

use std::collections::BTreeMap;

use crate::checkpoint::array::Array;
use crate::checkpoint::contents::{Contents, Kind, Tensors, check_count};
use crate::checkpoint::names::rosinality::{W_AVG, is_filter};
use crate::checkpoint::nvidia::DISCRIMINATOR_W_AVG_BETA;
use crate::checkpoint::pickle::{Global, Node};
use crate::checkpoint::torch::TorchFile;
use crate::checkpoint::{ImportError, filter, numpy};
use crate::ops::Activation;
use crate::stylegan2::{Architecture, Channels, DiscriminatorConfig, GeneratorConfig, MappingConfig, Resolution};

/// Taps of every filter of that project.
const TAPS: [f32; 4] = [1.0, 3.0, 3.0, 1.0];
/// Its generator stores filters multiplied by the square of the up-sampling factor.
const GENERATOR_GAIN: f32 = 4.0;

/// Where the average of `w` of the generator in training is kept when it is not that of `g_ema`; the project itself does
/// not look at it.
pub(crate) const GENERATOR_W_AVG: &str = "g_latent_avg";

/// Reads the networks of a rosinality checkpoint.
///
/// # Errors
/// [`ImportError::Unsupported`] when the file is something else that PyTorch saved, or what is wrong with a network.
pub(crate) fn contents<'a>(file: &TorchFile<'a>) -> Result<Contents<'a>, ImportError> {
    let root = file.root();
    let part = |name: &str| root.get(name).filter(|node| !node.is_none());
    let Some(ema_node) = part("g_ema") else { return Err(ImportError::Unsupported { found: not_a_checkpoint(root) }) };
    let mut ema = state_dict(file, "g_ema", ema_node)?;
    if !ema.contains_key("input.input") {
        let found = "a `g_ema` that is not a generator of rosinality's stylegan2-pytorch (no `input.input`)".to_owned();
        return Err(ImportError::Unsupported { found });
    }
    let latent_avg = part("latent_avg").map(|node| one_tensor(file, "latent_avg", node)).transpose()?;
    ema.extend(latent_avg.clone().map(|array| (W_AVG.to_owned(), array)));
    let (config, ema) = generator("g_ema", ema)?;
    let mut contents = Contents::new(Kind::Rosinality, config, ema);
    if let Some(node) = part("g") {
        let own = part(GENERATOR_W_AVG).map(|node| one_tensor(file, GENERATOR_W_AVG, node)).transpose()?;
        let mut tensors = state_dict(file, "g", node)?;
        tensors.extend(own.or(latent_avg).map(|array| (W_AVG.to_owned(), array)));
        let (config, tensors) = generator("g", tensors)?;
        contents.set_generator(config, tensors)?;
    }
    if let Some(node) = part("d") {
        contents.discriminator = Some(discriminator("d", state_dict(file, "d", node)?)?);
    }
    contents.provenance.augment_p = match part("ada_aug_p") {
        Some(node) => augment_p(file, node)?,
        None => None,
    };
    let known = ["g_ema", "g", "d", "latent_avg", GENERATOR_W_AVG, "ada_aug_p"];
    let keys = root.entries().into_iter().flatten().filter_map(|(key, _)| key.name());
    contents.ignored = keys.filter(|key| !known.contains(key)).map(str::to_owned).collect();
    Ok(contents)
}

/// What PyTorch saved that is not a checkpoint of that project.
fn not_a_checkpoint(root: Node<'_, '_>) -> String {
    let is_tensor = |node: Node<'_, '_>| {
        [Global::RebuildTensor, Global::RebuildParameter].iter().any(|class| node.call(*class).is_some())
    };
    let tensors = root.entries().into_iter().flatten().filter(|(_, node)| is_tensor(*node)).count();
    match tensors {
        0 => format!("{} saved by PyTorch, without `g_ema`", root.describe()),
        count => format!("a plain state dict of {count} tensors saved by PyTorch, without `g_ema`"),
    }
}

fn state_dict<'a>(file: &TorchFile<'a>, object: &str, node: Node<'_, 'a>) -> Result<Arrays<'a>, ImportError> {
    let malformed = |node: Node<'_, '_>| {
        ImportError::malformed(format!("`{object}`"), "a state dict of named tensors", node.describe())
    };
    let mut tensors = BTreeMap::new();
    let entries = node.entries().ok_or_else(|| malformed(node))?;
    check_count(object, entries.len())?;
    for (key, value) in entries {
        let name = key.name().ok_or_else(|| malformed(key))?;
        tensors.insert(name.to_owned(), file.tensor(name, value)?.ok_or_else(|| malformed(value))?);
    }
    Ok(tensors)
}

fn one_tensor<'a>(file: &TorchFile<'a>, name: &str, node: Node<'_, 'a>) -> Result<Array<'a>, ImportError> {
    file.tensor(name, node)?.ok_or_else(|| ImportError::malformed(format!("`{name}`"), "a tensor", node.describe()))
}

/// The augmentation probability: a number or a tensor of one.
fn augment_p(file: &TorchFile<'_>, node: Node<'_, '_>) -> Result<Option<f64>, ImportError> {
    if let Some(number) = numpy::number(node) {
        return Ok(Some(number));
    }
    let Some(array) = file.tensor("ada_aug_p", node)? else { return Ok(None) };
    Ok(match array.shape().iter().product() {
        1usize => array.to_f32("ada_aug_p")?.first().copied().map(f64::from),
        _ => None,
    })
}

fn generator<'a>(object: &str, tensors: Arrays<'a>) -> Result<(GeneratorConfig, Tensors<'a>), ImportError> {
    let (filters, arrays) = filters_apart(tensors);
    let shapes = Shapes { object, arrays: &arrays };
    let above = (0..).take_while(|k| arrays.contains_key(&format!("to_rgbs.{k}.conv.weight"))).count();
    let resolution = resolution(object, above)?;
    let mut widths = vec![shapes.extent("input.input", 4, 1)?];
    for k in 0..above {
        widths.push(shapes.extent(&format!("convs.{}.conv.weight", 2 * k), 5, 1)?);
    }
    let w_dim = shapes.extent("style.1.weight", 2, 0)?;
    let config = GeneratorConfig {
        z_dim: shapes.extent("style.1.weight", 2, 1)?,
        c_dim: 0,
        w_dim,
        resolution,
        img_channels: shapes.extent("to_rgb1.bias", 4, 1)?,
        mapping: MappingConfig {
            num_layers: (1..).take_while(|i| arrays.contains_key(&format!("style.{i}.weight"))).count(),
            embed_features: 0,
            layer_features: w_dim,
            activation: Activation::Lrelu,
            lr_multiplier: 0.01,
            w_avg_beta: 0.995,
        },
        channels: Channels::from_widths(widths),
        architecture: Architecture::Skip,
        activation: Activation::Lrelu,
        conv_clamp: None,
        num_fp16_res: 0,
        use_noise: true,
        resample_filter: filter::settle(TAPS.to_vec(), GENERATOR_GAIN, &filters)?,
    };
    Ok((config, Tensors { object: object.to_owned(), arrays, verified: filters.len() }))
}

fn discriminator<'a>(object: &str, tensors: Arrays<'a>) -> Result<(DiscriminatorConfig, Tensors<'a>), ImportError> {
    let (filters, arrays) = filters_apart(tensors);
    let shapes = Shapes { object, arrays: &arrays };
    let above = (1..).take_while(|i| arrays.contains_key(&format!("convs.{i}.conv1.0.weight"))).count();
    let mut widths = vec![shapes.extent("convs.0.0.weight", 4, 0)?];
    for block in 1..=above {
        widths.push(shapes.extent(&format!("convs.{block}.conv2.1.weight"), 4, 0)?);
    }
    widths.reverse();
    let config = DiscriminatorConfig {
        c_dim: 0,
        resolution: resolution(object, above)?,
        img_channels: shapes.extent("convs.0.0.weight", 4, 1)?,
        cmap_dim: 0,
        mapping: MappingConfig {
            num_layers: 8,
            embed_features: 0,
            layer_features: 0,
            activation: Activation::Lrelu,
            lr_multiplier: 0.01,
            w_avg_beta: DISCRIMINATOR_W_AVG_BETA,
        },
        mbstd_num_channels: shapes.extent("final_conv.0.weight", 4, 1)?.saturating_sub(widths[0]),
        channels: Channels::from_widths(widths),
        architecture: Architecture::Resnet,
        activation: Activation::Lrelu,
        conv_clamp: None,
        num_fp16_res: 0,
        mbstd_group_size: Some(4),
        freeze_layers: 0,
        resample_filter: filter::settle(TAPS.to_vec(), 1.0, &filters)?,
    };
    Ok((config, Tensors { object: object.to_owned(), arrays, verified: filters.len() }))
}

type Arrays<'a> = BTreeMap<String, Array<'a>>;

fn filters_apart(tensors: Arrays<'_>) -> (Vec<(String, Array<'_>)>, Arrays<'_>) {
    let (filters, others): (Arrays<'_>, Arrays<'_>) = tensors.into_iter().partition(|(name, _)| is_filter(name));
    (filters.into_iter().collect(), others)
}

/// Side of the images of a network with this many blocks above 4 px.
fn resolution(object: &str, above: usize) -> Result<Resolution, ImportError> {
    let px = 4usize.checked_shl(above.try_into().unwrap_or(u32::MAX)).unwrap_or(usize::MAX);
    Resolution::new(px).map_err(|error| ImportError::from_check(object, error))
}

/// Looks extents up, for tensors that may not be there.
struct Shapes<'s, 'a> {
    object: &'s str,
    arrays: &'s Arrays<'a>,
}

impl Shapes<'_, '_> {
    fn extent(&self, name: &str, axes: usize, axis: usize) -> Result<usize, ImportError> {
        let shape = self.arrays.get(name).map(Array::shape);
        match shape {
            Some(shape) if shape.len() == axes => Ok(shape[axis]),
            _ => {
                let found = shape.map_or("none".to_owned(), |shape| format!("shape {shape:?}"));
                let expected = format!("a tensor `{name}` with {axes} axes");
                Err(ImportError::malformed(format!("`{}`", self.object), expected, found))
            }
        }
    }
}
