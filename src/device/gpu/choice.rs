//! Which of several kernels that compute the same a device runs.
//!
//! On a GPU it is measured, once for each class of operations (layout, format, sizes by powers of two), and remembered: for the process,
//! and natively in a file for the next one, by device, driver and version. All of them add up in the same order, so that the choice
//! does not change results (`tests/kernels/twins.rs` compares the bits), but for matrix units, whose order is their own: they are tried only where
//! a run takes factors in f16.

use super::super::kernel::{Kernel, Needs};
use super::super::plan::{Op, Plan};
use super::adapters::{AdapterReport, Gpu};
use crate::error::Result;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use web_time::{Duration, Instant};

/// What was chosen so far: the kernel's name by class.
#[derive(Default)]
pub(super) struct Choices {
    made: Mutex<Option<HashMap<String, String>>>,
    /// Whether it was in vain to wait for other processes' trials.
    waited: AtomicBool,
}

/// How long other processes' trials are waited for: ranks on the GPUs of one machine begin theirs at the same time.
const OTHERS: Duration = if cfg!(test) { Duration::from_millis(200) } else { Duration::from_secs(20) };

impl Gpu {
    /// Whether it can run a kernel.
    pub fn offers(&self, needs: Needs) -> bool {
        match needs {
            Needs::Nothing => true,
            Needs::Subgroups(size) => {
                self.report().subgroup_sizes == [size; 2] && self.device.features().contains(wgpu::Features::SUBGROUP)
            }
            Needs::Matrices => self.report().matrices && self.device.features().contains(super::adapters::MATRICES),
        }
    }

    /// The operations of a plan by the kernels that this device runs them with.
    pub(super) async fn chosen(&self, plan: &Plan) -> Result<Vec<Op>> {
        self.compile_candidates(plan).await;
        let mut chosen = Vec::with_capacity(plan.ops.len());
        for op in &plan.ops {
            let others = if plan.exact { Vec::new() } else { (op.kernel.others)(op) };
            let others: Vec<Op> = others.into_iter().filter(|o| self.offers(o.kernel.needs)).collect();
            chosen.push(if others.is_empty() { op.clone() } else { self.choose(op, others).await? });
        }
        Ok(chosen)
    }

    /// Compiles, in parallel, what is going to be measured one after the other. What is refused is told when its turn comes.
    async fn compile_candidates(&self, plan: &Plan) {
        if plan.exact || !self.measures() {
            return;
        }
        let mut wanted: HashMap<String, Vec<Op>> = HashMap::new();
        for op in plan.ops.iter().filter(|op| !(op.kernel.others)(op).is_empty()) {
            let like = (op.kernel.like)(op);
            let class = class(&like);
            if self.choices.get(self, &class).is_none() {
                wanted.entry(class).or_insert_with(|| self.candidates(&like));
            }
        }
        let (experimental, plain): (Vec<Op>, Vec<Op>) = wanted.into_values().flatten().partition(|op| op.kernel.needs == Needs::Matrices);
        let _ = self.pipelines.for_ops(self, plain.iter()).await;
        if !experimental.is_empty() && self.begin_trial() {
            let _ = self.pipelines.for_ops(self, experimental.iter()).await;
            self.end_trial();
        }
    }

    /// Whether it is worth while to measure which kernel is the fastest: a program that plays a GPU takes seconds for it, and a browser
    /// would keep a person waiting at each visit.
    fn measures(&self) -> bool {
        !self.report().is_software() && !cfg!(target_arch = "wasm32")
    }

    /// An operation by every kernel that can do it here.
    fn candidates(&self, op: &Op) -> Vec<Op> {
        let others = (op.kernel.others)(op).into_iter().filter(|o| self.offers(o.kernel.needs));
        std::iter::once(op.clone()).chain(others).collect()
    }

    async fn choose(&self, op: &Op, others: Vec<Op>) -> Result<Op> {
        // What was made for processors wins there.
        if self.report().is_software() {
            let special = others.into_iter().find(|o| o.kernel.needs != Needs::Nothing);
            return Ok(special.unwrap_or_else(|| op.clone()));
        }
        if !self.measures() {
            return Ok(op.clone());
        }
        let like = (op.kernel.like)(op);
        let class = class(&like);
        let name = match self.choices.get(self, &class) {
            Some(name) => name,
            None => {
                let best = self.fastest(&like).await;
                self.check()?;
                // Where there was no memory to measure in, the plain one runs, and nothing is remembered.
                let Ok((best, all)) = best else { return Ok(op.clone()) };
                self.choices.set(self, class, best.name, all);
                best.name.to_owned()
            }
        };
        Ok(others.into_iter().find(|o| o.kernel.name == name).unwrap_or_else(|| op.clone()))
    }

    /// Measures an operation by every kernel that can do it; the fastest, and whether all of them were tried.
    async fn fastest(&self, op: &Op) -> Result<(&'static Kernel, bool)> {
        let (mut trusted, mut all) = (Vec::new(), true);
        for candidate in self.candidates(op) {
            // What is experimental has to give the same first.
            if candidate.kernel.needs == Needs::Matrices {
                let agrees = self.trusts(op, &candidate).await;
                all &= agrees.is_some();
                if agrees != Some(true) {
                    continue;
                }
            }
            trusted.push(candidate);
        }
        // Now that nothing comes between. What keeps it from running is told below.
        let _ = self.warm(op.clone()).await;
        let (mut best, mut refused) = ((f64::INFINITY, op.kernel), None);
        for candidate in trusted {
            let kernel = candidate.kernel;
            // A shader that is refused is no reason to stop.
            match self.measured(candidate).await {
                Ok(seconds) if seconds < best.0 => best = (seconds, kernel),
                Ok(_) => {}
                Err(error) => {
                    self.check()?;
                    refused = Some(error);
                }
            }
        }
        match refused {
            Some(error) if best.0.is_infinite() => Err(error),
            _ => Ok((best.1, all)),
        }
    }

    /// Whether an experimental kernel gives the same; none where it is not tried. A driver may fall over it and take the program along:
    /// after the second time it is not tried again. One that gives something else is not trusted with any other either.
    async fn trusts(&self, op: &Op, candidate: &Op) -> Option<bool> {
        if !self.begin_trial() {
            return None;
        }
        let agrees = self.agrees(op, candidate).await;
        match agrees {
            Ok(false) => remembered::distrust(self),
            _ => self.end_trial(),
        }
        Some(agrees.unwrap_or(false))
    }

    /// Begins a trial, if need be after those of others.
    fn begin_trial(&self) -> bool {
        let begun = Instant::now();
        loop {
            if remembered::begin_trial(self) {
                return true;
            }
            if begun.elapsed() > OTHERS || self.choices.waited.load(Ordering::Relaxed) {
                self.choices.waited.store(true, Ordering::Relaxed);
                return false;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// A device that was lost in a trial did not end it.
    fn end_trial(&self) {
        if self.check().is_ok() {
            remembered::end_trial(self);
        }
    }
}

/// The file that says that an adapter's matrix units are not tried any more, if it does.
pub(super) fn given_up(adapter: &AdapterReport) -> Option<std::path::PathBuf> {
    remembered::given_up(adapter)
}

/// What operations have in common for which the same kernel is the fastest.
fn class(like: &Op) -> String {
    format!("{} {:?} {:?} {:?}", like.kernel.name, like.constants, like.grid, like.params)
}

impl Choices {
    fn get(&self, gpu: &Gpu, class: &str) -> Option<String> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        made.get_or_insert_with(|| remembered::read(gpu)).get(class).cloned()
    }

    /// For this process, and with `keep` for later ones.
    fn set(&self, gpu: &Gpu, class: String, kernel: &str, keep: bool) {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let made = made.get_or_insert_default();
        if keep {
            // What was not to be kept stays out of the file.
            let mut kept = remembered::read(gpu);
            kept.insert(class.clone(), kernel.to_owned());
            remembered::write(gpu, &kept);
        }
        made.insert(class, kernel.to_owned());
    }
}

/// The file of choices.
#[cfg(not(target_arch = "wasm32"))]
mod remembered {
    use super::super::adapters::AdapterReport;
    use super::super::kept;
    use super::Gpu;
    use std::collections::HashMap;

    const KERNELS: &str = "kernels";
    /// How many trials of matrix units did not end since the last one that did.
    const TRIALS: &str = "matrices";
    /// The first may have been a person who did not wait, or another process that is still at it.
    const MOST_UNENDED: u8 = 2;

    fn unended(adapter: &AdapterReport) -> u8 {
        kept::read(adapter, TRIALS).and_then(|bytes| bytes.first().copied()).unwrap_or(0)
    }

    pub fn given_up(adapter: &AdapterReport) -> Option<std::path::PathBuf> {
        (unended(adapter) >= MOST_UNENDED).then(|| kept::path(adapter, TRIALS))?
    }

    /// None is to begin any more.
    pub fn distrust(gpu: &Gpu) {
        kept::write(gpu, TRIALS, &[MOST_UNENDED]);
    }

    /// Whether a trial may begin, which is written down: none may where the last two did not end.
    pub fn begin_trial(gpu: &Gpu) -> bool {
        let unended = unended(gpu.report());
        let may = unended < MOST_UNENDED;
        if may {
            kept::write(gpu, TRIALS, &[unended + 1]);
        }
        may
    }

    pub fn end_trial(gpu: &Gpu) {
        kept::write(gpu, TRIALS, &[0]);
    }

    pub fn read(gpu: &Gpu) -> HashMap<String, String> {
        kept::read(gpu.report(), KERNELS).and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
    }

    pub fn write(gpu: &Gpu, made: &HashMap<String, String>) {
        if let Ok(bytes) = serde_json::to_vec(made) {
            kept::write(gpu, KERNELS, &bytes);
        }
    }
}

/// A browser measures nothing, so there is nothing to remember.
#[cfg(target_arch = "wasm32")]
mod remembered {
    use super::super::adapters::AdapterReport;
    use super::Gpu;
    use std::collections::HashMap;

    pub fn read(_: &Gpu) -> HashMap<String, String> {
        HashMap::new()
    }

    pub fn write(_: &Gpu, _: &HashMap<String, String>) {}

    pub fn given_up(_: &AdapterReport) -> Option<std::path::PathBuf> {
        None
    }

    pub fn distrust(_: &Gpu) {}

    pub fn begin_trial(_: &Gpu) -> bool {
        false
    }

    pub fn end_trial(_: &Gpu) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::Device;
    use crate::device::plan::{BufferId, View};
    use crate::kernels::matmul::{MatMul, Matrix};

    fn product(m: usize, n: usize, k: usize) -> Op {
        let view = |index: usize, len: usize| View { buffer: BufferId::Transient(index), offset: 0, len };
        let [a, b, c] = [view(0, m * k), view(1, n * k), view(5, m * n)];
        MatMul::new(m, n, k, Matrix::rows(a, k), Matrix::rows(b, k).transposed(), Matrix::rows(c, n)).op()
    }

    #[test]
    fn products_of_like_sizes_are_one_class() {
        let like = |m, n, k| {
            let op = product(m, n, k);
            let like = (op.kernel.like)(&op);
            (like.params, like.constants)
        };
        assert_eq!(like(100, 576, 1500), like(128, 1000, 1024 + 1));
        assert_ne!(like(100, 576, 1500), like(100, 576, 1000));
        // What is larger than is measured counts as that.
        assert_eq!(like(5000, 9000, 9000), like(4096, 4096, 4096));
        // Whether it can be read by four words.
        assert_ne!(like(100, 576, 1500), like(100, 576, 1504));
    }

    /// In a cache folder of its own, so in a process of its own: see the next test.
    #[test]
    fn a_trial_in_its_own_cache() {
        if std::env::var_os("DIABLO_TEST_TRIAL").is_none() {
            return;
        }
        let Ok(Device::Gpu(gpu)) = Device::open("gpu") else { return };
        let op = (product(64, 64, 64).kernel.like)(&product(64, 64, 64));
        let trusts = || pollster::block_on(gpu.trusts(&op, &op));
        assert_eq!([trusts(), trusts()], [Some(true); 2], "the same kernel gives the same");
        // Two others are at it, and end.
        assert!(remembered::begin_trial(&gpu) && remembered::begin_trial(&gpu));
        let others = std::thread::spawn({
            let gpu = gpu.clone();
            move || {
                std::thread::sleep(OTHERS / 4);
                remembered::end_trial(&gpu);
            }
        });
        assert_eq!(trusts(), Some(true), "they were waited for");
        others.join().expect("it ends");
        // As a process that was killed in it leaves it.
        assert!(remembered::begin_trial(&gpu));
        assert_eq!(trusts(), Some(true), "it may have been somebody who did not wait");
        assert!(remembered::begin_trial(&gpu) && remembered::begin_trial(&gpu));
        assert_eq!([trusts(), trusts()], [None; 2], "it killed the program twice");
        assert!(given_up(gpu.report()).is_some_and(|file| file.is_file()), "it is said where that stands");
        gpu.end_trial();
        assert_eq!(given_up(gpu.report()), None);
        // alpha stands behind 15 words: twice the result.
        let mut twice = op.clone();
        twice.params[15] = 2f32.to_bits();
        assert_eq!(pollster::block_on(gpu.trusts(&op, &twice)), Some(false));
        assert!(given_up(gpu.report()).is_some(), "what gives other numbers is left out from then on");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn what_killed_the_program_is_not_tried_again() {
        let cache = tempfile::tempdir().expect("a folder");
        let mut command = std::process::Command::new(std::env::current_exe().expect("this program"));
        let name = module_path!().split_once("::").expect("a module").1;
        command.args([&format!("{name}::a_trial_in_its_own_cache"), "--exact"]);
        let status = command.env("DIABLO_TEST_TRIAL", "1").env("XDG_CACHE_HOME", cache.path()).status().expect("starts");
        assert!(status.success());
    }

    #[test]
    fn a_device_is_measured_and_the_choice_kept() {
        let Ok(Device::Gpu(gpu)) = Device::open("gpu") else {
            println!("skipped: no Vulkan driver");
            return;
        };
        let op = (product(64, 64, 64).kernel.like)(&product(64, 64, 64));
        let seconds = pollster::block_on(gpu.measured(op.clone())).expect("it runs");
        assert!(seconds > 0.0 && seconds < 10.0, "{seconds}");
        let (best, all) = pollster::block_on(gpu.fastest(&op)).expect("it runs");
        assert!(all, "there are no matrix units to be afraid of");
        let known: Vec<&str> = (op.kernel.others)(&op).iter().map(|o| o.kernel.name).chain([op.kernel.name]).collect();
        assert!(known.contains(&best.name), "{}", best.name);
        // What is known is not measured again.
        *gpu.choices.made.lock().expect("free") = Some(HashMap::from([("class".to_owned(), "matmul_wide".to_owned())]));
        assert_eq!(gpu.choices.get(&gpu, "class").as_deref(), Some("matmul_wide"));
        assert_eq!(gpu.choices.get(&gpu, "another"), None);
    }
}
