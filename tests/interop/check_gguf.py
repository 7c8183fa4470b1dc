#!/usr/bin/env python3
"""Whether the gguf package and transformers read the GGUF files that diablo wrote, and compute from them what diablo computes.

Usage: check_gguf.py WORK_DIR [WORK_DIR ...]

WORK_DIR is what tests/gguf made from one base model: `merged/`, base and adapter in f32 as safetensors; the same in `f32/`, `bf16/`, `f16/`,
`q8_0/` and `q4_0/` as model.gguf; and `expected.json`: {"texts": [TEXT, ...], "ids": [[ID, ...], ...], "prompts": [[ID, ...], ...],
"logits": [[LOGIT, ...], ...], "types": [NAME, ...]}: what diablo makes of each text, and the logits of what follows each prompt, from the merged model
in f32. NAMEs are the folders with a model.gguf.

- The gguf package reads every file; every parameter has the name that its table gives, and no tensor is there beside them.
- Every tensor is, byte for byte, what gguf.quants.quantize makes of the merged weight in llama.cpp's terms (rows of q and k turned, 1 added to norms).
- transformers computes diablo's logits from the file in f32, and its tokenizer from the file gives diablo's ids.

transformers takes what GGUF metadata it has names for; the rest of the configuration (Llama 3's rotary scaling, Gemma's layers) comes from merged/.
Versions it is known to pass with: requirements.txt. Prints a line for each check; exit status 1 if one fails.
"""
import json, os, sys
import numpy as np
import torch
from gguf import GGUFReader, GGMLQuantizationType, MODEL_ARCH_NAMES, get_tensor_name_map
from gguf.quants import dequantize, quantize
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, LlamaConfig

FLOAT32 = 1e-4  # of the largest logit
failures = 0


def report(ok, what):
    global failures
    failures += not ok
    print(f"{'ok' if ok else 'WRONG'}: {what}", flush=True)


def turned(w, heads):
    """As llama.cpp's Llama has the rows of q and k: pairs of a head side by side."""
    return w.reshape(heads, 2, w.shape[0] // heads // 2, *w.shape[1:]).swapaxes(1, 2).reshape(w.shape)


def native(name, w, arch, config):
    """A merged parameter in llama.cpp's terms."""
    # Files of GPT-2 hold linear layers turned.
    if arch == "gpt2" and w.ndim == 2 and ".h." in name:
        return w.T
    if arch == "llama" and ".q_proj." in name:
        return turned(w, config.num_attention_heads)
    if arch == "llama" and ".k_proj." in name:
        return turned(w, config.num_key_value_heads)
    if arch == "gemma3" and name.endswith("norm.weight"):
        w = w + np.float32(1)
        if name.endswith("q_norm.weight"):
            w = w * np.float32(config.head_dim**0.5 / config.query_pre_attn_scalar**0.5)
    return w


def text(reader, key):
    return reader.fields[key].contents()


def check_file(path, weights, config):
    reader = GGUFReader(path)
    arch = text(reader, "general.architecture")
    kind = {name: value for value, name in MODEL_ARCH_NAMES.items()}[arch]
    names = get_tensor_name_map(kind, config.num_hidden_layers)
    tensors = {t.name: t for t in reader.tensors}
    same, seen, types = True, set(), set()
    for name, w in weights.items():
        gguf_name = names.get_name(name, try_suffixes=(".weight", ".bias"))
        if gguf_name not in tensors:
            report(False, f"{path}: no {gguf_name} for {name}")
            return
        t, want = tensors[gguf_name], native(name, w, arch, config)
        seen.add(gguf_name)
        types.add(t.tensor_type.name)
        if list(reversed(t.shape.tolist())) != list(want.shape):
            report(False, f"{path}: {gguf_name} is {t.shape}")
        bits = quantize(np.ascontiguousarray(want), t.tensor_type)
        exact = bits.tobytes() == t.data.tobytes()
        if not exact:
            off = np.abs(dequantize(t.data, t.tensor_type).reshape(want.shape) - want).max()
            report(False, f"{path}: {gguf_name} as {t.tensor_type.name} is not what gguf makes of it; {off:.1e} off")
        same &= exact
    extra = set(tensors) - seen - {"rope_freqs.weight"}
    report(not extra, f"{path}: gguf reads {len(tensors)} tensors ({', '.join(sorted(types))}), and none is unknown {sorted(extra) or ''}")
    report(same, f"{path}: every tensor is what gguf.quants.quantize makes of it, to the bit")


@torch.no_grad()
def check_transformers(folder, config, expected):
    # The scale of attention is in the norm of the queries, as llama.cpp wants it.
    if config.model_type == "gemma3_text":
        config.query_pre_attn_scalar = config.head_dim
    # llama.cpp's Mistral is a Llama.
    if config.model_type == "mistral":
        keys = {k: v for k, v in config.to_dict().items() if k not in ("model_type", "architectures", "sliding_window")}
        config = LlamaConfig(**keys)
    model = AutoModelForCausalLM.from_pretrained(folder, gguf_file="model.gguf", config=config, dtype=torch.float32).eval()
    got = torch.stack([model(torch.tensor([ids])).logits[0, -1].double() for ids in expected["prompts"]])
    wanted = torch.tensor(expected["logits"], dtype=torch.float64)
    off = ((got - wanted).abs().max() / wanted.abs().max()).item()
    report(off <= FLOAT32, f"{folder}: transformers' logits {off:.1e} of the largest apart (at most {FLOAT32:.0e})")


def check(work):
    expected = json.load(open(os.path.join(work, "expected.json")))
    config = AutoConfig.from_pretrained(os.path.join(work, "merged"))
    weights = {k: v.numpy() for k, v in load_file(os.path.join(work, "merged", "model.safetensors")).items()}
    if "lm_head.weight" in weights and "model.embed_tokens.weight" not in weights:
        weights["model.embed_tokens.weight"] = weights.pop("lm_head.weight")
    for name in expected["types"]:
        check_file(os.path.join(work, name, "model.gguf"), weights, config)
    folder = os.path.join(work, "f32")
    check_transformers(folder, config, expected)
    tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file="model.gguf")
    # Theirs for SentencePiece's kind takes the blank at a text's begin for the one that it would put there.
    kind = text(GGUFReader(os.path.join(folder, "model.gguf")), "tokenizer.ggml.model")
    pairs = [(t, ids) for t, ids in zip(expected["texts"], expected["ids"]) if kind != "llama" or not t.startswith(" ")]
    wrong = [t for t, ids in pairs if tokenizer(t, add_special_tokens=False).input_ids != ids]
    report(not wrong, f"{folder}: transformers' tokenizer from the file gives diablo's ids of {len(pairs)} texts {wrong or ''}")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    torch.set_num_threads(1)
    for work in sys.argv[1:]:
        print(f"{work}:")
        check(work)
    print(f"{failures} checks failed")
    sys.exit(failures > 0)
