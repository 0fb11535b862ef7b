#!/usr/bin/env python3
"""Puts the figures of a calibration into the tables of a model card, in place.

    highwater calibrate ... --json fit.json --scored left-out.jsonl
    highwater evaluate left-out.jsonl --json evaluation.json
    python3 scripts/left_out.py left-out.jsonl --simulate target/release/highwater > floods.md
    python3 scripts/card.py models/README.md --evaluation evaluation.json --fit fit.json --tables floods.md

Tables of an evaluation are known by the first cells of their heads: `left out`, `generator`, `domain`, `attack` and `length`, each followed by
`human` (or a column of the card's own, which is kept by name). The table by `length` without intervals is the fit's. A table of a file that
has the same head as one of the card's takes its place. Needs Python 3.9 and nothing else.
"""

import argparse
import json
from pathlib import Path

SECTIONS = {"left out": "by_file", "generator": "by_generator", "domain": "by_domain", "attack": "by_attack", "length": "by_length"}
MARKS = (("length_auroc", " L"), ("line_break_auroc", " B"))
TELLING = 0.1


def tells(figures, of):
    """Whether this alone gives the label away, in a row that has both."""
    return figures["auroc"] is not None and figures[of] is not None and abs(figures[of] - 0.5) > TELLING


def measures(m):
    auroc, *rates = (m[name] for name in ("auroc", "tpr_at_fpr_01", "tpr_at_fpr_05"))
    if auroc is None:
        return ["", "", ""]
    percent = [f"{100 * r['value']:.0f}% [{100 * r['low']:.0f} {100 * r['high']:.0f}]" for r in rates]
    return [f"{auroc['value']:.3f} [{auroc['low']:.3f} {auroc['high']:.3f}]", *percent]


def flagged(figures, level):
    found = next((f["human"] for f in figures["flagged"] if f["level"] == level), None)
    if not found:
        return ""
    text = f"{100 * found['share']:.1f}% [{100 * found['low']:.1f} {100 * found['high']:.1f}]"
    return f"**{text}**" if level == 0.01 and found["low"] > 0.01 else text


def lines(figures, own, flags):
    """The rows of one name: `own` are the card's columns after it, `flags` whether human texts flagged are told."""
    tail = [flagged(figures, 0.01), flagged(figures, 0.05)] if flags else []
    marks = "".join(mark for of, mark in MARKS if tells(figures, of))
    counts = [f"{figures[label]:,}" for label in ("human", "machine")]
    yield [figures["name"] + marks, *own, *counts, *measures(figures), *tail]
    empty = [""] * len(own)
    if tells(figures, "length_auroc"):
        yield ["at equal lengths", *empty, "", "", *measures(figures["equal_lengths"]), *([""] * len(tail))]
    if tells(figures, "line_break_auroc"):
        counts = [f"{figures[label + '_without_line_breaks']:,}" for label in ("human", "machine")]
        yield ["without line breaks", *empty, *counts, *measures(figures["without_line_breaks"]), *([""] * len(tail))]


def cells(line):
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def by_length(fit):
    """All lengths and each bin of a fit."""
    bins = fit["bins"]
    ends = [following["from_tokens"] - 1 for following in bins[1:]]
    names = [f"{bin['from_tokens']} to {end}" for bin, end in zip(bins, ends)] + [f"{bins[-1]['from_tokens']} or more"]
    names[0] += " tokens" if ends else ""
    for name, quality in zip(["all", *names], [fit["overall"], *bins]):
        rates = [f"{100 * quality[level]:.1f}%" for level in ("tpr_at_fpr_01", "tpr_at_fpr_05")]
        yield [name, f"{quality['human']:,}", f"{quality['machine']:,}", f"{quality['auroc']:.3f}", *rates]


def table(old, evaluation, fit=None):
    """A table of the card with new rows; as it is where it is none of ours."""
    head = cells(old[0])
    if head[0] not in SECTIONS or "human" not in head or not any("AUROC" in cell for cell in head) or "TPR@1%" not in head:
        return old
    rows = rows_of(head, old, evaluation, fit)
    return old if rows is None else old[:2] + ["| " + " | ".join(row) + " |" for row in rows]


def rows_of(head, old, evaluation, fit):
    if head[0] == "length" and not any("[" in line for line in old[2:]):
        return by_length(fit) if fit else None
    if not evaluation:
        return None
    own = head.index("human") - 1
    kept = {cells(line)[0].removesuffix(" B").removesuffix(" L"): cells(line)[1 : 1 + own] for line in old[2:]}
    rows = []
    for figures in evaluation[SECTIONS[head[0]]]:
        if own == 0 and figures["auroc"] is None:
            continue
        rows += lines(figures, kept.get(figures["name"], [""] * own), own > 0)
    return rows


def tables(text):
    """The tables of a text, by their heads."""
    blocks = [block.splitlines() for block in text.split("\n\n")]
    return {tuple(cells(block[0])): block for block in blocks if block and block[0].startswith("|")}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("card", type=Path)
    parser.add_argument("--evaluation", type=json_file, help="what `highwater evaluate --json` wrote")
    parser.add_argument("--fit", type=json_file, help="what `highwater calibrate --json` wrote")
    parser.add_argument("--tables", type=Path, nargs="+", default=[], help="files with Markdown tables")
    options = parser.parse_args()
    printed = {head: block for path in options.tables for head, block in tables(path.read_text(encoding="utf-8")).items()}
    out, block = [], []
    for line in options.card.read_text(encoding="utf-8").splitlines() + [""]:
        if line.startswith("|"):
            block.append(line)
            continue
        if len(block) > 2:
            block = printed.get(tuple(cells(block[0])), table(block, options.evaluation, options.fit))
        out += block + [line]
        block = []
    options.card.write_text("\n".join(out[:-1]) + "\n", encoding="utf-8")


def json_file(path):
    return json.loads(Path(path).read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
