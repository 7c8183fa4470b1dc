#!/usr/bin/env python3
"""What transformers makes of conversations: text, ids, and the mask of what the assistant says.

Usage: chat_templates.py CASES.json RESULTS.json        (versions: requirements.txt beside this file)

CASES.json: [{"tokenizer": FILE, "template": TEXT, "special": {"eos_token": ...}, "messages": [...], "tools": [...] or null}, ...]
RESULTS.json: for each {"text", "asked" (the text with the generation prompt), "ids", "mask"}, or {"error"} where the template refuses.

A template with {% generation %} gives the mask by return_assistant_tokens_mask. For others it is made of prefixes, as diablo says it
does it: a turn begins where the conversation before it, with the generation prompt, ends, and ends where the conversation up to it
ends; white space behind the special token at its end is not learned. Where a prefix is not one, the mask is null.
"""
import json, re, sys
from jinja2.exceptions import TemplateError
from transformers import PreTrainedTokenizerFast

loaded = {}


def tokenizer_of(case):
    key = (case["tokenizer"], json.dumps(case["special"], sort_keys=True))
    if key not in loaded:
        loaded[key] = PreTrainedTokenizerFast(tokenizer_file=case["tokenizer"], **case["special"])
    return loaded[key]


def prefixes(tokenizer, messages, text, offsets, ids, render):
    mask = [0] * len(ids)
    for i, message in enumerate(messages):
        if message["role"] != "assistant":
            continue
        before, after = render(messages[:i], True), render(messages[: i + 1], False)
        if not (after.startswith(before) and text.startswith(after)):
            return None
        inside = [t for t, (a, b) in enumerate(offsets) if b > len(before) and a < len(after)]
        end = len(inside)
        while end and not text[slice(*offsets[inside[end - 1]])].strip() and ids[inside[end - 1]] not in tokenizer.all_special_ids:
            end -= 1
        if end and ids[inside[end - 1]] in tokenizer.added_tokens_decoder:
            inside = inside[:end]
        for t in inside:
            mask[t] = 1
    return mask


def result(case):
    tokenizer, messages = tokenizer_of(case), case["messages"]

    def render(messages, prompt):
        return tokenizer.apply_chat_template(
            messages, tools=case["tools"], chat_template=case["template"], add_generation_prompt=prompt, tokenize=False
        )

    try:
        text, asked = render(messages, False), render(messages, True)
        marked = bool(re.search(r"\{%[-+]?\s*generation", case["template"]))
        out = tokenizer.apply_chat_template(
            messages, tools=case["tools"], chat_template=case["template"], tokenize=True, return_dict=True,
            return_assistant_tokens_mask=marked,
        )
        ids = out["input_ids"]
        if marked:
            mask = out["assistant_masks"]
        else:
            plain = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
            assert plain["input_ids"] == ids
            mask = prefixes(tokenizer, messages, text, plain["offset_mapping"], ids, render)
        return {"text": text, "asked": asked, "ids": ids, "mask": mask}
    except (TemplateError, TypeError) as error:
        return {"error": f"{type(error).__name__}: {error}"}


cases = json.load(open(sys.argv[1], encoding="utf-8"))
with open(sys.argv[2], "w", encoding="utf-8") as file:
    json.dump([result(case) for case in cases], file, ensure_ascii=False)
