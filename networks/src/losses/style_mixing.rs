//! Style mixing: from some layer on, an image follows another latent (Karras et al. 2019, "A Style-Based Generator
//! Architecture for Generative Adversarial Networks", section 3.1).

use candle_core::Tensor;

use crate::draws::Draws;
use crate::error::Result;

/// Where the images of one batch change over to other latents.
#[derive(Clone, Debug)]
pub struct Crossover {
    /// First layer of the other latent; the number of layers when nothing is mixed.
    pub cutoff: usize,
    /// The other latents, `[N, z_dim]`.
    pub z: Tensor,
}

impl Crossover {
    /// Draws one layer for the whole batch, whether it is mixed at all, and the other latents, in this order.
    ///
    /// # Errors
    /// Those of the draws.
    pub fn draw(
        probability: f64,
        num_ws: usize,
        (n, z_dim): (usize, usize),
        draws: &mut dyn Draws,
    ) -> Result<Crossover> {
        let cutoff = 1 + draws.index(num_ws - 1)?;
        let mixes = draws.fraction()? < probability;
        let z = draws.normal(&[n, z_dim])?;
        Ok(Crossover { cutoff: if mixes { cutoff } else { num_ws }, z })
    }

    /// Whether `apply` changes anything in a network of `num_ws` layers.
    pub fn mixes(&self, num_ws: usize) -> bool {
        self.cutoff < num_ws
    }

    /// Replaces the layers from the cutoff on.
    ///
    /// # Shapes
    /// `ws` `[N, num_ws, w_dim]`, `others` `[N, w_dim]`, the mapped `z` → `[N, num_ws, w_dim]`
    ///
    /// # Errors
    /// When the shapes do not fit.
    pub fn apply(&self, ws: &Tensor, others: &Tensor) -> Result<Tensor> {
        let (n, num_ws, w_dim) = ws.dims3()?;
        if !self.mixes(num_ws) {
            return Ok(ws.clone());
        }
        let others = others.unsqueeze(1)?.broadcast_as((n, num_ws - self.cutoff, w_dim))?;
        Ok(Tensor::cat(&[&ws.narrow(1, 0, self.cutoff)?, &others], 1)?)
    }
}
