"""Writes tests/data/generation/: what `transformers` makes of logits, and the tokens that it generates with the checkpoints of parity/.

Usage: python tests/data/make_generation.py [FOLDER]     (default: tests/data/generation; make_parity.py comes first)
`filters.json`: {"transformers", "rows": [[logit]], "cases": [{"name", "row", "tokens", "given", "options", "probabilities": [[id, p]]}]}: the
logits processors of `generate()` in its order over a row, after the tokens. `given` of them are a prompt; only the frequency penalty,
which `transformers` does not have and which is computed here by its definition, tells them apart.
`texts.json`: {"transformers", "cases": [{"checkpoint", "prompt", "most", "end", "options", "tokens"}]}: greedy and beam search, with a cache. Must not read the network; equal on every run.
"""
import json
import os
import sys

import numpy as np
import torch
import transformers
from transformers import GenerationConfig

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "..", "benches", "peers"))
from gpt2_reference import load_model  # noqa: E402

VOCABULARY = 60
FILTERS = {
    "none": {},
    "temperature_low": dict(temperature=0.3),
    "temperature_high": dict(temperature=2.5),
    "top_k_1": dict(top_k=1),
    "top_k_10": dict(top_k=10),
    "top_k_beyond": dict(top_k=500),
    "top_p_low": dict(top_p=0.1),
    "top_p": dict(top_p=0.9),
    "top_p_high": dict(top_p=0.999),
    "min_p": dict(min_p=0.05),
    "min_p_1": dict(min_p=1.0),
    "typical_p_low": dict(typical_p=0.15),
    "typical_p": dict(typical_p=0.9),
    "repetition_penalty": dict(repetition_penalty=1.3),
    "repetition_reward": dict(repetition_penalty=0.7),
    "no_repeat_1": dict(no_repeat_ngram_size=1),
    "no_repeat_2": dict(no_repeat_ngram_size=2),
    "no_repeat_3": dict(no_repeat_ngram_size=3),
    "no_repeat_beyond": dict(no_repeat_ngram_size=40),
    "frequency_penalty": dict(frequency_penalty=0.8),
    "k_then_p": dict(top_k=20, top_p=0.7),
    "t_k_p": dict(temperature=0.8, top_k=40, top_p=0.9),
    "p_then_min_p": dict(top_p=0.95, min_p=0.1),
    "k_then_typical": dict(top_k=15, typical_p=0.6),
    "penalties": dict(repetition_penalty=1.2, no_repeat_ngram_size=2, frequency_penalty=0.4),
    "penalties_t_p": dict(repetition_penalty=1.2, temperature=0.7, top_p=0.8),
    "all": dict(repetition_penalty=1.1, no_repeat_ngram_size=2, temperature=1.3, top_k=30, top_p=0.95, min_p=0.02, typical_p=0.9),
}


class Bare:
    """As much of a model as GenerationMixin asks for to make its list of processors."""

    class config:
        is_encoder_decoder = False

    _merge_criteria_processor_list = transformers.GenerationMixin._merge_criteria_processor_list
    _get_logits_processor = transformers.GenerationMixin._get_logits_processor


def processors(options):
    """The list that `generate()` would use, the frequency penalty apart."""
    known = {name: value for name, value in options.items() if name != "frequency_penalty"}
    config = GenerationConfig(do_sample=True, **({"top_k": 0} | known))
    config._eos_token_tensor = None
    return Bare()._get_logits_processor(config, input_ids_seq_length=1)


def filter_case(name, row, logits, tokens, given, options):
    """One case: probabilities after every processor, in float64 from its float32 scores."""
    scores, ids = torch.tensor([logits], dtype=torch.float32), torch.tensor([tokens])
    stages = list(processors(options))
    if "frequency_penalty" in options:  # after what `transformers` calls processors, before its warpers
        at = sum(not type(p).__name__.endswith("Warper") for p in stages)

        def frequency(_, scores):
            counts = torch.bincount(torch.tensor(tokens[given:]), minlength=VOCABULARY)
            return scores - options["frequency_penalty"] * counts

        stages.insert(at, frequency)
    for stage in stages:
        scores = stage(ids, scores)
    p = torch.softmax(scores.double(), -1)[0]
    kept = [[i, float(f"{p[i]:.9g}")] for i in range(VOCABULARY) if scores[0, i] > -float("inf")]
    return dict(name=name, row=row, tokens=tokens, given=given, options=options, probabilities=kept)


def filters():
    """Rows of several shapes, each through every filter."""
    rng = np.random.default_rng(11)
    rows = [rng.normal(0, 3, VOCABULARY), rng.normal(-1, 0.5, VOCABULARY), rng.normal(0, 1, VOCABULARY) - 0.3 * np.arange(VOCABULARY)]
    rows = [[float(np.float32(round(v, 5))) for v in row] for row in rows]
    tokens = [int(t) for t in rng.integers(0, 12, 30)] + [3, 5, 3]
    cases = [filter_case(name, i, row, tokens, 12, options) for name, options in FILTERS.items() for i, row in enumerate(rows)]
    return dict(transformers=transformers.__version__, rows=rows, cases=cases)


SEARCHES = [
    ({}, None),
    (dict(repetition_penalty=1.4), None),
    (dict(no_repeat_ngram_size=2), None),
    (dict(num_beams=2), None),
    (dict(num_beams=4), "often"),
    (dict(num_beams=4, length_penalty=0.0), "often"),
    (dict(num_beams=3, length_penalty=2.0), "often"),
    (dict(num_beams=5, repetition_penalty=1.2, no_repeat_ngram_size=3), "often"),
]


def often(model, prompt):
    """A token that a beam search is likely to meet: it plays the end of text. Its place in the prompt changes what is found, so it is tried."""
    options = dict(do_sample=False, num_beams=4, max_new_tokens=12, pad_token_id=0)
    found = model.generate(torch.tensor([prompt]), eos_token_id=None, **options)[0, len(prompt) + 3 :].tolist()
    for token in found:
        begun = torch.tensor([[token, *prompt[1:]]])
        if token in model.generate(begun, eos_token_id=None, **options)[0, len(prompt) + 3 :].tolist():
            return token
    return found[-1]


def texts():
    """Greedy and beam search on tiny checkpoints, float32, eager attention."""
    cases = []
    for checkpoint in ["plain", "gpt2_hub", "untied", "gelu_inner", "inverse_layer", "unscaled", "padded_vocab"]:
        folder = os.path.join(HERE, "parity", checkpoint)
        model = load_model(folder, attention="eager")
        with open(os.path.join(folder, "expected.json"), encoding="utf-8") as f:
            expected = json.load(f)
        ids = next(c for c in expected["cases"] if c["name"] == "sentence")["ids"]
        for options, end in SEARCHES:
            prompt = [expected["eot"], *ids[:9]]
            token = often(model, prompt) if end else None
            if end:  # the token that ends a text is the one that stands before it
                prompt[0] = token
            most = 40
            with torch.inference_mode():
                out = model.generate(
                    torch.tensor([prompt]), do_sample=False, max_new_tokens=most, eos_token_id=token, pad_token_id=0, use_cache=True, **options
                )
            new = out[0, len(prompt) :].tolist()
            if token in new:  # what follows the end is padding
                new = new[: new.index(token) + 1]
            cases.append(dict(checkpoint=checkpoint, prompt=prompt, most=most, end=token, options=options, tokens=new))
    return dict(transformers=transformers.__version__, cases=cases)


def write(folder, name, content):
    """One case a line."""
    head = {k: v for k, v in content.items() if k != "cases"}
    lines = ",\n".join(json.dumps(c, separators=(",", ":")) for c in content["cases"])
    with open(os.path.join(folder, name), "w", encoding="utf-8") as f:
        f.write(json.dumps(head, separators=(",", ":"))[:-1] + ',"cases":[\n' + lines + "\n]}\n")


def main():
    folder = sys.argv[1] if len(sys.argv) > 1 else os.path.join(HERE, "generation")
    os.makedirs(folder, exist_ok=True)
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    for name, content in (("filters.json", filters()), ("texts.json", texts())):
        write(folder, name, content)
        print(f"{name}: {len(content['cases'])} cases")


if __name__ == "__main__":
    main()
