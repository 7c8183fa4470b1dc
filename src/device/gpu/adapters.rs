//! Which adapters there are, which one is chosen, and the open device.

use super::super::plan::Limits;
use crate::device::Device;
use crate::error::{Error, Result};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
#[cfg(not(target_arch = "wasm32"))]
use web_time::Duration;
use wgpu::{Backends, DeviceType, Features};

/// What `diablo devices` says about one adapter.
#[derive(Clone, Debug, serde::Serialize)]
pub struct AdapterReport {
    /// Position in the list; `--device INDEX` takes it.
    pub index: usize,
    /// The driver's name for it.
    pub name: String,
    /// vulkan, metal, dx12, webgpu.
    pub backend: String,
    /// discrete GPU, integrated GPU, virtual GPU, software, other.
    pub kind: &'static str,
    /// Driver name and version.
    pub driver: String,
    /// Largest storage binding in bytes.
    pub max_binding_bytes: u64,
    /// Largest buffer in bytes.
    pub max_buffer_bytes: u64,
    /// Bytes of its own memory, where the driver tells.
    pub memory_bytes: Option<u64>,
    /// Bytes of its own memory that were free when it was listed, where the driver tells.
    pub free_bytes: Option<u64>,
    /// Workgroup memory in bytes.
    pub workgroup_bytes: u32,
    /// Invocations in a workgroup.
    pub workgroup_invocations: u32,
    /// Storage buffers in a shader stage.
    pub storage_buffers: u32,
    /// Arithmetic in 16-bit floats.
    pub shader_f16: bool,
    /// Subgroup operations.
    pub subgroup: bool,
    /// Threads in a subgroup, at least and at most.
    pub subgroup_sizes: [u32; 2],
    /// Matrix units through wgpu's experimental feature.
    pub cooperative_matrix: bool,
    /// Whether it has the matrix units of [`crate::device::Needs::Matrices`].
    #[serde(skip)]
    pub(super) matrices: bool,
    /// The file that says that they were given up, where they were.
    #[serde(skip)]
    pub given_up: Option<std::path::PathBuf>,
    /// GPU timestamps.
    pub timestamps: bool,
}

impl AdapterReport {
    /// What it offers less of than every kernel may count on: WebGPU's default limits (W3C WebGPU, section 3.6.2). None where it
    /// offers enough.
    pub fn lack(&self) -> Option<String> {
        let least = wgpu::Limits::default();
        let offered = [
            ("storage buffers in a shader", u64::from(self.storage_buffers), u64::from(least.max_storage_buffers_per_shader_stage)),
            ("invocations in a workgroup", u64::from(self.workgroup_invocations), u64::from(least.max_compute_invocations_per_workgroup)),
            ("bytes of workgroup memory", u64::from(self.workgroup_bytes), u64::from(least.max_compute_workgroup_storage_size)),
            ("bytes in a storage binding", self.max_binding_bytes, least.max_storage_buffer_binding_size),
            ("bytes in a buffer", self.max_buffer_bytes, least.max_buffer_size),
        ];
        let (what, has, needed) = offered.into_iter().find(|(_, has, needed)| has < needed)?;
        Some(format!("{} offers {has} {what}, and {needed} are needed", self.name))
    }

    /// What plans for it are laid out by.
    pub fn limits(&self) -> Limits {
        Limits {
            max_binding_bytes: self.max_binding_bytes,
            max_buffer_bytes: self.max_buffer_bytes,
            piece_bytes: Limits::piece_of(self.memory_bytes.filter(|_| !self.is_software()).unwrap_or(0)),
            matrix_units: self.matrices,
        }
    }

    /// Whether the processor does this adapter's work.
    pub fn is_software(&self) -> bool {
        self.kind == kind(DeviceType::Cpu)
    }

    fn new(index: usize, adapter: &wgpu::Adapter) -> Self {
        let (info, limits, features) = (adapter.get_info(), adapter.limits(), adapter.features());
        let [memory_bytes, free_bytes] = super::memory::of_adapter(adapter);
        let (subgroup_sizes, workgroup_bytes) =
            ([info.subgroup_min_size, info.subgroup_max_size], limits.max_compute_workgroup_storage_size);
        let mut report = Self {
            index,
            // Browsers may keep the name to themselves.
            name: if info.name.is_empty() { "WebGPU".into() } else { info.name.clone() },
            backend: format!("{:?}", info.backend).to_lowercase(),
            kind: kind(info.device_type),
            driver: [info.driver, info.driver_info].join(" ").trim().to_string(),
            max_binding_bytes: limits.max_storage_buffer_binding_size,
            max_buffer_bytes: limits.max_buffer_size,
            memory_bytes,
            free_bytes,
            workgroup_bytes,
            workgroup_invocations: limits.max_compute_invocations_per_workgroup,
            storage_buffers: limits.max_storage_buffers_per_shader_stage,
            shader_f16: features.contains(Features::SHADER_F16),
            subgroup: features.contains(Features::SUBGROUP),
            subgroup_sizes,
            cooperative_matrix: features.contains(Features::EXPERIMENTAL_COOPERATIVE_MATRIX),
            timestamps: features.contains(Features::TIMESTAMP_QUERY),
            matrices: features.contains(MATRICES)
                && subgroup_sizes == [32; 2]
                && workgroup_bytes >= 48 << 10
                && limits.max_compute_invocations_per_workgroup >= 512
                && multiplies_halves(adapter),
            given_up: None,
        };
        if report.matrices {
            report.given_up = super::choice::given_up(&report);
            report.matrices = report.given_up.is_none();
        }
        report
    }
}

/// Whether the adapter multiplies 16 x 16 numbers of f16 into f32.
fn multiplies_halves(adapter: &wgpu::Adapter) -> bool {
    use wgpu::CooperativeScalarType::{F16, F32};
    adapter
        .cooperative_matrix_properties()
        .iter()
        .any(|p| [p.m_size, p.n_size, p.k_size] == [16; 3] && p.ab_type == F16 && p.cr_type == F32)
}

fn kind(device_type: DeviceType) -> &'static str {
    match device_type {
        DeviceType::DiscreteGpu => "discrete GPU",
        DeviceType::IntegratedGpu => "integrated GPU",
        DeviceType::VirtualGpu => "virtual GPU",
        DeviceType::Cpu => "software",
        DeviceType::Other => "other",
    }
}

/// How much a kind of adapter is wanted by `auto`; `None` where the CPU executor is faster.
fn rank(kind: &str) -> Option<u8> {
    match kind {
        "discrete GPU" => Some(0),
        "integrated GPU" => Some(1),
        "virtual GPU" => Some(2),
        "other" => Some(3),
        _ => None,
    }
}

/// What a kernel for matrix units uses.
pub(super) const MATRICES: Features = Features::EXPERIMENTAL_COOPERATIVE_MATRIX.union(Features::SHADER_F16).union(Features::SUBGROUP);

/// How long to wait for why a device refuses.
#[cfg(not(target_arch = "wasm32"))]
const LAST_WORD: Duration = Duration::from_millis(500);

/// What went wrong with a device outside a call's own result.
#[derive(Debug, Clone)]
enum Fault {
    /// The first thing that it refused, and whether there is no more to be learnt of it.
    Refused { what: String, settled: bool },
    /// It is gone.
    Lost(String),
}

/// An open wgpu device. Clones share it.
#[derive(Clone)]
pub struct Gpu {
    pub(super) device: wgpu::Device,
    pub(super) queue: wgpu::Queue,
    report: Arc<AdapterReport>,
    pub(super) pipelines: Arc<super::pipelines::Pipelines>,
    pub(super) choices: Arc<super::choice::Choices>,
    fault: Arc<Mutex<Option<Fault>>>,
    /// Submits that have ended.
    pub(super) ended: Arc<AtomicU64>,
}

impl Gpu {
    /// The driver's name for it.
    pub fn name(&self) -> &str {
        &self.report.name
    }

    /// What is known about the adapter.
    pub fn report(&self) -> &AdapterReport {
        &self.report
    }

    /// Whether it is still whole: nothing more can be done with a device that was lost or that refused something.
    ///
    /// # Errors
    /// Where the device was lost or refused something since it was opened.
    pub fn check(&self) -> Result<()> {
        let fault = || self.fault.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if matches!(fault(), Some(Fault::Refused { settled: false, .. })) {
            self.wait_for_the_last_word();
        }
        match fault() {
            None => Ok(()),
            Some(Fault::Refused { what, .. } | Fault::Lost(what)) => Err(Error::device(
                format!("{}: {what}", self.name()),
                "the last checkpoint is whole: go on with --resume, or take another device with --device",
            )),
        }
    }

    /// A device that was lost refuses things, and says why when its last work has ended: that explains it better.
    fn wait_for_the_last_word(&self) {
        #[cfg(not(target_arch = "wasm32"))]
        for _ in 0..LAST_WORD.as_millis() / 10 {
            self.listen();
            if matches!(*self.fault.lock().unwrap_or_else(PoisonError::into_inner), Some(Fault::Lost(_))) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        if let Some(Fault::Refused { settled, .. }) = &mut *self.fault.lock().unwrap_or_else(PoisonError::into_inner) {
            *settled = true;
        }
    }

    /// Lets the word that the device was lost be delivered, if it waits. Who runs plans on the device need not ask.
    pub fn listen(&self) {
        let _ = self.device.poll(wgpu::PollType::Poll);
    }

    /// What diablo asks an adapter for: all its limits, and the features that its kernels know.
    pub fn device_descriptor(adapter: &wgpu::Adapter) -> wgpu::DeviceDescriptor<'static> {
        let mut wanted = Features::SHADER_F16 | Features::SUBGROUP | Features::TIMESTAMP_QUERY | Features::PIPELINE_CACHE;
        let mut experimental_features = wgpu::ExperimentalFeatures::disabled();
        if AdapterReport::new(0, adapter).matrices {
            wanted |= MATRICES;
            // SAFETY: the one experimental feature is matrix units. Shaders use them only where a run takes factors in f16, within
            // bounds that it keeps itself, and only after its numbers were compared with another shader's.
            experimental_features = unsafe { wgpu::ExperimentalFeatures::enabled() };
        }
        wgpu::DeviceDescriptor {
            label: Some("diablo"),
            required_features: adapter.features() & wanted,
            required_limits: adapter.limits(),
            experimental_features,
            memory_hints: wgpu::MemoryHints::Performance,
            trace: wgpu::Trace::Off,
        }
    }

    /// A device that somebody else opened and draws with; plans share it.
    pub fn shared(adapter: &wgpu::Adapter, device: wgpu::Device, queue: wgpu::Queue) -> Self {
        Self::watched(device, queue, AdapterReport::new(0, adapter))
    }

    async fn open(adapter: &wgpu::Adapter, report: AdapterReport) -> Result<Self> {
        if let Some(lack) = report.lack() {
            return Err(Error::device(lack, "update the driver, or take the processor with --device cpu"));
        }
        let (device, queue) = adapter.request_device(&Self::device_descriptor(adapter)).await.map_err(|e| {
            Error::device(format!("{}: the driver refused to open it: {e}", report.name), "update the driver, or use --device cpu")
        })?;
        Ok(Self::watched(device, queue, report))
    }

    /// Listens for what goes wrong outside a call's own result.
    fn watched(device: wgpu::Device, queue: wgpu::Queue, report: AdapterReport) -> Self {
        let fault: Arc<Mutex<Option<Fault>>> = Arc::default();
        let first = fault.clone();
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
            first
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .get_or_insert_with(|| Fault::Refused { what: error.to_string(), settled: false });
        }));
        let last = fault.clone();
        // One that was destroyed is lost too: no handle is left of one that we gave up ourselves.
        device.set_device_lost_callback(move |reason, message| {
            let why = if message.is_empty() { format!("{reason:?}").to_lowercase() } else { message };
            *last.lock().unwrap_or_else(PoisonError::into_inner) = Some(Fault::Lost(format!("the device was lost ({why})")));
        });
        Self { device, queue, report: Arc::new(report), pipelines: Arc::default(), choices: Arc::default(), fault, ended: Arc::default() }
    }
}

async fn enumerate() -> Vec<(AdapterReport, wgpu::Adapter)> {
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
    // OpenGL would list the same hardware again, with fewer limits.
    descriptor.backends = Backends::PRIMARY;
    let instance = wgpu::Instance::new(descriptor);
    adapters_of(&instance).await.into_iter().enumerate().map(|(i, a)| (AdapterReport::new(i, &a), a)).collect()
}

#[cfg(not(target_arch = "wasm32"))]
async fn adapters_of(instance: &wgpu::Instance) -> Vec<wgpu::Adapter> {
    instance.enumerate_adapters(Backends::PRIMARY).await
}

/// A browser shows one adapter; of a laptop's two it is asked for the faster one.
#[cfg(target_arch = "wasm32")]
async fn adapters_of(instance: &wgpu::Instance) -> Vec<wgpu::Adapter> {
    let options = wgpu::RequestAdapterOptions { power_preference: wgpu::PowerPreference::HighPerformance, ..Default::default() };
    instance.request_adapter(&options).await.into_iter().collect()
}

/// Every adapter that wgpu finds.
pub async fn find_all() -> Vec<AdapterReport> {
    enumerate().await.into_iter().map(|(report, _)| report).collect()
}

/// As [`find_all`], waiting on this thread. Not for browsers.
pub fn list() -> Vec<AdapterReport> {
    pollster::block_on(find_all())
}

/// The adapter that `auto` takes, if any beats the CPU executor, and why.
pub fn choose(reports: &[AdapterReport]) -> (Option<usize>, String) {
    let gpus = || reports.iter().filter_map(|r| rank(r.kind).map(|k| (k, r)));
    let best = gpus().filter(|(_, r)| r.lack().is_none()).min_by_key(|(k, r)| (*k, r.index));
    match best {
        Some((_, report)) => (Some(report.index), format!("{} is a {}", report.name, report.kind)),
        None if reports.is_empty() => (None, NONE_FOUND.into()),
        None => (None, gpus().find_map(|(_, r)| r.lack()).unwrap_or_else(|| SOFTWARE_ALONE.into())),
    }
}

#[cfg(not(target_arch = "wasm32"))]
const NONE_FOUND: &str = "no GPU driver was found";
#[cfg(not(target_arch = "wasm32"))]
const SOFTWARE_ALONE: &str = "only a software driver was found, and the CPU executor is many times faster than one";
#[cfg(target_arch = "wasm32")]
const SOFTWARE_ALONE: &str = "this browser's WebGPU is a program without a GPU, which is many times slower";
#[cfg(target_arch = "wasm32")]
const NONE_FOUND: &str = "this browser offers no WebGPU here";

/// What to do where a browser offers no WebGPU.
#[cfg(target_arch = "wasm32")]
pub const NO_DRIVER: &str = "use the processor, or a browser that has WebGPU switched on and a page that comes by https";
/// What to do where no driver was found.
#[cfg(not(target_arch = "wasm32"))]
pub const NO_DRIVER: &str = "install its Vulkan driver (Debian, Ubuntu: mesa-vulkan-drivers for AMD and Intel, nvidia-driver for \
NVIDIA; elsewhere: the maker's own), or use --device cpu";

/// Opens what [`Device::open`] was asked for.
pub(in crate::device) async fn open(request: &str, place: usize) -> Result<Device> {
    let request = request.trim();
    if request.eq_ignore_ascii_case("cpu") {
        return Ok(Device::Cpu);
    }
    let mut found = enumerate().await;
    let reports: Vec<AdapterReport> = found.iter().map(|(r, _)| r.clone()).collect();
    let Some(index) = wanted(request, &reports)? else { return Ok(Device::Cpu) };
    let index = dealt(request, index, &reports, place);
    let (report, adapter) = found.swap_remove(index);
    Gpu::open(&adapter, report).await.map(Device::Gpu)
}

/// The adapter for the `place`-th process of a machine, where `index` is what the request means: those of its kind and of its driver's
/// interface (which may list a card twice) in turn, beginning with it. One that is named by its number is everybody's.
fn dealt(request: &str, index: usize, reports: &[AdapterReport], place: usize) -> usize {
    if request.parse::<usize>().is_ok_and(|i| i == index) {
        return index;
    }
    let (asked, first) = (request.to_lowercase(), &reports[index]);
    let named = |r: &AdapterReport| ["", "auto", "gpu"].contains(&asked.as_str()) || r.name.to_lowercase().contains(&asked);
    let alike =
        |r: &&AdapterReport| r.kind == first.kind && r.backend == first.backend && r.lack().is_none() == first.lack().is_none() && named(r);
    let alike: Vec<usize> = reports.iter().filter(alike).map(|r| r.index).collect();
    alike.get(place % alike.len().max(1)).copied().unwrap_or(index)
}

/// The adapter that a request means, by its place in `reports`; none for the CPU executor.
///
/// # Errors
/// As [`Device::find`].
pub fn wanted(request: &str, reports: &[AdapterReport]) -> Result<Option<usize>> {
    match request.trim().to_ascii_lowercase().as_str() {
        "cpu" => Ok(None),
        "" | "auto" => Ok(choose(reports).0),
        "gpu" => match choose(reports).0.or_else(|| reports.first().map(|r| r.index)) {
            Some(index) => Ok(Some(index)),
            None => Err(Error::device("a GPU was asked for, and no adapter was found", NO_DRIVER)),
        },
        name => {
            let by_index = name.parse::<usize>().ok().filter(|i| *i < reports.len());
            let by_name = || reports.iter().position(|r| r.name.to_lowercase().contains(name));
            by_index.or_else(by_name).map(Some).ok_or_else(|| {
                let names: Vec<String> = reports.iter().map(|r| format!("{}: {}", r.index, r.name)).collect();
                let what = format!("no device matches {request:?}");
                if names.is_empty() {
                    Error::device(what + ": no adapter was found", NO_DRIVER)
                } else {
                    Error::device(what, format!("there are: cpu, {}", names.join(", ")))
                }
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(index: usize, kind: &'static str) -> AdapterReport {
        AdapterReport {
            index,
            name: format!("adapter {index}"),
            backend: "vulkan".into(),
            kind,
            driver: String::new(),
            max_binding_bytes: 128 << 20,
            max_buffer_bytes: 256 << 20,
            memory_bytes: None,
            free_bytes: None,
            workgroup_bytes: 16 << 10,
            workgroup_invocations: 256,
            storage_buffers: 8,
            shader_f16: false,
            subgroup: false,
            subgroup_sizes: [4, 128],
            cooperative_matrix: false,
            matrices: false,
            given_up: None,
            timestamps: false,
        }
    }

    #[test]
    fn a_discrete_gpu_comes_first_and_a_software_driver_never() {
        let kinds = |kinds: &[&'static str]| choose(&kinds.iter().enumerate().map(|(i, k)| report(i, k)).collect::<Vec<_>>()).0;
        assert_eq!(kinds(&["software", "integrated GPU", "discrete GPU"]), Some(2));
        assert_eq!(kinds(&["integrated GPU", "software"]), Some(0));
        assert_eq!(kinds(&["software"]), None);
        assert_eq!(kinds(&[]), None);
    }

    #[test]
    fn processes_of_a_machine_take_gpus_in_turn() {
        let kinds = ["integrated GPU", "discrete GPU", "discrete GPU", "software", "discrete GPU"];
        let mut reports: Vec<_> = kinds.iter().enumerate().map(|(i, k)| report(i, k)).collect();
        // The same card once more, by another interface.
        reports[4].backend = "dx12".into();
        let take = |request: &str| {
            let index = wanted(request, &reports).expect("found").expect("a GPU");
            [0, 1, 2].map(|place| dealt(request, index, &reports, place))
        };
        assert_eq!((take("auto"), take("gpu"), take("2"), take("adapter 1")), ([1, 2, 1], [1, 2, 1], [2, 2, 2], [1, 1, 1]));
        assert_eq!(take("adapter"), [0, 0, 0]);
    }

    #[test]
    fn a_gpu_that_offers_too_little_is_passed_over_and_named() {
        let small = AdapterReport { storage_buffers: 4, ..report(0, "discrete GPU") };
        let lack = "adapter 0 offers 4 storage buffers in a shader, and 8 are needed";
        assert_eq!(small.lack().as_deref(), Some(lack));
        assert_eq!(report(0, "other").lack(), None);
        assert_eq!(choose(std::slice::from_ref(&small)), (None, lack.into()));
        assert_eq!(choose(&[small, report(1, "integrated GPU")]).0, Some(1));
    }
}
