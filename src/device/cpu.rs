//! The CPU executor: runs a plan by calling each kernel's twin on host memory. The twins use rayon's threads.

use super::OpTime;
use super::kernel::{Access, Binding, Call};
use super::ledger::Ledger;
use super::plan::{BufferDecl, BufferId, Layout, Op, Plan, View, shared_slots};
use crate::error::{Error, Result};
use std::alloc::{Layout as HeapLayout, alloc_zeroed, dealloc};
use std::ptr::NonNull;
use web_time::Instant;

/// Zeroed words at a 64-byte boundary, so that vector loads never straddle cache lines.
struct Memory {
    start: NonNull<u32>,
    words: usize,
}

// SAFETY: `Memory` owns its allocation; access is through `&self`/`&mut self` of the session, or through bindings that
// `bind` has shown to be disjoint.
unsafe impl Send for Memory {}
// SAFETY: as above.
unsafe impl Sync for Memory {}

impl Memory {
    fn heap(words: usize) -> Option<HeapLayout> {
        HeapLayout::from_size_align(words.max(1).checked_mul(4)?, 64).ok()
    }

    fn new(decl: &BufferDecl) -> Result<Self> {
        let refuse = || {
            Error::device(
                format!("no memory for {} ({})", decl.label, super::ledger::human_bytes(decl.words as u64 * 4)),
                "use a smaller --batch-size or --seq-len, or --gradient-checkpointing",
            )
        };
        let heap = Self::heap(decl.words).ok_or_else(refuse)?;
        // SAFETY: the layout has a size above zero.
        let start = NonNull::new(unsafe { alloc_zeroed(heap) }.cast::<u32>()).ok_or_else(refuse)?;
        Ok(Self { start, words: decl.words })
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        if let Some(heap) = Self::heap(self.words) {
            // SAFETY: allocated in `new` with this very layout.
            unsafe { dealloc(self.start.as_ptr().cast(), heap) };
        }
    }
}

/// Plans loaded on the CPU.
#[derive(Default)]
pub struct CpuSession {
    persistent: Vec<Memory>,
    slots: Vec<Memory>,
    plans: Vec<LoadedPlan>,
    ledger: Ledger,
}

struct LoadedPlan {
    plan: Plan,
    /// For each transient of the plan, the session's slot.
    slot_of: Vec<usize>,
}

impl CpuSession {
    /// A session without buffers.
    pub fn new() -> Self {
        Self::default()
    }

    /// Allocates the layout's buffers beyond those that are here, and loads plans; the first one's index.
    ///
    /// # Errors
    /// [`Error::Device`] where the system has not enough memory; then nothing was added.
    pub fn extend(&mut self, layout: &Layout, plans: &[Plan]) -> Result<usize> {
        let mut ledger = self.ledger;
        let mut allocate = |decls: &[BufferDecl]| -> Result<Vec<Memory>> {
            decls.iter().map(|d| Memory::new(d).inspect(|m| ledger.add(d.category, m.words as u64 * 4))).collect()
        };
        let persistent = allocate(&layout.buffers[self.persistent.len()..])?;
        let shared = shared_slots(plans);
        let slots = allocate(&shared)?;
        let (first, first_slot) = (self.plans.len(), self.slots.len());
        self.ledger = ledger;
        self.persistent.extend(persistent);
        self.slots.extend(slots);
        self.plans.extend(plans.iter().map(|plan| LoadedPlan { slot_of: map_slots(plan, &shared, first_slot), plan: plan.clone() }));
        Ok(first)
    }

    /// Bytes taken.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Copies words into a view.
    pub fn write(&mut self, view: View, words: &[u32]) {
        assert!(words.len() <= view.len);
        let (start, _) = self.locate(&[], view);
        // SAFETY: `locate` checked the range, and `&mut self` excludes every other access.
        unsafe { std::ptr::copy_nonoverlapping(words.as_ptr(), start.as_ptr(), words.len()) };
    }

    /// Copies a view out.
    pub fn read(&self, view: View) -> Vec<u32> {
        let (start, len) = self.locate(&[], view);
        // SAFETY: `locate` checked the range; nothing writes while `&self` is held.
        unsafe { std::slice::from_raw_parts(start.as_ptr(), len) }.to_vec()
    }

    /// Runs a plan. Operations that need more rows than `active_rows` are skipped.
    pub fn run(&mut self, plan: usize, active_rows: u32) {
        for i in 0..self.plans[plan].plan.ops.len() {
            self.run_op(plan, i, active_rows);
        }
    }

    /// Runs a plan and times each operation.
    pub fn profile(&mut self, plan: usize, active_rows: u32) -> Vec<OpTime> {
        let start = Instant::now();
        let mut times = Vec::new();
        for i in 0..self.plans[plan].plan.ops.len() {
            let begin = start.elapsed();
            if self.run_op(plan, i, active_rows) {
                let op = &self.plans[plan].plan.ops[i];
                let seconds = (start.elapsed() - begin).as_secs_f64();
                times.push(OpTime { kernel: op.kernel.name, begin: begin.as_secs_f64(), seconds, flops: op.flops });
            }
        }
        times
    }

    /// The kernels of a plan's operations, in order.
    pub fn kernels(&self, plan: usize) -> Vec<&'static str> {
        self.plans[plan].plan.ops.iter().map(|op| op.kernel.name).collect()
    }

    /// Runs one operation, where it is not left out.
    fn run_op(&mut self, plan: usize, index: usize, active_rows: u32) -> bool {
        let loaded = &self.plans[plan];
        let op = &loaded.plan.ops[index];
        if op.needs_rows_above.is_some_and(|rows| active_rows <= rows) {
            return false;
        }
        let bindings = self.bind(&loaded.slot_of, op);
        (op.kernel.run)(&mut Call { params: &op.params, constants: &op.constants, bindings });
        true
    }

    fn locate(&self, slot_of: &[usize], view: View) -> (NonNull<u32>, usize) {
        let memory = match view.buffer {
            BufferId::Persistent(i) => &self.persistent[i],
            BufferId::Transient(i) => &self.slots[slot_of[i]],
        };
        assert!(view.offset + view.len <= memory.words, "view outside its buffer");
        // SAFETY: the offset lies inside the allocation, as just checked.
        (unsafe { memory.start.add(view.offset) }, view.len)
    }

    fn bind(&self, slot_of: &[usize], op: &Op) -> Vec<Binding<'_>> {
        op.views
            .iter()
            .zip(op.kernel.bindings)
            .map(|(view, access)| {
                let (start, len) = self.locate(slot_of, *view);
                // SAFETY: `PlanBuilder::push` refused operations whose written views overlap another view, and two logical
                // buffers used by one operation never share a slot (their lifetimes overlap there). One operation runs at a
                // time (`run` takes `&mut self`), so the slices below are the only ones, and the written ones are unique.
                unsafe {
                    match access {
                        Access::Read => Binding::Read(std::slice::from_raw_parts(start.as_ptr(), len)),
                        Access::Write => Binding::Write(std::slice::from_raw_parts_mut(start.as_ptr(), len)),
                    }
                }
            })
            .collect()
    }
}

/// For each transient of a plan, the index of the session's slot: the k-th slot of its category in both. `shared` are the slots
/// from `first` on.
pub(super) fn map_slots(plan: &Plan, shared: &[BufferDecl], first: usize) -> Vec<usize> {
    let place: Vec<usize> = (0..plan.slots.len())
        .map(|s| {
            let category = plan.slots[s].category;
            let rank = plan.slots[..s].iter().filter(|o| o.category == category).count();
            let mut own: Vec<usize> = (0..shared.len()).filter(|&i| shared[i].category == category).collect();
            own.sort_by_key(|&i| std::cmp::Reverse(shared[i].words));
            first + own[rank]
        })
        .collect();
    plan.slot_of.iter().map(|&s| place.get(s).copied().unwrap_or(0)).collect()
}
