//! Files and folders: everything that is read from or written to a disk goes through here.

pub mod atomic;
pub mod checkpoint;
pub mod folder;
pub mod json;
pub mod latents;
pub mod photo;
pub mod picture;
