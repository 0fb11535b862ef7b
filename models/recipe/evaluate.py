"""Bits per byte of GPT-2 directories on held-out text: comparable across tokenizers and context lengths.

  python evaluate.py base models/highwater-27m --val corpus/val.txt.xz

Each document is led by <|endoftext|> and cut into windows of the context's length that overlap by one token, so that every token is
predicted once. Prints nats per token and bits per byte of UTF-8. --every 10 takes every tenth document.
"""
import argparse
import math
import os

import torch
from tokenizers import Tokenizer

import gpt2
import texts


@torch.no_grad()
def measure(model, tokenizer, documents, a):
    """Nats, tokens and bytes over all documents."""
    context, start, windows, size = model.shape["context"], tokenizer.token_to_id(texts.EOT), [], 0
    for encoding, document in zip(tokenizer.encode_batch(documents), documents):
        size += len(document.encode())
        ids = torch.tensor([start, *encoding.ids])
        windows += [ids[at:at + context + 1] for at in range(0, len(ids) - 1, context)]
    windows.sort(key=len)
    nats = tokens = 0
    per = max(1, a.batch_tokens // context)
    for at in range(0, len(windows), per):
        x = torch.nn.utils.rnn.pad_sequence(windows[at:at + per], batch_first=True, padding_value=-1).to(a.device)
        valid = x[:, 1:] >= 0
        x = x.clamp(min=0)
        with torch.autocast(a.device.split(":")[0], dtype=torch.bfloat16, enabled=a.bf16):
            nats += (model(x[:, :-1], x[:, 1:]).double() * valid).sum().item()
        tokens += valid.sum().item()
    return nats, tokens, size


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("models", nargs="+")
    p.add_argument("--val", nargs="+", required=True)
    p.add_argument("--every", type=int, default=1)
    p.add_argument("--batch-tokens", type=int, default=8192)
    p.add_argument("--threads", type=int, default=0)
    p.add_argument("--device", default="cpu")
    p.add_argument("--bf16", action="store_true")
    a = p.parse_args()
    if a.threads:
        torch.set_num_threads(a.threads)
    documents = list(texts.documents(texts.expand(a.val), every=a.every))
    for directory in a.models:
        model = gpt2.load(directory, a.device).eval()
        nats, tokens, size = measure(model, Tokenizer.from_file(os.path.join(directory, "tokenizer.json")), documents, a)
        print(f"{directory}: {nats / size / math.log(2):.4f} bits per byte, {nats / tokens:.4f} nats per token; {tokens} tokens, {size} bytes, {len(documents)} documents", flush=True)


if __name__ == "__main__":
    main()
