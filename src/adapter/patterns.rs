//! peft's `rank_pattern` and `alpha_pattern`: layers whose rank or alpha is their own.
//!
//! What is read becomes LoRA of one rank, the largest: a smaller A gets rows of zeros and its B columns of zeros, which stay zero in
//! training, since the gradient of each is a product with the other. Where the factor s = alpha / r differs from the whole's, B is
//! multiplied by the quotient. The sum W + s B A is the same to rounding.

use super::files::Tensor;
use super::lora;
use super::spec::{Kind, Spec};
use crate::error::{Error, Result};
use crate::model::ModelConfig;
use crate::model::weights::Site;
use serde_json::Value;
use std::collections::BTreeMap;

/// An adapter whose layers may have ranks and alphas of their own.
#[derive(Clone, Debug)]
pub struct Patterns {
    /// What it becomes: the same without them.
    pub whole: Spec,
    /// By name, the rank of each factor, and what B is multiplied with; empty without patterns.
    own: BTreeMap<String, Own>,
}

/// What a factor of a layer's product has of its own.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Own {
    A { rank: usize },
    B { rank: usize, quotient: f64 },
}

impl Patterns {
    /// The two patterns of an adapter_config.json, whose other keys gave `spec`.
    ///
    /// # Errors
    /// Where one is no object from names to numbers, or a name is a regular expression.
    pub fn of_spec(raw: &Value, place: &str, spec: Spec, config: &ModelConfig) -> Result<Self> {
        let Kind::Lora { rank, alpha, rslora, .. } = spec.kind else { return Ok(Self { whole: spec, own: BTreeMap::new() }) };
        let (ranks, alphas) = (pattern(raw, "rank_pattern", place, 1.0)?, pattern(raw, "alpha_pattern", place, f64::MIN_POSITIVE)?);
        if ranks.is_empty() && alphas.is_empty() {
            return Ok(Self { whole: spec, own: BTreeMap::new() });
        }
        let layers = 0..config.num_hidden_layers;
        let sites: Vec<Site> = layers.flat_map(|layer| spec.targets.iter().map(move |module| Site { layer, module })).collect();
        let rank_of = |site: Site| of(&ranks, site).map_or(rank, |rank| rank as usize);
        let most = sites.iter().map(|site| rank_of(*site)).max().unwrap_or(rank);
        let mut whole = spec;
        if let Kind::Lora { rank, alpha, .. } = &mut whole.kind {
            (*rank, *alpha) = (most, if *alpha == 0.0 { 1.0 } else { *alpha });
        }
        let mut own = BTreeMap::new();
        for site in sites {
            let rank = rank_of(site);
            let over = if rslora { (rank as f64).sqrt() } else { rank as f64 };
            let quotient = of(&alphas, site).unwrap_or(alpha) / over / f64::from(whole.lora_scale());
            let [a, b] = lora::tensor_names(site);
            own.extend([(a, Own::A { rank }), (b, Own::B { rank, quotient })]);
        }
        Ok(Self { whole, own })
    }

    /// The shape of a tensor in the file, given that in [`Self::whole`].
    pub fn stored_shape(&self, name: &str, shape: &[usize]) -> Vec<usize> {
        match (self.own.get(name), shape) {
            (Some(Own::A { rank }), [_, width]) => vec![*rank, *width],
            (Some(Own::B { rank, .. }), [height, _]) => vec![*height, *rank],
            _ => shape.to_vec(),
        }
    }

    /// A tensor of the file as it is in [`Self::whole`].
    pub fn widen(&self, mut tensor: Tensor) -> Tensor {
        let Kind::Lora { rank: most, .. } = self.whole.kind else { return tensor };
        match self.own.get(&tensor.name) {
            None => {}
            Some(Own::A { .. }) => {
                tensor.values.resize(most * tensor.shape[1], 0.0);
                tensor.shape[0] = most;
            }
            Some(Own::B { rank, quotient }) => {
                let row = |row: &[f32]| {
                    // Where nothing differs not a bit does.
                    let scaled = row.iter().map(|x| if *quotient == 1.0 { *x } else { (f64::from(*x) * quotient) as f32 });
                    scaled.chain(std::iter::repeat_n(0.0, most - rank)).collect::<Vec<_>>()
                };
                tensor.values = tensor.values.chunks(*rank).flat_map(row).collect();
                tensor.shape[1] = most;
            }
        }
        tensor
    }
}

/// As peft's `get_pattern_key`: the first name that the module's path is, or ends in behind a dot.
fn of(pattern: &[(String, f64)], site: Site) -> Option<f64> {
    let path = site.path();
    let ends = |name: &str| path.strip_suffix(name).is_some_and(|before| before.is_empty() || before.ends_with('.'));
    pattern.iter().find(|(name, _)| ends(name)).map(|(_, number)| *number)
}

fn pattern(raw: &Value, key: &str, place: &str, least: f64) -> Result<Vec<(String, f64)>> {
    let wrong = |what: String| Error::input(format!("{place}: {key}"), what, "merge it into the model with peft (merge_and_unload)");
    let map = match &raw[key] {
        Value::Null => return Ok(Vec::new()),
        Value::Object(map) => map,
        other => return Err(wrong(format!("must be an object, not {other}"))),
    };
    let entry = |(name, number): (&String, &Value)| {
        // A dot means any character there; in the name of a module it is one.
        if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '.') {
            return Err(wrong(format!("{name:?} is a regular expression; plain names of modules are read")));
        }
        let number = number.as_f64().filter(|n| n.is_finite() && *n >= least && *n <= 65_536.0 && (least < 1.0 || n.fract() == 0.0));
        number.map(|n| (name.clone(), n)).ok_or_else(|| wrong(format!("{name}: {} is no such number", map[name])))
    };
    map.iter().map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const CONFIG: &str = r#"{"architectures":["LlamaForCausalLM"],"vocab_size":8,"hidden_size":8,"intermediate_size":12,"num_hidden_layers":2,
        "num_attention_heads":2}"#;

    fn read(raw: Value) -> Result<Patterns> {
        let config = ModelConfig::from_json(CONFIG, "config.json").expect("config");
        Patterns::of_spec(&raw, "c", Spec { targets: config.modules(), ..Spec::lora(3, 4.0) }, &config)
    }

    fn shape(patterns: &Patterns, layer: usize, module: &'static str) -> [Vec<usize>; 2] {
        let [a, b] = lora::tensor_names(Site { layer, module });
        [patterns.stored_shape(&a, &[9, 8]), patterns.stored_shape(&b, &[12, 9])]
    }

    #[test]
    fn the_first_name_that_fits_counts() {
        let patterns = read(json!({"rank_pattern": {"layers.1.self_attn.q_proj": 7, "q_proj": 2, "proj": 5}})).expect("read");
        assert!(matches!(patterns.whole.kind, Kind::Lora { rank: 7, .. }));
        assert_eq!(shape(&patterns, 0, "q_proj"), [vec![2, 8], vec![12, 2]]);
        assert_eq!(shape(&patterns, 1, "q_proj"), [vec![7, 8], vec![12, 7]]);
        assert_eq!(shape(&patterns, 0, "up_proj"), [vec![3, 8], vec![12, 3]], "a part of a name is no name");
        let none = read(json!({"rank_pattern": {}, "alpha_pattern": null})).expect("read");
        assert_eq!((none.own.len(), shape(&none, 0, "q_proj")), (0, [vec![9, 8], vec![12, 9]]));
        for (raw, words) in [
            (json!({"rank_pattern": {"q_proj": 0}}), "no such number"),
            (json!({"rank_pattern": {"q_proj": 1.5}}), "no such number"),
            (json!({"rank_pattern": {"q_proj": 1e9}}), "no such number"),
            (json!({"alpha_pattern": {"q_proj": "2"}}), "no such number"),
            (json!({"rank_pattern": {"^model.*q_proj": 2}}), "regular expression"),
            (json!({"rank_pattern": [1]}), "must be an object"),
        ] {
            let error = read(raw).expect_err(words).to_string();
            assert!(error.contains(words) && error.starts_with("c: "), "{error}");
        }
    }

    #[test]
    fn the_product_stays_the_same() {
        let patterns = read(json!({"rank_pattern": {"q_proj": 2}, "alpha_pattern": {"q_proj": 6.0}})).expect("read");
        let [a, b] = lora::tensor_names(Site { layer: 1, module: "q_proj" });
        let values = |n: usize| (0..n).map(|i| i as f32 - 2.5).collect::<Vec<_>>();
        let widen =
            |name: String, shape: [usize; 2]| patterns.widen(Tensor { name, shape: shape.into(), values: values(shape[0] * shape[1]) });
        let (wide_a, wide_b) = (widen(a, [2, 5]), widen(b, [4, 2]));
        assert_eq!((wide_a.shape.as_slice(), wide_b.shape.as_slice()), ([3, 5].as_slice(), [4, 3].as_slice()));
        let entry = |a: &[f32], b: &[f32], rank: usize, scale: f32, o: usize, i: usize| {
            scale * (0..rank).map(|r| b[o * rank + r] * a[r * 5 + i]).sum::<f32>()
        };
        for (o, i) in (0..4).flat_map(|o| (0..5).map(move |i| (o, i))) {
            let want = entry(&values(10), &values(8), 2, 6.0 / 2.0, o, i);
            let got = entry(&wide_a.values, &wide_b.values, 3, 4.0 / 3.0, o, i);
            assert!((got - want).abs() < 1e-5 * want.abs().max(1.0), "{got} and not {want}");
        }
    }
}
