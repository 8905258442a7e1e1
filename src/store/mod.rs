//! Files and folders: everything that is read from or written to a disk goes through here.

pub mod animation;
pub mod atomic;
pub mod bundle;
pub mod bundle_writer;
pub mod checkpoint;
pub mod event_file;
pub mod folder;
pub mod hash;
pub mod json;
pub mod latents;
pub mod lock;
pub mod models;
pub mod page;
pub mod photo;
pub mod picture;
pub mod shared_file;
pub mod student;
pub mod tensors;
pub mod weights;
