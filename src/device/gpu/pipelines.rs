//! Compiled pipelines, one for each kernel and set of constants, shared by all plans of a device.

use super::super::kernel::{Access, Kernel};
use super::super::plan::Op;
use super::adapters::Gpu;
use crate::error::{Error, Result};
#[cfg(not(target_arch = "wasm32"))]
use rayon::prelude::*;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Kernel and constants.
pub(super) type Key = (&'static str, Vec<(&'static str, u32)>);

/// A pipeline with the layout of its bindings.
pub(super) struct Compiled {
    pub pipeline: wgpu::ComputePipeline,
    pub bindings: wgpu::BindGroupLayout,
}

/// The pipelines made so far.
#[derive(Default)]
pub(super) struct Pipelines {
    made: Mutex<HashMap<Key, Arc<Compiled>>>,
    #[cfg(not(target_arch = "wasm32"))]
    kept: std::sync::OnceLock<Option<super::kept::PipelineCache>>,
}

pub(super) fn key(op: &Op) -> Key {
    (op.kernel.name, op.constants.clone())
}

impl Pipelines {
    /// The pipelines of these operations; those not made yet are compiled in parallel.
    pub async fn for_ops<'a>(&self, gpu: &Gpu, ops: impl Iterator<Item = &'a Op>) -> Result<HashMap<Key, Arc<Compiled>>> {
        let mut wanted: HashMap<Key, &'static Kernel> = HashMap::new();
        for op in ops {
            wanted.entry(key(op)).or_insert(op.kernel);
        }
        let missing = {
            let made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
            wanted.iter().filter(|(k, _)| !made.contains_key(*k)).collect()
        };
        let fresh = compile_all(gpu, missing).await;
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let mut refused = Ok(());
        for (key, compiled) in fresh {
            match compiled {
                Ok(compiled) => drop(made.insert(key, Arc::new(compiled))),
                Err(error) => refused = Err(error),
            }
        }
        refused?;
        Ok(wanted.into_keys().map(|k| (k.clone(), made[&k].clone())).collect())
    }

    #[cfg(not(target_arch = "wasm32"))]
    fn cache(&self, gpu: &Gpu) -> Option<&wgpu::PipelineCache> {
        self.kept.get_or_init(|| super::kept::PipelineCache::open(gpu)).as_ref().map(super::kept::PipelineCache::get)
    }

    /// A browser keeps what it compiled by itself.
    #[cfg(target_arch = "wasm32")]
    fn cache(&self, _: &Gpu) -> Option<&wgpu::PipelineCache> {
        None
    }
}

#[cfg(not(target_arch = "wasm32"))]
async fn compile_all(gpu: &Gpu, wanted: Vec<(&Key, &&'static Kernel)>) -> Vec<(Key, Result<Compiled>)> {
    let one = |(key, kernel): (&Key, &&'static Kernel)| (key.clone(), pollster::block_on(compile(gpu, kernel, &key.1)));
    wanted.into_par_iter().map(one).collect()
}

/// The browser compiles on threads of its own.
#[cfg(target_arch = "wasm32")]
async fn compile_all(gpu: &Gpu, wanted: Vec<(&Key, &&'static Kernel)>) -> Vec<(Key, Result<Compiled>)> {
    let mut made = Vec::with_capacity(wanted.len());
    for (key, kernel) in wanted {
        made.push((key.clone(), compile(gpu, kernel, &key.1).await));
    }
    made
}

fn module(gpu: &Gpu, kernel: &'static Kernel) -> wgpu::ShaderModule {
    let source = wgpu::ShaderSource::Wgsl(kernel.wgsl().into());
    let descriptor = wgpu::ShaderModuleDescriptor { label: Some(kernel.name), source };
    // A browser checks for itself; a software driver gains nothing, and takes long to compile loops that it can unroll.
    if cfg!(target_arch = "wasm32") || gpu.report().is_software() {
        return gpu.device.create_shader_module(descriptor);
    }
    // Without what wgpu adds for shaders of strangers, limits of indices and counters in loops: a third of a step's time on an H100.
    // SAFETY: the shaders are the program's own. They index by sizes that the plan was laid out with, and check what comes from data
    // (token ids, targets) against them; their loops end; what they divide by is not zero. `diablo check` and the tests run each over odd
    // sizes, with numbers behind its outputs that it must leave alone.
    unsafe { gpu.device.create_shader_module_trusted(descriptor, wgpu::ShaderRuntimeChecks::unchecked()) }
}

async fn compile(gpu: &Gpu, kernel: &'static Kernel, constants: &[(&'static str, u32)]) -> Result<Compiled> {
    let device = &gpu.device;
    let scope = device.push_error_scope(wgpu::ErrorFilter::Validation);
    let within = device.push_error_scope(wgpu::ErrorFilter::Internal);
    let module = module(gpu, kernel);
    let entry = |binding: usize, ty: wgpu::BufferBindingType| wgpu::BindGroupLayoutEntry {
        binding: binding as u32,
        visibility: wgpu::ShaderStages::COMPUTE,
        ty: wgpu::BindingType::Buffer { ty, has_dynamic_offset: false, min_binding_size: None },
        count: None,
    };
    let mut entries: Vec<_> = (kernel.bindings.iter().enumerate())
        .map(|(i, access)| entry(i, wgpu::BufferBindingType::Storage { read_only: *access == Access::Read }))
        .collect();
    entries.push(entry(kernel.bindings.len(), wgpu::BufferBindingType::Uniform));
    let bindings = device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label: Some(kernel.name), entries: &entries });
    let layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
        label: Some(kernel.name),
        bind_group_layouts: &[Some(&bindings)],
        immediate_size: 0,
    });
    let constants: Vec<(&str, f64)> = constants.iter().map(|(n, v)| (*n, f64::from(*v))).collect();
    let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label: Some(kernel.name),
        layout: Some(&layout),
        module: &module,
        entry_point: Some("main"),
        // Every shader writes its workgroup memory before it reads it.
        compilation_options: wgpu::PipelineCompilationOptions { constants: &constants, zero_initialize_workgroup_memory: false },
        cache: gpu.pipelines.cache(gpu),
    });
    let failed = within.pop().await;
    match failed.or(scope.pop().await) {
        None => Ok(Compiled { pipeline, bindings }),
        Some(error) => Err(Error::device(
            format!("{}: shader {}.wgsl was refused: {error}", gpu.name(), kernel.name),
            "this is a fault of the program or the driver: please report it with the output of `diablo devices`; --device cpu works \
             meanwhile",
        )),
    }
}
