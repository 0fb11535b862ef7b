"""Surprisal, rank, entropy and variance of every token by `transformers` + torch, as a competent user would compute them: the peer.

Usage: python benches/peers/transformers_score.py FILE.jsonl --model DIR [--dtype fp32|bf16] [--threads 2] [--batch 8] [--chunk 256]
Takes JSONL with `text`; prints one line of JSON: tokens, documents, seconds (tokenising and scoring, after loading and one warm-up
batch), cpu_s (of all threads), tok_per_s, load_s, peak_rss_mb, padding (share of the model's positions), and means of the statistics to check against.
What makes it quick: sdpa attention without a mask (right padding cannot be seen by what stands before it), texts sorted by length,
the head on real tokens only and by chunks of rows, in-place arithmetic on the logits. Must run alone in its process.
"""
import argparse
import json
import os
import resource
import sys
import time


def read_texts(path):
    with open(path, encoding="utf-8") as f:
        return [json.loads(line)["text"] for line in f if line.strip()]


def batches(segments, size):
    """Segments (text, start, end, first), longest first, in groups of that many."""
    ordered = sorted(segments, key=lambda s: s[1] - s[2])
    return [ordered[i : i + size] for i in range(0, len(ordered), size)]


def head_statistics(head, hidden, targets):
    """surprisal, rank, entropy, variance of each row [N, 4]; `hidden` is [N, width]."""
    import torch

    logits = torch.nn.functional.linear(hidden, head).float()  # [N, V]
    own = logits.gather(1, targets[:, None])
    rank = 1 + (logits > own).sum(1)
    log_z = torch.logsumexp(logits, 1, keepdim=True)
    log_q = logits.sub_(log_z)
    q = log_q.exp()
    entropy = -torch.linalg.vecdot(q, log_q)
    second = torch.linalg.vecdot(q.mul_(log_q), log_q)
    surprisal = (log_z - own)[:, 0]
    return torch.stack([surprisal, rank.float(), entropy, second - entropy**2], 1)


def peak_rss_mb():
    """Largest resident set of this process so far; Linux counts in KiB, macOS in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak // 1024 if sys.platform == "linux" else peak // 1024**2


class Peer:
    """A loaded model and tokenizer."""

    def __init__(self, folder, dtype, batch, chunk):
        from gpt2_reference import EOT, load_model
        from tokenizers import Tokenizer

        self.model = load_model(folder, dtype={"fp32": "float32", "bf16": "bfloat16"}[dtype])
        self.tokenizer = Tokenizer.from_file(os.path.join(folder, "tokenizer.json"))
        self.eot = self.tokenizer.token_to_id(EOT)
        self.batch, self.chunk = batch, chunk
        self.positions = 0

    def score(self, texts):
        """One [tokens, 4] tensor per text, in order."""
        import torch
        from gpt2_reference import windows

        seqs = [[self.eot, *e.ids] for e in self.tokenizer.encode_batch_fast(texts)]
        out = [torch.zeros(len(seq) - 1, 4) for seq in seqs]
        context = self.model.config.n_positions
        segments = [(i, *w) for i, seq in enumerate(seqs) for w in windows(len(seq) - 1, context)]
        with torch.inference_mode():
            for group in batches(segments, self.batch):
                longest = max(end - start for _, start, end, _ in group)
                ids = torch.full((len(group), longest), self.eot)
                for row, (i, start, end, _) in enumerate(group):
                    ids[row, : end - start] = torch.tensor(seqs[i][start:end])
                self.positions += ids.numel()
                hidden = self.model.transformer(ids, use_cache=False).last_hidden_state
                rows = torch.cat([hidden[row, first - start : end - start] for row, (_, start, end, first) in enumerate(group)])
                targets = torch.cat([torch.tensor(seqs[i][first + 1 : end + 1]) for i, _, end, first in group])
                head = self.model.lm_head.weight
                found = [head_statistics(head, h, t) for h, t in zip(rows.split(self.chunk), targets.split(self.chunk))]
                sizes = [end - first for _, _, end, first in group]
                for (i, _, end, first), part in zip(group, torch.cat(found).split(sizes)):
                    out[i][first:end] = part
        return out


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file")
    parser.add_argument("--model", required=True)
    parser.add_argument("--dtype", choices=["fp32", "bf16"], default="fp32")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--chunk", type=int, default=256, help="rows of logits at a time")
    args = parser.parse_args()

    began = time.perf_counter()
    import torch
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    torch.set_num_threads(args.threads)
    peer = Peer(args.model, args.dtype, args.batch, args.chunk)
    load_s = time.perf_counter() - began

    texts = read_texts(args.file)
    peer.score(texts[: args.batch])
    peer.positions = 0
    began, cpu_began = time.perf_counter(), time.process_time()
    scored = peer.score(texts)
    seconds, cpu_s = time.perf_counter() - began, time.process_time() - cpu_began

    tokens = torch.cat(scored)
    mean = tokens.double().mean(0).tolist()
    print(json.dumps({
        "tokens": len(tokens), "documents": len(texts), "seconds": round(seconds, 3), "cpu_s": round(cpu_s, 3), "tok_per_s": round(len(tokens) / seconds, 1),
        "load_s": round(load_s, 2), "peak_rss_mb": peak_rss_mb(),
        "padding": round(1 - len(tokens) / max(peer.positions, 1), 3), "dtype": args.dtype, "threads": args.threads, "torch": torch.__version__,
        "mean_surprisal_nats": round(mean[0], 5), "mean_rank": round(mean[1], 2), "mean_entropy_nats": round(mean[2], 5), "mean_variance": round(mean[3], 5),
    }))


if __name__ == "__main__":
    main()
