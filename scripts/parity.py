"""`make parity`: Highwater against `transformers` at GPT-2-small's shape, the worst differences printed.

Usage: python scripts/parity.py [--precision fp32,int8] [--model DIR] [--binary PATH] [--texts 30] [--device cpu]
Without --model it writes a random checkpoint to target/peers/gpt2-small-random (500 MB). Texts are seeded pseudo-English.
Exit 1 where fp32 surprisal or entropy differs by more than 1e-3 nats, a rank differs although no logit lies within 1e-4 of the
token's own, or the tokens differ. Other precisions are only measured. Must not read the network.
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
sys.path.insert(0, os.path.join(ROOT, "benches", "peers"))

import numpy as np  # noqa: E402
from gpt2_reference import EOT, TIE, PseudoEnglish, exact_statistics, load_model, windows  # noqa: E402

LIMIT_NATS = 1e-3
UNICODE = "Ça va? Größe, naïve café \u2014 日本語 и русский 👩\u200d🚀 e\u0301, \ufb01n.\r\n\tTabs, and  two  spaces.\n\n"


def make_texts(count, tokenizer, context):
    """Texts of 10 to 1,000 tokens, evenly on a log scale, then a Unicode one and one that needs several windows."""
    english = PseudoEnglish(77)
    texts = [english.text(max(4, int(tokens / 1.41))) for tokens in np.geomspace(10, 1000, max(count - 2, 1))]
    texts.append(UNICODE * 2)
    long = english.text(context)
    while len(tokenizer.encode(long).ids) < 2.3 * context:
        long += "\n\n" + english.text(100)
    return [*texts, long]


def run_highwater(args, precision, texts):
    """`token_scores` of every text, in order."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "texts.jsonl")
        with open(path, "w", encoding="utf-8") as f:
            for i, text in enumerate(texts):
                f.write(json.dumps({"id": str(i), "text": text}) + "\n")
        command = [args.binary, "score", path, "--model", args.model, "--precision", precision, "--device", args.device]
        done = subprocess.run([*command, "--tokens", "--normalize", "off"], stdout=subprocess.PIPE, encoding="utf-8")
    if done.returncode:
        sys.exit(f"{' '.join(command)} ended with {done.returncode}")
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    if [row.get("id") for row in rows] != [str(i) for i in range(len(texts))]:
        sys.exit(f"expected {len(texts)} rows in order, found the ids {[row.get('id') for row in rows]}")
    return [row["token_scores"] for row in rows]


class Differences:
    """What one precision showed, over all texts."""

    def __init__(self):
        self.surprisal, self.entropy, self.means, self.wrong_tokens = [], [], [], []
        self.ranks_beyond_ties, self.ranks_within_ties = [], 0

    def add(self, text, theirs, ours):
        """`theirs` from exact_statistics, `ours` the token_scores of the same text; `text` is its number."""
        if len(ours) != len(theirs["rank"]):
            self.wrong_tokens.append(f"text {text}: {len(theirs['rank'])} tokens expected, {len(ours)} found")
            return
        surprisal = np.array([t["surprisal_nats"] for t in ours])
        rank = np.array([t["rank"] for t in ours])
        self.surprisal.append(np.abs(surprisal - theirs["surprisal"]))
        self.entropy.append(np.abs(np.array([t["entropy_nats"] for t in ours]) - theirs["entropy"]))
        self.means.append(surprisal.mean() - theirs["surprisal"].mean())
        beyond = (rank < theirs["rank_low"]) | (rank > theirs["rank_high"])
        self.ranks_beyond_ties += [(text, int(i), int(theirs["rank"][i]), int(rank[i])) for i in np.flatnonzero(beyond)]
        self.ranks_within_ties += int(((rank != theirs["rank"]) & ~beyond).sum())

    def report(self, precision):
        """Prints the differences; returns what breaks the promise of fp32."""
        for fault in self.wrong_tokens:
            print(f"{precision}: {fault}")
        if not self.surprisal:
            return ["no text could be compared"]
        surprisal, entropy, means = np.concatenate(self.surprisal), np.concatenate(self.entropy), np.abs(self.means)
        worst = max(range(len(self.surprisal)), key=lambda i: self.surprisal[i].max())
        print(f"{precision}: {len(surprisal)} tokens of {len(means)} texts")
        print(f"  |d surprisal|       mean {surprisal.mean():.2e}  worst {surprisal.max():.2e} nats (text {worst}, token {self.surprisal[worst].argmax()})")
        print(f"  |d entropy|         mean {entropy.mean():.2e}  worst {entropy.max():.2e} nats")
        print(f"  |d mean surprisal|  mean {means.mean():.2e}  worst {means.max():.2e} nats, a text")
        print(f"  ranks that differ   {self.ranks_within_ties} within ties of {TIE:g} logit, {len(self.ranks_beyond_ties)} beyond")
        faults = list(self.wrong_tokens)
        faults += [f"{name} differs by {d.max():.2e} nats, more than {LIMIT_NATS:g}" for name, d in (("surprisal", surprisal), ("entropy", entropy)) if not d.max() <= LIMIT_NATS]
        faults += [f"text {t}, token {i}: rank {expected} expected, {found} found" for t, i, expected, found in self.ranks_beyond_ties]
        return faults


def reference(args):
    """Texts and their statistics by `transformers`."""
    import transformers
    from tokenizers import Tokenizer

    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    model = load_model(args.model)
    tokenizer = Tokenizer.from_file(os.path.join(args.model, "tokenizer.json"))
    eot, context = tokenizer.token_to_id(EOT), model.config.n_positions
    texts = make_texts(args.texts, tokenizer, context)
    ids = [tokenizer.encode(text).ids for text in texts]
    print(f"transformers {transformers.__version__}: {sum(map(len, ids))} tokens; the longest text takes {len(list(windows(len(ids[-1]), context)))} windows of {context}")
    return texts, [exact_statistics(model, i, eot) for i in ids]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--precision", default="fp32,int8")
    parser.add_argument("--model")
    parser.add_argument("--binary", default=os.path.join(ROOT, "target", "release", "highwater"))
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--texts", type=int, default=30)
    args = parser.parse_args()
    if not os.path.exists(args.binary):
        sys.exit(f"{args.binary} is not there: run `make build` first")
    if args.model is None:
        from random_gpt2 import ensure

        args.model = ensure(os.path.join(ROOT, "target", "peers", "gpt2-small-random"))
    texts, theirs = reference(args)
    broken = False
    for precision in args.precision.split(","):
        differences = Differences()
        for i, (expected, found) in enumerate(zip(theirs, run_highwater(args, precision, texts))):
            differences.add(i, expected, found)
        faults = differences.report(precision)
        if precision == "fp32":
            broken = broken or bool(faults)
            for fault in faults[:20]:
                print(f"  FAULT {fault}")
    sys.exit(1 if broken else 0)


if __name__ == "__main__":
    main()
