//! The fast student gives what the student with gradients gives.

use candle_core::{Device, Tensor};
use toonify_networks::grad::Dual;
use toonify_networks::pix2pix::*;
use toonify_networks::random::RandomState;
use toonify_networks::stylegan2::Weights;

fn noise(shape: &[usize], seed: u32) -> Tensor {
    let drawn = RandomState::new(seed).gauss_vec(shape.iter().product());
    Tensor::from_vec(drawn.iter().map(|number| *number as f32).collect(), shape, &Device::Cpu).unwrap()
}

/// A student whose every part matters: nothing is small, no bias is 0.
fn lively(config: &StudentConfig) -> Weights<StudentLayer> {
    let weights = Weights::<StudentLayer>::random(config, &mut RandomState::new(1)).unwrap();
    Weights::build(config, |layer: StudentLayer, shape| match layer.part {
        layer::Part::Bias => Ok((noise(shape, 9) * 0.1)?),
        layer::Part::Depthwise | layer::Part::Weight => Ok(weights.get(layer).unwrap().clone()),
    })
    .unwrap()
}

fn check(config: &StudentConfig, sizes: &[(usize, usize)]) {
    let weights = lively(config);
    let student = Student::from_weights(config, &weights).unwrap();
    let mut swift = Swift::new(config, &weights).unwrap();
    for &(height, width) in sizes {
        let photo = noise(&[2, config.img_channels, height, width], 5);
        let expected = student.forward(&Dual::from(&photo)).unwrap().into_value();
        let found = swift.forward(&photo).unwrap();
        assert_eq!(found.dims(), expected.dims());
        let worst = (&found - &expected).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
        let largest = expected.abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
        assert!(worst < 2e-5 * largest, "{config:?} at {height}×{width}: off by {worst} of {largest}");
    }
}

#[test]
fn presets_agree() {
    for block in [BlockKind::Plain, BlockKind::Separable] {
        for preset in [Preset::Tiny, Preset::Small] {
            check(&preset.config(block, 3), &[(64, 96), (40, 24)]);
        }
    }
}

#[test]
fn odd_sizes_agree() {
    check(&Preset::Tiny.config(BlockKind::Plain, 4), &[(1, 1), (7, 130), (33, 40), (264, 8), (23, 57), (64, 64)]);
}

#[test]
fn odd_widths_agree() {
    for block in [BlockKind::Plain, BlockKind::Separable] {
        for (fine_width, coarse_width, exit_width) in [(3, 5, 1), (17, 33, 5), (40, 100, 20)] {
            let (fine_blocks, coarse_blocks) = (1, 1);
            let img_channels = 3;
            let config =
                StudentConfig { img_channels, fine_width, coarse_width, fine_blocks, coarse_blocks, exit_width, block };
            check(&config, &[(24, 32)]);
        }
    }
}

#[test]
fn a_student_without_blocks_agrees() {
    let config = StudentConfig { fine_blocks: 0, coarse_blocks: 0, ..Preset::Tiny.config(BlockKind::Plain, 3) };
    check(&config, &[(24, 32)]);
}

#[test]
fn images_without_pixels_or_of_other_channels_are_refused() {
    let config = Preset::Tiny.config(BlockKind::Plain, 3);
    let mut swift = Swift::new(&config, &lively(&config)).unwrap();
    assert!(swift.forward(&noise(&[1, 4, 8, 8], 1)).is_err());
    assert!(swift.forward(&noise(&[0, 3, 8, 8], 1)).is_err());
}
