"""Four seeds of a tiny language model of the little world, and the checkpoints of one of them.

A seed decides the initial weights and the order of the texts; tokenizer, corpus and shape are the
same for all, as they were for the five GPT-2 of universal-neurons (§4.1). Training takes seconds a
seed, once a session of tests, when a test first asks for that seed.
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Final

import torch
from tokenizers import Tokenizer
from transformers import LlamaForCausalLM

from tests.support.once import once_a_session
from tools.tinyworld import world
from tools.tinyworld.evaluation import IGNORED
from tools.tinyworld.tokenization import PAD_ID, encode, save_tokenizer, train_tokenizer
from tools.tinyworld.train import Settings, batches, build_model, build_optimizer, rate

SEEDS: Final = (0, 1, 2, 3)
"""Every seed that `tiny_seed` knows."""
CHECKPOINT_STEPS: Final = (0, 25, 50, 100, 200)
"""Steps of the first seed after which its weights were kept; the model before training is 0."""
SETTINGS: Final = Settings(
    texts=1_500,
    vocab_size=512,
    d_model=64,
    layers=3,
    d_mlp=96,
    heads=4,
    kv_heads=2,
    context=128,
    batch=8,
    steps=240,
    warmup=30,
    learning_rate=6e-3,
    weight_decay=0.1,
)
"""What the seeds share. The last step's weights are `tiny_seed`'s."""


def tiny_seed(seed: int) -> Path:
    """Return the directory of a trained seed, in hub format with its tokenizer."""
    return _trained(seed) / f"step-{SETTINGS.steps}"


def tiny_checkpoints() -> dict[int, Path]:
    """Return the checkpoints of seed 0 by their step, the first and the last included."""
    directory = _trained(SEEDS[0])
    return {step: directory / f"step-{step}" for step in (*CHECKPOINT_STEPS, SETTINGS.steps)}


def tiny_texts(n: int) -> Iterator[str]:
    """Yield `n` texts of the little world that no seed was trained on."""
    return world.heldout(n)


@cache
def _trained(seed: int) -> Path:
    if seed not in SEEDS:
        raise ValueError(f"no seed {seed}: there are {SEEDS}")
    with once_a_session(f"tiny-seed-{seed}") as (directory, is_first):
        if is_first:
            _train(directory, replace(SETTINGS, seed=seed))
    return directory


def _train(directory: Path, settings: Settings) -> None:
    """Train a seed; its weights after each step that is kept are a directory of their own."""
    kept = {settings.steps, *(CHECKPOINT_STEPS if settings.seed == SEEDS[0] else ())}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        model = build_model(settings)
    tokenizer, documents = _read_corpus()
    for step in _fit(model, documents, settings):
        if step in kept:
            checkpoint = directory / f"step-{step}"
            model.save_pretrained(checkpoint)
            save_tokenizer(tokenizer, checkpoint, settings.context)


@cache
def _read_corpus() -> tuple[Tokenizer, list[list[int]]]:
    """Return the tokenizer, learned from the corpus, and the corpus in its tokens."""
    texts = list(world.texts(SETTINGS.seed, SETTINGS.texts))
    tokenizer = train_tokenizer(texts, SETTINGS.vocab_size)
    return tokenizer, encode(tokenizer, texts)


def _fit(model: LlamaForCausalLM, documents: list[list[int]], settings: Settings) -> Iterator[int]:
    """Train in place and yield the number of steps taken: 0 first, the last when all are."""
    optimizer = build_optimizer(model, settings)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: rate(step, settings))
    model.train()
    for step, labels in zip(range(settings.steps), batches(documents, settings), strict=False):
        yield step
        tokens = labels.masked_fill(labels == IGNORED, PAD_ID)
        model(input_ids=tokens, labels=labels).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
    yield settings.steps
