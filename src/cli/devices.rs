//! `diablo devices`

use super::common_args::{DEVICE_VARIABLE, device_variable};
use super::output::{self, table};
use crate::device::gpu::AdapterReport;
use crate::device::gpu::adapters::{self, NO_DRIVER};
use crate::device::{Device, human_bytes};
use crate::error::Result;
use crate::train::resolve::available_memory;
use serde_json::json;
use std::process::ExitCode;

const AFTER_HELP: &str = "\
auto takes a discrete GPU, else an integrated one, else the CPU; a software
driver only by name. --device gpu, cpu, a number or part of a name takes
another, on every command that computes; the environment variable DIABLO_DEVICE
does the same.

Examples:
  diablo devices
  diablo devices --json";

/// The command's options.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct Args {
    /// Print JSON on standard output
    #[arg(long)]
    json: bool,
}

/// Runs the command.
///
/// # Errors
/// Where standard output cannot be written.
pub fn run(args: Args) -> Result<ExitCode> {
    let reports = adapters::list();
    let (chosen, why) = adapters::choose(&reports);
    let variable = device_variable();
    if args.json {
        output::print_json(&json!({
            "adapters": reports,
            "cpu": { "threads": rayon::current_num_threads(), "available_bytes": available_memory() },
            "chosen": chosen.map_or(json!("cpu"), |index| json!(index)),
            "why": why,
            "variable": variable,
        }))?;
    } else {
        output::print(&describe(&reports, chosen, &why, variable.as_deref()))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn describe(reports: &[AdapterReport], chosen: Option<usize>, why: &str, variable: Option<&str>) -> String {
    let head = ["", "device", "name", "kind", "backend", "f16", "subgroup", "matrix", "free", "binding", "buffer", "workgroup", "driver"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    let mark = |is: bool| if is { "*" } else { "" }.to_owned();
    rows.extend(reports.iter().map(|r| {
        vec![
            mark(chosen == Some(r.index)),
            r.index.to_string(),
            r.name.clone(),
            r.kind.to_owned(),
            r.backend.clone(),
            yes(r.shader_f16),
            yes(r.subgroup),
            yes(r.cooperative_matrix),
            r.free_bytes.map_or_else(|| "not told".into(), human_bytes),
            human_bytes(r.max_binding_bytes),
            human_bytes(r.max_buffer_bytes),
            format!("{}, {} threads", human_bytes(u64::from(r.workgroup_bytes)), r.workgroup_invocations),
            r.driver.clone(),
        ]
    }));
    let memory = available_memory().map(|m| format!(", {} free", human_bytes(m))).unwrap_or_default();
    rows.push(vec![mark(chosen.is_none()), "cpu".into(), format!("{}{memory}", Device::Cpu.name())]);
    let taken = chosen.map_or_else(|| "the CPU".to_owned(), |index| reports[index].name.clone());
    let mut text = format!("{}\n* auto takes {taken}: {why}.\n", table(&rows));
    if let Some(device) = variable {
        text.push_str(&format!("{DEVICE_VARIABLE} is {device}: commands without --device take that instead.\n"));
    }
    if reports.iter().all(AdapterReport::is_software) {
        text.push_str(&format!("For a GPU, {NO_DRIVER}.\n"));
    }
    text
}

fn yes(is: bool) -> String {
    if is { "yes" } else { "no" }.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_driver_it_says_what_to_install() {
        let text = describe(&[], None, "no GPU driver was found", Some("cpu"));
        for part in ["* auto takes the CPU: no GPU driver was found", "mesa-vulkan-drivers", "DIABLO_DEVICE is cpu", "threads"] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }
}
