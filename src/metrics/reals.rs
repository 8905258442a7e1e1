//! What is known of the real images: computed when it is first needed, kept in memory and on disk.

use std::collections::BTreeMap;
use std::rc::Rc;

use anyhow::Result;
use ndarray::{Array2, ArrayView2};
use toonify_networks::random::RandomState;

use crate::metrics::cache::{Cache, Key};
use crate::metrics::collect::{Wanted, collect};
use crate::metrics::detectors::Watchers;
use crate::metrics::images::{Images, Stored};
use crate::metrics::listener::Listener;
use crate::statistics::measure::Metric;
use crate::statistics::{FeatureRoot, Moments, PatchPlan, Patches};

/// The real images.
#[derive(Clone, Copy)]
pub struct RealImages<'a> {
    /// All of them as they are.
    pub all: &'a dyn Images,
    /// Those that the training sees, mirrored ones among them where it sees such.
    pub as_trained: &'a dyn Images,
}

impl<'a> RealImages<'a> {
    /// The set that a metric takes, and how many images of it.
    pub(super) fn of(&self, metric: &Metric) -> (&'a dyn Images, usize) {
        let set = if metric.takes_mirrored() { self.as_trained } else { self.all };
        (set, metric.reals.unwrap_or(usize::MAX).min(set.len()))
    }
}

/// What is known of the real images.
pub(super) struct Reals<'a> {
    images: RealImages<'a>,
    cache: Cache,
    /// Fingerprints of `all` and `as_trained`, once they are needed.
    fingerprints: [Option<String>; 2],
    rows: BTreeMap<Which, Rc<Array2<f32>>>,
    roots: BTreeMap<Which, Rc<FeatureRoot>>,
    patches: BTreeMap<(usize, u32), Rc<Patches>>,
}

/// Features of which detector, whether of mirrored images, and of how many.
type Which = (usize, bool, usize);

impl<'a> Reals<'a> {
    pub fn new(images: RealImages<'a>, cache: Cache) -> Self {
        let (rows, roots, patches) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Reals { images, cache, fingerprints: [None, None], rows, roots, patches }
    }

    /// The sets themselves.
    pub fn images(&self) -> RealImages<'a> {
        self.images
    }

    /// Features of the images that a metric takes.
    pub fn rows(
        &mut self,
        metric: &Metric,
        (place, watchers): (usize, &Watchers),
        listener: &mut Listener<'_>,
    ) -> Result<Rc<Array2<f32>>> {
        let (set, count) = self.images.of(metric);
        let which = (place, metric.takes_mirrored(), count);
        if let Some(rows) = self.rows.get(&which) {
            return Ok(Rc::clone(rows));
        }
        let key = self.key(which, watchers)?;
        let rows = match self.cache.rows(&key) {
            Some(rows) => rows,
            None => {
                let name = &watchers.at(place).facts.name;
                listener.started(format!("{name} looks at {count} images of `{}`", set.name()));
                let wanted = Wanted { features: [(place, count)].into(), patches: None };
                let order = (0..count).collect::<Vec<_>>().into_iter();
                let mut stream = Stored { images: set, order };
                let shape = (set.resolution(), set.channels());
                let rows = collect(&mut stream, shape, (&wanted, watchers), listener)?.features.remove(&place);
                let rows = rows.unwrap_or_default();
                self.cache.keep_rows(&key, &rows)?;
                rows
            }
        };
        Ok(Rc::clone(self.rows.entry(which).or_insert(Rc::new(rows))))
    }

    /// Distribution of the features of the images that a metric takes.
    pub fn root(
        &mut self,
        metric: &Metric,
        (place, watchers): (usize, &Watchers),
        listener: &mut Listener<'_>,
    ) -> Result<Rc<FeatureRoot>> {
        let which = (place, metric.takes_mirrored(), self.images.of(metric).1);
        if let Some(root) = self.roots.get(&which) {
            return Ok(Rc::clone(root));
        }
        let key = self.key(which, watchers)?;
        let root = match self.cache.root(&key) {
            Some(root) => root,
            None => {
                let rows = self.rows(metric, (place, watchers), listener)?;
                let root = FeatureRoot::new(moments(rows.view()).gaussian()?)?;
                self.cache.keep_root(&key, &root)?;
                root
            }
        };
        Ok(Rc::clone(self.roots.entry(which).or_insert(Rc::new(root))))
    }

    /// Patches of `count` images, chosen at random with `seed`.
    pub fn patches(
        &mut self,
        count: usize,
        seed: u32,
        (watchers, listener): (&Watchers, &mut Listener<'_>),
    ) -> Result<Rc<Patches>> {
        if let Some(patches) = self.patches.get(&(count, seed)) {
            return Ok(Rc::clone(patches));
        }
        let set = self.images.all;
        listener.started(format!("cutting patches of {count} images of `{}`", set.name()));
        let mut order: Vec<usize> = (0..set.len()).collect();
        RandomState::new(seed).shuffle(&mut order);
        order.truncate(count);
        order.sort_unstable();
        let wanted = Wanted { features: BTreeMap::new(), patches: Some((count, PatchPlan::published(seed))) };
        let mut stream = Stored { images: set, order: order.into_iter() };
        let shape = (set.resolution(), set.channels());
        let patches = collect(&mut stream, shape, (&wanted, watchers), listener)?.patches;
        let patches = Rc::new(patches.expect("patches were wanted"));
        Ok(Rc::clone(self.patches.entry((count, seed)).or_insert(patches)))
    }

    fn key(&mut self, (place, mirrored, count): Which, watchers: &Watchers) -> Result<Key> {
        let set = if mirrored { self.images.as_trained } else { self.images.all };
        let known = &mut self.fingerprints[usize::from(mirrored)];
        let images = match known {
            Some(known) => known.clone(),
            None => known.insert(set.fingerprint()?).clone(),
        };
        Ok(Key { images, detector: watchers.at(place).facts.sha256.clone(), count })
    }
}

/// Sums of features.
pub(super) fn moments(rows: ArrayView2<'_, f32>) -> Moments {
    const AT_ONCE: usize = 1024;
    let mut moments = Moments::new(rows.ncols());
    rows.axis_chunks_iter(ndarray::Axis(0), AT_ONCE).for_each(|rows| moments.add(rows));
    moments
}
