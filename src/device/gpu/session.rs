//! Plans loaded on a GPU: buffers, bind groups, submits bounded in time, reads that do not block the step.

#[cfg(not(target_arch = "wasm32"))]
use super::super::OpTime;
use super::super::cpu::map_slots;
use super::super::ledger::{Ledger, human_bytes};
use super::super::plan::{BufferDecl, BufferId, Layout, Op, Plan, View, shared_slots};
use super::adapters::Gpu;
use super::arrival::Arrival;
use super::pipelines::{Compiled, Key, key};
use crate::error::{Error, Result};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use web_time::Instant;

/// Desktops kill a submit after about two seconds; a window on the same device wants to draw in between.
const SUBMIT_SECONDS: f64 = 0.1;
/// Before anything was measured: about what a software driver does.
const FIRST_RATE: f64 = 1e9;
/// Even an empty dispatch costs something.
const DISPATCH_FLOPS: u64 = 20_000;
/// Uploads go in pieces, so that staging memory stays small: two such pieces at most.
const UPLOAD_WORDS: usize = 4 << 20;

pub(super) struct LoadedOp {
    /// For whoever times it.
    pub kernel: &'static str,
    compiled: Arc<Compiled>,
    bind_group: wgpu::BindGroup,
    grid: [u32; 3],
    needs_rows_above: Option<u32>,
    pub flops: u64,
}

impl LoadedOp {
    pub fn new<'a>(
        gpu: &Gpu,
        pipelines: &HashMap<Key, Arc<Compiled>>,
        op: &Op,
        uniforms: &Uniforms,
        (offset, size): (u64, u64),
        buffer: impl Fn(&View) -> &'a wgpu::Buffer,
    ) -> Self {
        let compiled = pipelines[&key(op)].clone();
        let bind_group = bind(gpu, &compiled, op, buffer, &uniforms.buffer, offset, size);
        Self { kernel: op.kernel.name, compiled, bind_group, grid: op.grid, needs_rows_above: op.needs_rows_above, flops: op.flops }
    }

    pub fn dispatch(&self, pass: &mut wgpu::ComputePass<'_>) {
        pass.set_pipeline(&self.compiled.pipeline);
        pass.set_bind_group(0, &self.bind_group, &[]);
        pass.dispatch_workgroups(self.grid[0], self.grid[1], self.grid[2]);
    }
}

/// A read on its way.
#[derive(Debug)]
pub struct PendingRead {
    staging: wgpu::Buffer,
    submission: wgpu::SubmissionIndex,
    arrived: Arrival<std::result::Result<(), wgpu::BufferAsyncError>>,
}

impl PendingRead {
    /// Asks for `size` bytes of a buffer.
    pub(super) fn begin(gpu: &Gpu, buffer: &wgpu::Buffer, offset: u64, size: u64) -> Self {
        let staging = gpu.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("staging"),
            size,
            usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let mut encoder = gpu.device.create_command_encoder(&Default::default());
        encoder.copy_buffer_to_buffer(buffer, offset, &staging, 0, size);
        let submission = gpu.submit([encoder.finish()]);
        let arrived = Arrival::default();
        let arrives = arrived.clone();
        staging.map_async(wgpu::MapMode::Read, .., move |result| arrives.set(result));
        Self { staging, submission, arrived }
    }

    /// What was asked for, waited for.
    pub(super) async fn arrive(self, gpu: &Gpu) -> Result<Vec<u32>> {
        gpu.idle().await?;
        let result = self.arrived.wait().await;
        self.words(gpu, result)
    }

    fn words(&self, gpu: &Gpu, result: std::result::Result<(), wgpu::BufferAsyncError>) -> Result<Vec<u32>> {
        let broken = |cause: &dyn std::fmt::Display| {
            let other = || Error::device(format!("{}: a read failed: {cause}", gpu.name()), "");
            gpu.check().err().unwrap_or_else(other)
        };
        result.map_err(|e| broken(&e))?;
        let range = self.staging.get_mapped_range(..).map_err(|e| broken(&e))?;
        Ok(bytemuck::pod_collect_to_vec(&range))
    }
}

/// Measured speed. Callbacks of finished submits only count; the clock is read where the host polls, since wgpu calls them there
/// and several at a time.
struct Pace {
    flops_per_second: f64,
    /// Flops and number of submits that finished since the last look at the clock, and when the first of them was submitted.
    finished: Option<(u64, u32, Instant)>,
    last_look: Option<Instant>,
}

impl Pace {
    fn new() -> Self {
        Self { flops_per_second: FIRST_RATE, finished: None, last_look: None }
    }

    fn count(&mut self, flops: u64, submitted: Instant) {
        let (f, n, first) = self.finished.unwrap_or((0, 0, submitted));
        self.finished = Some((f + flops, n + 1, first.min(submitted)));
    }

    /// A submit that took too long slows the pace at once; faster ones raise it slowly. A host that looks late sees a device that
    /// is too slow, so what may have been short enough changes nothing.
    fn look(&mut self, now: Instant) {
        let Some((flops, submits, first)) = self.finished.take() else { return };
        let begun = self.last_look.map_or(first, |last| last.max(first));
        self.last_look = Some(now);
        let seconds = now.duration_since(begun).as_secs_f64().max(1e-5);
        let measured = flops as f64 / seconds;
        let rate = self.flops_per_second;
        self.flops_per_second =
            if seconds > SUBMIT_SECONDS * f64::from(submits) { rate.min(measured) } else { rate.max(measured.min(rate * 1.5)) };
    }
}

/// Plans loaded on a GPU.
pub struct GpuSession {
    gpu: Gpu,
    persistent: Vec<wgpu::Buffer>,
    slots: Vec<wgpu::Buffer>,
    plans: Vec<Vec<LoadedOp>>,
    ledger: Ledger,
    pace: Arc<Mutex<Pace>>,
    /// Words that wait in staging memory for a submit.
    staged: usize,
    /// The upload before.
    uploaded: Option<wgpu::SubmissionIndex>,
}

impl GpuSession {
    /// A session without buffers.
    pub fn new(gpu: Gpu) -> Self {
        let pace = Arc::new(Mutex::new(Pace::new()));
        let ledger = Ledger::default();
        Self { gpu, persistent: Vec::new(), slots: Vec::new(), plans: Vec::new(), ledger, pace, staged: 0, uploaded: None }
    }

    /// Allocates the layout's buffers beyond those that are here, compiles pipelines and makes bind groups; the first new plan's
    /// index.
    ///
    /// # Errors
    /// Where a buffer is larger than the device takes, memory runs out, or a shader is refused; then nothing was added.
    pub async fn extend(&mut self, layout: &Layout, plans: &[Plan]) -> Result<usize> {
        let gpu = self.gpu.clone();
        gpu.check()?;
        // First, while there is memory to measure kernels in.
        let mut ops = Vec::with_capacity(plans.len());
        for plan in plans {
            ops.push(gpu.chosen(plan).await?);
        }
        let shared = shared_slots(plans);
        let mut ledger = self.ledger;
        let mut fresh = [Vec::new(), Vec::new()];
        for (decls, buffers) in [&layout.buffers[self.persistent.len()..], &shared].into_iter().zip(&mut fresh) {
            for decl in decls {
                let buffer = create_buffer(&gpu, decl).await?;
                ledger.add(decl.category, buffer.size());
                buffers.push(buffer);
            }
        }
        let [persistent, slots] = fresh;
        let pipelines = gpu.pipelines.for_ops(&gpu, ops.iter().flatten()).await?;
        let (first, first_slot) = (self.plans.len(), self.slots.len());
        self.ledger = ledger;
        self.persistent.extend(persistent);
        self.slots.extend(slots);
        let uniforms = Uniforms::new(&gpu, ops.iter().flatten());
        let mut place = uniforms.places();
        let loaded: Vec<Vec<LoadedOp>> = (plans.iter().zip(&ops))
            .map(|(plan, ops)| {
                let slot_of = map_slots(plan, &shared, first_slot);
                let load = |op: &Op| {
                    let place = place.next().expect("one place an operation");
                    LoadedOp::new(&gpu, &pipelines, op, &uniforms, place, |view| match view.buffer {
                        BufferId::Persistent(i) => &self.persistent[i],
                        BufferId::Transient(i) => &self.slots[slot_of[i]],
                    })
                };
                ops.iter().map(load).collect()
            })
            .collect();
        self.plans.extend(loaded);
        gpu.check()?;
        Ok(first)
    }

    /// Bytes taken.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    fn locate(&self, view: View) -> (&wgpu::Buffer, u64) {
        match view.buffer {
            BufferId::Persistent(i) => (&self.persistent[i], view.offset as u64 * 4),
            BufferId::Transient(_) => panic!("only persistent buffers can be reached from the host"),
        }
    }

    /// Copies words to the start of a view.
    pub fn write(&mut self, view: View, words: &[u32]) -> Result<()> {
        assert!(words.len() <= view.len);
        for (i, piece) in words.chunks(UPLOAD_WORDS).enumerate() {
            let (buffer, offset) = self.locate(view);
            self.gpu.queue.write_buffer(buffer, offset + (i * UPLOAD_WORDS * 4) as u64, bytemuck::cast_slice(piece));
            self.staged += piece.len();
            if self.staged >= UPLOAD_WORDS {
                self.upload()?;
            }
        }
        self.gpu.check()
    }

    /// Sends what is staged, and waits for what was sent before it. Unsent, a whole checkpoint would pile up beside its buffers.
    fn upload(&mut self) -> Result<()> {
        self.staged = 0;
        let before = self.uploaded.replace(self.gpu.submit([]));
        before.map_or(Ok(()), |before| self.gpu.wait(Some(&before)))
    }

    /// Encodes and submits a plan, in as many submits as its measured cost asks for.
    pub fn run(&mut self, plan: usize, active_rows: u32) -> Result<()> {
        let rate = self.pace.lock().unwrap_or_else(PoisonError::into_inner).flops_per_second;
        let budget = (rate * SUBMIT_SECONDS) as u64;
        self.staged = 0;
        for (part, flops) in in_time(&self.active(plan, active_rows), budget, usize::MAX) {
            self.submit(part, flops);
        }
        self.poll()
    }

    /// The kernels that a plan's operations run by here, in order.
    pub fn kernels(&self, plan: usize) -> Vec<&'static str> {
        self.plans[plan].iter().map(|op| op.kernel).collect()
    }

    /// Runs a plan and times each operation.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn profile(&mut self, plan: usize, active_rows: u32) -> Result<Vec<OpTime>> {
        let rate = self.pace.lock().unwrap_or_else(PoisonError::into_inner).flops_per_second;
        super::timing::timed(&self.gpu, &self.active(plan, active_rows), (rate * SUBMIT_SECONDS) as u64)
    }

    fn active(&self, plan: usize, active_rows: u32) -> Vec<&LoadedOp> {
        self.plans[plan].iter().filter(|op| op.needs_rows_above.is_none_or(|rows| active_rows > rows)).collect()
    }

    fn submit(&self, ops: &[&LoadedOp], flops: u64) {
        let mut encoder = self.gpu.device.create_command_encoder(&Default::default());
        {
            let mut pass = encoder.begin_compute_pass(&Default::default());
            for op in ops {
                op.dispatch(&mut pass);
            }
        }
        let submitted = Instant::now();
        self.gpu.submit([encoder.finish()]);
        let pace = self.pace.clone();
        self.gpu.queue.on_submitted_work_done(move || pace.lock().unwrap_or_else(PoisonError::into_inner).count(flops, submitted));
    }

    /// Asks for a view's words.
    pub fn request(&mut self, view: View) -> Result<PendingRead> {
        self.gpu.check()?;
        let (buffer, offset) = self.locate(view);
        Ok(PendingRead::begin(&self.gpu, buffer, offset, view.len as u64 * 4))
    }

    /// The words of a read, or the read back if it has not arrived.
    pub fn collect(&mut self, read: PendingRead) -> Result<std::result::Result<Vec<u32>, PendingRead>> {
        self.poll()?;
        match read.arrived.take() {
            Some(result) => read.words(&self.gpu, result).map(Ok),
            None => Ok(Err(read)),
        }
    }

    /// The words of a read, waited for.
    pub async fn finish(&mut self, read: PendingRead) -> Result<Vec<u32>> {
        self.wait_for(Some(&read.submission))?;
        let result = read.arrived.wait().await;
        read.words(&self.gpu, result)
    }

    /// Waits until everything submitted is done.
    pub async fn wait(&mut self) -> Result<()> {
        self.wait_for(None)?;
        self.gpu.idle().await
    }

    /// Lets callbacks run. In a browser they run between tasks.
    fn poll(&self) -> Result<()> {
        self.gpu.listen();
        self.look();
        self.gpu.check()
    }

    fn wait_for(&self, submission: Option<&wgpu::SubmissionIndex>) -> Result<()> {
        let waited = self.gpu.wait(submission);
        self.look();
        waited
    }

    fn look(&self) {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner).look(Instant::now());
    }
}

/// Operations in parts of so many flops, or one operation, and at most so many of them, each with its flops.
pub(super) fn in_time<'a, 'b>(
    mut ops: &'a [&'b LoadedOp],
    budget: u64,
    most: usize,
) -> impl Iterator<Item = (&'a [&'b LoadedOp], u64)> + use<'a, 'b> {
    std::iter::from_fn(move || {
        let (mut flops, mut end) = (0, 0);
        while end < ops.len().min(most) && (end == 0 || flops + ops[end].flops <= budget) {
            flops += ops[end].flops + DISPATCH_FLOPS;
            end += 1;
        }
        let (part, rest) = ops.split_at(end);
        ops = rest;
        (!part.is_empty()).then_some((part, flops))
    })
}

async fn create_buffer(gpu: &Gpu, decl: &BufferDecl) -> Result<wgpu::Buffer> {
    let size = decl.words as u64 * 4;
    let limits = gpu.report().limits();
    let what = || format!("{}: {} needs a buffer of {}", gpu.name(), decl.label, human_bytes(size));
    let hint = "use a smaller --batch-size or --seq-len, --gradient-checkpointing, or --device cpu";
    if size > limits.max_binding_bytes.min(limits.max_buffer_bytes) {
        let largest = limits.max_binding_bytes.min(limits.max_buffer_bytes);
        return Err(Error::device(format!("{}, and the device takes {}", what(), human_bytes(largest)), hint));
    }
    let scope = gpu.device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
    let buffer = gpu.device.create_buffer(&wgpu::BufferDescriptor {
        label: Some(&decl.label),
        size,
        usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::COPY_SRC,
        mapped_at_creation: false,
    });
    match scope.pop().await {
        None => Ok(buffer),
        Some(_) => Err(Error::device(format!("{}, and its memory is full", what()), hint)),
    }
}

fn bind<'a>(
    gpu: &Gpu,
    compiled: &Compiled,
    op: &Op,
    buffer: impl Fn(&View) -> &'a wgpu::Buffer,
    uniforms: &wgpu::Buffer,
    offset: u64,
    size: u64,
) -> wgpu::BindGroup {
    let mut entries: Vec<wgpu::BindGroupEntry<'_>> = (op.views.iter().enumerate())
        .map(|(i, view)| wgpu::BindGroupEntry {
            binding: i as u32,
            resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                buffer: buffer(view),
                offset: view.offset as u64 * 4,
                size: std::num::NonZero::new(view.len as u64 * 4),
            }),
        })
        .collect();
    entries.push(wgpu::BindGroupEntry {
        binding: op.views.len() as u32,
        resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding { buffer: uniforms, offset, size: std::num::NonZero::new(size) }),
    });
    gpu.device.create_bind_group(&wgpu::BindGroupDescriptor { label: Some(op.kernel.name), layout: &compiled.bindings, entries: &entries })
}

/// The parameters of every operation in one uniform buffer, each at an aligned place.
pub(super) struct Uniforms {
    buffer: wgpu::Buffer,
    places: Vec<(u64, u64)>,
}

impl Uniforms {
    pub fn new<'a>(gpu: &Gpu, ops: impl IntoIterator<Item = &'a Op>) -> Self {
        let align = gpu.device.limits().min_uniform_buffer_offset_alignment as usize;
        let mut bytes: Vec<u8> = Vec::new();
        let mut places = Vec::new();
        for op in ops {
            let size = (op.params.len() * 4).next_multiple_of(16).max(16);
            places.push((bytes.len() as u64, size as u64));
            bytes.extend_from_slice(bytemuck::cast_slice(&op.params));
            bytes.resize((places[places.len() - 1].0 as usize + size).next_multiple_of(align), 0);
        }
        let buffer = gpu.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("parameters"),
            size: bytes.len().max(16) as u64,
            usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        gpu.queue.write_buffer(&buffer, 0, &bytes);
        Self { buffer, places }
    }

    pub fn places(&self) -> impl Iterator<Item = (u64, u64)> + use<> {
        self.places.clone().into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::{Category, Device};
    use web_time::Duration;

    /// Half a gibibyte in pieces that are each too small to be sent at once.
    #[test]
    fn uploads_do_not_pile_up() {
        let Ok(Device::Gpu(gpu)) = Device::open("gpu") else {
            println!("skipped: no Vulkan driver");
            return;
        };
        let (pieces, words) = (64, 2 << 20);
        let mut layout = Layout::new(gpu.report().limits());
        let view = layout.buffer("weights", words, Category::Weights);
        let device = gpu.device.clone();
        let taken = || device.generate_allocator_report().map(|report| report.total_allocated_bytes);
        let mut session = GpuSession::new(gpu);
        pollster::block_on(session.extend(&layout, &[])).expect("a buffer");
        let Some(before) = taken() else {
            println!("skipped: the driver's memory is not told");
            return;
        };
        let mut most = before;
        for i in 0..pieces {
            session.write(view, &vec![i; words]).expect("written");
            most = most.max(taken().unwrap_or(before));
        }
        let read = session.request(view).expect("a read");
        let last = pollster::block_on(session.finish(read)).expect("words");
        assert!(last.iter().all(|word| *word == pieces - 1));
        let piled = most - before;
        assert!(piled > 0 && piled <= 3 * (UPLOAD_WORDS as u64) * 4, "{piled} bytes beside the buffers");
    }

    #[test]
    fn the_pace_falls_at_once_and_rises_slowly() {
        let start = Instant::now();
        let at = |ms: u64| start + Duration::from_millis(ms);
        let mut pace = Pace::new();
        // Twice the time that a submit may take: half the pace.
        pace.count((FIRST_RATE * SUBMIT_SECONDS) as u64, at(0));
        pace.look(at(200));
        assert!((pace.flops_per_second / FIRST_RATE - 0.5).abs() < 1e-6);
        // Three submits heard of at once, each short: one step up, whatever was measured.
        for _ in 0..3 {
            pace.count(10 * FIRST_RATE as u64, at(200));
        }
        pace.look(at(260));
        assert!((pace.flops_per_second / FIRST_RATE - 0.75).abs() < 1e-6);
        // A small plan that the host looked at late.
        pace.count(1000, at(300));
        pace.look(at(390));
        assert!((pace.flops_per_second / FIRST_RATE - 0.75).abs() < 1e-6);
        // Nothing finished.
        pace.look(at(5000));
        assert!((pace.flops_per_second / FIRST_RATE - 0.75).abs() < 1e-6);
    }
}
