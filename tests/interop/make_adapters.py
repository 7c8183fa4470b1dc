#!/usr/bin/env python3
"""Adapters that other programs write, for tests/engine/adapters.rs to read: peft's LoRA, and DiaBlo as the method's authors keep it.

Usage: make_adapters.py MODEL_DIR OUT

OUT/NAME/         an adapter of peft's (`lora`, `rslora`, and ones that diablo must refuse), random numbers in both factors
OUT/NAME.chkpt    `torch.save` of {"model.layers.0.self_attn.q_proj.block_A": [N, ceil(d_in / N), ceil(d_out / N)], ...}
OUT/logits.json   {"ids": [ID, ...], "logits": {NAME: [LOGIT, ...]}} of what follows, computed by PyTorch in float32
"""
import json, os, sys
import torch
from peft import LoraConfig, get_peft_model
from torch import nn
from torch.nn.functional import pad
from transformers import AutoModelForCausalLM

IDS = [5, 99, 200, 31, 7, 64]
ALL = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


class Blocks(nn.Module):
    """y = W x + b + blockdiag(D_1..D_N) x, its tensors named as the authors name them."""

    def __init__(self, linear, n):
        super().__init__()
        self.linear = linear
        self.block_A = nn.Parameter(torch.randn(n, -(-linear.in_features // n), -(-linear.out_features // n)) * 0.02)

    def forward(self, x):
        n, d, _ = self.block_A.shape
        parts = pad(x, (0, n * d - x.shape[-1])).unflatten(-1, (n, d))
        return self.linear(x) + torch.einsum("...ni,nio->...no", parts, self.block_A).flatten(-2)[..., : self.linear.out_features]


def base(model_dir):
    return AutoModelForCausalLM.from_pretrained(model_dir, dtype=torch.float32).eval()


@torch.no_grad()
def logits(model):
    return model(torch.tensor([IDS])).logits[0, -1].tolist()


def main(model_dir, out):
    torch.manual_seed(3)
    found = {}
    for name, options in {
        "lora": dict(r=4, lora_alpha=8, target_modules=ALL),
        "rslora": dict(r=3, lora_alpha=5, use_rslora=True, target_modules=["v_proj", "q_proj"], lora_dropout=0.1),
        "rank_pattern": dict(r=4, target_modules=ALL, rank_pattern={"q_proj": 2}),
        "alpha_pattern": dict(r=4, target_modules=ALL, alpha_pattern={"q_proj": 2}),
        "modules_to_save": dict(r=4, target_modules=["q_proj"], modules_to_save=["lm_head"]),
        "init_lora_weights": dict(r=4, target_modules=["q_proj"], init_lora_weights="pissa"),
        "bias": dict(r=4, target_modules=["q_proj"], bias="all"),
    }.items():
        model = get_peft_model(base(model_dir), LoraConfig(task_type="CAUSAL_LM", **options)).eval()
        for path, p in model.named_parameters():
            if "lora_B" in path:
                nn.init.normal_(p, std=0.05)
        model.save_pretrained(os.path.join(out, name))
        found[name] = logits(model)
    for name, n, dtype, targets in [("four", 4, torch.float32, ALL), ("padded", 30, torch.bfloat16, ["q_proj", "down_proj"])]:
        model = base(model_dir)
        for path, module in list(model.named_modules()):
            if path.split(".")[-1] in targets:
                setattr(model.get_submodule(path.rsplit(".", 1)[0]), path.split(".")[-1], Blocks(module, n))
        with torch.no_grad():
            for path, p in model.named_parameters():
                if "block" in path:
                    p.copy_(p.to(dtype))
        torch.save({k: v.to(dtype) for k, v in model.state_dict().items() if "block" in k}, os.path.join(out, f"{name}.chkpt"))
        found[name] = logits(model)
    # What a program that means harm would write, and what is no dictionary of tensors.
    class Harm:
        def __reduce__(self):
            return os.system, ("touch " + os.path.join(out, "was-run"),)

    torch.save({"a": Harm()}, os.path.join(out, "harm.chkpt"))
    torch.save({"a": torch.arange(3)}, os.path.join(out, "whole-numbers.chkpt"))
    torch.save({"model.layers.0.self_attn.q_proj.block_A": torch.zeros(4, 16, 16).transpose(0, 1)}, os.path.join(out, "strides.chkpt"))
    torch.save({"a": {"b": torch.zeros(2)}}, os.path.join(out, "nested.chkpt"))
    torch.save({"score.weight": torch.zeros(2)}, os.path.join(out, "stranger.chkpt"))
    torch.save({"a": torch.zeros(2)}, os.path.join(out, "old.chkpt"), _use_new_zipfile_serialization=False)
    json.dump({"ids": IDS, "logits": found}, open(os.path.join(out, "logits.json"), "w"))


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    torch.set_num_threads(1)
    main(*sys.argv[1:])
