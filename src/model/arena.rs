//! The arena: everything that trains, flat, so that clipping and AdamW see one array.
//!
//! Four buffers of equal length hold values, gradients and AdamW's two moments. Where they would be larger than the device can
//! bind, the arena continues in a further segment.

use crate::device::plan::{ALIGN, BufferId};
use crate::device::{Category, Layout, View};

/// One tensor that trains, or a run of rows of one that is larger than a segment.
#[derive(Clone, Debug)]
pub struct Trained {
    /// The tensor's name in files.
    pub name: String,
    /// The whole tensor's shape.
    pub shape: Vec<usize>,
    /// First row held here.
    pub first_row: usize,
    /// Its values.
    pub value: View,
    /// Its gradient; in an arena that does not train, the values again.
    pub grad: View,
    /// AdamW's first moment; as `grad`.
    pub first: View,
    /// AdamW's second moment; as `grad`.
    pub second: View,
    /// Numbers held here.
    pub len: usize,
}

/// Four buffers of equal length.
#[derive(Clone, Copy, Debug)]
pub struct Segment {
    values: usize,
    /// Numbers in use.
    pub len: usize,
    /// Factor of the learning rate.
    pub rate: f32,
}

/// Everything that trains.
#[derive(Clone, Debug)]
pub struct Arena {
    trains: bool,
    /// The segments, in order.
    pub segments: Vec<Segment>,
    /// The tensors, in order.
    pub tensors: Vec<Trained>,
}

impl Arena {
    /// An empty arena; one that does not train holds values alone.
    pub fn new(trains: bool) -> Self {
        Self { trains, segments: Vec::new(), tensors: Vec::new() }
    }

    /// Whether there are gradients and moments.
    pub fn trains(&self) -> bool {
        self.trains
    }

    /// Numbers that train.
    pub fn trainable(&self) -> u64 {
        self.tensors.iter().map(|t| t.len as u64).sum()
    }

    /// Adds a tensor of `shape`; the pieces it lies in, by rows of its first dimension (one, unless it is larger than a segment).
    pub fn add(&mut self, layout: &mut Layout, name: &str, shape: &[usize]) -> Vec<Trained> {
        self.add_at(layout, name, shape, 1.0)
    }

    /// As [`Self::add`], for a tensor whose learning rate is the run's times `rate`: it lies in segments of its own.
    pub fn add_at(&mut self, layout: &mut Layout, name: &str, shape: &[usize], rate: f32) -> Vec<Trained> {
        let rows = shape.first().copied().unwrap_or(1);
        let width = shape.iter().skip(1).product::<usize>();
        let most = (layout.limits.max_words() / width.max(1)).max(1);
        let mut pieces = Vec::new();
        let mut first_row = 0;
        while first_row < rows {
            let here = most.min(rows - first_row);
            let at = self.place(layout, here * width, rate);
            pieces.push(Trained {
                name: name.into(),
                shape: shape.into(),
                first_row,
                value: at[0],
                grad: at[1],
                first: at[2],
                second: at[3],
                len: here * width,
            });
            first_row += here;
        }
        self.tensors.extend(pieces.iter().cloned());
        pieces
    }

    fn place(&mut self, layout: &mut Layout, len: usize, rate: f32) -> [View; 4] {
        let room = layout.limits.max_words();
        let newest = self.segments.iter().rposition(|s| s.rate == rate);
        let fits = newest.filter(|i| self.segments[*i].len + len <= room);
        if fits.is_none() {
            let kinds: &[(&str, Category)] = if self.trains {
                &[
                    ("trained values", Category::Adapter),
                    ("gradients", Category::Gradients),
                    ("first moments", Category::Moments),
                    ("second moments", Category::Moments),
                ]
            } else {
                &[("adapter values", Category::Adapter)]
            };
            let first = layout.buffers.len();
            for (label, category) in kinds {
                layout.buffer(*label, 0, *category);
            }
            self.segments.push(Segment { values: first, len: 0, rate });
        }
        let kinds = if self.trains { 4 } else { 1 };
        let index = fits.unwrap_or(self.segments.len() - 1);
        let segment = &mut self.segments[index];
        let offset = segment.len;
        segment.len = (offset + len).next_multiple_of(ALIGN);
        for buffer in segment.values..segment.values + kinds {
            layout.buffers[buffer].words = segment.len;
        }
        std::array::from_fn(|i| View { buffer: BufferId::Persistent(segment.values + i.min(kinds - 1)), offset, len })
    }
}

impl Segment {
    fn view(&self, kind: usize) -> View {
        View { buffer: BufferId::Persistent(self.values + kind), offset: 0, len: self.len }
    }

    /// All values.
    pub fn values(&self) -> View {
        self.view(0)
    }

    /// All gradients.
    pub fn gradients(&self) -> View {
        self.view(1)
    }

    /// All first moments.
    pub fn first(&self) -> View {
        self.view(2)
    }

    /// All second moments.
    pub fn second(&self) -> View {
        self.view(3)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::Limits;

    #[test]
    fn rates_have_segments_of_their_own() {
        let mut layout = Layout::new(Limits::NONE);
        let mut arena = Arena::new(true);
        for (name, rate) in [("a", 1.0), ("b", 16.0), ("c", 1.0), ("d", 16.0)] {
            arena.add_at(&mut layout, name, &[5, 3], rate);
        }
        assert_eq!(arena.segments.iter().map(|s| s.rate).collect::<Vec<_>>(), [1.0, 16.0]);
        assert_eq!(arena.tensors[0].value.buffer, arena.tensors[2].value.buffer);
        assert_eq!(arena.tensors[1].value.buffer, arena.tensors[3].value.buffer);
        assert_ne!(arena.tensors[0].value.buffer, arena.tensors[1].value.buffer);
    }

    #[test]
    fn a_tensor_larger_than_a_binding_is_split_by_rows() {
        let mut layout = Layout::new(Limits { max_binding_bytes: 4 * 256, max_buffer_bytes: 4096, ..Limits::NONE });
        let mut arena = Arena::new(true);
        let pieces = arena.add(&mut layout, "w", &[10, 100]);
        assert_eq!(pieces.iter().map(|p| (p.first_row, p.len)).collect::<Vec<_>>(), [(0, 200), (2, 200), (4, 200), (6, 200), (8, 200)]);
        arena.add(&mut layout, "b", &[7]);
        assert_eq!(arena.trainable(), 1007);
        assert!(layout.buffers.iter().all(|b| b.words * 4 <= 1024));
        assert_eq!(layout.buffers.len(), 4 * arena.segments.len());
    }
}
