//! From a run's options to what is laid out: the adapter, and the shape of its plans.

use super::config::{Init, Method, MixedPrecision, RunConfig};
use super::program::{Program, Shape};
use crate::adapter::{AdapterFile, Kind, Spec, choose};
use crate::device::{Category, Device, Limits, human_bytes};
use crate::error::{Error, Result};
use crate::kernels::Format;
use crate::kernels::adamw::AdamW;
use crate::model::{ModelConfig, modules};
use std::collections::HashMap;

/// The adapter that the options ask for; with `--init-adapter` the one in that folder, whose numbers come with it.
///
/// # Errors
/// Where a layer does not divide, or the folder's adapter is of another method.
pub fn adapter(run: &RunConfig, config: &ModelConfig) -> Result<(Spec, Option<AdapterFile>)> {
    let dropout = run.adapter_dropout as f32;
    if let Some(folder) = &run.init_adapter {
        let mut file = AdapterFile::open(folder, config)?;
        let method = if matches!(file.spec.kind, Kind::Lora { .. }) { Method::Lora } else { Method::Diablo };
        if method != run.method {
            return Err(Error::usage(
                format!("--init-adapter {} is of another method than --method asks for", folder.display()),
                format!("use --method {}", if method == Method::Lora { "lora" } else { "diablo" }),
            ));
        }
        file.spec.dropout = dropout;
        if let Kind::Lora { b_rate, dora, .. } = &mut file.spec.kind {
            *b_rate = run.lora_plus_ratio as f32;
            if *dora && dropout > 0.0 {
                return Err(Error::usage("--adapter-dropout: the adapter is DoRA's, which has none here", "leave --adapter-dropout out"));
            }
        }
        return Ok((file.spec.clone(), Some(file)));
    }
    let targets = targets(run, config)?;
    let spec = match run.method {
        Method::Full => Spec::full(),
        Method::Lora => {
            let (rank, alpha, rslora, dora) = (run.rank, run.alpha, run.rslora, run.dora);
            let kind = Kind::Lora { rank, alpha, rslora, dora, pissa: run.init == Init::Pissa, b_rate: run.lora_plus_ratio as f32 };
            Spec { kind, targets, dropout }
        }
        Method::Diablo => {
            let asked = |module: &str| run.blocks.as_ref().and_then(|b| b.get(module));
            choose::diablo(config, &targets, asked, run.pad_blocks, dropout)?
        }
    };
    Ok((spec, None))
}

/// The name of one of LoRA's variants.
pub fn variant(pissa: bool, dora: bool, rslora: bool) -> &'static str {
    match (pissa, dora, rslora) {
        (true, ..) => "pissa",
        (_, true, _) => "dora",
        (_, _, true) => "rslora",
        _ => "lora",
    }
}

/// The model's linear layers that `--targets` means; see [`modules::means`].
///
/// # Errors
/// Where a name is no layer of this model, or a part of one.
pub fn targets(run: &RunConfig, config: &ModelConfig) -> Result<Vec<&'static str>> {
    let all = config.modules();
    let targets: Vec<&'static str> = all.iter().copied().filter(|m| modules::means(&run.targets, m)).collect();
    let covered =
        |name: &String| targets.iter().any(|m| m == name || modules::short(m) == name || modules::parts(m).iter().any(|part| part == name));
    match run.targets.iter().find(|name| !covered(name)) {
        None => Ok(targets),
        Some(name) => {
            let whole = all.iter().find(|m| modules::parts(m).iter().any(|part| part == name));
            let part = whole.map(|whole| format!("; it is a part of {whole}")).unwrap_or_default();
            let hint = format!("its linear layers: {}", all.join(", "));
            Err(Error::usage(format!("--targets: this model has no layer {name}{part}"), hint))
        }
    }
}

/// The method with its size, for people: `diablo, 8 blocks`.
pub fn describe(spec: &Spec) -> String {
    match &spec.kind {
        Kind::None => "no adapter".into(),
        Kind::Full => "full".into(),
        Kind::Lora { rank, alpha, rslora, dora, pissa, b_rate } => {
            let name = variant(*pissa, *dora, *rslora);
            let root = if *rslora && name != "rslora" { ", by the root of the rank" } else { "" };
            let plus = if *b_rate == 1.0 { String::new() } else { format!(", B {b_rate} times the rate") };
            format!("{name}, rank {rank}, alpha {alpha}{root}{plus}")
        }
        Kind::Diablo { blocks, .. } => {
            let mut numbers: Vec<usize> = blocks.values().copied().collect();
            numbers.dedup();
            match numbers[..] {
                [n] => format!("diablo, {n} blocks"),
                _ => format!("diablo, {}", blocks.iter().map(|(m, n)| format!("{m}={n}")).collect::<Vec<_>>().join(" ")),
            }
        }
    }
}

/// The shape of a run's plans.
pub fn shape(run: &RunConfig, buckets: Vec<usize>, writes: usize) -> Shape {
    Shape {
        batch_size: run.batch_size,
        buckets,
        trains: true,
        recompute: run.gradient_checkpointing.unwrap_or(false),
        activations: run.activations,
        half: run.mixed_precision == MixedPrecision::Fp16,
        adamw: AdamW {
            beta1: run.beta1 as f32,
            beta2: run.beta2 as f32,
            eps: run.eps as f32,
            weight_decay: run.weight_decay as f32,
            rate: 1.0,
        },
        max_grad_norm: run.max_grad_norm as f32,
        writes,
    }
}

/// Memory that this machine can give, where the system tells.
#[cfg(not(target_arch = "wasm32"))]
pub fn available_memory() -> Option<u64> {
    let text = String::from_utf8(crate::files::read(std::path::Path::new("/proc/meminfo")).ok()?).ok()?;
    let line = text.lines().find(|l| l.starts_with("MemAvailable:"))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok()?.checked_mul(1024)
}

/// What is left of the 4 GiB that 32 bits can address. The browser may refuse earlier; it does not say when.
#[cfg(target_arch = "wasm32")]
pub fn available_memory() -> Option<u64> {
    const PAGE: u64 = 65_536;
    Some((1 << 32) - std::arch::wasm32::memory_size(0) as u64 * PAGE)
}

/// Memory that a device can give, where that is told.
pub fn free_on(device: &Device) -> Option<u64> {
    match device {
        Device::Cpu => available_memory(),
        Device::Gpu(gpu) => gpu.free_memory(),
    }
}

/// How much memory there is for a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Bytes.
    pub bytes: u64,
    /// Whether the run's own `memory` sets them; the machine does otherwise.
    pub given: bool,
}

impl Room {
    /// The room of a run: what it may take, or the `free` bytes of its device where those are known and fewer.
    pub fn of(run: &RunConfig, free: Option<u64>) -> Option<Self> {
        let given = run.memory.as_ref().map(|m| Self { bytes: m.bytes(), given: true });
        let free = free.map(|bytes| Self { bytes, given: false });
        given.into_iter().chain(free).min_by_key(|room| room.bytes)
    }

    /// Whether a run that takes more is refused. What a GPU's driver tells binds nobody: other programs may make room, and asking for the
    /// memory shows whether it is there.
    pub fn binds(&self, device: &Device) -> bool {
        self.given || device.is_cpu()
    }
}

impl std::fmt::Display for Room {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let bytes = human_bytes(self.bytes);
        if self.given { write!(f, "--memory allows {bytes}") } else { write!(f, "{bytes} are free") }
    }
}

/// Lays a run out. Where it leaves open whether activations are recomputed, and keeping them does not fit into `room`, `shape` is made
/// to recompute them; what is said then is the second value.
///
/// # Errors
/// Where a layer cannot be divided as the spec asks.
pub fn program(
    run: &RunConfig,
    config: &ModelConfig,
    formats: &HashMap<String, Format>,
    spec: &Spec,
    shape: &mut Shape,
    limits: Limits,
    room: Option<Room>,
) -> Result<(Program, Option<String>)> {
    let kept = Program::new(config, formats, spec, shape, limits)?;
    let Some(room) = room.filter(|room| run.gradient_checkpointing.is_none() && kept.estimate().total() > room.bytes) else {
        return Ok((kept, None));
    };
    let lighter = Shape { recompute: true, ..shape.clone() };
    let recomputing = Program::new(config, formats, spec, &lighter, limits)?;
    if recomputing.estimate().total() > room.bytes {
        return Ok((kept, None));
    }
    *shape = lighter;
    let whole = human_bytes(kept.estimate().total());
    Ok((recomputing, Some(format!("activations are recomputed: keeping them takes {whole}, and {room}"))))
}

/// Refuses a program that does not fit into `room`, and says what would fit. `run` is the run that it trains; a program that only scores has
/// none, and its `--batch-size` changes no result.
///
/// # Errors
/// [`Error::Device`] with the memory asked for, and the nearest options that fit.
pub fn check_fit(
    program: &Program,
    room: Option<Room>,
    config: &ModelConfig,
    formats: &HashMap<String, Format>,
    spec: &Spec,
    shape: &Shape,
    limits: Limits,
    run: Option<&RunConfig>,
) -> Result<()> {
    let (needed, Some(room)) = (program.estimate(), room) else { return Ok(()) };
    if needed.total() <= room.bytes {
        return Ok(());
    }
    let fits = |shape: &Shape| -> Option<u64> {
        let total = Program::new(config, formats, spec, shape, limits).ok()?.estimate().total();
        (total <= room.bytes).then_some(total)
    };
    let accumulate = run.map_or(1, |run| run.accumulate);
    let mut tries = super::estimate::less(shape, accumulate);
    // Recomputation and accumulation are for training alone.
    tries.retain(|s| run.is_some() || !s.recompute);
    let options = |s: &Shape| {
        let mut options = Vec::new();
        if s.batch_size != shape.batch_size {
            options.push(format!("--batch-size {}", s.batch_size));
            if run.is_some() {
                options.push(format!("--accumulate {}", accumulate * shape.batch_size / s.batch_size));
            }
        }
        if s.recompute && !shape.recompute {
            match run.and_then(|run| run.gradient_checkpointing) {
                Some(false) if options.is_empty() => options.push("leaving --gradient-checkpointing=false out".into()),
                Some(false) => options.push("without --gradient-checkpointing=false".into()),
                _ => options.push("--gradient-checkpointing".into()),
            }
        }
        options.join(" ")
    };
    let hint = match tries.iter().find_map(|s| fits(s).map(|total| (s, total))) {
        Some((s, total)) => format!("{} takes {}", options(s), human_bytes(total)),
        None => format!(
            "nothing smaller fits: the weights alone take {}; use a smaller model or --seq-len",
            human_bytes(needed.get(Category::Weights) + needed.get(Category::Adapter))
        ),
    };
    Err(Error::device(format!("the run takes {}, and {room}", human_bytes(needed.total())), hint))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_driver_tells_binds_nobody() {
        let run = RunConfig { memory: "1GiB".parse().ok(), ..RunConfig::default() };
        let room = |run: &RunConfig, free| Room::of(run, free).expect("known");
        let allowed = room(&run, Some(8 << 30));
        assert_eq!((allowed.bytes, allowed.given), (1 << 30, true));
        let free = room(&run, Some(1 << 20));
        assert_eq!((free.bytes, free.given), (1 << 20, false));
        assert!(free.binds(&Device::Cpu));
        if let Ok(gpu) = Device::open("gpu") {
            assert!(allowed.binds(&gpu) && !free.binds(&gpu));
        } else {
            println!("skipped in part: no Vulkan driver");
        }
    }
}
