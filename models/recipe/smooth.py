"""Moves outliers of the first layer's input into its weights, so that eight bits can hold both (SmoothQuant, Xiao et al. 2023).

  python smooth.py base smooth --texts corpus/val.txt.xz

Each number that goes into the first product, c_attn of layer 0, is divided by s = largest |input|^0.75 / largest |weight|^0.25, relative to
the median over the inputs, and its weights are multiplied by it. s is a power of two and the division lies in the norm before: the function
stays the same, bit for bit. Prints the largest input over the median one, before and after. Gives a directory in fp32.
"""
import argparse
import itertools
import os

import torch
from tokenizers import Tokenizer

import gpt2
import texts


@torch.no_grad()
def largest_inputs(model, examples):
    """(C): the largest absolute value of each number that goes into c_attn of the first layer."""
    normed = [model.h[0].ln_1(model.lower(ids[None], 0)).abs().amax((0, 1)) for ids in examples]
    return torch.stack(normed).amax(0)


@torch.no_grad()
def smooth(model, inputs, alpha):
    """Changes the model in place."""
    norm, product = model.h[0].ln_1, model.h[0].c_attn
    s = inputs.clamp(min=1e-6) ** alpha / product.weight.abs().amax(0).clamp(min=1e-6) ** (1 - alpha)
    s = torch.exp2(torch.log2(s / s.median()).round())
    norm.weight /= s
    norm.bias /= s
    product.weight *= s


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("source")
    p.add_argument("target")
    p.add_argument("--texts", nargs="+", required=True, help="documents to look at, plain or .xz")
    p.add_argument("--documents", type=int, default=100, help="how many")
    p.add_argument("--alpha", type=float, default=0.75, help="0: all of the difficulty stays with the inputs; 1: all goes to the weights")
    a = p.parse_args()
    model = gpt2.load(a.source)
    tokenizer_path = os.path.join(a.source, "tokenizer.json")
    tokenizer = Tokenizer.from_file(tokenizer_path)
    context = model.shape["context"]
    documents = itertools.islice(texts.documents(texts.expand(a.texts)), a.documents)
    examples = [torch.tensor(tokenizer.encode(d).ids[:context]) for d in documents]
    before = largest_inputs(model, examples)
    smooth(model, before, a.alpha)
    after = largest_inputs(model, examples)
    print(f"largest over median input: {before.max() / before.median():.1f} before, {after.max() / after.median():.1f} after")
    gpt2.save(model, a.target, tokenizer_path, gpt2.config(a.source).get("training"))


if __name__ == "__main__":
    main()
