//! `diablo bench step`

use super::{Args, Report, Row};
use crate::adapter::Spec;
use crate::bench::trace::{by_kernel, trace};
use crate::bench::{LoadedStep, StepCase, StepTimes, measure, products, shapes};
use crate::cli::output::{grouped, table};
use crate::device::{Device, human_bytes};
use crate::error::Result;
use crate::files::atomic_write_bytes;
use crate::model::Activations;
use crate::train::resolve::describe;
use serde_json::{Map, Value, json};

struct Named {
    shape: String,
    method: String,
    case: StepCase,
}

fn cases(args: &Args) -> Result<Vec<Named>> {
    if let Some(shape) = &args.shape {
        let config = shapes::named(shape)?;
        let spec = args.spec(&config)?;
        return Ok(vec![Named { shape: shape.clone(), method: describe(&spec), case: args.case(config, spec) }]);
    }
    let small = shapes::named("tinystories-656k")?;
    let spec = args.diablo(&small)?;
    let step = StepCase {
        weights: None,
        recompute: false,
        activations: Activations::F32,
        half: false,
        rows: 8,
        seq: 128,
        ..args.case(small, spec)
    };
    let large = shapes::named("smollm2-135m")?;
    let all = StepCase { config: large, spec: Spec::full(), rows: 1, update: false, ..step.clone() };
    Ok(vec![
        Named { shape: "tinystories-656k".into(), method: describe(&step.spec), case: step },
        Named { shape: "smollm2-135m".into(), method: "all gradients, no update".into(), case: all },
    ])
}

pub fn run(args: &Args, device: &Device) -> Result<Report> {
    let cases = cases(args)?;
    let peak = products::peak(device)?;
    let mut report = Report {
        key: "steps",
        headings: vec![
            "shape",
            "method",
            "tokens",
            "best ms",
            "median ms",
            "tokens/s (best)",
            "GFLOP/s",
            "of peak",
            "first step ms",
            "memory",
            "estimated",
            "dispatches",
        ],
        rows: Vec::new(),
        notes: vec![format!("peak: {:.1} GFLOP/s, what a large square product reaches on this device", peak / 1e9)],
        more: Map::from_iter([("peak_flops_per_second".to_owned(), json!(peak))]),
    };
    // The last one: a trace holds one step.
    let mut traced = None;
    for Named { shape, method, case } in cases {
        let times = measure(device, &case, 5, args.time())?;
        report.rows.push(row(&shape, &method, &case, &times, peak));
        if args.profile || args.trace.is_some() {
            let name = format!("{shape}, {method}");
            traced = Some(profile(device, &case, &times, &name, args.profile.then_some(&mut report))?);
        }
    }
    if let (Some(path), Some(last)) = (&args.trace, traced) {
        atomic_write_bytes(path, last.to_string().as_bytes())?;
        report.notes.push(format!("trace: {} (open it with ui.perfetto.dev or chrome://tracing)", path.display()));
    }
    Ok(report)
}

fn row(shape: &str, method: &str, case: &StepCase, times: &StepTimes, peak: f64) -> Row {
    let (best, median) = (times.best(), times.median());
    let (rate, speed) = (times.tokens as f64 / best, times.flops as f64 / best);
    let cells = vec![
        shape.to_owned(),
        method.to_owned(),
        format!("{} x {}", case.rows, case.seq),
        format!("{:.1}", best * 1e3),
        format!("{:.1}", median * 1e3),
        grouped(rate as u64),
        format!("{:.1}", speed / 1e9),
        format!("{:.0}%", 100.0 * speed / peak),
        format!("{:.0}", times.first_step * 1e3),
        human_bytes(times.memory),
        human_bytes(times.estimate),
        times.dispatches.to_string(),
    ];
    let json = json!({
        "best_seconds": best, "median_seconds": median, "tokens": times.tokens, "tokens_per_second": rate, "flops": times.flops,
        "flops_per_second": speed, "first_step_seconds": times.first_step, "memory": times.memory, "estimate": times.estimate,
        "dispatches": times.dispatches,
    });
    Row { name: format!("{shape}, {method}"), rate, cells, json: json.as_object().cloned().unwrap_or_default() }
}

/// Times a step's operations; the table goes to `report`, the trace comes back.
fn profile(device: &Device, case: &StepCase, times: &StepTimes, name: &str, report: Option<&mut Report>) -> Result<Value> {
    let mut loaded = LoadedStep::new(device, case)?;
    loaded.step()?;
    loaded.profile()?;
    let ops = loaded.profile()?;
    if let Some(report) = report {
        let kernels = by_kernel(&ops);
        let all: f64 = kernels.iter().map(|k| k.seconds).sum();
        let mut lines = vec![["kernel", "calls", "ms", "share", "GFLOP/s"].map(String::from).to_vec()];
        lines.extend(kernels.iter().map(|k| {
            vec![
                k.kernel.to_owned(),
                k.calls.to_string(),
                format!("{:.2}", k.seconds * 1e3),
                format!("{:.1}%", 100.0 * k.seconds / all),
                format!("{:.1}", k.flops as f64 / k.seconds.max(1e-9) / 1e9),
            ]
        }));
        let sum = format!("{:.1} ms by kernel, {:.1} ms a whole step at best", all * 1e3, times.best() * 1e3);
        report.notes.push(format!("\n{name}: {sum}\n\n{}", table(&lines)));
        let kernel =
            |k: &crate::bench::trace::KernelTime| json!({ "kernel": k.kernel, "calls": k.calls, "seconds": k.seconds, "flops": k.flops });
        let profiles = report.more.entry("profiles").or_insert_with(|| json!({}));
        profiles[name] = kernels.iter().map(kernel).collect();
    }
    Ok(trace(&device.name(), name, &ops))
}
