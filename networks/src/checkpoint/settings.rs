//! The keyword arguments with which a network was built: typed look-ups with defaults, unknown names refused.

use crate::checkpoint::ImportError;
use crate::checkpoint::numpy;
use crate::checkpoint::pickle::{Node, Value};
use crate::ops::Activation;
use crate::stylegan2::{Architecture, Resolution};

/// Keyword arguments of one network or of a part of it.
pub(crate) struct Settings<'p, 'a> {
    object: String,
    entries: Option<Node<'p, 'a>>,
}

impl<'p, 'a> Settings<'p, 'a> {
    /// Takes the arguments of `object`; absent and `None` stand for no arguments.
    ///
    /// # Errors
    /// [`ImportError::Malformed`] when they are not a dict.
    pub fn new(object: impl Into<String>, entries: Option<Node<'p, 'a>>) -> Result<Self, ImportError> {
        let (object, entries) = (object.into(), entries.filter(|node| !node.is_none()));
        match entries {
            Some(node) if node.entries().is_none() => {
                Err(ImportError::malformed(format!("settings of {object}"), "a dict", node.describe()))
            }
            _ => Ok(Settings { object, entries }),
        }
    }

    /// Refuses every argument that is not on one of the lists.
    ///
    /// # Errors
    /// [`ImportError::UnknownSetting`] naming the first one.
    pub fn only(&self, known: &[&[&str]]) -> Result<(), ImportError> {
        let known = known.concat();
        for (key, _) in self.entries.and_then(Node::entries).into_iter().flatten() {
            if !key.text().is_some_and(|name| known.contains(&name)) {
                let found = key.describe();
                let (object, expected) = (self.object.clone(), known.join(", "));
                return Err(ImportError::UnknownSetting { object, found, expected });
            }
        }
        Ok(())
    }

    /// The arguments that are handed on to a part, themselves a dict.
    ///
    /// # Errors
    /// [`ImportError::Malformed`] when they are not a dict.
    pub fn part(&self, name: &str) -> Result<Settings<'p, 'a>, ImportError> {
        Settings::new(format!("{} {name}", self.object), self.get(name))
    }

    /// A whole number that is not negative.
    ///
    /// # Errors
    /// [`ImportError::Setting`] for any other value.
    pub fn size(&self, name: &str, default: usize) -> Result<usize, ImportError> {
        self.read(name, default, "a whole number, at least 0", numpy::size)
    }

    /// As [`size`](Self::size), where `None` or nothing is a value of its own.
    ///
    /// # Errors
    /// [`ImportError::Setting`] for any other value.
    pub fn optional_size(&self, name: &str, default: Option<usize>) -> Result<Option<usize>, ImportError> {
        self.read(name, default, "a whole number or None", |node| {
            if node.is_none() { Some(None) } else { numpy::size(node).map(Some) }
        })
    }

    /// A finite number.
    ///
    /// # Errors
    /// [`ImportError::Setting`] for any other value.
    pub fn number(&self, name: &str, default: f64) -> Result<f64, ImportError> {
        self.read(name, default, "a number", |node| numpy::number(node).filter(|number| number.is_finite()))
    }

    /// A bound that is not negative, or `None` for none.
    ///
    /// # Errors
    /// [`ImportError::Setting`] for any other value.
    pub fn bound(&self, name: &str, default: Option<f64>) -> Result<Option<f64>, ImportError> {
        self.read(name, default, "a number from 0 or None", |node| {
            if node.is_none() {
                return Some(None);
            }
            numpy::number(node).filter(|number| number.is_finite() && *number >= 0.0).map(Some)
        })
    }

    /// True or False.
    ///
    /// # Errors
    /// [`ImportError::Setting`] for any other value.
    pub fn truth(&self, name: &str, default: bool) -> Result<bool, ImportError> {
        self.read(name, default, "True or False", |node| match node.value() {
            Value::Bool(value) => Some(*value),
            _ => None,
        })
    }

    /// The side of the images.
    ///
    /// # Errors
    /// [`ImportError::Setting`] when it is missing or not a power of two from 4 to 1024.
    pub fn resolution(&self, name: &str, default: Option<Resolution>) -> Result<Resolution, ImportError> {
        let expected = "a power of two from 4 to 1024";
        let found = self.read(name, default, expected, |node| Resolution::new(numpy::size(node)?).ok().map(Some))?;
        found.ok_or_else(|| self.complaint(name, expected, "missing"))
    }

    /// How the blocks are joined.
    ///
    /// # Errors
    /// [`ImportError::Setting`] for a name that is not known.
    pub fn architecture(&self, default: Architecture) -> Result<Architecture, ImportError> {
        self.read("architecture", default, "orig, skip or resnet", |node| match node.text()? {
            "orig" => Some(Architecture::Orig),
            "skip" => Some(Architecture::Skip),
            "resnet" => Some(Architecture::Resnet),
            _ => None,
        })
    }

    /// An activation function, usually leaky ReLU.
    ///
    /// # Errors
    /// [`ImportError::Setting`] for a name that is not known.
    pub fn activation(&self, name: &str) -> Result<Activation, ImportError> {
        self.read(name, Activation::Lrelu, "a known activation function", |node| {
            Some(match node.text()? {
                "linear" => Activation::Linear,
                "relu" => Activation::Relu,
                "lrelu" => Activation::Lrelu,
                "tanh" => Activation::Tanh,
                "sigmoid" => Activation::Sigmoid,
                "elu" => Activation::Elu,
                "selu" => Activation::Selu,
                "softplus" => Activation::Softplus,
                "swish" => Activation::Swish,
                _ => return None,
            })
        })
    }

    /// Taps of a resampling filter: a list, one number, or `None` for no filtering.
    ///
    /// # Errors
    /// [`ImportError::Setting`] for anything else.
    pub fn taps(&self, name: &str) -> Result<Vec<f32>, ImportError> {
        self.read(name, vec![1.0, 3.0, 3.0, 1.0], "a list of numbers", |node| {
            if node.is_none() {
                return Some(vec![1.0]);
            }
            if let Some(number) = numpy::number(node) {
                return Some(vec![number as f32]);
            }
            node.elements()?.map(|tap| Some(numpy::number(tap)? as f32)).collect()
        })
    }

    fn get(&self, name: &str) -> Option<Node<'p, 'a>> {
        self.entries.and_then(|entries| entries.get(name))
    }

    fn read<T>(
        &self,
        name: &str,
        default: T,
        expected: &str,
        parse: impl FnOnce(Node<'p, 'a>) -> Option<T>,
    ) -> Result<T, ImportError> {
        let Some(node) = self.get(name) else { return Ok(default) };
        parse(node).ok_or_else(|| self.complaint(name, expected, &node.describe()))
    }

    fn complaint(&self, setting: &str, expected: &str, found: &str) -> ImportError {
        ImportError::Setting {
            object: self.object.clone(),
            setting: setting.to_owned(),
            expected: expected.to_owned(),
            found: found.to_owned(),
        }
    }
}
