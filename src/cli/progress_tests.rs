//! The three looks, read back.

use super::*;
use std::sync::{Arc, Mutex};

#[derive(Clone, Default)]
struct Page(Arc<Mutex<Vec<u8>>>);

impl Write for Page {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("a page").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn step(step: u64) -> Event {
    Event::Step(StepMetrics {
        step,
        loss: 3.21449,
        grad_norm: 0.9114,
        lr: 1e-3,
        tokens: 1024,
        tokens_per_second: 18_900.0,
        ..StepMetrics::default()
    })
}

fn events() -> Vec<Event> {
    let summary = Summary {
        device: "CPU, 2 threads".into(),
        model: "tiny (llama)".into(),
        method: "diablo, 8 blocks".into(),
        trainable: 49_152,
        parameters: 656_000,
        steps: 300,
        rows: 1000,
        eval_rows: 100,
        memory: 64 << 20,
        out: "runs/a".into(),
        ..Summary::default()
    };
    let mut out: Vec<Event> = (0..=4).map(|i| Event::Loading { what: "weights".into(), done: i << 20, total: 4 << 20 }).collect();
    out.extend([1, 500, 1000].map(|done| Event::Tokenizing { done, total: 1000 }));
    out.extend([Event::note("3 rows were cut"), Event::warning("odd"), Event::Started(summary)]);
    out.extend((1..=300).map(step));
    out.push(Event::Eval { step: 300, loss: 2.5, perplexity: 12.1825, best: true });
    out.push(Event::Checkpoint { step: 300, path: "runs/a/checkpoints/step-00000300".into() });
    out.push(Event::Finished { steps: 300, best_eval_loss: Some(2.5), seconds: 75.0, path: "runs/a".into(), interrupted: false });
    out
}

fn shown(look: Look, every: Duration) -> Vec<String> {
    let page = Page::default();
    let mut reporter = Reporter::with_output(look, Box::new(page.clone())).every(every);
    events().iter().for_each(|e| reporter.report(e));
    drop(reporter);
    let bytes = page.0.lock().expect("a page").clone();
    String::from_utf8(bytes).expect("text").lines().map(str::to_owned).collect()
}

#[test]
fn plain_lines_are_few_and_dense() {
    let lines = shown(Look::Lines, Duration::from_secs(1000));
    assert_eq!(
        lines,
        [
            "loading weights: 0 B of 4.00 MiB",
            "loading weights: 4.00 MiB of 4.00 MiB",
            "tokenizing: 1 of 1,000 rows",
            "tokenizing: 1,000 of 1,000 rows",
            "3 rows were cut",
            "warning: odd",
            "model   tiny (llama) | 656,000 parameters",
            "method  diablo, 8 blocks | 49,152 trainable (7.49%)",
            "device  CPU, 2 threads | 64.00 MiB",
            "run     300 steps | 1,000 rows + 100 held out | runs/a",
            "step   1/300 | loss 3.2145 | norm 0.911 | lr 1.00e-3 | 54 ms | 18.9k tok/s",
            "step 300/300 | loss 3.2145 | norm 0.911 | lr 1.00e-3 | 54 ms | 18.9k tok/s",
            "eval 300/300 | held-out loss 2.5000 | perplexity 12.18 | best so far",
            "saved step 300 in runs/a/checkpoints/step-00000300",
            "done: 300 steps in 1 min 15 s | best held-out loss 2.5000 | runs/a",
        ]
    );
    let each = shown(Look::Lines, Duration::ZERO);
    assert_eq!(each.iter().filter(|l| l.starts_with("step ")).count(), 300);
}

/// Where it was stopped was said with how to go on; that is not done.
#[test]
fn a_run_that_was_stopped_is_not_done() {
    let page = Page::default();
    let mut reporter = Reporter::with_output(Look::Lines, Box::new(page.clone()));
    reporter.report(&Event::Finished { steps: 3, best_eval_loss: None, seconds: 1.0, path: "runs/a".into(), interrupted: true });
    drop(reporter);
    assert!(page.0.lock().expect("a page").is_empty());
}

#[test]
fn quiet_says_only_what_is_odd() {
    assert_eq!(shown(Look::Quiet, Duration::ZERO), ["warning: odd"]);
}

#[test]
fn json_is_every_event() {
    let lines = shown(Look::Json, Duration::ZERO);
    assert_eq!(lines.len(), events().len());
    let values: Vec<serde_json::Value> = lines.iter().map(|l| serde_json::from_str(l).expect("JSON")).collect();
    let names: Vec<&str> = values.iter().filter_map(|v| v["event"].as_str()).collect();
    assert_eq!(names.len(), values.len());
    for want in ["loading", "tokenizing", "note", "warning", "started", "step", "eval", "checkpoint", "finished"] {
        assert!(names.contains(&want), "{want}");
    }
    let last_step = values.iter().rfind(|v| v["event"] == "step").expect("a step");
    assert_eq!((last_step["step"].as_u64(), last_step["tokens"].as_u64()), (Some(300), Some(1024)));
}

/// With no terminal the bar is hidden, but all that is said around it arrives.
#[test]
fn the_bar_keeps_notes_apart() {
    let lines = shown(Look::Bar, Duration::ZERO);
    assert!(lines.iter().any(|l| l == "warning: odd") && lines.iter().any(|l| l.starts_with("eval 300/300")), "{lines:?}");
    assert!(!lines.iter().any(|l| l.starts_with("step ") || l.starts_with("loading")), "{lines:?}");
}

#[test]
fn a_closed_pipe_ends_nothing() {
    struct Closed;
    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Err(std::io::ErrorKind::BrokenPipe.into())
        }
    }
    for look in [Look::Lines, Look::Json, Look::Quiet, Look::Bar] {
        let mut reporter = Reporter::with_output(look, Box::new(Closed));
        events().iter().for_each(|e| reporter.report(e));
    }
}

#[test]
fn numbers_are_short() {
    assert_eq!(
        (thousands(12.4), thousands(1.5e6), milliseconds(0.0012), milliseconds(2.0)),
        ("12".into(), "1.5M".into(), "1.2 ms".into(), "2000 ms".into())
    );
    assert_eq!((duration(9.24), duration(3725.0), duration(f64::NAN)), ("9.2 s".into(), "1 h 02 min".into(), "0.0 s".into()));
}
