//! Statistics of real images on disk, so that they are computed once for all checkpoints that are compared with them.
//!
//! A file's name is a hash of everything that its numbers depend on: the images, the detector, and how many were taken.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, Result};
use ndarray::{Array1, Array2};
use safetensors::tensor::{Dtype, TensorView};
use safetensors::{SafeTensors, serialize};

use crate::statistics::{FeatureRoot, Gaussian};
use crate::store::hash::sha256;
use crate::store::models::ModelFolders;
use crate::store::{atomic, folder};

/// A folder of statistics; one without a folder forgets everything.
#[derive(Clone, Debug, Default)]
pub struct Cache(pub Option<PathBuf>);

/// What the numbers in a file depend on.
#[derive(Clone, Debug)]
pub(super) struct Key {
    /// Fingerprint of the images.
    pub images: String,
    /// Hash of the detector's file.
    pub detector: String,
    /// How many images were taken.
    pub count: usize,
}

impl Key {
    fn file_name(&self, kind: &str) -> String {
        let version = env!("CARGO_PKG_VERSION");
        let text = format!("{version}\n{kind}\n{}\n{}\n{}", self.images, self.detector, self.count);
        format!("{kind}-{}.safetensors", &sha256(text)[..32])
    }
}

impl Cache {
    /// The folder of this user, beside that of downloaded models.
    pub fn of(folders: &ModelFolders) -> Cache {
        Cache(Some(folders.cache.with_file_name("metrics")))
    }

    /// The features of earlier; `None` when there are none, or the file is damaged.
    pub(super) fn rows(&self, key: &Key) -> Option<Array2<f32>> {
        let bytes = self.read(key, "features")?;
        let file = SafeTensors::deserialize(&bytes).ok()?;
        let rows = file.tensor("features").ok().filter(|view| view.dtype() == Dtype::F32)?;
        let shape: [usize; 2] = rows.shape().try_into().ok()?;
        let numbers = rows.data().chunks_exact(4).map(|x| f32::from_le_bytes(x.try_into().expect("four bytes")));
        Array2::from_shape_vec(shape, numbers.collect()).ok()
    }

    /// Keeps features.
    pub(super) fn keep_rows(&self, key: &Key, rows: &Array2<f32>) -> Result<()> {
        let bytes: Vec<u8> = rows.iter().flat_map(|x| x.to_le_bytes()).collect();
        self.write(key, "features", vec![("features", Dtype::F32, rows.shape().to_vec(), bytes)])
    }

    /// The distribution of earlier; `None` when there is none, or the file is damaged.
    pub(super) fn root(&self, key: &Key) -> Option<FeatureRoot> {
        let bytes = self.read(key, "gaussian")?;
        let file = SafeTensors::deserialize(&bytes).ok()?;
        let matrix = |name: &str| -> Option<Array2<f64>> {
            let view = file.tensor(name).ok().filter(|view| view.dtype() == Dtype::F64)?;
            let shape: [usize; 2] = view.shape().try_into().ok()?;
            let numbers = view.data().chunks_exact(8).map(|x| f64::from_le_bytes(x.try_into().expect("eight bytes")));
            Array2::from_shape_vec(shape, numbers.collect()).ok()
        };
        let mean = Array1::from_iter(matrix("mean")?);
        let gaussian = Gaussian { count: key.count, mean, covariance: matrix("covariance")? };
        Some(FeatureRoot { gaussian, root: matrix("root")? })
    }

    /// Keeps a distribution.
    pub(super) fn keep_root(&self, key: &Key, root: &FeatureRoot) -> Result<()> {
        let mean = root.gaussian.mean.clone().insert_axis(ndarray::Axis(0));
        let matrices = [("mean", &mean), ("covariance", &root.gaussian.covariance), ("root", &root.root)];
        let tensors = matrices.map(|(name, matrix)| {
            let bytes: Vec<u8> = matrix.iter().flat_map(|x| x.to_le_bytes()).collect();
            (name, Dtype::F64, matrix.shape().to_vec(), bytes)
        });
        self.write(key, "gaussian", tensors.into())
    }

    fn read(&self, key: &Key, kind: &str) -> Option<Vec<u8>> {
        std::fs::read(self.0.as_ref()?.join(key.file_name(kind))).ok()
    }

    fn write(&self, key: &Key, kind: &str, tensors: Vec<(&str, Dtype, Vec<usize>, Vec<u8>)>) -> Result<()> {
        let Some(cache) = &self.0 else { return Ok(()) };
        folder::create(cache)?;
        let views = tensors.iter().map(|(name, dtype, shape, bytes)| {
            Ok((*name, TensorView::new(*dtype, shape.clone(), bytes).context("a tensor has as many bytes as it says")?))
        });
        let views: BTreeMap<_, _> = views.collect::<Result<_>>()?;
        let bytes = serialize(views, None).context("cannot write statistics")?;
        atomic::write(cache.join(key.file_name(kind)), &bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    fn key(count: usize) -> Key {
        Key { images: "a".into(), detector: "b".into(), count }
    }

    #[test]
    fn what_is_kept_comes_back_for_its_key_alone() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache(Some(folder.path().join("metrics")));
        assert!(cache.rows(&key(2)).is_none());
        let rows = array![[1f32, 2.0, 3.0], [4.0, 5.0, -6.0]];
        cache.keep_rows(&key(2), &rows).unwrap();
        assert_eq!(cache.rows(&key(2)), Some(rows.clone()));
        assert!(cache.rows(&key(3)).is_none() && cache.root(&key(2)).is_none());
        let gaussian = Gaussian { count: 2, mean: array![1.0, 2.0], covariance: array![[2.0, 0.5], [0.5, 3.0]] };
        let root = FeatureRoot::new(gaussian).unwrap();
        cache.keep_root(&key(2), &root).unwrap();
        let back = cache.root(&key(2)).unwrap();
        assert_eq!((back.root, back.gaussian.mean), (root.root, root.gaussian.mean));
        assert_eq!(back.gaussian.covariance, root.gaussian.covariance);
    }

    #[test]
    fn damage_is_the_same_as_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache(Some(folder.path().to_owned()));
        cache.keep_rows(&key(1), &array![[1f32]]).unwrap();
        let path = folder.path().join(key(1).file_name("features"));
        let bytes = std::fs::read(&path).unwrap();
        for length in 0..bytes.len() {
            std::fs::write(&path, &bytes[..length]).unwrap();
            assert!(cache.rows(&key(1)).is_none());
        }
        assert!(Cache(None).keep_rows(&key(1), &array![[1f32]]).is_ok());
    }
}
