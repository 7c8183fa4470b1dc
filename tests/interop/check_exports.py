#!/usr/bin/env python3
"""Whether transformers and peft load what diablo wrote, and compute from it what diablo computes.

Usage: check_exports.py MODEL_DIR WORK_DIR [MODEL_DIR WORK_DIR ...]

MODEL_DIR is a base model, WORK_DIR what tests/interop.rs made from it: adapters (`lora/`, `diablo/`, ...), merged folders
(`merged-lora/`, `merged-diablo-bf16/`, ...), a wholly trained model (`full/model/`), and `logits.json`:

    {"texts": [{"text": TEXT, "ids": [ID, ...]}, ...],          what diablo's tokenizer makes of each text
     "logits": {FOLDER: [[LOGIT, ...], ...], ...}}              diablo's logits of what follows each text, by folder

LoRA and DiaBlo written as SHiRA (`shira-diablo/`, ...) go through peft as they are, DiaBlo's own files through the few lines below, folders with a config.json go through
AutoModelForCausalLM. All of them also compute in float32, as diablo does from weights of every type; a folder of 16-bit weights is
loaded a second time as transformers would by itself, and then computes in 16 bits. Every adapter of peft's is also saved again by
peft, to WORK_DIR/resaved/NAME, for diablo to read.

Versions it is known to pass with: requirements.txt. Prints a line for each check; exit status 1 if one fails.
"""
import json, os, sys
import torch
from peft import PeftModel
from safetensors import safe_open
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import nn
from torch.nn.functional import pad
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.pytorch_utils import Conv1D

# Of the largest logit. In 16 bits transformers rounds every activation too, and a rounding is at most 1/256 (bf16) of a value;
# over these few layers the roundings add up to a few times that.
FLOAT32, SIXTEEN_BITS = 1e-4, 5e-2

failures = 0


def report(ok, what):
    global failures
    failures += not ok
    print(f"{'ok' if ok else 'WRONG'}: {what}", flush=True)


class Diablo(nn.Module):
    """y = W x + b + blockdiag(D_1..D_N) x; sides that N does not divide are padded with zeros."""

    def __init__(self, base, blocks):
        super().__init__()
        self.base, self.blocks = base, blocks

    def forward(self, x):
        n, block_in, _ = self.blocks.shape
        padded = pad(x, (0, n * block_in - x.shape[-1])).unflatten(-1, (n, block_in))
        added = torch.einsum("...ni,nio->...no", padded, self.blocks).flatten(-2)
        y = self.base(x)
        return y + added[..., : y.shape[-1]]


def load(folder, dtype=torch.float32):
    model, info = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, output_loading_info=True)
    # A parameter that is not in the file gets random numbers and no more than a warning. (A tied head is no parameter.)
    absent = {k for key in ("missing_keys", "unexpected_keys", "mismatched_keys") for k in info[key]}
    if model.config.tie_word_embeddings:
        absent.discard("lm_head.weight")
    report(not absent, f"{folder}: every parameter found" + (f", but {sorted(absent)}" if absent else ""))
    return model.eval()


def with_diablo(model, folder, config):
    tensors = load_file(os.path.join(folder, "adapter_model.safetensors"))
    for name, blocks in tensors.items():
        path = name.removeprefix("base_model.model.").removesuffix(".diablo_block")
        parent, module = path.rsplit(".", 1)
        numbers = config["num_blocks"]
        layer = model.get_submodule(path)
        # GPT-2's two c_proj have their half's name with them.
        target = next((t for t in config["target_modules"] if path.endswith("." + t)), None)
        asked = numbers[target] if isinstance(numbers, dict) else numbers
        d_in, d_out = layer.weight.shape if isinstance(layer, Conv1D) else layer.weight.shape[::-1]
        shape = [asked, -(-d_in // asked), -(-d_out // asked)]
        if list(blocks.shape) != shape or target is None:
            report(False, f"{folder}: {name} is {list(blocks.shape)} and not {shape}")
        setattr(model.get_submodule(parent), module, Diablo(layer, blocks))
    return model


def check_shira(name, folder, model, config):
    """Every value and place of the file is the one that peft holds, and no place is there twice."""
    stored = load_file(os.path.join(folder, "adapter_model.safetensors"))
    layers = {n: m for n, m in model.named_modules() if hasattr(m, "shira_indices")}
    whole = 2 * len(layers) == len(stored)
    for path, layer in layers.items():
        values, places = stored[f"{path}.shira_weight"], stored[f"{path}.shira_indices"]
        whole &= torch.equal(layer.shira_weight["default"], values) and torch.equal(layer.shira_indices["default"], places)
        whole &= places.dtype == torch.int32 and len(set(map(tuple, places.T.tolist()))) == values.numel()
        whole &= values.numel() == config["r"] * (layer.in_features + layer.out_features)
    report(whole, f"{name}: peft holds all {len(stored)} tensors as they are stored")


@torch.no_grad()
def compare(what, model, prompts, wanted, tolerance):
    got = torch.stack([model(torch.tensor([ids])).logits[0, -1].double() for ids in prompts])
    wanted = torch.tensor(wanted, dtype=torch.float64)
    largest = wanted.abs().max()
    off = ((got - wanted).abs().max() / largest).item()
    report(off <= tolerance, f"{what}: {off:.1e} of the largest logit apart (at most {tolerance:.0e})")


def auto_ids(folder, texts):
    tokenizer = AutoTokenizer.from_pretrained(folder)
    return [tokenizer(text, add_special_tokens=False).input_ids for text in texts]


def check(model_dir, work):
    expected = json.load(open(os.path.join(work, "logits.json")))
    texts, prompts = [t["text"] for t in expected["texts"]], [t["ids"] for t in expected["texts"]]
    from_base = auto_ids(model_dir, texts)
    if from_base != prompts:
        # transformers 5 gives some families (Qwen2) their own pre-tokenizer in place of the one in tokenizer.json. Theirs and the
        # file's are one in released models, but not in a made-up test model.
        as_file = AutoTokenizer.from_pretrained(model_dir).backend_tokenizer.pre_tokenizer
        kept = repr(as_file) == repr(Tokenizer.from_file(os.path.join(model_dir, "tokenizer.json")).pre_tokenizer)
        report(not kept, "the base's AutoTokenizer gives other ids than diablo, with a pre-tokenizer that is not tokenizer.json's")
    for name, wanted in expected["logits"].items():
        folder = os.path.join(work, name)
        files = [f for f in os.listdir(folder) if f.endswith(".safetensors")]
        for file in files:
            with safe_open(os.path.join(folder, file), "pt") as f:
                report(f.metadata() == {"format": "pt"}, f"{name}: {file} says that PyTorch can read it")
        if os.path.exists(os.path.join(folder, "adapter_config.json")):
            config = json.load(open(os.path.join(folder, "adapter_config.json")))
            base = AutoModelForCausalLM.from_pretrained(model_dir, dtype=torch.float32)
            if config["peft_type"] == "LORA":
                model = PeftModel.from_pretrained(base, folder).eval()
                stored = load_file(os.path.join(folder, "adapter_model.safetensors"))
                plain = lambda k: k.replace(".default", "").replace("magnitude_vector.weight", "magnitude_vector")  # as peft stores it
                held = {plain(k): v for k, v in model.state_dict().items() if ".lora_" in k}
                same = held.keys() == stored.keys() and all(torch.equal(held[k], v) for k, v in stored.items())
                report(same, f"{name}: peft holds all {len(stored)} tensors as they are stored")
                compare(f"{name} through peft", model, prompts, wanted, FLOAT32)
                model.save_pretrained(os.path.join(work, "resaved", name))
            elif config["peft_type"] == "SHIRA":
                model = PeftModel.from_pretrained(base, folder).eval()
                check_shira(name, folder, model, config)
                compare(f"{name} through peft", model, prompts, wanted, FLOAT32)
                compare(f"{name} merged by peft", model.merge_and_unload(), prompts, wanted, FLOAT32)
            else:
                compare(f"{name} by torch", with_diablo(base, folder, config).eval(), prompts, wanted, FLOAT32)
            continue
        compare(f"{name} through transformers", load(folder), prompts, wanted, FLOAT32)
        model = load(folder, "auto")
        with safe_open(os.path.join(folder, "model.safetensors"), "pt") as f:
            stored = {f.get_tensor(k).dtype for k in f.keys()}
        report(stored == {model.dtype}, f"{name}: loads as {model.dtype}, as it is stored")
        if model.dtype != torch.float32:
            compare(f"{name} in {model.dtype}", model, prompts, wanted, SIXTEEN_BITS)
        ids = auto_ids(folder, texts)
        report(ids == from_base, f"{name}: AutoTokenizer loads, and gives the base's ids")
        tokenizer = Tokenizer.from_file(os.path.join(folder, "tokenizer.json"))
        ids = [tokenizer.encode(text, add_special_tokens=False).ids for text in texts]
        report(ids == prompts, f"{name}: tokenizer.json gives diablo's ids")


if __name__ == "__main__":
    if len(sys.argv) < 3 or len(sys.argv) % 2 == 0:
        sys.exit(__doc__)
    torch.set_num_threads(1)
    for model_dir, work in zip(sys.argv[1::2], sys.argv[2::2]):
        print(f"{model_dir}:")
        check(model_dir, work)
    print(f"{failures} checks failed")
    sys.exit(failures > 0)
