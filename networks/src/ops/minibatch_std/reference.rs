//! The layer one group and one statistic at a time.

use super::EPSILON;
use crate::error::Result;
use crate::grad::Dual;

/// [`minibatch_std`](super::minibatch_std) by its definition, for a group size and a number of channels that divide the
/// batch and the features.
///
/// # Errors
/// When candle cannot compute with the type.
pub fn minibatch_std(x: &Dual, group_size: usize, num_channels: usize) -> Result<Dual> {
    let (n, c, h, w) = x.dims4()?;
    let (groups, features) = (n / group_size, c / num_channels);
    let statistic = |group: usize, channel: usize| {
        let member = |i: usize| x.narrow(0, group + i * groups, 1)?.narrow(1, channel * features, features);
        let members = (0..group_size).map(member).collect::<Result<Vec<_>>>()?;
        let members = Dual::cat(&members.iter().collect::<Vec<_>>(), 0)?; // [G, c, H, W]
        let variance = members.sub(&members.mean_keepdim(0)?)?.sqr()?.mean_keepdim(0)?;
        variance.shift(EPSILON)?.sqrt()?.mean_keepdim((1, 2, 3)) // [1, 1, 1, 1]
    };
    let sample = |n: usize| {
        let mut parts = vec![x.narrow(0, n, 1)?];
        for channel in 0..num_channels {
            parts.push(statistic(n % groups, channel)?.linear(|s| s.broadcast_as((1, 1, h, w)))?);
        }
        Dual::cat(&parts.iter().collect::<Vec<_>>(), 1)
    };
    let samples = (0..n).map(sample).collect::<Result<Vec<_>>>()?;
    Dual::cat(&samples.iter().collect::<Vec<_>>(), 0)
}
