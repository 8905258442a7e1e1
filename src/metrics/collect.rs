//! Goes once through images and keeps what the metrics want of them: features and patches.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use ndarray::{Array2, ArrayView2};

use crate::metrics::detectors::Watchers;
use crate::metrics::images::{Stream, tensor};
use crate::metrics::listener::Listener;
use crate::statistics::{PatchPlan, Patches};

/// What is wanted of a set of images.
#[derive(Clone, Debug, Default)]
pub(super) struct Wanted {
    /// Features of so many images, by the detector's place.
    pub features: BTreeMap<usize, usize>,
    /// Patches of so many images, and which.
    pub patches: Option<(usize, PatchPlan)>,
}

/// What was kept.
pub(super) struct Collected {
    /// Features `[N, F]` by the detector's place.
    pub features: BTreeMap<usize, Array2<f32>>,
    /// Patches.
    pub patches: Option<Patches>,
}

impl Wanted {
    /// How many images have to be looked at.
    pub fn images(&self) -> usize {
        let patches = self.patches.map_or(0, |(count, _)| count);
        self.features.values().copied().max().unwrap_or(0).max(patches)
    }
}

/// Images that are in memory at once.
fn batch_size(resolution: usize) -> usize {
    (1024 / resolution).clamp(4, 16)
}

/// Looks at the images of `stream`, of `resolution` and `channels`.
///
/// # Errors
/// When an image cannot be read or made, or a network refuses it.
pub(super) fn collect(
    stream: &mut dyn Stream,
    (resolution, channels): (usize, usize),
    (wanted, watchers): (&Wanted, &Watchers),
    listener: &mut Listener<'_>,
) -> Result<Collected> {
    let total = wanted.images();
    let mut rows: BTreeMap<usize, Vec<f32>> = wanted.features.keys().map(|place| (*place, Vec::new())).collect();
    let patches = wanted.patches.map(|(_, plan)| Patches::new(resolution, channels, plan)).transpose()?;
    let mut collected = Collected { features: BTreeMap::new(), patches };
    let mut done = 0;
    while done < total {
        let count = batch_size(resolution).min(total - done);
        let images = stream.next(count)?;
        ensure!(images.len() == count, "{} images were there, {total} are needed", done + images.len());
        if let (Some(patches), Some((most, _))) = (&mut collected.patches, wanted.patches) {
            patches.add(&images[..count.min(most.saturating_sub(done))]);
        }
        for (place, rows) in &mut rows {
            let left = wanted.features[place].saturating_sub(done).min(count);
            if left > 0 {
                let seen = tensor(&images[..left], (resolution, channels))?;
                rows.extend(watchers.at(*place).detector.features(&seen)?.flatten_all()?.to_vec1::<f32>()?);
            }
        }
        done += count;
        listener.progress(done, total, "images")?;
    }
    for (place, rows) in rows {
        let length = watchers.at(place).detector.length();
        let shape = (rows.len() / length, length);
        collected.features.insert(place, Array2::from_shape_vec(shape, rows)?);
    }
    Ok(collected)
}

/// The first `count` rows.
pub(super) fn first(rows: &Array2<f32>, count: usize) -> ArrayView2<'_, f32> {
    rows.slice(ndarray::s![..count.min(rows.nrows()), ..])
}
