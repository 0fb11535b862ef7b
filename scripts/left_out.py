#!/usr/bin/env python3
"""What is found of data sets that the fit has not seen, by generator, and how soon floods of them are.

Takes what `highwater calibrate --scored FILE` wrote. Prints Markdown tables: AUROC (mean over the domains) and detection rates by generator;
with --simulate, delays of `highwater simulate` for each data set, its own people against its own machines, or, where it has none, against
those of --people; with --profiles, the same by the profiles that `few_shot` left in a folder. Needs Python 3.9 and nothing else.

    highwater calibrate --human eval/*.jsonl --machine eval/*.jsonl -o calibration.json --scored scored.jsonl
    python3 scripts/left_out.py scored.jsonl --simulate target/release/highwater --calibration calibration.json
"""

import argparse
import bisect
import collections
import json
import math
import subprocess
import tempfile
from pathlib import Path


# With fewer streams that were quiet until the flood there is no delay to tell.
FEWEST = 20


def auroc(human, machine):
    """Chance that a machine score is above a human one, ties half."""
    human = sorted(human)
    wins = sum(bisect.bisect_left(human, score) + bisect.bisect_right(human, score) for score in machine)
    return wins / 2 / len(human) / len(machine)


def found(human, machine, level):
    """Share of machine scores above all but `level` of the human ones."""
    threshold = sorted(human, reverse=True)[int(level * len(human))]
    return sum(score > threshold for score in machine) / len(machine)


def by_generator(rows):
    print("| data set | generator | human | machine | AUROC | TPR@1% | TPR@5% |")
    print("|---|---|---:|---:|---:|---:|---:|")
    people, machines = collections.defaultdict(dict), collections.defaultdict(list)
    for row in rows:
        if row["score"] is not None and row["label"] == "human":
            people[row["family"], row["domain"]].setdefault(row["group"], row["score"])
        elif row["score"] is not None:
            machines[row["family"], row["generator"]].append((row["domain"], row["score"]))
    for (family, generator), texts in sorted(machines.items(), key=str):
        domains = {domain: [score for d, score in texts if d == domain] for domain, _ in texts if people[family, domain]}
        if domains:
            human = [score for domain in domains for score in people[family, domain].values()]
            machine = [score for scores in domains.values() for score in scores]
            mean = sum(auroc(people[family, d].values(), scores) for d, scores in domains.items()) / len(domains)
            rates = " | ".join(f"{100 * found(human, machine, level):.1f}%" for level in (0.01, 0.05))
            print(f"| {family} | {generator} | {len(human)} | {len(machine)} | {mean:.3f} | {rates} |")


HEAD = ["100% machine", "50%", "30%", "documents between two false alarms"]


def table(head, rows):
    print("\n| " + " | ".join(head) + " |\n" + "|---" * len(head) + "|")
    for row in rows:
        print("| " + " | ".join(row) + " |")


def delays(rows, options):
    families = collections.defaultdict(list)
    for row in rows:
        families[row["family"]].append(row)
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for family, own in families.items():
            Path(folder, family).write_text("".join(json.dumps(row) + "\n" for row in own), encoding="utf-8")
        for family, own in families.items():
            labels = {row["label"] for row in own}
            if "machine" in labels:
                people = family if "human" in labels else options.people
                wait, cells = simulated(Path(folder, people), Path(folder, family), options.simulate, options.calibration)
                found.append((wait, [family, *cells]))
    table(["set", *HEAD], [cells for _, cells in sorted(found)])


def by_profile(options):
    """Of every set without a profile, with one of 300 texts, and with the largest, which says of how many texts it is."""
    rows = []
    for made in sorted(options.profiles.glob("*-none.json")):
        family = made.stem.removesuffix("-none")
        for size in ("none", "300", "two-thirds"):
            profile = options.profiles / f"{family}-{size}.json"
            texts = profile.with_suffix(".jsonl")
            sources = json.loads(profile.read_text(encoding="utf-8"))["sources"]
            named = f"{sum(source['human'] for source in sources):,}" if size == "two-thirds" else size
            _, cells = simulated(texts, texts, options.simulate, profile)
            rows.append([family if size == "none" else "", named, *cells])
    table(["set", "profile", *HEAD], rows)


def simulated(people, machines, binary, calibration):
    """The median delay at the smallest share, to sort by, and the cells of a row of `HEAD`."""
    cells = []
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "simulated.json")
        for share in (1, 0.5, 0.3):
            command = [binary, "simulate", "-q", "--human", people, "--machine", machines, "--share", str(share), "--json", out]
            subprocess.run([*command, *(["--calibration", calibration] if calibration else [])], check=True, stdout=subprocess.PIPE)
            result = json.loads(out.read_text())
            wait, cell = delay(result["flood"], result["settings"])
            cells.append(cell)
    length = result["null"]["average_run_length"]
    return wait, [*cells, f"{length['estimate']:,.0f}" if length["estimate"] else f"over {length['low']:,.0f}"]


def delay(flood, settings):
    """The median delay, and a cell with it, the ninth decile, and how many streams were not found."""
    if flood["streams"] < FEWEST:
        return math.inf, "always in alarm"
    after = settings["length"] - settings["onset"]
    wait = after if flood["delay"]["median"] is None else flood["delay"]["median"]
    median, ninth = (f">{after:,}" if flood["delay"][key] is None else f"{flood['delay'][key]:,}" for key in ("median", "p90"))
    missed = "" if flood["found"] == flood["streams"] else f" ({flood['found']} of {flood['streams']} found)"
    return wait, f"{median} / {ninth}{missed}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("scored")
    parser.add_argument("--simulate", metavar="BINARY", help="simulate floods, with this binary")
    parser.add_argument("--calibration", help="the calibration that the file was made with, if it is not the embedded one")
    parser.add_argument("--profiles", type=Path, metavar="DIR", help="simulate floods by what few_shot left here")
    parser.add_argument("--people", default="fdgpt_gpt2xl", help="data set whose people stand in for those of sets without")
    options = parser.parse_args()
    rows = [json.loads(line) for line in Path(options.scored).read_text(encoding="utf-8").splitlines()]
    by_generator(rows)
    if options.simulate:
        delays(rows, options)
    if options.simulate and options.profiles:
        by_profile(options)


if __name__ == "__main__":
    main()
