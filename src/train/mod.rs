//! Training: images and a recipe to a checkpoint.
//!
//! [`plan`] turns what was typed into decisions, as the published trainer does. [`fit`](mod@fit) is the loop, [`schedule`]
//! says which phases a step has, [`recipes`] hold the networks and their losses.

pub mod ema;
pub mod fit;
pub mod needs;
pub mod plan;
pub mod profile;
pub mod recipes;
pub mod schedule;
pub mod tally;
