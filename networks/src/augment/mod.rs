//! Augmentations of what the discriminator sees, differentiable to every order, and the control of their probability.
//!
//! Fifteen transformations (sixteen draws: rotation is drawn before and after the change of aspect), applied to each
//! image with probability p, keep a discriminator from learning a small dataset by heart (Karras et al. 2020,
//! "Training Generative Adversarial Networks with Limited Data", appendix B). Three steps are kept apart:
//!
//! ```text
//! AugmentSet × Chance × Draws → Augmentation     what happens to each image; random
//! Augmentation × images      → images            linear, or a shift by a constant; exact
//! signs of the discriminator → p                 Adaptive
//! ```

mod apply;
mod chain;
mod colour;
mod control;
mod draw;
mod filter_bank;
mod geometry;
mod matrix;
mod reflect;
mod sample;
mod set;

pub use apply::{Augmentation, Cutout, Noise};
pub use control::{Adaptive, Probability};
pub use draw::Chance;
pub use matrix::Matrix;
pub use set::{AugmentSet, PUBLISHED_SETS, Range, Transformation};
