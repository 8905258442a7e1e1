//! The workflows of toonify, a StyleGAN2 toonify and model-blending workbench, in reading order:
//!
//! 1. [`inspect`]: what a checkpoint file is and holds;
//! 1. [`convert`]: any checkpoint file to another kind;
//! 1. [`generate`]: seeds or projected latents to images;
//! 1. [`style_mix`]: layers of one face on another;
//! 1. [`interpolate`]: the ways between faces;
//! 1. [`align`]: photos to FFHQ-framed faces;
//! 1. [`dataset`]: training sets, made, checked, shown and divided;
//! 1. [`project`]: photos to latents;
//! 1. [`train`]: images to a generator;
//! 1. [`metrics`]: how far a generator's images are from real ones;
//! 1. [`neighbours`]: images to the most similar pictures of a training set;
//! 1. [`blend`]: two generators to one;
//! 1. [`grid`]: latents through every blend of two generators;
//! 1. [`photo`]: photos to the same photos with characters in place of the faces;
//! 1. [`encoder`]: a generator to a network that gives projections their start;
//! 1. [`pairs`]: a base and a blend to pairs of images;
//! 1. [`distill`]: pairs to a student that runs in real time;
//! 1. [`apply`]: a student to photos and videos;
//! 1. [`mod@compare`]: a student beside its teacher;
//! 1. [`export`]: networks to ONNX files;
//! 1. [`report`]: the folder of a training to curves and a page;
//! 1. [`models`]: models by name;
//! 1. [`mod@bench`]: how fast this machine is;
//! 1. [`demo`]: a blend grid from nothing.
//!
//! Each takes a plan in which nothing is left to ask, tells a [`events::Sink`] how it goes, and returns an outcome.
//! The networks live in `toonify-networks`, the alignment of faces in `toonify-align`; [`cli`] chooses the plan.

pub mod align;
pub mod apply;
pub mod bench;
pub mod blend;
pub mod chart;
pub mod cli;
pub mod compare;
pub mod convert;
pub mod dataset;
pub mod demo;
pub mod distill;
pub mod encoder;
pub mod events;
pub mod export;
pub mod eyes;
pub mod generate;
pub mod grid;
pub mod inspect;
pub mod interpolate;
pub mod latents;
pub mod metrics;
pub mod models;
pub mod neighbours;
pub mod pairs;
pub mod photo;
pub mod pixels;
pub mod plot;
pub mod project;
pub mod render;
pub mod report;
pub mod sheet;
pub mod statistics;
pub mod store;
pub mod style_mix;
pub mod train;
