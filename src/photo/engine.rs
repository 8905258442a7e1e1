//! What makes characters of faces: the seam between finding and pasting faces and the networks in between.

use std::sync::atomic::AtomicBool;

use anyhow::Result;
use image::RgbImage;

use crate::events::Sink;

/// A face cut out of its photo, in the engine's size.
#[derive(Clone, Debug)]
pub struct AlignedFace {
    /// The photo's stem and the face's number, `a/anna_00`: the same in every run.
    pub name: String,
    /// The pixels.
    pub image: RgbImage,
}

/// A character.
#[derive(Clone, Debug)]
pub struct Toon {
    /// The pixels, as large as the face's.
    pub image: RgbImage,
    /// What was seen on the way, first things first, each with its name.
    pub stages: Vec<(&'static str, RgbImage)>,
    /// Whether the engine took all the time that it wanted.
    pub ending: Ending,
}

/// How the work on a face ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// As planned.
    Whole,
    /// It was stopped and would be better otherwise.
    Interrupted,
}

/// Turns faces into characters.
pub trait Engine {
    /// Side of the faces that it takes, in pixels.
    fn side_px(&self) -> u32;

    /// Everything beside the face that decides the result, in one line: equal identities give equal characters.
    fn identity(&self) -> String;

    /// How many faces fill it; fewer take as long.
    fn faces_at_once(&self) -> usize;

    /// Makes a character of each face. `None` stands for faces that were not begun because `stop` became true.
    ///
    /// # Errors
    /// Whatever keeps the engine from working on any face.
    fn toons(&mut self, faces: &[AlignedFace], how: (&AtomicBool, &mut dyn Sink)) -> Result<Vec<Option<Toon>>>;
}
