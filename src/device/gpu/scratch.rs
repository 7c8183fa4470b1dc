//! One operation on memory of its own: to time it, and to see whether two kernels compute the same.

use super::super::plan::{BufferId, Op, Plan, View};
use super::adapters::Gpu;
use super::session::{LoadedOp, PendingRead, Uniforms};
use crate::error::{Error, Result};
use crate::random::Random;
use web_time::Instant;

/// A measured run lasts at least so long, unless it is [`MOST`] operations.
const LONG_ENOUGH: f64 = 0.002;
const MOST: usize = 64;
const TRIES: usize = 3;
/// Until a GPU that was idle has its full clock: on an H200, products after less measured a quarter of what they reach.
const WARM: f64 = 0.05;

/// How far apart two kernels' results may lie, as a share of the largest: sums of a few thousand terms in another order are 1e-5 apart.
const CLOSE: f32 = 1e-3;

/// An operation whose views are transient buffers, one each.
struct Scratch {
    buffers: Vec<wgpu::Buffer>,
    /// Of each buffer, whether it holds what [`crate::device::Kernel::inputs`] asks for.
    told: Vec<bool>,
    loaded: LoadedOp,
}

impl Scratch {
    async fn new(gpu: &Gpu, op: Op) -> Result<Self> {
        let words = |views: &[View], index: usize| {
            let of = views.iter().filter(|v| v.buffer == BufferId::Transient(index));
            of.map(|v| v.offset + v.len).max().unwrap_or(0)
        };
        let scope = gpu.device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let buffers: Vec<wgpu::Buffer> = (0..op.views.len())
            .map(|i| {
                gpu.device.create_buffer(&wgpu::BufferDescriptor {
                    label: Some("scratch"),
                    size: (words(&op.views, i).max(64) * 4) as u64,
                    usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST,
                    mapped_at_creation: false,
                })
            })
            .collect();
        if scope.pop().await.is_some() {
            return Err(Error::device(format!("{}: no memory to measure in", gpu.name()), ""));
        }
        let mut told = Vec::with_capacity(buffers.len());
        for (i, buffer) in buffers.iter().enumerate() {
            let words = (op.kernel.inputs)(&op, i);
            told.push(words.is_some());
            if let Some(words) = words {
                gpu.queue.write_buffer(buffer, 0, bytemuck::cast_slice(&words));
            }
        }
        let plan = Plan { ops: vec![op], ..Plan::default() };
        let pipelines = gpu.pipelines.for_ops(gpu, plan.ops.iter()).await?;
        let uniforms = Uniforms::new(gpu, &plan.ops);
        let place = uniforms.places().next().unwrap_or_default();
        let loaded = LoadedOp::new(gpu, &pipelines, &plan.ops[0], &uniforms, place, |view| match view.buffer {
            BufferId::Transient(i) | BufferId::Persistent(i) => &buffers[i],
        });
        Ok(Self { buffers, told, loaded })
    }

    /// Runs the operation so often; seconds until all is done.
    async fn run(&self, gpu: &Gpu, count: usize) -> Result<f64> {
        let begun = Instant::now();
        let mut encoder = gpu.device.create_command_encoder(&Default::default());
        {
            let mut pass = encoder.begin_compute_pass(&Default::default());
            (0..count).for_each(|_| self.loaded.dispatch(&mut pass));
        }
        gpu.submit([encoder.finish()]);
        gpu.idle().await?;
        Ok(begun.elapsed().as_secs_f64())
    }
}

impl Gpu {
    /// Keeps the device busy until what is measured next is measured at its full clock.
    pub(super) async fn warm(&self, op: Op) -> Result<()> {
        let scratch = Scratch::new(self, op).await?;
        let begun = Instant::now();
        let mut count = 1;
        while begun.elapsed().as_secs_f64() < WARM {
            scratch.run(self, count).await?;
            count = (2 * count).min(MOST);
        }
        Ok(())
    }

    /// Seconds of an operation on scratch memory.
    pub(super) async fn measured(&self, op: Op) -> Result<f64> {
        let scratch = Scratch::new(self, op).await?;
        scratch.run(self, 1).await?;
        let mut count = 1;
        while count < MOST && scratch.run(self, count).await? < LONG_ENOUGH {
            count *= 2;
        }
        let mut best = f64::INFINITY;
        for _ in 0..TRIES {
            best = best.min(scratch.run(self, count).await? / count as f64);
        }
        Ok(best)
    }

    /// Whether another kernel gives nearly the same: drivers were seen to return twice the result of matrix units.
    pub(super) async fn agrees(&self, op: &Op, candidate: &Op) -> Result<bool> {
        let (want, got) = (self.result(op.clone()).await?, self.result(candidate.clone()).await?);
        Ok(!want.is_empty()
            && want.iter().zip(&got).all(|(want, got)| {
                let largest = want.iter().fold(0f32, |largest, x| largest.max(x.abs()));
                largest > 0.0 && largest.is_finite() && want.iter().zip(got).all(|(a, b)| (a - b).abs() <= CLOSE * largest)
            }))
    }

    /// What an operation writes, given numbers that are some in any format.
    async fn result(&self, op: Op) -> Result<Vec<Vec<f32>>> {
        let written: Vec<View> = op.written().collect();
        let scratch = Scratch::new(self, op).await?;
        for (i, buffer) in scratch.buffers.iter().enumerate().filter(|(i, _)| !scratch.told[*i]) {
            let mut random = Random::new(i as u64);
            // Each half is 0.5 to 1 as f16; as bf16, and the whole as f32 or a scale, it is 3e-5 to 8e-3.
            let mut half = || 0x3800 + random.below(0x400) as u32 + ((random.below(2) as u32) << 15);
            let words: Vec<u32> = (0..buffer.size() / 4).map(|_| half() | half() << 16).collect();
            self.queue.write_buffer(buffer, 0, bytemuck::cast_slice(&words));
        }
        scratch.run(self, 1).await?;
        let mut numbers = Vec::new();
        for out in written {
            let BufferId::Transient(index) = out.buffer else { continue };
            let read = PendingRead::begin(self, &scratch.buffers[index], out.offset as u64 * 4, out.len as u64 * 4);
            numbers.push(read.arrive(self).await?.into_iter().map(f32::from_bits).collect());
        }
        Ok(numbers)
    }
}

#[cfg(test)]
mod tests {
    use crate::device::Device;
    use crate::device::plan::{BufferId, Op, View};
    use crate::kernels::Format;
    use crate::kernels::attention::Attention;
    use crate::kernels::matmul::{MatMul, Matrix, in_half};

    fn product(format: Format) -> Op {
        let (m, n, k) = (65, 127, 63);
        let view = |index: usize, len: usize| View { buffer: BufferId::Transient(index), offset: 0, len };
        let [a, b, c] = [view(0, m * k), view(1, format.words(n * k)), view(5, m * n)];
        let product = MatMul::new(m, n, k, Matrix::rows(a, k), Matrix::rows(b, k).transposed(), Matrix::rows(c, n));
        let mut op = MatMul { format, ..product }.op();
        in_half(&mut op);
        op
    }

    #[test]
    fn a_kernel_that_gives_something_else_is_not_trusted() {
        let Ok(Device::Gpu(gpu)) = Device::open("gpu") else {
            println!("skipped: no Vulkan driver");
            return;
        };
        for format in Format::ALL {
            let op = product(format);
            let agrees = |other: &Op| pollster::block_on(gpu.agrees(&op, other)).expect("it runs");
            let narrow = (op.kernel.others)(&op).into_iter().find(|o| o.kernel.name == "matmul_narrow").expect("another kernel");
            assert!(agrees(&narrow), "{format:?}");
            // alpha stands behind 15 words: twice the result.
            let mut twice = narrow.clone();
            assert_eq!(f32::from_bits(twice.params[15]), 1.0);
            twice.params[15] = 2f32.to_bits();
            assert!(!agrees(&twice), "{format:?}");
        }
    }

    /// Scores have to count in what attention is compared by.
    #[test]
    fn an_attention_that_scales_scores_by_something_else_is_not_trusted() {
        let Ok(Device::Gpu(gpu)) = Device::open("gpu") else {
            println!("skipped: no Vulkan driver");
            return;
        };
        let shape = Attention { rows: 1, queries: 64, keys: 64, heads: 2, kv_heads: 1, head_dim: 64, scale: 0.125 };
        let view = View { buffer: BufferId::Transient(0), offset: 0, len: 64 };
        for op in [
            shape.forward(view, view, view, view, view, view),
            shape.grad_q(view, view, view, view, view, view, view),
            shape.grad_kv(view, view, view, view, view, view, view, view),
        ] {
            let like = (op.kernel.like)(&op);
            let agrees = |other: &Op| pollster::block_on(gpu.agrees(&like, other)).expect("it runs");
            assert!(agrees(&like), "{}", op.kernel.name);
            // scale stands behind five words.
            let mut other = like.clone();
            assert_eq!(f32::from_bits(other.params[5]), 0.125);
            other.params[5] = 0.13f32.to_bits();
            assert!(!agrees(&other), "{}", op.kernel.name);
        }
    }
}
