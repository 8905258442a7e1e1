//! What a run is called: everything that was chosen, in a line.

use toonify_networks::augment::AugmentSet;

use crate::train::plan::options::Config;

/// The name of a run while it grows.
pub(super) struct Description(String);

impl Description {
    /// Begins with the name of the training set.
    pub fn new(dataset: &str) -> Self {
        Description(dataset.to_owned())
    }

    pub fn add(&mut self, part: &str) {
        self.0.push('-');
        self.0.push_str(part);
    }

    pub fn number(&mut self, name: &str, value: f64) {
        self.add(&format!("{name}{}", short(value)));
    }

    /// `auto` depends on the number of devices and says so.
    pub fn config(&mut self, config: Config, gpus: usize) {
        match config {
            Config::Auto => self.add(&format!("auto{gpus}")),
            other => self.add(other.name()),
        }
    }

    /// A set by its name, or spelt in a way that suits a folder: `scale1+noise0.5`.
    pub fn set(&mut self, set: &AugmentSet) {
        self.add(&set.to_string().replace('=', "").replace(',', "+"));
    }

    pub fn finish(self) -> String {
        self.0
    }
}

/// A number as C's `%g` writes it: six digits, no zeros at the end, an exponent when it is very small or large.
fn short(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return value.to_string();
    }
    let scientific = format!("{value:.5e}");
    let (digits, exponent) = scientific.split_once('e').expect("scientific notation has an exponent");
    let exponent: i32 = exponent.parse().expect("an exponent is a number");
    if (-4..6).contains(&exponent) {
        return without_zeros(&format!("{value:.*}", (5 - exponent) as usize)).to_owned();
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{}e{sign}{:02}", without_zeros(digits), exponent.abs())
}

fn without_zeros(number: &str) -> &str {
    if number.contains('.') { number.trim_end_matches('0').trim_end_matches('.') } else { number }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        let check = |value: f64, expected: &str| assert_eq!(short(value), expected, "{value:?}");
        check(5.0, "5");
        check(0.3, "0.3");
        check(0.7, "0.7");
        check(0.0, "0");
        check(10.0, "10");
        check(123_456.7, "123457");
        check(1_234_567.0, "1.23457e+06");
        check(0.0001, "0.0001");
        check(0.000_012, "1.2e-05");
        check(2.0 / 3.0, "0.666667");
        check(999_999.7, "1e+06");
        check(-0.5, "-0.5");
    }
}
