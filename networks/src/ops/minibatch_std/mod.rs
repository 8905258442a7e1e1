//! The minibatch standard deviation layer of the discriminator.

pub mod reference;

use crate::error::{Error, Result};
use crate::grad::Dual;

/// Keeps the square root differentiable at zero variance; the value of the published networks.
const EPSILON: f64 = 1e-8;

/// Appends channels that hold the mean standard deviation within groups of samples, so that the discriminator sees how
/// varied a batch is (Karras et al. 2018, "Progressive Growing of GANs", section 3).
///
/// A group consists of the samples m, m + N/G, m + 2N/G, ...; `None` or a larger number than N stands for N.
///
/// # Shapes
/// x `[N, C, H, W]` → `[N, C + num_channels, H, W]`
///
/// # Errors
/// [`Error::Value`] when the group size does not divide N or `num_channels` does not divide C.
pub fn minibatch_std(x: &Dual, group_size: Option<usize>, num_channels: usize) -> Result<Dual> {
    let (n, c, h, w) = x.dims4()?;
    let group = group_size.map_or(n, |group| group.min(n));
    if group == 0 || n % group != 0 {
        return Err(Error::value("group size", group, format!("a divisor of the batch size {n}")));
    }
    if num_channels == 0 || c % num_channels != 0 {
        return Err(Error::value("num_channels", num_channels, format!("a divisor of the {c} channels")));
    }
    let groups = n / group;
    let y = x.reshape(vec![group, groups, num_channels, c / num_channels, h, w])?; // [G, M, F, c, H, W]
    let centred = y.sub(&y.mean_keepdim(0)?)?;
    let deviation = centred.sqr()?.mean_keepdim(0)?.shift(EPSILON)?.sqrt()?; // [1, M, F, c, H, W]
    let statistic = deviation.mean_keepdim((3, 4, 5))?.reshape((groups, num_channels, 1, 1))?; // [M, F, 1, 1]
    let appended = statistic.linear(|s| s.repeat((group, 1, h, w)))?; // [N, F, H, W]
    Dual::cat(&[x, &appended], 1)
}
