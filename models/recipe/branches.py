"""Tunes two copies of a model's upper layers, one on human posts and one on machine posts, whose likelihood ratio tells them apart.

  python branches.py --model base --texts 'eval/*.jsonl' --families families.json --out base/branches.safetensors --folds folds

The embedding, the lower layers and the head stay the base's: what the lower layers make of a text is computed once and kept. Besides
the branches on all texts it tunes one pair for each fold of --families, which sees neither the fold's families nor any document that
occurs in them, and writes --folds/fold-N/branches.safetensors and --folds/folds.json for `highwater calibrate --folds`.
What is already there is kept. At the end: the AUROC of the ratio on each family, by branches that did not see it.
"""
import argparse
import copy
import json
import math
import os
import random
import re
import time
from dataclasses import dataclass

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import nn

import gpt2
import texts

FORMAT = "highwater-branches-1"
SIDES = ("human", "machine")


@dataclass
class Example:
    """One text: its ids, led by <|endoftext|>, and how many of its tokens its pair shares."""

    row: texts.Row
    ids: torch.Tensor
    skip: int
    state: torch.Tensor | None = None


class Branch(nn.Module):
    """The upper layers and the last norm of `base`, free to move; the head is the base's."""

    def __init__(self, base, first_layer):
        super().__init__()
        self.h = copy.deepcopy(base.h[first_layer:]).requires_grad_(True)
        self.ln_f = copy.deepcopy(base.ln_f).requires_grad_(True)
        self.head = [base.wte.weight]  # in a list: no parameter of this module

    def forward(self, x, targets):
        """(B,T,C), (B,T) -> surprisal (B,T), nats."""
        for block in self.h:
            x = block(x)
        return gpt2.surprisal(nn.functional.linear(self.ln_f(x), self.head[0]), targets)

    def tensors(self, side, first_layer):
        out = {}
        for i, block in enumerate(self.h, first_layer):
            out |= gpt2.block_tensors(block, f"{side}.h.{i}")
        return out | {f"{side}.ln_f.weight": self.ln_f.weight, f"{side}.ln_f.bias": self.ln_f.bias}


def encode(rows, tokenizer, tokens):
    """Rows to examples of at most `tokens` tokens."""
    out, start = [], tokenizer.token_to_id(texts.EOT)
    for row, encoding in zip(rows, tokenizer.encode_batch([r.text for r in rows])):
        ids, offsets = encoding.ids[:tokens], encoding.offsets[:tokens]
        out.append(Example(row, torch.tensor([start, *ids]), sum(end <= row.skip for _, end in offsets)))
    return out


def batches(examples, tokens, seed=None):
    """Groups examples of like length into batches of at most `tokens` padded tokens; shuffled by `seed`, else in order of length."""
    order = list(range(len(examples)))
    chance = random.Random(seed)
    if seed is not None:
        chance.shuffle(order)
        reach = max(1, len(order) // 8)  # sorted within an eighth only, so that lengths mix over time
        order = [i for at in range(0, len(order), reach) for i in sorted(order[at:at + reach], key=lambda i: len(examples[i].ids))]
    else:
        order.sort(key=lambda i: len(examples[i].ids))
    out, batch, longest = [], [], 0
    for i in order:
        longest = max(longest, len(examples[i].ids) - 1)
        if batch and longest * (len(batch) + 1) > tokens:
            out.append(batch)
            batch, longest = [], len(examples[i].ids) - 1
        batch.append(examples[i])
    out += [batch] if batch else []
    if seed is not None:
        chance.shuffle(out)
    return out


def padded(values, device):
    return nn.utils.rnn.pad_sequence(values, batch_first=True).to(device)


@torch.no_grad()
def keep_states(base, examples, first_layer, device, tokens=8192):
    """Computes what the lower layers make of every example that has none yet, in half precision."""
    for batch in batches([e for e in examples if e.state is None], tokens):
        states = base.lower(padded([e.ids[:-1] for e in batch], device), first_layer).half()
        for example, state in zip(batch, states):
            example.state = state[: len(example.ids) - 1].clone()


def inputs(batch, device):
    """States (B,T,C), targets (B,T) and which targets count (B,T)."""
    states = padded([e.state for e in batch], device).float()
    targets = padded([e.ids[1:] for e in batch], device)
    counts = padded([(torch.arange(len(e.ids) - 1) >= e.skip).float() for e in batch], device)
    return states, targets, counts


def choose(examples, machine, without, a):
    """The examples that one branch is tuned on: no group in `without`, each human document once, each family up to its share.

    Both sides go through the documents in one order, so that they see the same subjects. A family that has only one label counts less:
    against nothing, its subject would pass for its label.
    """
    both = {e.row.family for e in examples if e.row.machine} & {e.row.family for e in examples if not e.row.machine}
    pool = [e for e in examples if e.row.machine == machine and e.row.group not in without]
    pool.sort(key=lambda e: random.Random(e.row.group ^ a.seed).random())
    seen, used, out = set(), {}, []
    for e in pool:
        family = e.row.family
        limit = a.family_tokens * (1 if family in both else a.lone_share)
        if not machine and e.row.group in seen or used.get(family, 0) >= limit:
            continue
        seen.add(e.row.group)
        used[family] = used.get(family, 0) + len(e.ids) - 1 - e.skip
        out.append(e)
    return out, used


def tune(base, examples, first_layer, a):
    """Tunes one branch; gives it and the mean surprisal over the last quarter of the steps."""
    torch.manual_seed(a.seed)
    branch = Branch(base, first_layer).to(a.device)
    steps = [b for epoch in range(a.epochs) for b in batches(examples, a.batch_tokens, seed=a.seed + epoch)]
    optimizer = torch.optim.AdamW(branch.parameters(), lr=a.lr, betas=(0.9, 0.98), weight_decay=0.01)
    recent = []
    for i, batch in enumerate(steps):
        share = i / len(steps)
        for group in optimizer.param_groups:
            group["lr"] = a.lr * min(1.0, (share + 1e-3) / 0.1) * 0.5 * (1 + math.cos(math.pi * share))
        states, targets, counts = inputs(batch, a.device)
        with torch.autocast(a.device.split(":")[0], dtype=torch.bfloat16, enabled=a.bf16):
            nats = branch(states, targets)
        loss = (nats * counts).sum() / counts.sum().clamp(min=1)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(branch.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if share >= 0.75:
            recent.append(loss.detach())
    return branch, torch.stack(recent).mean().item()


def tune_pair(base, examples, without, first_layer, a):
    """Both branches and a line on what they saw."""
    out, said = [], []
    for side in SIDES:
        begun = time.monotonic()
        chosen, used = choose(examples, side == "machine", without, a)
        branch, nats = tune(base, chosen, first_layer, a)
        out.append(branch)
        said.append(f"{side}: {len(chosen)} texts, {sum(used.values())} tokens of {len(used)} families, {nats:.3f} nats, {time.monotonic() - begun:.0f} s")
    print("; ".join(said), flush=True)
    return out, said


def write(branches, first_layer, path, provenance):
    tensors = branches[0].tensors("human", first_layer) | branches[1].tensors("machine", first_layer)
    gpt2.write_tensors(tensors, path, torch.float16, {"format": FORMAT, "first_layer": str(first_layer), "provenance": provenance})


def read(path, base):
    """Branches of a file, and their first layer."""
    found, metadata = gpt2.read_tensors(path)
    first_layer = int(metadata["first_layer"])
    out = [Branch(base, first_layer) for _ in SIDES]
    for side, branch in zip(SIDES, out):
        gpt2.fill(branch.tensors(side, first_layer), found, path)
    return out, first_layer


@torch.no_grad()
def ratios(branches, examples, device, tokens=8192):
    """Mean over each example's tokens of surprisal under the human branch - under the machine branch, nats; in their order."""
    out = {}
    for batch in batches(examples, tokens):
        states, targets, _ = inputs(batch, device)
        difference = branches[0](states, targets) - branches[1](states, targets)
        for e, d in zip(batch, difference):
            out[id(e)] = d[: len(e.ids) - 1].mean().item()
    return np.array([out[id(e)] for e in examples])


def auroc(human, machine):
    """Chance that a machine value is larger than a human one, ties half."""
    values = np.concatenate([human, machine])
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(count) - (count - 1) / 2)[place]
    return (ranks[len(human):].sum() - len(machine) * (len(machine) + 1) / 2) / (len(human) * len(machine))


def report(base, a, tokenizer, families):
    """AUROC on each family by the fold that did not see it; whole texts as they are, up to --tokens."""
    table = []
    for family, fold in sorted(families.items()):
        if fold is not None:
            found = [r for r in a.rows if r.family == family and not re.search(a.skip_attack, r.attack or "")]
            random.Random(a.seed).shuffle(found)
            some = [[r for r in found if r.machine == m][: a.report_rows] for m in (False, True)]
            if all(some):
                pair, first_layer = read(os.path.join(a.folds, f"fold-{fold}", "branches.safetensors"), base)
                examples = encode(some[0] + some[1], tokenizer, a.tokens)
                keep_states(base, examples, first_layer, a.device)
                r = ratios([b.to(a.device) for b in pair], examples, a.device)
                table.append((family, len(some[0]), len(some[1]), auroc(r[: len(some[0])], r[len(some[0]):])))
    print("AUROC of the ratio alone, families that its branches did not see (texts: human, machine)")
    for line in table:
        print("  {:28} {:5} {:5}  {:.3f}".format(*line))
    if table:
        print(f"  mean {np.mean([line[3] for line in table]):.3f}", flush=True)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--model", required=True, help="the base, a GPT-2 directory")
    p.add_argument("--texts", nargs="+", required=True, help="labelled JSONL, one file a family")
    p.add_argument("--families", required=True, help="JSON: family -> fold, or null where nothing may be tuned on it")
    p.add_argument("--out", required=True, help="branches.safetensors to write")
    p.add_argument("--folds", help="directory for the branches of the folds; none are made without it")
    p.add_argument("--layers", type=int, default=1, help="upper layers that are branched")
    p.add_argument("--tokens", type=int, default=256, help="a text counts up to here")
    p.add_argument("--family-tokens", type=int, default=40_000, help="tokens of one family and label at most")
    p.add_argument("--lone-share", type=float, default=0.5, help="what a family with one label counts")
    p.add_argument("--skip-attack", default="perturb|homoglyph|zero_width|whitespace|misspell|upper_lower", help="attacks (regex) that are not tuned on")
    p.add_argument("--epochs", type=int, default=1)
    p.add_argument("--batch-tokens", type=int, default=2048)
    p.add_argument("--lr", type=float, default=1e-3)
    p.add_argument("--report-rows", type=int, default=150, help="texts of one family and label in the report")
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--threads", type=int, default=0)
    p.add_argument("--device", default="cpu")
    p.add_argument("--bf16", action="store_true")
    a = p.parse_args()
    if a.threads:
        torch.set_num_threads(a.threads)
    base = gpt2.load(a.model, a.device).requires_grad_(False)
    first_layer = len(base.h) - a.layers
    if not 1 <= first_layer < len(base.h):
        p.error(f"--layers must be 1 to {len(base.h) - 1}")
    with open(a.families) as f:
        families = json.load(f)
    a.rows = texts.rows(texts.expand(a.texts))
    without = texts.held_out(a.rows, families)
    tokenizer = Tokenizer.from_file(os.path.join(a.model, "tokenizer.json"))
    usable = [copy.copy(r) for r in a.rows if families[r.family] is not None and not re.search(a.skip_attack, r.attack or "")]
    texts.mark_shared_starts(usable)
    examples = [e for e in encode(usable, tokenizer, a.tokens) if len(e.ids) - e.skip > 8]
    jobs = [(a.out, set())]
    if a.folds:
        jobs += [(os.path.join(a.folds, f"fold-{k}", "branches.safetensors"), groups) for k, groups in enumerate(without)]
    for path, groups in jobs:
        if not os.path.exists(path):
            keep_states(base, {id(e): e for m in (False, True) for e in choose(examples, m, groups, a)[0]}.values(), first_layer, a.device)
            pair, said = tune_pair(base, examples, groups, first_layer, a)
            write(pair, first_layer, path, f"{'; '.join(said)}; lr {a.lr}, epochs {a.epochs}, seed {a.seed}")
    if a.folds:
        with open(os.path.join(a.folds, "folds.json"), "w") as f:
            json.dump({"format": "highwater-folds-1", "folds": len(without), "families": families}, f, indent=1)
        report(base, a, tokenizer, families)


if __name__ == "__main__":
    main()
