//! DiaBlo checkpoints as the method's authors write them (github.com/ziyangjoy/DiaBlo, `diablo/trainer.py`): a file `adapter.chkpt`
//! that `torch.save` made of a dictionary from `model.layers.0.self_attn.q_proj.block_A` to blocks [N, ceil(d_in / N), ceil(d_out / N)],
//! in the model's own type. Which layers have blocks, and how many, only the tensors say.

use super::files::{AdapterFile, Tensor, tensor_list};
use super::spec::{Kind, Spec};
use super::{MODULES, choose, diablo};
use crate::error::{Error, Result};
use crate::model::weights::Site;
use crate::model::{ModelConfig, TorchFile};
use std::collections::BTreeMap;
use std::path::Path;

/// The authors' name of the file.
pub const CHECKPOINT_FILE: &str = "adapter.chkpt";
const ENDING: &str = "block_A";

/// Reads and checks a checkpoint against the model that it is meant for.
///
/// # Errors
/// Names the file and the tensor that does not fit.
pub fn open(path: &Path, config: &ModelConfig) -> Result<AdapterFile> {
    read(&TorchFile::open(path)?, config)
}

/// As [`open`], from a file that is open.
///
/// # Errors
/// As [`open`].
pub fn read(file: &TorchFile, config: &ModelConfig) -> Result<AdapterFile> {
    let wrong = |what: String, hint: &str| Error::input(file.place(), what, hint);
    let modules = config.linear_shapes();
    let mut stored = BTreeMap::new();
    for name in file.names() {
        let Some(site) = site_of(name, config.num_hidden_layers) else {
            let what = format!("{name} is no {ENDING} of a layer of this model");
            return Err(wrong(what, "a DiaBlo checkpoint names its tensors model.layers.0.self_attn.q_proj.block_A"));
        };
        if stored.insert(site, name).is_some() {
            return Err(wrong(format!("{} has two {ENDING}", site.path()), ""));
        }
    }
    let mut blocks: BTreeMap<&'static str, usize> = BTreeMap::new();
    for (site, name) in &stored {
        let n = file.shape(name).and_then(|s| s.first().copied()).unwrap_or(0);
        let first = *blocks.entry(site.module).or_insert(n);
        if first != n {
            return Err(wrong(format!("{name} has {n} blocks, and the same module of another layer has {first}"), ""));
        }
    }
    let targets: Vec<&'static str> = MODULES.into_iter().filter(|m| blocks.contains_key(m)).collect();
    if targets.is_empty() {
        return Err(wrong(format!("holds no {ENDING}"), "is it a DiaBlo checkpoint?"));
    }
    // The authors pad wherever N does not divide a side.
    let divides = |(module, d_out, d_in): &(&str, usize, usize)| {
        blocks.get(module).is_none_or(|n| *n > 0 && d_out.is_multiple_of(*n) && d_in.is_multiple_of(*n))
    };
    let pad = !modules.iter().all(divides);
    let checked = choose::blocks(config, &targets, |module| blocks.get(module).copied(), pad)?;
    let spec = Spec { kind: Kind::Diablo { blocks: checked, pad }, targets, dropout: 0.0 };
    let mut tensors = Vec::new();
    for (name, shape) in tensor_list(&spec, config)? {
        let found = stored.iter().find(|(site, _)| diablo::tensor_name(**site) == name);
        let Some((_, stored)) = found else { return Err(wrong(format!("holds no {ENDING} for {name}"), "every layer must have one")) };
        let tensor = file.tensor(stored)?;
        if tensor.shape != shape {
            let what = format!("{stored} has shape {:?}, and the model asks for {shape:?}", tensor.shape);
            return Err(wrong(what, "is this the model that it was trained on?"));
        }
        tensors.push(Tensor { name, shape, values: tensor.to_f32() });
    }
    Ok(AdapterFile { spec, base: String::new(), tensors })
}

/// The layer whose blocks a name is for; anything may stand before its path, as wrapping a model puts it there.
fn site_of(name: &str, layers: usize) -> Option<Site> {
    let path = name.strip_suffix(ENDING)?.strip_suffix('.')?;
    let sites = (0..layers).flat_map(|layer| MODULES.into_iter().map(move |module| Site { layer, module }));
    let mut ends = sites.filter(|site| path.strip_suffix(&site.path()).is_some_and(|before| before.is_empty() || before.ends_with('.')));
    ends.next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_to_layers() {
        let q = |layer| Some(Site { layer, module: "q_proj" });
        assert_eq!(site_of("model.layers.0.self_attn.q_proj.block_A", 2), q(0));
        assert_eq!(site_of("base_model.model.model.layers.1.self_attn.q_proj.block_A", 2), q(1));
        for other in ["model.layers.2.self_attn.q_proj.block_A", "xmodel.layers.0.self_attn.q_proj.block_A", "score.weight", "block_A"] {
            assert_eq!(site_of(other, 2), None, "{other}");
        }
    }
}
