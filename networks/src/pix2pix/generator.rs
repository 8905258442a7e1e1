//! The student on candle tensors, with gradients.

use std::collections::HashMap;

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;

use crate::error::{Error, Result};
use crate::grad::Dual;
use crate::ops::{self, Activation, BiasAct, Convolution};
use crate::pix2pix::config::{COLOURS, FOLD, MULTIPLE};
use crate::pix2pix::steps::{Activated, Conv, Op, SLOPE, Step};
use crate::pix2pix::{StudentConfig, StudentLayer};
use crate::stylegan2::{TensorName, Weights};

/// A student that can be trained.
#[derive(Clone, Debug)]
pub struct Student {
    config: StudentConfig,
    steps: Vec<Step>,
    tensors: HashMap<StudentLayer, Dual>,
}

impl Student {
    /// Builds the network on the variables of `vb`, under the names of [`StudentLayer`].
    ///
    /// # Errors
    /// [`Error::Value`] for an impossible configuration, candle's error for a missing variable.
    pub fn new(config: &StudentConfig, vb: &VarBuilder<'_>) -> Result<Self> {
        config.check()?;
        let mut tensors = HashMap::new();
        for (layer, shape) in StudentLayer::all(config) {
            tensors.insert(layer, vb.get(shape, &layer.to_string())?.into());
        }
        Ok(Student { config: config.clone(), steps: config.steps(), tensors })
    }

    /// Builds the network for rendering; the tensors are shared, not copied.
    ///
    /// # Errors
    /// As [`Student::new`].
    pub fn from_weights(config: &StudentConfig, weights: &Weights<StudentLayer>) -> Result<Self> {
        Self::new(config, &weights.var_builder(DType::F32, &Device::Cpu))
    }

    /// What the student looks like.
    pub fn config(&self) -> &StudentConfig {
        &self.config
    }

    /// Translates images of any size; the last rows and columns are repeated up to a multiple of [`MULTIPLE`].
    ///
    /// # Shapes
    /// image `[N, img_channels, H, W]` in \[-1, 1\] → `[N, 3, H, W]`, about \[-1, 1\]
    ///
    /// # Errors
    /// [`Error::Shape`] for another number of channels, [`Error::Value`] for an image without pixels.
    pub fn forward(&self, image: &Dual) -> Result<Dual> {
        let (n, channels, h, w) = image.dims4()?;
        if channels != self.config.img_channels {
            let expected = vec![n, self.config.img_channels, h, w];
            return Err(Error::Shape { name: "image".to_owned(), expected, found: image.dims().to_vec() });
        }
        if n == 0 || h == 0 || w == 0 {
            return Err(Error::value("image size", format!("{n} of {h}×{w}"), "at least one image of one pixel"));
        }
        let (bottom, right) = (h.next_multiple_of(MULTIPLE) - h, w.next_multiple_of(MULTIPLE) - w);
        let padded = image.linear(|x| x.pad_with_same(2, 0, bottom)?.pad_with_same(3, 0, right))?;
        self.run(&padded)?.narrow(2, 0, h)?.narrow(3, 0, w)
    }

    fn run(&self, image: &Dual) -> Result<Dual> {
        let mut values: Vec<Dual> = Vec::with_capacity(self.steps.len());
        for step in &self.steps {
            let value = match step.op {
                Op::Image => image.clone(),
                Op::Fold(x) => fold(&values[x.0])?,
                Op::Conv(x, conv) => self.convolve(&values[x.0], &conv)?,
                Op::Double(x) => double(&values[x.0])?,
                Op::Add(x, y) => values[x.0].add(&values[y.0])?,
                Op::Unfold(x) => unfold(&values[x.0])?,
                Op::AddColours(x) => values[x.0].add(&image.narrow(1, 0, COLOURS)?)?,
            };
            values.push(value);
        }
        Ok(values.pop().expect("a student has steps"))
    }

    fn convolve(&self, x: &Dual, conv: &Conv) -> Result<Dual> {
        let tensor = |layer| self.tensors.get(layer).expect("every layer of the configuration was loaded");
        let (kernel, stride) = conv.kernel;
        let spec = Convolution { stride, padding: [(kernel / 2) as isize; 4], groups: conv.groups };
        let y = ops::conv2d(x, tensor(&conv.weight), &spec)?;
        let activation = match conv.activation {
            Activated::Yes => Activation::Lrelu,
            Activated::No => Activation::Linear,
        };
        let act = BiasAct { alpha: Some(SLOPE), gain: Some(1.0), ..BiasAct::new(activation) };
        ops::bias_act(&y, conv.bias.as_ref().map(tensor), &act)
    }
}

/// # Shapes
/// `[N, C, H, W]` → `[N, C·16, H/4, W/4]`
fn fold(x: &Dual) -> Result<Dual> {
    let (n, c, h, w) = x.dims4()?;
    let (rows, columns) = (h / FOLD, w / FOLD);
    x.linear(|x| {
        let squares = x.reshape(&[n, c, rows, FOLD, columns, FOLD][..])?.permute([0, 1, 3, 5, 2, 4])?;
        squares.contiguous()?.reshape((n, c * FOLD * FOLD, rows, columns))
    })
}

/// # Shapes
/// `[N, 4·C, H, W]` → `[N, C, 2·H, 2·W]`
fn unfold(x: &Dual) -> Result<Dual> {
    let (n, c, h, w) = x.dims4()?;
    x.linear(|x| {
        let squares = x.reshape(&[n, c / 4, 2, 2, h, w][..])?.permute([0, 1, 4, 2, 5, 3])?;
        squares.contiguous()?.reshape((n, c / 4, 2 * h, 2 * w))
    })
}

/// # Shapes
/// `[N, C, H, W]` → `[N, C, 2·H, 2·W]`
fn double(x: &Dual) -> Result<Dual> {
    let (n, c, h, w) = x.dims4()?;
    // candle's own upsampling has a wrong gradient.
    x.linear(|x: &Tensor| {
        let wide = x.reshape(&[n, c, h, 1, w, 1][..])?.broadcast_as(&[n, c, h, 2, w, 2][..])?;
        wide.contiguous()?.reshape((n, c, 2 * h, 2 * w))
    })
}
