"""Makes a model small on disk: whole numbers of 8 bits with scales, or fp16. `highwater` and this recipe read both.

  python pack.py base packed --type int8

int8: a matrix or embedding `NAME` is stored as I8, with `NAME.scale` (F32) that it is multiplied by, element by element after
broadcasting: (rows, 1), one scale a row, for the embeddings; (1, columns), one scale an output, for the layers' matrices, whose rows
are inputs. Vectors stay fp16. Also packs branches.safetensors where there is one, and prints the sizes.
"""
import argparse
import os
import shutil

import torch
from safetensors import safe_open

import gpt2


def int8(name, tensor):
    """A tensor in its packed form, under its names."""
    if tensor.ndim != 2:
        return {name: tensor.half()}
    embedding = name.endswith(("wte.weight", "wpe.weight"))
    largest = tensor.abs().amax(dim=1 if embedding else 0, keepdim=True)
    scale = torch.where(largest > 1e-30, largest / 127, torch.ones_like(largest))
    return {name: (tensor / scale).round().clamp(-127, 127).to(torch.int8), f"{name}.scale": scale.float()}


def pack(source, target, kind):
    """Packs one safetensors file, metadata kept; gives its size in bytes."""
    with safe_open(source, "pt") as f:
        metadata = f.metadata() or {}
        prefix = "transformer." if any(k.startswith("transformer.") for k in f.keys()) else ""
    tensors, _ = gpt2.read_tensors(source)
    out = {}
    for name, tensor in tensors.items():
        out |= int8(prefix + name, tensor) if kind == "int8" else {prefix + name: tensor.half()}
    gpt2.write_tensors(out, target, None, metadata)
    return os.path.getsize(target)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("source")
    p.add_argument("target")
    p.add_argument("--type", choices=("int8", "fp16"), default="int8")
    p.add_argument("--max-mb", type=float, default=36, help="largest model.safetensors, MB")
    a = p.parse_args()
    os.makedirs(a.target, exist_ok=True)
    for name in ("config.json", "tokenizer.json"):
        shutil.copy(os.path.join(a.source, name), os.path.join(a.target, name))
    for name in ("model.safetensors", "branches.safetensors"):
        source, target = os.path.join(a.source, name), os.path.join(a.target, name)
        if os.path.exists(source):
            size = pack(source, target, a.type)
            print(f"{target}: {size / 1e6:.2f} MB", flush=True)
            if name == "model.safetensors" and size > a.max_mb * 1e6:
                raise SystemExit(f"{target} is larger than {a.max_mb} MB")


if __name__ == "__main__":
    main()
