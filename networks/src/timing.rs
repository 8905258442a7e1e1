//! Where the time goes: a table of operators, with calls, seconds and floating-point operations.
//!
//! Off until [`switch_on`] is called, and then for the whole process: operators run inside candle's backward pass, which
//! carries nothing from caller to operator. The results of a network never depend on it.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

static IS_ON: AtomicBool = AtomicBool::new(false);
static ROWS: Mutex<BTreeMap<&'static str, Sums>> = Mutex::new(BTreeMap::new());

/// One operator, summed over its calls.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Name of the operator.
    pub operator: &'static str,
    /// Number of calls.
    pub calls: u64,
    /// Time on the clock.
    pub seconds: f64,
    /// Floating-point operations, a multiply-add counted as two and convolutions counted directly; 0 where memory is
    /// what counts.
    pub operations: u64,
}

#[derive(Clone, Copy, Default)]
struct Sums {
    calls: u64,
    seconds: f64,
    operations: u64,
}

/// Starts recording.
pub fn switch_on() {
    IS_ON.store(true, Ordering::Relaxed);
}

/// The table so far, the slowest operator first; begins a new one.
pub fn take() -> Vec<Row> {
    let sums = std::mem::take(&mut *ROWS.lock().unwrap_or_else(|poisoned| poisoned.into_inner()));
    let mut rows: Vec<Row> = sums
        .into_iter()
        .map(|(operator, Sums { calls, seconds, operations })| Row { operator, calls, seconds, operations })
        .collect();
    rows.sort_by(|a, b| b.seconds.total_cmp(&a.seconds));
    rows
}

/// Does some work of an operator and records it.
#[expect(clippy::disallowed_methods, reason = "times are written down, results do not depend on them")]
pub(crate) fn timed<R>(operator: &'static str, operations: u64, work: impl FnOnce() -> R) -> R {
    if !IS_ON.load(Ordering::Relaxed) {
        return work();
    }
    let start = Instant::now();
    let result = work();
    let seconds = start.elapsed().as_secs_f64();
    let mut rows = ROWS.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let sums = rows.entry(operator).or_default();
    sums.calls += 1;
    sums.seconds += seconds;
    sums.operations += operations;
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_begins_anew_when_it_is_taken() {
        switch_on();
        timed("a test", 3, || ());
        timed("a test", 4, || ());
        let of_test = |rows: Vec<Row>| rows.into_iter().find(|row| row.operator == "a test");
        let row = of_test(take()).expect("it was recorded");
        assert_eq!((row.calls, row.operations), (2, 7));
        assert_eq!(of_test(take()), None);
    }
}
