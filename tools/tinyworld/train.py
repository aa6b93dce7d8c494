"""Reproduce the bundled model: corpus, tokenizer, training, and the record of how it went.

    python -m tools.tinyworld.train --out DIR

One thread and fixed seeds make a run repeatable; another machine or another torch may round
differently and end with slightly different weights.
"""

import argparse
import json
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random

import torch
from jaxtyping import Int
from transformers import LlamaConfig, LlamaForCausalLM

from tools.tinyworld import world
from tools.tinyworld.evaluation import (
    IGNORED,
    baseline_entropies,
    heldout_loss,
    known_facts,
    load,
    padded,
)
from tools.tinyworld.tokenization import (
    BOS_ID,
    EOS_ID,
    PAD_ID,
    encode,
    save_tokenizer,
    train_tokenizer,
)


@dataclass(frozen=True)
class Settings:
    """Everything that decides the outcome of a training run."""

    seed: int = 0
    """Seed of the corpus, the initial weights and the order of the texts."""
    texts: int = 12_000
    """Number of training texts."""
    heldout_texts: int = 200
    """Number of held-out texts for the loss and the entropies."""
    vocab_size: int = 2048
    d_model: int = 128
    layers: int = 6
    d_mlp: int = 512
    heads: int = 4
    kv_heads: int = 2
    context: int = 256
    batch: int = 4
    """Sequences per step."""
    steps: int = 6000
    warmup: int = 200
    """Steps of linear warm-up; a cosine to zero follows."""
    learning_rate: float = 4e-3
    weight_decay: float = 0.3
    """Decay of the linear layers' matrices; embeddings and gains do not decay."""


def build_model(settings: Settings) -> LlamaForCausalLM:
    """Initialise a Llama with tied embeddings; torch's global seed decides its weights."""
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=settings.vocab_size,
            hidden_size=settings.d_model,
            intermediate_size=settings.d_mlp,
            num_hidden_layers=settings.layers,
            num_attention_heads=settings.heads,
            num_key_value_heads=settings.kv_heads,
            max_position_embeddings=settings.context,
            hidden_act="silu",
            rms_norm_eps=1e-5,
            tie_word_embeddings=True,
            bos_token_id=BOS_ID,
            eos_token_id=EOS_ID,
            pad_token_id=PAD_ID,
        )
    )


def pack(documents: Sequence[Sequence[int]], length: int) -> list[list[int]]:
    """Put whole documents into rows of at most `length` tokens that each begin with BOS.

    A document goes into the first open row that has room. Only the latest rows stay open: that
    bounds the search, and in the end few positions are empty. A document longer than a row is cut.
    """
    done: list[list[int]] = []
    rows: list[list[int]] = []
    for document in (document[: length - 1] for document in documents):
        row = next((row for row in rows if len(row) + len(document) <= length), None)
        if row is None:
            row = [BOS_ID]
            rows.append(row)
            if len(rows) > 32:
                done.append(rows.pop(0))
        row.extend(document)
    return done + rows


def batches(
    documents: Sequence[Sequence[int]], settings: Settings
) -> Iterator[Int[torch.Tensor, "batch pos"]]:
    """Yield padded batches for ever, the documents packed in a new order every epoch.

    Empty positions hold `IGNORED`.
    """
    rng = Random(settings.seed)  # noqa: S311  -- an order, not a secret
    while True:
        rows = pack(rng.sample(documents, len(documents)), settings.context)
        rng.shuffle(rows)
        for first in range(0, len(rows) - settings.batch + 1, settings.batch):
            yield padded(rows[first : first + settings.batch], IGNORED)


def build_optimizer(model: LlamaForCausalLM, settings: Settings) -> torch.optim.AdamW:
    """Let only the matrices of linear layers decay."""
    linear = [m.weight for m in model.model.modules() if isinstance(m, torch.nn.Linear)]
    decaying = set(map(id, linear))
    rest = [p for p in model.parameters() if id(p) not in decaying]
    groups = [
        {"params": linear, "weight_decay": settings.weight_decay},
        {"params": rest, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=settings.learning_rate, betas=(0.9, 0.95))


def rate(step: int, settings: Settings) -> float:
    """Return the share of the learning rate that holds at a step."""
    if step < settings.warmup:
        return (step + 1) / settings.warmup
    progress = (step - settings.warmup) / (settings.steps - settings.warmup)
    return 0.5 * (1 + math.cos(math.pi * progress))


def fit(model: LlamaForCausalLM, documents: Sequence[Sequence[int]], settings: Settings) -> int:
    """Train the model in place and return the number of tokens it was trained to predict."""
    optimizer = build_optimizer(model, settings)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: rate(step, settings))
    stream = batches(documents, settings)
    seen, began = 0, time.monotonic()
    model.train()
    for step in range(settings.steps):
        labels = next(stream)
        tokens = labels.masked_fill(labels == IGNORED, PAD_ID)
        loss = model(input_ids=tokens, labels=labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        seen += int((labels[:, 1:] != IGNORED).sum())
        if step % 50 == 0 or step == settings.steps - 1:
            seconds = time.monotonic() - began
            print(f"step {step:5d}  loss {loss.item():.3f}  {seconds:5.0f} s", flush=True)
    return seen


def train(out: Path, settings: Settings) -> None:
    """Train, write a directory in hub format, and beside the weights record how they came about."""
    torch.set_num_threads(1)
    torch.manual_seed(settings.seed)
    texts = list(world.texts(settings.seed, settings.texts))
    tokenizer = train_tokenizer(texts, settings.vocab_size)
    documents = encode(tokenizer, texts)
    model = build_model(settings)
    seen = fit(model, documents, settings)
    out.mkdir(parents=True, exist_ok=True)
    model.bfloat16().save_pretrained(out)
    save_tokenizer(tokenizer, out, settings.context)
    record = {
        "settings": asdict(settings),
        "corpus": {
            "bytes": sum(len(text.encode()) for text in texts),
            "tokens": sum(map(len, documents)),
        },
        "trained_tokens": seen,
        "parameters": model.num_parameters(),
        **measure(out, documents, settings),
    }
    (out / "training.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def measure(
    directory: Path, documents: Sequence[Sequence[int]], settings: Settings
) -> dict[str, float]:
    """Evaluate a saved model; `documents` is the training corpus for the baselines' counts."""
    model, tokenizer = load(directory)
    texts = world.heldout(settings.heldout_texts)
    heldout = [[BOS_ID, *tokens] for tokens in encode(tokenizer, texts)]
    counted = [[BOS_ID, *tokens] for tokens in documents]
    entropies = baseline_entropies(counted, heldout, settings.vocab_size)
    known = known_facts(model, tokenizer, world.facts())
    return {
        "heldout_tokens": sum(len(tokens) - 1 for tokens in heldout),
        "heldout_loss": heldout_loss(model, heldout),
        "unigram_entropy": entropies.unigram,
        "bigram_entropy": entropies.bigram,
        "fact_accuracy": sum(known) / len(known),
    }


def _main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tools.tinyworld.train", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="directory to write")
    parser.add_argument("--seed", type=int, default=Settings.seed)
    parser.add_argument("--steps", type=int, default=Settings.steps)
    arguments = parser.parse_args()
    train(arguments.out, Settings(seed=arguments.seed, steps=arguments.steps))


if __name__ == "__main__":
    _main()
