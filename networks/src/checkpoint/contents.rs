//! What every reader of a kind of file hands on: networks whose tensors still have the file's names.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::checkpoint::array::Array;
use crate::checkpoint::{ImportError, Provenance};
use crate::stylegan2::{DiscriminatorConfig, GeneratorConfig};

/// The kinds of checkpoint files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Snapshot of stylegan2-ada-pytorch.
    NvidiaAda,
    /// Snapshot of a StyleGAN2 network by the stylegan3 repository.
    NvidiaStylegan3Repository,
    /// Pickle of the TensorFlow code, stylegan2 or stylegan2-ada.
    TensorFlow,
    /// `torch.save` file of rosinality's stylegan2-pytorch.
    Rosinality,
    /// This project's own file.
    Toonify,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::NvidiaAda => "NVIDIA pickle (stylegan2-ada-pytorch)",
            Kind::NvidiaStylegan3Repository => "NVIDIA pickle (StyleGAN2 of the stylegan3 repository)",
            Kind::TensorFlow => "NVIDIA pickle (TensorFlow)",
            Kind::Rosinality => "rosinality stylegan2-pytorch",
            Kind::Toonify => "toonify safetensors",
        })
    }
}

/// The tensors of one network, under the names of the file, filters already taken out.
pub(crate) struct Tensors<'a> {
    /// What the file calls the network.
    pub object: String,
    /// Its tensors.
    pub arrays: BTreeMap<String, Array<'a>>,
    /// Number of filters that were compared with the configuration.
    pub verified: usize,
}

/// Most tensors that one network may have; the largest published one has less than 200.
const MOST_TENSORS: usize = 1 << 14;

/// Refuses a network with absurdly many tensors before their descriptions are gathered.
///
/// # Errors
/// [`ImportError::TooLarge`].
pub(crate) fn check_count(object: &str, found: usize) -> Result<(), ImportError> {
    if found <= MOST_TENSORS {
        return Ok(());
    }
    let object = format!("tensors of `{object}`");
    Err(ImportError::TooLarge { object, expected: MOST_TENSORS as u64, found: found as u64 })
}

/// Everything that was found in a file.
pub(crate) struct Contents<'a> {
    pub kind: Kind,
    pub config: GeneratorConfig,
    pub ema: Tensors<'a>,
    pub generator: Option<Tensors<'a>>,
    pub discriminator: Option<(DiscriminatorConfig, Tensors<'a>)>,
    pub provenance: Provenance,
    /// Objects beside the networks that are not used.
    pub ignored: Vec<String>,
}

impl<'a> Contents<'a> {
    /// Starts with the averaged generator, which every checkpoint has.
    pub fn new(kind: Kind, config: GeneratorConfig, ema: Tensors<'a>) -> Self {
        let provenance = Provenance { origin: kind.to_string(), ..Provenance::default() };
        Contents { kind, config, ema, generator: None, discriminator: None, provenance, ignored: Vec::new() }
    }

    /// Adds the generator as it was being trained.
    ///
    /// # Errors
    /// [`ImportError::Malformed`] when it is built otherwise than the averaged one.
    pub fn set_generator(&mut self, config: GeneratorConfig, tensors: Tensors<'a>) -> Result<(), ImportError> {
        if config != self.config {
            let object = format!("configuration of `{}`", tensors.object);
            let expected = format!("that of `{}`: {:?}", self.ema.object, self.config);
            return Err(ImportError::malformed(object, expected, format!("{config:?}")));
        }
        self.generator = Some(tensors);
        Ok(())
    }
}
