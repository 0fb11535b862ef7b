"""Texts for the recipe: corpus documents, labelled rows, their groups and folds, and the cleaning before fine-tuning.

Standard library only, so that it can be tested without torch. Takes paths and strings; must not tokenise and must not guess:
a row that is not understood is an error with its file and line.
"""
from __future__ import annotations

import glob
import json
import lzma
import os
import re
import unicodedata
from dataclasses import dataclass

EOT = "<|endoftext|>"


def expand(patterns):
    """Paths of file names and glob patterns, each pattern sorted; one that matches nothing is an error."""
    out = []
    for pattern in patterns:
        found = sorted(glob.glob(pattern))
        if not found:
            raise SystemExit(f"{pattern}: no such file")
        out += found
    return out


def documents(paths, every=1, limit=None):
    """Documents of the corpus: separated by lines that hold only <|endoftext|>. Every `every`-th one, up to `limit` bytes of UTF-8."""
    taken = 0
    for number, document in enumerate(d for path in paths for d in of_file(path)):
        if number % every:
            continue
        taken += len(document.encode())
        if limit is not None and taken > limit:
            return
        yield document


def of_file(path):
    """Documents of one file, plain or .xz."""
    lines = []
    with (lzma.open if path.endswith(".xz") else open)(path, "rt", encoding="utf-8") as f:
        for line in f:
            if line.rstrip("\n") == EOT:
                yield "".join(lines)
                lines = []
            else:
                lines.append(line)
    if lines:
        yield "".join(lines)


@dataclass
class Row:
    """One labelled text. `skip` is the number of characters at its start that its pair shares: they tell nothing."""

    family: str
    machine: bool
    text: str
    group: int
    pair: str | None
    generator: str | None
    domain: str | None
    attack: str | None
    skip: int = 0


def group(text):
    """Texts whose first 40 letters and digits agree are one document. FNV-1a over code points, as `highwater calibrate` computes it."""
    folded = []
    for c in text:
        if c.isalnum():
            folded += c.lower()
            if len(folded) >= 40:
                break
    value = 0xCBF29CE484222325
    for c in folded[:40]:
        value = ((value ^ ord(c)) * 0x100000001B3) & (2**64 - 1)
    return value


def rows(paths):
    """Labelled rows of JSONL files; the family is the file's name without its ending.

    Rows of one pair are one group: that of the pair's first row, human rows before machine rows.
    """
    out = []
    for path in paths:
        family = os.path.splitext(os.path.basename(path))[0]
        found = []
        with open(path, encoding="utf-8") as f:
            for number, line in enumerate(f, 1):
                if line.strip():
                    found.append(row(family, line, f"{path}, line {number}"))
        found.sort(key=lambda r: r.machine)
        first = {}
        for r in found:
            if r.pair is not None:
                r.group = first.setdefault(r.pair, r.group)
        out += found
    return out


def row(family, line, place):
    """One line to a row."""
    try:
        r = json.loads(line)
        text, label = r["text"], r["label"]
    except (ValueError, KeyError, TypeError) as e:
        raise SystemExit(f"{place}: expected an object with `text` and `label`: {e}") from e
    if label not in ("human", "machine") or not isinstance(text, str):
        raise SystemExit(f"{place}: expected a text and the label human or machine, found {label!r}")
    return Row(family, label == "machine", text, group(text), r.get("pair"), r.get("generator"), r.get("domain"), r.get("attack"))


PREAMBLE = re.compile(r"^\s*(here is|here's|here are|sure|certainly|okay|of course)\b[^.\n]{0,120}[:!]\s+", re.I)
# what only the making of a data set put there: detached punctuation and clitics, the space that was lost after a full stop, line breaks
REPAIRS = [
    (re.compile(r"\\n"), " "),
    (re.compile(r"\s+"), " "),
    (re.compile(r" ([.,;:!?%)\]])(?= |$)"), r"\1"),
    (re.compile(r"([(\[]) "), r"\1"),
    (re.compile(r" (n't|'s|'re|'ve|'ll|'d|'m)\b", re.I), r"\1"),
    (re.compile(r"``|''"), '"'),
    (re.compile(r"([a-z][.!?])([A-Z][a-z])"), r"\1 \2"),
    (re.compile(r"(https?://|www\.)\S+"), "http"),
]


def clean(text):
    """A text without what gives its data set away. Both labels get the same treatment, for fine-tuning only."""
    text = unicodedata.normalize("NFKC", text).translate(str.maketrans("‘’“”", "''\"\""))
    text = PREAMBLE.sub("", text, count=1)
    for pattern, by in REPAIRS:
        text = pattern.sub(by, text)
    return text.strip()


def mark_shared_starts(rows_):
    """Cleans every row and sets `skip` to the length of the start that it shares with its pair's other side, if that is a prompt."""
    pairs = {}
    for r in rows_:
        r.text = clean(r.text)
        if r.pair is not None:
            pairs.setdefault((r.family, r.pair), ([], []))[r.machine].append(r)
    for humans, machines in pairs.values():
        for h in humans:
            for m in machines:
                shared = len(os.path.commonprefix([h.text, m.text]))
                if shared >= 20:
                    h.skip, m.skip = max(h.skip, shared), max(m.skip, shared)


def held_out(rows_, families):
    """For each fold the groups that it must not train on.

    `families` maps a family to its fold, or to None where nothing is trained on it. A family that is not named is an error, and so is
    a None family that shares a document with one that is trained on.
    """
    missing = sorted({r.family for r in rows_} - families.keys())
    if missing:
        raise SystemExit(f"no fold is named for {', '.join(missing)}")
    folds = 1 + max((f for f in families.values() if f is not None), default=-1)
    out = [set() for _ in range(folds)]
    never, trained = {}, set()
    for r in rows_:
        fold = families[r.family]
        if fold is None:
            never[r.group] = r.family
        else:
            out[fold].add(r.group)
            trained.add(r.group)
    both = sorted({never[g] for g in trained & never.keys()})
    if both:
        raise SystemExit(f"{', '.join(both)}: has no fold but shares documents with families that have one; give it a fold")
    return out
