"""Greedy text by `transformers.generate()` with its cache, as a competent user would call it: the peer of `highwater generate`.

Usage: python benches/peers/transformers_generate.py PROMPTS.jsonl --model DIR [--batch 16] [--new 48] [--dtype fp32|bf16] [--threads 2]
Takes JSONL with `prompt`, all of as many tokens (so that nothing is padded); end-of-text is put before each. Prints one line of JSON:
tokens (written), seconds (of generating, after loading and one warm-up batch), tok_per_s, cpu_s, load_s, texts (what was written).
"""
import argparse
import json
import os
import time


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file")
    parser.add_argument("--model", required=True)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--new", type=int, default=48)
    parser.add_argument("--dtype", choices=["fp32", "bf16"], default="fp32")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()

    began = time.perf_counter()
    import torch
    import transformers
    from gpt2_reference import EOT, load_model
    from tokenizers import Tokenizer

    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    torch.set_num_threads(args.threads)
    model = load_model(args.model, dtype={"fp32": "float32", "bf16": "bfloat16"}[args.dtype])
    tokenizer = Tokenizer.from_file(os.path.join(args.model, "tokenizer.json"))
    eot = tokenizer.token_to_id(EOT)
    with open(args.file, encoding="utf-8") as f:
        ids = torch.tensor([[eot, *tokenizer.encode(json.loads(line)["prompt"]).ids] for line in f])
    load_s = time.perf_counter() - began

    def generate(part, new):
        mask = torch.ones_like(part)
        with torch.inference_mode():
            out = model.generate(part, attention_mask=mask, max_new_tokens=new, do_sample=False, eos_token_id=None, pad_token_id=eot, use_cache=True)
        return out[:, part.shape[1] :]

    generate(ids[: args.batch], 4)
    began, cpu_began = time.perf_counter(), time.process_time()
    new = torch.cat([generate(part, args.new) for part in ids.split(args.batch)])
    seconds, cpu_s = time.perf_counter() - began, time.process_time() - cpu_began
    print(json.dumps({
        "tokens": new.numel(), "seconds": round(seconds, 3), "tok_per_s": round(new.numel() / seconds, 2), "cpu_s": round(cpu_s, 3),
        "load_s": round(load_s, 2), "torch": torch.__version__, "texts": [tokenizer.decode(row.tolist()) for row in new],
    }))


if __name__ == "__main__":
    main()
