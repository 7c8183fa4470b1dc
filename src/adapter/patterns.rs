//! peft's `rank_pattern` and `alpha_pattern`: layers whose rank or alpha is their own.
//!
//! What is read becomes LoRA of one rank, the largest: a smaller A gets rows of zeros and its B columns of zeros, which stay zero in
//! training, since the gradient of each is a product with the other. Where the factor s = alpha / r differs from the whole's, B is
//! multiplied by the quotient. The sum W + s B A is the same to rounding.

use super::files::Tensor;
use super::lora;
use super::spec::{Kind, Spec};
use crate::error::{Error, Result};
use crate::model::weights::Site;
use serde_json::Value;

/// Rank and alpha of each layer that has its own.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Patterns {
    ranks: Vec<(String, f64)>,
    alphas: Vec<(String, f64)>,
}

impl Patterns {
    /// The two patterns of an adapter_config.json.
    ///
    /// # Errors
    /// Where one is no object from names to numbers, or a name is a regular expression.
    pub fn read(raw: &Value, place: &str) -> Result<Self> {
        Ok(Self { ranks: pattern(raw, "rank_pattern", place, 1.0)?, alphas: pattern(raw, "alpha_pattern", place, 0.0)? })
    }

    /// Whether no layer has its own.
    pub fn is_empty(&self) -> bool {
        self.ranks.is_empty() && self.alphas.is_empty()
    }

    /// The rank of a layer, where the others' is `common`.
    pub fn rank(&self, site: Site, common: usize) -> usize {
        of(&self.ranks, site).map_or(common, |rank| rank as usize)
    }

    /// The largest rank of `sites`.
    pub fn largest(&self, sites: impl Iterator<Item = Site>, common: usize) -> usize {
        sites.map(|site| self.rank(site, common)).max().unwrap_or(common)
    }

    /// A layer's tensor as it is in LoRA of `whole`, whose rank is the largest; the config's own is `rank` and `alpha`.
    pub fn widen(&self, site: Site, rank: usize, alpha: f64, whole: &Spec, mut tensor: Tensor) -> Tensor {
        let Kind::Lora { rank: most, rslora, .. } = whole.kind else { return tensor };
        let own = self.rank(site, rank);
        let [a, b] = lora::tensor_names(site);
        if tensor.name == a {
            tensor.values.resize(most * tensor.shape[1], 0.0);
            tensor.shape[0] = most;
        } else if tensor.name == b {
            let over = if rslora { (own as f64).sqrt() } else { own as f64 };
            let quotient = of(&self.alphas, site).unwrap_or(alpha) / over / f64::from(whole.lora_scale());
            let row = |row: &[f32]| {
                let values = row.iter().map(|x| (f64::from(*x) * quotient) as f32);
                values.chain(std::iter::repeat_n(0.0, most - own)).collect::<Vec<_>>()
            };
            tensor.values = tensor.values.chunks(own).flat_map(row).collect();
            tensor.shape[1] = most;
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
        let number = number.as_f64().filter(|n| n.is_finite() && *n >= least && *n <= 65_536.0 && (least == 0.0 || n.fract() == 0.0));
        number.map(|n| (name.clone(), n)).ok_or_else(|| wrong(format!("{name}: {} is no such number", map[name])))
    };
    map.iter().map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn site(layer: usize, module: &'static str) -> Site {
        Site { layer, module }
    }

    #[test]
    fn the_first_name_that_fits_counts() {
        let raw = json!({"rank_pattern": {"layers.1.self_attn.q_proj": 7, "q_proj": 3, "proj": 5}, "alpha_pattern": {"down_proj": 0.5}});
        let patterns = Patterns::read(&raw, "c").expect("read");
        let ranks: Vec<usize> =
            [site(0, "q_proj"), site(1, "q_proj"), site(0, "up_proj")].map(|site| patterns.rank(site, 4)).into();
        assert_eq!(ranks, [3, 7, 4], "a part of a name is no name");
        assert_eq!((of(&patterns.alphas, site(2, "down_proj")), of(&patterns.alphas, site(2, "up_proj"))), (Some(0.5), None));
        assert_eq!(patterns.largest([site(0, "q_proj"), site(0, "up_proj")].into_iter(), 4), 4);
        assert!(Patterns::read(&json!({"rank_pattern": {}}), "c").expect("read").is_empty());
        for (raw, words) in [
            (json!({"rank_pattern": {"q_proj": 0}}), "no such number"),
            (json!({"rank_pattern": {"q_proj": 1.5}}), "no such number"),
            (json!({"rank_pattern": {"q_proj": 1e9}}), "no such number"),
            (json!({"alpha_pattern": {"q_proj": "2"}}), "no such number"),
            (json!({"rank_pattern": {"^model.*q_proj": 2}}), "regular expression"),
            (json!({"rank_pattern": [1]}), "must be an object"),
        ] {
            let error = Patterns::read(&raw, "c").expect_err(words).to_string();
            assert!(error.contains(words) && error.starts_with("c: "), "{error}");
        }
    }

    #[test]
    fn the_product_stays_the_same() {
        let raw = json!({"rank_pattern": {"q_proj": 2}, "alpha_pattern": {"q_proj": 6.0}});
        let patterns = Patterns::read(&raw, "c").expect("read");
        let whole = Spec::lora(3, 4.0);
        let [a, b] = lora::tensor_names(site(0, "q_proj"));
        let values = |n: usize| (0..n).map(|i| i as f32 - 2.5).collect::<Vec<_>>();
        let widen = |name: &str, shape: [usize; 2]| {
            let tensor = Tensor { name: name.into(), shape: shape.into(), values: values(shape[0] * shape[1]) };
            patterns.widen(site(0, "q_proj"), 3, 4.0, &whole, tensor)
        };
        let (wide_a, wide_b) = (widen(&a, [2, 5]), widen(&b, [4, 2]));
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
