#!/usr/bin/env python3
"""The log-likelihoods of candidates by transformers.

Usage: likelihoods.py MODEL_DIR FILE

FILE holds [[PROMPT, LEAD, CANDIDATE], ...]. Prompt and lead with candidate are tokenised apart, without special tokens, and joined; what
counts are the tokens behind prompt and lead. Prints the sums, in nats, as a JSON list. Everything computes in float64.
"""
import json, sys
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

model_dir, file = sys.argv[1:]
tokenizer = AutoTokenizer.from_pretrained(model_dir)
model = AutoModelForCausalLM.from_pretrained(model_dir, dtype=torch.float64).eval()


def ids(text):
    return tokenizer(text, add_special_tokens=False)["input_ids"]


sums = []
for prompt, lead, candidate in json.load(open(file, encoding="utf-8")):
    before, answer = ids(prompt), ids(lead + candidate)
    first = len(before) + len(ids(lead.rstrip()))
    whole = before + answer
    with torch.no_grad():
        logs = torch.log_softmax(model(torch.tensor([whole])).logits[0], -1)
    sums.append(sum(logs[at - 1, whole[at]].item() for at in range(first, len(whole))))
print(json.dumps(sums))
