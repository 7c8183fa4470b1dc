//! A run's parcel, put together in the worker.

use super::Parcel;
use crate::adapter::{AdapterFile, Blend};
use crate::error::{Error, Result};
use crate::files;
use crate::model::gguf::Encoding;
use crate::model::{Checkpoint, Source};
use crate::train::checkpoint::CHECKPOINTS;
use crate::train::config::Method;
use crate::train::run_folder::CONFIG_FILE;
use crate::train::{RunConfig, export, gguf};
use crate::web::tar;
use std::path::Path;

/// The bytes of a base model that can be merged in a page: all of it stands in memory.
const MOST_MERGED: u64 = 800_000_000;
/// Where it is put together.
const FOLDER: &str = "/parcel";

/// A parcel that was put together.
#[derive(Debug)]
pub struct Packed {
    /// The file's name.
    pub name: String,
    /// What it holds.
    pub bytes: Vec<u8>,
    /// What a person should know.
    pub notes: Vec<String>,
    /// The Modelfile that Ollama wants beside a GGUF file.
    pub modelfile: Option<String>,
}

/// The parcel of a run: a `.tar` file, or a `.gguf` file.
///
/// # Errors
/// Where a file is missing or broken, or a model too large for a page.
pub fn pack(run: &Path, parcel: Parcel, dtype: Option<Encoding>) -> Result<Packed> {
    let config = RunConfig::from_toml_file(&run.join(CONFIG_FILE))?;
    let own = run.file_name().map_or_else(|| "run".into(), |name| name.to_string_lossy());
    if parcel == Parcel::Gguf {
        let packed = one_file(run, &config, &own, dtype);
        files::remove(Path::new(FOLDER))?;
        return packed;
    }
    let (name, folder) = match (parcel, config.method) {
        (Parcel::Run, _) => (own.into_owned(), run.to_path_buf()),
        (_, Method::Full) => (format!("{own}-model"), run.join("model")),
        (Parcel::Adapter, _) => (format!("{own}-adapter"), Path::new(FOLDER).join("adapter")),
        _ => (format!("{own}-merged"), Path::new(FOLDER).join("merged")),
    };
    if folder.starts_with(FOLDER) {
        files::remove(Path::new(FOLDER))?;
        write(run, &config, parcel, dtype, &folder)?;
    }
    let inside = files::files_below(&folder).into_iter().filter(|path| !path.starts_with(folder.join(CHECKPOINTS)));
    let read = |path: std::path::PathBuf| -> Result<(String, Vec<u8>)> {
        let below = path.strip_prefix(&folder).unwrap_or(&path).display().to_string();
        Ok((format!("{name}/{below}"), files::read(&path).map_err(Error::io(&path))?))
    };
    let packed = inside.map(read).collect::<Result<Vec<_>>>().and_then(|files| tar::pack(&files));
    files::remove(Path::new(FOLDER))?;
    Ok(Packed { name: format!("{name}.tar"), bytes: packed?, notes: Vec::new(), modelfile: None })
}

fn write(run: &Path, config: &RunConfig, parcel: Parcel, dtype: Option<Encoding>, folder: &Path) -> Result<()> {
    let source = Source::open(&config.model)?;
    let adapter = AdapterFile::open(run, &source.config)?;
    if parcel == Parcel::Adapter {
        files::create_dir_all(folder).map_err(Error::io(folder))?;
        return adapter.save(folder);
    }
    export::write_merged(&source, weights(&source)?, &adapter, folder, dtype.and_then(Encoding::dtype))
}

/// A run's model as GGUF; the one that it wrote itself where all of it was trained.
fn one_file(run: &Path, config: &RunConfig, own: &str, encoding: Option<Encoding>) -> Result<Packed> {
    files::remove(Path::new(FOLDER))?;
    // The folder's name becomes the model's.
    let folder = Path::new(FOLDER).join(own);
    let written = if config.method == Method::Full {
        let source = Source::open(&run.join("model"))?;
        gguf::write(&source, weights(&source)?, Blend::none(), &folder, encoding)?
    } else {
        let source = Source::open(&config.model)?;
        let adapter = AdapterFile::open(run, &source.config)?;
        gguf::write(&source, weights(&source)?, &adapter, &folder, encoding)?
    };
    let bytes = files::read(&written.file).map_err(Error::io(&written.file))?;
    let name = format!("{own}.gguf");
    let modelfile = written.modelfile.replacen(gguf::MODEL_FILE, &name, 1);
    Ok(Packed { name, bytes, notes: written.notes, modelfile: Some(modelfile) })
}

/// The weights of a model that a page has room to merge into.
fn weights(source: &Source) -> Result<&Checkpoint> {
    let model = source.folder.display().to_string();
    let bytes: u64 = files::files_below(&source.folder).iter().filter_map(|path| files::metadata(path).ok()).map(|m| m.len).sum();
    if bytes > MOST_MERGED {
        let hint = "take the adapter alone, and merge it on the desktop: diablo export";
        return Err(Error::input(model, format!("{} MB are too many to be merged in a page", bytes / 1_000_000), hint));
    }
    source.checkpoint().ok_or_else(|| Error::input(model, "holds no weights to merge into", ""))
}
