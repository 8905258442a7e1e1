//! The operators that are made of others equal their definitions: values, gradients, and gradients of gradients.

use proptest::prelude::*;
use toonify_networks::Result;
use toonify_networks::grad::Dual;
use toonify_networks::ops::*;
use toonify_networks::random::RandomState;

use crate::draw;
use crate::equal::assert_equal;

/// A resampling filter and the sizes around it.
#[derive(Clone, Copy, Debug)]
struct Case {
    up: usize,
    down: usize,
    kernel: (usize, usize),
    taps: usize,
    size: (usize, usize),
    orientation: Orientation,
}

fn orientation() -> impl Strategy<Value = Orientation> {
    prop_oneof![Just(Orientation::Correlation), Just(Orientation::Convolution)]
}

prop_compose! {
    fn case()(
        (up, down) in (1usize..4, 1usize..4),
        kernel in (1usize..5, 1usize..5),
        taps in 1usize..6,
        size in (4usize..9, 4usize..9),
        orientation in orientation(),
    ) -> Case {
        Case { up, down, kernel, taps, size, orientation }
    }
}

impl Case {
    /// Taps that are not symmetric, so that a filter the wrong way round shows. Their sums are powers of two, so that
    /// nothing is rounded when the filter, which holds single precision, is normalised and multiplied out.
    fn filter(&self) -> Result<Filter> {
        let taps: [&[f32]; 5] =
            [&[1.0], &[1.0, 3.0], &[1.0, 2.5, 0.5], &[1.0, 3.0, 3.5, 0.5], &[1.0, 2.0, 2.5, 0.5, 2.0]];
        Filter::new(taps[self.taps - 1])
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn resampling_convolution_equals_its_reference(
        case in case(),
        groups in 1usize..3,
        padding in proptest::array::uniform4(-1isize..4),
        filter_orientation in orientation(),
        seed: u32,
    ) {
        let mut random = RandomState::new(seed);
        let filter = case.filter()?;
        let Case { up, down, orientation, .. } = case;
        let spec = ResampleConv { up, down, padding, groups, orientation, filter_orientation, ..Default::default() };
        let x = draw(&mut random, &[2, 2 * groups, case.size.0, case.size.1])?;
        let weight = draw(&mut random, &[3 * groups, 2, case.kernel.0, case.kernel.1])?;
        let fast = |duals: &[Dual]| conv2d_resample(&duals[0], &duals[1], &filter, &spec);
        let plain = |duals: &[Dual]| resample_conv::reference::conv2d_resample(&duals[0], &duals[1], &filter, &spec);
        prop_assume!(fast(&[(&x).into(), (&weight).into()]).is_ok()); // the kernel may be larger than the cropped image
        assert_equal(&mut random, &[x, weight], fast, plain)?;
    }

    #[test]
    fn modulated_convolution_equals_its_reference(case in case(), demodulated in any::<bool>(), noisy in any::<bool>(), seed: u32) {
        let mut random = RandomState::new(seed);
        let filter = case.filter()?;
        let Case { up, down, orientation, kernel: (kernel, _), .. } = case;
        let demodulate = if demodulated { Demodulation::On } else { Demodulation::Off };
        let spec = ModulatedConv { up, down, padding: kernel / 2, demodulate, orientation, filter: &filter, noise: None };
        let x = draw(&mut random, &[3, 2, case.size.0, case.size.1])?;
        let weight = draw(&mut random, &[4, 2, kernel, kernel])?;
        let styles = draw(&mut random, &[3, 2])?;
        let clean = modulated_conv2d(&(&x).into(), &(&weight).into(), &(&styles).into(), &spec);
        prop_assume!(clean.is_ok()); // the kernel may be larger than the image
        let (n, _, h, w) = clean?.dims4()?;
        let noise = Dual::with_tangent(draw(&mut random, &[n, 1, h, w])?, draw(&mut random, &[n, 1, h, w])?)?;
        let spec = ModulatedConv { noise: noisy.then_some(&noise), ..spec };
        let fast = |duals: &[Dual]| modulated_conv2d(&duals[0], &duals[1], &duals[2], &spec);
        let plain = |duals: &[Dual]| modulated_conv::reference::modulated_conv2d(&duals[0], &duals[1], &duals[2], &spec);
        assert_equal(&mut random, &[x, weight, styles], fast, plain)?;
    }

    #[test]
    fn minibatch_deviation_equals_its_reference(
        (groups, group) in (1usize..4, 2usize..5),
        (channels, features) in (1usize..4, 1usize..4),
        (h, w) in (1usize..4, 1usize..4),
        seed: u32,
    ) {
        let mut random = RandomState::new(seed);
        let x = draw(&mut random, &[group * groups, channels * features, h, w])?;
        let fast = |duals: &[Dual]| minibatch_std(&duals[0], Some(group), channels);
        let plain = |duals: &[Dual]| minibatch_std::reference::minibatch_std(&duals[0], group, channels);
        assert_equal(&mut random, &[x], fast, plain)?;
    }
}
