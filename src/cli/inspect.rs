//! `toonify inspect`

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use toonify_networks::pix2pix::BlockKind;
use toonify_networks::stylegan2::{Channels, DiscriminatorConfig, GeneratorConfig, Resolution};

use crate::cli::{OutputArgs, print_lines};
use crate::inspect::{self, Inspected, Inspection, StudentInspection, TensorShape};

const EXAMPLES: &str = "\
Examples:
  # What is in this file?
  toonify inspect ffhq.pkl

  # Every layer with its shape; or everything for a program to read
  toonify inspect --layers converted.pt
  toonify inspect --json network-snapshot-000040.pkl";

/// Arguments of `toonify inspect`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct InspectArgs {
    /// Checkpoint file (.pkl, .pt or .safetensors), or a student
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// List every tensor
    #[arg(long)]
    layers: bool,
    #[command(flatten)]
    output: OutputArgs,
}

impl InspectArgs {
    pub(crate) fn run(self) -> Result<()> {
        let found = inspect::run(&self.file)?;
        let (summary, networks) = match &found {
            Inspected::Checkpoint(found) => {
                let discriminator = found.discriminator.iter().map(|network| ("D", &network.tensors));
                (summary(found), [("G_ema", &found.generator.tensors)].into_iter().chain(discriminator).collect())
            }
            Inspected::Student(found) => (student(found), vec![("S", &found.generator.tensors)]),
        };
        self.output.print(&found, summary)?;
        if self.layers && !self.output.json {
            networks.iter().try_for_each(|(name, tensors)| print_lines(layers(name, tensors)))?;
        }
        Ok(())
    }
}

fn summary(found: &Inspection) -> Vec<String> {
    let mut lines = vec![
        format!("{}: {}, {}", found.file.display(), found.kind, size(found.bytes)),
        line("generator", describe_generator(&found.generator.config)),
        line("", channels(&found.generator.config.channels, found.generator.config.resolution)),
        line("", counts(found.generator.parameters, found.generator.buffers)),
    ];
    let beside = if found.has_generator_in_training { "the average, and the one in training" } else { "the average" };
    lines.push(line("", format!("in the file: {beside}")));
    match &found.discriminator {
        None => lines.push(line("discriminator", "not in the file".to_owned())),
        Some(network) => {
            lines.push(line("discriminator", describe_discriminator(&network.config)));
            lines.push(line("", channels(&network.config.channels, network.config.resolution)));
            lines.push(line("", counts(network.parameters, network.buffers)));
        }
    }
    lines.extend(provenance(found));
    lines
}

fn student(found: &StudentInspection) -> Vec<String> {
    let config = &found.generator.config;
    let preset = found.preset.map_or("of a size of its own".to_owned(), |preset| preset.to_string());
    let blocks = match config.block {
        BlockKind::Plain => "plain blocks",
        BlockKind::Separable => "separable blocks",
    };
    let inputs = if config.img_channels > 3 { "RGB and depth" } else { "RGB" };
    let cost = format!("{:.2} G multiply-adds at 256 px", found.multiply_adds_256 as f64 / 1e9);
    let px = found.history.resolution_px.map_or("images of unknown size".to_owned(), |px| format!("{px} px"));
    let mut lines = vec![
        format!("{}: a student, {}", found.file.display(), size(found.bytes)),
        line("network", format!("{preset}, {blocks}, {inputs}")),
        line("", format!("{} parameters, {cost}", grouped(found.generator.parameters))),
        line("trained", format!("on {px}, {:.1} kimg", found.history.kimg)),
    ];
    lines.extend(found.history.notes.iter().map(|note| line("note", note.clone())));
    lines
}

fn provenance(found: &Inspection) -> Vec<String> {
    let known = &found.provenance;
    let mut lines = vec![line("origin", known.origin.clone())];
    lines.extend(known.parents.iter().map(|parent| line("parent", parent.clone())));
    lines.extend(known.training_set.iter().map(|options| line("training set", options.to_string())));
    lines.extend(known.augment_p.iter().map(|p| line("augment p", format!("{p:.3}"))));
    lines.extend(known.notes.iter().map(|note| line("note", note.clone())));
    let report = &found.report;
    let counted = format!(
        "{} read ({} turned), {} filters verified, {} estimated, {} unused",
        report.matched,
        report.turned,
        report.verified,
        report.missing.len(),
        report.unused.len()
    );
    lines.push(line("tensors", counted));
    if !report.ignored.is_empty() {
        lines.push(line("left aside", report.ignored.join(", ")));
    }
    lines
}

fn describe_generator(config: &GeneratorConfig) -> String {
    let mut parts = vec![
        format!("{} px {}", config.resolution, colours(config.img_channels)),
        config.architecture.to_string(),
        format!("z {}", config.z_dim),
        format!("w {}", config.w_dim),
        labels(config.c_dim),
        format!("{} mapping layers", config.mapping.num_layers),
    ];
    parts.extend(config.conv_clamp.map(|clamp| format!("clamp {clamp}")));
    if !config.use_noise {
        parts.push("no noise".to_owned());
    }
    parts.join(", ")
}

fn describe_discriminator(config: &DiscriminatorConfig) -> String {
    let group = config.mbstd_group_size.map_or("the whole batch".to_owned(), |size| size.to_string());
    let mut parts = vec![
        format!("{} px {}", config.resolution, colours(config.img_channels)),
        config.architecture.to_string(),
        labels(config.c_dim),
        format!("minibatch statistics over {group}"),
    ];
    parts.extend(config.conv_clamp.map(|clamp| format!("clamp {clamp}")));
    if config.freeze_layers > 0 {
        parts.push(format!("{} layers frozen", config.freeze_layers));
    }
    parts.join(", ")
}

fn colours(channels: usize) -> String {
    match channels {
        1 => "gray".to_owned(),
        3 => "RGB".to_owned(),
        other => format!("{other} channels"),
    }
}

fn labels(c_dim: usize) -> String {
    if c_dim == 0 { "no labels".to_owned() } else { format!("{c_dim} classes") }
}

fn channels(channels: &Channels, resolution: Resolution) -> String {
    let widths = resolution.ladder().map(|r| format!("{r}:{}", channels.at(r)));
    format!("channels {}", widths.collect::<Vec<_>>().join(" "))
}

fn counts(parameters: usize, buffers: usize) -> String {
    format!("{} parameters, {} numbers in buffers", grouped(parameters), grouped(buffers))
}

/// 30370060 as `30,370,060`.
fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> = digits.as_bytes().rchunks(3).rev().filter_map(|group| str::from_utf8(group).ok()).collect();
    groups.join(",")
}

fn size(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

fn line(label: &str, text: String) -> String {
    format!("  {label:<14} {text}")
}

fn layers(network: &str, tensors: &[TensorShape]) -> Vec<String> {
    let mut lines = vec![String::new(), format!("{network}:")];
    lines.extend(tensors.iter().map(|tensor| format!("  {:<44} {:?}", tensor.name, tensor.shape)));
    lines
}
