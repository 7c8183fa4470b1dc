//! A step of burn's wgpu backend at SmolLM2-135M's shape: one row of so many tokens, gradients of all weights without an update, random
//! weights. Attention as burn's own layers have it: products, a mask, softmax.
//!
//! Usage: peer-burn [TOKENS] [STEPS]; prints one line of JSON with the seconds of each step.

use burn::backend::{Autodiff, Wgpu, wgpu::WgpuDevice};
use burn::module::Module;
use burn::nn::{
    Embedding, EmbeddingConfig, Initializer, Linear, LinearConfig, RmsNorm, RmsNormConfig, RotaryEncoding, RotaryEncodingConfig,
    loss::CrossEntropyLossConfig,
};
use burn::tensor::activation::{silu, softmax};
use burn::tensor::backend::Backend;
use burn::tensor::{Bool, Int, Tensor, TensorData};
use std::time::Instant;

type Device = Autodiff<Wgpu>;

const HIDDEN: usize = 576;
const INTERMEDIATE: usize = 1536;
const LAYERS: usize = 30;
const HEADS: usize = 9;
const KV_HEADS: usize = 3;
const HEAD_DIM: usize = 64;
const VOCABULARY: usize = 49152;

#[derive(Module, Debug)]
struct Layer<B: Backend> {
    input_norm: RmsNorm<B>,
    q: Linear<B>,
    k: Linear<B>,
    v: Linear<B>,
    o: Linear<B>,
    mlp_norm: RmsNorm<B>,
    gate: Linear<B>,
    up: Linear<B>,
    down: Linear<B>,
}

#[derive(Module, Debug)]
struct Llama<B: Backend> {
    embedding: Embedding<B>,
    layers: Vec<Layer<B>>,
    norm: RmsNorm<B>,
    rope: RotaryEncoding<B>,
}

fn linear<B: Backend>(inputs: usize, outputs: usize, device: &B::Device) -> Linear<B> {
    LinearConfig::new(inputs, outputs).with_bias(false).init(device)
}

impl<B: Backend> Llama<B> {
    fn new(tokens: usize, device: &B::Device) -> Self {
        let norm = || RmsNormConfig::new(HIDDEN).with_epsilon(1e-5).init(device);
        let kv = KV_HEADS * HEAD_DIM;
        let layer = |_| Layer {
            input_norm: norm(),
            q: linear(HIDDEN, HIDDEN, device),
            k: linear(HIDDEN, kv, device),
            v: linear(HIDDEN, kv, device),
            o: linear(HIDDEN, HIDDEN, device),
            mlp_norm: norm(),
            gate: linear(HIDDEN, INTERMEDIATE, device),
            up: linear(HIDDEN, INTERMEDIATE, device),
            down: linear(INTERMEDIATE, HIDDEN, device),
        };
        let small = Initializer::Normal { mean: 0.0, std: 0.02 };
        let embedding = EmbeddingConfig::new(VOCABULARY, HIDDEN).with_initializer(small).init(device);
        let layers = (0..LAYERS).map(layer).collect();
        Self { embedding, layers, norm: norm(), rope: RotaryEncodingConfig::new(tokens, HEAD_DIM).init(device) }
    }

    fn loss(&self, ids: Tensor<B, 2, Int>, targets: Tensor<B, 1, Int>, mask: Tensor<B, 4, Bool>) -> Tensor<B, 1> {
        let tokens = ids.dims()[1];
        let mut x = self.embedding.forward(ids);
        for layer in &self.layers {
            let heads = |x: Tensor<B, 3>, count: usize| x.reshape([1, tokens, count, HEAD_DIM]).swap_dims(1, 2);
            let seen = layer.input_norm.forward(x.clone());
            let q = self.rope.forward(heads(layer.q.forward(seen.clone()), HEADS));
            let k = self.rope.forward(heads(layer.k.forward(seen.clone()), KV_HEADS));
            let v = heads(layer.v.forward(seen), KV_HEADS);
            // A head of keys serves three of queries: their rows stand one below the other.
            let group = HEADS / KV_HEADS;
            let q = q.reshape([1, KV_HEADS, group * tokens, HEAD_DIM]);
            let scores = q.matmul(k.transpose()) / (HEAD_DIM as f64).sqrt();
            let scores = scores.reshape([1, HEADS, tokens, tokens]).mask_fill(mask.clone(), f32::MIN);
            let weights = softmax(scores, 3).reshape([1, KV_HEADS, group * tokens, tokens]);
            let y = weights.matmul(v).reshape([1, HEADS, tokens, HEAD_DIM]).swap_dims(1, 2).reshape([1, tokens, HIDDEN]);
            x = x + layer.o.forward(y);
            let seen = layer.mlp_norm.forward(x.clone());
            x = x + layer.down.forward(silu(layer.gate.forward(seen.clone())) * layer.up.forward(seen));
        }
        let hidden: Tensor<B, 2> = self.norm.forward(x).reshape([tokens, HIDDEN]);
        let logits = hidden.matmul(self.embedding.weight.val().transpose());
        CrossEntropyLossConfig::new().init(&logits.device()).forward(logits, targets)
    }
}

fn main() {
    let mut numbers = std::env::args().skip(1).map(|a| a.parse::<usize>().expect("TOKENS and STEPS are numbers"));
    let (tokens, steps) = (numbers.next().unwrap_or(128), numbers.next().unwrap_or(5));
    let device = WgpuDevice::default();
    let begun = Instant::now();
    let model = Llama::<Device>::new(tokens, &device);
    let ids: Vec<i32> = (0..tokens + 1).map(|i| (i * 7919 % VOCABULARY) as i32).collect();
    let inputs = Tensor::from_data(TensorData::new(ids[..tokens].to_vec(), [1, tokens]), &device);
    let targets = Tensor::from_data(TensorData::new(ids[1..].to_vec(), [tokens]), &device);
    let mask: Tensor<Device, 2, Bool> = Tensor::tril_mask([tokens, tokens], 0, &device);
    let mask = mask.unsqueeze();
    let built = begun.elapsed().as_secs_f64();
    let mut losses = Vec::new();
    let seconds: Vec<f64> = (0..steps + 1)
        .map(|_| {
            let begun = Instant::now();
            let loss = model.loss(inputs.clone(), targets.clone(), mask.clone());
            let gradients = loss.backward();
            losses.push(loss.into_scalar());
            <Device as Backend>::sync(&device).expect("the device goes on");
            drop(gradients);
            begun.elapsed().as_secs_f64()
        })
        .collect();
    eprintln!("losses: {losses:?}");
    println!(
        r#"{{"peer": "burn 0.21.0, wgpu", "tokens": {tokens}, "build": {built}, "first": {}, "seconds": {:?}}}"#,
        seconds[0],
        &seconds[1..]
    );
}
