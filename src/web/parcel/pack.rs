//! A run's parcel, put together in the worker.

use super::Parcel;
use crate::adapter::AdapterFile;
use crate::error::{Error, Result};
use crate::files;
use crate::model::{Dtype, Source};
use crate::train::checkpoint::CHECKPOINTS;
use crate::train::config::Method;
use crate::train::run_folder::CONFIG_FILE;
use crate::train::{RunConfig, export};
use crate::web::tar;
use std::path::Path;

/// The bytes of a base model that can be merged in a page: all of it stands in memory.
const MOST_MERGED: u64 = 800_000_000;
/// Where it is put together.
const FOLDER: &str = "/parcel";

/// The parcel of a run: its name, and a `.tar` file.
///
/// # Errors
/// Where a file is missing or broken, or a model too large for a page.
pub fn pack(run: &Path, parcel: Parcel, dtype: Option<Dtype>) -> Result<(String, Vec<u8>)> {
    let config = RunConfig::from_toml_file(&run.join(CONFIG_FILE))?;
    let own = run.file_name().map_or_else(|| "run".into(), |name| name.to_string_lossy());
    let (name, folder) = match (parcel, config.method) {
        (Parcel::Run, _) => (own.into_owned(), run.to_path_buf()),
        (_, Method::Full) => (format!("{own}-model"), run.join("model")),
        (Parcel::Adapter, _) => (format!("{own}-adapter"), Path::new(FOLDER).join("adapter")),
        (Parcel::Merged, _) => (format!("{own}-merged"), Path::new(FOLDER).join("merged")),
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
    Ok((format!("{name}.tar"), packed?))
}

fn write(run: &Path, config: &RunConfig, parcel: Parcel, dtype: Option<Dtype>, folder: &Path) -> Result<()> {
    let source = Source::open(&config.model)?;
    let adapter = AdapterFile::open(run, &source.config)?;
    if parcel == Parcel::Adapter {
        files::create_dir_all(folder).map_err(Error::io(folder))?;
        return adapter.save(folder);
    }
    let model = config.model.display().to_string();
    let checkpoint = source.checkpoint().ok_or_else(|| Error::input(&model, "holds no weights to merge into", ""))?;
    let bytes: u64 = files::files_below(&config.model).iter().filter_map(|path| files::metadata(path).ok()).map(|m| m.len).sum();
    if bytes > MOST_MERGED {
        let hint = "take the adapter alone, and merge it on the desktop: diablo export";
        return Err(Error::input(model, format!("{} MB are too many to be merged in a page", bytes / 1_000_000), hint));
    }
    export::write_merged(&source, checkpoint, &adapter, folder, dtype)
}
