"""A run of diablo, for PyTorch: transformers' model, peft's adapter, accelerate's processes.

    pip install -r requirements.txt
    python train.py                                  # one process
    accelerate launch --num_processes 8 train.py     # several; each does its part of every step's micro-batches
    python train.py --resume                         # goes on with what --out holds

recipe.json has the options, rows.jsonl the rows as tokens (a label of -100 is not learned), steps.jsonl the learning rate and the rows
of each step's micro-batches, and adapter/ the adapter as it starts. The losses are those of diablo's own run.
"""

import argparse
import contextlib
import json
from pathlib import Path

import torch
import torch.nn.functional as F
from accelerate import Accelerator
from peft import PeftModel
from transformers import AutoConfig, AutoModelForCausalLM

HERE = Path(__file__).resolve().parent
IGNORED = -100
STATE = "state.pt"


def lines_of(path):
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def load_model(recipe, where):
    """The base model in 32-bit floats, with the adapter where there is one."""
    named = {"revision": recipe["revision"]} if recipe["revision"] else {}
    config = AutoConfig.from_pretrained(where, **named)
    for dropout in ("attention_dropout", "resid_pdrop", "embd_pdrop"):
        if hasattr(config, dropout):
            setattr(config, dropout, 0.0)
    model = AutoModelForCausalLM.from_pretrained(where, config=config, dtype=torch.float32, **named)
    if (HERE / "adapter").is_dir():
        model = PeftModel.from_pretrained(model, HERE / "adapter", is_trainable=True)
    if recipe["blocks"]:
        train_blocks_alone(model, recipe["blocks"])
    return model.train()


def train_blocks_alone(model, blocks):
    """DiaBlo's blocks are a SHiRA adapter here. Its vectors have further places, outside of the blocks, whose values stay zero."""
    for name, layer in model.named_modules():
        if not hasattr(layer, "shira_indices"):
            continue
        count = blocks[name.rsplit(".", 1)[-1]]
        block_out, block_in = -(-layer.out_features // count), -(-layer.in_features // count)
        outputs, inputs = layer.shira_indices["default"].long()
        inside = outputs // block_out == inputs // block_in
        layer.shira_weight["default"].register_hook(lambda grad, inside=inside: grad * inside.to(grad.device, grad.dtype))


def loss_of(model, rows, device):
    """The sum of the losses of the rows' targets. A row that holds several documents is as many rows here: none sees another."""
    documents = [pair for row in rows for pair in zip(row["ids"], row["labels"])]
    longest = max(len(ids) for ids, _ in documents)
    ids = torch.tensor([ids + [0] * (longest - len(ids)) for ids, _ in documents], device=device)
    labels = torch.tensor([labels + [IGNORED] * (longest - len(labels)) for _, labels in documents], device=device)
    mask = torch.tensor([[1] * len(ids) + [0] * (longest - len(ids)) for ids, _ in documents], device=device)
    logits = model(input_ids=ids, attention_mask=mask, use_cache=False).logits.float()
    return F.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), ignore_index=IGNORED, reduction="sum")


def targets_of(rows):
    return sum(label != IGNORED for row in rows for labels in row["labels"] for label in labels[1:])


def held_out_loss(model, rows, size, accelerator):
    """The mean loss over all targets of the held-out rows; each process scores its share of them."""
    model.eval()
    own = sorted(rows, key=lambda row: sum(map(len, row["ids"])))[accelerator.process_index :: accelerator.num_processes]
    total = torch.zeros((), dtype=torch.float64, device=accelerator.device)
    with torch.no_grad():
        for first in range(0, len(own), size):
            total += loss_of(model, own[first : first + size], accelerator.device).double()
    model.train()
    return accelerator.reduce(total, "sum").item() / max(targets_of(rows), 1)


def save(path, step, trained, optimizer):
    """Whole or not at all: written beside its place, then renamed."""
    state = {"step": step, "trained": {name: p.detach() for name, p in trained}, "optimizer": optimizer.state_dict()}
    torch.save(state, path.with_suffix(".new"))
    path.with_suffix(".new").replace(path)


def go_on(path, trained, optimizer, accelerator):
    """Puts a saved state back; its step."""
    state = torch.load(path, map_location=accelerator.device, weights_only=True)
    with torch.no_grad():
        for name, p in trained:
            p.copy_(state["trained"][name])
    optimizer.load_state_dict(state["optimizer"])
    return state["step"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="the base model's folder or name, if it is elsewhere now")
    parser.add_argument("--out", type=Path, default=HERE / "result", help="folder of the result (default: result, beside this file)")
    parser.add_argument("--steps", type=int, help="stop after so many steps of the whole run")
    parser.add_argument("--resume", action="store_true", help="go on after the last saved state in --out")
    options = parser.parse_args()
    recipe = json.loads((HERE / "recipe.json").read_text(encoding="utf-8"))
    rows, whole = lines_of(HERE / "rows.jsonl"), lines_of(HERE / "steps.jsonl")
    steps = whole[: options.steps]
    held_out = lines_of(HERE / "held_out.jsonl") if (HERE / "held_out.jsonl").exists() else []

    accelerator = Accelerator()
    rank, count = accelerator.process_index, accelerator.num_processes
    if recipe["accumulate"] < count:
        raise SystemExit(f"{count} processes share the {recipe['accumulate']} micro-batches of a step: start no more processes than that")
    model = load_model(recipe, options.model or recipe["model"])
    trained = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    groups = [
        {"params": [p for name, p in trained if "lora_B" not in name], "rate": 1.0},
        {"params": [p for name, p in trained if "lora_B" in name], "rate": recipe["lora_plus_ratio"]},
    ]
    optimizer = torch.optim.AdamW(
        [group for group in groups if group["params"]],
        lr=0.0,
        betas=recipe["betas"],
        eps=recipe["eps"],
        weight_decay=recipe["weight_decay"],
    )
    model, optimizer = accelerator.prepare(model, optimizer)

    done, metrics = 0, []
    if options.resume and (options.out / STATE).exists():
        done = go_on(options.out / STATE, trained, optimizer, accelerator)
        metrics = [m for m in lines_of(options.out / "metrics.jsonl") if m["step"] <= done]
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "metrics.jsonl").write_text("".join(json.dumps(m) + "\n" for m in metrics))
    if held_out and done == 0:
        accelerator.print(f"step 0: held-out loss {held_out_loss(model, held_out, recipe['batch_size'], accelerator):.4f}")

    for step, plan in enumerate(steps[done:], done + 1):
        batches = [[rows[i] for i in indices] for indices in plan["micro_batches"]]
        targets = max(sum(map(targets_of, batches)), 1)
        own = batches[len(batches) * rank // count : len(batches) * (rank + 1) // count]
        total = torch.zeros((), device=accelerator.device)
        for i, batch in enumerate(own):
            # Gradients of several processes meet once a step, in its last backward pass. They are averaged, so the loss is made larger.
            meets = contextlib.nullcontext() if i + 1 == len(own) else accelerator.no_sync(model)
            with meets:
                loss = loss_of(model, batch, accelerator.device)
                accelerator.backward(loss * (count / targets))
            total += loss.detach()
        norm = accelerator.clip_grad_norm_([p for _, p in trained], recipe["max_grad_norm"] or float("inf"))
        for group in optimizer.param_groups:
            group["lr"] = plan["lr"] * group["rate"]
        optimizer.step()
        optimizer.zero_grad()
        numbers = {"step": step, "loss": accelerator.reduce(total, "sum").item() / targets, "grad_norm": float(norm), "lr": plan["lr"]}
        if held_out and (step == len(whole) or step % recipe["eval_every"] == 0):
            numbers["eval_loss"] = held_out_loss(model, held_out, recipe["batch_size"], accelerator)
        if accelerator.is_main_process:
            with open(options.out / "metrics.jsonl", "a", encoding="utf-8") as file:
                file.write(json.dumps(numbers) + "\n")
        accelerator.print(" | ".join(f"{key} {value:.6g}" for key, value in numbers.items()))
        if accelerator.is_main_process and (step == len(steps) or step % recipe["save_every"] == 0):
            save(options.out / STATE, step, trained, optimizer)
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        accelerator.unwrap_model(model).save_pretrained(options.out)
    accelerator.end_training()


if __name__ == "__main__":
    main()
