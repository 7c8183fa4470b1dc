#!/usr/bin/env python3
"""The steps of `diablo bench` in PyTorch (eager, float32, all cores): needs torch and transformers.

tinystories-656k shape, DiaBlo with 8 blocks on all projections, 8 x 128 tokens, clipping and AdamW; and SmolLM2-135M shape, all
weights' gradients, 1 x 128 tokens, without an update. Random weights. Prints the best and the median of the measured steps.

Usage: pytorch.py [--seconds 5] [--diablo PATH]   with PATH, runs `PATH bench --json` before and after, and prints the ratios.
"""
import argparse, json, statistics, subprocess, time
import torch
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM

TARGETS = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}
# As in src/bench/shapes.rs.
SHAPES = {
    "tinystories-656k": dict(vocab_size=2048, hidden_size=128, intermediate_size=384, num_hidden_layers=2, num_attention_heads=8, num_key_value_heads=4),
    "smollm2-135m": dict(vocab_size=49152, hidden_size=576, intermediate_size=1536, num_hidden_layers=30, num_attention_heads=9, num_key_value_heads=3),
    "llama-3.2-1b": dict(vocab_size=128256, hidden_size=2048, intermediate_size=8192, num_hidden_layers=16, num_attention_heads=32, num_key_value_heads=8),
}


class Diablo(nn.Module):
    def __init__(self, base, blocks):
        super().__init__()
        o, i = base.weight.shape
        self.base, self.n = base, blocks
        self.block = nn.Parameter(torch.zeros(blocks, i // blocks, o // blocks))

    def forward(self, x):
        return self.base(x) + torch.einsum("...ni,nio->...no", x.unflatten(-1, (self.n, -1)), self.block).flatten(-2)


def model(attention="eager", **sizes):
    config = LlamaConfig(tie_word_embeddings=True, **sizes)
    config._attn_implementation = attention
    torch.manual_seed(0)
    return LlamaForCausalLM(config)


def measure(step, seconds):
    step(), step()
    times, end = [], time.perf_counter() + seconds
    while len(times) < 5 or time.perf_counter() < end:
        begun = time.perf_counter()
        step()
        times.append(time.perf_counter() - begun)
    return min(times), statistics.median(times)


def loss(m, ids):
    logits = m(ids).logits[:, :-1]
    return nn.functional.cross_entropy(logits.reshape(-1, logits.shape[-1]), ids[:, 1:].reshape(-1))


def small(seconds):
    m = model(**SHAPES["tinystories-656k"])
    for p in m.parameters():
        p.requires_grad_(False)
    for name, module in list(m.named_modules()):
        if name.split(".")[-1] in TARGETS:
            setattr(m.get_submodule(name.rsplit(".", 1)[0]), name.split(".")[-1], Diablo(module, 8))
    trained = [p for p in m.parameters() if p.requires_grad]
    optimiser, ids = torch.optim.AdamW(trained, lr=1e-4, weight_decay=0.0), torch.randint(0, 2048, (8, 128))

    def step():
        l = loss(m, ids)
        optimiser.zero_grad()
        l.backward()
        nn.utils.clip_grad_norm_(trained, 1.0)
        optimiser.step()
        return l.item()

    return measure(step, seconds)


def large(seconds):
    m = model(**SHAPES["smollm2-135m"])
    ids = torch.randint(0, 49152, (1, 128))

    def step():
        m.zero_grad(set_to_none=False)
        l = loss(m, ids)
        l.backward()
        return l.item()

    return measure(step, seconds)


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--seconds", type=float, default=5)
    ap.add_argument("--diablo")
    a = ap.parse_args()
    own = lambda: json.loads(subprocess.run([a.diablo, "bench", "--device", "cpu", "--seconds", str(a.seconds), "--json"], check=True, capture_output=True).stdout)["steps"]
    runs = [own()] if a.diablo else []
    peers = [("tinystories-656k, DiaBlo", small(a.seconds), 1024), ("smollm2-135m, all gradients", large(a.seconds), 128)]
    if a.diablo:
        runs.append(own())
    for i, (name, (best, median), tokens) in enumerate(peers):
        print(f"pytorch {torch.__version__}  {name}: best {best * 1e3:.1f} ms, median {median * 1e3:.1f} ms, {tokens / best:,.0f} tokens/s")
        if runs:
            b, md = min(r[i]["best_seconds"] for r in runs), min(r[i]["median_seconds"] for r in runs)
            print(f"diablo         {name}: best {b * 1e3:.1f} ms, median {md * 1e3:.1f} ms, {tokens / b:,.0f} tokens/s; {best / b:.2f} of PyTorch's tokens/s by the best, {median / md:.2f} by the median")


if __name__ == "__main__":
    main()
