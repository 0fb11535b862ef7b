"""Writes tests/data/parity/<name>: tiny random GPT-2 checkpoints and their per-token statistics by `transformers` in fp32.

Usage: python tests/data/make_parity.py [FOLDER]     (default: tests/data/parity; see README.md beside this file)
Statistics are float64 from float32 logits. Every `expected.json` holds
  {"transformers", "torch", "context", "eot", "tie", "cases": [{"name", "text", "ids", "surprisal", "rank", "entropy", "variance", "pooled", "near_ties"}]};
with "human_surprisal" and "machine_surprisal" where there is a branches.safetensors: each by a model whose upper layers are that branch's,
and "ratio_excess", their difference less what the checkpoint itself expects of it.
`pooled` is the mean of the final hidden states that the tokens were predicted from (empty without tokens); `near_ties` lists [place, lowest, highest] where another logit lies within `tie` of the token's own, so that its rank may differ.
Texts longer than the context follow the window rule that benches/peers/gpt2_reference.py states.
Must not read the network; equal on every run with the versions that README.md names.
"""
import json
import os
import shutil
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "..", "benches", "peers"))

import tokenizers  # noqa: E402
import torch  # noqa: E402
from safetensors.torch import save_file  # noqa: E402
import transformers  # noqa: E402
from gpt2_reference import TIE, EOT, PseudoEnglish, Spec, byte_level_bpe, exact_statistics, load_model, windows, write_checkpoint  # noqa: E402

MERGES = 200
SENTENCES = [
    "The people who run a forum read every post, and most of them are written by other people.",
    "When a machine writes the posts there are suddenly many more of them than anyone could read.",
    "It says the same things in the same way, with the same words in the same order, again and again.",
    "She said that they would not be there, and then he said that this was what they had wanted all along.",
    "What is the right thing to do here? Nobody on the board could say, and the question was asked again on Monday.",
    "In the end the weather was better than the forecast, so we walked along the river and back to the station.",
    "I don't think that's true; they've been doing it for 20 years, since 1999 or so, and nothing has happened.",
]

# name -> how it differs. `full` variants get every case of text, the others two short ones.
VARIANTS = {
    "plain": dict(width=24, heads=3, full=True),
    "gpt2_hub": dict(prefix="", old_buffers=True, full=True),
    "untied": dict(prefix="", tied=False),
    "fp16": dict(dtype="float16"),
    "bf16": dict(dtype="bfloat16"),
    "gelu_inner": dict(config=dict(activation_function="gelu", n_inner=40)),
    "relu": dict(layers=1, config=dict(activation_function="relu")),
    "silu": dict(layers=1, config=dict(activation_function="silu")),
    "tanh": dict(layers=1, config=dict(activation_function="tanh")),
    "quick_gelu": dict(layers=1, config=dict(activation_function="quick_gelu")),
    "inverse_layer": dict(layers=3, config=dict(scale_attn_by_inverse_layer_idx=True)),
    "unscaled": dict(config=dict(scale_attn_weights=False)),
    "epsilon": dict(config=dict(activation_function="gelu_pytorch_tanh", layer_norm_epsilon=0.05)),
    "vocab_merges": dict(vocab_files=True),
    "padded_vocab": dict(extra=23),
    "branches": dict(layers=3, first_branched=1, full=True),
}


def text_of(tokenizer, tokens, seed):
    """Pseudo-English of exactly that many tokens."""
    words = PseudoEnglish(seed).text(2 * tokens)
    for end in range(1, len(words)):
        if len(tokenizer.encode(words[:end]).ids) == tokens:
            return words[:end]
    raise ValueError(f"no beginning of the text has {tokens} tokens")


def likely_text(tokenizer, model, tokens):
    """Text that the model itself finds likely (ranks near 1): greedy, where the ids are those that its text is encoded to."""
    eot, ids = tokenizer.token_to_id(EOT), []
    while len(ids) < tokens:
        with torch.inference_mode():
            order = model(torch.tensor([[eot, *ids]])).logits[0, -1].argsort(descending=True)
        for token in order.tolist():
            text = tokenizer.decode([*ids, token])
            if token != eot and ids.count(token) < 3 and text.isascii() and tokenizer.encode(text).ids == [*ids, token]:
                ids.append(token)
                break
        else:
            raise ValueError(f"no token can follow {ids}")
    return tokenizer.decode(ids)


def texts(tokenizer, model, full):
    """(name, text) of every case."""
    sentence = ("sentence", "When the machine writes, there are more posts than people: 3,000 of them, by Monday!")
    unicode = ("unicode", "Ça va? Größe, naïve café \u2014 日本語 и русский 👩\u200d🚀\u00a0e\u0301 \ufb01n")
    if not full:
        return [sentence, unicode]
    return [
        ("empty", ""),
        ("letter", "a"),
        ("word", " people"),
        sentence,
        unicode,
        ("lines", "First line\n\n  second\tline  \r\nthird\n\n\n"),
        ("likely", likely_text(tokenizer, model, 30)),
        ("tokens_40", text_of(tokenizer, 40, 40)),
        ("tokens_64", text_of(tokenizer, 64, 64)),
        ("tokens_65", text_of(tokenizer, 65, 65)),
        ("tokens_200", text_of(tokenizer, 200, 200)),
    ]


def write_tokenizer(folder, tokenizer, vocab_files):
    """`tokenizer.json`, or the two files that older checkpoints have in its place."""
    if not vocab_files:
        tokenizer.save(os.path.join(folder, "tokenizer.json"), pretty=False)
        return
    tokenizer.model.save(folder)
    path = os.path.join(folder, "vocab.json")  # GPT-2's own vocab.json holds the end-of-text token, the model alone does not
    with open(path, encoding="utf-8") as f:
        vocab = json.load(f)
    vocab[EOT] = tokenizer.token_to_id(EOT)
    with open(path, "w", encoding="utf-8") as f:
        json.dump(vocab, f, ensure_ascii=False)


def pooled(model, ids, eot):
    """Mean over the tokens of the final hidden state, after the last LayerNorm, of the place that scores each one."""
    seq, kept = torch.tensor([eot, *ids]), []
    with torch.inference_mode():
        for start, end, first in windows(len(ids), model.config.n_positions):
            kept.append(model.transformer(seq[None, start:end]).last_hidden_state[0, first - start :].double())
    return torch.cat(kept).mean(0).tolist() if kept else []


def write_branches(folder, first, seed):
    """Writes branches.safetensors: the upper layers of the checkpoint with noise. Returns branch -> a model with these layers."""
    models, tensors, random = {}, {}, torch.Generator().manual_seed(seed)
    for branch in ("human", "machine"):
        models[branch] = load_model(folder, attention="eager")
        for name, tensor in models[branch].transformer.state_dict().items():
            if name.startswith("ln_f.") or (name.startswith("h.") and int(name.split(".")[1]) >= first):
                tensor += 0.3 * tensor.std() * torch.randn(tensor.shape, generator=random)
                tensors[f"{branch}.{name}"] = tensor
    notes = {"format": "highwater-branches-1", "first_layer": str(first), "provenance": "noise"}
    save_file(tensors, os.path.join(folder, "branches.safetensors"), metadata=notes)
    return models


def ratio_excess(models, ids, eot):
    """Of each token, ln q_machine / q_human less the mean of that over the base's prediction; `models` are base, human and machine branch."""
    seq, out = torch.tensor([eot, *ids]), []
    with torch.inference_mode():
        for start, end, first in windows(len(ids), models[0].config.n_positions):
            logits = [model(seq[None, start:end]).logits[0, first - start :].double() for model in models]
            base, human, machine = (torch.log_softmax(rows, dim=-1) for rows in logits)
            ratio = machine - human
            token = ratio.gather(1, seq[first + 1 : end + 1][:, None])[:, 0]
            out.append(token - (base.exp() * ratio).sum(-1))
    return torch.cat(out).tolist() if out else []


def rounded(values):
    return [float(f"{v:.7g}") for v in values]


def case(name, text, ids, found, mean):
    """One entry of `cases`."""
    near = [
        [i, int(low), int(high)]
        for i, (low, high) in enumerate(zip(found["rank_low"], found["rank_high"]))
        if low != high
    ]
    return {
        "name": name,
        "text": text,
        "ids": ids,
        "surprisal": rounded(found["surprisal"]),
        "rank": [int(r) for r in found["rank"]],
        "entropy": rounded(found["entropy"]),
        "variance": rounded(found["variance"]),
        "pooled": rounded(mean),
        "near_ties": near,
    }


def make(folder, tokenizer, seed, full=False, vocab_files=False, extra=0, first_branched=0, **spec):
    """Writes one variant; returns its cases."""
    eot = tokenizer.token_to_id(EOT)
    spec = Spec(vocabulary=tokenizer.get_vocab_size() + extra, eot=eot, seed=seed, **spec)
    write_checkpoint(folder, spec)
    write_tokenizer(folder, tokenizer, vocab_files)
    model = load_model(folder, attention="eager")
    branches = write_branches(folder, first_branched, seed) if first_branched else {}
    theirs = transformers.AutoTokenizer.from_pretrained(folder)
    cases = []
    for name, text in texts(tokenizer, model, full):
        ids = theirs(text, verbose=False)["input_ids"]
        if ids != tokenizer.encode(text).ids:
            raise ValueError(f"{folder}: `transformers` and `tokenizers` do not agree on the ids of the text `{name}`")
        cases.append(case(name, text, ids, exact_statistics(model, ids, eot), pooled(model, ids, eot)))
        for branch, tuned in branches.items():
            cases[-1][f"{branch}_surprisal"] = rounded(exact_statistics(tuned, ids, eot)["surprisal"])
        if branches:
            cases[-1]["ratio_excess"] = rounded(ratio_excess([model, branches["human"], branches["machine"]], ids, eot))
    head = {"transformers": transformers.__version__, "torch": torch.__version__.split("+")[0], "context": spec.context, "eot": eot, "tie": TIE}
    with open(os.path.join(folder, "expected.json"), "w", encoding="utf-8") as f:
        lines = ",\n".join(json.dumps(c, ensure_ascii=True, separators=(",", ":")) for c in cases)
        f.write(json.dumps(head)[:-1] + ',"cases":[\n' + lines + "\n]}\n")
    return cases


def main():
    root = sys.argv[1] if len(sys.argv) > 1 else os.path.join(HERE, "parity")
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    tokenizer = byte_level_bpe(SENTENCES, MERGES)
    print(f"torch {torch.__version__}, transformers {transformers.__version__}, tokenizers {tokenizers.__version__}")
    print(f"{'variant':18} {'kB':>5} {'tokens':>6} {'surprisal':>9} {'std':>5} {'entropy':>7} {'near ties':>9}")
    for seed, (name, variant) in enumerate(VARIANTS.items(), start=1):
        folder = os.path.join(root, name)
        shutil.rmtree(folder, ignore_errors=True)
        cases = make(folder, tokenizer, seed, **variant)
        surprisal = torch.tensor([s for c in cases for s in c["surprisal"]])
        entropy = torch.tensor([h for c in cases for h in c["entropy"]])
        size = sum(os.path.getsize(os.path.join(folder, f)) for f in os.listdir(folder)) / 1e3
        ties = sum(len(c["near_ties"]) for c in cases)
        print(f"{name:18} {size:5.0f} {len(surprisal):6} {surprisal.mean():9.2f} {surprisal.std():5.2f} {entropy.mean():7.2f} {ties:9}")


if __name__ == "__main__":
    main()
