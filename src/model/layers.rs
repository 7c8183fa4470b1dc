//! The decoder layers laid into a plan: forward, and backward in reverse with the same names.

use super::ModelConfig;
use super::inputs::Inputs;
use super::kept::{Activations, Kept};
use super::linear::{Adapter, Into, Saved};
use super::weights::{Layer, Linear, Norm, Weight, Weights};
use crate::device::{Op, PlanBuilder, View};
use crate::kernels::activate::activate;
use crate::kernels::activate_grad::activate_grad;
use crate::kernels::attention::Attention;
use crate::kernels::attention_delta::attention_delta;
use crate::kernels::column_sum::column_sum;
use crate::kernels::columns::{Columns, columns};
use crate::kernels::embedding::embedding;
use crate::kernels::embedding_grad::{Groups, embedding_grad};
use crate::kernels::glu::glu;
use crate::kernels::glu_grad::glu_grad;
use crate::kernels::layer_norm::layer_norm;
use crate::kernels::layer_norm_grad::layer_norm_grad;
use crate::kernels::layer_norm_weight_grad::layer_norm_weight_grad;
use crate::kernels::rms_norm::rms_norm;
use crate::kernels::rms_norm_grad::rms_norm_grad;
use crate::kernels::rms_norm_weight_grad::rms_norm_weight_grad;
use crate::kernels::rope::rope;
use crate::kernels::scatter_rows::scatter_rows;

/// A model about to be laid into a plan over `rows` sequences of `seq` tokens.
pub struct Graph<'a> {
    /// The architecture.
    pub config: &'a ModelConfig,
    /// Its parameters on the device.
    pub weights: &'a Weights,
    /// What is added to its linear layers.
    pub adapter: &'a dyn Adapter,
    /// What the host uploads.
    pub inputs: Inputs,
    /// Sequences.
    pub rows: usize,
    /// Tokens of a sequence.
    pub seq: usize,
    /// Numbers to hold at a time of what is made in pieces; see [`crate::device::plan::Limits::piece_bytes`].
    pub piece: usize,
    /// How it trains; what [`Training::default`] says where it does not.
    pub training: Training,
}

/// What a training step asks of its two passes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Training {
    /// How what the backward pass reads is held until then.
    pub activations: Activations,
    /// Whether the backward pass runs each layer forward once more: only the layers' inputs are worth keeping.
    pub recompute: bool,
    /// Where gradients are sums over targets times this, and not means.
    pub loss_scale: Option<f32>,
}

/// Keys and values of the tokens decoded so far, one pair a layer: [tokens, kv_heads, head_dim].
pub struct Cache<'a> {
    /// Keys and values by layer.
    pub layers: &'a [(View, View)],
    /// Where each of this call's tokens goes; none for padding.
    pub places: View,
    /// Tokens of a sequence that spans may lead to.
    pub keys: usize,
    /// Tokens that fit, of all texts.
    pub tokens: usize,
}

/// What one layer keeps for its backward pass. [tokens, width] each.
struct Remains {
    x: Kept,
    /// Before norm and rotation where there is a norm; after rotation otherwise.
    q: View,
    k: View,
    v: View,
    stats: View,
    attended: View,
    /// Attention's output before the norm behind it.
    attention_out: Option<Kept>,
    middle: Kept,
    /// What is activated.
    gate: Kept,
    /// What the activated one multiplies, where the model has a gate.
    up: Option<Kept>,
    /// The feed-forward half's output before the norm behind it.
    mlp_out: Option<Kept>,
    /// By the adapter, for each linear layer in the order of the forward pass.
    adapter: Vec<Saved>,
}

/// What the forward pass keeps.
pub struct Forward {
    /// Output of the last layer, [tokens, hidden].
    pub y: View,
    layers: Vec<Remains>,
}

impl Graph<'_> {
    fn tokens(&self) -> usize {
        self.rows * self.seq
    }

    fn attention(&self, keys: usize) -> Attention {
        let c = self.config;
        Attention {
            rows: self.rows,
            queries: self.seq,
            keys,
            heads: c.num_attention_heads,
            kv_heads: c.num_key_value_heads,
            head_dim: c.head_dim,
            scale: c.attention_scale as f32,
        }
    }

    /// y = (residual +) norm(x), over `rows` of the norm's width.
    pub(super) fn normed(&self, norm: &Norm, x: View, residual: Option<View>, y: View, rows: usize) -> Op {
        let (w, width, eps) = (norm.weight.value, norm.width(), self.config.norm_eps as f32);
        match &norm.bias {
            Some(bias) => {
                debug_assert!(residual.is_none(), "no family has a layer norm behind a half");
                layer_norm(x, w, bias.value, y, rows, width, eps)
            }
            None => rms_norm(x, w, residual, y, rows, width, eps, self.config.norm_offset),
        }
    }

    fn norm(&self, plan: &mut PlanBuilder, norm: &Norm, x: View, label: &str) -> View {
        let y = plan.workspace(label, self.tokens() * norm.width());
        plan.push(self.normed(norm, x, None, y, self.tokens()));
        y
    }

    /// dx (+)= gradient of the norm at x, and the weight's and bias's where they train. `rows` of the norm's width.
    pub(super) fn norm_grad(&self, plan: &mut PlanBuilder, norm: &Norm, x: View, dy: View, dx: Into, rows: usize) {
        let (w, width, eps) = (norm.weight.value, norm.width(), self.config.norm_eps as f32);
        if let Some(bias) = &norm.bias {
            let stats = plan.workspace("mean and inverse deviation", 2 * rows);
            plan.push(layer_norm_grad(x, w, dy, dx.view, stats, rows, width, eps, dx.add));
            if let Some(dw) = norm.weight.grad {
                plan.push(layer_norm_weight_grad(x, dy, stats, dw, rows, width));
            }
            if let Some(db) = bias.grad {
                plan.push(column_sum(dy, db, rows, width));
            }
            return;
        }
        let r = plan.workspace("inverse rms", rows);
        plan.push(rms_norm_grad(x, w, dy, dx.view, r, rows, width, eps, self.config.norm_offset, dx.add));
        if let Some(dw) = norm.weight.grad {
            plan.push(rms_norm_weight_grad(x, dy, r, dw, rows, width));
        }
    }

    /// The embedded tokens, [tokens, hidden]; where positions are learned, theirs are added.
    fn embed(&self, plan: &mut PlanBuilder) -> View {
        let (tokens, scale, embed) = (self.tokens(), self.config.embed_scale, &self.weights.embed);
        let x = plan.activation("embedded", tokens * embed.cols);
        let positions = self.weights.positions.as_ref().map(|table| (table, self.inputs.positions, 1.0, true));
        for (table, rows, scale, add) in [(embed, self.inputs.ids, scale, false)].into_iter().chain(positions) {
            for piece in &table.pieces {
                plan.push(embedding(rows, piece.value, table.format, piece.first_row, piece.rows, x, tokens, table.cols, scale, add));
            }
        }
        x
    }

    /// Gradient of [`Self::embed`] in one of its tables, where that trains.
    fn table_grad(&self, plan: &mut PlanBuilder, table: &Weight, groups: Groups, dx: View, scale: f32) {
        for piece in &table.pieces {
            if let Some(grad) = piece.grad {
                plan.push(embedding_grad(groups, dx, grad, piece.first_row, piece.rows, table.cols, scale));
            }
        }
    }

    /// Lays out the whole forward pass up to the last layer's output. With a cache, tokens also see what is in it.
    pub fn forward(&self, plan: &mut PlanBuilder, cache: Option<&Cache<'_>>) -> Forward {
        let mut x = self.embed(plan);
        let mut layers = Vec::with_capacity(self.weights.layers.len());
        for (i, layer) in self.weights.layers.iter().enumerate() {
            let (mut kept, y) = self.layer(plan, i, layer, x, cache);
            if self.training.recompute {
                // The layer has to see what it saw.
                kept.x = Kept::Whole(x);
            }
            layers.push(kept);
            x = y;
        }
        Forward { y: x, layers }
    }

    fn apply(&self, plan: &mut PlanBuilder, linear: &Linear, x: View, residual: Option<View>) -> (View, Saved) {
        let y = plan.activation(linear.site.module, self.tokens() * linear.weight.rows);
        let kept = self.adapter.forward(plan, linear, x, y, residual, self.tokens());
        (y, kept)
    }

    /// Outputs of `widths` from the linear layers of `linears`: one each, or all of them side by side in a fused one, which are
    /// then taken apart. What the adapter keeps goes to `kept`.
    fn projected<const N: usize>(
        &self,
        plan: &mut PlanBuilder,
        linears: &[Linear],
        x: View,
        widths: [usize; N],
        kept: &mut Vec<Saved>,
    ) -> [View; N] {
        let tokens = self.tokens();
        if let ([fused], true) = (linears, N > 1) {
            let whole = plan.workspace(fused.site.module, tokens * fused.weight.rows);
            kept.push(self.adapter.forward(plan, fused, x, whole, None, tokens));
            let mut first = 0;
            return widths.map(|width| {
                let part = plan.activation(fused.site.module, tokens * width);
                let from = Columns { view: whole, width: fused.weight.rows, first };
                plan.push(columns(from, Columns { view: part, width, first: 0 }, tokens, width));
                first += width;
                part
            });
        }
        std::array::from_fn(|i| {
            let (y, keeps) = self.apply(plan, &linears[i], x, None);
            kept.push(keeps);
            y
        })
    }

    /// Gradients of [`Self::projected`], given those of its outputs.
    fn projected_grad<const N: usize>(
        &self,
        plan: &mut PlanBuilder,
        linears: &[Linear],
        x: View,
        dy: [View; N],
        widths: [usize; N],
        kept: &[Saved],
        dx: Option<View>,
    ) {
        let tokens = self.tokens();
        if let ([fused], true) = (linears, N > 1) {
            let whole = plan.workspace("d fused", tokens * fused.weight.rows);
            let mut first = 0;
            for (part, width) in dy.into_iter().zip(widths) {
                let to = Columns { view: whole, width: fused.weight.rows, first };
                plan.push(columns(Columns { view: part, width, first: 0 }, to, tokens, width));
                first += width;
            }
            return self.adapter.backward(plan, fused, &kept[0], x, whole, dx.map(|view| Into { view, add: false }), tokens);
        }
        for (i, (linear, dy)) in linears.iter().zip(dy).enumerate() {
            self.adapter.backward(plan, linear, &kept[i], x, dy, dx.map(|view| Into { view, add: i > 0 }), tokens);
        }
    }

    /// A linear layer's output added to the stream `x`, through the norm behind it where there is one. What comes second is kept
    /// for that norm's backward pass, what comes third for the adapter's.
    fn joined(&self, plan: &mut PlanBuilder, linear: &Linear, norm: Option<&Norm>, input: View, x: View) -> (View, Option<View>, Saved) {
        let Some(norm) = norm else {
            let (y, kept) = self.apply(plan, linear, input, Some(x));
            return (y, None, kept);
        };
        let (out, kept) = self.apply(plan, linear, input, None);
        let y = plan.activation("joined", self.tokens() * norm.width());
        plan.push(self.normed(norm, out, Some(x), y, self.tokens()));
        (y, Some(out), kept)
    }

    /// What a layer's tokens see, and how they are rotated; not at all where positions are learned.
    fn sight(&self, layer: usize) -> (View, Option<View>) {
        let inputs = &self.inputs;
        match inputs.window.filter(|_| self.config.window(layer).is_some()) {
            Some((spans, _)) => (spans, inputs.local_rope.or(inputs.rope)),
            None => (inputs.spans, inputs.rope),
        }
    }

    /// Norm over heads (where the model has one) and rotation: a copy where there is a norm, in place otherwise.
    fn positioned(&self, plan: &mut PlanBuilder, table: Option<View>, x: View, heads: usize, norm: Option<&Norm>) -> View {
        let (c, tokens) = (self.config, self.tokens());
        let x = match norm {
            None => x,
            Some(norm) => {
                let y = plan.workspace("normed heads", tokens * heads * c.head_dim);
                plan.push(self.normed(norm, x, None, y, tokens * heads));
                y
            }
        };
        if let Some(table) = table {
            plan.push(rope(self.inputs.positions, table, x, tokens, heads, c.head_dim, c.rotary_dim, false));
        }
        x
    }

    fn layer(&self, plan: &mut PlanBuilder, index: usize, layer: &Layer, x: View, cache: Option<&Cache<'_>>) -> (Remains, View) {
        let (c, tokens) = (self.config, self.tokens());
        let (heads, kv_heads) = (c.num_attention_heads, c.num_key_value_heads);
        let norms = layer.qk_norm.as_ref();
        let (spans, table) = self.sight(index);
        let h = self.norm(plan, &layer.input_norm, x, "normed");
        let mut adapter = Vec::new();
        let (q_width, kv_width) = (heads * c.head_dim, kv_heads * c.head_dim);
        let [q, k, v] = self.projected(plan, &layer.qkv, h, [q_width, kv_width, kv_width], &mut adapter);
        let q_at = self.positioned(plan, table, q, heads, norms.map(|n| &n.0));
        let k_at = self.positioned(plan, table, k, kv_heads, norms.map(|n| &n.1));
        let attended = plan.activation("attended", tokens * q_width);
        let stats = plan.activation("attention stats", 2 * tokens * heads);
        let (keys, values, seen) = match cache {
            None => (k_at, v, self.seq),
            Some(cache) => {
                let (keys, values) = cache.layers[index];
                for (from, to) in [(k_at, keys), (v, values)] {
                    plan.push(scatter_rows(cache.places, 0, from, to, cache.tokens, tokens, kv_width));
                }
                (keys, values, cache.keys)
            }
        };
        plan.push(self.attention(seen).forward(q_at, keys, values, spans, attended, stats));
        let (middle, attention_out, kept_o) = self.joined(plan, &layer.o, layer.norm_behind_attention.as_ref(), attended, x);
        let h = self.norm(plan, &layer.mlp_norm, middle, "normed");
        adapter.push(kept_o);
        let (gate, up) = if c.gated {
            let [gate, up] = self.projected(plan, &layer.gate_up, h, [c.intermediate_size; 2], &mut adapter);
            (gate, Some(up))
        } else {
            let [inner] = self.projected(plan, &layer.gate_up, h, [c.intermediate_size], &mut adapter);
            (inner, None)
        };
        let act = self.activated(plan, gate, up);
        let (y, mlp_out, kept_down) = self.joined(plan, &layer.down, layer.norm_behind_mlp.as_ref(), act, middle);
        adapter.push(kept_down);
        let mut keep = |x: View, width: usize| Kept::new(plan, x, tokens * width, self.training.activations);
        let remains = Remains {
            x: keep(x, c.hidden_size),
            q,
            k,
            v,
            stats,
            attended,
            attention_out: attention_out.map(|out| keep(out, c.hidden_size)),
            middle: keep(middle, c.hidden_size),
            gate: keep(gate, c.intermediate_size),
            up: up.map(|up| keep(up, c.intermediate_size)),
            mlp_out: mlp_out.map(|out| keep(out, c.hidden_size)),
            adapter,
        };
        (remains, y)
    }

    fn activated(&self, plan: &mut PlanBuilder, gate: View, up: Option<View>) -> View {
        let count = self.tokens() * self.config.intermediate_size;
        let act = plan.workspace("activated", count);
        plan.push(match up {
            Some(up) => glu(self.config.activation, gate, up, act, count),
            None => activate(self.config.activation, gate, act, count),
        });
        act
    }

    /// Lays out the backward pass. `dx` holds the gradient of [`Forward::y`] and is worked on in place.
    pub fn backward(&self, plan: &mut PlanBuilder, forward: Forward, dx: View) {
        let tables = [Some(&self.weights.embed), self.weights.positions.as_ref()];
        let embed_trains = tables.into_iter().flatten().flat_map(|table| &table.pieces).any(|piece| piece.grad.is_some());
        for (i, (layer, mut kept)) in self.weights.layers.iter().zip(forward.layers).enumerate().rev() {
            if self.training.recompute {
                let x = kept.x.open(plan);
                kept = self.layer(plan, i, layer, x, None).0;
            }
            self.layer_grad(plan, i, layer, kept, dx, i > 0 || embed_trains);
        }
        self.table_grad(plan, &self.weights.embed, self.inputs.groups, dx, self.config.embed_scale);
        if let (Some(table), Some(groups)) = (&self.weights.positions, self.inputs.position_groups) {
            self.table_grad(plan, table, groups, dx, 1.0);
        }
    }

    /// `below`: whether anything below this layer wants a gradient.
    fn layer_grad(&self, plan: &mut PlanBuilder, index: usize, layer: &Layer, kept: Remains, dx: View, below: bool) {
        let (c, tokens) = (self.config, self.tokens());
        let (heads, kv_heads, hidden) = (c.num_attention_heads, c.num_key_value_heads, c.hidden_size);
        let (q_width, kv_width) = (tokens * heads * c.head_dim, tokens * kv_heads * c.head_dim);
        let (kept_qkv, rest) = kept.adapter.split_at(layer.qkv.len());
        let (kept_o, kept_gate_up, kept_down) = (&rest[0], &rest[1..=layer.gate_up.len()], &rest[layer.gate_up.len() + 1]);
        let into = |view| Some(Into { view, add: false });

        // Feed-forward half. `dx` is the gradient of its output and, through the residual, of its input.
        let (gate, up, middle) = (kept.gate.open(plan), kept.up.map(|up| up.open(plan)), kept.middle.open(plan));
        let act = self.activated(plan, gate, up);
        let dact = plan.workspace("d activated", tokens * c.intermediate_size);
        let dout = self.unjoined(plan, layer.norm_behind_mlp.as_ref(), kept.mlp_out, dx);
        self.adapter.backward(plan, &layer.down, kept_down, act, dout, into(dact), tokens);
        let (inner, count) = (c.intermediate_size, tokens * c.intermediate_size);
        plan.push(match up {
            Some(up) => glu_grad(c.activation, dact, gate, up, count),
            None => activate_grad(c.activation, dact, gate, count),
        });
        let h = self.norm(plan, &layer.mlp_norm, middle, "normed");
        let dh = plan.workspace("d normed", tokens * hidden);
        // Both are in place: what was kept are now gradients.
        match up {
            Some(up) => self.projected_grad(plan, &layer.gate_up, h, [gate, up], [inner; 2], kept_gate_up, Some(dh)),
            None => self.projected_grad(plan, &layer.gate_up, h, [gate], [inner], kept_gate_up, Some(dh)),
        }
        self.norm_grad(plan, &layer.mlp_norm, middle, dh, Into { view: dx, add: true }, tokens);

        // Attention half.
        let dattended = plan.workspace("d attended", q_width);
        let dout = self.unjoined(plan, layer.norm_behind_attention.as_ref(), kept.attention_out, dx);
        self.adapter.backward(plan, &layer.o, kept_o, kept.attended, dout, into(dattended), tokens);
        plan.push(attention_delta(kept.attended, dattended, kept.stats, tokens * heads, c.head_dim));
        let norms = layer.qk_norm.as_ref();
        let (spans, table) = self.sight(index);
        let (q, k) = match norms {
            None => (kept.q, kept.k),
            Some((nq, nk)) => {
                (self.positioned(plan, table, kept.q, heads, Some(nq)), self.positioned(plan, table, kept.k, kv_heads, Some(nk)))
            }
        };
        let (dq, dk, dv) = (plan.workspace("dq", q_width), plan.workspace("dk", kv_width), plan.workspace("dv", kv_width));
        let attention = self.attention(self.seq);
        plan.push(attention.grad_q(q, k, kept.v, dattended, kept.stats, spans, dq));
        plan.push(attention.grad_kv(q, k, kept.v, dattended, kept.stats, spans, dk, dv));
        let dq = self.unpositioned(plan, table, dq, kept.q, heads, norms.map(|n| &n.0));
        let dk = self.unpositioned(plan, table, dk, kept.k, kv_heads, norms.map(|n| &n.1));
        let x = kept.x.open(plan);
        let h = self.norm(plan, &layer.input_norm, x, "normed");
        let norm_trains = layer.input_norm.weight.grad.is_some();
        let dh = (below || norm_trains).then(|| plan.workspace("d normed", tokens * hidden));
        let widths = [heads * c.head_dim, kv_heads * c.head_dim, kv_heads * c.head_dim];
        self.projected_grad(plan, &layer.qkv, h, [dq, dk, dv], widths, kept_qkv, dh);
        if let Some(dh) = dh {
            self.norm_grad(plan, &layer.input_norm, x, dh, Into { view: dx, add: true }, tokens);
        }
    }

    /// Gradient of [`Self::joined`]'s linear layer's output, given that of the stream.
    fn unjoined(&self, plan: &mut PlanBuilder, norm: Option<&Norm>, out: Option<Kept>, dy: View) -> View {
        let (Some(norm), Some(out)) = (norm, out) else { return dy };
        let out = out.open(plan);
        let dout = plan.workspace("d before the norm", self.tokens() * norm.width());
        self.norm_grad(plan, norm, out, dy, Into { view: dout, add: false }, self.tokens());
        dout
    }

    /// Gradient through rotation and norm over heads, in place or into a new buffer.
    fn unpositioned(&self, plan: &mut PlanBuilder, table: Option<View>, dy: View, x: View, heads: usize, norm: Option<&Norm>) -> View {
        let (c, tokens) = (self.config, self.tokens());
        if let Some(table) = table {
            plan.push(rope(self.inputs.positions, table, dy, tokens, heads, c.head_dim, c.rotary_dim, true));
        }
        let Some(norm) = norm else { return dy };
        let dx = plan.workspace("d heads", tokens * heads * c.head_dim);
        self.norm_grad(plan, norm, x, dy, Into { view: dx, add: false }, tokens * heads);
        dx
    }
}
