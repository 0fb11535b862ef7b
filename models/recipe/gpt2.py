"""GPT-2 exactly, small and readable: learned positions, pre-LayerNorm, tanh GELU, tied head. Hugging Face files in and out.

Shapes: B texts, T positions, C width, V vocabulary. The trunk can be left and entered between layers, so that branches share it.
Also here: Muon, the optimizer of the matrices.
"""
import json
import math
import os
import shutil

import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

PARTS = (("ln_1", "ln_1"), ("attn.c_attn", "c_attn"), ("attn.c_proj", "c_proj"), ("ln_2", "ln_2"), ("mlp.c_fc", "c_fc"), ("mlp.c_proj", "c_out"))


class Block(nn.Module):
    def __init__(self, width, heads, layers):
        super().__init__()
        self.heads = heads
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.c_attn, self.c_proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.c_fc, self.c_out = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        deep = 0.02 / math.sqrt(2 * layers)
        for m, std in ((self.c_attn, 0.02), (self.c_fc, 0.02), (self.c_proj, deep), (self.c_out, deep)):
            nn.init.normal_(m.weight, std=std)
            nn.init.zeros_(m.bias)

    def forward(self, x):
        """(B,T,C) -> (B,T,C)"""
        B, T, C = x.shape
        q, k, v = (z.view(B, T, self.heads, C // self.heads).transpose(1, 2) for z in self.c_attn(self.ln_1(x)).split(C, dim=2))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.c_proj(y.transpose(1, 2).reshape(B, T, C))
        return x + self.c_out(F.gelu(self.c_fc(self.ln_2(x)), approximate="tanh"))


class GPT2(nn.Module):
    def __init__(self, vocabulary, context, width, layers, heads):
        super().__init__()
        self.shape = dict(vocabulary=vocabulary, context=context, width=width, layers=layers, heads=heads)
        self.wte, self.wpe = nn.Embedding(vocabulary, width), nn.Embedding(context, width)
        nn.init.normal_(self.wte.weight, std=0.02)
        nn.init.normal_(self.wpe.weight, std=0.01)
        self.h = nn.ModuleList(Block(width, heads, layers) for _ in range(layers))
        self.ln_f = nn.LayerNorm(width)

    def lower(self, ids, layers):
        """(B,T) ids -> (B,T,C): the embedding and the first `layers` layers."""
        x = self.wte(ids) + self.wpe(torch.arange(ids.shape[1], device=ids.device))
        for block in self.h[:layers]:
            x = block(x)
        return x

    def logits(self, x):
        return F.linear(self.ln_f(x), self.wte.weight)

    def forward(self, ids, targets):
        """(B,T), (B,T) -> surprisal of each target (B,T), nats."""
        return surprisal(self.logits(self.lower(ids, len(self.h))), targets)


def surprisal(logits, targets):
    """(B,T,V), (B,T) -> (B,T), nats."""
    return F.cross_entropy(logits.float().flatten(0, 1), targets.flatten(), reduction="none").view(targets.shape)


def block_tensors(block, name):
    """A layer's tensors under their Hugging Face names; matrices as (in, out)."""
    out = {}
    for theirs, ours in PARTS:
        module = getattr(block, ours)
        out[f"{name}.{theirs}.weight"] = module.weight.T if isinstance(module, nn.Linear) else module.weight
        out[f"{name}.{theirs}.bias"] = module.bias
    return out


def model_tensors(model):
    """All tensors of a model under their Hugging Face names."""
    out = {"wte.weight": model.wte.weight, "wpe.weight": model.wpe.weight}
    for i, block in enumerate(model.h):
        out |= block_tensors(block, f"h.{i}")
    out |= {"ln_f.weight": model.ln_f.weight, "ln_f.bias": model.ln_f.bias}
    return {f"transformer.{name}": tensor for name, tensor in out.items()}


def write_tensors(tensors, path, dtype=torch.float32, metadata=None):
    """Writes a safetensors file, in `dtype` or, with None, as the tensors are; no half file ever has the final name."""
    tensors = {k: v.detach().to("cpu", dtype or v.dtype).contiguous().clone() for k, v in tensors.items()}
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    save_file(tensors, path + ".part", metadata={"format": "pt", **(metadata or {})})
    os.replace(path + ".part", path)


def read_tensors(path):
    """A safetensors file as fp32 tensors without the `transformer.` prefix, and its metadata. I8 tensors are multiplied by their `.scale`."""
    with safe_open(path, "pt") as f:
        raw = {k: f.get_tensor(k) for k in f.keys()}
        metadata = f.metadata() or {}
    out = {}
    for name, tensor in raw.items():
        if not name.endswith(".scale"):
            value = tensor.float()
            out[name.removeprefix("transformer.")] = value * raw[name + ".scale"] if tensor.dtype == torch.int8 else value
    return out, metadata


def save(model, directory, tokenizer, note):
    """A Hugging Face GPT-2 directory in fp32; `tokenizer` is the path of tokenizer.json, `note` goes into config.json as `training`."""
    s = model.shape
    write_tensors(model_tensors(model), os.path.join(directory, "model.safetensors"))
    config = dict(architectures=["GPT2LMHeadModel"], model_type="gpt2", activation_function="gelu_new", vocab_size=s["vocabulary"],
                  n_positions=s["context"], n_ctx=s["context"], n_embd=s["width"], n_layer=s["layers"], n_head=s["heads"],
                  layer_norm_epsilon=1e-5, bos_token_id=0, eos_token_id=0, tie_word_embeddings=True, training=note)
    with open(os.path.join(directory, "config.json"), "w") as f:
        json.dump(config, f, indent=1)
    target = os.path.join(directory, "tokenizer.json")
    if not os.path.exists(target) or not os.path.samefile(tokenizer, target):
        shutil.copy(tokenizer, target)


def config(directory):
    with open(os.path.join(directory, "config.json")) as f:
        return json.load(f)


def load(directory, device="cpu"):
    """A GPT-2 directory (fp32, fp16, bf16 or packed) to a model. Refuses what this code does not compute, rather than compute it wrongly."""
    c = config(directory)
    usual = dict(model_type="gpt2", activation_function="gelu_new", layer_norm_epsilon=1e-5, tie_word_embeddings=True, n_inner=None,
                 scale_attn_weights=True, scale_attn_by_inverse_layer_idx=False)
    for key, value in usual.items():
        if c.get(key, value) != value and (key, c[key]) != ("n_inner", 4 * c["n_embd"]):
            raise SystemExit(f"{directory}/config.json: `{key}` is {c[key]!r}, expected {value!r}")
    model = GPT2(c["vocab_size"], c["n_positions"], c["n_embd"], c["n_layer"], c["n_head"])
    found, _ = read_tensors(os.path.join(directory, "model.safetensors"))
    fill({name.removeprefix("transformer."): p for name, p in model_tensors(model).items()}, found, directory)
    return model.to(device)


def fill(parameters, found, place):
    """Copies `found` into `parameters`, all of which must be there."""
    with torch.no_grad():
        for name, parameter in parameters.items():
            if name not in found or found[name].shape != parameter.shape:
                shape = tuple(found[name].shape) if name in found else "none"
                raise SystemExit(f"{place}: tensor `{name}` has shape {shape}, expected {tuple(parameter.shape)}")
            parameter.copy_(found[name])


def orthogonalise(G, steps=5):
    """Newton-Schulz iteration (Jordan et al. 2024) on a stack of matrices (N, rows, columns)."""
    X = G.bfloat16() if G.is_cuda else G
    X = X / (X.norm(dim=(1, 2), keepdim=True) + 1e-7)
    flip = G.shape[1] > G.shape[2]
    X = X.mT if flip else X
    for _ in range(steps):
        A = X @ X.mT
        X = 3.4445 * X + (-4.7750 * A + 2.0315 * A @ A) @ X
    return (X.mT if flip else X).to(G.dtype)


class Muon(torch.optim.Optimizer):
    """Momentum whose matrix updates are orthogonalised; matrices of one shape are done together."""

    def __init__(self, params, lr, momentum=0.95, decay=0.01):
        super().__init__(params, dict(lr=lr, momentum=momentum, decay=decay))

    @torch.no_grad()
    def step(self):
        for g in self.param_groups:
            shapes = {}
            for p in g["params"]:
                shapes.setdefault(p.shape, []).append(p)
            for shape, ps in shapes.items():
                for p in ps:
                    self.state[p].setdefault("m", torch.zeros_like(p)).lerp_(p.grad, 1 - g["momentum"])
                ahead = torch.stack([p.grad.lerp(self.state[p]["m"], g["momentum"]) for p in ps])
                for p, update in zip(ps, orthogonalise(ahead)):
                    p.mul_(1 - g["lr"] * g["decay"])
                    p.add_(update, alpha=-g["lr"] * max(1, shape[0] / shape[1]) ** 0.5)
