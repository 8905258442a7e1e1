//! Measures generators, or sets of images, against real images.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use ndarray::Array2;
use toonify_networks::checkpoint::Checkpoint;
use toonify_networks::random::RandomState;
use toonify_networks::stylegan2::Generator;

use crate::metrics::cache::Cache;
use crate::metrics::collect::{Collected, Wanted, collect, first};
use crate::metrics::detectors::Watchers;
use crate::metrics::images::{Images, Sampler, Stored, Stream};
use crate::metrics::listener::Listener;
use crate::metrics::path_length::Walk;
use crate::metrics::reals::{RealImages, Reals, moments};
use crate::metrics::result::{self, MetricResult};
use crate::statistics::measure::{Measure, Metric};
use crate::statistics::{
    PatchPlan, frechet_distance, inception_score, kernel_distance, precision_recall, sliced_wasserstein, subsets,
};

/// What is measured.
#[derive(Clone, Copy)]
pub enum Fakes<'a> {
    /// Images that a checkpoint's averaged generator makes.
    Checkpoint(&'a Checkpoint),
    /// Images that are there.
    Images(&'a dyn Images),
}

/// Knows the real images, and measures others against them.
pub struct Probe<'a> {
    metrics: Vec<Metric>,
    watchers: &'a Watchers,
    reals: Reals<'a>,
    seed: u32,
}

impl<'a> Probe<'a> {
    /// Prepares the metrics; the real images are looked at when the first measurement needs them.
    ///
    /// # Errors
    /// When there are no real images.
    pub fn new(
        metrics: Vec<Metric>,
        watchers: &'a Watchers,
        (images, cache): (RealImages<'a>, Cache),
        seed: u32,
    ) -> Result<Self> {
        ensure!(!images.all.is_empty(), "`{}` holds no images", images.all.name());
        Ok(Probe { metrics, watchers, reals: Reals::new(images, cache), seed })
    }

    /// Measures every metric, in their order.
    ///
    /// # Errors
    /// When the images have another size or other channels than the real ones, a file cannot be read, or a network refuses;
    /// [`Stopped`](crate::metrics::Stopped) when the listener ends it.
    pub fn measure(&mut self, fakes: Fakes<'_>, listener: &mut Listener<'_>) -> Result<Vec<MetricResult>> {
        let generator = match fakes {
            Fakes::Checkpoint(checkpoint) => Some(Generator::from_weights(&checkpoint.config, &checkpoint.ema)?),
            Fakes::Images(_) => None,
        };
        let subject = Subject::new(fakes, generator.as_ref());
        subject.expect_like(self.reals.images().all)?;
        let wanted = self.wanted(&subject);
        let collected = self.look_at(&subject, &wanted, listener)?;
        let metrics = self.metrics.clone();
        metrics.iter().map(|metric| self.one(metric, &subject, &collected, listener)).collect()
    }

    /// What the metrics together want of the images that are measured.
    fn wanted(&self, subject: &Subject<'_>) -> Wanted {
        let mut wanted = Wanted::default();
        for metric in &self.metrics {
            let count = subject.count(metric.fakes);
            match (metric.measure, self.watchers.index_for(metric.measure)) {
                (Measure::Swd, _) => {
                    let count = self.swd_images(metric, subject);
                    // Fakes and reals are cut at different places.
                    wanted.patches = Some((count, PatchPlan::published(self.seed ^ 1 << 31)));
                }
                (Measure::PathLength(_), _) | (_, None) => {}
                (_, Some(place)) => {
                    let most = wanted.features.entry(place).or_insert(0);
                    *most = count.max(*most);
                }
            }
        }
        wanted
    }

    /// Both sets give as many images.
    fn swd_images(&self, metric: &Metric, subject: &Subject<'_>) -> usize {
        self.reals.images().of(metric).1.min(subject.count(metric.fakes))
    }

    fn look_at(&self, subject: &Subject<'_>, wanted: &Wanted, listener: &mut Listener<'_>) -> Result<Collected> {
        if wanted.images() > 0 {
            listener.started(format!("looking at {} images to be measured", wanted.images()));
        }
        let shape = subject.shape();
        let mut stream = subject.stream(self.reals.images().all, (self.seed, wanted.images()))?;
        collect(stream.as_mut(), shape, (wanted, self.watchers), listener)
    }

    fn one(
        &mut self,
        metric: &Metric,
        subject: &Subject<'_>,
        collected: &Collected,
        listener: &mut Listener<'_>,
    ) -> Result<MetricResult> {
        let started = Instant::now();
        let (mut reals, mut fakes) = (self.reals.images().of(metric).1, subject.count(metric.fakes));
        let place = self.watchers.index_for(metric.measure);
        let watcher = place.map(|place| self.watchers.at(place));
        let foreign = watcher.filter(|watcher| !watcher.is_published_for(metric.measure));
        let detector = watcher.map(|watcher| watcher.facts.clone());
        let name = result::name(metric, fakes, foreign.map(|watcher| watcher.facts.name.as_str()));
        let results = match (metric.measure, place) {
            (Measure::Swd, _) => {
                (reals, fakes) = (self.swd_images(metric, subject), self.swd_images(metric, subject));
                self.swd(reals, collected, listener)?
            }
            (Measure::PathLength(path), Some(place)) => {
                reals = 0;
                let generator = subject.generator.context("path lengths need a generator, not a set of images")?;
                let (perception, all) = (self.watchers.at(place).perception()?, self.reals.images().all);
                let walk = Walk { generator, perception, reals: all, path };
                vec![(name.clone(), walk.measure(fakes, self.seed, listener)?.mean)]
            }
            (_, Some(place)) => self.of_features(metric, &name, (place, collected, fakes), listener)?,
            (_, None) => anyhow::bail!("`{metric}` needs a detector"),
        };
        if metric.measure == Measure::InceptionScore {
            reals = 0;
        }
        let (results, total_time) = (results.into_iter().collect(), started.elapsed().as_secs_f64());
        Ok(MetricResult { metric: name, results, reals, fakes, detector, seed: self.seed, total_time })
    }

    fn swd(&mut self, count: usize, collected: &Collected, listener: &mut Listener<'_>) -> Result<Vec<(String, f64)>> {
        let real = self.reals.patches(count, self.seed, (self.watchers, listener))?;
        let fake = collected.patches.as_ref().expect("the metric wants patches");
        let distance = sliced_wasserstein(fake, &real, self.seed)?;
        let levels = distance.levels.iter().map(|(px, distance)| (format!("swd_{px}px"), *distance));
        Ok(levels.chain([("swd".to_owned(), distance.mean)]).collect())
    }

    fn of_features(
        &mut self,
        metric: &Metric,
        name: &str,
        (place, collected, fakes): (usize, &Collected, usize),
        listener: &mut Listener<'_>,
    ) -> Result<Vec<(String, f64)>> {
        /// Subsets of the kernel distance, and their size.
        const KID: (usize, usize) = (100, 1000);
        const NEIGHBOURS: usize = 3;
        const SPLITS: usize = 10;
        let rows: &Array2<f32> = &collected.features[&place];
        let fake = first(rows, fakes);
        let at = (place, self.watchers);
        Ok(match metric.measure {
            Measure::Fid => {
                let real = self.reals.root(metric, at, listener)?;
                let fake = moments(fake).gaussian()?;
                vec![(name.to_owned(), frechet_distance(&real, &fake)?)]
            }
            Measure::Kid => {
                let real = self.reals.rows(metric, at, listener)?;
                let counts = (fake.nrows(), real.nrows());
                let drawn = subsets(KID.0, KID.1, counts, &mut RandomState::new(self.seed));
                vec![(name.to_owned(), kernel_distance(fake, real.view(), &drawn)?)]
            }
            Measure::PrecisionRecall => {
                let real = self.reals.rows(metric, at, listener)?;
                let found = precision_recall(real.view(), fake, NEIGHBOURS)?;
                vec![(format!("{name}_precision"), found.precision), (format!("{name}_recall"), found.recall)]
            }
            Measure::InceptionScore => {
                let features = candle_core::Tensor::from_iter(fake.iter().copied(), &candle_core::Device::Cpu)?;
                let features = features.reshape(fake.dim())?;
                let probabilities = self.watchers.at(place).detector.probabilities(&features)?;
                let probabilities = probabilities.context("this detector has no inception score")?;
                let shape = probabilities.dims2()?;
                let probabilities = Array2::from_shape_vec(shape, probabilities.flatten_all()?.to_vec1::<f32>()?)?;
                let score = inception_score(probabilities.view(), SPLITS)?;
                vec![(format!("{name}_mean"), score.mean), (format!("{name}_std"), score.std)]
            }
            Measure::Swd | Measure::PathLength(_) => Vec::new(),
        })
    }
}

/// What is measured, ready to be looked at.
struct Subject<'a> {
    fakes: Fakes<'a>,
    generator: Option<&'a Generator>,
}

impl<'a> Subject<'a> {
    fn new(fakes: Fakes<'a>, generator: Option<&'a Generator>) -> Self {
        Subject { fakes, generator }
    }

    /// Resolution and channels.
    fn shape(&self) -> (usize, usize) {
        match self.fakes {
            Fakes::Checkpoint(checkpoint) => (checkpoint.config.resolution.px(), checkpoint.config.img_channels),
            Fakes::Images(images) => (images.resolution(), images.channels()),
        }
    }

    /// As many images as are asked for, or as there are.
    fn count(&self, asked: usize) -> usize {
        match self.fakes {
            Fakes::Checkpoint(_) => asked,
            Fakes::Images(images) => asked.min(images.len()),
        }
    }

    fn expect_like(&self, reals: &dyn Images) -> Result<()> {
        let ((px, channels), (real_px, real_channels)) = (self.shape(), (reals.resolution(), reals.channels()));
        ensure!(
            (px, channels) == (real_px, real_channels),
            "the images to be measured have {px}x{px} pixels and {channels} channels, `{}` has {real_px}x{real_px} pixels \
             and {real_channels} channels\n  hint: `toonify dataset build` brings images to another size",
            reals.name()
        );
        Ok(())
    }

    /// The images: `count` of a set chosen at random, or as many as one likes from a generator.
    fn stream<'s>(&'s self, reals: &'s dyn Images, (seed, count): (u32, usize)) -> Result<Box<dyn Stream + 's>> {
        match (self.fakes, self.generator) {
            (Fakes::Images(images), _) => {
                let mut order: Vec<usize> = (0..images.len()).collect();
                RandomState::new(seed).shuffle(&mut order);
                order.truncate(count);
                Ok(Box::new(Stored { images, order: order.into_iter() }))
            }
            (Fakes::Checkpoint(_), Some(generator)) => Ok(Box::new(Sampler::new(generator, reals, seed))),
            (Fakes::Checkpoint(_), None) => anyhow::bail!("a checkpoint without a generator"),
        }
    }
}
