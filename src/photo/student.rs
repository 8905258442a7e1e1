//! A student as an engine: one pass through a small network, no search.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, ensure};
use candle_core::Device;
use image::RgbImage;
use toonify_networks::pix2pix::Swift;

use crate::events::{Event, Sink};
use crate::photo::engine::{AlignedFace, Ending, Engine, Toon};
use crate::pixels::{self, Rounding};
use crate::store::{hash, photo, student};

/// Side of a face when the student does not say what it was trained on.
const USUAL_PX: usize = 256;

/// Translates.
pub struct StudentEngine {
    swift: Swift,
    side_px: u32,
    identity: String,
}

impl StudentEngine {
    /// Reads the student.
    ///
    /// # Errors
    /// When the file cannot be read, or the student wants more than colours.
    pub fn open(path: &Path) -> Result<StudentEngine> {
        let (file, shown) = (student::read(path)?, path.display());
        let channels = file.config.img_channels;
        ensure!(channels == 3, "`{shown}` takes {channels} channels; photos have red, green and blue only");
        let swift = Swift::new(&file.config, &file.weights).with_context(|| format!("cannot use student `{shown}`"))?;
        let side_px = u32::try_from(file.history.resolution_px.unwrap_or(USUAL_PX))?;
        let identity = format!("student {}", hash::sha256(photo::read_bytes(path)?));
        Ok(StudentEngine { swift, side_px, identity })
    }

    fn translate(&mut self, face: &RgbImage) -> Result<RgbImage> {
        let input = pixels::from_rgb(std::slice::from_ref(face), &Device::Cpu)?;
        Ok(pixels::to_rgb(&self.swift.forward(&input)?, Rounding::Grid)?.swap_remove(0))
    }
}

impl Engine for StudentEngine {
    fn side_px(&self) -> u32 {
        self.side_px
    }

    fn identity(&self) -> String {
        self.identity.clone()
    }

    fn faces_at_once(&self) -> usize {
        1
    }

    fn toons(
        &mut self,
        faces: &[AlignedFace],
        (stop, sink): (&AtomicBool, &mut dyn Sink),
    ) -> Result<Vec<Option<Toon>>> {
        let mut toons = Vec::new();
        for (done, face) in faces.iter().enumerate() {
            if stop.load(Ordering::Relaxed) {
                toons.push(None);
                continue;
            }
            toons.push(Some(Toon { image: self.translate(&face.image)?, stages: vec![], ending: Ending::Whole }));
            sink.event(&Event::Progress { done: done as u64 + 1, total: faces.len() as u64, unit: "faces" });
        }
        Ok(toons)
    }
}
