//! SqueezeNet 1.0 and 1.1 (Iandola et al. 2016, table 1), as far as the last fire module.

use std::collections::BTreeMap;

use candle_core::Tensor;

use crate::error::{Error, Result};
use crate::ops::{Convolution, Edge, MaxPool, max_pool2d};
use crate::perceptual::Backbone;
use crate::perceptual::scale::{at_least, at_most_256, in_colour};
use crate::perceptual::tensors::{ConvRelu, TORCHVISION, normalised, same};

/// Squeeze and expand widths of fire2 to fire9.
const FIRES: [(usize, usize); 8] =
    [(16, 64), (16, 64), (32, 128), (32, 128), (48, 192), (48, 192), (64, 256), (64, 256)];
/// The fire modules whose features LPIPS compares, after the first convolution; counted from 0 for fire2.
const COMPARED: [usize; 6] = [1, 3, 4, 5, 6, 7];

/// Which release of the network, by the kernel of its first convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Release {
    /// 96 kernels of 7 px.
    V1_0,
    /// 64 kernels of 3 px; the one that the published LPIPS weights belong to.
    V1_1,
}

impl Release {
    fn first_shape(self) -> [usize; 4] {
        match self {
            Release::V1_0 => [96, 3, 7, 7],
            Release::V1_1 => [64, 3, 3, 3],
        }
    }

    /// The fire modules in front of which the image shrinks, counted from 0 for fire2.
    fn pools(self) -> [usize; 3] {
        match self {
            Release::V1_0 => [0, 3, 7],
            Release::V1_1 => [0, 2, 4],
        }
    }
}

/// Who named the tensors, which also says how the network wants its colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dialect {
    /// `fire2/conv1x1_1`: blue first, from 0 to 255, less the mean.
    Caffe,
    /// `features.3.squeeze`: scaled as LPIPS scales torchvision's networks.
    Torchvision,
}

/// Mean colour of ImageNet, blue first, which Caffe's networks subtract.
const CAFFE_MEAN: [f32; 3] = [104.0, 117.0, 123.0];

impl Dialect {
    fn first(self) -> &'static str {
        match self {
            Dialect::Caffe => "conv1",
            Dialect::Torchvision => "features.0",
        }
    }

    /// Names of the three convolutions of a fire module, counted from 0 for fire2.
    fn fire(self, release: Release, index: usize) -> [String; 3] {
        match self {
            Dialect::Caffe => ["1x1_1", "1x1_2", "3x3_2"].map(|conv| format!("fire{}/conv{conv}", index + 2)),
            Dialect::Torchvision => {
                // Convolution and ReLU come first, and every pooling layer is counted.
                let number = 2 + index + release.pools().iter().filter(|&&pool| pool <= index).count();
                ["squeeze", "expand1x1", "expand3x3"].map(|conv| format!("features.{number}.{conv}"))
            }
        }
    }

    /// `[N, 3, H, W]`, red first, 0 to 255 → what the network takes.
    fn colours(self, images: &Tensor) -> Result<Tensor> {
        match self {
            Dialect::Torchvision => normalised(images, TORCHVISION.0, TORCHVISION.1),
            Dialect::Caffe => {
                let channels = [2, 1, 0].map(|channel| images.narrow(1, channel, 1));
                let [b, g, r] = channels;
                normalised(&Tensor::cat(&[b?, g?, r?], 1)?, CAFFE_MEAN, [1.0; 3])
            }
        }
    }
}

/// A squeezing convolution and two expanding ones, whose features are joined.
struct Fire {
    squeeze: ConvRelu,
    expand: [ConvRelu; 2],
}

impl Fire {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let x = self.squeeze.forward(x)?;
        Ok(Tensor::cat(&[self.expand[0].forward(&x)?, self.expand[1].forward(&x)?], 1)?)
    }
}

/// The convolutions of SqueezeNet; LPIPS compares the first convolution and six of the fire modules.
pub struct SqueezeNet {
    release: Release,
    dialect: Dialect,
    first: ConvRelu,
    fires: Vec<Fire>,
}

impl SqueezeNet {
    /// Takes the tensors of a state dict, named as Caffe's or torchvision's.
    ///
    /// # Errors
    /// When it is neither, or a tensor is missing or has another shape.
    pub fn from_tensors(mut tensors: BTreeMap<String, Tensor>) -> Result<Self> {
        let (release, dialect) = recognise(&tensors)?;
        let spec = Convolution { stride: 2, ..Convolution::default() };
        let first = ConvRelu::take(&mut tensors, dialect.first(), release.first_shape(), spec)?;
        let mut inputs = release.first_shape()[0];
        let mut fires = Vec::new();
        for (index, (squeeze, expand)) in FIRES.into_iter().enumerate() {
            let mut conv = |name: &str, shape: [usize; 4]| ConvRelu::take(&mut tensors, name, shape, same(shape[3]));
            let [narrow, small, wide] = dialect.fire(release, index);
            fires.push(Fire {
                squeeze: conv(&narrow, [squeeze, inputs, 1, 1])?,
                expand: [conv(&small, [expand, squeeze, 1, 1])?, conv(&wide, [expand, squeeze, 3, 3])?],
            });
            inputs = 2 * expand;
        }
        Ok(SqueezeNet { release, dialect, first, fires })
    }

    /// Name and release, for reports.
    pub fn name(&self) -> &'static str {
        match self.release {
            Release::V1_0 => "SqueezeNet 1.0",
            Release::V1_1 => "SqueezeNet 1.1",
        }
    }
}

fn recognise(tensors: &BTreeMap<String, Tensor>) -> Result<(Release, Dialect)> {
    for dialect in [Dialect::Caffe, Dialect::Torchvision] {
        let Some(first) = tensors.get(&format!("{}.weight", dialect.first())) else { continue };
        if let Some(release) = [Release::V1_0, Release::V1_1].into_iter().find(|r| first.dims() == r.first_shape()) {
            return Ok((release, dialect));
        }
    }
    let found = tensors.keys().next().map_or("no tensors".to_owned(), |name| format!("`{name}` …"));
    Err(Error::value("weights file", found, "SqueezeNet 1.0 or 1.1 (`conv1.weight` or `features.0.weight`)"))
}

impl Backbone for SqueezeNet {
    fn channels(&self) -> Vec<usize> {
        let fires = COMPARED.iter().map(|&index| 2 * FIRES[index].1);
        std::iter::once(self.release.first_shape()[0]).chain(fires).collect()
    }

    fn feature_maps(&self, images: &Tensor) -> Result<Vec<Tensor>> {
        const LEAST_PX: usize = 64;
        let pool = MaxPool { kernel: 3, stride: 2, edge: Edge::Cut };
        let seen = at_least(&in_colour(&at_most_256(images)?)?, LEAST_PX)?;
        let mut x = self.first.forward(&self.dialect.colours(&seen)?)?;
        let mut maps = vec![x.clone()];
        for (index, fire) in self.fires.iter().enumerate() {
            if self.release.pools().contains(&index) {
                x = max_pool2d(&x, &pool)?;
            }
            x = fire.forward(&x)?;
            if COMPARED.contains(&index) {
                maps.push(x.clone());
            }
        }
        Ok(maps)
    }
}
