//! Milliseconds per image of the student's presets, with and without gradients.

use std::hint::black_box;

use candle_core::{Device, Tensor};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use toonify_networks::grad::Dual;
use toonify_networks::pix2pix::{BlockKind, Preset, Student, StudentLayer, Swift};
use toonify_networks::random::RandomState;
use toonify_networks::stylegan2::Weights;

fn students(criterion: &mut Criterion) {
    for block in [BlockKind::Plain, BlockKind::Separable] {
        for preset in Preset::ALL {
            let config = preset.config(block, 3);
            let weights = Weights::<StudentLayer>::random(&config, &mut RandomState::new(1)).expect("a preset");
            let photo = vec![0.5f32; 3 * 256 * 256];
            let mut group = criterion.benchmark_group(format!("{preset} {block:?} 256 px"));
            let mut swift = Swift::new(&config, &weights).expect("a preset");
            group.bench_function(BenchmarkId::from_parameter("swift"), |bencher| {
                bencher.iter(|| black_box(swift.translate(black_box(&photo), (256, 256))));
            });
            let student = Student::from_weights(&config, &weights).expect("a preset");
            let tensor = Dual::from(Tensor::full(0.5f32, (1, 3, 256, 256), &Device::Cpu).expect("a tensor"));
            group.bench_function(BenchmarkId::from_parameter("with gradients"), |bencher| {
                bencher.iter(|| black_box(student.forward(black_box(&tensor)).expect("a picture")));
            });
        }
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20);
    targets = students
}
criterion_main!(benches);
