//! Where the time went, operator by operator, on standard error when `TOONIFY_TIMING` is set.

use std::io::Write;

use toonify_networks::timing::{self, Row};

/// Switches the record on where the environment asks for it, and prints it when dropped.
pub(crate) struct Timing {
    wanted: bool,
}

impl Timing {
    /// Looks at `TOONIFY_TIMING`: anything but nothing and 0 switches the record on.
    pub(crate) fn from_environment() -> Self {
        let wanted = std::env::var_os("TOONIFY_TIMING").is_some_and(|value| !value.is_empty() && value != "0");
        if wanted {
            timing::switch_on();
        }
        Timing { wanted }
    }
}

impl Drop for Timing {
    fn drop(&mut self) {
        if !self.wanted {
            return;
        }
        let rows = timing::take();
        let total: f64 = rows.iter().map(|row| row.seconds).sum();
        let mut err = std::io::stderr().lock();
        // Standard error may be closed; there is nobody left to tell then.
        let _ = writeln!(err, "{:<36} {:>8} {:>10} {:>7} {:>9}", "operator", "calls", "seconds", "share", "GFLOP/s");
        for row in &rows {
            let _ = writeln!(err, "{}", line(row, total));
        }
    }
}

fn line(row: &Row, total: f64) -> String {
    let rate =
        if row.operations == 0 { "-".to_owned() } else { format!("{:.0}", row.operations as f64 / row.seconds / 1e9) };
    let share = row.seconds / total * 100.0;
    format!("{:<36} {:>8} {:>10.3} {share:>5.1} % {rate:>9}", row.operator, row.calls, row.seconds)
}
