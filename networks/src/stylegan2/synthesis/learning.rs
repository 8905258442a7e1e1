//! The synthesis network with gradients, on features in blocks of 16 channels: a convolution with the style in it and an end
//! of the layer, where the general way takes seven operators.
//!
//! Serves single precision on the CPU, without residual blocks; anything else goes the general way.

use super::{Entry, NoiseOf, StyledConv, Synthesis, SynthesisBlock, ToRgb, convolutions};
use crate::error::Result;
use crate::grad::Dual;
use crate::ops::features::{Ending, Features, Form, is_served};
use crate::ops::modulated_conv::demodulation;
use crate::ops::upfirdn2d::behind_growing;
use crate::ops::{self, Arithmetic};
use crate::stylegan2::synthesis::Noise;

impl Synthesis {
    /// The image, or nothing where the general way has to be taken.
    pub(super) fn learn(&self, ws: &Dual, noise: &Noise) -> Result<Option<Dual>> {
        if !is_served(ws) || !self.blocks.iter().all(SynthesisBlock::learns_in_blocks) {
            return Ok(None);
        }
        let (n, _, w_dim) = ws.value().dims3()?;
        let (mut features, mut image) = (None, None);
        for block in &self.blocks {
            let convolutions = convolutions(block.resolution);
            let w_at = |index: usize| ws.narrow(1, index, 1)?.reshape((n, w_dim));
            let (first, last) = (*convolutions.start(), *convolutions.end());
            let x = match (&block.entry, features) {
                (Entry::Const(constant), _) => {
                    let (_one, c, h, w) = constant.dims4()?;
                    Features::enter(&constant.linear(|x| x.broadcast_as((n, c, h, w))?.contiguous())?)?
                }
                (Entry::Grow { conv0, .. }, Some(below)) => conv0.learn(&below, &w_at(first)?, noise.of(first)?)?,
                (Entry::Grow { .. }, None) => return Ok(None),
            };
            let x = block.conv1.learn(&x, &w_at(last)?, noise.of(last)?)?;
            let Some(to_rgb) = &block.to_rgb else { return Ok(None) };
            let rgb = to_rgb.learn(&x, &w_at(last + 1)?)?;
            image = Some(match image {
                Some(below) => ops::upsample2d(&below, &block.filter, 2)?.add(&rgb)?,
                None => rgb,
            });
            features = Some(x);
        }
        Ok(image)
    }
}

impl SynthesisBlock {
    /// Whether all layers are of the kind that is served here.
    fn learns_in_blocks(&self) -> bool {
        let grows = match &self.entry {
            Entry::Const(constant) => is_served(constant) && constant.tangent().is_none(),
            Entry::Grow { conv0, skip } => skip.is_none() && conv0.learns_in_blocks(),
        };
        let single = self.arithmetic == Arithmetic::Single;
        single && grows && self.conv1.learns_in_blocks() && self.to_rgb.as_ref().is_some_and(ToRgb::learns_in_blocks)
    }
}

impl StyledConv {
    fn learns_in_blocks(&self) -> bool {
        let noise = self.noise.iter().flat_map(|noise| [&noise.constant, &noise.strength]);
        let parameters = [&self.weight, &self.bias].into_iter().chain(noise);
        self.arithmetic == Arithmetic::Single
            && parameters.into_iter().all(|parameter| is_served(parameter) && parameter.tangent().is_none())
            && Ending::serves(&self.act)
            && self.filter.is_separable()
    }

    fn learn(&self, x: &Features, w: &Dual, noise: NoiseOf<'_>) -> Result<Features> {
        let styles = self.affine.forward(w)?; // [N, I]
        let (factors, noise) = (demodulation(&self.weight, &styles)?, self.noise(noise)?);
        let (form, filter) = match self.up {
            1 => (Form::Same, None),
            _ => (Form::Grow, Some((&self.filter, behind_growing(&self.filter)))),
        };
        let y = x.convolve(&self.weight, form, Some(&styles))?;
        let (factors, noise) = (Some(&factors), noise.as_ref());
        y.finish(&Ending { filter, factors, noise, bias: &self.bias, act: &self.act })
    }
}

impl ToRgb {
    fn learns_in_blocks(&self) -> bool {
        let weight = is_served(&self.weight) && self.weight.tangent().is_none();
        weight && self.arithmetic == Arithmetic::Single
    }

    /// # Shapes
    /// → `[N, img_channels, R, R]`
    fn learn(&self, x: &Features, w: &Dual) -> Result<Dual> {
        let (colours, inputs, _, _) = self.weight.dims4()?;
        let n = w.dims()[0];
        let styles = self.affine.forward(w)?.scale(1.0 / (inputs as f64).sqrt())?; // [N, I]
        let weights = self.weight.reshape((1, colours, inputs))?.mul(&styles.reshape((n, 1, inputs))?)?; // [N, O, I]
        ops::bias_act(&x.mix(&weights)?, Some(&self.bias), &self.act)
    }
}
