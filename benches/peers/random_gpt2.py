"""Writes a random GPT-2 of GPT-2-small's shape (12 layers of 768, 12 heads, 50,257 tokens, 1,024 positions, fp32) as a Hugging Face directory.

Usage: python benches/peers/random_gpt2.py FOLDER [--seed 1] [--force]
Weights are random but scaled so that blocks move their input and logits spread by 3 nats; speed does not depend on their values.
The tokenizer is a byte-level BPE of 4,000 merges learned from seeded pseudo-English (about 1.4 tokens a word), filled up to
50,257 entries with names that no text reaches: both sides read the same tokenizer.json, and no rate depends on which words it knows.
Must not read the network. Does nothing where FOLDER is complete already, unless --force.
"""
import argparse
import json
import os

from gpt2_reference import EOT, PseudoEnglish, Spec, byte_level_bpe, write_checkpoint

VOCABULARY = 50_257
MERGES = 4_000


def write_tokenizer(folder):
    """`tokenizer.json` of exactly VOCABULARY entries, the last one end-of-text, as in GPT-2."""
    english = PseudoEnglish(0)
    tokenizer = json.loads(byte_level_bpe([english.text(400) for _ in range(200)], MERGES).to_str())
    vocab = tokenizer["model"]["vocab"]
    vocab.pop(EOT, None)
    for token in range(len(vocab), VOCABULARY - 1):
        vocab[f"<unused_{token}>"] = token
    vocab[EOT] = VOCABULARY - 1
    tokenizer["added_tokens"][0]["id"] = VOCABULARY - 1
    with open(os.path.join(folder, "tokenizer.json"), "w", encoding="utf-8") as f:
        json.dump(tokenizer, f, ensure_ascii=False)


def ensure(folder, seed=1, force=False):
    """Writes the directory unless it is there and whole; returns it."""
    done = os.path.join(folder, "complete")
    mark = f"seed {seed}, form 2\n"  # another form for every change to what is written
    if not force and os.path.exists(done) and open(done, encoding="utf-8").read() == mark:
        return folder
    os.makedirs(folder, exist_ok=True)
    if os.path.exists(done):
        os.remove(done)
    spec = Spec(width=768, layers=12, heads=12, context=1024, vocabulary=VOCABULARY, eot=VOCABULARY - 1, seed=seed, logit_std=3.0)
    write_checkpoint(folder, spec)
    write_tokenizer(folder)
    with open(done, "w", encoding="utf-8") as f:
        f.write(mark)
    return folder


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--force", action="store_true")
    args = parser.parse_args()
    print(ensure(args.folder, args.seed, args.force))


if __name__ == "__main__":
    main()
