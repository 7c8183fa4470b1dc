//! The ledger: how many bytes each kind of thing takes, now and at most.

/// What memory is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Category {
    /// Frozen weights as the checkpoint has them.
    Weights,
    /// Values that train.
    Adapter,
    /// Their gradients.
    Gradients,
    /// AdamW's two moments.
    Moments,
    /// What the forward pass keeps for the backward pass.
    Activations,
    /// Batch inputs, scratch, metrics.
    Workspace,
    /// Keys and values of decoded tokens.
    Cache,
}

impl Category {
    /// Every category, in the order they are shown.
    pub const ALL: [Category; 7] =
        [Self::Weights, Self::Adapter, Self::Gradients, Self::Moments, Self::Activations, Self::Workspace, Self::Cache];

    /// The name shown to people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Weights => "weights",
            Self::Adapter => "adapter",
            Self::Gradients => "gradients",
            Self::Moments => "moments",
            Self::Activations => "activations",
            Self::Workspace => "workspace",
            Self::Cache => "cache",
        }
    }
}

/// Bytes by category.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    now: [u64; Category::ALL.len()],
    peak: u64,
}

impl Ledger {
    /// Takes memory.
    pub fn add(&mut self, category: Category, bytes: u64) {
        let now = &mut self.now[category as usize];
        *now = now.saturating_add(bytes);
        self.peak = self.peak.max(self.total());
    }

    /// Gives memory back.
    pub fn remove(&mut self, category: Category, bytes: u64) {
        self.now[category as usize] = self.now[category as usize].saturating_sub(bytes);
    }

    /// Bytes that a category takes now.
    pub fn get(&self, category: Category) -> u64 {
        self.now[category as usize]
    }

    /// Bytes that everything takes now.
    pub fn total(&self) -> u64 {
        self.now.iter().fold(0, |sum, bytes| sum.saturating_add(*bytes))
    }

    /// The most that everything took at one time.
    pub fn peak(&self) -> u64 {
        self.peak
    }

    /// Categories that take anything, with their bytes.
    pub fn rows(&self) -> impl Iterator<Item = (Category, u64)> + '_ {
        Category::ALL.into_iter().map(|c| (c, self.get(c))).filter(|(_, bytes)| *bytes > 0)
    }
}

/// Bytes for people: `1.5 GiB`.
pub fn human_bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{value:.1} {}", UNITS[unit]) }
}
