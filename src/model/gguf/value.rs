//! A GGUF file's metadata: keys in order, each with a typed value.

/// Keys in the order in which they are written, with their values.
pub type Metadata = Vec<(String, Value)>;

/// The values that are written here; the format knows more types.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A size or an id.
    U32(u32),
    /// A number.
    F32(f32),
    /// Yes or no.
    Bool(bool),
    /// A text.
    Text(String),
    /// Texts.
    Texts(Vec<String>),
    /// Numbers.
    F32s(Vec<f32>),
    /// Whole numbers.
    I32s(Vec<i32>),
}

/// The format's numbers of types (`gguf_metadata_value_type`).
const U32: u32 = 4;
const I32: u32 = 5;
const F32: u32 = 6;
const BOOL: u32 = 7;
const TEXT: u32 = 8;
const ARRAY: u32 = 9;

impl Value {
    /// Appends type and value.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let number = |out: &mut Vec<u8>, n: u32| out.extend(n.to_le_bytes());
        let array = |out: &mut Vec<u8>, of: u32, len: usize| {
            number(out, ARRAY);
            number(out, of);
            out.extend((len as u64).to_le_bytes());
        };
        match self {
            Self::U32(v) => {
                number(out, U32);
                number(out, *v);
            }
            Self::F32(v) => {
                number(out, F32);
                out.extend(v.to_le_bytes());
            }
            Self::Bool(v) => {
                number(out, BOOL);
                out.push(u8::from(*v));
            }
            Self::Text(v) => {
                number(out, TEXT);
                write_text(out, v);
            }
            Self::Texts(all) => {
                array(out, TEXT, all.len());
                all.iter().for_each(|v| write_text(out, v));
            }
            Self::F32s(all) => {
                array(out, F32, all.len());
                out.extend(all.iter().flat_map(|v| v.to_le_bytes()));
            }
            Self::I32s(all) => {
                array(out, I32, all.len());
                out.extend(all.iter().flat_map(|v| v.to_le_bytes()));
            }
        }
    }
}

/// Length in bytes, then the bytes.
pub(super) fn write_text(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}
