//! Two generators to one, layer by layer; or several, each as a whole.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde::Serialize;
use toonify_networks::checkpoint::{Checkpoint, Parts, Provenance};
use toonify_networks::stylegan2::{
    BlendCurve, GeneratorConfig, Layer, Level, Resolution, Side, Slope, Weights, require_alike,
};

use crate::events::{Event, Sink};
use crate::store::checkpoint::{self, Format};

/// What to blend; nothing is left to ask.
#[derive(Clone, Debug)]
pub struct BlendPlan {
    /// The models and how they meet.
    pub recipe: Recipe,
    /// File to write.
    pub output: PathBuf,
    /// Kind of that file.
    pub format: Format,
}

/// The models and how they meet.
#[derive(Clone, Debug)]
pub enum Recipe {
    /// Low layers from one model, high layers from another.
    Layers {
        /// Gives the low resolutions: pose and shape.
        low: PathBuf,
        /// Gives the high resolutions: texture and colour.
        high: PathBuf,
        /// Who gives what.
        curve: CurvePlan,
        /// Who gives the mapping network and the average `w`.
        mapping: Side,
    },
    /// Every layer is the weighted mean of all models' layers.
    Models(Vec<(PathBuf, f64)>),
}

/// A blend curve before the size of the networks is known.
#[derive(Clone, Debug, PartialEq)]
pub enum CurvePlan {
    /// The rule of this project.
    Swap {
        /// The last resolution from the low model.
        resolution: Resolution,
        /// Shifts the swap by one convolution.
        level: Level,
        /// How fast one model gives way to the other.
        slope: Slope,
    },
    /// A share of the high model for each resolution, 4 px first.
    Shares(Vec<f64>),
    /// As justinpinkney's script.
    Pinkney {
        /// The script's resolution.
        resolution: Resolution,
        /// The script's level.
        level: Level,
        /// The script's width; `None` for its hard switch.
        width: Option<f64>,
    },
    /// As dvschultz's script.
    Dvschultz {
        /// The script's split resolution.
        resolution: Resolution,
    },
}

impl CurvePlan {
    /// The curve for networks of the given size.
    ///
    /// # Errors
    /// When shares are missing or out of range, or the named resolution is not below that of the networks.
    pub fn curve(&self, size: Resolution) -> Result<BlendCurve> {
        if let CurvePlan::Swap { resolution, .. }
        | CurvePlan::Pinkney { resolution, .. }
        | CurvePlan::Dvschultz { resolution } = self
        {
            ensure!(*resolution <= size, "cannot swap at {resolution} px, the networks have {size} px");
        }
        Ok(match self {
            CurvePlan::Swap { resolution, level, slope } => BlendCurve::swap(*resolution, *level, *slope)?,
            CurvePlan::Shares(shares) => BlendCurve::shares(shares.clone(), size)?,
            CurvePlan::Pinkney { resolution, level, width } => BlendCurve::pinkney(*resolution, *level, *width)?,
            CurvePlan::Dvschultz { resolution } => BlendCurve::dvschultz(*resolution),
        })
    }
}

/// What was blended.
#[derive(Clone, Debug, Serialize)]
pub struct Blended {
    /// The file that was written.
    pub output: PathBuf,
    /// The parents, with their hashes and what they gave.
    pub parents: Vec<String>,
    /// Share of the high model in each resolution's first and second convolution, 4 px first; empty for whole models.
    pub shares: Vec<[f64; 2]>,
}

/// Reads the parents, blends their averaged generators and writes the result, with its origin.
///
/// # Errors
/// When a file cannot be read or written, or the models do not fit; the first layer that differs is named.
pub fn run(plan: &BlendPlan, sink: &mut dyn Sink) -> Result<Blended> {
    sink.event(&Event::Started { what: format!("blending into `{}`", plan.output.display()) });
    let (blended, shares) = match &plan.recipe {
        Recipe::Layers { low, high, curve, mapping } => blend_layers(low, high, curve, *mapping)?,
        Recipe::Models(models) => (blend_models(models)?, Vec::new()),
    };
    for note in checkpoint::write(&plan.output, &blended, plan.format)? {
        sink.event(&Event::Note(note));
    }
    sink.event(&Event::Saved { path: plan.output.clone() });
    Ok(Blended { output: plan.output.clone(), parents: blended.provenance.parents, shares })
}

fn blend_layers(low: &Path, high: &Path, curve: &CurvePlan, mapping: Side) -> Result<(Checkpoint, Vec<[f64; 2]>)> {
    let models = read_all(&[low, high])?;
    let [(low_model, low_hash), (high_model, high_hash)] = models.as_slice() else {
        bail!("a blend needs two models");
    };
    let config = &low_model.config;
    let curve = curve.curve(config.resolution)?.with_mapping(mapping);
    let weights = low_model.ema.blend(&high_model.ema, config, &curve)?;
    let parents = vec![
        format!("low: {} (sha256 {low_hash})", low.display()),
        format!("high: {} (sha256 {high_hash}), {curve}", high.display()),
    ];
    Ok((result(config, weights, parents), curve.profile(config.resolution)))
}

fn blend_models(models: &[(PathBuf, f64)]) -> Result<Checkpoint> {
    let paths: Vec<&Path> = models.iter().map(|(path, _)| path.as_path()).collect();
    let read = read_all(&paths)?;
    let config = &read.first().context("name at least one model")?.0.config;
    let weighted: Vec<(&Weights<Layer>, f64)> =
        read.iter().zip(models).map(|((model, _), (_, share))| (&model.ema, *share)).collect();
    let weights = Weights::average(&weighted, config)?;
    let parent = |((_, hash), (path, share)): (&(Checkpoint, String), &(PathBuf, f64))| {
        format!("share {share}: {} (sha256 {hash})", path.display())
    };
    Ok(result(config, weights, read.iter().zip(models).map(parent).collect()))
}

fn result(config: &GeneratorConfig, ema: Weights<Layer>, parents: Vec<String>) -> Checkpoint {
    let provenance = Provenance { origin: "toonify blend".to_owned(), parents, ..Provenance::default() };
    Checkpoint { config: config.clone(), ema, generator: None, discriminator: None, provenance }
}

/// Reads the models with their hashes; all have to look like the first.
fn read_all(paths: &[&Path]) -> Result<Vec<(Checkpoint, String)>> {
    let mut models: Vec<(Checkpoint, String)> = Vec::new();
    for path in paths {
        let file = checkpoint::CheckpointFile::open(path)?;
        let model = file.read(Parts::GeneratorEma, toonify_networks::checkpoint::Unused::Refuse)?.0;
        if let Some((first, _)) = models.first() {
            let names = [paths[0], path].map(|path| path.display().to_string());
            require_alike((&names[0], &first.config), (&names[1], &model.config))?;
        }
        models.push((model, file.sha256()));
    }
    Ok(models)
}
