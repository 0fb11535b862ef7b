"""`make bench-generate`: `highwater generate` against `transformers.generate()` on the same prompts and weights, in turn, one process at a time.

Usage: python benches/peers/run_generate.py [--rounds 3] [--prompt 64] [--new 48] [--threads 2] [--only NAME,…] [--json FILE] [--model DIR]
Takes a random GPT-2-small (written to target/peers on the first run) and pseudo-English prompts, end-of-text counted in. Both sides write
greedily; compared are tokens per second of generating, prompts read and model loaded before. Every round runs each contestant at each batch
once; ratios are taken within a round, then median and spread over rounds. In fp32 both sides must write the same texts, but for
near ties: the share that is equal is told. Must run on an otherwise idle machine.
"""
import argparse
import json
import os
import sys

from run import FOLDER, HERE, MALLOC, ROOT, chosen, machine, reported, spread, timed
from statistics import median

CONTESTANTS = {
    "torch fp32": ("torch", "fp32", {}),
    "torch fp32 malloc": ("torch", "fp32", MALLOC),
    "highwater fp32": ("highwater", "fp32", {}),
    "highwater int8": ("highwater", "int8", {}),
}
# texts in work at a time -> texts written
BATCHES = {1: 3, 16: 32}


def write_prompts(path, count, tokens, model):
    """JSONL with `count` prompts, each of `tokens` tokens, end-of-text counted in."""
    from gpt2_reference import PseudoEnglish
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(os.path.join(model, "tokenizer.json"))
    english, prompts = PseudoEnglish(23), []
    while len(prompts) < count:
        text = english.text(2 * tokens)
        fitting = next((end for end in range(tokens, len(text)) if len(tokenizer.encode(text[:end]).ids) == tokens - 1), None)
        if fitting:
            prompts.append(text[:fitting])
    with open(path, "w", encoding="utf-8") as f:
        f.writelines(json.dumps({"prompt": prompt}) + "\n" for prompt in prompts)
    return path


def run_torch(args, dtype, environment, batch):
    """One measurement of the peer."""
    command = [sys.executable, os.path.join(HERE, "transformers_generate.py"), args.prompts[batch], "--model", args.model, "--dtype", dtype]
    stdout, _, used = timed([*command, "--batch", str(batch), "--new", str(args.new), "--threads", str(args.threads)], environment)
    found = json.loads(stdout)
    return {"tok_per_s": found["tok_per_s"], "tokens": found["tokens"], "rss_mb": used["rss_mb"], "texts": found["texts"]}


def run_highwater(args, precision, environment, batch):
    """One measurement of `highwater generate`."""
    command = [args.binary, "generate", "-v", "--prompts", args.prompts[batch], "--model", args.model, "--precision", precision]
    command += ["--device", "cpu", "--threads", str(args.threads), "--greedy", "--ignore-end", "--length", str(args.new), "--batch", str(batch)]
    stdout, stderr, used = timed([*command, "--include-prefix", "off"], environment)
    tokens, seconds = reported(stderr) or sys.exit(f"no line with tokens and seconds in:\n{stderr}")
    texts = [json.loads(line)["text"] for line in stdout.splitlines()]
    return {"tok_per_s": tokens / seconds, "tokens": tokens, "rss_mb": used["rss_mb"], "texts": texts}


def print_table(rows, batches):
    """`rows`: (batch, name) -> list of measurements, one a round."""
    for batch in batches:
        names = [name for b, name in rows if b == batch]
        bases = [name for name in names if name.startswith("torch")]
        print(f"\nbatch {batch:<12} {'tok/s':>20} {'RSS MB':>6} {'as torch':>9}" + "".join(f" {'x ' + base:>24}" for base in bases))
        for name in names:
            runs = rows[batch, name]
            line = f"{name:18} {spread([r['tok_per_s'] for r in runs], '%.1f'):>20} {max(r['rss_mb'] for r in runs):6}"
            first = rows[batch, bases[0]][0]["texts"] if bases else []
            same = [a == b for a, b in zip(runs[0]["texts"], first)]
            line += f" {sum(same):4}/{len(same):<4}"
            for base in bases:
                line += f" {spread([r['tok_per_s'] / b['tok_per_s'] for r, b in zip(runs, rows[batch, base])], '%.2f'):>24}"
            print(line)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--prompt", type=int, default=64)
    parser.add_argument("--new", type=int, default=48)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batches", default=",".join(map(str, BATCHES)), help="texts in work at a time, with commas between")
    parser.add_argument("--only", help="contestants by name, with commas between")
    parser.add_argument("--model", help="a GPT-2 directory in place of the random one")
    parser.add_argument("--binary", default=os.path.join(ROOT, "target", "release", "highwater"))
    parser.add_argument("--json", help="file to write every measurement to")
    args = parser.parse_args()
    names = chosen(args, CONTESTANTS)
    from random_gpt2 import ensure

    os.makedirs(FOLDER, exist_ok=True)
    args.model = args.model or ensure(os.path.join(FOLDER, "gpt2-small-random"))
    batches = [int(b) for b in args.batches.split(",")]
    args.prompts = {b: write_prompts(os.path.join(FOLDER, f"prompts-{b}.jsonl"), BATCHES.get(b, 2 * b), args.prompt, args.model) for b in batches}
    print(f"{machine()}; {args.threads} threads; prompts of {args.prompt} tokens, {args.new} new; {args.model}")
    rows = {(batch, name): [] for batch in batches for name in names}
    for number in range(args.rounds):
        for batch in batches:
            for name in names[number % len(names) :] + names[: number % len(names)]:
                side, dtype, environment = CONTESTANTS[name]
                found = (run_torch if side == "torch" else run_highwater)(args, dtype, environment, batch)
                rows[batch, name].append(found)
                print(f"round {number + 1}  batch {batch:2}  {name:18} {found['tok_per_s']:8.1f} tok/s", flush=True)
    print_table(rows, batches)
    if args.json:
        kept = [{"batch": b, "name": n, "rounds": [{k: v for k, v in r.items() if k != "texts"} for r in runs]} for (b, n), runs in rows.items()]
        with open(args.json, "w", encoding="utf-8") as f:
            json.dump({"machine": machine(), "threads": args.threads, "prompt": args.prompt, "new": args.new, "rounds": kept}, f, indent=1)


if __name__ == "__main__":
    main()
