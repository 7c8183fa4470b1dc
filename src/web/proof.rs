//! The short check before the first training on a GPU: a driver that computes wrong numbers would train nonsense.

use crate::check::check_cases;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::files;
use crate::kernels::cases;
use crate::train::Event;
use std::collections::BTreeSet;
use std::path::Path;

/// A line for each device that has passed, kept like the runs.
const PASSED: &str = "/checked.txt";

/// Opens the device of a run. One that has never been checked is, kernel by kernel, each once.
///
/// # Errors
/// Where there is no such device, or it does not compute what the processor does.
pub(super) async fn open(request: &str, events: &mut dyn FnMut(Event)) -> Result<Device> {
    let device = Device::find(request).await?;
    let Device::Gpu(gpu) = &device else { return Ok(device) };
    let report = gpu.report();
    let line = format!("{} {} {}", env!("CARGO_PKG_VERSION"), report.name, report.driver).replace('\n', " ");
    let path = Path::new(PASSED);
    let passed = files::read(path).unwrap_or_default();
    if String::from_utf8_lossy(&passed).lines().any(|earlier| earlier == line) {
        return Ok(device);
    }
    let mut seen = BTreeSet::new();
    let cases: Vec<_> = cases::all().into_iter().filter(|case| seen.insert(case.kernel)).collect();
    let mut done = 0;
    let report = check_cases(&device, &cases, &mut |_| {
        done += 1;
        events(Event::Progress { what: format!("checking what {} computes", device.name()), done, total: cases.len() as u64 });
    })
    .await?;
    if let Some(wrong) = report.wrong().next() {
        return Err(Error::device(
            format!("{} computes wrong numbers: {wrong}", device.name()),
            "update the browser or the graphics driver; until then choose the processor as the device",
        ));
    }
    files::append_line(path, &line)?;
    Ok(device)
}
