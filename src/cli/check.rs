//! `diablo check`

use super::common_args::{DeviceArgs, OutputArgs, device_variable, set_threads};
use super::output;
use super::progress::{Look, Reporter};
use crate::check::{CaseResult, Report, check};
use crate::device::Device;
use crate::error::Result;
use crate::train::Event;
use serde_json::{Value, json};
use std::process::ExitCode;

const AFTER_HELP: &str = "\
Takes the GPU that --device or DIABLO_DEVICE names, else the best one. Each
kernel runs at odd sizes, twice, and must give the same bits both times and
what the CPU computes within a stated tolerance. Exits with 1 where a kernel is
wrong: update the driver, or use --device cpu.

Examples:
  diablo check
  diablo check --device 1 --json";

/// The command's options.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct Args {
    #[command(flatten)]
    device: DeviceArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// Runs the command.
///
/// # Errors
/// Where there is no GPU, or it is lost on the way.
pub fn run(args: Args) -> Result<ExitCode> {
    set_threads(args.device.threads)?;
    // `auto` may be the CPU, which is what the others are checked against.
    let request = args.device.device.or_else(device_variable).filter(|d| d != "auto").unwrap_or_else(|| "gpu".into());
    let device = Device::open(&request)?;
    let mut reporter = Reporter::new(Look::choose(args.output.quiet || args.output.json, false));
    let mut done = 0;
    let report = pollster::block_on(check(&device, &mut |case| {
        done += 1;
        reporter.report(&Event::Progress { what: "checking kernels".into(), done, total: case.of as u64 });
    }))?;
    drop(reporter);
    if args.output.json {
        output::print_json(&as_json(&report))?
    } else {
        output::print(&report.to_string())?
    }
    Ok(if report.ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn as_json(report: &Report) -> Value {
    let case = |c: &CaseResult| {
        json!({
            "kernel": c.kernel,
            "case": c.name,
            "ok": c.ok(),
            // JSON has no infinity: null where only one side is a number.
            "error": c.error(),
            "tolerance": c.tolerance,
            "repeatable": c.repeatable,
            "overrun": c.overrun,
        })
    };
    json!({
        "device": report.device,
        "ok": report.ok(),
        "seconds": report.took.as_secs_f64(),
        "cases": report.cases.iter().map(case).collect::<Vec<_>>(),
    })
}
