//! The distance of images from a target as a classifier sees them (LPIPS; Zhang et al. 2018, equation 1), as one operator:
//! groups of ReLU convolutions with maximum pooling between them, the features behind each group compared.
//!
//! Features stay in blocks of 16 channels, and their gradients take their place, so that the largest maps are written once
//! forwards and once backwards.

mod back;
mod colours;
mod ending;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex};

use candle_core::{CpuStorage, CustomOp1, DType, Layout, Shape, Tensor};

use crate::error::{Error, Result};
use crate::ops::blocked::maps::Maps;
use crate::ops::blocked::styled::inner;
use crate::ops::blocked::{LANES, blocks_of};
use crate::ops::conv::Method;
use crate::ops::expect_shape;
use crate::ops::real::elements;
use crate::ops::relu_conv::{Edge, ReluConv, fits_tiles, with_numbers};
use crate::timing::timed;
use back::Back;
pub(crate) use colours::Colours;
use ending::{Ending, Seen};

/// A classifier up to its last convolution.
pub(crate) struct Classifier {
    groups: Vec<Group>,
    colours: Colours,
}

/// Convolutions of one resolution, behind which features are compared.
struct Group {
    layers: Vec<ReluConv>,
    /// How much each channel counts, blocks filled up with zeros.
    linear: Vec<f32>,
}

impl Classifier {
    /// Joins groups of layers, each with the linear weights `[C]` of its features; between groups the size is halved.
    ///
    /// # Errors
    /// When something does not fit.
    pub fn new(groups: Vec<(Vec<ReluConv>, Tensor)>, colours: Colours) -> Result<Self> {
        let mut width = colours.shift.len();
        let group = |(layers, linear): (Vec<ReluConv>, Tensor)| -> Result<Group> {
            if layers.is_empty() {
                return Err(Error::value("layers of a group", 0, "at least 1"));
            }
            for layer in &layers {
                let (outputs, inputs) = layer.channels()?;
                if inputs != width {
                    return Err(Error::value("input channels", inputs, width));
                }
                width = outputs;
            }
            expect_shape("linear weights", &linear, &[width])?;
            let mut linear: Vec<f32> = linear.to_dtype(DType::F32)?.to_vec1()?;
            linear.resize(blocks_of(width) * LANES, 0.0);
            Ok(Group { layers, linear })
        };
        Ok(Classifier { groups: groups.into_iter().map(group).collect::<Result<_>>()?, colours })
    }

    /// Whether images can be looked at in this way: in single precision on the CPU, and of whole tiles behind each group.
    pub fn serves(&self, images: &Tensor) -> bool {
        let Ok((n, c, h, w)) = images.dims4() else { return false };
        let smallest = self.groups.len().saturating_sub(1) as u32;
        let is_single = images.dtype() == DType::F32 && images.device().is_cpu();
        is_single
            && c == self.colours.shift.len()
            && Method::by_tiles()
            && [h, w].iter().all(|side| side % (1 << smallest) == 0)
            && fits_tiles(n, (h >> smallest, w >> smallest))
            && self.groups.iter().flat_map(|group| &group.layers).all(ReluConv::is_served)
    }

    /// Looks at the images that others will be compared with, `[N, C, H, W]`.
    ///
    /// # Errors
    /// When they are not [served](Self::serves).
    pub fn look_at(self: Arc<Self>, target: &Tensor) -> Result<Target> {
        if !self.serves(target) {
            return Err(Error::value("target", format!("{:?}", target.dims()), "images that are served"));
        }
        let (target, mut features) = (target.contiguous()?, Vec::new());
        let mut x =
            with_numbers(&target, |numbers| candle_core::Result::Ok(self.colours.enter(numbers, target.dims4()?)))??;
        for group in &self.groups {
            let outputs = group.through(&x, false)?;
            let ending = Ending::new(&outputs[0], &group.linear);
            features.push(ending.of_length_one());
            x = ending.halved();
        }
        Ok(Target { shape: target.dims().to_vec(), classifier: self, features: features.into() })
    }
}

impl Group {
    /// What the layers give, the last one alone unless all are kept; with a border.
    fn through(&self, x: &Maps, keeps: bool) -> candle_core::Result<Vec<Maps>> {
        let operations = self.layers.iter().map(|layer| layer.operations(x.sizes.images, inner(x.sizes))).sum();
        timed("convolutions with ReLU", operations, || {
            let mut outputs: Vec<Maps> = Vec::new();
            for layer in &self.layers {
                let y = layer.forwards(outputs.last().unwrap_or(x), Edge::Framed)?;
                if !keeps {
                    outputs.clear();
                }
                outputs.push(y);
            }
            Ok(outputs)
        })
    }

    /// The gradient by what the group sees, without a border, from that of the sums of its last layer.
    fn back(&self, mut gradient: Maps, between: Vec<Maps>) -> candle_core::Result<Maps> {
        timed("gradient of convolutions with ReLU", 0, || {
            for (layer, mut x) in self.layers[1..].iter().zip(between).rev() {
                layer.backwards_into(&gradient, &mut x)?;
                gradient = x;
            }
            self.layers[0].backwards(&gradient)
        })
    }
}

/// What images are compared with.
pub(crate) struct Target {
    classifier: Arc<Classifier>,
    shape: Vec<usize>,
    /// Vectors of length 1 times the roots of their weights, for each group.
    features: Arc<[Maps]>,
}

impl Target {
    /// Squared distances of images from their targets.
    ///
    /// # Shapes
    /// images as the target, `[N, C, H, W]` → `[N]`
    ///
    /// # Errors
    /// [`Error::Shape`] when they are not.
    pub fn distance(&self, images: &Tensor) -> Result<Tensor> {
        expect_shape("images", images, &self.shape)?;
        let (classifier, features) = (self.classifier.clone(), self.features.clone());
        let distance = Distance { classifier, features, keeps: images.track_op(), passed: Mutex::default() };
        Ok(images.contiguous()?.apply_op1(distance)?)
    }
}

/// What a group keeps for the way back.
struct Passed {
    outputs: Vec<Maps>,
    seen: Seen,
}

/// images → distances
struct Distance {
    classifier: Arc<Classifier>,
    features: Arc<[Maps]>,
    /// Whether a gradient will be asked for.
    keeps: bool,
    passed: Mutex<Vec<Passed>>,
}

impl Distance {
    fn forwards(&self, mut x: Maps) -> candle_core::Result<(Vec<f64>, Vec<Passed>)> {
        let (mut distances, mut passed) = (vec![0.0; x.sizes.images], Vec::new());
        let last = self.classifier.groups.len() - 1;
        for (index, (group, target)) in self.classifier.groups.iter().zip(&*self.features).enumerate() {
            let outputs = group.through(&x, self.keeps)?;
            let ending = Ending::new(&outputs[outputs.len() - 1], &group.linear);
            let mut halved = (index < last).then(|| ending.room_for_half());
            let seen = timed("distance of features", 0, || ending.compare(target, halved.as_mut(), &mut distances));
            x = halved.unwrap_or_else(Maps::empty);
            if self.keeps {
                passed.push(Passed { outputs, seen });
            }
        }
        Ok((distances, passed))
    }

    /// The gradient by the first group's input, without a border, from those by the distances.
    fn backwards(&self, passed: Vec<Passed>, of_distances: &[f32]) -> candle_core::Result<Maps> {
        let mut coarse: Option<Maps> = None;
        for ((group, target), Passed { mut outputs, seen }) in
            self.classifier.groups.iter().zip(&*self.features).zip(passed).rev()
        {
            let Some(mut features) = outputs.pop() else { continue };
            timed("gradient of distance of features", 0, || {
                let way = Back { target, linear: &group.linear, seen: &seen, of_distances };
                way.replace(&mut features, coarse.as_ref());
            });
            coarse = Some(group.back(features, outputs)?);
        }
        Ok(coarse.unwrap_or_else(Maps::empty))
    }
}

impl CustomOp1 for Distance {
    fn name(&self) -> &'static str {
        "perceptual distance"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let shape = layout.shape().dims4()?;
        let x = self.classifier.colours.enter(elements(storage, layout)?, shape);
        let (distances, passed) = self.forwards(x)?;
        *self.passed.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = passed;
        let distances = distances.into_iter().map(|distance| distance as f32).collect();
        Ok((CpuStorage::F32(distances), shape.0.into()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, gradient: &Tensor) -> candle_core::Result<Option<Tensor>> {
        let passed = std::mem::take(&mut *self.passed.lock().unwrap_or_else(|poisoned| poisoned.into_inner()));
        if passed.len() < self.classifier.groups.len() {
            candle_core::bail!("a {} can be followed back once only", self.name());
        }
        let of_input = self.backwards(passed, &gradient.to_vec1::<f32>()?)?;
        let numbers = self.classifier.colours.leave(&of_input, x.dims4()?);
        Ok(Some(Tensor::from_vec(numbers, x.shape(), x.device())?))
    }
}
