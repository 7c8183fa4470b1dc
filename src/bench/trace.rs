//! A step's operations as a trace that Perfetto and Chrome's tracing page open: the Trace Event Format, complete events.

use crate::device::OpTime;
use serde_json::{Value, json};

/// The trace of one step. Times are microseconds.
pub fn trace(device: &str, step: &str, times: &[OpTime]) -> Value {
    let named = |name: &str, tid: u32, text: &str| json!({ "ph": "M", "pid": 1, "tid": tid, "name": name, "args": { "name": text } });
    let mut events = vec![named("process_name", 0, device), named("thread_name", 1, step)];
    events.extend(times.iter().map(|t| {
        let gflops = if t.seconds > 0.0 { t.flops as f64 / t.seconds / 1e9 } else { 0.0 };
        json!({
            "ph": "X", "pid": 1, "tid": 1, "name": t.kernel, "cat": "kernel", "ts": t.begin * 1e6, "dur": t.seconds * 1e6,
            "args": { "flops": t.flops, "GFLOP/s": gflops },
        })
    }));
    json!({ "displayTimeUnit": "ms", "traceEvents": events })
}

/// Times of all operations of a kernel together.
#[derive(Clone, Debug, PartialEq)]
pub struct KernelTime {
    /// Its name.
    pub kernel: &'static str,
    /// How often it ran.
    pub calls: usize,
    /// Seconds in all.
    pub seconds: f64,
    /// Floating-point operations in all.
    pub flops: u64,
}

/// By kernel, the one that took longest first.
pub fn by_kernel(times: &[OpTime]) -> Vec<KernelTime> {
    let mut kernels: Vec<KernelTime> = Vec::new();
    for t in times {
        match kernels.iter_mut().find(|k| k.kernel == t.kernel) {
            Some(k) => (k.calls, k.seconds, k.flops) = (k.calls + 1, k.seconds + t.seconds, k.flops + t.flops),
            None => kernels.push(KernelTime { kernel: t.kernel, calls: 1, seconds: t.seconds, flops: t.flops }),
        }
    }
    kernels.sort_by(|a, b| b.seconds.total_cmp(&a.seconds));
    kernels
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMES: [OpTime; 3] = [
        OpTime { kernel: "glu", begin: 0.0, seconds: 0.001, flops: 10 },
        OpTime { kernel: "matmul", begin: 0.001, seconds: 0.002, flops: 4_000_000 },
        OpTime { kernel: "glu", begin: 0.003, seconds: 0.0005, flops: 10 },
    ];

    #[test]
    fn kernels_are_summed_and_sorted() {
        let kernels = by_kernel(&TIMES);
        assert_eq!(kernels.iter().map(|k| (k.kernel, k.calls, k.flops)).collect::<Vec<_>>(), [("matmul", 1, 4_000_000), ("glu", 2, 20)]);
        assert!((kernels[1].seconds - 0.0015).abs() < 1e-12);
    }

    #[test]
    fn a_trace_has_an_event_for_each_operation() {
        let trace = trace("CPU", "step", &TIMES);
        let events = trace["traceEvents"].as_array().expect("events");
        let complete: Vec<&Value> = events.iter().filter(|e| e["ph"] == "X").collect();
        assert_eq!(complete.len(), 3);
        assert_eq!((complete[1]["ts"].as_f64(), complete[1]["dur"].as_f64()), (Some(1000.0), Some(2000.0)));
        assert_eq!(complete[1]["args"]["GFLOP/s"].as_f64(), Some(2.0));
    }
}
