//! The kinds of training: networks and their losses, without a loop.

pub mod freeze;
pub mod stylegan2;
