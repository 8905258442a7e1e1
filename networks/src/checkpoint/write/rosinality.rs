//! Checkpoints for rosinality's stylegan2-pytorch and the encoders and editors of that family: `torch.save`'s zip archive
//! with a pickle of protocol 2.

use std::io::Write;

use candle_core::Tensor;

use crate::checkpoint::names::rosinality::{W_AVG, discriminator, generator, slot_name};
use crate::checkpoint::rosinality::GENERATOR_W_AVG;
use crate::checkpoint::write::archive::{ArchiveWriter, EntryHead};
use crate::checkpoint::write::{ExportError, values};
use crate::checkpoint::{Checkpoint, DiscriminatorCheckpoint, filter};
use crate::ops::Activation;
use crate::stylegan2::{
    Architecture, DiscriminatorConfig, DiscriminatorLayer, DiscriminatorSlot, GeneratorConfig, Layer, Slot, Term,
    Weights,
};

const FORMAT: &str = "a rosinality checkpoint";
/// The folder inside the archive.
const FOLDER: &str = "archive";
/// Taps of every filter of that project.
const TAPS: [f32; 4] = [1.0, 3.0, 3.0, 1.0];

/// Writes a checkpoint that rosinality's stylegan2-pytorch loads, and returns what of it the file cannot say: things that
/// do not keep a network from working there.
///
/// # Errors
/// [`ExportError::Unwritable`] for networks that the project does not have: other than skip generator and residual
/// discriminator, labels, gray images, no noise, another mapping network or filter. [`ExportError::Io`] when `out` fails.
pub fn write_rosinality(checkpoint: &Checkpoint, out: &mut dyn Write) -> Result<Vec<String>, ExportError> {
    check_generator(&checkpoint.config)?;
    let mut notes = generator_notes(&checkpoint.config);
    let mut groups = vec![Group { name: "g_ema", entries: generator_entries(&checkpoint.config, &checkpoint.ema) }];
    let mut loose = vec![Entry::whole(W_AVG, w_avg(&checkpoint.ema))];
    if let Some(weights) = &checkpoint.generator {
        groups.push(Group { name: "g", entries: generator_entries(&checkpoint.config, weights) });
        loose.push(Entry::whole(GENERATOR_W_AVG, w_avg(weights)));
    }
    if let Some(part) = &checkpoint.discriminator {
        check_discriminator(&part.config)?;
        notes.extend(discriminator_notes(&part.config));
        groups.push(Group { name: "d", entries: discriminator_entries(part) });
    }
    let mut archive = ArchiveWriter::new(out);
    archive.small_entry(format!("{FOLDER}/data.pkl"), &describe(&groups, &loose))?;
    archive.small_entry(format!("{FOLDER}/byteorder"), b"little")?;
    let entries = groups.iter().flat_map(|group| &group.entries).chain(&loose);
    for (key, entry) in entries.enumerate() {
        entry.write(key, &mut archive)?;
    }
    archive.small_entry(format!("{FOLDER}/version"), b"3\n")?;
    archive.finish()?;
    Ok(notes)
}

fn w_avg(weights: &Weights<Layer>) -> &Tensor {
    weights.get(Layer::WAvg).expect("complete weights of a generator have the average of w")
}

/// A state dict.
struct Group<'t> {
    name: &'static str,
    entries: Vec<Entry<'t>>,
}

/// A tensor under its name there.
struct Entry<'t> {
    name: String,
    shape: Vec<usize>,
    numbers: Numbers<'t>,
}

enum Numbers<'t> {
    Tensor(&'t Tensor),
    Filter(Vec<f32>),
}

impl<'t> Entry<'t> {
    fn whole(name: &str, tensor: &'t Tensor) -> Self {
        Entry { name: name.to_owned(), shape: tensor.dims().to_vec(), numbers: Numbers::Tensor(tensor) }
    }

    fn filter(name: String, gain: f32) -> Self {
        let shape = vec![TAPS.len(), TAPS.len()];
        Entry { name, shape, numbers: Numbers::Filter(filter::outer(&TAPS, gain)) }
    }

    fn count(&self) -> usize {
        self.shape.iter().product()
    }

    fn visit<T>(&self, visit: impl FnOnce(&[f32]) -> Result<T, ExportError>) -> Result<T, ExportError> {
        match &self.numbers {
            Numbers::Tensor(tensor) => values::visit(tensor, visit),
            Numbers::Filter(numbers) => visit(numbers),
        }
    }

    /// Writes the numbers as the storage `key`: twice over them, first for the checksum.
    fn write(&self, key: usize, archive: &mut ArchiveWriter<'_>) -> Result<(), ExportError> {
        self.visit(|numbers| {
            let mut hasher = crc32fast::Hasher::new();
            values::bytes(numbers, f32::to_le_bytes, |bytes| {
                hasher.update(bytes);
                Ok(())
            })?;
            let head = EntryHead {
                name: format!("{FOLDER}/data/{key}"),
                size: size_of_val(numbers) as u64,
                crc: hasher.finalize(),
            };
            archive.entry(&head, |out| values::bytes(numbers, f32::to_le_bytes, |bytes| Ok(out.write_all(bytes)?)))
        })
    }
}

fn generator_entries<'t>(config: &GeneratorConfig, weights: &'t Weights<Layer>) -> Vec<Entry<'t>> {
    let tensors = weights.iter().filter(|(layer, _)| *layer != Layer::WAvg);
    let mut entries: Vec<Entry<'t>> = tensors
        .map(|(layer, tensor)| Entry {
            name: generator(&layer).theirs,
            shape: their_shape(layer, tensor.dims()),
            numbers: Numbers::Tensor(tensor),
        })
        .collect();
    for resolution in config.resolution.ladder().skip(1) {
        // Filters of the up-sampling half are multiplied by the square of the factor.
        entries.push(Entry::filter(format!("{}.conv.blur.kernel", slot_name(resolution, Slot::Conv0)), 4.0));
        entries.push(Entry::filter(format!("{}.upsample.kernel", slot_name(resolution, Slot::ToRgb)), 4.0));
    }
    entries
}

/// Where rosinality's tensors have further axes of extent 1.
fn their_shape(layer: Layer, shape: &[usize]) -> Vec<usize> {
    let unit_axes = |before: usize, after: usize| [&vec![1; before], shape, &vec![1; after]].concat();
    match layer {
        Layer::Const => unit_axes(1, 0),
        Layer::Block { slot: Slot::ToRgb, term: Term::Bias, .. } => unit_axes(1, 2),
        Layer::Block { term: Term::Weight | Term::NoiseStrength, .. } => unit_axes(1, 0),
        Layer::Block { term: Term::NoiseConst, .. } => unit_axes(2, 0),
        Layer::Embed(_) | Layer::Fc(..) | Layer::WAvg | Layer::Block { .. } => shape.to_vec(),
    }
}

fn discriminator_entries(part: &DiscriminatorCheckpoint) -> Vec<Entry<'_>> {
    let image = part.config.resolution;
    let tensors = part.weights.iter();
    let mut entries: Vec<_> =
        tensors.map(|(layer, tensor)| Entry::whole(&discriminator(&layer, image).theirs, tensor)).collect();
    for resolution in image.ladder().skip(1) {
        for slot in [DiscriminatorSlot::Conv1, DiscriminatorSlot::Skip] {
            let layer = DiscriminatorLayer::Block { resolution, slot, term: Term::Weight };
            let name = discriminator(&layer, image).theirs.replace("1.weight", "0.kernel");
            entries.push(Entry::filter(name, 1.0));
        }
    }
    entries
}

/// The pickle that describes all tensors; storages are numbered in the order of the entries.
fn describe(groups: &[Group<'_>], loose: &[Entry<'_>]) -> Vec<u8> {
    let mut pickle = PickleWriter { bytes: vec![0x80, 2], storages: 0 };
    pickle.bytes.extend(b"}(");
    for group in groups {
        pickle.text(group.name);
        pickle.ordered_dict();
        pickle.bytes.push(b'(');
        group.entries.iter().for_each(|entry| pickle.named_tensor(entry));
        pickle.bytes.push(b'u');
    }
    loose.iter().for_each(|entry| pickle.named_tensor(entry));
    pickle.bytes.extend(b"u.");
    pickle.bytes
}

/// Writes the few instructions of protocol 2 that a dict of tensors takes.
struct PickleWriter {
    bytes: Vec<u8>,
    storages: usize,
}

impl PickleWriter {
    fn named_tensor(&mut self, entry: &Entry<'_>) {
        self.text(&entry.name);
        self.global("torch._utils", "_rebuild_tensor_v2");
        self.bytes.extend(b"((");
        self.text("storage");
        self.global("torch", "FloatStorage");
        self.text(&self.storages.to_string());
        self.text("cpu");
        self.number(entry.count());
        self.bytes.extend(b"tQ");
        self.number(0);
        self.tuple(&entry.shape);
        let strides: Vec<usize> = (1..=entry.shape.len()).map(|axis| entry.shape[axis..].iter().product()).collect();
        self.tuple(&strides);
        // No gradient, no hooks.
        self.bytes.push(0x89);
        self.ordered_dict();
        self.bytes.extend(b"tR");
        self.storages += 1;
    }

    fn ordered_dict(&mut self) {
        self.global("collections", "OrderedDict");
        self.bytes.extend(b")R");
    }

    fn global(&mut self, module: &str, name: &str) {
        self.bytes.extend(format!("c{module}\n{name}\n").into_bytes());
    }

    fn text(&mut self, text: &str) {
        self.bytes.push(b'X');
        self.bytes.extend((text.len() as u32).to_le_bytes());
        self.bytes.extend(text.as_bytes());
    }

    fn tuple(&mut self, numbers: &[usize]) {
        self.bytes.push(b'(');
        numbers.iter().for_each(|number| self.number(*number));
        self.bytes.push(b't');
    }

    /// Extents and counts of a checked configuration are far below 2³¹.
    fn number(&mut self, number: usize) {
        self.bytes.push(b'J');
        self.bytes.extend((number as i32).to_le_bytes());
    }
}

fn expect(what: &str, expected: impl ToString, found: impl ToString) -> Result<(), ExportError> {
    let (what, expected, found) = (what.to_owned(), expected.to_string(), found.to_string());
    if expected == found {
        return Ok(());
    }
    Err(ExportError::Unwritable { format: FORMAT, what, expected, found })
}

fn check_generator(config: &GeneratorConfig) -> Result<(), ExportError> {
    let mapping = &config.mapping;
    expect("architecture of the generator", Architecture::Skip, config.architecture)?;
    expect("number of label values", 0, config.c_dim)?;
    expect("number of colour channels", 3, config.img_channels)?;
    expect("use of noise", true, config.use_noise)?;
    expect("length of z", config.w_dim, config.z_dim)?;
    expect("width of the mapping network", config.w_dim, mapping.layer_features)?;
    expect("learning-rate multiplier of the mapping network", 0.01, mapping.lr_multiplier)?;
    for activation in [mapping.activation, config.activation] {
        expect("activation", format!("{:?}", Activation::Lrelu), format!("{activation:?}"))?;
    }
    check_filter(&config.resample_filter)
}

fn check_discriminator(config: &DiscriminatorConfig) -> Result<(), ExportError> {
    expect("architecture of the discriminator", Architecture::Resnet, config.architecture)?;
    expect("number of label values", 0, config.c_dim)?;
    expect("number of colour channels", 3, config.img_channels)?;
    expect("channels of the minibatch standard deviation", 1, config.mbstd_num_channels)?;
    expect("activation", format!("{:?}", Activation::Lrelu), format!("{:?}", config.activation))?;
    check_filter(&config.resample_filter)
}

fn check_filter(taps: &[f32]) -> Result<(), ExportError> {
    if filter::outer(taps, 1.0) == filter::outer(&TAPS, 1.0) {
        return Ok(());
    }
    expect("resampling filter", format!("{TAPS:?}"), format!("{taps:?}"))
}

fn generator_notes(config: &GeneratorConfig) -> Vec<String> {
    let mut notes = Vec::new();
    if let Some(clamp) = config.conv_clamp {
        notes.push(format!("the bound {clamp} on the outputs of convolutions is not kept"));
    }
    let published = |r: usize, multiplier: usize| if r <= 32 { 512 } else { multiplier * 16384 / r };
    let fits = |multiplier| config.resolution.ladder().all(|r| config.channels.at(r) == published(r.px(), multiplier));
    if !fits(1) && !fits(2) {
        notes.push("the channel widths are not in the project's table, which has to be changed to load it".to_owned());
    }
    notes
}

fn discriminator_notes(config: &DiscriminatorConfig) -> Vec<String> {
    let mut notes = Vec::new();
    if config.mbstd_group_size != Some(4) {
        let size = config.mbstd_group_size.map_or("the whole batch".to_owned(), |size| size.to_string());
        notes.push(format!("groups of the minibatch standard deviation become 4 (here {size})"));
    }
    notes
}
