"""GPT-2 by `transformers`, and random checkpoints to try it on: what the parity and benchmark scripts share.

Takes shapes, seeds and texts; gives Hugging Face directories, pseudo-English and per-token statistics.
Must not read the network, nor anything of Highwater: it is what Highwater is measured against.

The statistics (STATISTICS, section 1), over the sequence `<|endoftext|>` + ids:
  surprisal -ln q(x_t), nats; rank 1 + number of logits strictly greater; entropy, nats; variance of -ln q, nats squared.

The rule for text longer than the context of n positions, where seq = [eot] + ids:
  a window is n inputs (the last one as many as there are); the input at place i scores the token at place i + 1, so that the
  last token of seq is never an input. The first window starts at place 0. Each later one starts n // 2 places after the one
  before it, with the tokens of seq as they are (no new eot), and scores only what is not scored yet: the inputs from the end of
  the window before it onwards, each of which has at least n // 2 tokens to its left. It ends when every token is scored.
"""
import json
import os
from dataclasses import dataclass, field

import numpy as np

EOT = "<|endoftext|>"
TIE = 1e-4  # logits nearer than this may be ranked in either order


# ---- text ----

CONSONANTS = "b c d f g h j k l m n p r s t v w z ch sh th st tr pl br cl".split()
VOWELS = "a e i o u ea ou ai".split()
FREQUENT = (
    "the of and to a in that is was it for with as his on be at by had not are but from or have an they which one you were all her she "
    "there would their we him been has when who will no more if out so up said what its about than into them can only other time new "
    "some could these two may first then do any like my now over such our man me even most made after also did many off before must "
    "well back through years where much your way down should because long each just state people those too good little world still"
).split()
ENDINGS = ["", "", "", "n", "s", "t", "r", "ing", "ed", "ly", "er", "tion"]


class PseudoEnglish:
    """The frequent words of English and many invented ones, with Zipf frequencies, in sentences and paragraphs.

    A detector of languages should call it English, so that nothing is left unscored. Equal for equal seeds on every machine.
    """

    def __init__(self, seed, words=6000):
        self.rng = np.random.default_rng(seed)
        lexicon = np.random.default_rng(2024)  # one language for all seeds
        seen = {}
        while len(seen) < words - len(FREQUENT):
            stem = "".join(lexicon.choice(CONSONANTS) + lexicon.choice(VOWELS) for _ in range(lexicon.integers(1, 4)))
            seen.setdefault(stem + lexicon.choice(ENDINGS), None)
        self.words = FREQUENT + sorted(seen, key=len)
        weights = 1.0 / (np.arange(words) + 3.0)
        self.weights = weights / weights.sum()

    def sentence(self):
        """One sentence of 4 to 20 words."""
        picked = [self.words[i] for i in self.rng.choice(len(self.words), int(self.rng.integers(4, 21)), p=self.weights)]
        if len(picked) > 9:
            picked[len(picked) // 2] += ","
        return " ".join(picked).capitalize() + str(self.rng.choice([".", ".", ".", "!", "?"]))

    def text(self, words):
        """About that many words: whole sentences, a paragraph now and then, cut after the last word."""
        parts, count = [], 0
        while count < words:
            sentence = self.sentence()
            count += sentence.count(" ") + 1
            parts.append(sentence + ("\n\n" if self.rng.random() < 0.1 else " "))
        pieces = "".join(parts).split(" ")[:words]
        return " ".join(pieces).strip()


# ---- checkpoints ----


@dataclass
class Spec:
    """A random checkpoint. `width`, `layers`, `heads`, `context`, `vocabulary` are GPT-2's; the scales are standard deviations."""

    width: int = 16
    layers: int = 2
    heads: int = 2
    context: int = 64
    vocabulary: int = 0
    eot: int = 0
    seed: int = 1
    logit_std: float = 2.5
    dtype: str = "float32"  # of the stored tensors: float32, float16 or bfloat16
    prefix: str = "transformer."
    tied: bool = True
    config: dict = field(default_factory=dict)  # further keys of config.json
    old_buffers: bool = False  # `attn.bias` and `attn.masked_bias`, as old checkpoints hold them


def random_tensors(spec):
    """Name -> float32 array. Weights are scaled so that every block moves its input, and logits spread by about `logit_std` nats."""
    rng = np.random.default_rng(spec.seed)
    d, inner = spec.width, spec.config.get("n_inner") or 4 * spec.width

    def normal(std, *shape):
        return rng.standard_normal(shape, dtype=np.float32) * np.float32(std)

    def norm(gain=1.0):
        return np.float32(gain) * (1 + normal(0.1, d)), normal(0.1, d)

    embedding_std = spec.logit_std / np.sqrt(d)  # the last LayerNorm gives vectors of length sqrt(d)
    out = {"wte.weight": normal(embedding_std, spec.vocabulary, d), "wpe.weight": normal(0.3 * embedding_std, spec.context, d)}
    for layer in range(spec.layers):
        h = f"h.{layer}."
        out[h + "ln_1.weight"], out[h + "ln_1.bias"] = norm()
        out[h + "attn.c_attn.weight"] = normal(1.3 / np.sqrt(d), d, 3 * d)
        out[h + "attn.c_attn.bias"] = normal(0.2, 3 * d)
        out[h + "attn.c_proj.weight"] = normal(1.0 / np.sqrt(d), d, d)
        out[h + "attn.c_proj.bias"] = normal(0.1, d)
        out[h + "ln_2.weight"], out[h + "ln_2.bias"] = norm()
        out[h + "mlp.c_fc.weight"] = normal(1.2 / np.sqrt(d), d, inner)
        out[h + "mlp.c_fc.bias"] = normal(0.2, inner)
        out[h + "mlp.c_proj.weight"] = normal(1.5 / np.sqrt(inner), inner, d)
        out[h + "mlp.c_proj.bias"] = normal(0.1, d)
        if spec.old_buffers:
            out[h + "attn.bias"] = np.tril(np.ones((1, 1, spec.context, spec.context), dtype=np.float32 if layer else np.uint8))
            out[h + "attn.masked_bias"] = np.array(-1e4, dtype=np.float32)
    out["ln_f.weight"], out["ln_f.bias"] = norm()
    out = {spec.prefix + name: tensor for name, tensor in out.items()}
    if not spec.tied:
        out["lm_head.weight"] = normal(embedding_std, spec.vocabulary, d)
    return out


def write_checkpoint(folder, spec):
    """Writes `config.json` and `model.safetensors`; the caller writes the tokenizer."""
    import torch
    from safetensors.torch import save_file

    os.makedirs(folder, exist_ok=True)
    dtype = getattr(torch, spec.dtype)
    tensors = {}
    for name, array in random_tensors(spec).items():
        tensor = torch.from_numpy(np.asarray(array))
        tensors[name] = tensor.to(dtype) if tensor.is_floating_point() else tensor
    save_file(tensors, os.path.join(folder, "model.safetensors"), metadata={"format": "pt"})
    config = {
        "architectures": ["GPT2LMHeadModel"],
        "model_type": "gpt2",
        "activation_function": "gelu_new",
        "vocab_size": spec.vocabulary,
        "n_positions": spec.context,
        "n_ctx": spec.context,
        "n_embd": spec.width,
        "n_layer": spec.layers,
        "n_head": spec.heads,
        "layer_norm_epsilon": 1e-5,
        "bos_token_id": spec.eot,
        "eos_token_id": spec.eot,
        "tie_word_embeddings": spec.tied,
        "dtype": spec.dtype,
    } | spec.config
    with open(os.path.join(folder, "config.json"), "w", encoding="utf-8") as f:
        json.dump(config, f, indent=1)
        f.write("\n")


def byte_level_bpe(texts, merges):
    """A tokenizer as GPT-2's: 256 bytes, so many merges learned from the texts, then the end-of-text token."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(vocab_size=256 + merges, min_frequency=1, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    if tokenizer.get_vocab_size() != 256 + merges:
        raise ValueError(f"the texts allow {tokenizer.get_vocab_size() - 256} merges, {merges} expected: give more text")
    tokenizer.add_special_tokens([AddedToken(EOT, special=True, normalized=False)])
    return tokenizer


# ---- scoring ----


def load_model(folder, dtype="float32", attention="sdpa"):
    """The model of `transformers`, ready to score. Fails where a tensor of the model is not in the file."""
    import torch
    from transformers import AutoModelForCausalLM

    model, info = AutoModelForCausalLM.from_pretrained(
        folder, dtype=getattr(torch, dtype), attn_implementation=attention, output_loading_info=True
    )
    lacking = [name for name in info["missing_keys"] if not (name == "lm_head.weight" and model.config.tie_word_embeddings)]
    if lacking or info["mismatched_keys"]:
        raise ValueError(f"{folder}: tensors missing {lacking}, of another shape {info['mismatched_keys']}")
    return model.eval()


def windows(length, context):
    """(start, end, first) of each window over `length` inputs: inputs start..end, of which first..end score the token after them."""
    start, scored = 0, 0
    while scored < length:
        end = min(start + context, length)
        yield start, end, scored
        start, scored = start + context // 2, end


def exact_statistics(model, ids, eot):
    """Per-token statistics of one text, float64 from the model's float32 logits. A dict of arrays of len(ids):

    surprisal, rank, entropy, variance, and rank_low, rank_high: the ranks that logits moved by TIE may give.
    """
    import torch

    names = ("surprisal", "rank", "entropy", "variance", "rank_low", "rank_high")
    out = {name: [] for name in names}
    seq = torch.tensor([eot, *ids])
    with torch.inference_mode():
        for start, end, first in windows(len(ids), model.config.n_positions):
            rows = model(seq[None, start:end]).logits[0, first - start :]
            for logits, targets in zip(rows.split(128), seq[first + 1 : end + 1].split(128)):  # float64 of all rows would take GBs
                own = logits.gather(1, targets[:, None])
                log_q = torch.log_softmax(logits.double(), dim=-1)
                q = log_q.exp()
                entropy = -(q * log_q).sum(-1)
                out["surprisal"].append(-log_q.gather(1, targets[:, None])[:, 0])
                out["rank"].append(1 + (logits > own).sum(-1))
                out["entropy"].append(entropy)
                out["variance"].append((q * (log_q + entropy[:, None]) ** 2).sum(-1))
                out["rank_low"].append(1 + (logits > own + TIE).sum(-1))
                out["rank_high"].append((logits > own - TIE).sum(-1))  # counts the token itself
    return {name: torch.cat(parts).numpy() if parts else np.zeros(0) for name, parts in out.items()}
