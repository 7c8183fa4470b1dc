//! Every shader without a device: WebGPU's rules, its default limits, and the same bindings and parameters as its Rust file.

use diablo::device::{Access, Kernel, Needs};
use diablo::kernels::{ALL, cases};
use naga::proc::Layouter;
use naga::valid::{Capabilities, ValidationFlags, Validator};
use naga::{AddressSpace, Module, StorageAccess};
use std::collections::BTreeSet;
use std::path::Path;

fn parsed(kernel: &Kernel) -> Module {
    let text = kernel.wgsl();
    let module = naga::front::wgsl::parse_str(&text).unwrap_or_else(|e| panic!("{}.wgsl: {}", kernel.name, e.emit_to_string(&text)));
    // No capability beyond what every WebGPU implementation has: `unpack2x16float` is part of WGSL, and naga asks for this one
    // because some OpenGL drivers lack it.
    let mut capabilities = Capabilities::SHADER_FLOAT16_IN_FLOAT32;
    if kernel.needs != Needs::Nothing {
        capabilities |= Capabilities::SUBGROUP;
    }
    if kernel.needs == Needs::Matrices {
        capabilities |= Capabilities::SHADER_FLOAT16 | Capabilities::COOPERATIVE_MATRIX;
    }
    Validator::new(ValidationFlags::all(), capabilities)
        .validate(&module)
        .unwrap_or_else(|e| panic!("{}.wgsl: {}", kernel.name, e.emit_to_string(&text)));
    module
}

/// What naga makes of a shader for Vulkan, with every constant that its cases set.
#[test]
fn shaders_become_spirv() {
    let cases = cases::all();
    for kernel in ALL {
        let module = parsed(kernel);
        let info = Validator::new(ValidationFlags::all(), Capabilities::all()).validate(&module).expect("it was valid");
        let mut seen = BTreeSet::new();
        for case in cases.iter().filter(|c| c.kernel == kernel.name) {
            let constants = &case.plan.ops[0].constants;
            if !seen.insert(format!("{constants:?}")) {
                continue;
            }
            let constants = constants.iter().map(|(name, value)| ((*name).to_owned(), f64::from(*value))).collect();
            let (module, info) = naga::back::pipeline_constants::process_overrides(&module, &info, None, &constants)
                .unwrap_or_else(|e| panic!("{}.wgsl with {constants:?}: {e}", kernel.name));
            let options = naga::back::spv::Options { lang_version: (1, 4), ..Default::default() };
            let words = naga::back::spv::write_vec(&module, &info, &options, None)
                .unwrap_or_else(|e| panic!("{}.wgsl with {constants:?}: {e}", kernel.name));
            assert_eq!(words[0], 0x0723_0203, "{}.wgsl", kernel.name);
        }
        assert!(!seen.is_empty(), "{}.wgsl: no case", kernel.name);
    }
}

#[test]
fn shaders_stay_within_webgpu() {
    for kernel in ALL {
        let module = parsed(kernel);
        let mut layouter = Layouter::default();
        layouter.update(module.to_ctx()).expect("sizes are known");
        let globals = || module.global_variables.iter().map(|(_, g)| g);
        let storage = globals().filter(|g| matches!(g.space, AddressSpace::Storage { .. })).count();
        assert!(storage <= 8, "{}.wgsl: {storage} storage buffers, WebGPU promises 8", kernel.name);
        let shared: u32 = globals().filter(|g| g.space == AddressSpace::WorkGroup).map(|g| layouter[g.ty].size.next_multiple_of(16)).sum();
        // What needs matrix units asks for 32 KiB.
        let most = if kernel.needs == Needs::Matrices { 32 } else { 16 };
        assert!(shared <= most << 10, "{}.wgsl: {shared} bytes of workgroup memory, and {most} KiB are there", kernel.name);
        assert_eq!(module.entry_points.len(), 1, "{}.wgsl: one entry point", kernel.name);
        let entry = &module.entry_points[0];
        assert_eq!(entry.name, "main", "{}.wgsl", kernel.name);
        let threads: u32 = entry.workgroup_size.iter().product();
        assert!(threads <= 256, "{}.wgsl: {threads} invocations, WebGPU promises 256", kernel.name);
    }
}

#[test]
fn bindings_are_those_of_the_rust_file() {
    for kernel in ALL {
        let module = parsed(kernel);
        let mut seen = BTreeSet::new();
        for (_, global) in module.global_variables.iter() {
            let Some(binding) = &global.binding else { continue };
            let at = binding.binding as usize;
            assert_eq!(binding.group, 0, "{}.wgsl", kernel.name);
            assert!(seen.insert(at), "{}.wgsl: binding {at} twice", kernel.name);
            match global.space {
                AddressSpace::Uniform => assert_eq!(at, kernel.bindings.len(), "{}.wgsl: the uniform comes last", kernel.name),
                AddressSpace::Storage { access } => {
                    let writes = access.contains(StorageAccess::STORE);
                    assert_eq!(writes, kernel.bindings[at] == Access::Write, "{}.wgsl: access of binding {at}", kernel.name);
                }
                _ => panic!("{}.wgsl: binding {at} is neither storage nor uniform", kernel.name),
            }
        }
        assert_eq!(seen.len(), kernel.bindings.len() + 1, "{}.wgsl: bindings", kernel.name);
    }
}

#[test]
fn parameters_are_as_large_as_the_rust_struct() {
    let cases = cases::all();
    for kernel in ALL {
        let module = parsed(kernel);
        let mut layouter = Layouter::default();
        layouter.update(module.to_ctx()).expect("sizes are known");
        let uniform = module.global_variables.iter().find(|(_, g)| g.space == AddressSpace::Uniform).expect("a uniform").1;
        let op = &cases.iter().find(|c| c.kernel == kernel.name).expect("a case").plan.ops[0];
        assert_eq!(layouter[uniform.ty].size as usize, op.params.len() * 4, "{}.wgsl: bytes of Params", kernel.name);
        for (name, _) in &op.constants {
            let found = module.overrides.iter().any(|(_, o)| o.name.as_deref() == Some(*name));
            assert!(found, "{}.wgsl: no constant {name}", kernel.name);
        }
    }
}

#[test]
fn every_shader_has_its_rust_file() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut names = BTreeSet::new();
    for entry in std::fs::read_dir(root.join("shaders")).expect("shaders/") {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|e| e == "wgsl") {
            names.insert(path.file_stem().expect("a name").to_string_lossy().into_owned());
        }
    }
    // One text with two sizes of tiles.
    let known: BTreeSet<String> = ALL.iter().map(|k| if k.name == "matmul_wide" { "matmul" } else { k.name }.to_string()).collect();
    assert_eq!(names, known, "shaders/*.wgsl and kernels::ALL");
    for name in &names {
        assert!(root.join(format!("src/kernels/{name}.rs")).exists(), "src/kernels/{name}.rs");
    }
}
