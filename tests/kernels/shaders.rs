//! Every shader without a device: WebGPU's rules, its default limits, and the same bindings and parameters as its Rust file.

use diablo::device::{Access, Kernel, Needs};
use diablo::kernels::{ALL, cases};
use naga::proc::{BoundsCheckPolicies, BoundsCheckPolicy, Layouter};
use naga::valid::{Capabilities, ModuleInfo, ValidationFlags, Validator};
use naga::{AddressSpace, Module, ResourceBinding, ShaderStage, StorageAccess};
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

/// Calls `write` with each shader under each set of constants that a plan gives it, and says what did not come through.
fn with_constants(mut write: impl FnMut(&Kernel, &Module, &ModuleInfo) -> Result<(), String>) {
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
            // wgpu refuses what the shader does not have.
            for (name, _) in constants {
                let has = module.overrides.iter().any(|(_, o)| o.name.as_deref() == Some(name));
                assert!(has, "{}.wgsl has no constant {name}", kernel.name);
            }
            let constants = constants.iter().map(|(name, value)| ((*name).to_owned(), f64::from(*value))).collect();
            naga::back::pipeline_constants::process_overrides(&module, &info, None, &constants)
                .map_err(|e| e.to_string())
                .and_then(|(module, info)| write(kernel, &module, &info))
                .unwrap_or_else(|e| panic!("{}.wgsl with {constants:?}: {e}", kernel.name));
        }
        assert!(!seen.is_empty(), "{}.wgsl: no case", kernel.name);
    }
}

/// For Vulkan.
#[test]
fn shaders_become_spirv() {
    with_constants(|_, module, info| {
        let options = naga::back::spv::Options { lang_version: (1, 4), ..Default::default() };
        let words = naga::back::spv::write_vec(module, info, &options, None).map_err(|e| e.to_string())?;
        if words[0] == 0x0723_0203 { Ok(()) } else { Err("no SPIR-V".into()) }
    });
}

/// The buffers of a shader, by their bindings.
fn buffers(module: &Module) -> impl Iterator<Item = (ResourceBinding, bool)> {
    let written = |space: AddressSpace| matches!(space, AddressSpace::Storage { access } if access.contains(StorageAccess::STORE));
    module.global_variables.iter().filter_map(move |(_, g)| g.binding.map(|binding| (binding, written(g.space))))
}

/// For Metal, as wgpu asks for it: bounds kept, loops bounded, workgroup memory cleared.
#[test]
fn shaders_become_metal() {
    use naga::back::msl::{BindTarget, EntryPointResources, Options, PipelineOptions, write_string};
    with_constants(|kernel, module, info| {
        let target = |(i, (binding, mutable))| (binding, BindTarget { buffer: Some(i as u8), mutable, ..BindTarget::default() });
        let resources = buffers(module).enumerate().map(target).collect();
        let resources = EntryPointResources { resources, immediates_buffer: None, sizes_buffer: Some(30) };
        let checks = BoundsCheckPolicies { index: BoundsCheckPolicy::Restrict, buffer: BoundsCheckPolicy::Restrict, ..Default::default() };
        let options = Options {
            // macOS 11 and later; matrix units came with 2.3, subgroups with 2.1.
            lang_version: if kernel.needs == Needs::Matrices { (2, 3) } else { (2, 1) },
            per_entry_point_map: [("main".to_owned(), resources)].into(),
            bounds_check_policies: checks,
            fake_missing_bindings: false,
            ..Options::default()
        };
        let pipeline = PipelineOptions { entry_point: Some((ShaderStage::Compute, "main".into())), ..PipelineOptions::default() };
        let (text, told) = write_string(module, info, &options, &pipeline).map_err(|e| e.to_string())?;
        for entry in &told.entry_point_names {
            entry.as_ref().map_err(|e| e.to_string())?;
        }
        if text.contains("kernel void") { Ok(()) } else { Err("no kernel".into()) }
    });
}

/// For DX12: by FXC, which every Windows has (shader model 5.1), and by DXC where subgroups are asked for. wgpu has no matrix units there.
#[test]
fn shaders_become_hlsl() {
    use naga::back::hlsl::{BindTarget, Options, PipelineOptions, ShaderModel, Writer};
    with_constants(|kernel, module, info| {
        let shader_model = match kernel.needs {
            Needs::Matrices => return Ok(()),
            Needs::Nothing => ShaderModel::V5_1,
            _ => ShaderModel::V6_0,
        };
        let target = |(i, (binding, _))| (binding, BindTarget { register: i as u32, restrict_indexing: true, ..BindTarget::default() });
        let options = Options {
            shader_model,
            binding_map: buffers(module).enumerate().map(target).collect(),
            fake_missing_bindings: false,
            special_constants_binding: Some(BindTarget { space: 1, ..BindTarget::default() }),
            ..Options::default()
        };
        let mut text = String::new();
        let told = Writer::new(&mut text, &options, &PipelineOptions::default()).write(module, info, None).map_err(|e| e.to_string())?;
        for entry in &told.entry_point_names {
            entry.as_ref().map_err(|e| e.to_string())?;
        }
        // FXC takes no component of a vector that is written at an index known only later (its X3500).
        if let Some(line) = text.lines().find(|line| line.contains(", 3u)] = ")) {
            return Err(format!("a vector is written at an index: {line}"));
        }
        if text.contains("[numthreads(") { Ok(()) } else { Err("no kernel".into()) }
    });
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
        // What needs matrix units asks for 48 KiB and 512 invocations.
        let (most, invocations) = if kernel.needs == Needs::Matrices { (48, 512) } else { (16, 256) };
        assert!(shared <= most << 10, "{}.wgsl: {shared} bytes of workgroup memory, and {most} KiB are there", kernel.name);
        assert_eq!(module.entry_points.len(), 1, "{}.wgsl: one entry point", kernel.name);
        let entry = &module.entry_points[0];
        assert_eq!(entry.name, "main", "{}.wgsl", kernel.name);
        let threads: u32 = entry.workgroup_size.iter().product();
        assert!(threads <= invocations, "{}.wgsl: {threads} invocations, and {invocations} are there", kernel.name);
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
    let known: BTreeSet<String> = ALL.iter().map(|k| k.name.to_string()).collect();
    assert_eq!(names, known, "shaders/*.wgsl and kernels::ALL");
    for name in &names {
        assert!(root.join(format!("src/kernels/{name}.rs")).exists(), "src/kernels/{name}.rs");
    }
}
