//! A model as one GGUF file, adapters merged into it, with a Modelfile for Ollama beside it.

mod modelfile;

use super::export::{refuse_what_is_there, site_of};
use crate::adapter::Blend;
use crate::data::Vocabulary;
use crate::error::{Error, Result};
use crate::files::{self, atomic_write_bytes};
use crate::model::gguf::{Encoding, GgufTensor, Metadata, Value, encoding, file::Sink, keys, names, write_gguf};
use crate::model::{Checkpoint, Family, ModelConfig, ParamSpec, Source, StoredTensor};
use rayon::prelude::*;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// The model's file in the folder that is written.
pub const MODEL_FILE: &str = "model.gguf";
/// The file beside it that `ollama create` reads.
pub const MODELFILE: &str = "Modelfile";
/// Numbers that are in memory at a time, where a row is not longer.
const PART: usize = 1 << 20;
/// Of ggml's blocks (`GGML_QNT_VERSION`).
const QUANTISATION_VERSION: u32 = 2;
const ROPE_DIVISORS: &str = "rope_freqs.weight";

/// What was written.
#[derive(Clone, Debug)]
pub struct Written {
    /// The model's file.
    pub file: PathBuf,
    /// Its length.
    pub bytes: u64,
    /// What a person should know: where the file says less than the model's folder.
    pub notes: Vec<String>,
    /// The Modelfile's text.
    pub modelfile: String,
}

/// Hears how many bytes of how many are written. False gives the file up.
pub type Watch<'a> = dyn FnMut(u64, u64) -> bool + 'a;

/// One tensor of the file, and what it is made of.
struct Planned<'a> {
    tensor: GgufTensor,
    from: Option<(ParamSpec, StoredTensor<'a>)>,
}

/// Writes base and adapters as `folder/model.gguf` with `folder/Modelfile`, matrices in `encoding` or the checkpoint's own type. Norms,
/// biases and learned positions stay in 32 bits. In 4 bits the tables of tokens take 8: each of their rows is read alone, and the output layer's errors reach the
/// text at once.
///
/// # Errors
/// Where the folder holds something already, llama.cpp cannot compute the model, a number does not fit the type, or the disk is full.
pub fn write<'a>(
    source: &Source,
    checkpoint: &Checkpoint,
    adapters: impl Into<Blend<'a>>,
    folder: &Path,
    encoding: Option<Encoding>,
) -> Result<Written> {
    write_watched(source, checkpoint, adapters, folder, encoding, &mut |_, _| true)
}

/// [`write()`] for whoever waits for it, and may not want it any more.
///
/// # Errors
/// As [`write()`], and where it was given up.
pub fn write_watched<'a>(
    source: &Source,
    checkpoint: &Checkpoint,
    adapters: impl Into<Blend<'a>>,
    folder: &Path,
    encoding: Option<Encoding>,
    watch: &mut Watch,
) -> Result<Written> {
    let (adapters, config) = (adapters.into(), &source.config);
    refuse_what_is_there(folder)?;
    let encoding = encoding.unwrap_or(source.dtype().into());
    let mut notes = Vec::new();
    let own = keys::metadata(config, &mut notes)?;
    let vocabulary = Vocabulary::of_model(&source.folder, config, &mut notes)?;
    let planned = plan(config, checkpoint, encoding, &mut notes)?;
    let mut metadata = general(config, folder, encoding, vocabulary.strips_behind_special);
    metadata.extend(own);
    metadata.extend(vocabulary.metadata.iter().cloned());

    files::create_dir_all(folder).map_err(Error::io(folder))?;
    let file = folder.join(MODEL_FILE);
    let tensors: Vec<GgufTensor> = planned.iter().map(|p| p.tensor.clone()).collect();
    let mut next = planned.iter();
    let (mut done, all) = (0, tensors.iter().filter_map(GgufTensor::byte_len).sum::<usize>() as u64);
    let bytes = write_gguf(&file, &metadata, &tensors, |tensor, sink| {
        let sink: &mut Sink = &mut |bytes| {
            done += bytes.len() as u64;
            if !watch(done, all) {
                return Err(Error::usage(format!("{}: not written: it was given up", file.display()), ""));
            }
            sink(bytes)
        };
        match next.next().and_then(|p| p.from.as_ref()) {
            Some((parameter, stored)) => write_tensor(config, &adapters, parameter, stored, tensor, sink),
            None => {
                let mut out = Vec::new();
                tensor.encoding.encode(&keys::rope_divisors(config).unwrap_or_default(), &mut out);
                sink(&out)
            }
        }
    })?;
    let text = modelfile::text(&source.folder, MODEL_FILE, &vocabulary)?;
    atomic_write_bytes(&folder.join(MODELFILE), text.as_bytes())?;
    Ok(Written { file, bytes, notes, modelfile: text })
}

/// The file's tensors in order.
fn plan<'a>(config: &ModelConfig, checkpoint: &'a Checkpoint, encoding: Encoding, notes: &mut Vec<String>) -> Result<Vec<Planned<'a>>> {
    let mut planned = Vec::new();
    if let Some(divisors) = keys::rope_divisors(config) {
        let tensor = GgufTensor { name: ROPE_DIVISORS.into(), shape: vec![divisors.len()], encoding: Encoding::F32 };
        planned.push(Planned { tensor, from: None });
    }
    let mut uneven = 0;
    for (parameter, stored) in checkpoint.resolve(config)? {
        let unnamed = || Error::input(&parameter.name, "has no name in GGUF", "");
        let name = names::tensor_name(config, &parameter.name).ok_or_else(unnamed)?;
        let own = config.architecture.names();
        let table = own.tables().any(|table| table == parameter.name);
        let encoding = match parameter.shape[..] {
            // As llama.cpp's own tools keep it.
            _ if own.positions == Some(&parameter.name) => Encoding::F32,
            [_, _] if encoding == Encoding::Q4 && table => Encoding::Q8,
            [_, _] => encoding,
            _ => Encoding::F32,
        };
        let whole = !encoding.in_blocks() || parameter.shape[1].is_multiple_of(encoding::BLOCK);
        uneven += usize::from(!whole);
        let encoding = if whole { encoding } else { Encoding::F16 };
        planned.push(Planned { tensor: GgufTensor { name, shape: parameter.shape.clone(), encoding }, from: Some((parameter, stored)) });
    }
    if uneven > 0 {
        let tensors = if uneven == 1 { "1 tensor has rows that are" } else { &format!("{uneven} tensors have rows that are") };
        notes.push(format!("{tensors} no multiple of {} numbers: written as f16", encoding::BLOCK));
    }
    Ok(planned)
}

fn general(config: &ModelConfig, folder: &Path, encoding: Encoding, strips_behind_special: bool) -> Metadata {
    let name = folder.file_name().map_or_else(|| "model".into(), |name| name.to_string_lossy().into_owned());
    // llama.cpp knows by the name that white space behind Phi-3's special tokens belongs to them.
    let phi = config.architecture == Family::Phi3 && strips_behind_special && !name.to_lowercase().contains("phi-3");
    let name = if phi { format!("Phi-3 {name}") } else { name };
    let text = |text: &str| Value::Text(text.into());
    let mut out = vec![
        ("general.architecture".to_owned(), text(keys::architecture(config))),
        ("general.type".to_owned(), text("model")),
        ("general.name".to_owned(), Value::Text(name)),
        ("general.file_type".to_owned(), Value::U32(encoding.file_type())),
    ];
    if encoding.in_blocks() {
        out.push(("general.quantization_version".to_owned(), Value::U32(QUANTISATION_VERSION)));
    }
    out
}

/// Reads, merges, converts and hands on a tensor, so many rows at a time.
fn write_tensor(
    config: &ModelConfig,
    adapters: &Blend,
    parameter: &ParamSpec,
    stored: &StoredTensor,
    tensor: &GgufTensor,
    sink: &mut Sink,
) -> Result<()> {
    let (rows, cols) = match parameter.shape[..] {
        [rows, cols] => (rows, cols),
        _ => (parameter.shape.iter().product(), 1),
    };
    let turned = names::interleaved(config, &parameter.name);
    let source_row = |o: usize| turned.map_or(o, |head_dim| names::source_row(o, head_dim));
    let change = site_of(config, &parameter.name).and_then(|site| adapters.change(site));
    let is_norm = parameter.name.ends_with("norm.weight");
    let (offset, factor) = if is_norm { names::norm(config, &parameter.name) } else { (0.0, 1.0) };
    let row_bytes = tensor.encoding.bytes(cols);
    let step = (PART / cols).max(1);
    for first in (0..rows).step_by(step) {
        let part = first..(first + step).min(rows);
        let mut values = read_rows(stored, part.clone(), cols, turned.is_some().then_some(&source_row))?;
        let mut out = vec![0; part.len() * row_bytes];
        let lines = out.par_chunks_mut(row_bytes).zip(values.par_chunks_mut(cols)).enumerate();
        let encoded = lines.try_for_each_init(
            || (Vec::new(), Vec::new()),
            |(sums, bytes), (i, (out, row))| {
                if let Some(change) = &change {
                    change.add_to_row(source_row(first + i), row, sums);
                }
                if is_norm {
                    row.iter_mut().for_each(|w| *w = (*w + offset) * factor);
                }
                // A test that NaN fails.
                if !row.iter().all(|w| w.abs() < tensor.encoding.end()) {
                    return Err(());
                }
                bytes.clear();
                tensor.encoding.encode(row, bytes);
                out.copy_from_slice(bytes);
                Ok(())
            },
        );
        encoded.map_err(|()| does_not_fit(parameter, &values, tensor.encoding))?;
        sink(&out)?;
    }
    Ok(())
}

/// Rows of a tensor; each from where `source_row` says, if it says so.
fn read_rows(stored: &StoredTensor, rows: Range<usize>, cols: usize, source_row: Option<&dyn Fn(usize) -> usize>) -> Result<Vec<f32>> {
    let Some(source_row) = source_row else {
        return Ok(stored.read_slice(rows.start * cols..rows.end * cols)?.to_f32());
    };
    let mut all = Vec::with_capacity(rows.len() * cols);
    for row in rows.map(source_row) {
        all.extend(stored.read_slice(row * cols..(row + 1) * cols)?.to_f32());
    }
    Ok(all)
}

fn does_not_fit(parameter: &ParamSpec, values: &[f32], encoding: Encoding) -> Error {
    if values.iter().all(|w| w.is_finite()) {
        return Error::input(&parameter.name, format!("holds numbers that {encoding} cannot"), "use --dtype bf16 or --dtype f32");
    }
    Error::input(&parameter.name, "holds something that is no number (NaN or infinity)", "the run diverged, or the checkpoint is damaged")
}
