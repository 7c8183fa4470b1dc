//! The same run with another method, size or rate: same model, rows, order, seed and length.

use crate::error::{Error, Result};
use crate::model::ModelConfig;
use crate::train::blocks::Blocks;
use crate::train::config::{DEFAULT_LR, Method, RunConfig};
use crate::train::resolve;

/// Candidates for N and for the rank.
const SIZES: [usize; 13] = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 128];

/// How large an adapter is, by its method's own measure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Size {
    /// DiaBlo's number of blocks; without one the program chooses.
    Blocks(Option<Blocks>),
    /// LoRA's rank.
    Rank(usize),
    /// Everything trains.
    Whole,
}

impl Size {
    /// The size of a run.
    pub fn of(run: &RunConfig) -> Self {
        match run.method {
            Method::Diablo => Self::Blocks(run.blocks.clone()),
            Method::Lora => Self::Rank(run.rank),
            Method::Full => Self::Whole,
        }
    }

    /// The method that has such a size.
    pub fn method(&self) -> Method {
        match self {
            Self::Blocks(_) => Method::Diablo,
            Self::Rank(_) => Method::Lora,
            Self::Whole => Method::Full,
        }
    }
}

/// In what a sibling differs.
#[derive(Clone, Debug, PartialEq)]
pub struct Variant {
    /// Method and size.
    pub size: Size,
    /// The learning rate.
    pub lr: f64,
}

impl Variant {
    /// What a run itself is.
    pub fn of(run: &RunConfig) -> Self {
        Self { size: Size::of(run), lr: run.resolved_lr() }
    }

    /// A run's counterpart by another method: as many trained numbers as nearly as that can be, where the model is known, and the
    /// rate moved by what usually lies between the methods.
    pub fn by_method(run: &RunConfig, method: Method, model: Option<&ModelConfig>) -> Self {
        if method == run.method {
            return Self::of(run);
        }
        let lr = moved_rate(run, method);
        let fair = || nearest_size(run, method, model?);
        let size = match method {
            Method::Full => Size::Whole,
            Method::Diablo => fair().unwrap_or(Size::Blocks(None)),
            Method::Lora => fair().unwrap_or(Size::Rank(RunConfig::default().rank)),
        };
        Self { size, lr }
    }

    /// The options of the sibling, without a run folder.
    pub fn apply(&self, run: &RunConfig) -> RunConfig {
        let mut c = run.clone();
        c.out = std::path::PathBuf::new();
        c.resume = false;
        c.method = self.size.method();
        c.lr = Some(self.lr);
        if c.method != run.method {
            // It is of the other method.
            c.init_adapter = None;
        }
        match &self.size {
            Size::Blocks(blocks) => c.blocks.clone_from(blocks),
            Size::Rank(rank) => {
                // The branch's scale is alpha / rank: it stays.
                c.alpha = run.alpha / run.rank.max(1) as f64 * *rank as f64;
                c.rank = *rank;
                c.blocks = None;
            }
            Size::Whole => c.blocks = None,
        }
        if c.method != Method::Full {
            c.init_from_config = false;
        }
        c
    }

    /// A name that tells what it is, made of the run's own: `first-lora-r8`, `first-lr-0.002`.
    pub fn name(&self, run: &RunConfig, own: &str) -> String {
        let mut name = own.to_owned();
        if self.size != Size::of(run) {
            match &self.size {
                Size::Blocks(Some(Blocks::One(n))) => name += &format!("-diablo-n{n}"),
                Size::Blocks(_) => name += "-diablo",
                Size::Rank(r) => name += &format!("-lora-r{r}"),
                Size::Whole => name += "-full",
            }
        }
        if self.lr != moved_rate(run, self.size.method()) {
            name += &format!("-lr-{}", rate(self.lr));
        }
        if name == own { name + "-again" } else { name }
    }
}

/// The rate of a run's counterpart by another method.
fn moved_rate(run: &RunConfig, method: Method) -> f64 {
    let usual = |method: Method| DEFAULT_LR.iter().find(|(m, _)| *m == method).map_or(1e-3, |(_, lr)| *lr);
    if method == run.method { run.resolved_lr() } else { short(run.resolved_lr() * usual(method) / usual(run.method)) }
}

/// Checks a sibling against the model, and tells how many numbers it trains.
///
/// # Errors
/// Names the option that cannot be, or the layer that a number of blocks does not divide.
pub fn trainable(run: &RunConfig, model: &ModelConfig) -> Result<u64> {
    run.validate_options()?;
    Ok(resolve::adapter(run, model)?.0.trainable(model))
}

/// The size by which `method` trains about as many numbers as `run` does.
fn nearest_size(run: &RunConfig, method: Method, model: &ModelConfig) -> Option<Size> {
    let aim = trainable(run, model).ok()? as f64;
    let candidates = match method {
        Method::Full => return Some(Size::Whole),
        Method::Diablo => SIZES.map(|n| Size::Blocks(Some(Blocks::One(n)))).to_vec(),
        Method::Lora => (1..=128).map(Size::Rank).collect(),
    };
    let distance = |size: &Size| {
        let sibling = Variant { size: size.clone(), lr: run.resolved_lr() }.apply(run);
        trainable(&sibling, model).ok().map(|n| (n as f64 / aim).ln().abs())
    };
    let sized = candidates.into_iter().filter_map(|size| Some((distance(&size)?, size)));
    sized.min_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, size)| size)
}

/// Rates worth trying around one.
pub fn rates_around(lr: f64) -> Vec<f64> {
    [0.25, 0.5, 2.0, 4.0].map(|factor| short(lr * factor)).to_vec()
}

/// Sizes worth trying around a run's: up to two smaller and two larger ones that the model can be divided by.
pub fn sizes_around(run: &RunConfig, model: Option<&ModelConfig>) -> Vec<usize> {
    let own = match (&run.blocks, run.method) {
        (Some(Blocks::One(n)), Method::Diablo) => *n,
        (_, Method::Lora) => run.rank,
        _ => 8,
    };
    let size = |n: usize| if run.method == Method::Lora { Size::Rank(n) } else { Size::Blocks(Some(Blocks::One(n))) };
    let possible = |n: &usize| {
        let sibling = Variant { size: size(*n), lr: run.resolved_lr() }.apply(run);
        model.is_none_or(|model| trainable(&sibling, model).is_ok())
    };
    let all: Vec<usize> = SIZES.into_iter().filter(possible).collect();
    let (smaller, larger): (Vec<usize>, Vec<usize>) = all.into_iter().filter(|n| *n != own).partition(|n| *n < own);
    smaller.iter().rev().take(2).rev().chain(larger.iter().take(2)).copied().collect()
}

/// A list of numbers as people write it: `1e-3, 2e-3 4e-3`.
///
/// # Errors
/// Names what is no number above 0.
pub fn numbers(text: &str) -> Result<Vec<f64>> {
    let parts = text.split([',', ';', ' ', '\n', '\t']).map(str::trim).filter(|part| !part.is_empty());
    let number = |part: &str| {
        part.parse::<f64>()
            .ok()
            .filter(|x| x.is_finite() && *x > 0.0)
            .ok_or_else(|| Error::usage(format!("'{part}' is no number above 0"), "write numbers with commas between them"))
    };
    let mut all = Vec::new();
    for part in parts {
        let x = number(part)?;
        if !all.contains(&x) {
            all.push(x);
        }
    }
    if all.is_empty() { Err(Error::usage("no value is given", "write numbers with commas between them")) } else { Ok(all) }
}

/// Three digits are all that a rate means.
pub fn short(x: f64) -> f64 {
    format!("{x:.2e}").parse().unwrap_or(x)
}

/// A rate as short as it can be written.
pub fn rate(lr: f64) -> String {
    if lr == 0.0 || (1e-4..1e4).contains(&lr.abs()) { format!("{lr}") } else { format!("{lr:e}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn demo() -> ModelConfig {
        let text = include_str!("../../../assets/demo/model/config.json");
        ModelConfig::from_json(text, "config.json").expect("a model")
    }

    fn run() -> RunConfig {
        RunConfig { blocks: Some(Blocks::One(16)), lr: Some(1e-2), steps: Some(5), seed: 3, out: "runs/first".into(), ..Default::default() }
    }

    #[test]
    fn a_counterpart_trains_as_many_numbers() {
        let (run, model) = (run(), demo());
        let lora = Variant::by_method(&run, Method::Lora, Some(&model));
        assert_eq!((lora.lr, lora.size.clone()), (2e-3, Size::Rank(5)));
        let other = lora.apply(&run);
        let (a, b) = (trainable(&run, &model).expect("fits") as f64, trainable(&other, &model).expect("fits") as f64);
        assert!((a / b).ln().abs() < 0.2, "{a} {b}");
        assert_eq!((other.alpha, other.seed, other.steps, other.blocks.clone()), (10.0, 3, Some(5), None));
        assert!(other.out.as_os_str().is_empty());
        // And back again.
        assert_eq!(Variant::by_method(&other, Method::Diablo, Some(&model)).size, Size::Blocks(Some(Blocks::One(16))));
        assert_eq!(Variant::by_method(&run, Method::Lora, None).size, Size::Rank(16));
        assert_eq!(Variant::by_method(&run, Method::Diablo, None), Variant::of(&run));
        assert_eq!(Variant::by_method(&run, Method::Full, Some(&model)).apply(&run).method, Method::Full);
    }

    #[test]
    fn names_say_what_differs() {
        let run = run();
        let name = |size: Size, lr: f64| Variant { size, lr }.name(&run, "first");
        assert_eq!(name(Size::Rank(8), 2e-3), "first-lora-r8");
        assert_eq!(name(Size::of(&run), 2.5e-3), "first-lr-0.0025");
        assert_eq!(name(Size::of(&run), 1e-2), "first-again");
        assert_eq!(name(Size::Blocks(Some(Blocks::One(4))), 1e-5), "first-diablo-n4-lr-1e-5");
    }

    #[test]
    fn lists_of_numbers() {
        assert_eq!(numbers("1e-3, 2e-3;4e-3 1e-3").expect("numbers"), [1e-3, 2e-3, 4e-3]);
        for (text, part) in [("1e-3, x", "'x'"), ("0", "'0'"), ("-1", "'-1'"), (" , ", "no value")] {
            assert!(numbers(text).expect_err(text).to_string().contains(part));
        }
        assert_eq!(rates_around(1.6e-2), [4e-3, 8e-3, 3.2e-2, 6.4e-2]);
        let (run, model) = (run(), demo());
        let sizes = sizes_around(&run, Some(&model));
        assert!(sizes.len() >= 3 && !sizes.contains(&16) && sizes.is_sorted(), "{sizes:?}");
    }
}
