"""Corpus to tokens: a byte-level BPE, then uint16 pieces of a bounded size.

  python prepare.py --train 'corpus/train-*.txt.xz' --val corpus/val.txt.xz --out data

Writes data/tokenizer.json, data/train-NNN.bin, data/val.bin (ids, each document led by <|endoftext|>) and data/index.json, which names
the pieces with their sizes and the bytes of text in each. What is already there is kept: delete --out to begin again.
A piece is at most --piece-mb, so that it can travel where files are bounded; `train.py` takes whatever pieces have arrived.
"""
import argparse
import json
import os

import numpy as np
from tokenizers import ByteLevelBPETokenizer, Tokenizer

from texts import EOT, documents, expand


def train_tokenizer(a, paths):
    """Trains the BPE on documents taken evenly from all shards."""
    total = sum(os.path.getsize(p) * (3.85 if p.endswith(".xz") else 1) for p in paths)
    every = max(1, int(total / (a.bpe_mb * 1e6)))
    tokenizer = ByteLevelBPETokenizer()
    tokenizer.train_from_iterator(documents(paths, every=every), vocab_size=a.vocab, min_frequency=2, special_tokens=[EOT], show_progress=False)
    tokenizer.save(os.path.join(a.out, "tokenizer.json"))
    print(f"tokenizer: {tokenizer.get_vocab_size()} tokens, from every {every}. document", flush=True)


class Pieces:
    """Writes ids to numbered files of at most `limit` bytes."""

    def __init__(self, folder, name, limit):
        self.folder, self.name, self.limit = folder, name, limit
        self.files, self.ids, self.size, self.text = [], [], 0, 0

    def add(self, ids, text_bytes):
        if self.size and (self.size + len(ids)) * 2 > self.limit:
            self.flush()
        self.ids.append(np.array(ids, dtype=np.uint16))
        self.size += len(ids)
        self.text += text_bytes

    def flush(self):
        if self.size:
            file = f"{self.name}-{len(self.files):03}.bin"
            np.concatenate(self.ids).tofile(os.path.join(self.folder, file))
            self.files.append(dict(file=file, tokens=self.size, text_bytes=self.text))
            self.ids, self.size, self.text = [], 0, 0
        return self.files


def encode(tokenizer, found, pieces):
    """Encodes documents in batches; gives the list of pieces."""
    eot = tokenizer.token_to_id(EOT)

    def take(batch):
        for encoding, document in zip(tokenizer.encode_batch(batch), batch):
            pieces.add([eot, *encoding.ids], len(document.encode()))

    batch = []
    for document in found:
        batch.append(document)
        if len(batch) == 512:
            take(batch)
            batch = []
    take(batch)
    files = pieces.flush()
    print(f"{pieces.name}: {sum(f['tokens'] for f in files)} tokens of {sum(f['text_bytes'] for f in files)} bytes in {len(files)} pieces", flush=True)
    return files


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--train", nargs="+", required=True, help="shards, plain or .xz")
    p.add_argument("--val", nargs="+", required=True, help="held-out text")
    p.add_argument("--out", required=True)
    p.add_argument("--vocab", type=int, default=16384)
    p.add_argument("--bpe-mb", type=float, default=100, help="text that the tokenizer is trained on, MB")
    p.add_argument("--piece-mb", type=float, default=60, help="largest piece, MB")
    p.add_argument("--limit-mb", type=float, help="training text to use, MB; all by default")
    a = p.parse_args()
    if not 512 <= a.vocab <= 65536:
        p.error("--vocab must be 512 to 65536: ids are stored in 16 bits")
    index = os.path.join(a.out, "index.json")
    if os.path.exists(index):
        print(f"{index} is there: nothing to do")
        return
    os.makedirs(a.out, exist_ok=True)
    train, val = expand(a.train), expand(a.val)
    if not os.path.exists(os.path.join(a.out, "tokenizer.json")):
        train_tokenizer(a, train)
    tokenizer = Tokenizer.from_file(os.path.join(a.out, "tokenizer.json"))
    limit = None if a.limit_mb is None else int(a.limit_mb * 1e6)
    out = dict(vocabulary=tokenizer.get_vocab_size())
    for name, found in (("val", documents(val)), ("train", documents(train, limit=limit))):
        out[name] = encode(tokenizer, found, Pieces(a.out, name, int(a.piece_mb * 1e6)))
    with open(index + ".part", "w") as f:
        json.dump(out, f, indent=1)
    os.replace(index + ".part", index)


if __name__ == "__main__":
    main()
