//! A student between pictures: pixels in, pixels out.

use anyhow::{Context, Result, ensure};
use image::{DynamicImage, RgbImage};
use toonify_align::{CropFrame, CropMethod, crop, paste};
use toonify_networks::pix2pix::Swift;

use super::steady::Steady;
use super::tracker::Tracker;
use super::{ApplyPlan, Frame, Scope};
use crate::pixels::{self, Rounding};
use crate::store::student;

/// Side of a face when the student does not say what it was trained on.
const USUAL_PX: usize = 256;

/// Translates pictures one after the other; those of a video in their order.
pub struct Translator {
    swift: Swift,
    face_px: u32,
    scene: Scene,
    faces: u64,
}

/// What is remembered from frame to frame.
enum Scene {
    Whole(Steady),
    Faces(Tracker),
}

impl Translator {
    /// Reads the student, and opens the face finder where it is needed.
    ///
    /// # Errors
    /// When a file cannot be read, the student wants more than colours and depth, or the finder cannot be used.
    pub fn open(plan: &ApplyPlan) -> Result<Translator> {
        let file = student::read(&plan.student)?;
        let shown = plan.student.display();
        let channels = file.config.img_channels;
        ensure!((3..=4).contains(&channels), "`{shown}` takes {channels} channels; there are colours and depth only");
        let swift = Swift::new(&file.config, &file.weights).with_context(|| format!("cannot use student `{shown}`"))?;
        let scene = match &plan.scope {
            Scope::Frame { smoothing } => Scene::Whole(Steady::new(*smoothing)),
            Scope::Faces(faces) => Scene::Faces(Tracker::open(faces)?),
        };
        let face_px = u32::try_from(file.history.resolution_px.unwrap_or(USUAL_PX))?;
        Ok(Translator { swift, face_px, scene, faces: 0 })
    }

    /// Whether the student looks at depth too.
    pub fn wants_depth(&self) -> bool {
        self.swift.config().img_channels > 3
    }

    /// Forgets the frames before: what comes next is another video, or a picture of its own.
    pub fn start_anew(&mut self) {
        match &mut self.scene {
            Scene::Whole(steady) => steady.forget(),
            Scene::Faces(tracker) => tracker.forget(),
        }
    }

    /// Faces translated so far.
    pub fn faces(&self) -> u64 {
        self.faces
    }

    /// Translates the next frame. One without faces comes back as it is, where faces were asked for.
    ///
    /// # Errors
    /// When the student or the face finder fails, or the student wants depth and the frame has none.
    pub fn frame(&mut self, frame: &Frame) -> Result<RgbImage> {
        self.check_depth(frame)?;
        let Scene::Whole(steady) = &mut self.scene else { return self.unheld(frame) };
        let swift = &mut self.swift;
        let (seen, result) = rayon::join(|| steady.look(&frame.pixels), || translate(swift, frame));
        Ok(steady.show(seen, result?))
    }

    /// Translates a picture of its own, made smaller to `largest_px` on its longer side.
    ///
    /// # Errors
    /// As [`Translator::frame`].
    pub fn picture(&mut self, picture: Frame, largest_px: Option<u32>) -> Result<RgbImage> {
        self.check_depth(&picture)?;
        self.start_anew();
        self.unheld(&picture.at_most(largest_px.unwrap_or(u32::MAX)))
    }

    fn check_depth(&self, frame: &Frame) -> Result<()> {
        let wanted = self.wants_depth();
        ensure!(
            wanted == frame.depth.is_some(),
            "the student was trained {} depth",
            if wanted { "with" } else { "without" }
        );
        Ok(())
    }

    /// Translates what nothing is held for: a picture, or the faces of a frame.
    fn unheld(&mut self, frame: &Frame) -> Result<RgbImage> {
        let Scene::Faces(tracker) = &mut self.scene else { return translate(&mut self.swift, frame) };
        let mut result = frame.pixels.clone();
        for face in tracker.follow(&frame.pixels)? {
            // A face that cannot be cropped is left as it is, as one that was not seen.
            let Ok(square) = cropped(frame, &face.frame, self.face_px) else { continue };
            let toon = translate(&mut self.swift, &square)?;
            paste(&mut result, &toon, &face.frame, &face.paste)?;
            self.faces += 1;
        }
        Ok(result)
    }
}

fn cropped(frame: &Frame, place: &CropFrame, side_px: u32) -> Result<Frame> {
    let square = |pixels: &RgbImage| crop(pixels, place, side_px, CropMethod::Clean);
    let depth = frame.depth.as_ref().map(|depth| square(&DynamicImage::from(depth.clone()).into_rgb8())).transpose()?;
    let gray = |pixels: RgbImage| DynamicImage::from(pixels).into_luma8();
    Ok(Frame { pixels: square(&frame.pixels)?, depth: depth.map(gray) })
}

fn translate(swift: &mut Swift, frame: &Frame) -> Result<RgbImage> {
    let made = pixels::to_rgb(&swift.forward(&frame.tensor()?)?, Rounding::Grid)?;
    made.into_iter().next().context("one picture in gives one picture out")
}
