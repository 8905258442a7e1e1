//! The networks that a training begins with: random ones, or those of a checkpoint that fits.

use std::path::Path;

use anyhow::{Result, bail, ensure};
use toonify_networks::checkpoint::{Checkpoint, DiscriminatorCheckpoint, Parts, Provenance, Unused};
use toonify_networks::random::RandomState;
use toonify_networks::stylegan2::{DiscriminatorLayer, GeneratorConfig, Layer, TensorName, Weights};

use crate::events::{Event, Sink};
use crate::store::checkpoint::CheckpointFile;
use crate::train::settings::Settings;

/// Draws both networks; the average begins as a copy of the generator.
///
/// # Errors
/// For an impossible configuration.
pub fn scratch(settings: &Settings) -> Result<Checkpoint> {
    let mut random = RandomState::new(settings.seed);
    let generator = Weights::<Layer>::random(&settings.generator, &mut random)?;
    let provenance = Provenance { origin: "toonify train".to_owned(), ..Provenance::default() };
    Ok(Checkpoint {
        config: settings.generator.clone(),
        ema: generator.clone(),
        generator: Some(generator),
        discriminator: Some(fresh_discriminator(settings, &mut random)?),
        provenance,
    })
}

fn fresh_discriminator(settings: &Settings, random: &mut RandomState) -> Result<DiscriminatorCheckpoint> {
    let config = settings.discriminator.clone();
    Ok(DiscriminatorCheckpoint { weights: Weights::<DiscriminatorLayer>::random(&config, random)?, config })
}

/// Gives the networks of `settings` the shape of those in a checkpoint file: channels, latents, mapping, architecture.
///
/// # Errors
/// When the file cannot be read, or its images are not those of the settings.
pub fn take_shape(path: &Path, settings: &mut Settings) -> Result<()> {
    let file = CheckpointFile::open(path)?;
    let archive = file.archive()?;
    let (found, asked) = (archive.config(), &mut settings.generator);
    alike(path, found, asked)?;
    (asked.z_dim, asked.w_dim, asked.mapping) = (found.z_dim, found.w_dim, found.mapping.clone());
    (asked.channels, asked.architecture) = (found.channels.clone(), found.architecture);
    let asked = &mut settings.discriminator;
    match archive.discriminator_config() {
        Some(found) => {
            (asked.cmap_dim, asked.mapping) = (found.cmap_dim, found.mapping.clone());
            (asked.channels, asked.architecture) = (found.channels.clone(), found.architecture);
        }
        None => asked.channels = settings.generator.channels.clone(),
    }
    Ok(())
}

/// Reads the networks of a checkpoint file of any kind. Without a generator of its own the training begins with the
/// averaged one; without a discriminator, with a random one.
///
/// # Errors
/// When the file cannot be read, or its networks are not those of the settings; the message names the first difference.
pub fn from_file(path: &Path, settings: &Settings, sink: &mut dyn Sink) -> Result<Checkpoint> {
    sink.event(&Event::Started { what: format!("reading `{}`", path.display()) });
    let file = CheckpointFile::open(path)?;
    let parent = format!("{} `{}`, trained further", file.sha256(), path.file_name().unwrap_or_default().display());
    let (mut found, _report) = file.read(Parts::All, Unused::Refuse)?;
    alike(path, &found.config, &settings.generator)?;
    fit::<Layer>((path, "G"), &found.ema, &settings.generator)?;
    found.config = settings.generator.clone();
    if found.generator.is_none() {
        sink.event(&Event::Warning(format!(
            "`{}` holds only an averaged generator; the training begins with that",
            path.display()
        )));
        found.generator = Some(found.ema.clone());
    }
    match &mut found.discriminator {
        Some(part) => {
            fit((path, "D"), &part.weights, &settings.discriminator)?;
            part.config = settings.discriminator.clone();
        }
        None => {
            sink.event(&Event::Warning(format!(
                "`{}` holds no discriminator; the training begins with a random one, which takes time to learn and may \
                 harm the generator meanwhile",
                path.display()
            )));
            found.discriminator = Some(fresh_discriminator(settings, &mut RandomState::new(settings.seed))?);
        }
    }
    found.provenance.parents.push(parent);
    Ok(found)
}

/// Refuses networks for other images or labels, in words that do not need a tensor's name.
fn alike(path: &Path, found: &GeneratorConfig, expected: &GeneratorConfig) -> Result<()> {
    let channels = |count: usize| if count == 1 { "gray".to_owned() } else { format!("{count} channels") };
    let labels =
        |length: usize| if length == 0 { "no labels".to_owned() } else { format!("labels of {length} numbers") };
    let size = |config: &GeneratorConfig| format!("{0}x{0} px", config.resolution.px());
    let pairs = [
        (size(found), size(expected), "build a set of that size with `toonify dataset build`"),
        (channels(found.img_channels), channels(expected.img_channels), "see `toonify dataset build --channels`"),
        (labels(found.c_dim), labels(expected.c_dim), "--cond switches the labels of the training set on"),
    ];
    for (found, expected, hint) in pairs {
        ensure!(
            found == expected,
            "`{}` does not fit: its networks are for {found}, the training set is for {expected}\n  hint: {hint}",
            path.display()
        );
    }
    Ok(())
}

/// Refuses weights that are not those of `config`, naming the first difference and the options that would fit.
fn fit<L: TensorName>((path, network): (&Path, &str), weights: &Weights<L>, config: &L::Config) -> Result<()> {
    let expected = L::all(config);
    for (layer, shape) in &expected {
        let found = weights.get(*layer).map(|tensor| tensor.dims().to_vec());
        if found.as_ref() != Some(shape) {
            let found = found.map_or("is missing".to_owned(), |found| format!("has shape {found:?}"));
            bail!(
                "`{}` does not fit: `{network}.{layer}` {found}, expected {shape:?}. --cfg, --cbase, --cmax, --latent and \
                 --map-layers must be those that it was trained with (`toonify inspect` tells)",
                path.display()
            );
        }
    }
    let extra = weights.iter().find(|(layer, _)| !expected.iter().any(|(name, _)| name == layer));
    if let Some((layer, _)) = extra {
        bail!(
            "`{}` does not fit: `{network}.{layer}` has no place in the networks that were asked for (`toonify inspect` \
             tells what it was trained with)",
            path.display()
        );
    }
    Ok(())
}
