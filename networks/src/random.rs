//! Seeded randomness: NumPy's legacy generator, bit for bit, so that published seeds give the published faces.
//!
//! The Mersenne Twister is Matsumoto and Nishimura's MT19937 (1998); Gaussian numbers come from the polar method, two at
//! a time, as `numpy.random.RandomState` has drawn them since 2006.

use serde::{Deserialize, Serialize};

/// NumPy's `RandomState`: MT19937 with the legacy distributions. Saved and read back, the sequence goes on.
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "Saved", into = "Saved")]
pub struct RandomState {
    key: [u32; N],
    position: usize,
    spare_gauss: Option<f64>,
}

const N: usize = 624;
const M: usize = 397;

/// [`RandomState`] as it is written down.
#[derive(Serialize, Deserialize)]
struct Saved {
    key: Vec<u32>,
    position: usize,
    spare_gauss: Option<f64>,
}

impl From<RandomState> for Saved {
    fn from(state: RandomState) -> Saved {
        Saved { key: state.key.to_vec(), position: state.position, spare_gauss: state.spare_gauss }
    }
}

impl TryFrom<Saved> for RandomState {
    type Error = String;

    fn try_from(saved: Saved) -> Result<RandomState, String> {
        let words = saved.key.len();
        let key = saved.key.try_into().map_err(|_| format!("a random state of {words} words, expected {N}"))?;
        if saved.position > N {
            return Err(format!("a random state at word {}, expected at most {N}", saved.position));
        }
        Ok(RandomState { key, position: saved.position, spare_gauss: saved.spare_gauss })
    }
}

impl RandomState {
    /// Starts the sequence of `RandomState(seed)`.
    pub fn new(seed: u32) -> Self {
        let mut key = [0; N];
        let mut value = seed;
        for (i, word) in key.iter_mut().enumerate() {
            *word = value;
            value = 1_812_433_253u32.wrapping_mul(value ^ (value >> 30)).wrapping_add(i as u32 + 1);
        }
        RandomState { key, position: N, spare_gauss: None }
    }

    /// The next 32 random bits.
    pub fn next_u32(&mut self) -> u32 {
        if self.position == N {
            self.twist();
        }
        let mut y = self.key[self.position];
        self.position += 1;
        y ^= y >> 11;
        y ^= (y << 7) & 0x9d2c_5680;
        y ^= (y << 15) & 0xefc6_0000;
        y ^ (y >> 18)
    }

    fn twist(&mut self) {
        for i in 0..N {
            let y = (self.key[i] & 0x8000_0000) | (self.key[(i + 1) % N] & 0x7fff_ffff);
            let odd = if y & 1 == 1 { 0x9908_b0df } else { 0 };
            self.key[i] = self.key[(i + M) % N] ^ (y >> 1) ^ odd;
        }
        self.position = 0;
    }

    /// `random_sample()`: uniform in [0, 1) with 53 random bits.
    pub fn uniform(&mut self) -> f64 {
        let high = f64::from(self.next_u32() >> 5);
        let low = f64::from(self.next_u32() >> 6);
        (high * 67_108_864.0 + low) / 9_007_199_254_740_992.0
    }

    /// `randn()`: one number of the standard normal distribution.
    pub fn gauss(&mut self) -> f64 {
        if let Some(spare) = self.spare_gauss.take() {
            return spare;
        }
        loop {
            let (x, y) = (2.0 * self.uniform() - 1.0, 2.0 * self.uniform() - 1.0);
            let square = x * x + y * y;
            if square < 1.0 && square != 0.0 {
                let factor = (-2.0 * square.ln() / square).sqrt();
                self.spare_gauss = Some(factor * x);
                return factor * y;
            }
        }
    }

    /// `randn(count)` in double precision.
    pub fn gauss_vec(&mut self, count: usize) -> Vec<f64> {
        (0..count).map(|_| self.gauss()).collect()
    }

    /// `randint(bound)`: uniform in `0..bound` by masked rejection, as the legacy generator does for the C `long`.
    ///
    /// # Panics
    /// When `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        assert!(bound > 0, "there is no number below 0");
        self.masked(bound - 1)
    }

    /// Uniform in `0..=largest`.
    fn masked(&mut self, largest: u64) -> u64 {
        if largest == 0 {
            return 0;
        }
        let mask = u64::MAX >> largest.leading_zeros();
        loop {
            let value = if largest <= u64::from(u32::MAX) {
                u64::from(self.next_u32())
            } else {
                u64::from(self.next_u32()) << 32 | u64::from(self.next_u32())
            };
            if value & mask <= largest {
                return value & mask;
            }
        }
    }

    /// `shuffle(items)`: Fisher and Yates from the end.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.masked(i as u64) as usize);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uniform_numbers_are_numpys() {
        let mut state = RandomState::new(0);
        let drawn: Vec<f64> = (0..3).map(|_| state.uniform()).collect();
        assert_eq!(drawn, [0.548_813_503_927_324_8, 0.715_189_366_372_419_5, 0.602_763_376_071_643_9]);
    }

    #[test]
    fn gaussian_numbers_are_numpys() {
        assert_eq!(
            RandomState::new(0).gauss_vec(3),
            [1.764_052_345_967_664, 0.400_157_208_367_223_3, 0.978_737_984_105_739_2]
        );
    }

    #[test]
    fn a_state_that_was_saved_goes_on_where_it_was() {
        let mut state = RandomState::new(3);
        state.gauss_vec(401);
        let text = serde_json::to_string(&state).unwrap();
        let mut read: RandomState = serde_json::from_str(&text).unwrap();
        assert_eq!(read.gauss_vec(1000), state.gauss_vec(1000));
        let broken = text.replacen("\"key\":[", "\"key\":[1,", 1);
        assert!(serde_json::from_str::<RandomState>(&broken).is_err());
    }
}
