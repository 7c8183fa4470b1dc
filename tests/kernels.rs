//! Shaders against their twins on whatever adapter there is, and twins that call a matrix library against plain loops in f64.

use diablo::check::{check, check_cases, compare};
use diablo::device::{Device, Kernel};
use diablo::kernels::cases::{self, Case};

/// The software driver where there is one, so that the test is the same everywhere; else any adapter.
fn adapter() -> Option<Device> {
    let found = Device::open("llvmpipe").or_else(|_| Device::open("gpu")).ok();
    if found.is_none() {
        println!("skipped: no Vulkan adapter");
    }
    found
}

#[test]
fn every_shader_does_what_its_twin_does() {
    let Some(device) = adapter() else { return };
    let report = check(&device, &mut |_| ()).expect("the device runs every case");
    println!("{report}");
    let wrong: Vec<String> = report.wrong().map(ToString::to_string).collect();
    assert!(report.ok(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}
