#!/usr/bin/env python3
"""What peft computes when it trains LoRA's variants, for tests/engine/methods.rs.

Usage: make_methods.py CASE OUT

CASE    ../shared/reference/llama-lora: model/, tokens.json (the steps' ids and labels), adapter_init.safetensors, expected.json
OUT/NAME/expected.json          settings, loss and gradient norm of each step, logits of the first row's last three positions after
OUT/NAME/adapter.safetensors    the trained adapter; PiSSA's as peft converts it to LoRA for the base as it was

Loss: the sum of the cross entropies over the targets of a step, divided by their number. AdamW, clipping at norm 1, a constant rate.
"""
import json, os, sys
import torch
from peft import LoraConfig, get_peft_model
from peft.optimizers import create_loraplus_optimizer
from safetensors.torch import load_file, save_file
from torch.nn.functional import cross_entropy
from transformers import AutoModelForCausalLM

ALL = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
PAD = 2
CASES = {
    "lora-plus": dict(ratio=8.0, lr=2e-3, weight_decay=0.01),
    "dora": dict(use_dora=True, lr=2e-3, weight_decay=0.01),
    "dora-plus": dict(use_dora=True, ratio=4.0, lr=2e-3, weight_decay=0.0),
    "pissa": dict(init_lora_weights="pissa", lr=2e-3, weight_decay=0.01),
}
STEPS, RANK, ALPHA = 12, 4, 8


def run(case, out, ratio=None, lr=0.0, weight_decay=0.0, **options):
    torch.manual_seed(0)
    base = AutoModelForCausalLM.from_pretrained(os.path.join(case, "model"), dtype=torch.float32, attn_implementation="eager")
    config = LoraConfig(task_type="CAUSAL_LM", r=RANK, lora_alpha=ALPHA, target_modules=ALL, **options)
    model = get_peft_model(base, config).train()
    pissa = options.get("init_lora_weights") == "pissa"
    os.makedirs(out, exist_ok=True)
    if pissa:
        start = os.path.join(out, "start")
        model.peft_config["default"].init_lora_weights = True
        model.save_pretrained(start)
        model.peft_config["default"].init_lora_weights = "pissa"
    else:
        held = {k.replace(".default", ""): p for k, p in model.named_parameters() if "lora_A" in k or "lora_B" in k}
        init = load_file(os.path.join(case, "adapter_init.safetensors"))
        assert held.keys() == init.keys()
        with torch.no_grad():
            for k, p in held.items():
                p.copy_(init[k])
    params = [p for p in model.parameters() if p.requires_grad]
    if ratio is None:
        optimizer = torch.optim.AdamW(params, lr=lr, betas=(0.9, 0.999), eps=1e-8, weight_decay=weight_decay)
    else:
        more = dict(betas=(0.9, 0.999), eps=1e-8, loraplus_weight_decay=weight_decay)
        optimizer = create_loraplus_optimizer(model, torch.optim.AdamW, lr=lr, loraplus_lr_ratio=ratio, **more)
    steps = json.load(open(os.path.join(case, "tokens.json")))[:STEPS]
    losses, norms = [], []
    for step in steps:
        ids, labels = torch.tensor(step["ids"]), torch.tensor(step["labels"])
        optimizer.zero_grad()
        logits = model(input_ids=ids, attention_mask=(ids != PAD).long()).logits
        targets = labels[:, 1:].reshape(-1)
        loss = cross_entropy(logits[:, :-1].reshape(-1, logits.shape[-1]), targets, ignore_index=-100, reduction="sum")
        loss = loss / (targets != -100).sum()
        loss.backward()
        norms.append(torch.nn.utils.clip_grad_norm_(params, 1.0).item())
        optimizer.step()
        losses.append(loss.item())
    model.eval()
    first = torch.tensor([[i for i in steps[0]["ids"][0] if i != PAD]])
    with torch.no_grad():
        after = model(first).logits[0, -3:].tolist()
    final = os.path.join(out, "final")
    model.save_pretrained(final, **(dict(path_initial_model_for_weight_conversion=start) if pissa else {}))
    tensors = load_file(os.path.join(final, "adapter_model.safetensors"))
    save_file(tensors, os.path.join(out, "adapter.safetensors"), metadata={"format": "pt"})
    settings = dict(rank=RANK, alpha=ALPHA, lr=lr, weight_decay=weight_decay, clip=1.0, batch=len(steps[0]["ids"]), steps=STEPS, ratio=ratio or 1.0)
    expected = dict(settings=settings, loss=losses, grad_norm=norms, trainable=sum(p.numel() for p in params), logits_after=after)
    json.dump(expected, open(os.path.join(out, "expected.json"), "w"))
    for folder in ("start", "final"):
        for root, _, files in os.walk(os.path.join(out, folder), topdown=False):
            for file in files:
                os.remove(os.path.join(root, file))
            os.rmdir(root)
    print(os.path.basename(out), [round(x, 4) for x in losses], "norms", [round(x, 3) for x in norms[:3]])


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    for name, options in CASES.items():
        run(sys.argv[1], os.path.join(sys.argv[2], name), **options)
