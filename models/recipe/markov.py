"""Texts by Markov chains over the words of people's texts: machine text of the oldest kind, which no language model finds predictable.

  python markov.py eval/human_tweets_tweeteval.jsonl eval/human_sms.jsonl --out markov

Writes markov/human_tweets_tweeteval.jsonl and so on: as many texts as there are by people, of their lengths, labelled `machine`. The next word is
one of those that follow the last two words somewhere in the file, or, where that leaves no choice, the last word; where nothing follows, a
text's first. The files keep their names, so that their texts share a fold with the people whose words they are made of, and are left out with
them.
"""
import argparse
import collections
import json
import os
import random

SHORTEST = 5


class Chain:
    def __init__(self, found):
        """`found`: texts as lists of words."""
        self.starts, self.after = [], collections.defaultdict(list)
        for words in found:
            self.starts.append(words[0])
            for at in range(1, len(words)):
                for order in (1, 2):
                    if at >= order:
                        self.after[tuple(words[at - order:at])].append(words[at])

    def next(self, words, choice):
        two, one = (self.after.get(tuple(words[-order:]), []) for order in (2, 1))
        return choice(two if len(set(two)) > 1 else one or self.starts)

    def text(self, length, choice):
        words = [choice(self.starts)]
        while len(words) < length:
            words.append(self.next(words, choice))
        return " ".join(words)


def people(path):
    """The texts by people of a file, as lists of words."""
    with open(path, encoding="utf-8") as f:
        rows = [json.loads(line) for line in f if line.strip()]
    found = [row["text"].split() for row in rows if row.get("label", "human") == "human"]
    return [words for words in found if len(words) >= SHORTEST]


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("sources", nargs="+", help="JSONL with `text` and `label`; those by people are taken")
    p.add_argument("--out", required=True, help="directory to write to")
    p.add_argument("--seed", type=int, default=1)
    a = p.parse_args()
    os.makedirs(a.out, exist_ok=True)
    for path in a.sources:
        target = os.path.join(a.out, os.path.basename(path))
        found = people(path)
        if not found:
            raise SystemExit(f"{path}: no text by people of {SHORTEST} words or more")
        chain, choice = Chain(found), random.Random(a.seed).choice
        with open(target, "w", encoding="utf-8") as f:
            for number, words in enumerate(found):
                text = chain.text(len(words), choice)
                f.write(json.dumps({"id": f"markov-{number}", "text": text, "label": "machine", "generator": "markov chain"}) + "\n")


if __name__ == "__main__":
    main()
