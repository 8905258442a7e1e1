//! How far a set of generated images is from a set of real ones: pure formulas, numbers in and numbers out.
//!
//! | measure | compares | source |
//! |---|---|---|
//! | [`frechet_distance()`] | mean and covariance of features | Heusel et al. 2017 (FID) |
//! | [`kernel_distance()`] | features under a cubic kernel | Bińkowski et al. 2018 (KID) |
//! | [`precision_recall()`] | neighbourhoods of features | Kynkäänniemi et al. 2019 |
//! | [`inception_score()`] | class probabilities | Salimans et al. 2016 |
//! | [`path_length()`] | distances along short paths in latent space | Karras et al. 2019 (PPL) |
//! | [`sliced_wasserstein()`] | small patches at several scales | Karras et al. 2018 (SWD) |
//!
//! Features are rows: `[N, F]`. Sums are in double precision and in a fixed order, so that the same features give the
//! same number whatever the number of threads. [`measure`] knows the measures by their published names.

pub mod frechet;
pub mod gram;
pub mod inception_score;
pub mod kernel_distance;
pub mod measure;
pub mod path_length;
pub mod precision_recall;
pub mod sliced_wasserstein;

pub use frechet::{FeatureRoot, Gaussian, Moments, frechet_distance};
pub use inception_score::{InceptionScore, inception_score};
pub use kernel_distance::{Subset, kernel_distance, subsets};
pub use measure::{Eye, Measure, Metric};
pub use path_length::{PathLength, path_length};
pub use precision_recall::{PrecisionRecall, precision_recall};
pub use sliced_wasserstein::{PatchPlan, Patches, WassersteinDistance, sliced_wasserstein};
