//! `metrics.csv`: a line for each step, cells that are not known left empty.

use crate::train::metrics::StepMetrics;

/// The file's name in a run folder.
pub const CSV_FILE: &str = "metrics.csv";

/// The names of the columns: the keys of `metrics.jsonl`.
pub(super) fn head() -> Vec<u8> {
    b"step,loss,grad_norm,lr,tokens,tokens_per_second,epoch,eval_loss,eval_perplexity\n".to_vec()
}

/// A step's line. Numbers need no quotes.
pub(super) fn step(m: &StepMetrics) -> Vec<u8> {
    let known = |x: Option<f64>| x.map_or_else(String::new, |x| x.to_string());
    let StepMetrics { step, loss, grad_norm, lr, tokens, tokens_per_second, epoch, eval_loss, eval_perplexity } = m;
    let (eval_loss, eval_perplexity) = (known(*eval_loss), known(*eval_perplexity));
    format!("{step},{loss},{grad_norm},{lr},{tokens},{tokens_per_second},{epoch},{eval_loss},{eval_perplexity}\n").into_bytes()
}
