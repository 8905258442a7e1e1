//! The operators against numbers of the published implementation: values, gradients, and gradients of gradients.
//!
//! Every folder of numbers is checked in single and in double precision. The numbers themselves are in single precision
//! and were computed twice, on two code paths, which differ by up to 5e-7 of a tensor's largest magnitude; hence the
//! tolerances, which are relative to that magnitude.

#![expect(clippy::print_stdout, reason = "a test says what it leaves out")]

mod cases;
mod check;

use std::path::{Path, PathBuf};
use std::process::Command;

use candle_core::DType;
use check::{Golden, Order};
use toonify_networks::Result;
use toonify_networks::grad::{DOUBLE_BACKWARD_VARIABLE, canary, double_backward_is_on};

/// The numbers that the repository carries, and the complete set where it is at hand.
fn roots() -> Vec<PathBuf> {
    let carried = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/reference/ops"));
    let complete = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/goldens"));
    assert!(carried.is_dir(), "the reference numbers are missing");
    if !complete.is_dir() {
        println!("the complete set of goldens is absent: only the carried ones are checked");
        return vec![carried.into()];
    }
    vec![carried.into(), complete.into()]
}

fn check_everything(folder: &str, cases: fn(&Golden) -> Result<Vec<cases::Case>>, order: Order) -> Result<()> {
    for root in roots() {
        for dtype in [DType::F32, DType::F64] {
            let golden = Golden::read(&root.join(folder), dtype)?;
            let cases = cases(&golden)?;
            assert!(!cases.is_empty(), "no cases in {folder}");
            for case in &cases {
                golden.check(case, order)?;
            }
        }
    }
    Ok(())
}

#[test]
fn filters_are_those_of_setup_filter() -> Result<()> {
    for root in roots() {
        cases::check_filters(&Golden::read(&root.join("op_setup_filter"), DType::F32)?)?;
    }
    Ok(())
}

#[test]
fn upfirdn2d_agrees() -> Result<()> {
    check_everything("op_upfirdn2d", cases::upfirdn2d, Order::Dual)
}

#[test]
fn bias_act_agrees() -> Result<()> {
    check_everything("op_bias_act", cases::bias_act, Order::Dual)
}

#[test]
fn conv2d_resample_agrees() -> Result<()> {
    check_everything("op_conv2d_resample", cases::conv2d_resample, Order::Dual)
}

#[test]
fn modulated_conv2d_agrees() -> Result<()> {
    check_everything("op_modulated_conv2d", cases::modulated_conv2d, Order::Dual)
}

#[test]
fn modulated_conv2d_agrees_on_values_that_were_rounded_to_half_precision() -> Result<()> {
    for root in roots() {
        cases::check_half_input(&Golden::read(&root.join("op_modulated_conv2d"), DType::F32)?)?;
    }
    Ok(())
}

#[test]
fn layers_agree() -> Result<()> {
    check_everything("op_layers", cases::layers, Order::Dual)
}

/// The oracle of the duals. candle must be told by the environment before its first backward pass, so the test runs
/// itself again in a process of its own.
#[test]
fn double_backward_agrees() -> Result<()> {
    if !double_backward_is_on()? {
        let program = std::env::current_exe().expect("a running test has a path");
        let arguments = ["--exact", "double_backward_agrees", "--nocapture"];
        let status = Command::new(program).args(arguments).env(DOUBLE_BACKWARD_VARIABLE, "1").status();
        assert!(status.expect("the test can be started again").success(), "double backward disagrees");
        return Ok(());
    }
    check_everything("op_upfirdn2d", cases::upfirdn2d, Order::DoubleBackward)?;
    check_everything("op_bias_act", cases::bias_act, Order::DoubleBackward)?;
    check_everything("op_conv2d_resample", cases::conv2d_resample, Order::DoubleBackward)?;
    check_everything("op_modulated_conv2d", cases::modulated_conv2d, Order::DoubleBackward)?;
    check_everything("op_layers", cases::layers, Order::DoubleBackward)?;
    canary()
}
