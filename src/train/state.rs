//! What trains, read from the device and put back: checkpoints and the adapter.

use super::program::Program;
use crate::adapter::files::{Tensor, f32_bytes};
use crate::device::{Session, View};
use crate::error::{Error, Result};
use crate::model::arena::Trained;
use crate::model::{Dtype, SafetensorsFile, TensorSpec, write_safetensors};
use std::borrow::Cow;
use std::path::Path;

/// The file that holds the arena in a checkpoint.
pub const ARENA_FILE: &str = "arena.safetensors";

/// Values and both moments.
const KINDS: [&str; 3] = ["value", "first", "second"];

fn view(t: &Trained, kind: &str) -> View {
    match kind {
        "value" => t.value,
        "first" => t.first,
        _ => t.second,
    }
}

/// The tensors that train, with one kind of numbers.
async fn read(session: &mut Session, program: &Program, kind: &str) -> Result<Vec<Tensor>> {
    let mut tensors: Vec<Tensor> = Vec::new();
    for t in &program.arena.tensors {
        let mut values = session.read_f32(view(t, kind)).await?;
        values.truncate(t.len);
        match tensors.last_mut() {
            Some(last) if last.name == t.name => last.values.extend(values),
            _ => tensors.push(Tensor { name: t.name.clone(), shape: t.shape.clone(), values }),
        }
    }
    Ok(tensors)
}

/// The trained values.
///
/// # Errors
/// Where the device was lost.
pub async fn values(session: &mut Session, program: &Program) -> Result<Vec<Tensor>> {
    read(session, program, "value").await
}

/// Values and moments, as a checkpoint keeps them.
///
/// # Errors
/// Where the device was lost.
pub async fn everything(session: &mut Session, program: &Program) -> Result<Vec<Tensor>> {
    let mut all = Vec::new();
    for kind in KINDS {
        for tensor in read(session, program, kind).await? {
            all.push(Tensor { name: format!("{kind}/{}", tensor.name), ..tensor });
        }
    }
    Ok(all)
}

/// Writes values and moments into a checkpoint's folder.
///
/// # Errors
/// Where the file cannot be written.
pub fn save(all: &[Tensor], folder: &Path) -> Result<()> {
    let specs: Vec<TensorSpec> = all.iter().map(|t| TensorSpec::new(t.name.clone(), Dtype::F32, t.shape.clone())).collect();
    write_safetensors(&folder.join(ARENA_FILE), &specs, &[("format", "diablo-arena")], |spec| {
        let tensor = all.iter().find(|t| t.name == spec.name);
        Ok(Cow::Owned(tensor.map(|t| f32_bytes(&t.values)).unwrap_or_default()))
    })
}

/// Puts a checkpoint's values and moments back.
///
/// # Errors
/// Where the file does not hold what this run trains.
pub fn restore(session: &mut Session, program: &Program, folder: &Path) -> Result<()> {
    let file = SafetensorsFile::open(&folder.join(ARENA_FILE))?;
    for t in &program.arena.tensors {
        for kind in KINDS {
            let tensor = file.tensor(&format!("{kind}/{}", t.name))?;
            if tensor.shape != t.shape {
                let what = format!("{} has shape {:?}, and this run trains {:?}", t.name, tensor.shape, t.shape);
                return Err(Error::input(file.place(), what, "resume with the options that the run was begun with"));
            }
            let begin = t.first_row * t.shape.iter().skip(1).product::<usize>();
            session.write_f32(view(t, kind), &tensor.slice(begin..begin + t.len).to_f32())?;
        }
    }
    Ok(())
}

/// The values of a checkpoint, without a device.
///
/// # Errors
/// Where the file does not hold what this run trains.
pub fn saved_values(program: &Program, folder: &Path) -> Result<Vec<Tensor>> {
    let file = SafetensorsFile::open(&folder.join(ARENA_FILE))?;
    let mut tensors: Vec<Tensor> = Vec::new();
    for t in program.arena.tensors.iter().filter(|t| t.first_row == 0) {
        let values = file.tensor(&format!("value/{}", t.name))?.to_f32();
        tensors.push(Tensor { name: t.name.clone(), shape: t.shape.clone(), values });
    }
    Ok(tensors)
}
