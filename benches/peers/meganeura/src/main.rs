//! A step of meganeura at SmolLM2-135M's shape: one row of so many tokens, gradients of all weights and its plain update, random weights.
//!
//! Usage: peer-meganeura [TOKENS] [STEPS]; prints one line of JSON with the seconds of each step.

use meganeura::models::smollm2::{SmolLM2Config, build_training_graph};
use meganeura::{SessionConfig, build};
use std::time::Instant;

fn main() {
    let mut numbers = std::env::args().skip(1).map(|a| a.parse::<usize>().expect("TOKENS and STEPS are numbers"));
    let (tokens, steps) = (numbers.next().unwrap_or(128), numbers.next().unwrap_or(5));
    let config = SmolLM2Config::smollm2_135m();
    let graph = build_training_graph(&config, tokens);
    let begun = Instant::now();
    let mut session = build(&graph, SessionConfig::from_env()).0;
    let parameters = session.plan().param_buffers.clone();
    let mut state = 1u32;
    for (name, buffer) in parameters {
        let count = session.plan().buffers[buffer.0 as usize] / 4;
        let norm = name.contains("norm");
        let values: Vec<f32> = (0..count)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                if norm { 1.0 } else { ((state >> 8) as f32 / (1 << 24) as f32 - 0.5) * 0.07 }
            })
            .collect();
        session.set_parameter(&name, &values);
    }
    let ids: Vec<u32> = (0..tokens).map(|i| (i * 7919 % config.vocab_size) as u32).collect();
    let mut labels = vec![0f32; tokens * config.vocab_size];
    for i in 0..tokens {
        labels[i * config.vocab_size + (i + 1) * 7919 % config.vocab_size] = 1.0;
    }
    session.set_learning_rate(1e-5);
    session.set_input_u32("token_ids", &ids);
    session.set_input("labels", &labels);
    let built = begun.elapsed().as_secs_f64();
    let seconds: Vec<f64> = (0..steps + 1)
        .map(|_| {
            let begun = Instant::now();
            session.step();
            session.wait();
            begun.elapsed().as_secs_f64()
        })
        .collect();
    println!(r#"{{"peer": "meganeura 0.3.0", "tokens": {tokens}, "build": {built}, "first": {}, "seconds": {:?}}}"#, seconds[0], &seconds[1..]);
}
