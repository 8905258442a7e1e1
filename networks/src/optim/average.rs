//! Running averages of tensors, moved in place.

use candle_core::{CpuStorage, InplaceOp2, Layout, Tensor};
use rayon::prelude::*;

use crate::error::Result;

/// Moves `average` towards `value`, which has the same shape: average ← value + keep · (average − value), in place and seen
/// by everybody who shares the memory.
///
/// # Errors
/// When the tensors are not contiguous, f32, on the CPU and of one size.
pub fn follow(average: &Tensor, value: &Tensor, keep: f64) -> Result<()> {
    Ok(average.inplace_op2(&value.detach().contiguous()?, &Follow { keep: keep as f32 })?)
}

/// Long enough to be worth a task, short enough to stay in a core's cache.
const CHUNK: usize = 1 << 14;

struct Follow {
    keep: f32,
}

impl Follow {
    /// From the nearer end, as `torch.lerp` computes it: at 0 and at 1 nothing is lost to rounding.
    fn between(&self, value: f32, average: f32) -> f32 {
        let step = average - value;
        if self.keep < 0.5 { value + self.keep * step } else { average - step * (1.0 - self.keep) }
    }
}

impl InplaceOp2 for Follow {
    fn name(&self) -> &'static str {
        "follow"
    }

    fn cpu_fwd(
        &self,
        average: &mut CpuStorage,
        average_layout: &Layout,
        value: &CpuStorage,
        value_layout: &Layout,
    ) -> candle_core::Result<()> {
        let range = |layout: &Layout| match layout.contiguous_offsets() {
            Some((start, end)) => Ok(start..end),
            None => candle_core::bail!("a running average needs contiguous tensors, found {layout:?}"),
        };
        let value = &value.as_slice::<f32>()?[range(value_layout)?];
        let CpuStorage::F32(numbers) = average else { candle_core::bail!("a running average needs tensors in f32") };
        let average = &mut numbers[range(average_layout)?];
        if average.len() != value.len() {
            candle_core::bail!("a running average of {} numbers cannot follow {}", average.len(), value.len());
        }
        average.par_chunks_mut(CHUNK).zip(value.par_chunks(CHUNK)).for_each(|(average, value)| {
            for (average, value) in average.iter_mut().zip(value) {
                *average = self.between(*value, *average);
            }
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn an_average_goes_the_share_of_the_way_that_it_does_not_keep() -> Result<()> {
        let value = Tensor::new(&[1f32, -2.0, 1e8], &Device::Cpu)?;
        let check = |keep: f64, expected: [f32; 3]| -> Result<()> {
            let average = Tensor::new(&[3f32, 2.0, 1.0], &Device::Cpu)?;
            let seen = average.reshape((3, 1))?;
            follow(&average, &value, keep)?;
            assert_eq!(average.to_vec1::<f32>()?, expected, "keep {keep}");
            assert_eq!(seen.flatten_all()?.to_vec1::<f32>()?, expected);
            Ok(())
        };
        check(0.0, [1.0, -2.0, 1e8])?;
        check(1.0, [3.0, 2.0, 1.0])?;
        check(0.25, [1.5, -1.0, 75e6])?;
        check(0.75, [2.5, 1.0, 25e6])?;
        let longer = Tensor::new(&[1f32; 4], &Device::Cpu)?;
        assert!(follow(&longer, &value, 0.5).is_err());
        Ok(())
    }
}
