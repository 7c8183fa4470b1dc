//! GGUF, the one-file format of llama.cpp, Ollama and LM Studio: writing it, and how a decoder is told in it.
//!
//! | file | what it knows |
//! | --- | --- |
//! | `value.rs` | metadata: keys with typed values |
//! | `file.rs` | the file: header, tensors one after the other, aligned |
//! | `encoding.rs` | types of tensors; blocks of 32 numbers behind their scale (q8_0, q4_0) |
//! | `keys.rs` | config.json as metadata, and what llama.cpp cannot compute |
//! | `names.rs` | tensors under llama.cpp's names, and in what their numbers differ from transformers' |
//!
//! The format: <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>. What goes into a tokenizer's keys is `data::vocabulary`'s.

pub mod encoding;
pub mod file;
pub mod keys;
pub mod names;
pub mod value;

pub use encoding::Encoding;
pub use file::{GgufTensor, write_gguf};
pub use value::{Metadata, Value};
