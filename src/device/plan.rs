//! A plan: every buffer and every dispatch of one step, laid out before the first one runs.
//!
//! A [`Layout`] holds the buffers that outlive a step (weights, the arena, batch inputs) and may be shared by several plans:
//! training at two sequence lengths, evaluation, decoding. A [`Plan`] adds transient buffers and the operations.
//! Neither needs a device; laid out without one they are the memory estimate.

use super::kernel::{Access, Kernel};
use super::ledger::{Category, Ledger};

/// Offsets of views are multiples of this many words (256 bytes: WebGPU's default storage offset alignment).
pub const ALIGN: usize = 64;

/// Which buffer a view looks into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum BufferId {
    /// Index into [`Layout::buffers`].
    Persistent(usize),
    /// Index into [`Plan::transients`].
    Transient(usize),
}

/// A run of 32-bit words inside a buffer. Views are plain values; shapes are the caller's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View {
    /// The buffer looked into.
    pub buffer: BufferId,
    /// First word; a multiple of [`ALIGN`].
    pub offset: usize,
    /// Number of words.
    pub len: usize,
}

impl View {
    /// The words `offset..offset + len` of this view. `offset` must be a multiple of [`ALIGN`].
    pub fn slice(self, offset: usize, len: usize) -> View {
        assert!(offset.is_multiple_of(ALIGN) && offset + len <= self.len, "slice {offset}+{len} of a view of {} words", self.len);
        View { buffer: self.buffer, offset: self.offset + offset, len }
    }

    /// Whether they share a word.
    pub(crate) fn overlaps(&self, other: &View) -> bool {
        self.buffer == other.buffer && self.offset < other.offset + other.len && other.offset < self.offset + self.len
    }
}

/// A buffer as declared.
#[derive(Clone, Debug)]
pub struct BufferDecl {
    /// For messages and debuggers.
    pub label: String,
    /// Size in 32-bit words.
    pub words: usize,
    /// What the memory is for.
    pub category: Category,
}

/// The largest sizes that a device takes; a layout splits what is larger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest storage binding in bytes.
    pub max_binding_bytes: u64,
    /// Largest buffer in bytes.
    pub max_buffer_bytes: u64,
    /// Bytes to take at a time for what is made in pieces, such as logits.
    pub piece_bytes: u64,
    /// Whether products in f16 have their factors packed first; see [`crate::kernels::pack`].
    pub matrix_units: bool,
}

/// What the CPU executor and devices of little memory take at a time.
const LEAST_PIECE: u64 = 64 << 20;
/// More makes no difference.
const LARGEST_PIECE: u64 = 512 << 20;

impl Limits {
    /// No limit: the CPU executor.
    pub const NONE: Limits =
        Limits { max_binding_bytes: u64::MAX, max_buffer_bytes: u64::MAX, piece_bytes: LEAST_PIECE, matrix_units: false };

    /// What a device with so much memory takes at a time: a 64th of it, since few rows keep few of a GPU's units busy. It goes by all of
    /// its memory, not by what is free, so that a run that goes on computes as it did.
    pub fn piece_of(memory: u64) -> u64 {
        1 << (memory / 64).clamp(LEAST_PIECE, LARGEST_PIECE).ilog2()
    }

    /// The same where a run may take so much memory and no more.
    pub fn within(self, memory: Option<u64>) -> Self {
        Self { piece_bytes: self.piece_bytes.min(memory.map_or(u64::MAX, Self::piece_of)), ..self }
    }

    /// Words that one buffer may have so that it can be bound whole.
    pub fn max_words(&self) -> usize {
        usize::try_from(self.max_binding_bytes.min(self.max_buffer_bytes) / 4).unwrap_or(usize::MAX) / ALIGN * ALIGN
    }
}

/// The buffers that outlive a step.
#[derive(Clone, Debug)]
pub struct Layout {
    /// Every persistent buffer, by index.
    pub buffers: Vec<BufferDecl>,
    /// What the device takes.
    pub limits: Limits,
}

impl Layout {
    /// An empty layout for a device with these limits.
    pub fn new(limits: Limits) -> Self {
        Self { buffers: Vec::new(), limits }
    }

    /// Declares a buffer.
    pub fn buffer(&mut self, label: impl Into<String>, words: usize, category: Category) -> View {
        let words = words.max(1).next_multiple_of(ALIGN);
        self.buffers.push(BufferDecl { label: label.into(), words, category });
        View { buffer: BufferId::Persistent(self.buffers.len() - 1), offset: 0, len: words }
    }
}

/// One dispatch.
#[derive(Clone, Debug)]
pub struct Op {
    /// The kernel.
    pub kernel: &'static Kernel,
    /// One view a binding.
    pub views: Vec<View>,
    /// The uniform's words.
    pub params: Vec<u32>,
    /// Pipeline constants.
    pub constants: Vec<(&'static str, u32)>,
    /// Workgroups in x, y, z.
    pub grid: [u32; 3],
    /// Skipped in a run with at most this many active rows (rows of the loss head that have a target).
    pub needs_rows_above: Option<u32>,
    /// Floating-point operations, for bounding the time of a submit.
    pub flops: u64,
}

impl Op {
    /// The views that it writes.
    pub fn written(&self) -> impl Iterator<Item = View> {
        self.views.iter().zip(self.kernel.bindings).filter(|(_, access)| **access == Access::Write).map(|(view, _)| *view)
    }
}

/// The operations of one step and the buffers that live only inside it.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// For messages.
    pub name: String,
    /// Logical transient buffers.
    pub transients: Vec<BufferDecl>,
    /// For each logical transient buffer, the slot that holds it.
    pub slot_of: Vec<usize>,
    /// The physical slots, largest first.
    pub slots: Vec<BufferDecl>,
    /// The operations in order.
    pub ops: Vec<Op>,
    /// Whether each operation runs by its own kernel, also where another would be faster: for checks of kernels.
    pub exact: bool,
}

/// Lays out a [`Plan`].
#[derive(Debug)]
pub struct PlanBuilder {
    name: String,
    transients: Vec<BufferDecl>,
    ops: Vec<Op>,
    guard: Option<u32>,
}

impl PlanBuilder {
    /// An empty plan.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), transients: Vec::new(), ops: Vec::new(), guard: None }
    }

    /// A buffer that lives from its first to its last use in the plan; its memory is shared with others that live at other times.
    /// Its contents before its first write are undefined.
    pub fn transient(&mut self, label: impl Into<String>, words: usize, category: Category) -> View {
        let words = words.max(1).next_multiple_of(ALIGN);
        self.transients.push(BufferDecl { label: label.into(), words, category });
        View { buffer: BufferId::Transient(self.transients.len() - 1), offset: 0, len: words }
    }

    /// An activation of `words` words.
    pub fn activation(&mut self, label: impl Into<String>, words: usize) -> View {
        self.transient(label, words, Category::Activations)
    }

    /// A working buffer of `words` words.
    pub fn workspace(&mut self, label: impl Into<String>, words: usize) -> View {
        self.transient(label, words, Category::Workspace)
    }

    /// Operations pushed until the next call run only where the run has more than `rows` active rows.
    pub fn only_above(&mut self, rows: Option<u32>) {
        self.guard = rows;
    }

    /// Adds an operation.
    ///
    /// # Panics
    /// Where the views do not match the kernel's bindings, or a written view overlaps another one: a fault of the caller.
    pub fn push(&mut self, mut op: Op) {
        assert_eq!(op.views.len(), op.kernel.bindings.len(), "{}: wrong number of bindings", op.kernel.name);
        for (i, (view, access)) in op.views.iter().zip(op.kernel.bindings).enumerate() {
            if *access == Access::Write {
                let clash = op.views.iter().enumerate().any(|(j, other)| i != j && view.overlaps(other));
                assert!(!clash, "{} of {}: binding {i} is written and bound twice", op.kernel.name, self.name);
            }
        }
        op.needs_rows_above = self.guard;
        self.ops.push(op);
    }

    /// Takes every operation out and has it, and what else it takes, pushed again under the condition that it had.
    pub fn rewrite(&mut self, mut push: impl FnMut(&mut Self, Op)) {
        for op in std::mem::take(&mut self.ops) {
            self.guard = op.needs_rows_above;
            push(self, op);
        }
        self.guard = None;
    }

    /// Assigns memory and closes the plan.
    ///
    /// Logical buffers whose lifetimes do not overlap share a slot: first fit over slots of the same category, smallest that is
    /// large enough. WebGPU forbids one buffer to be read and written in the same dispatch, so slots are buffers of their own.
    pub fn finish(self) -> Plan {
        let mut first = vec![usize::MAX; self.transients.len()];
        let mut last = vec![0usize; self.transients.len()];
        for (i, op) in self.ops.iter().enumerate() {
            for view in &op.views {
                if let BufferId::Transient(t) = view.buffer {
                    first[t] = first[t].min(i);
                    last[t] = last[t].max(i);
                }
            }
        }
        let mut order: Vec<usize> = (0..self.transients.len()).filter(|&t| first[t] != usize::MAX).collect();
        // Large ones first: a slot then never has to grow, and small ones fill the gaps in time.
        order.sort_by_key(|&t| (std::cmp::Reverse(self.transients[t].words), first[t]));
        let mut slots: Vec<(BufferDecl, Vec<(usize, usize)>)> = Vec::new();
        let mut slot_of = vec![usize::MAX; self.transients.len()];
        for t in order {
            let decl = &self.transients[t];
            let free = |spans: &[(usize, usize)]| spans.iter().all(|&(a, b)| last[t] < a || b < first[t]);
            let found = (0..slots.len())
                .filter(|&s| slots[s].0.words >= decl.words && slots[s].0.category == decl.category && free(&slots[s].1))
                .min_by_key(|&s| slots[s].0.words);
            let s = found.unwrap_or_else(|| {
                slots.push((decl.clone(), Vec::new()));
                slots.len() - 1
            });
            slots[s].1.push((first[t], last[t]));
            slot_of[t] = s;
        }
        // A declared buffer that no operation touches takes no memory; it gets slot 0 so that indices stay valid.
        slot_of.iter_mut().filter(|s| **s == usize::MAX).for_each(|s| *s = 0);
        Plan {
            name: self.name,
            transients: self.transients,
            slot_of,
            slots: slots.into_iter().map(|(d, _)| d).collect(),
            ops: self.ops,
            exact: false,
        }
    }
}

/// The slots that serve every plan in turn: per category the k-th largest slot is as large as the largest k-th one of any plan.
pub fn shared_slots<'a>(plans: impl IntoIterator<Item = &'a Plan>) -> Vec<BufferDecl> {
    let mut merged: Vec<BufferDecl> = Vec::new();
    for plan in plans {
        for category in Category::ALL {
            let mut own: Vec<usize> = (0..merged.len()).filter(|&i| merged[i].category == category).collect();
            own.sort_by_key(|&i| std::cmp::Reverse(merged[i].words));
            for (k, slot) in plan.slots.iter().filter(|s| s.category == category).enumerate() {
                match own.get(k) {
                    Some(&i) => merged[i].words = merged[i].words.max(slot.words),
                    None => merged.push(slot.clone()),
                }
            }
        }
    }
    merged
}

/// Bytes by category that a layout and the plans over it will take.
pub fn estimate<'a>(layout: &Layout, plans: impl IntoIterator<Item = &'a Plan>) -> Ledger {
    let mut ledger = Ledger::default();
    for decl in layout.buffers.iter().chain(&shared_slots(plans)) {
        ledger.add(decl.category, decl.words as u64 * 4);
    }
    ledger
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_grow_with_a_devices_memory() {
        let gib = |n: u64| n << 30;
        assert_eq!(
            [0, gib(4), gib(8), gib(12), gib(24), gib(80)].map(Limits::piece_of).map(|bytes| bytes >> 20),
            [64, 64, 128, 128, 256, 512]
        );
        let large = Limits { piece_bytes: 512 << 20, ..Limits::NONE };
        assert_eq!([None, Some(gib(8)), Some(1)].map(|memory| large.within(memory).piece_bytes >> 20), [512, 128, 64]);
    }

    static COPY: Kernel = Kernel { name: "copy", source: &[], bindings: &[Access::Read, Access::Write], run: |_| {}, ..Kernel::PLAIN };

    fn op(src: View, dst: View) -> Op {
        Op { kernel: &COPY, views: vec![src, dst], params: vec![], constants: vec![], grid: [1; 3], needs_rows_above: None, flops: 0 }
    }

    #[test]
    fn a_chain_of_copies_needs_two_slots() {
        let mut b = PlanBuilder::new("chain");
        let mut x = b.activation("x0", 100);
        for i in 1..10 {
            let y = b.activation(format!("x{i}"), 100);
            b.push(op(x, y));
            x = y;
        }
        let plan = b.finish();
        assert_eq!(plan.slots.len(), 2);
        for o in &plan.ops {
            let slot = |v: &View| match v.buffer {
                BufferId::Transient(t) => plan.slot_of[t],
                BufferId::Persistent(_) => unreachable!("only transients here"),
            };
            assert_ne!(slot(&o.views[0]), slot(&o.views[1]), "source and target of one operation share memory");
        }
        assert_eq!(estimate(&Layout::new(Limits::NONE), [&plan]).get(Category::Activations), 2 * 128 * 4);
    }

    #[test]
    fn slots_serve_the_largest_of_each_rank() {
        let plan = |sizes: &[usize]| Plan {
            slots: sizes.iter().map(|&words| BufferDecl { label: String::new(), words, category: Category::Activations }).collect(),
            ..Plan::default()
        };
        let words = |plans: &[Plan]| shared_slots(plans).iter().map(|d| d.words).collect::<Vec<_>>();
        assert_eq!(words(&[plan(&[10, 5]), plan(&[7, 6, 1])]), [10, 6, 1]);
    }

    #[test]
    #[should_panic(expected = "written and bound twice")]
    fn aliasing_is_refused() {
        let mut b = PlanBuilder::new("alias");
        let x = b.activation("x", 100);
        b.push(op(x, x));
    }
}
