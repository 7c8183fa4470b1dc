//! What a kernel is: one shader, and the plain Rust that defines it, over the same bindings.

use super::plan::Op;

/// How an operation uses one of its bindings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Only read.
    Read,
    /// Written, or read and written.
    Write,
}

/// A kernel: a WGSL shader and its CPU twin.
///
/// The shader sees the bindings as storage buffers 0..n of group 0 and its parameters as the uniform buffer n.
/// The twin sees the same bindings and the same parameters.
pub struct Kernel {
    /// The shader's file name without `.wgsl`.
    pub name: &'static str,
    /// The pieces of WGSL that make the shader: shared ones first, its own file last.
    pub source: &'static [&'static str],
    /// One entry a storage buffer.
    pub bindings: &'static [Access],
    /// The CPU twin.
    pub run: fn(&mut Call<'_>),
    /// What a device must offer beyond WebGPU's least.
    pub needs: Needs,
    /// Operations of other kernels that compute what one of this kernel does: which is fastest depends on the device.
    pub others: fn(&Op) -> Vec<Op>,
    /// An operation that stands for all that are like one of this kernel, to measure with: two that are alike have the same.
    pub like: fn(&Op) -> Op,
    /// What a binding of such an operation has to hold to be measured; where nothing is said, any numbers.
    pub inputs: fn(&Op, usize) -> Option<Vec<u32>>,
}

/// What a kernel asks of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// What every device has.
    Nothing,
    /// Subgroups of just so many threads.
    Subgroups(u32),
    /// Matrix units for 16 x 16 numbers, f16 in and f32 out, subgroups of 32 threads, 512 of them in a workgroup, and its 48 KiB of memory.
    Matrices,
}

impl Kernel {
    /// A kernel that needs nothing and has no others; the rest is to be filled in.
    pub const PLAIN: Self = Self {
        name: "",
        source: &[],
        bindings: &[],
        run: |_| (),
        needs: Needs::Nothing,
        others: |_| Vec::new(),
        like: Op::clone,
        inputs: |_, _| None,
    };

    /// The whole WGSL text.
    pub fn wgsl(&self) -> String {
        self.source.concat()
    }
}

impl std::fmt::Debug for Kernel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Kernel({})", self.name)
    }
}

/// One binding of a call on the CPU: the words of a view.
pub enum Binding<'a> {
    /// A binding of [`Access::Read`].
    Read(&'a [u32]),
    /// A binding of [`Access::Write`].
    Write(&'a mut [u32]),
    /// A written binding whose slice a twin has taken.
    Taken,
}

/// What a CPU twin is called with.
pub struct Call<'a> {
    /// The uniform's words.
    pub params: &'a [u32],
    /// Pipeline constants by name.
    pub constants: &'a [(&'static str, u32)],
    /// The bindings, in the shader's order.
    pub bindings: Vec<Binding<'a>>,
}

impl<'a> Call<'a> {
    /// The uniform as the kernel's parameter struct.
    pub fn params<P: bytemuck::AnyBitPattern>(&self) -> P {
        bytemuck::pod_read_unaligned(&bytemuck::cast_slice::<u32, u8>(self.params)[..size_of::<P>()])
    }

    /// The value of a pipeline constant; 0 where the operation sets none.
    pub fn constant(&self, name: &str) -> u32 {
        self.constants.iter().find(|(n, _)| *n == name).map_or(0, |(_, v)| *v)
    }

    /// A read binding as words.
    pub fn words(&self, index: usize) -> &'a [u32] {
        match &self.bindings[index] {
            Binding::Read(words) => words,
            _ => panic!("binding {index} is not read-only"),
        }
    }

    /// A read binding as floats.
    pub fn read(&self, index: usize) -> &'a [f32] {
        bytemuck::cast_slice(self.words(index))
    }

    /// A written binding as floats; each can be taken once.
    pub fn write(&mut self, index: usize) -> &'a mut [f32] {
        match std::mem::replace(&mut self.bindings[index], Binding::Taken) {
            Binding::Write(words) => bytemuck::cast_slice_mut(words),
            _ => panic!("binding {index} is not writable"),
        }
    }
}
