//! Which layers of a generator do not learn. Those of the discriminator are part of its configuration.

use serde::{Deserialize, Serialize};
use toonify_networks::stylegan2::{Layer, Resolution};

/// What is kept of a generator that is tuned to new images.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Freeze {
    /// So many blocks of the synthesis network, from 4 px upwards: they decide poses and shapes (Lee et al. 2020,
    /// "FreezeG").
    pub generator_blocks: usize,
    /// Whether the mapping network learns.
    pub mapping: Mapping,
}

/// Whether the mapping network learns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mapping {
    /// With everything else.
    #[default]
    Learns,
    /// It stays as it is, and with it the meaning of every `w`.
    Frozen,
}

impl Freeze {
    /// Whether a tensor of the generator learns.
    pub fn lets_learn(self, layer: Layer) -> bool {
        let frozen_block = |resolution: Resolution| resolution.log2() < 2 + self.generator_blocks;
        match layer {
            _ if layer.is_buffer() => false,
            Layer::Embed(_) | Layer::Fc(..) => self.mapping == Mapping::Learns,
            Layer::Const => !frozen_block(Resolution::R4),
            Layer::Block { resolution, .. } => !frozen_block(resolution),
            Layer::WAvg => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use toonify_networks::stylegan2::{Slot, Term};

    fn learns(freeze: Freeze) -> Vec<bool> {
        let block = |px, term| {
            let resolution = Resolution::new(px).unwrap();
            Layer::Block { resolution, slot: Slot::Conv1, term }
        };
        let layers = [
            Layer::Fc(0, Term::Weight),
            Layer::Const,
            block(4, Term::Weight),
            block(8, Term::AffineBias),
            block(16, Term::NoiseStrength),
            block(16, Term::NoiseConst),
            Layer::WAvg,
        ];
        layers.into_iter().map(|layer| freeze.lets_learn(layer)).collect()
    }

    #[test]
    fn blocks_are_counted_from_the_lowest_resolution_and_buffers_never_learn() {
        let (yes, no) = (true, false);
        assert_eq!(learns(Freeze::default()), [yes, yes, yes, yes, yes, no, no]);
        let two = Freeze { generator_blocks: 2, mapping: Mapping::Learns };
        assert_eq!(learns(two), [yes, no, no, no, yes, no, no]);
        let mapping = Freeze { generator_blocks: 0, mapping: Mapping::Frozen };
        assert_eq!(learns(mapping), [no, yes, yes, yes, yes, no, no]);
    }
}
