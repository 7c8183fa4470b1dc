#!/usr/bin/env python3
"""What PyTorch computes with tiny checkpoints of a few families, for tests/engine/references.rs.

Usage: make_references.py OUT [CASE ...]        (OUT: tests/data)

OUT/CASE/model/              config.json, model.safetensors (bf16; f32 where all of it trains), tokenizer.json (a token a byte)
OUT/CASE/train.jsonl         the rows, in order; the loss is on the completion and the end token
OUT/CASE/tokens.json         ids and labels of the first row
OUT/CASE/adapter.safetensors the trained blocks (method diablo), or the factors as peft writes them (method lora)
OUT/CASE/adapter_init.safetensors  the factors at the start (method lora)
OUT/CASE/expected.json       settings; logits of the first row's last three tokens and greedy tokens, before and after; loss and gradient
                             norm of each step; `uncertain`: the adapter's entries where float32 and float64 differ by more than a quarter
                             of a thousandth of the largest entry (their gradient is rounding noise), with the float64 value

PyTorch computes in float32 (and once more in float64) from the checkpoint as transformers loads it.
"""
import json, os, sys
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from peft import LoraConfig, get_peft_model
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.pytorch_utils import Conv1D

SMALL = dict(hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, vocab_size=259,
             max_position_embeddings=256, bos_token_id=256, eos_token_id=257, pad_token_id=258, tie_word_embeddings=True)
GPT2 = dict(vocab_size=259, n_positions=80, n_embd=32, n_layer=2, n_head=4, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, bos_token_id=256,
            eos_token_id=257, pad_token_id=258)
CASES = {
    "mistral-diablo": ("mistral", "diablo", dict(SMALL, head_dim=16, sliding_window=11, rope_parameters={"rope_type": "default", "rope_theta": 10000.0})),
    "phi3-diablo": ("phi3", "diablo", dict(SMALL, sliding_window=13, num_attention_heads=2, num_key_value_heads=1,
                                            rope_parameters={"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.5})),
    "gemma3-full": ("gemma3_text", "full", dict(SMALL, head_dim=8, sliding_window=9, query_pre_attn_scalar=12, layer_types=["sliding_attention", "full_attention"], num_key_value_heads=1)),
    "gpt2-diablo": ("gpt2", "diablo", GPT2),
    "gpt2-lora": ("gpt2", "lora", dict(GPT2, n_inner=48)),
    "gpt2-full": ("gpt2", "full", dict(GPT2, n_layer=1, n_inner=64, n_positions=64)),
}
SETTINGS = dict(blocks=4, rank=4, alpha=8, steps=6, batch=2, accumulate=1, lr=2e-3, schedule="constant", warmup=0, weight_decay=0.01, clip=1.0)
ROWS = [("Ada has 3 coins and gets %d more.\n" % i, "She has %d." % (3 + i)) for i in range(2, 8)] + [
    ("%d friends bring 4 books.\n" % i, "Books: %d" % (4 * i)) for i in range(2, 8)]


def byte_tokenizer(path):
    alphabet = {c: i for i, c in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    tokenizer = Tokenizer(models.BPE(vocab=alphabet, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<s>", "</s>", "<pad>"])
    tokenizer.save(path, pretty=False)
    return tokenizer


def shape(layer):
    """Outputs and inputs; GPT-2's Conv1D stores its weight the other way round."""
    return tuple(reversed(layer.weight.shape)) if isinstance(layer, Conv1D) else tuple(layer.weight.shape)


class Diablo(nn.Module):
    """y = W x + b + blockdiag(D_1..D_N) x."""

    def __init__(self, base, n, dtype):
        super().__init__()
        out, into = shape(base)
        self.base, self.n = base, n
        self.blocks = nn.Parameter(torch.zeros(n, into // n, out // n, dtype=dtype))

    def forward(self, x):
        return self.base(x) + torch.einsum("...ni,nio->...no", x.unflatten(-1, (self.n, -1)), self.blocks).flatten(-2)


def load(case, method, dtype):
    model = AutoModelForCausalLM.from_pretrained(os.path.join(case, "model"), dtype=torch.float32, attn_implementation="eager").to(dtype).eval()
    if method == "full":
        return model, dict(model.named_parameters())
    for p in model.parameters():
        p.requires_grad_(False)
    if method == "lora":
        torch.manual_seed(3)
        config = LoraConfig(task_type="CAUSAL_LM", r=SETTINGS["rank"], lora_alpha=SETTINGS["alpha"], target_modules=["c_attn", "c_proj", "c_fc"],
                            fan_in_fan_out=True)
        model = get_peft_model(model, config).to(dtype)
        return model, {name.replace(".default", ""): p for name, p in model.named_parameters() if p.requires_grad}
    trained = {}
    for name, module in list(model.named_modules()):
        if isinstance(module, (nn.Linear, Conv1D)) and "lm_head" not in name:
            new = Diablo(module, SETTINGS["blocks"], dtype)
            trained[f"base_model.model.{name}.diablo_block"] = new.blocks
            setattr(model.get_submodule(name.rsplit(".", 1)[0]), name.rsplit(".", 1)[1], new)
    return model, trained


def run(case, method, encoded, prompt, dtype):
    model, trained = load(case, method, dtype)
    start = {name: p.detach().clone() for name, p in trained.items()}
    expected = {"trainable": sum(p.numel() for p in trained.values())}

    def look(prefix, logits):
        with torch.no_grad():
            ids = torch.tensor([prompt])
            for _ in range(16):
                ids = torch.cat([ids, model(ids).logits[:, -1].argmax(-1, keepdim=True)], 1)
            rows = model(torch.tensor([encoded[0][0]])).logits[0, -3:]
        expected[logits] = [[float("%.7g" % x) for x in row] for row in rows.tolist()]
        expected[prefix] = ids[0, len(prompt):].tolist()

    look("greedy_before", "first_row_logits_last3")
    optimiser = torch.optim.AdamW(trained.values(), lr=SETTINGS["lr"], weight_decay=SETTINGS["weight_decay"])
    losses, norms = [], []
    for step in range(SETTINGS["steps"]):
        part = encoded[step * SETTINGS["batch"]:(step + 1) * SETTINGS["batch"]]
        width = max(len(ids) for ids, _ in part)
        pad = lambda row, value: row + [value] * (width - len(row))
        ids, labels = torch.tensor([pad(i, 258) for i, _ in part]), torch.tensor([pad(l, -100) for _, l in part])
        mask = torch.tensor([pad([1] * len(i), 0) for i, _ in part])
        optimiser.zero_grad()
        logits = model(input_ids=ids, attention_mask=mask).logits[:, :-1]
        loss = nn.functional.cross_entropy(logits.reshape(-1, logits.shape[-1]), labels[:, 1:].reshape(-1), ignore_index=-100)
        loss.backward()
        norms.append(nn.utils.clip_grad_norm_(trained.values(), SETTINGS["clip"]).item())
        losses.append(loss.item())
        optimiser.step()
    look("greedy_after", "after_first_row_logits_last3")
    expected.update(loss=losses, grad_norm=norms, lr=[SETTINGS["lr"]] * len(losses))
    return expected, {name: p.detach() for name, p in trained.items()}, start


def make(out, name):
    model_type, method, keys = CASES[name]
    case = os.path.join(out, name)
    os.makedirs(os.path.join(case, "model"), exist_ok=True)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(model_type, **keys))
    noise = torch.Generator().manual_seed(11)
    # Weights of a useful size: a fresh model's logits are near zero and would hide errors.
    for key, p in model.named_parameters():
        draw = torch.randn(p.shape, generator=noise)
        table = any(part in key for part in ("embed", "wte", "wpe", "lm_head"))
        p.data = p.data + 0.1 * draw if p.dim() == 1 else draw * (0.3 if table else 1.2 / 32**0.5)
    # A wholly trained model is saved in the checkpoint's type, which would round what is compared.
    model.to(torch.float32 if method == "full" else torch.bfloat16).save_pretrained(os.path.join(case, "model"))
    tokenizer = byte_tokenizer(os.path.join(case, "model", "tokenizer.json"))
    encode = lambda text: tokenizer.encode(text, add_special_tokens=False).ids
    encoded = []
    with open(os.path.join(case, "train.jsonl"), "w") as f:
        for prompt, completion in ROWS:
            f.write(json.dumps({"prompt": prompt, "completion": completion}) + "\n")
            p, c = encode(prompt), encode(completion) + [257]
            encoded.append((p + c, [-100] * len(p) + c))
    json.dump([{"ids": [encoded[0][0]], "labels": [encoded[0][1]]}], open(os.path.join(case, "tokens.json"), "w"))
    prompt = encode(ROWS[0][0])
    expected, trained, start = run(case, method, encoded, prompt, torch.float32)
    exact = run(case, method, encoded, prompt, torch.float64)[1]
    uncertain = {}
    if method != "full":
        largest = max(p.abs().max().item() for p in trained.values())
        for key, p in trained.items():
            off = ((exact[key] - p.double()).abs().flatten() > 0.25e-3 * largest).nonzero().flatten().tolist()
            if off:
                uncertain[key] = [[i, exact[key].flatten()[i].item()] for i in off]
        save_file({key: p.contiguous() for key, p in trained.items()}, os.path.join(case, "adapter.safetensors"))
    if method == "lora":
        save_file(start, os.path.join(case, "adapter_init.safetensors"))
    for folder, _, files in os.walk(case):
        for file in files:
            os.chmod(os.path.join(folder, file), 0o644)
    settings = dict(SETTINGS, method=method)
    expected.update(settings=settings, prompt=ROWS[0][0], uncertain=uncertain)
    json.dump(expected, open(os.path.join(case, "expected.json"), "w"))
    size = sum(os.path.getsize(os.path.join(d, f)) for d, _, files in os.walk(case) for f in files)
    print(name, size, "bytes; losses", [round(x, 4) for x in expected["loss"]], "uncertain", sum(map(len, uncertain.values())))


torch.manual_seed(1)
torch.use_deterministic_algorithms(True)
for name in sys.argv[2:] or CASES:
    make(sys.argv[1], name)
