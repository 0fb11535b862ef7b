"""`make bench-peers`: `highwater score` against `transformers` + torch on the same texts and weights, in turn, one process at a time.

Usage: python benches/peers/run.py [--rounds 5] [--documents 80] [--threads 2] [--only NAME,…] [--json FILE] [--model DIR]
Takes a random GPT-2-small (written to target/peers on the first run) and seeded texts of 20 to 1,000 tokens, evenly on a log scale.
Every round runs each contestant once, the order rotated. Compared is scoring against scoring: torch after loading and one warm-up
batch, Highwater by the seconds that `score -v` reports; `process` is tokens over the whole process with its start and loading.
Ratios are taken within a round, then median and spread over rounds. Must run on an otherwise idle machine: `busy` is the share of
the threads' time that a contestant got, and much less than its neighbours' means that something else ran.
"""
import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from statistics import median

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.normpath(os.path.join(HERE, "..", ".."))
FOLDER = os.path.join(ROOT, "target", "peers")

MALLOC = {"MALLOC_MMAP_THRESHOLD_": "4000000000", "MALLOC_TRIM_THRESHOLD_": "4000000000"}
# name -> (side, dtype, further environment)
CONTESTANTS = {
    "torch fp32": ("torch", "fp32", {}),
    "torch fp32 malloc": ("torch", "fp32", MALLOC),
    "torch bf16": ("torch", "bf16", {}),
    "highwater fp32": ("highwater", "fp32", {}),
    "highwater int8": ("highwater", "int8", {}),
}


def machine():
    """The processor's name and the number of cores that this process may use."""
    name = "unknown processor"
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as f:
            name = next(line.split(":", 1)[1].strip() for line in f if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{name}, {cores} cores"


def write_texts(path, documents, model):
    """JSONL in random order; 20 to 1,000 tokens each, evenly on a log scale."""
    import numpy as np
    from gpt2_reference import PseudoEnglish
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(os.path.join(model, "tokenizer.json"))
    english, lengths = PseudoEnglish(11), np.geomspace(20, 1000, documents)
    english.rng.shuffle(lengths)
    with open(path, "w", encoding="utf-8") as f:
        for i, length in enumerate(lengths):
            words = english.text(int(length)).split(" ")
            while len(words) > 3 and len(tokenizer.encode(" ".join(words)).ids) > length:
                words.pop()
            f.write(json.dumps({"id": str(i), "text": " ".join(words)}) + "\n")
    return path


def reported(stderr):
    """(tokens, seconds) of the line that `highwater score -v` ends with, such as `… (20123 tokens in 12.3 s): …`; None without one."""
    found = re.findall(r"([\d,_]+) tokens in ([\d.]+) s\b", re.sub(r"\x1b\[[0-9;]*m", "", stderr))
    if not found:
        return None
    tokens, seconds = found[-1]
    return int(re.sub(r"[,_]", "", tokens)), float(seconds)


def timed(command, environment):
    """Runs one process; returns (stdout, stderr, usage) with wall_s, cpu_s and rss_mb in usage. Ends the benchmark where it fails."""
    with tempfile.TemporaryFile("w+", encoding="utf-8") as out, tempfile.TemporaryFile("w+", encoding="utf-8") as err:
        began = time.perf_counter()
        child = subprocess.Popen(command, env=os.environ | environment, stdin=subprocess.DEVNULL, stdout=out, stderr=err)
        _, status, used = os.wait4(child.pid, 0)
        wall = time.perf_counter() - began
        child.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        stdout, stderr = out.read(), err.read()
    if child.returncode:
        sys.exit(f"{' '.join(command)} ended with {child.returncode}:\n{stderr[-2000:]}")
    rss = used.ru_maxrss // 1024 if sys.platform == "linux" else used.ru_maxrss // 1024**2
    return stdout, stderr, {"wall_s": wall, "cpu_s": used.ru_utime + used.ru_stime, "rss_mb": rss}


def run_torch(args, dtype, environment):
    """One measurement of the peer."""
    command = [sys.executable, os.path.join(HERE, "transformers_score.py"), args.texts, "--model", args.model]
    stdout, _, used = timed([*command, "--dtype", dtype, "--threads", str(args.threads)], environment)
    found = json.loads(stdout)
    return {
        "tokens": found["tokens"],
        "tok_per_s": found["tok_per_s"],
        "process_tok_per_s": found["tokens"] / used["wall_s"],
        "load_s": found["load_s"],
        "busy": found["cpu_s"] / found["seconds"] / args.threads,
        "rss_mb": used["rss_mb"],
    }


def run_highwater(args, precision, environment):
    """One measurement of `highwater score`; its loading is what a run over one short text takes."""
    options = ["-v", "--model", args.model, "--precision", precision, "--device", "cpu", "--threads", str(args.threads)]
    _, _, idle = timed([args.binary, "score", args.one_text, *options], environment)
    _, stderr, used = timed([args.binary, "score", args.texts, *options], environment)
    tokens, seconds = reported(stderr) or (args.tokens, used["wall_s"] - idle["wall_s"])
    return {
        "tokens": tokens,
        "tok_per_s": tokens / seconds,
        "process_tok_per_s": tokens / used["wall_s"],
        "load_s": idle["wall_s"],
        "busy": (used["cpu_s"] - idle["cpu_s"]) / (used["wall_s"] - idle["wall_s"]) / args.threads,
        "rss_mb": used["rss_mb"],
    }


def spread(values, form):
    return f"{form % median(values)} ({form % min(values)}-{form % max(values)})"


def print_table(rows):
    """`rows`: name -> list of measurements, one a round."""
    bases = [name for name in rows if name.startswith("torch")]
    head = "".join(f" {'x ' + base:>24}" for base in bases)
    print(f"\n{'':18} {'tok/s':>20} {'process tok/s':>20} {'load s':>7} {'busy':>5} {'RSS MB':>6}{head}")
    for name, runs in rows.items():
        line = f"{name:18} {spread([r['tok_per_s'] for r in runs], '%.0f'):>20} {spread([r['process_tok_per_s'] for r in runs], '%.0f'):>20}"
        line += f" {median(r['load_s'] for r in runs):7.2f} {median(r['busy'] for r in runs):5.2f} {max(r['rss_mb'] for r in runs):6}"
        for base in bases:
            ratios = [r["tok_per_s"] / b["tok_per_s"] for r, b in zip(runs, rows[base])]
            line += f" {spread(ratios, '%.2f'):>24}"
        print(line)


def prepare(args):
    """Checkpoint and texts; adds their paths and the number of tokens to `args`."""
    from random_gpt2 import ensure
    from tokenizers import Tokenizer

    os.makedirs(FOLDER, exist_ok=True)
    args.model = args.model or ensure(os.path.join(FOLDER, "gpt2-small-random"))
    args.texts = write_texts(os.path.join(FOLDER, "texts.jsonl"), args.documents, args.model)
    args.one_text = os.path.join(FOLDER, "one.jsonl")
    with open(args.one_text, "w", encoding="utf-8") as f:
        f.write('{"id": "0", "text": "one"}\n')
    tokenizer = Tokenizer.from_file(os.path.join(args.model, "tokenizer.json"))
    with open(args.texts, encoding="utf-8") as f:
        args.tokens = sum(len(tokenizer.encode(json.loads(line)["text"]).ids) for line in f)


def chosen(args, contestants):
    """The contestants that `--only` names, by default all; ends the benchmark where one cannot run."""
    names = args.only.split(",") if args.only else list(contestants)
    for name in names:
        if name not in contestants:
            sys.exit(f"`{name}` is no contestant: {', '.join(contestants)}")
    if any(contestants[name][0] == "highwater" for name in names) and not os.path.exists(args.binary):
        sys.exit(f"{args.binary} is not there: run `make build` first")
    return names


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--documents", type=int, default=80)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", help="contestants by name, with commas between")
    parser.add_argument("--model", help="a GPT-2 directory in place of the random one")
    parser.add_argument("--binary", default=os.path.join(ROOT, "target", "release", "highwater"))
    parser.add_argument("--json", help="file to write every measurement to")
    args = parser.parse_args()
    names = chosen(args, CONTESTANTS)
    prepare(args)
    print(f"{machine()}; {args.threads} threads; {args.documents} texts, {args.tokens} tokens; {args.model}")
    rows = {name: [] for name in names}
    for number in range(args.rounds):
        for name in names[number % len(names) :] + names[: number % len(names)]:
            side, dtype, environment = CONTESTANTS[name]
            found = (run_torch if side == "torch" else run_highwater)(args, dtype, environment)
            if found["tokens"] != args.tokens:
                sys.exit(f"{name} scored {found['tokens']} tokens, {args.tokens} expected: the two sides do not do the same work")
            rows[name].append(found)
            print(f"round {number + 1}  {name:18} {found['tok_per_s']:8.0f} tok/s  busy {found['busy']:.2f}", flush=True)
    print_table(rows)
    if args.json:
        with open(args.json, "w", encoding="utf-8") as f:
            json.dump({"machine": machine(), "threads": args.threads, "documents": args.documents, "tokens": args.tokens, "rounds": rows}, f, indent=1)


if __name__ == "__main__":
    main()
