#!/usr/bin/env python3
"""How certain the numbers of ../shared/reference are: the same training in float64.

Usage: reference_certainty.py REFERENCE_DIR OUT.json

AdamW's first steps divide a gradient by its own size, so an entry whose gradient is near rounding noise moves by noise: there
PyTorch in float32 and PyTorch in float64 disagree far more than any tolerance. OUT lists those entries for each case:
{case: {"entries": {tensor: [[flat index, float64 value], ...]}, "loaded_logits": ...}}: all where the float64 adapter differs from
the reference's by more than a quarter of a thousandth of the largest entry.

`loaded_logits` is for the bf16 case. Its reference was made by model.to(bfloat16).float(), which also rounds the rotary
frequencies; a model that transformers loads from the same files has them exact. These are that model's logits.
"""
import json, os, sys
import torch
from safetensors.torch import load_file
from torch import nn
from transformers import AutoModelForCausalLM

TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


class Diablo(nn.Module):
    def __init__(self, base, blocks):
        super().__init__()
        o, i = base.weight.shape
        self.base, self.n = base, blocks
        self.diablo_block = nn.Parameter(torch.zeros(blocks, i // blocks, o // blocks, dtype=torch.float64))

    def forward(self, x):
        return self.base(x) + torch.einsum("...ni,nio->...no", x.unflatten(-1, (self.n, -1)), self.diablo_block).flatten(-2)


class Lora(nn.Module):
    def __init__(self, base, a, b, scale):
        super().__init__()
        self.base, self.scale = base, scale
        self.lora_A, self.lora_B = nn.Parameter(a.double()), nn.Parameter(b.double())

    def forward(self, x):
        return self.base(x) + x @ self.lora_A.T @ self.lora_B.T * self.scale


def model_of(path, rounded):
    model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32, attn_implementation="eager")
    return model.to(torch.bfloat16).float() if rounded else model


def train(case, settings, tokens, rounded):
    model = model_of(os.path.join(case, "model"), rounded).double()
    for p in model.parameters():
        p.requires_grad_(False)
    trained = {}
    start = load_file(os.path.join(case, "adapter_init.safetensors")) if settings["method"] == "lora" else {}
    for name, module in list(model.named_modules()):
        if isinstance(module, nn.Linear) and name.split(".")[-1] in TARGETS:
            prefix = f"base_model.model.{name}"
            if settings["method"] == "diablo":
                new = Diablo(module, settings["blocks"])
                trained[f"{prefix}.diablo_block"] = new.diablo_block
            else:
                a, b = start[f"{prefix}.lora_A.weight"], start[f"{prefix}.lora_B.weight"]
                new = Lora(module, a, b, settings["alpha"] / settings["rank"])
                trained[f"{prefix}.lora_A.weight"], trained[f"{prefix}.lora_B.weight"] = new.lora_A, new.lora_B
            setattr(model.get_submodule(name.rsplit(".", 1)[0]), name.split(".")[-1], new)
    rates = json.load(open(os.path.join(case, "expected.json")))["lr"]
    optimiser = torch.optim.AdamW(trained.values(), weight_decay=settings["weight_decay"])
    for step, rate in enumerate(rates):
        micro = tokens[step * settings["accumulate"]:(step + 1) * settings["accumulate"]]
        total = sum(sum(l != -100 for l in row[1:]) for m in micro for row in m["labels"])
        optimiser.zero_grad()
        for m in micro:
            ids, labels = torch.tensor(m["ids"]), torch.tensor(m["labels"])
            real = [max(i for i, l in enumerate(row) if l != -100) + 1 for row in m["labels"]]
            mask = torch.tensor([[int(i < n) for i in range(ids.shape[1])] for n in real])
            logits = model(input_ids=ids, attention_mask=mask).logits[:, :-1]
            loss = nn.functional.cross_entropy(logits.reshape(-1, logits.shape[-1]), labels[:, 1:].reshape(-1), ignore_index=-100, reduction="sum")
            (loss / total).backward()
        nn.utils.clip_grad_norm_(trained.values(), settings["clip"])
        for group in optimiser.param_groups:
            group["lr"] = rate
        optimiser.step()
    return {name: p.detach() for name, p in trained.items()}


def main():
    root, out = sys.argv[1:]
    result = {}
    for name in sorted(os.listdir(root)):
        case = os.path.join(root, name)
        if not os.path.isdir(case) or not os.path.exists(os.path.join(case, "adapter.safetensors")):
            continue
        expected = json.load(open(os.path.join(case, "expected.json")))
        tokens = json.load(open(os.path.join(case, "tokens.json")))
        settings = expected["settings"]
        rounded = settings["dtype"] != "float32"
        exact = train(case, settings, tokens, rounded)
        reference = load_file(os.path.join(case, "adapter.safetensors"))
        largest = max(v.abs().max().item() for v in reference.values())
        entries = {}
        for tensor, values in exact.items():
            off = (values - reference[tensor].double()).abs().flatten() > 0.25e-3 * largest
            if off.any():
                entries[tensor] = [[i, values.flatten()[i].item()] for i in off.nonzero().flatten().tolist()]
        result[name] = {"entries": entries}
        if rounded:
            row = tokens[0]["labels"][0]
            length = max(i for i, l in enumerate(row) if l != -100) + 1
            with torch.no_grad():
                logits = model_of(os.path.join(case, "model"), False)(torch.tensor([tokens[0]["ids"][0][:length]])).logits[0]
            result[name]["loaded_logits"] = logits[-3:].tolist()
        print(name, {k: len(v) for k, v in entries.items()})
    json.dump(result, open(out, "w"))


main()
