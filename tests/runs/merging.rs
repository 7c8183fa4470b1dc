//! Several adapters merged into one base: against plain sums from the files, and as a person says it.

use crate::common::{apart, diablo, json_file, logits, text};
use diablo::adapter::{AdapterFile, Spec, choose, files};
use diablo::data::Tokenizer;
use diablo::model::{ModelConfig, Source};
use diablo::random::Random;
use std::path::Path;

const DEMO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/demo/model");
const PHI3: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/phi3-diablo/model");

/// An adapter with drawn numbers, written to a folder.
fn write(spec: Spec, config: &ModelConfig, seed: u64, folder: &Path) -> AdapterFile {
    let draw = |(name, shape): (String, Vec<usize>)| {
        let mut random = Random::new(seed).stream(&name);
        let values = (0..shape.iter().product()).map(|_| (random.normal() * 0.2) as f32).collect();
        files::Tensor { name, shape, values }
    };
    let tensors = files::tensor_list(&spec, config).expect("a list").into_iter().map(draw).collect();
    let adapter = AdapterFile { spec, base: DEMO.into(), tensors };
    std::fs::create_dir_all(folder).expect("a folder");
    adapter.save(folder).expect("saved");
    adapter
}

fn blocks(config: &ModelConfig, modules: &[&'static str]) -> Spec {
    choose::diablo(config, modules, |_| Some(4), true, 0.0).expect("padded blocks fit every layer")
}

/// Entry [o, i] of what an adapter adds to the weight of this path, by definition.
fn delta(adapter: &AdapterFile, path: &str, o: usize, i: usize) -> f64 {
    let find = |end: &str| adapter.tensors.iter().find(|t| t.name == format!("base_model.model.{path}.{end}"));
    if let Some(d) = find("diablo_block") {
        let (block_in, block_out) = (d.shape[1], d.shape[2]);
        let same = o / block_out == i / block_in;
        return if same { f64::from(d.values[(o / block_out * block_in + i % block_in) * block_out + o % block_out]) } else { 0.0 };
    }
    let (Some(a), Some(b)) = (find("lora_A.weight"), find("lora_B.weight")) else { return 0.0 };
    let (rank, d_in) = (a.shape[0], a.shape[1]);
    let sum: f64 = (0..rank).map(|r| f64::from(b.values[o * rank + r]) * f64::from(a.values[r * d_in + i])).sum();
    // alpha 8 over rank 4.
    2.0 * sum
}

fn check(model: &str) {
    let base = Source::open(Path::new(model)).expect("model");
    let dir = tempfile::tempdir().expect("a folder");
    let at = |name: &str| dir.path().join(name);
    let all = base.config.modules();
    // One on every layer, one on some: in places both add, in places one.
    let a = write(blocks(&base.config, &all), &base.config, 1, &at("a"));
    let b = write(Spec { targets: all[..2].to_vec(), ..Spec::lora(4, 8.0) }, &base.config, 2, &at("b=2"));
    let c = write(Spec { targets: all.clone(), ..Spec::lora(4, 8.0) }, &base.config, 3, &at("c"));
    let words = [format!("{}=0.7", text(&at("a"))), format!("{}=0.3", text(&at("b=2"))), format!("{}=-1e-1", text(&at("c")))];
    let out = at("out");
    let mut args = vec!["export", "--model", model, "--out", text(&out), "--dtype", "f32"];
    words.iter().for_each(|word| args.extend(["--adapter", word]));
    let said = diablo(&args);
    assert!(said.err.contains("merging 0.7 x") && said.err.contains(" + 0.3 x") && said.err.contains(" + -0.1 x"), "{}", said.said());
    said.good();

    let merged = Source::open(&out).expect("merged model");
    let (old, new) = (base.checkpoint().expect("weights"), merged.checkpoint().expect("weights"));
    let (old, new) = (old.resolve(&base.config).expect("fits"), new.resolve(&merged.config).expect("fits"));
    let mut moved = 0f64;
    for ((spec, w), (_, m)) in old.iter().zip(&new) {
        let (w, m) = (w.read().expect("reads").to_f32(), m.read().expect("reads").to_f32());
        let path = spec.name.trim_end_matches(".weight");
        let inside = all.iter().any(|module| path.ends_with(&format!(".{module}")));
        let cols = spec.shape.last().copied().expect("a side");
        for (place, (w, m)) in w.iter().zip(&m).enumerate() {
            let (o, i) = (place / cols, place % cols);
            let of = |adapter| if inside { delta(adapter, path, o, i) } else { 0.0 };
            let sum = 0.7 * of(&a) + 0.3 * of(&b) - 0.1 * of(&c);
            let want = f64::from(*w) + sum;
            // Rounded to 32 bits once, from sums in 64.
            assert!((f64::from(*m) - want).abs() <= want.abs() * 2f64.powi(-24) + 1e-12, "{path} [{o}, {i}]: {m} and not {want}");
            moved = moved.max(sum.abs());
        }
    }
    assert!(moved > 0.3, "{moved}: the adapters are large enough to be seen");

    // A folder's own name may hold the sign; without a factor it counts once.
    let plain = at("plain");
    diablo(&["export", "--model", model, "--adapter", text(&at("b=2")), "--out", text(&plain), "--dtype", "f32"]).good();
    let prompts = [Tokenizer::from_dir(&base.folder).expect("tokenizer").encode("Beaver plays").expect("ids")];
    let alone = logits(&base, Some(&b), &prompts);
    assert!(apart(&logits(&Source::open(&plain).expect("merged model"), None, &prompts), &alone) < 1e-5);
}

#[test]
fn diablo_and_lora_on_the_demo_s_model() {
    check(DEMO);
}

#[test]
fn diablo_and_lora_on_fused_layers() {
    check(PHI3);
}

#[test]
fn what_cannot_be_merged_is_refused() {
    let base = Source::open(Path::new(DEMO)).expect("model");
    let dir = tempfile::tempdir().expect("a folder");
    let at = |name: &str| dir.path().join(name);
    let lora = || Spec { targets: base.config.modules(), ..Spec::lora(4, 8.0) };
    write(lora(), &base.config, 1, &at("a"));
    let mut lengths = lora();
    let diablo::adapter::Kind::Lora { dora, .. } = &mut lengths.kind else { unreachable!() };
    *dora = true;
    write(lengths, &base.config, 2, &at("dora"));
    let other = write(lora(), &base.config, 3, &at("other"));
    AdapterFile { base: "hub/Other-1B".into(), ..other }.save(&at("other")).expect("saved");
    assert_eq!(json_file(&at("other"), "adapter_config.json")["base_model_name_or_path"], "hub/Other-1B");
    let out = at("out");
    let run = |adapters: &[&str], more: &[&str]| {
        let words: Vec<String> = adapters.iter().map(|word| text(&at(word)).to_owned()).collect();
        let mut args = vec!["export", "--model", DEMO, "--out", text(&out)];
        words.iter().for_each(|word| args.extend(["--adapter", word]));
        args.extend(more);
        diablo(&args)
    };
    run(&["a", "dora"], &[]).bad(2, &["DoRA", "no sum"]);
    run(&["dora=0.5"], &[]).bad(2, &["DoRA", "no factor"]);
    run(&["a", "other=0.5"], &[]).bad(2, &["different models", "model and Other-1B"]);
    run(&["a=much"], &[]).bad(2, &["\"much\" is no number"]);
    run(&["a=inf"], &[]).bad(2, &["\"inf\" is no number"]);
    run(&["a", "a"], &["--format", "shira"]).bad(2, &["one adapter"]);
    run(&["a=0.5"], &["--format", "shira"]).bad(2, &["one adapter"]);
    run(&["a"], &["--dtype", "q8_0"]).bad(2, &["q8_0", "--format gguf"]);
    run(&[], &[]).bad(2, &["--adapter is needed"]);
    assert!(!out.exists(), "nothing was begun");
    // DoRA alone is merged as it is.
    run(&["dora"], &[]).good();
}
