"""How well the bundled model has learned: its loss, two baselines that only count, its facts."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from tokenizers import Tokenizer
from transformers import LlamaForCausalLM

from ingest.bundled.tinyworld import Fact

IGNORED = -100
"""The label of positions that do not count, as torch's cross entropy has it."""

_BATCH = 32


class Entropies(NamedTuple):
    """Cross entropies of held-out tokens under counts of the training corpus, nats per token."""

    unigram: float
    bigram: float


def load(directory: Path) -> tuple[LlamaForCausalLM, Tokenizer]:
    """Load a saved model, its bfloat16 weights computing in float32, and its tokenizer."""
    model = LlamaForCausalLM.from_pretrained(directory, dtype=torch.float32)
    return model, Tokenizer.from_file(str(directory / "tokenizer.json"))


def padded(rows: Sequence[Sequence[int]], filler: int) -> Int[torch.Tensor, "rows width"]:
    """Stack rows of unequal length, filled up on the right."""
    width = max(map(len, rows))
    return torch.tensor([[*row, *[filler] * (width - len(row))] for row in rows])


@torch.inference_mode()
def heldout_loss(model: LlamaForCausalLM, documents: Sequence[Sequence[int]]) -> float:
    """Mean loss in nats per token over documents that each begin with BOS, which is not predicted.

    Every other token counts once, the closing EOS included; documents are not joined.
    """
    total, count = 0.0, 0
    by_length = sorted(documents, key=len)
    for start in range(0, len(by_length), _BATCH):
        batch = by_length[start : start + _BATCH]
        # Any filler will do: causal attention never looks to the right.
        logits = model(input_ids=padded(batch, 0)).logits[:, :-1]
        targets = padded(batch, IGNORED)[:, 1:]
        total += torch.nn.functional.cross_entropy(
            logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORED, reduction="sum"
        ).item()
        count += int((targets != IGNORED).sum())
    return total / count


def baseline_entropies(
    train: Sequence[Sequence[int]], heldout: Sequence[Sequence[int]], vocab_size: int
) -> Entropies:
    """Measure what counting one or two tokens achieves; documents begin with BOS.

    Unigram: p(b) = (c(b) + 1) / (n + V), from the counts c and the number n of predicted training
    tokens. Bigram: p(b | a) = (c(ab) + m p(b)) / (c(a) + m), interpolated with the unigram; m is
    the best power of two on the held-out text itself, so that the baseline is as strong as such
    counting gets. Both are the mean of -ln p over the same tokens as `heldout_loss`.
    """
    counts = _pair_counts(train, vocab_size)
    seen = _pair_counts(heldout, vocab_size)
    unigram = (counts.sum(0) + 1) / (counts.sum() + vocab_size)
    context = counts.sum(1, keepdims=True)
    mixtures = ((counts + m * unigram) / (context + m) for m in 2.0 ** np.arange(-4, 9))
    bigram = min(float(-(seen * np.log(mixture)).sum() / seen.sum()) for mixture in mixtures)
    return Entropies(float(-(seen.sum(0) * np.log(unigram)).sum() / seen.sum()), bigram)


def _pair_counts(
    documents: Sequence[Sequence[int]], vocab_size: int
) -> Float[np.ndarray, "first second"]:
    pairs = np.concatenate(
        [np.array(tokens[:-1]) * vocab_size + np.array(tokens[1:]) for tokens in documents]
    )
    counts = np.bincount(pairs, minlength=vocab_size**2).reshape(vocab_size, vocab_size)
    return counts.astype(np.float64)


@torch.inference_mode()
def known_facts(model: LlamaForCausalLM, tokenizer: Tokenizer, facts: Sequence[Fact]) -> list[bool]:
    """Say of each fact whether the model completes its prompt.

    It does when every token of the answer has the largest logit, given BOS, the prompt and the
    answer's earlier tokens.
    """
    prompts = tokenizer.encode_batch([fact.prompt for fact in facts])
    answers = tokenizer.encode_batch(
        [f" {fact.answer}" for fact in facts], add_special_tokens=False
    )
    rows = [prompt.ids + answer.ids for prompt, answer in zip(prompts, answers, strict=True)]
    predicted = model(input_ids=padded(rows, 0)).logits.argmax(-1)
    return [
        predicted[i, len(row) - len(answer.ids) - 1 : len(row) - 1].tolist() == answer.ids
        for i, (row, answer) in enumerate(zip(rows, answers, strict=True))
    ]
