//! The student without gradients, as fast as the processor allows: weights packed once, feature maps in blocks of
//! channels, 3x3 kernels by Winograd's method, bias, activation and residual sum in the same pass.

mod direct;
mod image;
mod kernel;
mod plane;
mod winograd;

use candle_core::{DType, Device, Tensor};

use crate::error::{Error, Result};
use crate::pix2pix::config::{COLOURS, MULTIPLE};
use crate::pix2pix::steps::{Activated, Conv, Op, SLOPE, Step, Value};
use crate::pix2pix::{StudentConfig, StudentLayer};
use crate::pool::in_pool;
use crate::stylegan2::Weights;
use direct::{Depthwise, Direct};
use image::Image;
use kernel::Ending;
use plane::{BLOCK, Plane, Shape};
use winograd::Winograd;

/// Fewest blocks of channels, in and out, for which Winograd's transforms pay.
const WINOGRAD_FROM: usize = 2;

/// A student that is ready to translate images one after the other.
#[derive(Clone, Debug)]
pub struct Swift {
    config: StudentConfig,
    steps: Vec<Step>,
    work: Vec<Work>,
    planes: Vec<Plane>,
    size: Option<(usize, usize)>,
}

/// What is done for a step.
#[derive(Clone, Debug)]
enum Work {
    /// Nothing: the step before, or the one after, does it.
    Elsewhere,
    Fold,
    Winograd(Value, Winograd, Option<Value>),
    Direct(Value, Direct, Option<Value>),
    Depthwise(Value, Depthwise),
    Double(Value),
    Add(Value, Value),
    Unfold(Value),
}

impl Swift {
    /// Packs the weights for this processor.
    ///
    /// # Errors
    /// [`Error::Value`] for an impossible configuration.
    pub fn new(config: &StudentConfig, weights: &Weights<StudentLayer>) -> Result<Swift> {
        config.check()?;
        let steps = config.steps();
        let mut work: Vec<Work> = Vec::with_capacity(steps.len());
        for (index, step) in steps.iter().enumerate() {
            let next = match step.op {
                // The last two steps are made with the picture.
                _ if index + 2 >= steps.len() => Work::Elsewhere,
                Op::Image | Op::AddColours(_) => Work::Elsewhere,
                Op::Fold(_) => Work::Fold,
                Op::Conv(x, conv) => convolution(x, &conv, weights)?,
                Op::Double(x) => Work::Double(x),
                Op::Unfold(x) => Work::Unfold(x),
                Op::Add(x, y) => match work.last_mut() {
                    // The sum follows its convolution at once, and nothing else reads what the convolution gives.
                    Some(Work::Winograd(_, _, added) | Work::Direct(_, _, added)) if x.0 + 1 == index => {
                        *added = Some(y);
                        Work::Elsewhere
                    }
                    _ => Work::Add(x, y),
                },
            };
            work.push(next);
        }
        Ok(Swift { config: config.clone(), steps, work, planes: Vec::new(), size: None })
    }

    /// What the student looks like.
    pub fn config(&self) -> &StudentConfig {
        &self.config
    }

    /// Translates images, as [`Student::forward`](crate::pix2pix::Student::forward) does.
    ///
    /// # Shapes
    /// photo `[N, img_channels, H, W]` in \[-1, 1\] → `[N, 3, H, W]`, about \[-1, 1\]
    ///
    /// # Errors
    /// [`Error::Shape`] for another number of channels, [`Error::Value`] for an image without pixels.
    pub fn forward(&mut self, photo: &Tensor) -> Result<Tensor> {
        let (n, channels, height, width) = photo.dims4()?;
        if channels != self.config.img_channels {
            let expected = vec![n, self.config.img_channels, height, width];
            return Err(Error::Shape { name: "image".to_owned(), expected, found: photo.dims().to_vec() });
        }
        if n == 0 || height == 0 || width == 0 {
            return Err(Error::value(
                "image size",
                format!("{n} of {height}×{width}"),
                "at least one image of one pixel",
            ));
        }
        let numbers = photo.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
        let mut pictures = Vec::with_capacity(n * COLOURS * height * width);
        for pixels in numbers.chunks_exact(channels * height * width) {
            pictures.extend(self.translate(pixels, (height, width)));
        }
        Ok(Tensor::from_vec(pictures, (n, COLOURS, height, width), &Device::Cpu)?)
    }

    /// Translates one image `[img_channels, H, W]` to `[3, H, W]`.
    ///
    /// # Panics
    /// When the numbers are not as many as channels and size say, or there are none.
    pub fn translate(&mut self, pixels: &[f32], size: (usize, usize)) -> Vec<f32> {
        let (height, width) = size;
        assert!(height > 0 && width > 0, "an image has pixels");
        assert_eq!(pixels.len(), self.config.img_channels * height * width, "the numbers of an image of this size");
        self.prepare(size);
        let image = Image { pixels, size };
        in_pool(|| {
            for index in 0..self.work.len() {
                self.work_on(index, image);
            }
            image.finish(&self.planes[self.planes.len() - 3])
        })
    }

    /// Makes room for the feature maps of images of this size.
    fn prepare(&mut self, (height, width): (usize, usize)) {
        if self.size == Some((height, width)) {
            return;
        }
        let (rows, columns) = (height.next_multiple_of(MULTIPLE), width.next_multiple_of(MULTIPLE));
        let empty = Plane::new(Shape { blocks: 0, height: 0, width: 0 });
        let plane = |(step, work): (&Step, &Work)| match work {
            Work::Elsewhere => empty.clone(),
            _ => Plane::new(Shape::new(step.channels, (rows / step.shrunk, columns / step.shrunk))),
        };
        self.planes = self.steps.iter().zip(&self.work).map(plane).collect();
        self.size = Some((height, width));
    }

    fn work_on(&mut self, index: usize, image: Image<'_>) {
        let (before, rest) = self.planes.split_at_mut(index);
        let (work, to) = (&self.work, &mut rest[0]);
        // A sum is held by the convolution that it was added in.
        let plane = |value: &Value| match work[value.0] {
            Work::Elsewhere => &before[value.0 - 1],
            _ => &before[value.0],
        };
        match &self.work[index] {
            Work::Elsewhere => {}
            Work::Fold => image.fold(to),
            Work::Winograd(x, conv, added) => conv.run(plane(x), added.as_ref().map(plane), to),
            Work::Direct(x, conv, added) => conv.run(plane(x), added.as_ref().map(plane), to),
            Work::Depthwise(x, conv) => conv.run(plane(x), to),
            Work::Double(x) => image::double(plane(x), to),
            Work::Add(x, y) => image::add(plane(x), plane(y), to),
            Work::Unfold(x) => image::unfold(plane(x), to),
        }
    }
}

fn convolution(x: Value, conv: &Conv, weights: &Weights<StudentLayer>) -> Result<Work> {
    let numbers = |layer: StudentLayer| -> Result<Vec<f32>> {
        let tensor = weights.get(layer).ok_or_else(|| Error::value("tensor", format!("{layer} missing"), "present"))?;
        Ok(tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?)
    };
    let (inputs, outputs) = conv.channels;
    let mut bias = conv.bias.map(numbers).transpose()?.unwrap_or_default();
    bias.resize(outputs.next_multiple_of(BLOCK), 0.0);
    let slope = match conv.activation {
        Activated::Yes => SLOPE as f32,
        Activated::No => 1.0,
    };
    let (ending, weight) = (Ending { bias, slope }, numbers(conv.weight)?);
    if conv.groups > 1 {
        return Ok(Work::Depthwise(x, Depthwise::new(&weight, ending)));
    }
    if conv.kernel == (3, 1) && inputs.min(outputs) >= WINOGRAD_FROM * BLOCK {
        return Ok(Work::Winograd(x, Winograd::new(&weight, (outputs, inputs), ending), None));
    }
    Ok(Work::Direct(x, Direct::new(&weight, (outputs, inputs), conv.kernel, ending), None))
}
