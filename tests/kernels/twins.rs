//! Shaders against their twins on whatever adapter there is, and twins that call a matrix library against plain loops in f64.

use diablo::bench::products::ProductCase;
use diablo::check::{check, check_cases, compare};
use diablo::device::{Device, Kernel, Needs};
use diablo::kernels::Format;
use diablo::kernels::cases::{self, Case, CaseBuilder, Product};
use diablo::kernels::matmul::{Diagonal, MatMul, Matrix};
use diablo::kernels::pack;
use std::time::Duration;

/// The software driver where there is one, so that the test is the same everywhere; else any adapter.
fn adapter() -> Option<Device> {
    let found = Device::open("llvmpipe").or_else(|_| Device::open("gpu")).ok();
    if found.is_none() {
        println!("skipped: no Vulkan adapter");
    }
    found
}

#[test]
fn every_shader_does_what_its_twin_does() {
    let Some(device) = adapter() else { return };
    let report = pollster::block_on(check(&device, &mut |_| ())).expect("the device runs every case");
    println!("{report}");
    let wrong: Vec<String> = report.wrong().map(ToString::to_string).collect();
    assert!(report.ok(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

/// Which of them a device takes must not change a run.
#[test]
fn kernels_that_stand_for_each_other_give_the_same_bits() {
    let Some(device) = adapter() else { return };
    let mut compared = 0;
    for case in cases::all() {
        let others = (case.plan.ops[0].kernel.others)(&case.plan.ops[0]);
        let others: Vec<Case> = others.into_iter().map(|op| case.by(op)).filter(|c| c.runs_on(&device)).collect();
        // One in ten: there are hundreds.
        if others.is_empty() || !case.name.split(':').next().is_some_and(|number| number.ends_with('7')) {
            continue;
        }
        let own = case.run(&device).expect("it runs");
        for other in others {
            assert!(other.run(&device).expect("it runs") == own, "{}: {} and {} differ", case.name, case.kernel, other.kernel);
            compared += 1;
        }
    }
    assert!(compared > 20, "{compared}");
}

/// What is measured is what a step runs by; what a case names is for checks.
#[test]
fn a_product_is_measured_by_the_kernel_that_a_step_takes() {
    let Some(device) = adapter() else { return };
    if !device.name().contains("llvmpipe") || !device.offers(Needs::Subgroups(8)) {
        println!("skipped: which kernel is the fastest is known on the software driver alone");
        return;
    }
    let product = Product::Forward;
    let case = ProductCase { product, tokens: 32, inputs: 32, outputs: 32, format: Format::F32, half: false };
    assert_eq!(case.measure(&device, Duration::ZERO).expect("it runs").kernel, "matmul_subgroup");
    assert_eq!(case.measure(&Device::Cpu, Duration::ZERO).expect("it runs").kernel, "matmul");
}

#[test]
fn every_kernel_has_cases() {
    let cases = cases::all();
    for kernel in diablo::kernels::ALL {
        assert!(cases.iter().any(|c| c.kernel == kernel.name), "{} has no case", kernel.name);
    }
}

// A check that cannot fail says nothing.

#[test]
fn a_wrong_number_is_noticed() {
    let cases = cases::all();
    let case = cases.iter().find(|c| c.kernel == "rms_norm" && c.outputs[0].1 > 200 && c.outputs[0].1 % 64 != 0).expect("such a case");
    let want = case.run(&Device::Cpu).expect("the CPU runs");
    assert!(compare(case, &want, &want).ok());
    let altered = |index: usize, f: fn(f32) -> f32| {
        let mut got = want.clone();
        got[0][index] = f(f32::from_bits(got[0][index])).to_bits();
        compare(case, &got, &want)
    };
    let largest = want[0][..200].iter().enumerate().max_by_key(|(_, w)| *w & 0x7fff_ffff).expect("200 numbers").0;
    let off = altered(largest, |x| x * 1.001);
    assert!(!off.ok() && off.worst.expect("a difference").index == largest, "{off}");
    assert!(altered(largest, |x| f32::from_bits(x.to_bits() + 1)).ok(), "the last bit is each device's own");
    for bad in [|_| f32::NAN, |_| f32::INFINITY] {
        assert!(!altered(3, bad).ok(), "not a number on one side");
        let mut both = want.clone();
        both[0][3] = bad(0.0).to_bits();
        assert!(compare(case, &both, &both).ok(), "the same on both sides");
    }
    // Alone on an output: what a device may take for zero, and what it may not.
    for (number, passes) in [(7e-35f32, true), (7e-25, false)] {
        let (mut zero, mut small) = (want.clone(), want.clone());
        zero[0][..case.outputs[0].1].fill(0);
        small[0][..case.outputs[0].1].fill(number.to_bits());
        assert_eq!(compare(case, &zero, &small).ok(), passes, "{number}");
    }
    let past = altered(case.outputs[0].1, |x| x + 1.0);
    assert!(past.overrun && !past.ok(), "a word past the output changed");
}

/// Kernel, text of its shader, what stands there instead.
const FAULTS: [(&str, &str, &str); 63] = [
    ("glu", "begin + 1024u", "begin + 768u"),
    ("narrow", "begin + 1024u", "begin + 256u"),
    ("attention", "return factors(vec4f(v_at(places[0])", "return (vec4f(v_at(places[0])"),
    ("attention_grad_q", "factors(vec4f(slope0[i]", "(vec4f(slope0[i]"),
    ("attention_grad_kv", "factors(made.slopes)", "made.slopes"),
    ("attention_grad_kv", "return factors(vec4f(dy_at(places[0])", "return (vec4f(dy_at(places[0])"),
    ("pack", "at.x < params.lines && at.y < params.k", "at.y < params.k"),
    ("pack", "params.first_output + select(k, line, lines_are_outputs)", "select(k, line, lines_are_outputs)"),
    ("pack", "<= last_input", "< last_input"),
    ("matmul", "k % PACKED_K * PACKED_LINES", "k % PACKED_K * (PACKED_LINES - 1u)"),
    ("matmul_narrow", "rows[3] * cols", "rows[2] * cols"),
    ("matmul_narrow", "factors(four), k0 + at_a.y < k", "factors(four), true"),
    ("column_sum", "row += LANES", "row += LANES + 1u"),
    ("rms_norm_weight_grad", "half * COLUMNS];", "half];"),
    ("weight_norm", "params.first_row + row", "row"),
    ("scale_columns", "m[o] / norms[o]", "m[o]"),
    ("magnitude_grad", "column / norms[o]", "column"),
    ("narrow", " + ((bits >> 16u) & 1u)", ""),
    ("widen", "i / 2u", "(i + 1u) / 2u"),
    ("fill", "params.value;", "params.value * 1.001;"),
    ("widen", "flat_index(workgroup, workgroups, thread)", "workgroup.x * 256u + thread"),
    ("fill", "begin + 2048u", "begin + 1792u"),
    ("matmul", "params.first_output + col", "col"),
    ("matmul", "params.first_output + k", "k"),
    ("matmul", "return min(whole,", "return max(whole,"),
    ("matmul", "k0 += TILE_K", "k0 += TILE_K + 1u"),
    ("matmul_subgroup", "row_at(batch, row + 8u, m)", "row_at(batch, row, m)"),
    ("matmul", "factors(four)", "four"),
    ("matmul", "round(x * 16777216.0) / 16777216.0", "x"),
    ("matmul_subgroup", "b_row = factors(b_row);", ""),
    ("clip", "scale * unscale", "scale"),
    ("matmul_vector", "k += 16u", "k += 17u"),
    ("matmul_wide", "if k0 + TILE_K > params.k {", "if false {"),
    ("matmul_wide", "beside.x", "beside.y"),
    ("matmul_wide", "widened(p.line3)", "widened(p.line2)"),
    ("attention", "total *= shrink;", ""),
    ("attention", "(keys >= vec4u(span.x)) & ", ""),
    ("attention", "width0 + 4u * (i % WIDTH_QUADS)", "4u * (i % WIDTH_QUADS)"),
    ("attention_step", "var first = span.x;", "var first = 0u;"),
    ("attention_grad_q", "sum[i] * params.scale", "sum[i]"),
    ("attention_grad_kv", "head < (kv_head + 1u) * group", "head < kv_head * group + 1u"),
    ("attention_grad_kv", "& (keys < vec4u(span.y))", ""),
    ("embedding", "id - params.first_row >= params.rows", "false"),
    ("cross_entropy", "== vec4u(goal)", "== vec4u(0u)"),
    ("rms_norm", " + params.eps", ""),
    ("rms_norm", "params.offset + w[i]", "w[i]"),
    ("rms_norm_grad", "params.offset + w[i]", "w[i]"),
    ("layer_norm", " + b[i]", ""),
    ("layer_norm_grad", " - slope", ""),
    ("layer_norm_weight_grad", "(x[at] - stats[2u * row])", "x[at]"),
    ("activate", "x[i] * passed(x[i])", "passed(x[i])"),
    ("activate_grad", "s * slope(x[i], s)", "s"),
    ("embedding", "params.add != 0u", "false"),
    ("glu", "GELU_CUBE * x * x * x", "0.0"),
    ("glu_grad", "3.0 * GELU_CUBE", "GELU_CUBE"),
    ("rope", "params.rotary_dim / 2u", "params.head_dim / 2u"),
    ("columns", "params.y_first + column", "column"),
    // A diverged run would look well.
    ("cross_entropy", "return x;", ""),
    ("adamw", "if scale < 0.0 {", "if false {"),
    ("adamw", "begin + 1024u", "begin + 768u"),
    ("clip", "finite(total)", "true"),
    ("sum_squares", "params.first + workgroup.x", "workgroup.x"),
    ("dropout", "hash(params.salt)", "params.salt"),
];

#[test]
fn faults_in_shaders_are_noticed() {
    let Some(device) = adapter() else { return };
    for (i, (name, from, to)) in FAULTS.into_iter().enumerate() {
        let kernel = diablo::kernels::ALL.iter().find(|k| k.name == name).expect("a kernel");
        let text = kernel.wgsl();
        assert!(text.contains(from), "{name}.wgsl no longer has {from:?}");
        // Pipelines are kept by name, so the altered one needs its own. It lives as long as the test.
        let source: &'static [&'static str] = vec![&*text.replace(from, to).leak()].leak();
        let altered: &'static Kernel = Box::leak(Box::new(Kernel { name: format!("{name}, fault {i}").leak(), source, ..**kernel }));
        let found = cases::all().into_iter().filter(|c| c.kernel == name).any(|mut case| {
            case.plan.ops[0].kernel = altered;
            !pollster::block_on(check_cases(&device, &[case], &mut |_| ())).expect("it runs").ok()
        });
        assert!(found, "{name}.wgsl with {to:?} in place of {from:?} passes every case");
    }
}

// The twins that call a matrix library, against their definition as plain loops.

/// What an operation was given: views as the case filled them, parameters as the shader sees them.
struct Given<'a> {
    case: &'a Case,
    params: &'a [u32],
}

impl<'a> Given<'a> {
    fn new(case: &'a Case) -> Self {
        Self { case, params: &case.plan.ops[0].params }
    }

    fn words(&self, binding: usize) -> &'a [u32] {
        let view = self.case.plan.ops[0].views[binding];
        &self.case.inputs.iter().find(|(v, _)| *v == view).expect("every view is filled").1
    }

    fn numbers(&self, binding: usize) -> Vec<f64> {
        self.words(binding).iter().map(|w| f64::from(f32::from_bits(*w))).collect()
    }

    fn constant(&self, name: &str) -> u32 {
        self.case.plan.ops[0].constants.iter().find(|c| c.0 == name).map_or(0, |c| c.1)
    }

    /// A factor as it is multiplied.
    fn factor(&self, x: f64) -> f64 {
        if self.constant("HALF") == 0 {
            return x;
        }
        f64::from(half::f16::from_f32((x as f32).clamp(-65504.0, 65504.0)).to_f32())
    }

    fn factors(&self, binding: usize) -> Vec<f64> {
        self.numbers(binding).into_iter().map(|x| self.factor(x)).collect()
    }

    fn param(&self, index: usize) -> usize {
        self.params[index] as usize
    }

    fn param_f64(&self, index: usize) -> f64 {
        f64::from(f32::from_bits(self.params[index]))
    }
}

/// Whether the twin gives `want`, output by output.
fn agrees(case: &Case, want: &[Vec<f64>]) {
    // Where shares are rounded to 11 bits, the last bit of a number in 32 may decide one of them.
    let rounds = case.kernel.starts_with("attention") && case.plan.ops[0].constants.contains(&("HALF", 1));
    let allowed = if rounds { f64::from(case.tolerance) } else { 1e-5 };
    let got = case.floats(&Device::Cpu).expect("the CPU runs");
    for (output, (got, want)) in got.iter().zip(want).enumerate() {
        let largest = want.iter().fold(f64::from(case.floor), |a, x| a.max(x.abs()));
        for (i, (got, want)) in got.iter().zip(want).enumerate() {
            let error = (f64::from(*got) - want).abs() / largest;
            assert!(error <= allowed, "{} {}: output {output} at {i} is {got}, not {want}", case.kernel, case.name);
        }
    }
}

fn each(kernel: &str, define: impl Fn(&Given<'_>) -> Vec<Vec<f64>>) {
    let cases: Vec<Case> = cases::all().into_iter().filter(|c| c.kernel == kernel).collect();
    assert!(!cases.is_empty());
    for case in &cases {
        agrees(case, &define(&Given::new(case)));
    }
}

fn widened(words: &[u32], format: u32, index: usize) -> f64 {
    let half = || (words[index / 2] >> (16 * (index % 2))) as u16;
    // A block of 64 numbers: its scale, then number i in the i-th group of `bits` bits.
    let quantised = |bits: usize| {
        let block = &words[index / 64 * (1 + 2 * bits)..];
        let at = index % 64 * bits;
        (f64::from(f32::from_bits(block[0])), block[1 + at / 32] >> (at % 32) & ((1 << bits) - 1))
    };
    match format {
        0 => f64::from(f32::from_bits(words[index])),
        1 => f64::from(half::f16::from_bits(half()).to_f32()),
        2 => f64::from(half::bf16::from_bits(half()).to_f32()),
        3 => {
            let (scale, number) = quantised(8);
            scale * f64::from(number as u8 as i8)
        }
        _ => {
            let (scale, place) = quantised(4);
            scale * f64::from(diablo::kernels::NF4[place as usize])
        }
    }
}

/// A product as plain loops.
fn product(g: &Given<'_>) -> Vec<Vec<f64>> {
    // In the order of the shader's struct.
    let [m, n, k, flags, a0, a_row, a_col, a_batch, b0, b_row, b_col, b_batch, c0, c_row, c_batch]: [usize; 15] =
        std::array::from_fn(|i| g.param(i));
    let alpha = g.param_f64(15);
    let [m_limit, n_limit, k_limit, block_in, block_out, first, bias0, batch]: [usize; 8] = std::array::from_fn(|i| g.param(16 + i));
    let (format, half, packed) = (g.constant("FORMAT"), g.constant("HALF") == 1, g.constant("PACKED") == 1);
    let (a, b, diagonal, bias, residual, mut c) = (g.numbers(0), g.words(1), g.numbers(2), g.numbers(3), g.numbers(4), g.numbers(5));
    let entry = |output: usize, input: usize| {
        if output / block_out == input / block_in { diagonal[input * block_out + output % block_out] } else { 0.0 }
    };
    for z in 0..batch {
        for i in (0..m).filter(|i| z * m + i < m_limit) {
            for j in (0..n).filter(|j| z * n + j < n_limit) {
                let mut sum = 0.0;
                for l in (0..k).filter(|l| z * k + l < k_limit) {
                    if packed {
                        let number = |words, line| widened(words, 1, pack::place(line, l, k));
                        sum += number(g.words(0), i) * number(b, j);
                        continue;
                    }
                    let d = match flags & 24 {
                        8 => entry(first + j, l),
                        16 => entry(first + l, j),
                        _ => 0.0,
                    };
                    let weight = widened(b, format, b0 + z * b_batch + l * b_row + j * b_col);
                    // What is rounded twice is a sum in 32 bits first.
                    let weight = if half { f64::from(weight as f32 + d as f32) } else { weight + d };
                    sum += g.factor(a[a0 + z * a_batch + i * a_row + l * a_col]) * g.factor(weight);
                }
                let at = c0 + z * c_batch + i * c_row + j;
                let added = |flag: usize, x: f64| if flags & flag != 0 { x } else { 0.0 };
                let on_top =
                    added(1, c[at]) + if flags & 2 != 0 { bias[bias0 + j] } else { 0.0 } + if flags & 4 != 0 { residual[at] } else { 0.0 };
                c[at] = alpha * sum + on_top;
            }
        }
    }
    c.truncate(g.case.outputs[0].1);
    vec![c]
}

#[test]
fn pack_is_its_definition() {
    each("pack", |g| {
        let [lines, k, offset, line_stride, k_stride, block_in, block_out, first, lines_are_outputs]: [usize; 9] =
            std::array::from_fn(|i| g.param(i));
        let (x, diagonal) = (g.words(0), g.numbers(1));
        let mut words = vec![0u32; pack::words(lines, k)];
        for (line, number) in (0..lines).flat_map(|line| (0..k).map(move |number| (line, number))) {
            let mut value = widened(x, g.constant("FORMAT"), offset + line * line_stride + number * k_stride) as f32;
            let (output, input) = if lines_are_outputs == 1 { (first + line, number) } else { (first + number, line) };
            if block_in > 0 && output / block_out == input / block_in {
                value += diagonal[input * block_out + output % block_out] as f32;
            }
            let place = pack::place(line, number, k);
            words[place / 2] |= u32::from(half::f16::from_f32(value.clamp(-65504.0, 65504.0)).to_bits()) << (16 * (place % 2));
        }
        vec![words.into_iter().map(|word| f64::from(f32::from_bits(word))).collect()]
    });
}

#[test]
fn matmul_is_its_definition() {
    each("matmul", product);
}

/// Products of several tiles: what the tiles are depends on the number of threads, the numbers do not.
#[test]
fn products_are_the_same_with_any_number_of_threads() {
    let threads = [1, 2, 3, 16].map(|n| rayon::ThreadPoolBuilder::new().num_threads(n).build().expect("threads"));
    for [m, n, k] in [[300, 200, 600], [128, 192, 576], [65, 700, 40], [576, 570, 30], [64, 192, 1100], [18, 600, 520], [520, 130, 1030]] {
        for layout in Product::ALL {
            for (format, blocks) in [(Format::F32, 0), (Format::F32, 2), (Format::Bf16, 0), (Format::Bf16, 2)] {
                // Blocks lie on weights.
                if blocks > 0 && matches!(layout, Product::WeightGradient) {
                    continue;
                }
                let columns_are_outputs = matches!(layout, Product::Forward);
                let (outputs, inputs) = if columns_are_outputs { (n, k) } else { (k, n) };
                let mut b = CaseBuilder::new((m + n + k) as u32);
                let (a, w, c) = (b.floats(m * k, 1.0), b.weight(n * k, format), b.noisy_output(m * n));
                let diagonal = (blocks > 0).then(|| {
                    let (block_in, block_out) = (inputs / blocks, outputs / blocks);
                    Diagonal { view: b.floats(inputs * block_out, 1.0), block_in, block_out, first_output: 0, columns_are_outputs }
                });
                let (left, right) = layout.matrices(a, w, m, n, k);
                let op = MatMul { format, diagonal, ..MatMul::new(m, n, k, left, right, Matrix::rows(c, n)) };
                let case = b.finish(format!("{m} x {n} x {k}, {layout:?}, {format:?}, {blocks} blocks"), 0.0, op.op());
                agrees(&case, &product(&Given::new(&case)));
                let runs = threads.each_ref().map(|pool| pool.install(|| case.run(&Device::Cpu)).expect("the CPU runs"));
                assert!(runs.iter().all(|run| *run == runs[0]), "{}", case.name);
            }
        }
    }
}

/// An attention's shapes from the parameters, and the places of its vectors.
struct Shape {
    queries: usize,
    keys: usize,
    heads: usize,
    group: usize,
    dim: usize,
    scale: f64,
    rows: usize,
}

impl Shape {
    fn new(g: &Given<'_>) -> Self {
        let [queries, keys, heads, kv_heads, dim] = std::array::from_fn(|i| g.param(i));
        Self { queries, keys, heads, group: heads / kv_heads, dim, scale: g.param_f64(5), rows: g.param(6) }
    }

    fn query(&self, row: usize, i: usize, head: usize) -> usize {
        ((row * self.queries + i) * self.heads + head) * self.dim
    }

    fn key(&self, row: usize, j: usize, head: usize) -> usize {
        ((row * self.keys + j) * (self.heads / self.group) + head / self.group) * self.dim
    }

    /// Calls `f` with row, head, query and the query's span.
    fn each_query(&self, spans: &[u32], mut f: impl FnMut(usize, usize, usize, std::ops::Range<usize>)) {
        for row in 0..self.rows {
            for head in 0..self.heads {
                for i in 0..self.queries {
                    let at = (row * self.queries + i) * 2;
                    f(row, head, i, spans[at] as usize..spans[at + 1] as usize);
                }
            }
        }
    }

    fn dot(&self, a: &[f64], at_a: usize, b: &[f64], at_b: usize) -> f64 {
        (0..self.dim).map(|d| a[at_a + d] * b[at_b + d]).sum()
    }
}

#[test]
fn attention_is_its_definition() {
    each("attention", |g| {
        let s = Shape::new(g);
        let (q, k, v) = (g.factors(0), g.factors(1), g.factors(2));
        let (mut y, mut stats) = (g.numbers(4), g.numbers(5));
        s.each_query(g.words(3), |row, head, i, span| {
            let at = s.query(row, i, head);
            y[at..at + s.dim].fill(0.0);
            let stat = &mut stats[(row * s.queries + i) * s.heads * 2 + head * 2];
            *stat = 0.0;
            if span.is_empty() {
                return;
            }
            let scores: Vec<f64> = span.clone().map(|j| s.scale * s.dot(&q, at, &k, s.key(row, j, head))).collect();
            let largest = scores.iter().copied().fold(f64::MIN, f64::max);
            let shares: Vec<f64> = scores.iter().map(|score| g.factor((score - largest).exp())).collect();
            let total: f64 = shares.iter().sum();
            *stat = largest + total.ln();
            for (share, j) in shares.iter().zip(span) {
                for d in 0..s.dim {
                    y[at + d] += share / total * v[s.key(row, j, head) + d];
                }
            }
        });
        y.truncate(g.case.outputs[0].1);
        stats.truncate(g.case.outputs[1].1);
        vec![y, stats]
    });
}

#[test]
fn attention_delta_is_its_definition() {
    each("attention_delta", |g| {
        let (y, dy, mut stats) = (g.numbers(0), g.numbers(1), g.numbers(2));
        let (heads, dim) = (g.param(0), g.param(1));
        for h in 0..heads {
            stats[2 * h + 1] = (0..dim).map(|d| y[h * dim + d] * dy[h * dim + d]).sum();
        }
        stats.truncate(2 * heads);
        vec![stats]
    });
}

#[test]
fn attention_gradients_are_their_definitions() {
    // Share p and slope ds of a query and key.
    let pair = |s: &Shape, g: &[Vec<f64>], row: usize, head: usize, i: usize, j: usize| {
        let (at_q, at_k) = (s.query(row, i, head), s.key(row, j, head));
        let stat = ((row * s.queries + i) * s.heads + head) * 2;
        let share = (s.scale * s.dot(&g[0], at_q, &g[1], at_k) - g[4][stat]).exp();
        (share, share * (s.dot(&g[3], at_q, &g[2], at_k) - g[4][stat + 1]))
    };
    let five = |g: &Given<'_>| (0..5).map(|i| if i < 4 { g.factors(i) } else { g.numbers(i) }).collect::<Vec<_>>();
    each("attention_grad_q", |g| {
        let (s, given) = (Shape::new(g), five(g));
        let mut dq = vec![0.0; g.case.outputs[0].1];
        s.each_query(g.words(5), |row, head, i, span| {
            for j in span {
                let (_, slope) = pair(&s, &given, row, head, i, j);
                for d in 0..s.dim {
                    dq[s.query(row, i, head) + d] += s.scale * g.factor(slope) * given[1][s.key(row, j, head) + d];
                }
            }
        });
        vec![dq]
    });
    each("attention_grad_kv", |g| {
        let (s, given) = (Shape::new(g), five(g));
        let (mut dk, mut dv) = (vec![0.0; g.case.outputs[0].1], vec![0.0; g.case.outputs[1].1]);
        s.each_query(g.words(5), |row, head, i, span| {
            for j in span {
                let (share, slope) = pair(&s, &given, row, head, i, j);
                for d in 0..s.dim {
                    dk[s.key(row, j, head) + d] += s.scale * g.factor(slope) * given[0][s.query(row, i, head) + d];
                    dv[s.key(row, j, head) + d] += g.factor(share) * given[3][s.query(row, i, head) + d];
                }
            }
        });
        vec![dk, dv]
    });
}
