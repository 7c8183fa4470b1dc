//! Each dispatch of a plan timed by the device's own clock.

use super::super::OpTime;
use super::adapters::Gpu;
use super::session::{LoadedOp, in_time};
use crate::error::{Error, Result};

/// Dispatches of one submit: two queries each, and WebGPU allows 4096 in a set.
const AT_ONCE: usize = 512;

/// Runs operations one after the other, each in a pass of its own, which takes longer than a plan's own run, so many flops in a submit.
pub(super) fn timed(gpu: &Gpu, ops: &[&LoadedOp], budget: u64) -> Result<Vec<OpTime>> {
    if !gpu.device.features().contains(wgpu::Features::TIMESTAMP_QUERY) {
        return Err(Error::device(format!("{} has no clock for its own work", gpu.name()), "profile on another --device, such as cpu"));
    }
    let period = f64::from(gpu.queue.get_timestamp_period()) * 1e-9;
    let mut times = Vec::with_capacity(ops.len());
    let mut start = None;
    for (part, _) in in_time(ops, budget, AT_ONCE) {
        for (op, [from, to]) in part.iter().zip(ticks(gpu, part)?) {
            let start = *start.get_or_insert(from);
            let seconds = |ticks: u64| ticks as f64 * period;
            times.push(OpTime {
                kernel: op.kernel,
                begin: seconds(from.saturating_sub(start)),
                seconds: seconds(to.saturating_sub(from)),
                flops: op.flops,
            });
        }
    }
    Ok(times)
}

/// The clock before and after each operation.
fn ticks(gpu: &Gpu, ops: &[&LoadedOp]) -> Result<Vec<[u64; 2]>> {
    let count = 2 * ops.len() as u32;
    let bytes = u64::from(count) * 8;
    let queries = gpu.device.create_query_set(&wgpu::QuerySetDescriptor { label: Some("times"), ty: wgpu::QueryType::Timestamp, count });
    let buffer =
        |usage| gpu.device.create_buffer(&wgpu::BufferDescriptor { label: Some("times"), size: bytes, usage, mapped_at_creation: false });
    let resolved = buffer(wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC);
    let staging = buffer(wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST);
    let mut encoder = gpu.device.create_command_encoder(&Default::default());
    for (i, op) in (0u32..).zip(ops) {
        let writes = wgpu::ComputePassTimestampWrites {
            query_set: &queries,
            beginning_of_pass_write_index: Some(2 * i),
            end_of_pass_write_index: Some(2 * i + 1),
        };
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor { label: Some(op.kernel), timestamp_writes: Some(writes) });
        op.dispatch(&mut pass);
    }
    encoder.resolve_query_set(&queries, 0..count, &resolved, 0);
    encoder.copy_buffer_to_buffer(&resolved, 0, &staging, 0, bytes);
    let submission = gpu.submit([encoder.finish()]);
    staging.map_async(wgpu::MapMode::Read, .., |_| ());
    gpu.wait(Some(&submission))?;
    let broken = |cause: &dyn std::fmt::Display| Error::device(format!("{}: its times could not be read: {cause}", gpu.name()), "");
    let range = staging.get_mapped_range(..).map_err(|e| broken(&e))?;
    let words: Vec<u64> = bytemuck::pod_collect_to_vec(&range);
    Ok(words.chunks_exact(2).map(|pair| [pair[0], pair[1]]).collect())
}
