//! Training gives the published numbers: losses, gradients, and the networks after some steps.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests may fail loudly and say what they left out")]

mod losses;
mod recorded;
mod reference;
mod steps;
