//! NVIDIA's snapshot pickles, of stylegan2-ada-pytorch and of the StyleGAN2 networks in the stylegan3 repository.
//!
//! A dict with the networks `G`, `D` and `G_ema`, each a tree of persistent objects whose state is a module's dictionary.
//! The program text that the objects carry is not looked at.

use std::collections::BTreeMap;

use crate::checkpoint::array::Array;
use crate::checkpoint::contents::{Contents, Kind, Tensors, check_count};
use crate::checkpoint::json;
use crate::checkpoint::names::nvidia::{FILTER, discriminator_filters, generator_filters};
use crate::checkpoint::pickle::{Global, Node};
use crate::checkpoint::settings::Settings;
use crate::checkpoint::torch::embedded_tensor;
use crate::checkpoint::{ImportError, Provenance, filter};
use crate::stylegan2::{Architecture, Channels, DiscriminatorConfig, GeneratorConfig, MappingConfig, Resolution};

/// Modules lie at most this deep; a network has four levels.
const DEEPEST: usize = 8;
/// Most modules of one network; the largest published one has less than 100.
const MOST_MODULES: usize = 4096;

/// Reads the networks of a snapshot.
///
/// # Errors
/// [`ImportError::Unsupported`] when the dict is something else, or what is wrong with a network in it.
pub(crate) fn contents<'a>(root: Node<'_, 'a>) -> Result<Contents<'a>, ImportError> {
    let network = |name: &str| root.get(name).filter(|node| !node.is_none());
    let Some(ema) = network("G_ema") else { return Err(ImportError::Unsupported { found: not_a_snapshot(root) }) };
    let ema = Module::read("G_ema", ema)?;
    let variant = Variant::of(&ema)?;
    let (config, ema) = generator(&ema, variant)?;
    let mut contents = Contents::new(variant.kind(), config, ema);
    if let Some(node) = network("G") {
        let (config, tensors) = generator(&Module::read("G", node)?, variant)?;
        contents.set_generator(config, tensors)?;
    }
    if let Some(node) = network("D") {
        contents.discriminator = Some(discriminator(&Module::read("D", node)?, variant)?);
    }
    contents.provenance = provenance(root, variant)?;
    let known = ["G", "D", "G_ema", "augment_pipe", "training_set_kwargs"];
    let keys = root.entries().into_iter().flatten().filter_map(|(key, _)| key.name());
    contents.ignored = keys.filter(|key| !known.contains(key)).map(str::to_owned).collect();
    Ok(contents)
}

/// What a pickle is that is not a snapshot.
fn not_a_snapshot(root: Node<'_, '_>) -> String {
    if let Ok(module) = Module::read("the object", root) {
        return format!("one network of class `{}` instead of a snapshot with `G_ema`", module.class);
    }
    let tensors = root.entries().into_iter().flatten().filter(|(_, node)| {
        [Global::RebuildTensor, Global::RebuildParameter].iter().any(|class| node.call(*class).is_some())
    });
    match tensors.count() {
        0 => format!("{} without the network `G_ema`", root.describe()),
        count => format!("a plain state dict of {count} tensors"),
    }
}

/// The repository whose code wrote the networks; their defaults differ.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Variant {
    Ada,
    Stylegan3Repository,
}

impl Variant {
    fn of(generator: &Module<'_, '_>) -> Result<Self, ImportError> {
        let unsupported = |found: String| Err(ImportError::Unsupported { found });
        if generator.class != "Generator" {
            return unsupported(format!("a network of class `{}` as `{}`", generator.class, generator.path));
        }
        let (Some(synthesis), Some(_)) = (generator.child("synthesis")?, generator.child("mapping")?) else {
            return unsupported(format!("a generator `{}` without synthesis and mapping", generator.path));
        };
        if synthesis.child("input")?.is_some() {
            return unsupported("a StyleGAN3 generator (networks_stylegan3)".to_owned());
        }
        if synthesis.child("b4")?.is_none() {
            return unsupported(format!("a generator `{}` without StyleGAN2's block `b4`", generator.path));
        }
        // Only the newer code keeps this number in the network itself.
        let newer = synthesis.state.get("num_fp16_res").is_some();
        Ok(if newer { Variant::Stylegan3Repository } else { Variant::Ada })
    }

    fn kind(self) -> Kind {
        match self {
            Variant::Ada => Kind::NvidiaAda,
            Variant::Stylegan3Repository => Kind::NvidiaStylegan3Repository,
        }
    }

    fn num_fp16_res(self) -> usize {
        match self {
            Variant::Ada => 0,
            Variant::Stylegan3Repository => 4,
        }
    }

    fn conv_clamp(self) -> Option<f64> {
        match self {
            Variant::Ada => None,
            Variant::Stylegan3Repository => Some(256.0),
        }
    }

    fn w_avg_beta(self) -> f64 {
        match self {
            Variant::Ada => 0.995,
            Variant::Stylegan3Repository => 0.998,
        }
    }
}

/// A persistent object that stands for a PyTorch module.
struct Module<'p, 'a> {
    /// Where it is, from the root.
    path: String,
    class: &'a str,
    state: Node<'p, 'a>,
}

impl<'p, 'a> Module<'p, 'a> {
    fn read(path: impl Into<String>, node: Node<'p, 'a>) -> Result<Self, ImportError> {
        const VERSION: i64 = 6;
        let path = path.into();
        let meta = node.call(Global::PersistentObject).and_then(|args| args.elements()?.next());
        let fields = meta.and_then(|meta| {
            let known = meta.get("type")?.text()? == "class" && meta.get("version")?.int()? == VERSION;
            known.then_some((meta.get("class_name")?.name()?, meta.get("state")?))
        });
        match fields {
            Some((class, state)) if state.entries().is_some() => Ok(Module { path, class, state }),
            _ => {
                let expected = format!("a persistent object, version {VERSION}, with class and state");
                Err(ImportError::malformed(format!("`{path}`"), expected, node.describe()))
            }
        }
    }

    fn child(&self, name: &str) -> Result<Option<Module<'p, 'a>>, ImportError> {
        let node = self.state.get("_modules").and_then(|modules| modules.get(name)).filter(|node| !node.is_none());
        node.map(|node| Module::read(format!("{}.{name}", self.path), node)).transpose()
    }

    /// The keyword arguments that built it.
    fn settings(&self) -> Result<Settings<'p, 'a>, ImportError> {
        if self.state.get("_init_args").and_then(|args| args.elements()).is_some_and(|args| args.len() > 0) {
            let object = format!("settings of `{}`", self.path);
            return Err(ImportError::malformed(object, "keyword arguments only", "positional arguments"));
        }
        Settings::new(format!("`{}`", self.path), self.state.get("_init_kwargs"))
    }

    /// All tensors of the module and of those inside it, by name relative to it.
    fn tensors(&self) -> Result<BTreeMap<String, Array<'a>>, ImportError> {
        let mut walk = Walk { tensors: BTreeMap::new(), modules: 0, entries: 0 };
        walk.visit(self, "", 0)?;
        Ok(walk.tensors)
    }
}

struct Walk<'a> {
    tensors: BTreeMap<String, Array<'a>>,
    modules: usize,
    /// Tensors met, those of the same name included.
    entries: usize,
}

impl<'a> Walk<'a> {
    /// Modules may be shared and may even contain themselves, hence the two bounds.
    fn visit(&mut self, module: &Module<'_, 'a>, prefix: &str, depth: usize) -> Result<(), ImportError> {
        self.modules += 1;
        if depth > DEEPEST || self.modules > MOST_MODULES {
            let object = format!("modules in `{}`", module.path);
            return Err(ImportError::TooLarge { object, expected: MOST_MODULES as u64, found: self.modules as u64 });
        }
        for table in ["_parameters", "_buffers"] {
            for (name, node) in named(module, table)? {
                self.entries += 1;
                check_count(&module.path, self.entries)?;
                let name = format!("{prefix}{name}");
                let array = embedded_tensor(&name, node)?.ok_or_else(|| {
                    ImportError::malformed(format!("`{}`: `{name}`", module.path), "a tensor", node.describe())
                })?;
                self.tensors.insert(name, array);
            }
        }
        for (name, node) in named(module, "_modules")? {
            let child = Module::read(format!("{}.{name}", module.path), node)?;
            self.visit(&child, &format!("{prefix}{name}."), depth + 1)?;
        }
        Ok(())
    }
}

/// The entries of one of a module's tables that are not `None`.
fn named<'p, 'a>(module: &Module<'p, 'a>, table: &str) -> Result<Vec<(&'a str, Node<'p, 'a>)>, ImportError> {
    let entries = module.state.get(table).and_then(Node::entries);
    check_count(&module.path, entries.as_ref().map_or(0, ExactSizeIterator::len))?;
    let present = entries.into_iter().flatten().filter(|(_, node)| !node.is_none());
    let named = present.map(|(key, node)| key.name().map(|name| (name, node)).ok_or(key));
    named
        .collect::<Result<_, _>>()
        .map_err(|key| ImportError::malformed(format!("`{}`: {table}", module.path), "names as keys", key.describe()))
}

const GENERATOR: [&str; 6] = ["z_dim", "c_dim", "w_dim", "img_resolution", "img_channels", "mapping_kwargs"];
const SYNTHESIS: [&str; 10] = [
    "channel_base",
    "channel_max",
    "num_fp16_res",
    "conv_clamp",
    "architecture",
    "resample_filter",
    "activation",
    "use_noise",
    "fp16_channels_last",
    "fused_modconv_default",
];
const MAPPING: [&str; 6] =
    ["num_layers", "embed_features", "layer_features", "activation", "lr_multiplier", "w_avg_beta"];

fn generator<'a>(module: &Module<'_, 'a>, variant: Variant) -> Result<(GeneratorConfig, Tensors<'a>), ImportError> {
    let settings = module.settings()?;
    let synthesis = match variant {
        Variant::Ada => {
            settings.only(&[&GENERATOR, &["synthesis_kwargs"]])?;
            let synthesis = settings.part("synthesis_kwargs")?;
            synthesis.only(&[&SYNTHESIS])?;
            synthesis
        }
        Variant::Stylegan3Repository => {
            settings.only(&[&GENERATOR, &SYNTHESIS])?;
            module.settings()?
        }
    };
    let mut config = generator_config(&settings, &synthesis, variant)?;
    let tensors = split_filters(module.tensors()?, generator_filters);
    config.resample_filter = filter::settle(config.resample_filter, 1.0, &tensors.filters)?;
    Ok((config, Tensors { object: module.path.clone(), arrays: tensors.weights, verified: tensors.verified }))
}

fn generator_config(
    settings: &Settings<'_, '_>,
    synthesis: &Settings<'_, '_>,
    variant: Variant,
) -> Result<GeneratorConfig, ImportError> {
    let (c_dim, w_dim) = (settings.size("c_dim", 0)?, settings.size("w_dim", 512)?);
    let resolution = settings.resolution("img_resolution", None)?;
    Ok(GeneratorConfig {
        z_dim: settings.size("z_dim", 512)?,
        c_dim,
        w_dim,
        resolution,
        img_channels: settings.size("img_channels", 3)?,
        mapping: mapping(&settings.part("mapping_kwargs")?, c_dim, w_dim, variant.w_avg_beta())?,
        channels: channels(synthesis, resolution)?,
        architecture: synthesis.architecture(Architecture::Skip)?,
        activation: synthesis.activation("activation")?,
        conv_clamp: synthesis.bound("conv_clamp", variant.conv_clamp())?,
        num_fp16_res: synthesis.size("num_fp16_res", variant.num_fp16_res())?,
        use_noise: synthesis.truth("use_noise", true)?,
        resample_filter: synthesis.taps("resample_filter")?,
    })
}

fn channels(settings: &Settings<'_, '_>, resolution: Resolution) -> Result<Channels, ImportError> {
    let (base, max) = (settings.size("channel_base", 32768)?, settings.size("channel_max", 512)?);
    Ok(Channels::from_base(base, max, resolution))
}

/// A mapping network; without labels there is no embedding, whatever the settings say.
fn mapping(
    settings: &Settings<'_, '_>,
    c_dim: usize,
    w_dim: usize,
    w_avg_beta: f64,
) -> Result<MappingConfig, ImportError> {
    settings.only(&[&MAPPING])?;
    let embed_features = settings.optional_size("embed_features", None)?.unwrap_or(w_dim);
    Ok(MappingConfig {
        num_layers: settings.size("num_layers", 8)?,
        embed_features: if c_dim > 0 { embed_features } else { 0 },
        layer_features: settings.optional_size("layer_features", None)?.unwrap_or(w_dim),
        activation: settings.activation("activation")?,
        lr_multiplier: settings.number("lr_multiplier", 0.01)?,
        w_avg_beta: settings.number("w_avg_beta", w_avg_beta)?,
    })
}

fn discriminator<'a>(
    module: &Module<'_, 'a>,
    variant: Variant,
) -> Result<(DiscriminatorConfig, Tensors<'a>), ImportError> {
    if module.class != "Discriminator" {
        return Err(ImportError::Unsupported { found: format!("a network of class `{}` as `D`", module.class) });
    }
    let mut config = discriminator_config(&module.settings()?, variant)?;
    let tensors = split_filters(module.tensors()?, discriminator_filters);
    config.resample_filter = filter::settle(config.resample_filter, 1.0, &tensors.filters)?;
    Ok((config, Tensors { object: module.path.clone(), arrays: tensors.weights, verified: tensors.verified }))
}

fn discriminator_config(settings: &Settings<'_, '_>, variant: Variant) -> Result<DiscriminatorConfig, ImportError> {
    let parts = ["mapping_kwargs", "block_kwargs", "epilogue_kwargs"];
    let widths = ["channel_base", "channel_max", "num_fp16_res", "conv_clamp", "architecture", "cmap_dim"];
    settings.only(&[&["c_dim", "img_resolution", "img_channels"], &widths, &parts])?;
    let (block, epilogue) = (settings.part("block_kwargs")?, settings.part("epilogue_kwargs")?);
    block.only(&[&["activation", "resample_filter", "freeze_layers", "fp16_channels_last"]])?;
    epilogue.only(&[&["mbstd_group_size", "mbstd_num_channels", "activation"]])?;
    let resolution = settings.resolution("img_resolution", None)?;
    let channels = channels(settings, resolution)?;
    let c_dim = settings.size("c_dim", 0)?;
    let cmap_dim = settings.optional_size("cmap_dim", None)?.unwrap_or(channels.at(Resolution::R4));
    let cmap_dim = if c_dim > 0 { cmap_dim } else { 0 };
    Ok(DiscriminatorConfig {
        c_dim,
        resolution,
        img_channels: settings.size("img_channels", 3)?,
        cmap_dim,
        mapping: mapping(&settings.part("mapping_kwargs")?, c_dim, cmap_dim, DISCRIMINATOR_W_AVG_BETA)?,
        channels,
        architecture: settings.architecture(Architecture::Resnet)?,
        activation: same_activation(&block, &epilogue)?,
        conv_clamp: settings.bound("conv_clamp", variant.conv_clamp())?,
        num_fp16_res: settings.size("num_fp16_res", variant.num_fp16_res())?,
        mbstd_group_size: epilogue.optional_size("mbstd_group_size", Some(4))?,
        mbstd_num_channels: epilogue.size("mbstd_num_channels", 1)?,
        freeze_layers: block.size("freeze_layers", 0)?,
        resample_filter: block.taps("resample_filter")?,
    })
}

/// The discriminator's mapping has no average of `w`.
pub(crate) const DISCRIMINATOR_W_AVG_BETA: f64 = 0.0;

/// The one activation of the blocks and the epilogue.
fn same_activation(
    block: &Settings<'_, '_>,
    epilogue: &Settings<'_, '_>,
) -> Result<crate::ops::Activation, ImportError> {
    let (blocks, last) = (block.activation("activation")?, epilogue.activation("activation")?);
    if blocks == last {
        return Ok(blocks);
    }
    Err(ImportError::Setting {
        object: "`D` epilogue_kwargs".to_owned(),
        setting: "activation".to_owned(),
        expected: format!("{blocks:?} as in the blocks"),
        found: format!("{last:?}"),
    })
}

/// A network's tensors, its filters set apart.
struct Split<'a> {
    weights: BTreeMap<String, Array<'a>>,
    /// Filters that the network computes with.
    filters: Vec<(String, Array<'a>)>,
    /// Number of all filters.
    verified: usize,
}

fn split_filters<'a>(tensors: BTreeMap<String, Array<'a>>, used: fn(&str) -> bool) -> Split<'a> {
    let mut split = Split { weights: BTreeMap::new(), filters: Vec::new(), verified: 0 };
    for (name, array) in tensors {
        if name.rsplit('.').next() != Some(FILTER) {
            split.weights.insert(name, array);
            continue;
        }
        split.verified += 1;
        if used(&name) {
            split.filters.push((name, array));
        }
    }
    split
}

fn provenance(root: Node<'_, '_>, variant: Variant) -> Result<Provenance, ImportError> {
    let pipe = root.get("augment_pipe").filter(|node| !node.is_none());
    let strength = pipe.and_then(|node| Module::read("augment_pipe", node).ok()?.state.get("_buffers")?.get("p"));
    let augment_p = match strength {
        Some(node) => {
            embedded_tensor("augment_pipe.p", node)?.map(|array| array.to_f32("augment_pipe.p")).transpose()?
        }
        None => None,
    };
    Ok(Provenance {
        origin: variant.kind().to_string(),
        training_set: root.get("training_set_kwargs").filter(|node| !node.is_none()).and_then(json::of),
        augment_p: augment_p.and_then(|values| values.first().copied()).map(f64::from),
        ..Provenance::default()
    })
}
