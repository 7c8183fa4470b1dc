//! A model's parameters laid out on a device: where each one lies, and how the checkpoint's bytes get there.

use super::arena::Arena;
use super::modules::{Role, path, role};
use super::names::HEAD;
use super::{Dtype, ModelConfig, ParamSpec, StoredTensor};
use crate::device::{Category, Layout, Session, View};
use crate::error::Result;
use crate::kernels::Format;

/// Numbers that are copied to a device at once.
const PART: usize = 4 << 20;

/// Rows of a matrix in one buffer.
#[derive(Clone, Copy, Debug)]
pub struct Piece {
    /// First row held here.
    pub first_row: usize,
    /// Rows held here.
    pub rows: usize,
    /// Their numbers.
    pub value: View,
    /// Their gradient, where the matrix trains.
    pub grad: Option<View>,
}

/// A matrix [rows, cols], in as many pieces as the device's largest binding asks for.
#[derive(Clone, Debug)]
pub struct Weight {
    /// transformers' name.
    pub name: String,
    /// Outputs, or tokens of a table.
    pub rows: usize,
    /// Inputs, or width of a table.
    pub cols: usize,
    /// How its numbers lie.
    pub format: Format,
    /// Its rows, in order.
    pub pieces: Vec<Piece>,
}

/// A vector of 32-bit floats: a norm's weight or a bias. These are widened when loaded; they are a few kilobytes.
#[derive(Clone, Debug)]
pub struct Vector {
    /// transformers' name.
    pub name: String,
    /// Its numbers.
    pub value: View,
    /// Its gradient, where it trains.
    pub grad: Option<View>,
    /// How many.
    pub len: usize,
}

/// A norm: an RMS norm's weight, or a layer norm's weight and bias.
#[derive(Clone, Debug)]
pub struct Norm {
    /// What the normalised numbers are multiplied with.
    pub weight: Vector,
    /// What is added to them.
    pub bias: Option<Vector>,
}

impl Norm {
    /// Numbers that are normalised together.
    pub fn width(&self) -> usize {
        self.weight.len
    }

    fn vectors(&self) -> impl Iterator<Item = &Vector> {
        std::iter::once(&self.weight).chain(&self.bias)
    }
}

/// Where a linear layer stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Site {
    /// Decoder layer.
    pub layer: usize,
    /// One of [`super::modules::MODULES`].
    pub module: &'static str,
}

impl Site {
    /// transformers' path of the module: `model.layers.0.self_attn.q_proj`.
    pub fn path(&self) -> String {
        path(self.layer, self.module)
    }
}

/// y = W x + b.
#[derive(Clone, Debug)]
pub struct Linear {
    /// Where it stands.
    pub site: Site,
    /// [d_out, d_in].
    pub weight: Weight,
    /// \[d_out\].
    pub bias: Option<Vector>,
}

/// One decoder layer.
#[derive(Clone, Debug)]
pub struct Layer {
    /// Norm before attention.
    pub input_norm: Norm,
    /// Queries, keys and values: a linear layer each, or one in which they lie side by side (Phi-3, GPT-2).
    pub qkv: Vec<Linear>,
    /// Output of attention.
    pub o: Linear,
    /// Norm behind attention, before it is added to the stream (Gemma).
    pub norm_behind_attention: Option<Norm>,
    /// Norms over each head of queries and keys (Qwen3, Gemma).
    pub qk_norm: Option<(Norm, Norm)>,
    /// Norm before the feed-forward half.
    pub mlp_norm: Norm,
    /// Norm behind the feed-forward half, before it is added to the stream (Gemma).
    pub norm_behind_mlp: Option<Norm>,
    /// What is gated and what gates, in the same way; without a gate, the one that reads the stream.
    pub gate_up: Vec<Linear>,
    /// Back to the residual stream.
    pub down: Linear,
}

impl Layer {
    /// The linear layers, in the order of the forward pass.
    pub fn linears(&self) -> impl Iterator<Item = &Linear> {
        self.qkv.iter().chain([&self.o]).chain(&self.gate_up).chain([&self.down])
    }
}

/// All parameters of a model.
#[derive(Clone, Debug)]
pub struct Weights {
    /// The embedding table.
    pub embed: Weight,
    /// The table of learned positions, where the model has one.
    pub positions: Option<Weight>,
    /// The decoder layers.
    pub layers: Vec<Layer>,
    /// The last norm.
    pub norm: Norm,
    /// The output layer; none where it is the embedding table.
    pub head: Option<Weight>,
}

impl Weights {
    /// Declares every parameter: frozen ones in the formats that `format` gives by name, and with `arena` all of them as trained
    /// 32-bit floats.
    pub fn declare(config: &ModelConfig, layout: &mut Layout, arena: Option<&mut Arena>, format: impl Fn(&str) -> Format) -> Self {
        let mut d = Declare { layout, arena, format: &format };
        let (hidden, dim) = (config.hidden_size, config.head_dim);
        let names = config.architecture.names();
        let embed = d.weight(names.embed, config.vocab_size, hidden);
        let positions = names.positions.map(|name| d.weight(name, config.max_position_embeddings, hidden));
        let shapes = config.linear_shapes();
        let (behind, biased) = (config.norms_behind, config.layer_norm);
        let layers = (0..config.num_hidden_layers)
            .map(|layer| {
                let linears = |d: &mut Declare<'_>, wanted: Role| -> Vec<Linear> {
                    let mine = shapes.iter().filter(|shape| role(shape.0) == wanted);
                    mine.map(|&(module, rows, cols)| {
                        let site = Site { layer, module };
                        let path = site.path();
                        let weight = d.weight(&format!("{path}.weight"), rows, cols);
                        Linear { site, weight, bias: config.has_bias(module).then(|| d.vector(&format!("{path}.bias"), rows)) }
                    })
                    .collect()
                };
                let one = |d: &mut Declare<'_>, wanted: Role| linears(d, wanted).pop().expect("every family has one");
                let at = format!("{}.{layer}", names.layers);
                Layer {
                    qkv: linears(&mut d, Role::AttentionIn),
                    o: one(&mut d, Role::AttentionOut),
                    qk_norm: config.qk_norm.then(|| {
                        (d.norm(&format!("{at}.self_attn.q_norm"), dim, false), d.norm(&format!("{at}.self_attn.k_norm"), dim, false))
                    }),
                    gate_up: linears(&mut d, Role::MlpIn),
                    down: one(&mut d, Role::MlpOut),
                    input_norm: d.norm(&format!("{at}.{}", names.input_norm), hidden, biased),
                    mlp_norm: d.norm(&format!("{at}.{}", names.mlp_norm), hidden, biased),
                    norm_behind_attention: behind.then(|| d.norm(&format!("{at}.post_attention_layernorm"), hidden, biased)),
                    norm_behind_mlp: behind.then(|| d.norm(&format!("{at}.post_feedforward_layernorm"), hidden, biased)),
                }
            })
            .collect();
        let norm = d.norm(names.norm, hidden, biased);
        let head = (!config.tie_word_embeddings).then(|| d.weight(HEAD, config.vocab_size, hidden));
        Self { embed, positions, layers, norm, head }
    }

    /// The output layer's table.
    pub fn head(&self) -> &Weight {
        self.head.as_ref().unwrap_or(&self.embed)
    }

    /// Every matrix.
    pub fn matrices(&self) -> impl Iterator<Item = &Weight> {
        let linears = self.layers.iter().flat_map(Layer::linears).map(|linear| &linear.weight);
        std::iter::once(&self.embed).chain(&self.positions).chain(linears).chain(&self.head)
    }

    /// Every vector.
    pub fn vectors(&self) -> impl Iterator<Item = &Vector> {
        self.norm.vectors().chain(self.layers.iter().flat_map(Layer::vectors))
    }

    /// Copies one parameter's numbers to the device, part by part: no more of the file is held than four million numbers.
    ///
    /// # Errors
    /// Where the device was lost.
    pub fn upload(&self, session: &mut Session, spec: &ParamSpec, tensor: &StoredTensor<'_>) -> Result<()> {
        if let Some(weight) = self.matrices().find(|w| w.name == spec.name) {
            for piece in &weight.pieces {
                let as_stored = piece.grad.is_none() && format_of(tensor.dtype) == weight.format;
                let (first, count) = (piece.first_row * weight.cols, piece.rows * weight.cols);
                for start in (0..count).step_by(PART) {
                    let numbers = tensor.read_slice(first + start..first + count.min(start + PART))?;
                    let words = if as_stored { words(&numbers.bytes) } else { weight.format.encode(&numbers.to_f32()) };
                    session.write(piece.value.slice(weight.format.words(start), words.len()), &words)?;
                }
            }
        } else if let Some(vector) = self.vectors().find(|v| v.name == spec.name) {
            session.write_f32(vector.value, &tensor.read()?.to_f32())?;
        }
        Ok(())
    }
}

impl Weights {
    /// Copies values to a parameter.
    ///
    /// # Errors
    /// Where the device was lost.
    pub fn upload_values(&self, session: &mut Session, name: &str, values: &[f32]) -> Result<()> {
        if let Some(weight) = self.matrices().find(|w| w.name == name) {
            for piece in &weight.pieces {
                let values = &values[piece.first_row * weight.cols..][..piece.rows * weight.cols];
                session.write(piece.value, &weight.format.encode(values))?;
            }
        } else if let Some(vector) = self.vectors().find(|v| v.name == name) {
            session.write_f32(vector.value, values)?;
        }
        Ok(())
    }
}

impl Layer {
    fn vectors(&self) -> impl Iterator<Item = &Vector> {
        let norms = [&self.input_norm, &self.mlp_norm].into_iter().chain(self.qk_norm.iter().flat_map(|(q, k)| [q, k]));
        let norms = norms.chain(&self.norm_behind_attention).chain(&self.norm_behind_mlp);
        norms.flat_map(Norm::vectors).chain(self.linears().filter_map(|l| l.bias.as_ref()))
    }
}

/// The device's format for a checkpoint's type.
pub fn format_of(dtype: Dtype) -> Format {
    match dtype {
        Dtype::F32 => Format::F32,
        Dtype::F16 => Format::F16,
        Dtype::BF16 => Format::Bf16,
    }
}

fn words(bytes: &[u8]) -> Vec<u32> {
    let mut words: Vec<u32> = bytes.chunks_exact(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
    if let [low, high] = bytes.chunks_exact(4).remainder() {
        words.push(u32::from(u16::from_le_bytes([*low, *high])));
    }
    words
}

struct Declare<'a> {
    layout: &'a mut Layout,
    arena: Option<&'a mut Arena>,
    format: &'a dyn Fn(&str) -> Format,
}

impl Declare<'_> {
    fn weight(&mut self, name: &str, rows: usize, cols: usize) -> Weight {
        if let Some(arena) = &mut self.arena {
            let pieces = arena.add(self.layout, name, &[rows, cols]);
            let pieces = pieces.iter().map(|t| Piece { first_row: t.first_row, rows: t.len / cols, value: t.value, grad: Some(t.grad) });
            return Weight { name: name.into(), rows, cols, format: Format::F32, pieces: pieces.collect() };
        }
        let format = (self.format)(name);
        // An even number of rows keeps 16-bit pieces on whole words.
        let most = (self.layout.limits.max_words() / format.words(cols).max(1)).max(2) / 2 * 2;
        let pieces = (0..rows)
            .step_by(most)
            .map(|first_row| {
                let here = most.min(rows - first_row);
                let value = self.layout.buffer(name, format.words(here * cols), Category::Weights);
                Piece { first_row, rows: here, value, grad: None }
            })
            .collect();
        Weight { name: name.into(), rows, cols, format, pieces }
    }

    fn norm(&mut self, name: &str, len: usize, biased: bool) -> Norm {
        let weight = self.vector(&format!("{name}.weight"), len);
        Norm { weight, bias: biased.then(|| self.vector(&format!("{name}.bias"), len)) }
    }

    fn vector(&mut self, name: &str, len: usize) -> Vector {
        if let Some(arena) = &mut self.arena {
            let piece = &arena.add(self.layout, name, &[len])[0];
            return Vector { name: name.into(), value: piece.value, grad: Some(piece.grad), len };
        }
        Vector { name: name.into(), value: self.layout.buffer(name, len, Category::Weights), grad: None, len }
    }
}
