//! What every kernel is tried with: odd sizes, edges of tiles, every layout and flag. The same cases serve the tests and
//! `diablo check`, which runs them on a person's own device.

use super::activate::activate;
use super::activate_grad::activate_grad;
use super::adamw::{AdamW, adamw};
use super::clip::clip;
use super::columns::{Columns, columns};
use super::cross_entropy::{Gradient, cross_entropy};
use super::dropout::dropout;
use super::embedding::embedding;
use super::embedding_grad::{Groups, embedding_grad};
use super::fill::fill;
use super::gather_rows::gather_rows;
use super::glu::glu;
use super::glu_grad::glu_grad;
use super::loss_sum::loss_sum;
use super::rope::{rope, table};
use super::scatter_rows::scatter_rows;
use super::sum_squares::{PARTIALS, sum_squares};
use super::{Activation, Format, INPUT_WORDS, METRIC_WORDS, NONE, inputs, metrics};
use crate::device::{Category, Device, Layout, Limits, Needs, Op, Plan, PlanBuilder, View};
use crate::error::Result;
use std::sync::Arc;

pub use super::attention_cases::{AttentionViews, Mask, attention_views};
pub use super::matmul_cases::{PRODUCTS, Product};

/// One kernel on one set of inputs.
pub struct Case {
    /// The kernel's name.
    pub kernel: &'static str,
    /// Sizes and flags, for messages.
    pub name: String,
    /// The buffers.
    pub layout: Layout,
    /// The one operation, as a step would have it: a device may run it by another kernel.
    pub plan: Plan,
    /// What every view holds before the run, its padding included. The same case by other kernels shares it.
    pub inputs: Arc<Vec<(View, Vec<u32>)>>,
    /// What is compared: so many floats of a view. What follows them must stay as it was.
    pub outputs: Vec<(View, usize)>,
    /// Largest difference allowed, as a share of the output's largest magnitude.
    pub tolerance: f32,
    /// A smaller largest magnitude counts as this: what terms of this size cancel to is rounding.
    pub floor: f32,
}

impl Case {
    /// The case with this floor.
    #[must_use]
    pub fn with_floor(self, floor: f32) -> Self {
        Self { floor, ..self }
    }

    /// The same case by another operation.
    pub fn by(&self, op: Op) -> Self {
        let kernel = op.kernel.name;
        let plan = Plan { ops: vec![op], ..self.plan.clone() };
        let (name, layout) = (self.name.clone(), self.layout.clone());
        let (inputs, outputs) = (self.inputs.clone(), self.outputs.clone());
        Self { kernel, name, layout, plan, inputs, outputs, ..*self }
    }

    /// Whether a device offers what the case's kernel needs.
    pub fn runs_on(&self, device: &Device) -> bool {
        self.plan.ops.iter().all(|op| device.offers(op.kernel.needs))
    }

    /// Runs the case by its own kernel and gives the words of every output view, padding included.
    ///
    /// # Errors
    /// Where the device has not enough memory, refuses the shader or is lost.
    pub fn run(&self, device: &Device) -> Result<Vec<Vec<u32>>> {
        Ok(pollster::block_on(self.run_times(device, 1))?.remove(0))
    }

    /// Runs the case by its own kernel `times` times from the same inputs; outputs as [`Self::run`] gives them.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub async fn run_times(&self, device: &Device, times: usize) -> Result<Vec<Vec<Vec<u32>>>> {
        let plan = Plan { exact: true, ..self.plan.clone() };
        let mut session = device.load(&self.layout, &[plan]).await?;
        let mut runs = Vec::with_capacity(times);
        for _ in 0..times {
            self.inputs.iter().try_for_each(|(view, words)| session.write(*view, words))?;
            session.run(0, u32::MAX)?;
            let mut outputs = Vec::with_capacity(self.outputs.len());
            for (view, _) in &self.outputs {
                outputs.push(session.read(*view).await?);
            }
            runs.push(outputs);
        }
        Ok(runs)
    }

    /// Runs the case and gives the compared floats of every output.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub fn floats(&self, device: &Device) -> Result<Vec<Vec<f32>>> {
        let outputs = self.run(device)?;
        Ok(outputs.into_iter().zip(&self.outputs).map(|(words, (_, n))| bytemuck::cast_slice(&words[..*n]).to_vec()).collect())
    }
}

/// A stream of pseudo-random words that is the same everywhere (PCG-RXS-M-XS over a counter).
#[derive(Clone, Debug)]
pub struct Noise(u32);

impl Noise {
    /// The stream of a seed.
    pub fn new(seed: u32) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9))
    }

    /// The next word.
    pub fn word(&mut self) -> u32 {
        self.0 = self.0.wrapping_mul(747_796_405).wrapping_add(2_891_336_453);
        let word = ((self.0 >> ((self.0 >> 28) + 4)) ^ self.0).wrapping_mul(277_803_737);
        (word >> 22) ^ word
    }

    /// The next number of 0..n.
    pub fn below(&mut self, n: usize) -> usize {
        self.word() as usize % n.max(1)
    }

    /// The next float of -1..1.
    pub fn float(&mut self) -> f32 {
        (self.word() >> 8) as f32 / 8_388_608.0 - 1.0
    }
}

/// Lays out a [`Case`]: a buffer for each input and output, filled with noise or given words.
pub struct CaseBuilder {
    pub(super) layout: Layout,
    pub(super) inputs: Vec<(View, Vec<u32>)>,
    pub(super) outputs: Vec<(View, usize)>,
    pub(super) noise: Noise,
}

impl Default for CaseBuilder {
    fn default() -> Self {
        Self::new(1)
    }
}

impl CaseBuilder {
    /// Nothing yet; the seed decides what the noise is.
    pub fn new(seed: u32) -> Self {
        Self { layout: Layout::new(Limits::NONE), inputs: Vec::new(), outputs: Vec::new(), noise: Noise::new(seed) }
    }

    /// A buffer with these words; its padding is noise.
    pub fn words(&mut self, words: &[u32]) -> View {
        let view = self.layout.buffer(format!("buffer {}", self.inputs.len()), words.len(), Category::Workspace);
        let mut all = words.to_vec();
        // A kernel that reads past its extents shall not find zeros there.
        all.resize_with(view.len, || self.noise.float().to_bits());
        self.inputs.push((view, all));
        view
    }

    /// A buffer with these floats.
    pub fn given(&mut self, values: &[f32]) -> View {
        self.words(bytemuck::cast_slice(values))
    }

    /// A buffer of `count` floats between -scale and scale.
    pub fn floats(&mut self, count: usize, scale: f32) -> View {
        let values: Vec<f32> = (0..count).map(|_| self.noise.float() * scale).collect();
        self.given(&values)
    }

    /// A buffer of `count` numbers between -1 and 1 in a weight's format.
    pub fn weight(&mut self, count: usize, format: Format) -> View {
        let values: Vec<f32> = (0..count).map(|_| self.noise.float()).collect();
        self.words(&format.encode(&values))
    }

    /// Marks a buffer's first `count` floats as an output.
    pub fn output(&mut self, view: View, count: usize) -> View {
        self.outputs.push((view, count));
        view
    }

    /// An output that holds noise before the run.
    pub fn noisy_output(&mut self, count: usize) -> View {
        let view = self.floats(count, 1.0);
        self.output(view, count)
    }

    /// A step's inputs: active rows, 1 / targets, and the rest as a run would have them.
    pub fn step(&mut self, active_rows: u32, inverse_targets: f32, seed: u32) -> View {
        let mut words = [0u32; INPUT_WORDS];
        words[inputs::ACTIVE_ROWS] = active_rows;
        words[inputs::INVERSE_TARGETS] = inverse_targets.to_bits();
        words[inputs::LEARNING_RATE] = 1e-2f32.to_bits();
        words[inputs::CORRECTION1] = 0.271f32.to_bits();
        words[inputs::CORRECTION2] = 0.054_7f32.to_bits();
        words[inputs::SEED] = seed;
        self.words(&words)
    }

    /// The words that a buffer begins with.
    pub fn content(&self, view: View) -> &[u32] {
        self.inputs.iter().find(|(v, _)| *v == view).map_or(&[], |(_, words)| words)
    }

    /// The same, as floats.
    pub fn content_f32(&self, view: View) -> &[f32] {
        bytemuck::cast_slice(self.content(view))
    }

    /// The next number of 0..n.
    pub fn below(&mut self, n: usize) -> usize {
        self.noise.below(n)
    }

    /// Closes the case around one operation.
    pub fn finish(self, name: impl Into<String>, tolerance: f32, op: Op) -> Case {
        let mut plan = PlanBuilder::new(op.kernel.name);
        let kernel = op.kernel.name;
        plan.push(op);
        let plan = plan.finish();
        Case {
            kernel,
            name: name.into(),
            layout: self.layout,
            plan,
            inputs: Arc::new(self.inputs),
            outputs: self.outputs,
            tolerance,
            floor: f32::MIN_POSITIVE,
        }
    }
}

/// Sizes around the edges of tiles and workgroups.
pub(super) const SIZES: [usize; 7] = [1, 3, 63, 65, 127, 257, 1000];
/// Numbers that go through a few exact or nearly exact operations.
pub(super) const CLOSE: f32 = 4e-6;
/// Sums, exponentials and divisions, whose last bits are each device's own.
pub(super) const SUMMED: f32 = 2e-5;
/// Where a last bit may decide what a factor is rounded to in f16.
pub(super) const IN_HALF: f32 = 1e-3;

/// Every case of every kernel.
pub fn all() -> Vec<Case> {
    let mut cases = Vec::new();
    elementwise(&mut cases);
    rows(&mut cases);
    optimiser(&mut cases);
    loss(&mut cases);
    super::matmul_cases::matmuls(&mut cases);
    super::attention_cases::attentions(&mut cases);
    super::dora_cases::lengths(&mut cases);
    super::width_cases::widths(&mut cases);
    super::norm_cases::norms(&mut cases);
    by_others(&mut cases);
    for (i, case) in cases.iter_mut().enumerate() {
        case.name = format!("{i}: {}", case.name);
    }
    cases
}

/// The same by the other kernels that can do it.
fn by_others(cases: &mut Vec<Case>) {
    let mut more = Vec::new();
    for case in cases.iter() {
        more.extend((case.plan.ops[0].kernel.others)(&case.plan.ops[0]).into_iter().map(|op| {
            // Matrix units add up in an order and with roundings of their own.
            let tolerance = if op.kernel.needs == Needs::Matrices { IN_HALF } else { case.tolerance };
            Case { tolerance, ..case.by(op) }
        }));
    }
    cases.extend(more);
}

fn elementwise(cases: &mut Vec<Case>) {
    // The last one takes more than one workgroup of fill.
    for count in SIZES.into_iter().chain([5000]) {
        let mut b = CaseBuilder::new(count as u32);
        let x = b.floats(count, 1.0);
        b.output(x, count);
        cases.push(b.finish(format!("count {count}"), 0.0, fill(x, count, 1.5)));
    }
    for count in SIZES {
        // 100 is far beyond where e^-x overflows or vanishes.
        for scale in [4.0, 100.0] {
            for activation in Activation::ALL {
                let name = format!("{activation:?}, count {count}, gate to {scale}");
                let mut b = CaseBuilder::new(count as u32);
                let (gate, up, y) = (b.floats(count, scale), b.floats(count, 1.0), b.noisy_output(count));
                cases.push(b.finish(&name, SUMMED, glu(activation, gate, up, y, count)));
                let mut b = CaseBuilder::new(count as u32);
                let (dy, gate, up) = (b.floats(count, 1.0), b.floats(count, scale), b.noisy_output(count));
                b.output(gate, count);
                cases.push(b.finish(&name, SUMMED, glu_grad(activation, dy, gate, up, count)));
                let mut b = CaseBuilder::new(count as u32);
                let (x, y) = (b.floats(count, scale), b.noisy_output(count));
                cases.push(b.finish(&name, SUMMED, activate(activation, x, y, count)));
                let mut b = CaseBuilder::new(count as u32);
                let (dy, x) = (b.floats(count, 1.0), b.floats(count, scale));
                b.output(x, count);
                cases.push(b.finish(&name, SUMMED, activate_grad(activation, dy, x, count)));
            }
        }
        for (p, accumulate) in [(0.0, false), (0.1, true), (0.5, false), (0.9, true)] {
            let mut b = CaseBuilder::new(count as u32);
            let (step, x, y) = (b.step(1, 1.0, 0xdead_beef), b.floats(count, 1.0), b.noisy_output(count));
            let op = dropout(step, x, y, count, p, 7, accumulate);
            cases.push(b.finish(format!("count {count}, p {p}, accumulate {accumulate}"), CLOSE, op));
        }
    }
    for tokens in [1, 3, 65] {
        for (heads, head_dim, rotary_dim) in
            [(1, 16, 16), (3, 64, 64), (2, 80, 32), (2, 80, 80), (1, 128, 96), (3, 256, 256), (1, 2, 2), (3, 6, 2)]
        {
            for inverse in [false, true] {
                let mut b = CaseBuilder::new(tokens as u32);
                let positions: Vec<u32> = (0..tokens).map(|_| b.below(100) as u32).collect();
                let positions = b.words(&positions);
                let frequencies: Vec<f64> = (0..rotary_dim / 2).map(|i| 10_000f64.powf(-2.0 * i as f64 / rotary_dim as f64)).collect();
                let (angles, x) = (b.given(&table(&frequencies, 100)), b.noisy_output(tokens * heads * head_dim));
                let op = rope(positions, angles, x, tokens, heads, head_dim, rotary_dim, inverse);
                let name = format!("{tokens} tokens, {heads} heads of {head_dim}, {rotary_dim} rotated, inverse {inverse}");
                cases.push(b.finish(name, CLOSE, op));
            }
        }
    }
}

fn rows(cases: &mut Vec<Case>) {
    for format in Format::ALL {
        // Odd widths: in 16 bits every other row begins in the middle of a word.
        for (tokens, hidden) in [(1, 1), (3, 3), (65, 63), (63, 65), (127, 16)] {
            // Pieces of a table of 40 rows: all, the first, one in the middle, one that no token meets.
            for (first, count) in [(0, 40), (0, 13), (13, 14), (40, 5)] {
                let mut b = CaseBuilder::new(hidden as u32);
                let ids: Vec<u32> = (0..tokens).map(|_| b.below(40) as u32).collect();
                let (ids, rows, y) = (b.words(&ids), b.weight(count * hidden, format), b.noisy_output(tokens * hidden));
                // The first piece of several is added, as positions are to tokens.
                let (scale, add) = (if first == 0 { 1.0 } else { 25.25 }, count == 13);
                let name = format!("{tokens} tokens of {hidden}, {format:?}, table rows {first}+{count}, times {scale}, added {add}");
                let tolerance = if first == 0 && !add { 0.0 } else { CLOSE };
                cases.push(b.finish(name, tolerance, embedding(ids, rows, format, first, count, y, tokens, hidden, scale, add)));
            }
        }
    }
    for (count, width) in [(1, 1), (3, 63), (65, 65), (127, 3), (63, 256)] {
        for first in [0, 5] {
            let mut b = CaseBuilder::new(width as u32);
            let others = count + 7;
            // Every fourth index is none, the rest are different: 3 is prime to every `others` above.
            let index: Vec<u32> = (0..first + count).map(|i| if i % 4 == 3 { NONE } else { (i * 3 % others) as u32 }).collect();
            let index = b.words(&index);
            let (x, y) = (b.floats(others * width, 1.0), b.noisy_output(count * width));
            let op = gather_rows(index, first, x, others, y, count, width);
            cases.push(b.finish(format!("{count} rows of {width} from index {first}"), 0.0, op));
            let mut b = CaseBuilder::new(width as u32);
            let index: Vec<u32> = (0..first + count).map(|i| if i % 4 == 3 { NONE } else { ((i + 2) % others) as u32 }).collect();
            let index = b.words(&index);
            let (x, y) = (b.floats(count * width, 1.0), b.noisy_output(others * width));
            let op = scatter_rows(index, first, x, y, others, count, width);
            cases.push(b.finish(format!("{count} rows of {width} from index {first}"), 0.0, op));
        }
    }
    for (rows, width, x_width, x_first, y_width, y_first) in
        [(1, 1, 1, 0, 1, 0), (3, 5, 9, 4, 5, 0), (65, 63, 63, 0, 129, 65), (127, 65, 200, 7, 77, 11), (2, 300, 301, 1, 300, 0)]
    {
        let mut b = CaseBuilder::new(rows as u32);
        let (x, y) = (b.floats(rows * x_width, 1.0), b.noisy_output(rows * y_width));
        let (from, to) = (Columns { view: x, width: x_width, first: x_first }, Columns { view: y, width: y_width, first: y_first });
        let name = format!("{rows} rows, columns {x_first}+{width} of {x_width} to {y_first} of {y_width}");
        cases.push(b.finish(name, 0.0, columns(from, to, rows, width)));
    }
    for (positions, hidden, capacity) in [(1, 1, 1), (3, 63, 5), (127, 65, 40), (300, 3, 64), (9, 2, 70_000)] {
        let pieces = [(0, 40), (0, 13), (13, 14), (40, 5)];
        for (first, count) in pieces.into_iter().take(if capacity > 1000 { 1 } else { 4 }) {
            let mut b = CaseBuilder::new(hidden as u32);
            let tokens: Vec<usize> = (0..positions).map(|_| b.below(40)).collect();
            let (ids, starts, order) = groups(&tokens, capacity);
            let groups = Groups { ids: b.words(&ids), starts: b.words(&starts), order: b.words(&order), groups: capacity };
            let (dy, dtable) = (b.floats(positions * hidden, 1.0), b.noisy_output(count * hidden));
            let scale = if first == 0 { 1.0 } else { 25.25 };
            let name = format!("{positions} positions of {hidden}, {capacity} groups, table rows {first}+{count}, times {scale}");
            cases.push(b.finish(name, SUMMED, embedding_grad(groups, dy, dtable, first, count, hidden, scale)));
        }
    }
}

/// Positions grouped by token, padded with empty groups: what [`Groups`] points to.
pub fn groups(tokens: &[usize], capacity: usize) -> (Vec<u32>, Vec<u32>, Vec<u32>) {
    let mut order: Vec<u32> = (0..tokens.len() as u32).collect();
    order.sort_by_key(|&at| (tokens[at as usize], at));
    let (mut ids, mut starts) = (Vec::new(), Vec::new());
    for (i, at) in order.iter().enumerate() {
        let id = tokens[*at as usize] as u32;
        if ids.last() != Some(&id) {
            ids.push(id);
            starts.push(i as u32);
        }
    }
    assert!(ids.len() <= capacity, "{} distinct tokens, {capacity} groups", ids.len());
    starts.resize(capacity + 1, tokens.len() as u32);
    ids.resize(capacity, NONE);
    (ids, starts, order)
}

fn optimiser(cases: &mut Vec<Case>) {
    for count in [1, 255, 257, 100_003] {
        for first in [0, PARTIALS] {
            let mut b = CaseBuilder::new(count as u32);
            let (x, partials) = (b.floats(count, 1.0), b.noisy_output(2 * PARTIALS));
            cases.push(b.finish(format!("{count} numbers, partials from {first}"), SUMMED, sum_squares(x, count, partials, first)));
        }
    }
    for count in [1, 63, 256, 1024] {
        for max_norm in [0.0, 0.5, 1e9] {
            for (fault, partial, loss) in [
                ("finite", 0.25, 2.0),
                ("a NaN among the partials", f32::NAN, 2.0),
                ("an infinity among the partials", f32::INFINITY, 2.0),
                ("a NaN as the loss", 0.25, f32::NAN),
                ("an infinite loss", 0.25, f32::INFINITY),
            ] {
                let mut b = CaseBuilder::new(count as u32);
                let mut values: Vec<f32> = (0..count).map(|i| (i % 7) as f32).collect();
                values[count - 1] = partial;
                let partials = b.given(&values);
                let mut words = [0.0; METRIC_WORDS];
                words[metrics::LOSS] = loss;
                let out = b.given(&words);
                b.output(out, METRIC_WORDS);
                let step = b.step(1, 0.25, 0);
                let loss_scale = (count % 2 == 1).then_some(16.0);
                let op = clip(partials, count, step, out, max_norm, loss_scale);
                cases.push(b.finish(format!("{count} partials, largest norm {max_norm}, loss scale {loss_scale:?}, {fault}"), CLOSE, op));
            }
        }
    }
    for count in SIZES {
        for (scale, weight_decay) in [(1.0, 0.0), (0.3, 0.1), (-1.0, 0.1), (0.0, 0.01)] {
            let mut b = CaseBuilder::new(count as u32);
            let mut words = [0.0; METRIC_WORDS];
            words[metrics::CLIP] = scale;
            let (step, by, gradients) = (b.step(1, 1.0, 0), b.given(&words), b.floats(count, 1.0));
            let (values, first) = (b.noisy_output(count), b.noisy_output(count));
            let squares: Vec<f32> = (0..count).map(|i| 0.01 + (i % 11) as f32 * 0.1).collect();
            let second = b.given(&squares);
            b.output(second, count);
            let with = AdamW { beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay, rate: if weight_decay > 0.0 { 3.0 } else { 1.0 } };
            let op = adamw(step, by, gradients, values, first, second, count, with);
            cases.push(b.finish(format!("{count} values, clip {scale}, decay {weight_decay}"), SUMMED, op));
        }
    }
}

fn loss(cases: &mut Vec<Case>) {
    for vocabulary in [1, 3, 63, 65, 255, 256, 257, 2049, 32_003] {
        for (rows, first_row) in [(1, 0), (5, 2)] {
            for gradient in [Gradient::None, Gradient::OfMean, Gradient::OfSum(16.0)] {
                let mut b = CaseBuilder::new(vocabulary as u32);
                let targets: Vec<u32> = (0..first_row + rows).map(|i| if i % 3 == 1 { NONE } else { b.below(vocabulary) as u32 }).collect();
                let (targets, step) = (b.words(&targets), b.step(9, 0.125, 0));
                let (logits, losses) = (b.floats(rows * vocabulary, 30.0), b.noisy_output(first_row + rows));
                b.output(logits, rows * vocabulary);
                let op = cross_entropy(targets, step, logits, losses, first_row, rows, vocabulary, gradient);
                let name = format!("{rows} rows of {vocabulary} from row {first_row}, gradient {gradient:?}");
                cases.push(b.finish(name, SUMMED, op));
            }
        }
    }
    // A run that diverges must not look well on any device.
    for vocabulary in [3, 300] {
        for (value, gradient) in [(f32::NAN, Gradient::None), (f32::NAN, Gradient::OfMean), (f32::INFINITY, Gradient::None)] {
            let mut b = CaseBuilder::new(vocabulary as u32);
            let mut values: Vec<f32> = (0..vocabulary).map(|i| (i % 5) as f32).collect();
            values[1] = value;
            let (targets, step, logits, losses) = (b.words(&[2]), b.step(1, 1.0, 0), b.given(&values), b.noisy_output(1));
            b.output(logits, vocabulary);
            let op = cross_entropy(targets, step, logits, losses, 0, 1, vocabulary, gradient);
            cases.push(b.finish(format!("1 row of {vocabulary} with {value}, gradient {gradient:?}"), SUMMED, op));
        }
    }
    for capacity in [1, 63, 65, 1000] {
        for active in [0, 1, 64, 5000] {
            let mut b = CaseBuilder::new(capacity as u32);
            let (step, losses, out) = (b.step(active, 0.01, 0), b.floats(capacity, 5.0), b.noisy_output(METRIC_WORDS));
            cases.push(b.finish(format!("{active} rows of {capacity}"), SUMMED, loss_sum(step, losses, out, capacity)));
        }
    }
}
