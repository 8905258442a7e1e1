//! The kinds of training: networks and their losses, without a loop.

pub mod augmenter;
pub mod freeze;
pub mod stylegan2;
