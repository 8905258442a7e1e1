//! A student between pictures: pixels in, pixels out.

use anyhow::{Context, Result, ensure};
use candle_core::Device;
use image::RgbImage;
use image::imageops::FilterType;
use toonify_align::{CropMethod, crop, paste};
use toonify_networks::pix2pix::Swift;

use super::tracker::Tracker;
use super::{ApplyPlan, Scope};
use crate::pixels::{self, Rounding};
use crate::store::student;

/// Side of a face when the student does not say what it was trained on.
const USUAL_PX: usize = 256;

/// Translates pictures one after the other; those of a video in their order.
pub struct Translator {
    swift: Swift,
    face_px: u32,
    tracker: Option<Tracker>,
    faces: u64,
}

impl Translator {
    /// Reads the student, and opens the face finder where it is needed.
    ///
    /// # Errors
    /// When a file cannot be read, the student wants more than colours, or the finder cannot be used.
    pub fn open(plan: &ApplyPlan) -> Result<Translator> {
        let file = student::read(&plan.student)?;
        let shown = plan.student.display();
        let channels = file.config.img_channels;
        ensure!(channels == 3, "`{shown}` takes {channels} channels; pictures have red, green and blue only");
        let swift = Swift::new(&file.config, &file.weights).with_context(|| format!("cannot use student `{shown}`"))?;
        let tracker = match &plan.scope {
            Scope::Frame => None,
            Scope::Faces(faces) => Some(Tracker::open(faces)?),
        };
        let face_px = u32::try_from(file.history.resolution_px.unwrap_or(USUAL_PX))?;
        Ok(Translator { swift, face_px, tracker, faces: 0 })
    }

    /// Forgets the frames before: what comes next is another video, or a picture of its own.
    pub fn start_anew(&mut self) {
        if let Some(tracker) = &mut self.tracker {
            tracker.forget();
        }
    }

    /// Faces translated so far.
    pub fn faces(&self) -> u64 {
        self.faces
    }

    /// Translates the next frame. One without faces comes back as it is, where faces were asked for.
    ///
    /// # Errors
    /// When the student or the face finder fails.
    pub fn frame(&mut self, frame: &RgbImage) -> Result<RgbImage> {
        let Some(tracker) = &mut self.tracker else { return translate(&mut self.swift, frame) };
        let mut result = frame.clone();
        for face in tracker.follow(frame)? {
            // A face that cannot be cropped is left as it is, as one that was not seen.
            let Ok(square) = crop(frame, &face.frame, self.face_px, CropMethod::Clean) else { continue };
            let toon = translate(&mut self.swift, &square)?;
            paste(&mut result, &toon, &face.frame, &face.paste)?;
            self.faces += 1;
        }
        Ok(result)
    }

    /// Translates a picture of its own at a size of its own, at most `largest_px` on its longer side.
    ///
    /// # Errors
    /// As [`Translator::frame`].
    pub fn picture(&mut self, picture: &RgbImage, largest_px: Option<u32>) -> Result<RgbImage> {
        self.start_anew();
        let (width, height) = picture.dimensions();
        let Some(largest) = largest_px.filter(|&largest| largest < width.max(height)) else {
            return self.frame(picture);
        };
        let scaled = |side: u32| (u64::from(side) * u64::from(largest) / u64::from(width.max(height))).max(1) as u32;
        self.frame(&image::imageops::resize(picture, scaled(width), scaled(height), FilterType::Lanczos3))
    }
}

fn translate(swift: &mut Swift, picture: &RgbImage) -> Result<RgbImage> {
    let photo = pixels::from_rgb(std::slice::from_ref(picture), &Device::Cpu)?;
    let made = pixels::to_rgb(&swift.forward(&photo)?, Rounding::Grid)?;
    made.into_iter().next().context("one picture in gives one picture out")
}
