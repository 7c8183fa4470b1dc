//! A GGUF file read back, from the format's description alone.
#![allow(missing_docs, clippy::unwrap_used)]

use half::{bf16, f16};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;

pub struct Tensor {
    /// Row-major: the other way round than in the file.
    pub shape: Vec<usize>,
    pub ggml_type: u32,
    pub bytes: Vec<u8>,
}

pub struct File {
    pub keys: BTreeMap<String, Value>,
    /// In the file's order.
    pub names: Vec<String>,
    pub tensors: BTreeMap<String, Tensor>,
}

struct Cursor<'a>(&'a [u8], usize);

impl Cursor<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let part = self.0[self.1..self.1 + N].try_into().unwrap();
        self.1 += N;
        part
    }

    fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.take())
    }

    fn u64(&mut self) -> usize {
        u64::from_le_bytes(self.take()) as usize
    }

    fn text(&mut self) -> String {
        let len = self.u64();
        self.1 += len;
        String::from_utf8(self.0[self.1 - len..self.1].to_vec()).unwrap()
    }

    fn value(&mut self, kind: u32) -> Value {
        match kind {
            4 => json!(self.u32()),
            5 => json!(i32::from_le_bytes(self.take())),
            6 => json!(f32::from_le_bytes(self.take())),
            7 => match self.take::<1>() {
                [0] => json!(false),
                [1] => json!(true),
                other => panic!("{other:?} is no truth value"),
            },
            8 => json!(self.text()),
            9 => {
                let (of, len) = (self.u32(), self.u64());
                (0..len).map(|_| self.value(of)).collect()
            }
            other => panic!("type {other}"),
        }
    }
}

/// Reads the file whole, and checks that nothing of it is left over or out of its place.
pub fn read(path: &Path) -> File {
    let all = std::fs::read(path).unwrap();
    let mut at = Cursor(&all, 0);
    assert_eq!((&at.take::<4>(), at.u32()), (b"GGUF", 3));
    let (tensors, keys) = (at.u64(), at.u64());
    let keys = (0..keys)
        .map(|_| {
            let (key, kind) = (at.text(), at.u32());
            (key, at.value(kind))
        })
        .collect();
    let infos: Vec<_> = (0..tensors)
        .map(|_| {
            let (name, sides) = (at.text(), at.u32());
            let mut shape: Vec<usize> = (0..sides).map(|_| at.u64()).collect();
            shape.reverse();
            (name, shape, at.u32(), at.u64())
        })
        .collect();
    let mut end = at.1.next_multiple_of(32);
    let begin = end;
    let mut file = File { keys, names: Vec::new(), tensors: BTreeMap::new() };
    for (name, shape, ggml_type, offset) in infos {
        assert_eq!(begin + offset, end, "{name} begins where the one before it ends");
        let numbers: usize = shape.iter().product();
        let len = match ggml_type {
            0 => numbers * 4,
            1 | 30 => numbers * 2,
            2 => numbers / 32 * 18,
            8 => numbers / 32 * 34,
            other => panic!("{name}: type {other}"),
        };
        assert!(![2, 8].contains(&ggml_type) || shape.last().unwrap().is_multiple_of(32), "{name}: rows of whole blocks");
        let bytes = all[begin + offset..][..len].to_vec();
        end = begin + (offset + len).next_multiple_of(32);
        file.names.push(name.clone());
        assert!(file.tensors.insert(name, Tensor { shape, ggml_type, bytes }).is_none());
    }
    assert_eq!(end, all.len(), "nothing behind the last tensor");
    file
}

impl Tensor {
    /// The numbers with the most that each may be off from what it was made of.
    pub fn values(&self) -> Vec<(f32, f32)> {
        let half = |b: &[u8]| f16::from_le_bytes([b[0], b[1]]).to_f32();
        match self.ggml_type {
            0 => self.bytes.as_chunks().0.iter().map(|b| (f32::from_le_bytes(*b), 0.0)).collect(),
            1 => self.bytes.chunks(2).map(|b| (half(b), half(b).abs() / 2048.0 + 2f32.powi(-25))).collect(),
            30 => self.bytes.as_chunks().0.iter().map(|b| bf16::from_le_bytes(*b).to_f32()).map(|v| (v, v.abs() / 256.0)).collect(),
            // Half a step; the scale itself is rounded, by 1/2048 of up to 127 steps.
            8 => self.bytes.chunks(34).flat_map(|b| b[2..].iter().map(move |q| (f32::from(*q as i8) * half(b), half(b) * 0.57))).collect(),
            // Half a step, and a whole one at the side that has a level less; 1/2048 of up to 8 steps.
            2 => self
                .bytes
                .chunks(18)
                .flat_map(|b| {
                    let level = move |q: u8| (f32::from(i16::from(q) - 8) * half(b), half(b).abs() * if q == 15 { 1.01 } else { 0.51 });
                    (0..32).map(move |i| level(if i < 16 { b[2 + i] & 15 } else { b[2 + i - 16] >> 4 }))
                })
                .collect(),
            other => panic!("type {other}"),
        }
    }
}
