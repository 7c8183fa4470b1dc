//! Text from a model: decoding with a cache of keys and values, and how the next token is drawn.

pub mod chat;
pub mod continuing;
pub mod decoder;
pub mod sample;
pub mod together;

pub use continuing::{Continuation, Request, continue_all, continue_tokens};
pub use decoder::Decoder;
pub use sample::{Sampler, Sampling};
