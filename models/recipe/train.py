"""Trains a GPT-2 from prepared pieces and writes it as a Hugging Face directory. Ends on time.

  python train.py --data data --out base --minutes 18 --device cuda --compile

Muon for the layers' matrices, AdamW for the rest; the learning rate is a trapezoid over the minutes. The best model by bits per
byte on data/val-*.bin is kept in --out; a whole state is written beside it now and then, and a run that was stopped goes on from it,
its minutes counted in. Pieces that arrive while it runs are taken in at the next validation.
"""
import argparse
import json
import math
import os
import time

import numpy as np
import torch

import gpt2


class Tokens:
    """Pieces of one kind that are wholly there, in order, on the device (int32: smaller types are not indexed everywhere)."""

    def __init__(self, folder, kind, device):
        self.folder, self.kind, self.device = folder, kind, device
        self.loaded, self.data, self.text_bytes = set(), torch.empty(0, dtype=torch.int32, device=device), 0
        self.arrive()

    def arrive(self):
        """Takes in what has come since."""
        with open(os.path.join(self.folder, "index.json")) as f:
            pieces = json.load(f)[self.kind]
        for piece in pieces:
            path = os.path.join(self.folder, piece["file"])
            if piece["file"] not in self.loaded and os.path.exists(path) and os.path.getsize(path) == 2 * piece["tokens"]:
                new = torch.from_numpy(np.fromfile(path, dtype=np.uint16).astype(np.int32)).to(self.device)
                self.data = torch.cat([self.data, new])
                self.text_bytes += piece["text_bytes"]
                self.loaded.add(piece["file"])
                print(f"{self.kind}: {len(self.loaded)} of {len(pieces)} pieces, {len(self.data) / 1e6:.1f}M tokens", flush=True)


class Trainer:
    def __init__(self, a):
        self.a = a
        self.clock = time.process_time if a.clock == "cpu" else time.monotonic
        torch.manual_seed(a.seed)
        torch.set_float32_matmul_precision("high")
        if a.threads:
            torch.set_num_threads(a.threads)
        self.train, self.val = (Tokens(a.data, kind, a.device) for kind in ("train", "val"))
        if len(self.train.data) <= a.context + 1 or len(self.val.data) <= a.context + 1:
            raise SystemExit(f"{a.data}: no piece holds more than {a.context + 1} tokens")
        with open(os.path.join(a.data, "index.json")) as f:
            vocabulary = json.load(f)["vocabulary"]
        self.model = (gpt2.load(a.init) if a.init else gpt2.GPT2(vocabulary, a.context, a.width, a.layers, a.heads)).to(a.device)
        self.before = dict(init=gpt2.config(a.init).get("training")) if a.init else {}
        shape = self.model.shape
        if (shape["vocabulary"], shape["context"]) != (vocabulary, a.context):
            raise SystemExit(f"{a.init}: {shape['vocabulary']} tokens and {shape['context']} positions, expected {vocabulary} and {a.context}")
        matrices = [p for p in self.model.h.parameters() if p.ndim == 2]
        rest = [p for n, p in self.model.named_parameters() if not (n.startswith("h.") and p.ndim == 2)]
        fused = a.device != "cpu"
        self.optimizers = [(gpt2.Muon(matrices, lr=a.lr_muon), a.lr_muon),
                           (torch.optim.AdamW(rest, lr=a.lr, betas=(0.9, 0.95), weight_decay=0.0, fused=fused), a.lr)]
        self.step, self.tokens, self.spent, self.best = 0, 0, 0.0, math.inf
        self.window = torch.arange(a.context + 1, device=a.device)
        self.state_path = os.path.join(a.out, "state.pt")
        self.resume()
        if a.compile:  # a layer at a time: they share one compiled graph, which is there in seconds
            for block in self.model.h:
                block.compile()
            gpt2.surprisal = torch.compile(gpt2.surprisal)
        self.begun = self.clock() - self.spent
        count = sum(p.numel() for p in self.model.parameters())
        print(f"{count / 1e6:.2f}M parameters, from step {self.step}, {self.spent / 60:.1f} minutes spent", flush=True)

    def resume(self):
        if os.path.exists(self.state_path):
            state = torch.load(self.state_path, map_location=self.a.device, weights_only=True)
            self.model.load_state_dict(state["model"])
            for (optimizer, _), s in zip(self.optimizers, state["optimizers"]):
                optimizer.load_state_dict(s)
            self.step, self.tokens, self.spent, self.best = (state[k] for k in ("step", "tokens", "spent", "best"))

    def keep_state(self):
        state = dict(model=self.model.state_dict(), optimizers=[o.state_dict() for o, _ in self.optimizers], step=self.step,
                     tokens=self.tokens, spent=self.clock() - self.begun, best=self.best)
        os.makedirs(self.a.out, exist_ok=True)
        torch.save(state, self.state_path + ".part")
        os.replace(self.state_path + ".part", self.state_path)

    def autocast(self):
        return torch.autocast(self.a.device.split(":")[0], dtype=torch.bfloat16, enabled=self.a.bf16)

    def windows(self, tokens, starts):
        x = tokens.data[starts[:, None] + self.window].long()
        return x[:, :-1], x[:, 1:]

    def batch(self, number):
        """Windows at random places; the number of the batch is the seed, so that a run that goes on sees what it would have seen."""
        generator = torch.Generator().manual_seed(self.a.seed * 1_000_003 + number)
        starts = torch.randint(len(self.train.data) - self.a.context - 1, (self.a.batch,), generator=generator)
        return self.windows(self.train, starts.to(self.a.device))

    @torch.no_grad()
    def validate(self):
        """Nats per token and bits per byte, over consecutive windows of the held-out text."""
        starts = torch.arange(0, len(self.val.data) - self.a.context - 1, self.a.context, device=self.a.device)
        starts = starts[:: max(1, len(starts) * self.a.context // self.a.val_tokens)]
        nats = 0.0
        for part in starts.split(self.a.batch):
            with self.autocast(), torch.compiler.set_stance("force_eager"):
                nats += self.model(*self.windows(self.val, part)).double().sum().item()
        nats /= len(starts) * self.a.context
        return nats, nats * len(self.val.data) / self.val.text_bytes / math.log(2)

    def learn(self):
        a, share = self.a, (self.clock() - self.begun) / 60 / self.a.minutes
        rate = min(1.0, (self.step + 1) / a.warmup) * min(1.0, max(0.0, 1 - share) / a.cooldown)
        for optimizer, base in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = base * max(rate, 0.01)
        for i in range(a.accumulate):
            with self.autocast():
                loss = self.model(*self.batch(self.step * a.accumulate + i)).mean()
            (loss / a.accumulate).backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for optimizer, _ in self.optimizers:
            optimizer.step()
        self.model.zero_grad(set_to_none=True)
        self.step += 1
        self.tokens += a.batch * a.context * a.accumulate
        return loss

    def report(self, loss):
        a, minutes = self.a, (self.clock() - self.begun) / 60
        nats, bits = self.validate()
        rate = self.tokens / (60 * max(minutes, 1e-9))
        print(f"step {self.step} {self.tokens / 1e6:.1f}M tokens {minutes:.1f} min train {loss.item():.3f} val {nats:.3f} bits/byte {bits:.4f} {rate:.0f} tok/s", flush=True)
        if bits < self.best:
            self.best = bits
            note = dict(steps=self.step, tokens=self.tokens, minutes=round(minutes, 1), val_nats_per_token=nats, val_bits_per_byte=bits, seed=a.seed, **self.before)
            gpt2.save(self.model, a.out, os.path.join(a.data, "tokenizer.json"), note)

    def to_the_end(self):
        """Trains until the minutes are over; validates `checks` times on the way, more often towards the end, and at the end."""
        a = self.a
        last = kept = self.clock()
        loss = None
        while (now := self.clock()) - self.begun < a.minutes * 60:
            loss = self.learn()
            if now - last > a.minutes * 60 / a.checks:
                self.report(loss)
                self.train.arrive()
                last = self.clock()
            if now - kept > a.keep_minutes * 60:
                self.keep_state()
                kept = self.clock()
        if loss is not None:
            self.report(loss)
            self.keep_state()
        print(f"done: step {self.step}, best bits/byte {self.best:.4f}", flush=True)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--data", required=True)
    p.add_argument("--out", required=True)
    p.add_argument("--init", help="a GPT-2 directory to go on from, with the tokenizer of --data; its shape counts, not --width, --layers, --heads")
    for name, default in (("width", 512), ("layers", 8), ("heads", 8), ("context", 1024), ("batch", 64), ("accumulate", 1), ("warmup", 200)):
        p.add_argument(f"--{name}", type=int, default=default)
    p.add_argument("--minutes", type=float, default=18, help="time from start to end")
    p.add_argument("--clock", choices=["wall", "cpu"], default="wall", help="cpu: minutes of processor time, for a run that gives way to others")
    p.add_argument("--cooldown", type=float, default=0.45, help="last share of the time over which the learning rate falls to 1%%")
    p.add_argument("--lr", type=float, default=3e-3)
    p.add_argument("--lr-muon", type=float, default=0.02)
    p.add_argument("--checks", type=int, default=12, help="validations on the way")
    p.add_argument("--val-tokens", type=int, default=500_000, help="held-out tokens of a validation")
    p.add_argument("--keep-minutes", type=float, default=5, help="minutes between two whole states on disk")
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--threads", type=int, default=0)
    p.add_argument("--device", default="cpu")
    p.add_argument("--bf16", action="store_true")
    p.add_argument("--compile", action="store_true")
    Trainer(p.parse_args()).to_the_end()


if __name__ == "__main__":
    main()
