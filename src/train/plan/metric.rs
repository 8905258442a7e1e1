//! What can be measured while training, by name.

use std::fmt;

use crate::train::plan::PlanError;

/// A measure of how alike generated and real images are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metric {
    /// A published one.
    Published(&'static str),
    /// Sliced Wasserstein distance over Laplacian pyramids; needs no detector (Karras et al. 2018, section 5).
    Swd,
}

/// The network that a metric looks with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detector {
    /// Inception v3 as trained in 2015.
    Inception,
    /// VGG16 with the linear layers of LPIPS.
    Vgg16,
}

impl Detector {
    /// The published file.
    pub fn file_name(self) -> &'static str {
        match self {
            Inception => "inception-2015-12-05.pt",
            Vgg16 => "vgg16.pt",
        }
    }
}

use Detector::{Inception, Vgg16};

/// The published names in the published order, with what each looks with.
const PUBLISHED: [(&str, Detector); 12] = [
    ("fid50k_full", Inception),
    ("kid50k_full", Inception),
    ("pr50k3_full", Vgg16),
    ("ppl2_wend", Vgg16),
    ("is50k", Inception),
    ("fid50k", Inception),
    ("kid50k", Inception),
    ("pr50k3", Vgg16),
    ("ppl_zfull", Vgg16),
    ("ppl_wfull", Vgg16),
    ("ppl_zend", Vgg16),
    ("ppl_wend", Vgg16),
];

const SWD: &str = "swd";

impl Metric {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Metric::Published(name) => name,
            Metric::Swd => SWD,
        }
    }

    /// The network that it looks with, if any.
    pub fn detector(self) -> Option<Detector> {
        match self {
            Metric::Published(name) => PUBLISHED.iter().find(|row| row.0 == name).map(|row| row.1),
            Metric::Swd => None,
        }
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Names joined by commas, or `none`.
pub(super) fn parse(list: &str) -> Result<Vec<Metric>, PlanError> {
    let list = list.trim();
    if list.is_empty() || list.eq_ignore_ascii_case("none") {
        return Ok(Vec::new());
    }
    list.split(',').map(|name| one(name.trim())).collect()
}

fn one(name: &str) -> Result<Metric, PlanError> {
    if name == SWD {
        return Ok(Metric::Swd);
    }
    if let Some(row) = PUBLISHED.iter().find(|row| row.0 == name) {
        return Ok(Metric::Published(row.0));
    }
    let names = PUBLISHED.map(|row| row.0).join("\n");
    Err(PlanError(format!("--metrics can only contain the following values:\n{names}\n{SWD}")))
}
