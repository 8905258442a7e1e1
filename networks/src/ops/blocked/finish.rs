//! What a layer does to the sums of its convolution before they are stored.

use super::LANES;
use crate::ops::vector::Vector;

/// clamp(lines(sum · factor + noise + bias)), the end of a styled layer.
#[derive(Clone, Copy)]
pub(crate) struct Finish<'a> {
    /// A factor for each image and channel, blocks filled up; none for 1.
    pub factors: Option<&'a [f32]>,
    /// A term for each channel, blocks filled up.
    pub bias: &'a [f32],
    pub noise: Option<Noise<'a>>,
    /// Factor for positive numbers, and what it is multiplied with for others: from 0 to 1.
    pub gain: f32,
    pub slope: f32,
    /// Largest magnitude.
    pub clamp: f32,
}

/// A term for each pixel.
#[derive(Clone, Copy)]
pub(crate) struct Noise<'a> {
    pub numbers: &'a [f32],
    pub columns: usize,
    /// Numbers from one image to the next; 0 for the same noise everywhere.
    pub image_step: usize,
}

impl Noise<'_> {
    /// The noise of a pixel. Tiles may hang over an image: what they have there is left out, whatever its noise.
    #[inline(always)]
    pub(super) fn at(&self, image: usize, (row, column): (usize, usize)) -> f32 {
        self.numbers.get(image * self.image_step + row * self.columns + column).copied().unwrap_or(0.0)
    }
}

/// The constants of some channels.
pub(crate) struct Channels<V> {
    factor: V,
    bias: V,
    gain: V,
    slope: V,
    clamp: V,
}

impl Finish<'_> {
    /// Loads what the channels `block · 16 + lane ..` of an image need.
    #[inline(always)]
    pub(super) fn channels<V: Vector>(
        &self,
        (image, block, blocks): (usize, usize, usize),
        lane: usize,
    ) -> Channels<V> {
        let bias = &self.bias[block * LANES + lane..][..V::LANES];
        // SAFETY: slices of a vector's length.
        let (factor, bias) = unsafe {
            let factor = match self.factors {
                Some(factors) => V::load(factors[(image * blocks + block) * LANES + lane..][..V::LANES].as_ptr()),
                None => V::splat(1.0),
            };
            (factor, V::load(bias.as_ptr()))
        };
        let (gain, slope, clamp) = (V::splat(self.gain), V::splat(self.slope), V::splat(self.clamp));
        Channels { factor, bias, gain, slope, clamp }
    }
}

impl Finish<'_> {
    /// The noise of a pixel, 0 without noise.
    #[inline(always)]
    pub(super) fn noise_at(&self, image: usize, pixel: (usize, usize)) -> f32 {
        match &self.noise {
            Some(noise) => noise.at(image, pixel),
            None => 0.0,
        }
    }

    /// The noise of a row of so many pixels; none without noise.
    #[inline(always)]
    pub(super) fn noise_row(&self, image: usize, row: usize, columns: usize) -> Option<&[f32]> {
        self.noise.map(|noise| &noise.numbers[image * noise.image_step + row * noise.columns..][..columns])
    }

    /// A tile of 4x4 pixels, the first of which is `place`: image, row and column.
    #[inline(always)]
    pub(super) fn tile<V: Vector>(
        &self,
        mut tile: [[V; 4]; 4],
        channels: &Channels<V>,
        (image, row, column): (usize, usize, usize),
    ) -> [[V; 4]; 4] {
        for (y, numbers) in tile.iter_mut().enumerate() {
            for (x, number) in numbers.iter_mut().enumerate() {
                *number = channels.finish(*number, self.noise_at(image, (row + y, column + x)));
            }
        }
        tile
    }
}

/// The derivative of the activation for some channels, as a function of the layer's result.
pub(super) struct Slope<V> {
    /// What the sums were multiplied with.
    pub factor: V,
    gain: V,
    sloped: V,
    clamp: V,
}

impl Finish<'_> {
    /// The derivative for the channels `block · 16 + lane ..` of an image.
    #[inline(always)]
    pub(super) fn slope<V: Vector>(&self, place: (usize, usize, usize), lane: usize) -> Slope<V> {
        Slope { factor: self.channels::<V>(place, lane).factor, ..self.slope_without_factor() }
    }

    /// The derivative where the factors are elsewhere.
    #[inline(always)]
    pub(super) fn slope_without_factor<V: Vector>(&self) -> Slope<V> {
        let gain = V::splat(self.gain);
        Slope { factor: V::splat(1.0), gain, sloped: gain.mul(V::splat(self.slope)), clamp: V::splat(self.clamp) }
    }
}

impl<V: Vector> Slope<V> {
    /// Zero where the result was clamped.
    #[inline(always)]
    pub(super) fn of(&self, result: V) -> V {
        let zero = V::splat(0.0);
        let room = self.clamp.sub(result.max(zero.sub(result)));
        room.where_positive(result.where_positive(self.gain, self.sloped), zero)
    }
}

impl<V: Vector> Channels<V> {
    /// The layer's result for one pixel.
    #[inline(always)]
    pub(super) fn finish(&self, sum: V, noise: f32) -> V {
        let number = sum.mul_add(self.factor, self.bias.add(V::splat(noise))).mul(self.gain);
        let number = number.max(number.mul(self.slope));
        number.min(self.clamp).max(V::splat(0.0).sub(self.clamp))
    }
}
