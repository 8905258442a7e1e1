//! Ctrl-C as a wish that workflows can grant.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::events::{Event, Sink};

/// A flag that the first Ctrl-C (or SIGTERM) sets; the second one ends the program at once.
pub(crate) fn stop_at_ctrl_c(sink: &mut dyn Sink) -> Arc<AtomicBool> {
    let stop = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&stop);
    let installed = ctrlc::set_handler(move || {
        if flag.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
    });
    if let Err(error) = installed {
        sink.event(&Event::Warning(format!("Ctrl-C will end the program at once: {error}")));
    }
    stop
}
