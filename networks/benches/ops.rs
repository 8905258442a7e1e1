//! Each operator's fast path against its reference and against candle's own convolution.
//!
//! `cargo bench -p toonify-networks --bench ops`. "Gelem/s" are GF/s for convolutions, counting multiply and add of the
//! direct method, and gigapixels a second of the input for the others.

use std::hint::black_box;
use std::time::Duration;

use candle_core::{Device, Tensor, Var};
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use toonify_networks::Result;
use toonify_networks::augment::{Augmentation, Chance};
use toonify_networks::grad::Dual;
use toonify_networks::ops::conv::reference as conv_reference;
use toonify_networks::ops::upfirdn2d::reference as upfirdn2d_reference;
use toonify_networks::ops::*;
use toonify_networks::random::RandomState;

/// Batch, channels in, channels out and side in pixels, as they occur in generators of 256 px and in training.
const LAYERS: [(usize, usize, usize, usize); 6] =
    [(1, 512, 512, 4), (1, 512, 512, 16), (1, 256, 256, 64), (1, 64, 64, 256), (8, 512, 512, 32), (8, 128, 128, 128)];

fn draw(shape: &[usize]) -> Result<Tensor> {
    let numbers = RandomState::new(1).gauss_vec(shape.iter().product());
    Ok(Tensor::from_vec(numbers, shape, &Device::Cpu)?.to_dtype(candle_core::DType::F32)?)
}

/// Measures a call. What it returns is dropped within the time, as in a network.
fn measure<T>(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, shape: &str, call: impl Fn() -> T) {
    group.bench_function(BenchmarkId::new(name, shape), |bencher| bencher.iter(|| drop(black_box(call()))));
}

fn group<'a>(criterion: &'a mut Criterion, name: &str) -> BenchmarkGroup<'a, WallTime> {
    let mut group = criterion.benchmark_group(name);
    group.sample_size(10).warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
    group
}

fn convolutions(criterion: &mut Criterion) -> Result<()> {
    let spec = Convolution { padding: [1; 4], ..Convolution::default() };
    for (n, i, o, side) in LAYERS {
        let (x, weight) = (draw(&[n, i, side, side])?, draw(&[o, i, 3, 3])?);
        let shape = format!("{n}x{i}x{side}");
        let work = Throughput::Elements(2 * (n * i * o * 9 * side * side) as u64);
        let (image, kernel) = (Dual::from(&x), Dual::from(&weight));

        let mut forward = group(criterion, "convolution");
        forward.throughput(work.clone());
        measure(&mut forward, "fast", &shape, || conv2d(&image, &kernel, &spec));
        measure(&mut forward, "candle", &shape, || x.conv2d(&weight, 1, 1, 1, 1));
        measure(&mut forward, "reference", &shape, || conv_reference::conv2d(&x, &weight, &spec));
        forward.finish();

        let (image, kernel) = (Var::from_tensor(&x)?, Var::from_tensor(&weight)?);
        let of_image = conv2d(&image.as_tensor().into(), &(&weight).into(), &spec)?.into_value();
        let of_weight = conv2d(&(&x).into(), &kernel.as_tensor().into(), &spec)?.into_value();
        let mut backward = group(criterion, "gradient of a convolution");
        backward.throughput(work);
        measure(&mut backward, "image", &shape, || of_image.backward());
        measure(&mut backward, "weight", &shape, || of_weight.backward());
        backward.finish();
    }
    Ok(())
}

fn transposed(criterion: &mut Criterion) -> Result<()> {
    let spec = Convolution { stride: 2, ..Convolution::default() };
    for (n, i, o, side) in [(1, 512, 512, 4), (1, 512, 512, 16), (8, 256, 128, 64)] {
        let (x, weight) = (draw(&[n, i, side, side])?, draw(&[o, i, 3, 3])?);
        let exchanged = weight.transpose(0, 1)?.contiguous()?;
        let (image, kernel) = (Dual::from(&x), Dual::from(&weight));
        let mut group = group(criterion, "transposed convolution");
        group.throughput(Throughput::Elements(2 * (n * i * o * 9 * side * side) as u64));
        let shape = format!("{n}x{i}x{side}");
        measure(&mut group, "fast", &shape, || conv_transpose2d(&image, &kernel, &spec));
        measure(&mut group, "candle", &shape, || x.conv_transpose2d(&exchanged, 0, 0, 2, 1));
        group.finish();
    }
    Ok(())
}

fn resampling(criterion: &mut Criterion) -> Result<()> {
    let filter = Filter::new(&[1.0, 3.0, 3.0, 1.0])?;
    let twice = Resample { up: (2, 2), padding: [2, 1, 2, 1], gain: 4.0, ..Resample::default() };
    let half = Resample { down: (2, 2), padding: [1; 4], ..Resample::default() };
    let blur = Resample { padding: [1; 4], ..Resample::default() };
    for (name, spec) in [("upsample", twice), ("downsample", half), ("blur", blur)] {
        for (n, c, side) in [(1, 3, 256), (1, 64, 129), (8, 32, 65)] {
            let x = draw(&[n, c, side, side])?;
            let image = Dual::from(&x);
            let mut group = group(criterion, name);
            group.throughput(Throughput::Elements((n * c * side * side) as u64));
            let shape = format!("{n}x{c}x{side}");
            measure(&mut group, "fast", &shape, || upfirdn2d(&image, &filter, &spec));
            measure(&mut group, "reference", &shape, || upfirdn2d_reference::upfirdn2d(&x, &filter, &spec));
            group.finish();
        }
    }
    Ok(())
}

fn activations(criterion: &mut Criterion) -> Result<()> {
    let spec = BiasAct { clamp: Some(256.0), ..BiasAct::new(Activation::Lrelu) };
    for (n, c, side) in [(1, 512, 4), (1, 64, 256), (8, 128, 64)] {
        let (x, bias) = (Dual::from(draw(&[n, c, side, side])?), Dual::from(draw(&[c])?));
        let mut group = group(criterion, "bias and leaky relu");
        group.throughput(Throughput::Elements((n * c * side * side) as u64));
        let shape = format!("{n}x{c}x{side}");
        measure(&mut group, "fast", &shape, || bias_act(&x, Some(&bias), &spec));
        measure(&mut group, "reference", &shape, || bias_act::reference::bias_act(&x, Some(&bias), 1, &spec));
        group.finish();
    }
    Ok(())
}

fn modulated(criterion: &mut Criterion) -> Result<()> {
    let filter = Filter::new(&[1.0, 3.0, 3.0, 1.0])?;
    for (n, i, o, side, up) in [(1, 512, 512, 8, 2), (1, 256, 256, 64, 1), (1, 128, 64, 128, 2)] {
        let (x, weight) = (Dual::from(draw(&[n, i, side, side])?), Dual::from(draw(&[o, i, 3, 3])?));
        let (styles, noise) = (Dual::from(draw(&[n, i])?), Dual::from(draw(&[n, 1, side * up, side * up])?));
        let orientation = if up > 1 { Orientation::Convolution } else { Orientation::Correlation };
        let (demodulate, noise) = (Demodulation::On, Some(&noise));
        let spec = ModulatedConv { up, down: 1, padding: 1, demodulate, orientation, filter: &filter, noise };
        let mut group = group(criterion, "modulated convolution");
        group.throughput(Throughput::Elements(2 * (n * i * o * 9 * side * side) as u64));
        measure(&mut group, "fast", &format!("{n}x{i}x{side} up {up}"), || {
            modulated_conv2d(&x, &weight, &styles, &spec)
        });
        group.finish();
    }
    Ok(())
}

fn augmentations(criterion: &mut Criterion) -> Result<()> {
    for (n, side, set) in [(8, 64, "bgc"), (8, 64, "bgcfnc"), (4, 256, "bgc"), (4, 256, "custom")] {
        let x = Var::from_tensor(&draw(&[n, 3, side, side])?)?;
        let drawing = || {
            let mut random = RandomState::new(1);
            Augmentation::draw(&set.parse()?, Chance::Probability(0.6), [n, 3, side, side], &mut random)
        };
        let augmentation = drawing()?;
        let augmented = augmentation.apply(&x.as_tensor().into())?.into_value();
        let mut group = group(criterion, "augmentation");
        group.throughput(Throughput::Elements((n * 3 * side * side) as u64));
        let shape = format!("{set} {n}x3x{side}");
        measure(&mut group, "draw", &shape, drawing);
        measure(&mut group, "apply", &shape, || augmentation.apply(&x.as_tensor().into()));
        measure(&mut group, "gradient", &shape, || augmented.backward());
        group.finish();
    }
    Ok(())
}

fn all(criterion: &mut Criterion) {
    for bench in [convolutions, transposed, resampling, activations, modulated, augmentations] {
        bench(criterion).expect("the shapes are right");
    }
}

criterion_group!(benches, all);
criterion_main!(benches);
