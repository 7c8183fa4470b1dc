//! From files of text to micro-batches of token ids.
//!
//! | step | file | what it decides |
//! | --- | --- | --- |
//! | read | `records.rs`, `parquet.rs` | what a file is written in, and which row is at fault |
//! | understand | `formats.rs`, `conversations.rs`, `rows.rs` | what the columns mean: pairs, Alpaca, ShareGPT, messages, text |
//! | choose | `choices.rs` | of rows of multiple choice: question, candidates, the right one |
//! | write | `template/` | conversations as the model's chat template writes them, and what is learned of them |
//! | tokenise | `tokenizer.rs`, `charsmap.rs`, `lines.rs`, `begin.rs`, `special.rs` | ids; the begin token, the end token |
//! | sample | `dataset.rs` | where a sample ends and from where its tokens are learned |
//! | pack | `packing.rs` | which short rows share a sequence |
//! | order | `order.rs` | which sample comes at which position of the run |
//! | batch | `batch.rs`, `buckets.rs` | fixed shapes, shifted targets, tokens grouped by id |
//!
//! `preview.rs` and `summary.rs` show rows to a person before a run; `decode.rs` goes the other way, id by id, for generation.
//! `vocabulary/` tells a tokenizer to llama.cpp.

pub mod batch;
pub mod begin;
pub mod buckets;
mod charsmap;
pub mod choices;
mod conversations;
pub mod dataset;
pub mod decode;
pub mod files;
pub mod formats;
mod lines;
pub mod order;
mod packing;
#[cfg(all(feature = "parquet", not(target_arch = "wasm32")))]
mod parquet;
pub mod preview;
pub mod records;
pub mod rows;
pub mod special;
pub mod summary;
pub mod template;
pub mod tokenizer;
pub mod vocabulary;

pub use batch::{Batch, IGNORE};
pub use begin::Begin;
pub use buckets::{bucket_for, buckets, padding};
pub use choices::{ChoiceRow, read_choices};
pub use dataset::{Dataset, Document, Options, Report, Sample, TooLong};
pub use decode::DecodeStream;
pub use files::{DataFile, DataFiles};
pub use formats::{Columns, Format};
pub use order::Order;
pub use packing::packed;
pub use records::Container;
pub use rows::{Chat, Found, Reading, Row, Rows, read_file, read_rows};
pub use special::{stop_ids, training_bos, training_eos};
pub use template::{ChatTemplate, Chatting, TrainOn};
pub use tokenizer::Tokenizer;
pub use vocabulary::Vocabulary;

#[cfg(test)]
mod reference_tests;
