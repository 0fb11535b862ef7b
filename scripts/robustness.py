#!/usr/bin/env python3
"""How many machine texts are still flagged after each attack, and how many human ones.

Takes labelled JSONL files (`text`, `label`, optional `attack`); attacks a sample of each label with `highwater attack --each`, scores all
variants with `highwater score`, and prints a Markdown table. Needs Python 3.9 and nothing else.

    python3 scripts/robustness.py eval/*.jsonl --binary target/release/highwater --sample 500 --rate raid
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

ATTACKS = ["alternative_spelling", "article_deletion", "homoglyph", "insert_paragraphs", "letter_case", "links", "number", "paraphrase", "misspelling",
           "synonym", "upper_lower", "whitespace", "zero_width_space"]


def sample(files, label, size, words):
    """Untouched texts with this label and at least so many words: `size` of them, evenly spread over all files."""
    rows = []
    for file in files:
        for number, line in enumerate(Path(file).read_text(encoding="utf-8").splitlines()):
            row = json.loads(line)
            if row.get("label") == label and not row.get("attack") and len(row["text"].split()) >= words:
                rows.append({"id": f"{Path(file).stem}-{number}", "text": row["text"], "label": label})
    if not rows:
        sys.exit(f"no untouched texts with the label {label} and {words} words in these files")
    return [rows[i * len(rows) // size] for i in range(size)] if size < len(rows) else rows


def flagged(options, rows, folder, normalize):
    """The share of flagged texts for each attack; None stands for the texts as they were. With it, their shares of words kept."""
    texts, attacked = folder / "texts.jsonl", folder / "attacked.jsonl"
    texts.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    common = [*options.model, "-q"]
    if not attacked.exists():
        subprocess.run([options.binary, "attack", "--each", ",".join(options.attacks), texts, "--rate", options.rate, "--seed",
                        str(options.seed), "--pairs", "-o", attacked, *common], check=True)
    scored = subprocess.run([options.binary, "score", attacked, "--fpr", str(options.fpr), "--normalize", normalize, *common],
                            check=True, stdout=subprocess.PIPE).stdout
    counts, kept = {}, {}
    with attacked.open(encoding="utf-8") as variants:
        for variant, answer in zip(variants, scored.splitlines()):
            variant, answer = json.loads(variant), json.loads(answer)
            counts.setdefault(variant["attack"], []).append(answer["flagged"])
            if variant["attack"]:
                kept.setdefault(variant["attack"], []).append(variant["attack_quality"]["words_kept"])
    mean = lambda values: sum(values) / len(values)
    return {attack: mean(all) for attack, all in counts.items()}, {attack: mean(all) for attack, all in kept.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+")
    parser.add_argument("--binary", default="target/release/highwater")
    parser.add_argument("--sample", type=int, default=500, help="texts of each label")
    parser.add_argument("--words", type=int, default=50, help="shorter texts are left out")
    parser.add_argument("--rate", default="raid")
    parser.add_argument("--fpr", type=float, default=0.05)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--attacks", default=",".join(ATTACKS), type=lambda text: text.split(","))
    parser.add_argument("--model", default=[], type=lambda text: ["--model", text])
    options = parser.parse_args()
    columns = {}
    for label in ["machine", "human"]:
        rows = sample(options.files, label, options.sample, options.words)
        with tempfile.TemporaryDirectory() as folder:
            for normalize in ["on", "off"]:
                columns[label, normalize], kept = flagged(options, rows, Path(folder), normalize)
        print(f"{len(rows)} {label} texts of at least {options.words} words", file=sys.stderr)
    percent = lambda value: f"{100 * value:.1f}%"
    print("| attack | machine flagged | not normalised | human flagged | not normalised | words kept |")
    print("|---|---:|---:|---:|---:|---:|")
    order = [("machine", "on"), ("machine", "off"), ("human", "on"), ("human", "off")]
    for attack in [None, *options.attacks]:
        cells = [percent(columns[column][attack]) for column in order]
        print(f"| {attack or 'none'} | {' | '.join(cells)} | {percent(kept[attack]) if attack else ''} |")


if __name__ == "__main__":
    main()
