//! Records to numbers: every photo is counted once.

use std::path::PathBuf;

use serde::Serialize;

use super::journal::{Record, Why};
use super::worker::StepSeconds;

/// What was done.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct AlignOutcome {
    /// How many photos the source holds, and what became of each.
    #[serde(flatten)]
    pub counts: Counts,
    /// Faces that were written, of all photos.
    pub faces: usize,
    /// Their files, below the output folder.
    #[serde(skip)]
    pub files: Vec<PathBuf>,
    /// Photos that an earlier run had done.
    pub resumed: usize,
    /// Time that this run took.
    pub seconds: f64,
    /// Where it went, summed over the threads.
    pub step_seconds: StepSeconds,
    /// One line for each photo.
    pub journal: PathBuf,
    /// The published format of training sets.
    pub zip: Option<PathBuf>,
    /// Sheets with all faces.
    pub contact_sheets: Vec<PathBuf>,
    /// A page with counts and doubtful faces.
    pub report: Option<PathBuf>,
}

/// What became of the photos; each is counted once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// All of them.
    pub photos: usize,
    /// Photos with at least one face written.
    pub aligned: usize,
    /// Nothing was found.
    pub no_face: usize,
    /// One face was asked for and there are more.
    pub several_faces: usize,
    /// All faces are smaller than was asked for.
    pub too_small: usize,
    /// All detections score less than was asked for.
    pub low_score: usize,
    /// There is a face and no crop can be made of it.
    pub unusable: usize,
    /// No picture that can be read.
    pub unreadable: usize,
}

impl Counts {
    fn enter(&mut self, record: &Record) {
        self.photos += 1;
        let place = match record.skipped.as_ref().map(|skipped| skipped.why) {
            None => &mut self.aligned,
            Some(Why::NoFace) => &mut self.no_face,
            Some(Why::SeveralFaces) => &mut self.several_faces,
            Some(Why::TooSmall) => &mut self.too_small,
            Some(Why::LowScore) => &mut self.low_score,
            Some(Why::Unusable) => &mut self.unusable,
            Some(Why::Unreadable) => &mut self.unreadable,
        };
        *place += 1;
    }

    /// How many photos were left out, and in which words; only what occurred.
    pub fn skipped(&self) -> impl Iterator<Item = (usize, &'static str)> {
        let all = [
            (self.no_face, "no face"),
            (self.several_faces, "several faces"),
            (self.too_small, "too small"),
            (self.low_score, "low score"),
            (self.unusable, "no crop possible"),
            (self.unreadable, "unreadable"),
        ];
        all.into_iter().filter(|(count, _)| *count > 0)
    }
}

impl AlignOutcome {
    /// Counts `records`, one for each photo; files and times are still to fill in.
    pub(super) fn of(records: &[&Record], resumed: usize) -> AlignOutcome {
        let mut counts = Counts::default();
        records.iter().for_each(|record| counts.enter(record));
        let files: Vec<PathBuf> =
            records.iter().flat_map(|record| &record.faces).map(|face| PathBuf::from(&face.file)).collect();
        AlignOutcome { counts, faces: files.len(), files, resumed, ..AlignOutcome::default() }
    }

    /// Photos that this run finished in a second.
    pub fn photos_per_second(&self) -> f64 {
        (self.counts.photos - self.resumed) as f64 / self.seconds.max(1e-9)
    }
}

#[cfg(test)]
mod tests {
    use super::super::journal::tests::skipped;
    use super::*;

    #[test]
    fn every_photo_is_counted_once() {
        let whys =
            [Why::NoFace, Why::NoFace, Why::SeveralFaces, Why::TooSmall, Why::LowScore, Why::Unusable, Why::Unreadable];
        let mut records: Vec<Record> = whys.into_iter().map(|why| skipped("x", why)).collect();
        records.push(Record { skipped: None, ..skipped("y", Why::NoFace) });
        let outcome = AlignOutcome::of(&records.iter().collect::<Vec<_>>(), 3);
        assert_eq!((outcome.counts.photos, outcome.counts.aligned, outcome.counts.no_face), (8, 1, 2));
        assert_eq!(outcome.counts.skipped().map(|(count, _)| count).sum::<usize>() + outcome.counts.aligned, 8);
        assert_eq!(outcome.counts.skipped().next(), Some((2, "no face")));
    }
}
