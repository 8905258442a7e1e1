//! The workflows of toonify, a StyleGAN2 toonify and model-blending workbench, in reading order:
//!
//! 1. [`inspect`]: what a checkpoint file is and holds;
//! 2. [`convert`]: any checkpoint file to another kind;
//! 3. [`generate`]: seeds or projected latents to images;
//! 4. [`style_mix`]: layers of one face on another;
//! 5. [`align`]: photos to FFHQ-framed faces;
//! 6. [`dataset`]: training sets, made, checked, shown and divided;
//! 7. [`project`]: photos to latents;
//! 8. [`train`]: images to a generator;
//! 9. [`metrics`]: how far a generator's images are from real ones;
//! 10. [`blend`]: two generators to one;
//! 11. [`grid`]: latents through every blend of two generators;
//! 12. [`photo`]: photos to the same photos with characters in place of the faces;
//! 13. [`encoder`]: a generator to a network that gives projections their start;
//! 14. [`models`]: models by name;
//! 15. [`demo`]: a blend grid from nothing.
//!
//! Each takes a plan in which nothing is left to ask, tells a [`events::Sink`] how it goes, and returns an outcome.
//! The networks live in `toonify-networks`, the alignment of faces in `toonify-align`; [`cli`] chooses the plan.

pub mod align;
pub mod blend;
pub mod chart;
pub mod cli;
pub mod convert;
pub mod dataset;
pub mod demo;
pub mod encoder;
pub mod events;
pub mod generate;
pub mod grid;
pub mod inspect;
pub mod metrics;
pub mod models;
pub mod photo;
pub mod pixels;
pub mod project;
pub mod render;
pub mod sheet;
pub mod statistics;
pub mod store;
pub mod style_mix;
pub mod train;
