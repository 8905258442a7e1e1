//! The options about augmentation.

use toonify_networks::augment::{Adaptive, AugmentSet, Probability};

use crate::train::plan::name::Description;
use crate::train::plan::options::{AugmentMode, AugmentOptions};
use crate::train::plan::{PlanError, require};

/// Checks the options against each other, in the published order.
pub(super) fn resolve(
    options: &AugmentOptions,
    description: &mut Description,
) -> Result<(Probability, Option<AugmentSet>), PlanError> {
    let mode = options.mode.unwrap_or(AugmentMode::Ada);
    if let Some(mode) = options.mode {
        description.add(mode.name());
    }
    let mut probability = probability(mode, options.p, description)?;
    if let Some(target) = options.target {
        require(mode == AugmentMode::Ada, "--target can only be specified with --aug=ada")?;
        require((0.0..=1.0).contains(&target), "--target must be between 0 and 1")?;
        description.number("target", target);
        probability = Probability::Adaptive(Adaptive { target, ..Adaptive::PUBLISHED });
    }
    if let Some(set) = &options.set {
        require(mode != AugmentMode::NoAug, "--augpipe cannot be specified with --aug=noaug")?;
        description.set(set);
    }
    let set = || options.set.clone().unwrap_or_else(default_set);
    Ok((probability, (mode != AugmentMode::NoAug).then(set)))
}

fn probability(mode: AugmentMode, p: Option<f64>, description: &mut Description) -> Result<Probability, PlanError> {
    if let Some(p) = p {
        require(mode == AugmentMode::Fixed, "--p can only be specified with --aug=fixed")?;
        require((0.0..=1.0).contains(&p), "--p must be between 0 and 1")?;
        description.number("p", p);
    }
    match (mode, p) {
        (AugmentMode::NoAug, _) => Ok(Probability::None),
        (AugmentMode::Ada, _) => Ok(Probability::Adaptive(Adaptive::PUBLISHED)),
        (AugmentMode::Fixed, Some(p)) => Ok(Probability::Fixed(p)),
        (AugmentMode::Fixed, None) => Err(PlanError("--aug=fixed requires specifying --p".to_owned())),
    }
}

fn default_set() -> AugmentSet {
    "bgc".parse().expect("bgc is a published set")
}

/// A discriminator that begins with knowledge begins to overfit sooner.
pub(super) fn hurry(probability: &mut Probability) {
    if let Probability::Adaptive(adaptive) = probability {
        adaptive.speed_kimg = RESUMED_SPEED_KIMG;
    }
}

/// Thousands of images in which p can go from 0 to 1 when training starts from a checkpoint.
const RESUMED_SPEED_KIMG: f64 = 100.0;
