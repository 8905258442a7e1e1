//! Training: images and a recipe to a checkpoint.
//!
//! [`plan`] turns what was typed into decisions, as the published trainer does.

pub mod needs;
pub mod plan;
