//! Pickles of NVIDIA's TensorFlow code, stylegan2 and stylegan2-ada: a tuple (G, D, Gs) of networks with their variables.

use std::collections::BTreeMap;

use crate::checkpoint::array::Array;
use crate::checkpoint::contents::{Contents, Kind, Tensors, check_count};
use crate::checkpoint::names::tensorflow::LEFTOVERS;
use crate::checkpoint::nvidia::DISCRIMINATOR_W_AVG_BETA;
use crate::checkpoint::pickle::{Global, Node};
use crate::checkpoint::settings::Settings;
use crate::checkpoint::{ImportError, numpy};
use crate::stylegan2::{Architecture, Channels, DiscriminatorConfig, GeneratorConfig, MappingConfig, Resolution};

/// Reads the networks of a TensorFlow pickle.
///
/// # Errors
/// [`ImportError::Unsupported`] for anything older than StyleGAN2 or not made of three networks, or what is wrong with a
/// network.
pub(crate) fn contents<'a>(root: Node<'_, 'a>) -> Result<Contents<'a>, ImportError> {
    let elements: Vec<_> = root.elements().into_iter().flatten().take(4).collect();
    let [generator_node, discriminator_node, ema_node] = elements[..] else {
        let found = format!("{} in a pickle instead of the three networks (G, D, Gs)", root.describe());
        return Err(ImportError::Unsupported { found });
    };
    let (config, ema) = generator("Gs", ema_node)?;
    let mut contents = Contents::new(Kind::TensorFlow, config, ema);
    let (config, tensors) = generator("G", generator_node)?;
    contents.set_generator(config, tensors)?;
    contents.discriminator = Some(discriminator("D", discriminator_node)?);
    Ok(contents)
}

/// What a pickle is that holds one TensorFlow network instead of three.
pub(crate) fn lone_network(root: Node<'_, '_>) -> Option<String> {
    root.call(Global::TflibNetwork)?;
    let name = root.state().and_then(|state| state.get("name")?.name()).unwrap_or("without a name");
    Some(format!("the single TensorFlow network `{name}`, such as a feature detector, instead of (G, D, Gs)"))
}

fn generator<'a>(object: &str, node: Node<'_, 'a>) -> Result<(GeneratorConfig, Tensors<'a>), ImportError> {
    let state = network(object, node)?;
    let tensors = variables(object, state)?;
    let config = generator_config(&Settings::new(format!("`{object}`"), state.get("static_kwargs"))?)?;
    Ok((config, tensors))
}

fn discriminator<'a>(object: &str, node: Node<'_, 'a>) -> Result<(DiscriminatorConfig, Tensors<'a>), ImportError> {
    let state = network(object, node)?;
    let tensors = variables(object, state)?;
    let config = discriminator_config(&Settings::new(format!("`{object}`"), state.get("static_kwargs"))?)?;
    Ok((config, tensors))
}

/// The state of a network object, once its version is known to be StyleGAN2's.
fn network<'p, 'a>(object: &str, node: Node<'p, 'a>) -> Result<Node<'p, 'a>, ImportError> {
    const OLDEST: i64 = 4;
    let state = node.call(Global::TflibNetwork).and_then(|_| node.state());
    let version = state.and_then(|state| state.get("version")?.int());
    match (state, version) {
        (Some(state), Some(version)) if version >= OLDEST => Ok(state),
        (Some(_), Some(version)) => {
            let found = format!("StyleGAN1 or an older network (TensorFlow pickle version {version}, below {OLDEST})");
            Err(ImportError::Unsupported { found })
        }
        _ => {
            let expected = "a TensorFlow network with its state and version";
            Err(ImportError::malformed(format!("`{object}`"), expected, node.describe()))
        }
    }
}

/// The variables of a network and of its components, which come under their own name and a slash.
fn variables<'a>(object: &str, state: Node<'_, 'a>) -> Result<Tensors<'a>, ImportError> {
    let mut collected = Collected { arrays: BTreeMap::new(), left: state.pickle_length() };
    collected.add(object, "", state)?;
    for (key, component) in state.get("components").and_then(Node::entries).into_iter().flatten() {
        let name = key.name().unwrap_or_default();
        let object = format!("{object}.{name}");
        collected.add(&object, &format!("{name}/"), network(&object, component)?)?;
    }
    let mut arrays = collected.arrays;
    arrays.retain(|name, _| !LEFTOVERS.contains(&name.as_str()));
    refuse_other_architectures(object, &arrays)?;
    Ok(Tensors { object: object.to_owned(), arrays, verified: 0 })
}

struct Collected<'a> {
    arrays: BTreeMap<String, Array<'a>>,
    /// Bytes that arrays may still take: protocol 2 writes byte strings as text, which has to be copied, and one text
    /// may be used many times.
    left: usize,
}

impl<'a> Collected<'a> {
    fn add(&mut self, object: &str, prefix: &str, state: Node<'_, 'a>) -> Result<(), ImportError> {
        let list = state.get("variables").and_then(Node::elements);
        check_count(object, self.arrays.len() + list.as_ref().map_or(0, ExactSizeIterator::len))?;
        for entry in list.into_iter().flatten() {
            let pair: Vec<_> = entry.elements().into_iter().flatten().take(3).collect();
            let (name, value) = match pair[..] {
                [name, value] if name.name().is_some() => (name.name().unwrap_or_default(), value),
                _ => {
                    let object = format!("variables of `{object}`");
                    return Err(ImportError::malformed(object, "a name and an array", entry.describe()));
                }
            };
            let name = format!("{prefix}{name}");
            let array = numpy::array(&name, value)?;
            self.left = self.left.checked_sub(array.byte_count()).ok_or_else(|| ImportError::TooLarge {
                object: format!("bytes of the variables of `{object}`"),
                expected: state.pickle_length() as u64,
                found: state.pickle_length() as u64 + 1,
            })?;
            self.arrays.insert(name, array);
        }
        Ok(())
    }
}

/// Architectures that StyleGAN2's published PyTorch code cannot read either.
fn refuse_other_architectures(object: &str, arrays: &BTreeMap<String, Array<'_>>) -> Result<(), ImportError> {
    const OTHERS: [(&str, &str); 3] = [
        ("ToRGB_lod", "a progressively grown generator (StyleGAN1, or StyleGAN2 configurations A to D)"),
        ("FromRGB_lod", "a progressively grown discriminator (StyleGAN1, or StyleGAN2 configurations A to D)"),
        ("LabelConcat", "a network that concatenates its labels"),
    ];
    for (part, what) in OTHERS {
        if let Some(name) = arrays.keys().find(|name| name.contains(part)) {
            return Err(ImportError::Unsupported { found: format!("{what} as `{object}` (variable `{name}`)") });
        }
    }
    Ok(())
}

/// Settings that say how to run a network, not what it looks like.
const IGNORED: [&str; 6] =
    ["truncation_psi", "truncation_cutoff", "style_mixing_prob", "structure", "conditioning", "fused_modconv"];
/// Settings that both networks have.
const COMMON: [&str; 13] = [
    "label_size",
    "resolution",
    "num_channels",
    "mapping_layers",
    "mapping_fmaps",
    "mapping_lrmul",
    "fmap_base",
    "fmap_max",
    "num_fp16_res",
    "conv_clamp",
    "architecture",
    "resample_kernel",
    "nonlinearity",
];
const GENERATOR: [&str; 6] =
    ["latent_size", "dlatent_size", "label_fmaps", "mapping_nonlinearity", "w_avg_beta", "use_noise"];
const DISCRIMINATOR: [&str; 3] = ["freeze_layers", "mbstd_group_size", "mbstd_num_features"];

fn generator_config(settings: &Settings<'_, '_>) -> Result<GeneratorConfig, ImportError> {
    settings.only(&[&COMMON, &GENERATOR, &IGNORED])?;
    let (c_dim, w_dim) = (settings.size("label_size", 0)?, settings.size("dlatent_size", 512)?);
    let resolution = settings.resolution("resolution", Some(Resolution::R1024))?;
    let embed_features = settings.optional_size("label_fmaps", None)?.unwrap_or(w_dim);
    Ok(GeneratorConfig {
        z_dim: settings.size("latent_size", 512)?,
        c_dim,
        w_dim,
        resolution,
        img_channels: settings.size("num_channels", 3)?,
        mapping: MappingConfig {
            num_layers: settings.size("mapping_layers", 8)?,
            embed_features: if c_dim > 0 { embed_features } else { 0 },
            layer_features: settings.optional_size("mapping_fmaps", None)?.unwrap_or(w_dim),
            activation: settings.activation("mapping_nonlinearity")?,
            lr_multiplier: settings.number("mapping_lrmul", 0.01)?,
            w_avg_beta: settings.number("w_avg_beta", 0.995)?,
        },
        channels: channels(settings, resolution)?,
        architecture: settings.architecture(Architecture::Skip)?,
        activation: settings.activation("nonlinearity")?,
        conv_clamp: settings.bound("conv_clamp", None)?,
        num_fp16_res: settings.size("num_fp16_res", 0)?,
        use_noise: settings.truth("use_noise", true)?,
        resample_filter: settings.taps("resample_kernel")?,
    })
}

fn discriminator_config(settings: &Settings<'_, '_>) -> Result<DiscriminatorConfig, ImportError> {
    settings.only(&[&COMMON, &DISCRIMINATOR, &IGNORED])?;
    let resolution = settings.resolution("resolution", Some(Resolution::R1024))?;
    let channels = channels(settings, resolution)?;
    let c_dim = settings.size("label_size", 0)?;
    let features = settings.optional_size("mapping_fmaps", None)?.unwrap_or(channels.at(Resolution::R4));
    let features = if c_dim > 0 { features } else { 0 };
    Ok(DiscriminatorConfig {
        c_dim,
        resolution,
        img_channels: settings.size("num_channels", 3)?,
        cmap_dim: features,
        mapping: MappingConfig {
            num_layers: settings.size("mapping_layers", 0)?,
            embed_features: features,
            layer_features: features,
            activation: settings.activation("nonlinearity")?,
            lr_multiplier: settings.number("mapping_lrmul", 0.1)?,
            w_avg_beta: DISCRIMINATOR_W_AVG_BETA,
        },
        channels,
        architecture: settings.architecture(Architecture::Resnet)?,
        activation: settings.activation("nonlinearity")?,
        conv_clamp: settings.bound("conv_clamp", None)?,
        num_fp16_res: settings.size("num_fp16_res", 0)?,
        mbstd_group_size: settings.optional_size("mbstd_group_size", None)?,
        mbstd_num_channels: settings.size("mbstd_num_features", 1)?,
        freeze_layers: settings.size("freeze_layers", 0)?,
        resample_filter: settings.taps("resample_kernel")?,
    })
}

/// TensorFlow's widths count from half the resolution.
fn channels(settings: &Settings<'_, '_>, resolution: Resolution) -> Result<Channels, ImportError> {
    let (base, max) = (settings.size("fmap_base", 16384)?, settings.size("fmap_max", 512)?);
    Ok(Channels::from_base(base.saturating_mul(2), max, resolution))
}
