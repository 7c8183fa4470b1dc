//! The pickles that `torch.save` writes for dictionaries of tensors (Python's pickletools has the instructions' definitions).
//!
//! Values lie in one list and refer to each other by their places in it, so a pickle of n bytes makes at most n values, however they
//! are nested, and nothing here recurses. A name outside the list below ends the reading: no other thing is looked up, let alone run.

use super::super::tensor::Dtype;
use super::storage;
use crate::error::{Error, Result};
use std::collections::{BTreeMap, HashMap};

/// A tensor as the pickle describes it.
#[derive(Clone, Debug, PartialEq)]
pub struct Described {
    /// The type of its elements.
    pub dtype: Dtype,
    /// Row-major.
    pub shape: Vec<usize>,
    /// First element within the storage.
    pub offset: usize,
    /// Elements.
    pub count: usize,
    /// The storage's key.
    pub storage: String,
    /// Elements of the whole storage.
    pub stored: usize,
}

/// A value's place in the list of values.
type At = usize;

#[derive(Clone, Debug)]
enum Value {
    None,
    Bool,
    Int(i64),
    Float,
    Text(String),
    Tuple(Vec<At>),
    List(Vec<At>),
    Dict(Vec<(At, At)>),
    /// One of [`KNOWN`], or a storage's type.
    Name(String),
    Storage {
        dtype: Dtype,
        key: String,
        count: usize,
    },
    Tensor(Described),
}

/// What a pickle may call: they put a tensor together, or an empty dictionary.
const KNOWN: [&str; 3] = ["torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_parameter", "collections.OrderedDict"];

/// Sides of a tensor, and parts of what torch's names are called with.
const TUPLE_LIMIT: usize = 16;
/// torch counts its storages.
const KEY_LIMIT: usize = 64;

/// The tensors of a pickled dictionary, by name.
///
/// # Errors
/// Names the instruction, the name or the entry that has no place in such a dictionary, and the byte it stands at.
pub fn tensors(place: &str, bytes: &[u8]) -> Result<BTreeMap<String, Described>> {
    let mut machine = Machine { place, bytes, at: 0, values: Vec::new(), stack: Vec::new(), marks: Vec::new(), memo: HashMap::new() };
    let root = machine.run()?;
    let Value::Dict(entries) = &machine.values[root] else { return Err(machine.wrong("does not hold a dictionary of tensors")) };
    let mut found = BTreeMap::new();
    for (key, value) in entries {
        let Value::Text(name) = &machine.values[*key] else { return Err(machine.wrong("has a key that is no text")) };
        let Value::Tensor(tensor) = &machine.values[*value] else {
            return Err(machine.wrong(&format!("holds something at {name:?} that is no tensor")));
        };
        if found.insert(name.clone(), tensor.clone()).is_some() {
            return Err(machine.wrong(&format!("has {name:?} twice")));
        }
    }
    Ok(found)
}

struct Machine<'a> {
    place: &'a str,
    bytes: &'a [u8],
    at: usize,
    values: Vec<Value>,
    stack: Vec<At>,
    /// How high the stack was at each open mark.
    marks: Vec<usize>,
    memo: HashMap<usize, At>,
}

impl Machine<'_> {
    fn wrong(&self, what: &str) -> Error {
        let hint = "only what torch.save writes for a dictionary of f32, f16 or bf16 tensors is read; nothing in the file was run";
        Error::input(format!("{}: byte {}", self.place, self.at), what, hint)
    }

    fn take(&mut self, count: usize) -> Result<&[u8]> {
        let end = self.at.checked_add(count).filter(|end| *end <= self.bytes.len());
        let Some(end) = end else { return Err(self.wrong("ends in the middle of an instruction")) };
        let part = &self.bytes[self.at..end];
        self.at = end;
        Ok(part)
    }

    /// A whole number of so many bytes, little-endian, without a sign.
    fn number(&mut self, count: usize) -> Result<usize> {
        let bytes = self.take(count)?;
        Ok(bytes.iter().rev().fold(0, |n, b| n << 8 | usize::from(*b)))
    }

    fn text(&mut self, count: usize) -> Result<String> {
        let text = std::str::from_utf8(self.take(count)?).map(str::to_owned);
        text.map_err(|_| self.wrong("has a text that is not UTF-8"))
    }

    fn line(&mut self) -> Result<String> {
        let rest = &self.bytes[self.at..];
        let Some(len) = rest.iter().position(|b| *b == b'\n') else { return Err(self.wrong("ends in the middle of a name")) };
        let line = self.text(len)?;
        self.at += 1;
        Ok(line)
    }

    fn push(&mut self, value: Value) {
        self.values.push(value);
        self.stack.push(self.values.len() - 1);
    }

    /// The top of the stack, above the last open mark.
    fn pop(&mut self) -> Result<At> {
        let floor = self.marks.last().copied().unwrap_or(0);
        let top = if self.stack.len() > floor { self.stack.pop() } else { None };
        top.ok_or_else(|| self.wrong("takes a value where there is none"))
    }

    fn pop_mark(&mut self) -> Result<Vec<At>> {
        let mark = self.marks.pop().ok_or_else(|| self.wrong("closes what was not opened"))?;
        Ok(self.stack.split_off(mark))
    }

    fn top(&self) -> Result<At> {
        self.stack.last().copied().ok_or_else(|| self.wrong("takes a value where there is none"))
    }

    fn tuple(&mut self, count: usize) -> Result<()> {
        let mut parts = (0..count).map(|_| self.pop()).collect::<Result<Vec<_>>>()?;
        parts.reverse();
        self.push(Value::Tuple(parts));
        Ok(())
    }

    fn remember(&mut self, key: usize) -> Result<()> {
        let top = self.top()?;
        self.memo.insert(key, top);
        Ok(())
    }

    fn recall(&mut self, key: usize) -> Result<()> {
        let at = self.memo.get(&key).copied().ok_or_else(|| self.wrong(&format!("recalls value {key}, which it has not stored")))?;
        self.stack.push(at);
        Ok(())
    }

    /// Runs to the end; the value that is left.
    fn run(&mut self) -> Result<At> {
        loop {
            let at = self.at;
            match self.number(1)? as u8 {
                0x80 => {
                    let version = self.number(1)?;
                    if !(2..=5).contains(&version) {
                        return Err(self.wrong(&format!("is a pickle of version {version}; known are 2 to 5")));
                    }
                }
                // A frame's length is for readers of streams.
                0x95 => drop(self.take(8)?),
                b'N' => self.push(Value::None),
                0x88 | 0x89 => self.push(Value::Bool),
                b'J' => {
                    let n = self.number(4)? as u32 as i32;
                    self.push(Value::Int(n.into()));
                }
                b'K' => {
                    let n = self.number(1)?;
                    self.push(Value::Int(n as i64));
                }
                b'M' => {
                    let n = self.number(2)?;
                    self.push(Value::Int(n as i64));
                }
                0x8a => {
                    let len = self.number(1)?;
                    let bytes = self.take(len)?.to_vec();
                    let n = long(&bytes).ok_or_else(|| self.wrong(&format!("has a whole number of {len} bytes")))?;
                    self.push(Value::Int(n));
                }
                b'G' => {
                    self.take(8)?;
                    self.push(Value::Float);
                }
                code @ (b'X' | 0x8c) => {
                    let len = self.number(if code == b'X' { 4 } else { 1 })?;
                    let text = self.text(len)?;
                    self.push(Value::Text(text));
                }
                b'}' => self.push(Value::Dict(Vec::new())),
                b']' => self.push(Value::List(Vec::new())),
                b')' => self.push(Value::Tuple(Vec::new())),
                0x85 => self.tuple(1)?,
                0x86 => self.tuple(2)?,
                0x87 => self.tuple(3)?,
                b't' => {
                    let parts = self.pop_mark()?;
                    self.push(Value::Tuple(parts));
                }
                b'(' => self.marks.push(self.stack.len()),
                b'q' => {
                    let key = self.number(1)?;
                    self.remember(key)?;
                }
                b'r' => {
                    let key = self.number(4)?;
                    self.remember(key)?;
                }
                0x94 => self.remember(self.memo.len())?,
                b'h' => {
                    let key = self.number(1)?;
                    self.recall(key)?;
                }
                b'j' => {
                    let key = self.number(4)?;
                    self.recall(key)?;
                }
                b'a' => {
                    let item = self.pop()?;
                    self.append(&[item])?;
                }
                b'e' => {
                    let items = self.pop_mark()?;
                    self.append(&items)?;
                }
                b's' => {
                    let (value, key) = (self.pop()?, self.pop()?);
                    self.set(&[key, value])?;
                }
                b'u' => {
                    let items = self.pop_mark()?;
                    self.set(&items)?;
                }
                b'c' => {
                    let name = format!("{}.{}", self.line()?, self.line()?);
                    self.name(name)?;
                }
                0x93 => {
                    let (name, module) = (self.pop()?, self.pop()?);
                    let (Value::Text(module), Value::Text(name)) = (&self.values[module], &self.values[name]) else {
                        return Err(self.wrong("asks for a name that is no text"));
                    };
                    self.name(format!("{module}.{name}"))?;
                }
                b'Q' => {
                    let id = self.pop()?;
                    self.stored(id)?;
                }
                b'R' => {
                    let (arguments, callee) = (self.pop()?, self.pop()?);
                    self.call(callee, arguments)?;
                }
                b'b' => {
                    // torch hangs versions of modules onto a state_dict; they say nothing of the numbers.
                    self.pop()?;
                    let top = self.top()?;
                    if !matches!(self.values[top], Value::Dict(_)) {
                        return Err(self.wrong("sets attributes of something that is no dictionary"));
                    }
                }
                b'.' => return self.pop(),
                other => {
                    self.at = at;
                    return Err(self.wrong(&format!("has the instruction {other:#04x}, which no dictionary of tensors needs")));
                }
            }
        }
    }

    fn append(&mut self, items: &[At]) -> Result<()> {
        let top = self.top()?;
        match &mut self.values[top] {
            Value::List(list) => list.extend(items),
            _ => return Err(self.wrong("appends to something that is no list")),
        }
        Ok(())
    }

    fn set(&mut self, items: &[At]) -> Result<()> {
        let top = self.top()?;
        match &mut self.values[top] {
            Value::Dict(entries) if items.len().is_multiple_of(2) => entries.extend(items.chunks_exact(2).map(|pair| (pair[0], pair[1]))),
            _ => return Err(self.wrong("sets keys of something that is no dictionary")),
        }
        Ok(())
    }

    fn name(&mut self, name: String) -> Result<()> {
        if !KNOWN.contains(&name.as_str()) && storage(&name).is_none() {
            return Err(self.wrong(&format!("asks for {name:?}")));
        }
        self.push(Value::Name(name));
        Ok(())
    }

    /// `("storage", type, key, device, count)`: numbers that lie in a member of their own.
    fn stored(&mut self, id: At) -> Result<()> {
        let parts = self.parts(id);
        let [Value::Text(kind), Value::Name(name), Value::Text(key), _, Value::Int(count)] = parts[..] else {
            return Err(self.wrong("refers to something outside that is no storage"));
        };
        let (Some(dtype), Ok(count)) = (storage(name).filter(|_| kind == "storage"), usize::try_from(*count)) else {
            return Err(self.wrong(&format!("refers to {kind:?} of {name}")));
        };
        if key.len() > KEY_LIMIT {
            return Err(self.wrong(&format!("has a storage whose key is {} bytes long", key.len())));
        }
        let value = Value::Storage { dtype, key: key.clone(), count };
        self.push(value);
        Ok(())
    }

    /// The parts of a tuple that is short enough to be one of torch's; each of them was counted once when it was made, but a tuple may
    /// be used as often as there are instructions.
    fn parts(&self, tuple: At) -> Vec<&Value> {
        match &self.values[tuple] {
            Value::Tuple(parts) if parts.len() <= TUPLE_LIMIT => parts.iter().map(|p| &self.values[*p]).collect(),
            _ => Vec::new(),
        }
    }

    fn call(&mut self, callee: At, arguments: At) -> Result<()> {
        let (Value::Name(name), Value::Tuple(_)) = (&self.values[callee], &self.values[arguments]) else {
            return Err(self.wrong("calls something that is no name"));
        };
        let parts = self.parts(arguments);
        let made = match (name.as_str(), &parts[..]) {
            ("collections.OrderedDict", []) if matches!(&self.values[arguments], Value::Tuple(t) if t.is_empty()) => {
                Value::Dict(Vec::new())
            }
            ("torch._utils._rebuild_parameter", [Value::Tensor(tensor), ..]) => Value::Tensor(tensor.clone()),
            ("torch._utils._rebuild_tensor_v2", [Value::Storage { dtype, key, count }, Value::Int(offset), shape, stride, ..]) => {
                let tensor = self.describe(*offset, shape, stride, *count).map(|(offset, shape)| Described {
                    dtype: *dtype,
                    count: shape.iter().product(),
                    shape,
                    offset,
                    storage: key.clone(),
                    stored: *count,
                });
                Value::Tensor(tensor.map_err(|what| self.wrong(what))?)
            }
            _ => return Err(self.wrong(&format!("calls {name} with other values than torch does"))),
        };
        self.push(made);
        Ok(())
    }

    /// Offset and shape, checked against the storage's length.
    fn describe(
        &self,
        offset: i64,
        shape: &Value,
        stride: &Value,
        stored: usize,
    ) -> std::result::Result<(usize, Vec<usize>), &'static str> {
        let whole = |value: &Value| -> Option<Vec<usize>> {
            let Value::Tuple(parts) = value else { return None };
            let one = |p: &At| if let Value::Int(n) = self.values[*p] { usize::try_from(n).ok() } else { None };
            if parts.len() > TUPLE_LIMIT { None } else { parts.iter().map(one).collect() }
        };
        let (Some(offset), Some(shape), Some(stride)) = (usize::try_from(offset).ok(), whole(shape), whole(stride)) else {
            return Err("has a tensor whose offset, shape or strides are not whole numbers of 0 or more");
        };
        let count = shape.iter().try_fold(1usize, |n, side| n.checked_mul(*side));
        let end = count.and_then(|count| count.checked_add(offset));
        if end.is_none_or(|end| end > stored) {
            return Err("has a tensor that reaches past the end of its storage");
        }
        let mut step = 1;
        for (side, stride) in shape.iter().zip(&stride).rev() {
            if *side > 1 && *stride != step {
                return Err("has a tensor whose rows do not follow each other; save it after .contiguous()");
            }
            step *= side;
        }
        if shape.len() != stride.len() {
            return Err("has a tensor with another number of strides than sides");
        }
        Ok((offset, shape))
    }
}

/// A signed whole number, little-endian, of up to eight bytes.
fn long(bytes: &[u8]) -> Option<i64> {
    if bytes.len() > 8 {
        return None;
    }
    let sign = if bytes.last().is_some_and(|b| b & 0x80 != 0) { 0xff } else { 0 };
    Some(i64::from_le_bytes(std::array::from_fn(|i| bytes.get(i).copied().unwrap_or(sign))))
}
