//! The matmul twin at the shapes of small transformers: forward and input gradient, with and without DiaBlo's diagonal, and the
//! gradient of the blocks. `cargo bench --bench matmul`

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use diablo::device::{Device, Op};
use diablo::kernels::Format;
use diablo::kernels::cases::{CaseBuilder, Product};
use diablo::kernels::matmul::{Diagonal, MatMul, Matrix};
use std::time::Duration;

const TOKENS: usize = 1024;
const BLOCKS: usize = 8;
/// Inputs and outputs of projections: a test model's, SmolLM2-135M's, and the loss head of a small vocabulary.
const SHAPES: [(usize, usize); 6] = [(128, 128), (128, 384), (384, 128), (576, 576), (576, 1536), (128, 2048)];

fn bench(c: &mut Criterion, name: &str, b: CaseBuilder, op: Op) {
    let flops = op.flops;
    let case = b.finish(name, 0.0, op);
    let mut session = pollster::block_on(Device::Cpu.load(&case.layout, std::slice::from_ref(&case.plan))).expect("enough memory");
    for (view, words) in case.inputs.iter() {
        session.write(*view, words).expect("the CPU takes it");
    }
    let mut group = c.benchmark_group("matmul");
    group.throughput(Throughput::Elements(flops)).sample_size(20).measurement_time(Duration::from_secs(2));
    group.bench_function(name, |bencher| bencher.iter(|| session.run(0, u32::MAX).expect("it runs")));
    group.finish();
}

fn matmuls(c: &mut Criterion) {
    for (inputs, outputs) in SHAPES {
        let (block_in, block_out) = (inputs / BLOCKS, outputs / BLOCKS);
        for format in [Format::F32, Format::Bf16] {
            for with_blocks in [false, true] {
                for (layout, n, k) in [(Product::Forward, outputs, inputs), (Product::InputGradient, inputs, outputs)] {
                    let mut b = CaseBuilder::new(1);
                    let (a, w) = (b.floats(TOKENS * k, 1.0), b.weight(inputs * outputs, format));
                    let (view, y) = (b.floats(inputs * block_out, 1.0), b.floats(TOKENS * n, 1.0));
                    let (left, right) = layout.matrices(a, w, TOKENS, n, k);
                    let columns_are_outputs = layout == Product::Forward;
                    let diagonal = with_blocks.then_some(Diagonal { view, block_in, block_out, first_output: 0, columns_are_outputs });
                    let op = MatMul { format, diagonal, ..MatMul::new(TOKENS, n, k, left, right, Matrix::rows(y, n)) };
                    let with = if with_blocks { " with blocks" } else { "" };
                    bench(c, &format!("{layout:?} {inputs} to {outputs}, {format:?}{with}"), b, op.op());
                }
            }
        }
        let mut b = CaseBuilder::new(1);
        let (x, g, d) = (b.floats(TOKENS * inputs, 1.0), b.floats(TOKENS * outputs, 1.0), b.floats(inputs * block_out, 1.0));
        let left = Matrix::rows(x, inputs).transposed().every(block_in);
        let right = Matrix::rows(g, outputs).every(block_out);
        let into = Matrix::rows(d, block_out).every(block_in * block_out);
        let op = MatMul { batch: BLOCKS, accumulate: true, ..MatMul::new(block_in, block_out, TOKENS, left, right, into) };
        bench(c, &format!("gradient of {BLOCKS} blocks, {inputs} to {outputs}"), b, op.op());
    }
}

criterion_group!(benches, matmuls);
criterion_main!(benches);
