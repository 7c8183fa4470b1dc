//! What the app shows of a run while it goes: texts, a pause, how far each layer has moved; and voices that share weights.

use diablo::adapter::AdapterFile;
use diablo::demo::Files;
use diablo::device::Device;
use diablo::generate::{Decoder, Sampler, Sampling};
use diablo::model::Source;
use diablo::train::config::{Method, MixedPrecision};
use diablo::train::{Event, Flow, RunConfig, RunRecord, Trainer};
use pollster::block_on;
use std::path::Path;

fn config(folder: &Path, method: Method, steps: u64) -> RunConfig {
    let files = Files::write(folder).expect("the demo's files");
    RunConfig { steps: Some(steps), warmup: 0, eval_data: None, eval_every: None, ..files.config(method, 5, "cpu") }
}

fn prompt() -> Option<String> {
    Some("Where does Stoat live?".into())
}

#[test]
fn a_run_writes_texts_and_its_record_has_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let run = RunConfig { sample_prompt: prompt(), sample_every: Some(20), sample_tokens: 12, ..config(folder.path(), Method::Diablo, 40) };
    let out = run.out.clone();
    let mut heard = Vec::new();
    let mut trainer = Trainer::prepare(run.clone(), &mut |_| ()).expect("a run");
    let (held, estimate) = trainer.memory();
    assert_eq!(held.total(), estimate.total(), "the cache is part of the estimate");
    trainer
        .run(
            &mut |event| {
                if let Event::Sample { step, text, .. } = event {
                    heard.push((step, text));
                }
            },
            &|| false,
        )
        .expect("it runs");
    let steps: Vec<u64> = heard.iter().map(|h| h.0).collect();
    assert_eq!(steps, [0, 20, 40]);
    assert_ne!(heard[0].1, heard[2].1, "training changes what it writes");
    let record = RunRecord::open(&out).expect("a record");
    assert_eq!(record.written.iter().map(|w| (w.step, w.text.clone())).collect::<Vec<_>>(), heard);
    assert_eq!((record.metrics.len(), record.summary.map(|s| s.trainable)), (40, Some(49_152)));

    // Writing takes nothing from the run: the adapter is that of the run without.
    let quiet = RunConfig { out: folder.path().join("quiet"), sample_prompt: None, sample_every: None, ..run };
    Trainer::prepare(quiet.clone(), &mut |_| ()).expect("a run").run(&mut |_| (), &|| false).expect("it runs");
    let bytes = |out: &Path| std::fs::read(out.join("adapter_model.safetensors")).expect("an adapter");
    assert!(bytes(&out) == bytes(&quiet.out), "the texts changed the adapter");
    // The last text is what the finished adapter says.
    let source = Source::open(&run_model(&quiet)).expect("the model");
    let adapter = AdapterFile::open(&out, &source.config).expect("the adapter");
    let mut decoder = block_on(Decoder::new(&Device::Cpu, &source, Some(&adapter), 64, &mut |_, _| ())).expect("a decoder");
    assert_eq!(says(&mut decoder, &source, 12), heard[2].1);
}

fn run_model(run: &RunConfig) -> std::path::PathBuf {
    run.model.clone()
}

fn says(decoder: &mut Decoder, source: &Source, most: usize) -> String {
    let tokenizer = diablo::data::Tokenizer::from_dir(&source.folder).expect("a tokenizer");
    let stop = diablo::data::stop_ids(&source.folder, &tokenizer, &source.config.eos_token_id).expect("stop ids");
    let ids = tokenizer.encode(&prompt().unwrap_or_default()).expect("ids");
    let mut sampler = Sampler::new(Sampling::GREEDY);
    block_on(decoder.continue_tokens(&tokenizer, &ids, most, &stop, &mut sampler, &mut |_| true)).expect("text").text
}

/// Steps taken one at a time with a look inside between them end with the same bytes as a run in one go.
#[test]
fn looking_inside_changes_nothing_and_agrees_with_the_adapter() {
    let folder = tempfile::tempdir().expect("a folder");
    for method in [Method::Diablo, Method::Lora] {
        let run = config(folder.path(), method, 6);
        let (out, at_once) = (run.out.clone(), RunConfig { out: folder.path().join(format!("at-once-{method}")), ..run.clone() });
        Trainer::prepare(at_once.clone(), &mut |_| ()).expect("a run").run(&mut |_| (), &|| false).expect("it runs");
        let mut trainer = Trainer::prepare(run.clone(), &mut |_| ()).expect("a run");
        let none = &mut |_| ();
        let mut flow = block_on(trainer.begin(none)).expect("it begins");
        let before = block_on(trainer.changes()).expect("changes");
        assert!(before.iter().all(|c| c.change.iter().all(|x| *x == 0.0)), "{method}: nothing has moved yet");
        while flow == Flow::Running {
            flow = block_on(trainer.advance(none)).expect("a step");
            block_on(trainer.settle(none)).expect("settled");
        }
        let changes = block_on(trainer.changes()).expect("changes");
        assert_eq!(changes.len(), 4 * 7);
        for c in &changes {
            let off: f32 = (0..c.cells.grid * c.cells.grid).filter(|k| k / c.cells.grid != k % c.cells.grid).map(|k| c.change[k]).sum();
            assert_eq!(off == 0.0, method == Method::Diablo, "{method} {:?}", c.site);
            assert!(c.change[0] > 0.0 && c.weight.iter().all(|w| *w > 0.0));
            let cell = block_on(trainer.cell(c.site, (1, 1))).expect("a cell");
            let norm = |v: &[f32]| v.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt() as f32;
            let at = c.cells.grid + 1;
            assert!((norm(&cell.change) - c.change[at]).abs() <= 1e-4 * c.change[at], "{method} {:?}", c.site);
            assert!((norm(&cell.weight) - c.weight[at]).abs() <= 1e-4 * c.weight[at]);
            assert_eq!(cell.gradient.is_some(), method == Method::Diablo);
            assert_eq!(cell.change.len(), cell.shape.0 * cell.shape.1);
        }
        assert!(block_on(trainer.cell(changes[0].site, (99, 0))).is_err());
        block_on(trainer.conclude(none)).expect("it ends");
        for file in ["adapter_model.safetensors", "adapter_config.json"] {
            let bytes = |out: &Path| std::fs::read(out.join(file)).expect("a file");
            assert!(bytes(&out) == bytes(&at_once.out), "{method}: {file} is another one");
        }
    }
}

/// A gradient that is shown is that of the mean loss, also where the device holds a sum that is scaled up for f16.
#[test]
fn gradients_are_shown_as_they_are() {
    let folder = tempfile::tempdir().expect("a folder");
    let [whole, half] = [MixedPrecision::No, MixedPrecision::Fp16].map(|mixed_precision| {
        let run = config(folder.path(), Method::Diablo, 1);
        let run = RunConfig { mixed_precision, out: folder.path().join(mixed_precision.to_string()), ..run };
        let mut trainer = Trainer::prepare(run, &mut |_| ()).expect("a run");
        block_on(trainer.begin(&mut |_| ())).expect("it begins");
        block_on(trainer.advance(&mut |_| ())).expect("a step");
        block_on(trainer.settle(&mut |_| ())).expect("settled");
        let site = block_on(trainer.changes()).expect("changes")[0].site;
        block_on(trainer.cell(site, (0, 0))).expect("a cell").gradient.expect("a gradient")
    });
    let largest = whole.iter().fold(0f32, |largest, x| largest.max(x.abs()));
    assert!(largest > 0.0);
    let worst = whole.iter().zip(&half).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    println!("  largest gradient {largest:e}, with factors in f16 at most {worst:e} away");
    assert!(worst > 0.0 && worst <= 1e-2 * largest, "{worst} of {largest}");
}

/// Base and adapters in one decoder, whose weights are loaded once, say what each says alone.
#[test]
fn voices_share_weights() {
    let folder = tempfile::tempdir().expect("a folder");
    let runs: Vec<RunConfig> = [Method::Diablo, Method::Lora].map(|m| config(folder.path(), m, 30)).to_vec();
    let runs: Vec<RunConfig> =
        runs.into_iter().map(|r| RunConfig { out: folder.path().join(format!("voice-{}", r.method)), ..r }).collect();
    for run in &runs {
        Trainer::prepare(run.clone(), &mut |_| ()).expect("a run").run(&mut |_| (), &|| false).expect("it runs");
    }
    let source = Source::open(&runs[0].model).expect("the model");
    let adapters: Vec<AdapterFile> = runs.iter().map(|r| AdapterFile::open(&r.out, &source.config).expect("an adapter")).collect();
    let devices = [Some(Device::Cpu), Device::open("llvmpipe").ok()];
    for device in devices.into_iter().flatten() {
        let mut together = block_on(Decoder::new(&device, &source, None, 64, &mut |_, _| ())).expect("a decoder");
        for adapter in &adapters {
            block_on(together.add(Some(adapter))).expect("a voice");
        }
        let mut alone = Vec::new();
        for adapter in std::iter::once(None).chain(adapters.iter().map(Some)) {
            let mut decoder = block_on(Decoder::new(&device, &source, adapter, 64, &mut |_, _| ())).expect("a decoder");
            alone.push(says(&mut decoder, &source, 10));
        }
        assert!(alone[0] != alone[1] && alone[0] != alone[2], "the adapters say something of their own: {alone:?}");
        for voice in [0, 1, 2, 1, 0] {
            together.switch(voice);
            assert_eq!(says(&mut together, &source, 10), alone[voice], "voice {voice}");
        }
    }
}
