//! The `toonify` command: parse, run, print the error and its hint, choose the exit code.

use std::process::ExitCode;

use clap::Parser;
use toonify::cli::{Cli, report_error};

fn main() -> ExitCode {
    match Cli::parse().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => report_error(&error),
    }
}
