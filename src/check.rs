//! Every kernel on a device against its CPU twin: what `diablo check` runs, and the tests.

use crate::device::Device;
use crate::error::Result;
use crate::kernels::cases::{self, Case};
use std::collections::BTreeMap;
use std::fmt;
use web_time::{Duration, Instant};

/// A place where the device and the twin differ.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Difference {
    /// Which output of the case.
    pub output: usize,
    /// Which float of it.
    pub index: usize,
    /// What the device gave.
    pub got: f32,
    /// What the twin gave.
    pub want: f32,
    /// Difference as a share of the output's largest magnitude; infinite where only one side is a finite number.
    pub error: f32,
}

/// How one case went.
#[derive(Clone, Debug)]
pub struct CaseResult {
    /// The kernel.
    pub kernel: &'static str,
    /// The case.
    pub name: String,
    /// The largest difference, if any bit differs.
    pub worst: Option<Difference>,
    /// What the case allows.
    pub tolerance: f32,
    /// Whether a second run on the device gave the same bits.
    pub repeatable: bool,
    /// Whether words that no output covers changed: the kernel wrote where it must not.
    pub overrun: bool,
    /// How long it took on the device and on the CPU.
    pub took: [Duration; 2],
    /// Cases of the whole check.
    pub of: usize,
}

impl CaseResult {
    /// The largest error as a share of the output's largest magnitude.
    pub fn error(&self) -> f32 {
        self.worst.map_or(0.0, |w| w.error)
    }

    /// Whether the device does what the twin says.
    pub fn ok(&self) -> bool {
        self.repeatable && !self.overrun && self.error() <= self.tolerance
    }
}

impl fmt::Display for CaseResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (case {})", self.kernel, self.name)?;
        if !self.repeatable {
            write!(f, ": two runs differ")?;
        }
        if self.overrun {
            write!(f, ": wrote past its output")?;
        }
        if let Some(w) = self.worst.filter(|w| w.error.is_nan() || w.error > self.tolerance) {
            write!(f, ": output {} at {} is {}, not {}", w.output, w.index, w.got, w.want)?;
        }
        Ok(())
    }
}

/// How every case went.
#[derive(Clone, Debug)]
pub struct Report {
    /// The device's name.
    pub device: String,
    /// In the order they ran.
    pub cases: Vec<CaseResult>,
    /// How long it took.
    pub took: Duration,
}

impl Report {
    /// Whether every case is right.
    pub fn ok(&self) -> bool {
        self.cases.iter().all(CaseResult::ok)
    }

    /// The cases that are wrong.
    pub fn wrong(&self) -> impl Iterator<Item = &CaseResult> {
        self.cases.iter().filter(|c| !c.ok())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut kernels: BTreeMap<&str, Vec<&CaseResult>> = BTreeMap::new();
        for case in &self.cases {
            kernels.entry(case.kernel).or_default().push(case);
        }
        writeln!(f, "{:<22} {:>5}  {:>9} / {:<9}", "kernel", "cases", "error", "allowed")?;
        for (kernel, cases) in &kernels {
            // The case that comes closest to its tolerance, or passes it by most; an exact one has nothing to divide by.
            let strain = |c: &CaseResult| if c.error() == 0.0 { 0.0 } else { c.error() / c.tolerance };
            let Some(worst) = cases.iter().max_by(|a, b| strain(a).total_cmp(&strain(b))) else { continue };
            write!(f, "{kernel:<22} {:>5}  {:>9.1e} / {:<9.1e} ", cases.len(), worst.error(), worst.tolerance)?;
            match cases.iter().find(|c| !c.ok()) {
                None => writeln!(f, "ok")?,
                Some(wrong) => writeln!(f, "WRONG: {wrong}")?,
            }
        }
        let wrong = self.wrong().count();
        write!(f, "{}: {} cases in {:.1} s, ", self.device, self.cases.len(), self.took.as_secs_f64())?;
        if wrong == 0 { write!(f, "all as the CPU computes them") } else { write!(f, "{wrong} WRONG") }
    }
}

/// Runs every case twice on the device and once on the CPU executor, and compares.
///
/// # Errors
/// Where the device is lost, refuses a shader or has not enough memory for a case; differences are in the report.
pub async fn check(device: &Device, progress: &mut dyn FnMut(&CaseResult)) -> Result<Report> {
    check_cases(device, &cases::all(), progress).await
}

/// As [`check`], for these cases.
///
/// # Errors
/// As [`check`].
pub async fn check_cases(device: &Device, cases: &[Case], progress: &mut dyn FnMut(&CaseResult)) -> Result<Report> {
    let begun = Instant::now();
    let mut results = Vec::new();
    for case in cases.iter().filter(|c| c.runs_on(device)) {
        let start = Instant::now();
        let want = case.run(&Device::Cpu)?;
        let on_cpu = start.elapsed();
        let mut got = case.run_times(device, 2).await?;
        let again = got.pop().unwrap_or_default();
        let got = got.pop().unwrap_or_default();
        let mut result = compare(case, &got, &want);
        result.repeatable = got == again;
        result.took = [start.elapsed() - on_cpu, on_cpu];
        result.of = cases.len();
        progress(&result);
        results.push(result);
    }
    Ok(Report { device: device.name(), cases: results, took: begun.elapsed() })
}

/// A device may take numbers below 2^-126, 1e-38, for zero (WGSL, "Differences from IEEE-754"), and what is made of them: a gelu's slope at
/// -90 came out as zero on an NVIDIA H100, and as 7e-35 on a processor. Differences are weighed against no less than this.
const NEXT_TO_NOTHING: f32 = 1e-29;

/// Compares what two executors gave for a case.
pub fn compare(case: &Case, got: &[Vec<u32>], want: &[Vec<u32>]) -> CaseResult {
    let mut worst: Option<Difference> = None;
    let mut overrun = false;
    for (output, (view, count)) in case.outputs.iter().enumerate() {
        let (got, want) = (&got[output], &want[output]);
        let before = case.inputs.iter().find(|(v, _)| v == view).map_or(&[][..], |(_, words)| words);
        let tail = |words: &[u32]| before.len() > *count && words[*count..] != before[*count..];
        overrun |= tail(got) || tail(want);
        let (got, want): (&[f32], &[f32]) = (bytemuck::cast_slice(&got[..*count]), bytemuck::cast_slice(&want[..*count]));
        let largest = want.iter().map(|x| x.abs()).filter(|x| x.is_finite()).fold(case.floor.max(NEXT_TO_NOTHING), f32::max);
        for (index, (&got, &want)) in got.iter().zip(want).enumerate() {
            if got.to_bits() == want.to_bits() || (got.is_nan() && want.is_nan()) {
                continue;
            }
            let error = if got.is_finite() && want.is_finite() { (got - want).abs() / largest } else { f32::INFINITY };
            if worst.is_none_or(|w| error > w.error) {
                worst = Some(Difference { output, index, got, want, error });
            }
        }
    }
    CaseResult {
        kernel: case.kernel,
        name: case.name.clone(),
        worst,
        tolerance: case.tolerance,
        repeatable: true,
        overrun,
        took: [Duration::ZERO; 2],
        of: 1,
    }
}
