//! A training set of `dataset`, as training sees it.

use anyhow::Result;

use crate::dataset::{Labels, Mirror, Reader, Sampler, Selection};
use crate::train::plan::DataFacts;
use crate::train::plan::options::Options;
use crate::train::{DataSettings, Source, SourceShape};

/// What the plan has to know about the training set.
pub(super) fn look_at(options: &Options) -> Result<DataFacts> {
    let labels = if options.cond.is_on() { Labels::Read } else { Labels::Ignored };
    let reader = Reader::open(&options.data, Selection { labels, max_size: None, seed: 0, mirror: Mirror::No })?;
    Ok(DataFacts {
        name: reader.name(),
        images: reader.stored(),
        resolution: reader.resolution() as usize,
        channels: reader.channels() as usize,
        label_dim: reader.label_dim(),
    })
}

/// An open training set.
pub(in crate::cli) struct TrainingSet(Reader);

impl TrainingSet {
    pub(in crate::cli) fn open(data: &DataSettings, seed: u32) -> Result<TrainingSet> {
        let selection = Selection {
            labels: if data.labels { Labels::Read } else { Labels::Ignored },
            max_size: data.subset,
            seed,
            mirror: if data.mirror { Mirror::Double } else { Mirror::No },
        };
        Ok(TrainingSet(Reader::open(&data.path, selection)?))
    }
}

impl Source for TrainingSet {
    fn name(&self) -> String {
        self.0.name()
    }

    fn shape(&self) -> SourceShape {
        SourceShape {
            count: self.0.len(),
            resolution: self.0.resolution() as usize,
            channels: self.0.channels() as usize,
            c_dim: self.0.label_dim(),
        }
    }

    fn pixels(&self, index: usize) -> Result<Vec<u8>> {
        Ok(self.0.get(index)?.pixels)
    }

    fn label(&self, index: usize) -> Vec<f32> {
        self.0.label(index)
    }

    fn order(&self, seed: u32) -> Box<dyn Iterator<Item = usize> + '_> {
        Box::new(Sampler::new(self.0.len(), seed))
    }
}
