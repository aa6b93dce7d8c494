"""The job `sample`: many continuations of one prompt at once, clean ones beside steered ones.

METHODS §6; specialised-feature-neurons §3.4. Samples are rows of one batch; the prompt is run once
for all of them. Sample i is what `generate` continues with the seed that is i more.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ingest.forward.cached_step import decode_step
from ingest.interventions import Intervention, intervene
from ingest.interventions.running_model import RunningModel, explain_memory_errors
from ingest.jobs.generate import (
    CLEAN,
    STEERED,
    draw_token,
    find_end_tokens,
    find_new_rope,
    prepare_generation,
)
from ingest.jobs.generated_texts import SampleCount, store_texts
from ingest.text.chat import TextStreamer
from neurondb.contracts.generate import GenerateRequest, Sample, SampleRequest
from neurondb.contracts.progress import Advance, Progress
from neurondb.errors import UsageError
from neurondb.spelling import option

ROWS: Final = {"cpu": 64, "cuda": 256}
"""Samples that are continued together, by kind of device."""


def run(request: SampleRequest, progress: Progress) -> list[Sample]:
    """Return the samples of each run, the clean ones first, and store them.

    Raises:
        UsageError: when the model cannot do what is asked.
        UnknownNameError: when the model or a neuron is not in the database.
        IngestError: when the checkpoint is no longer where it was, or holds other weights.
        ModelError: when it cannot be read or run.
    """
    if request.n_samples < 1:
        raise UsageError(f"nothing to sample: {option('samples')} is at least 1")
    asked = request.generation
    if asked.sampling.greedy:
        raise UsageError(
            f"{option('greedy')} draws nothing, so that all samples are one; leave one out"
        )
    started = time.perf_counter()
    running, prompt, steering = prepare_generation(asked)
    runs: dict[str, Sequence[Intervention]] = {CLEAN: ()}
    if asked.clamps or asked.zeroed:
        runs[STEERED] = steering
    seeds = range(asked.sampling.seed, asked.sampling.seed + request.n_samples)
    step = ROWS.get(running.forward.device.type, ROWS["cpu"])
    samples: list[Sample] = []
    total = len(runs) * request.n_samples
    with progress.stage("samples", total, "texts") as advance, explain_memory_errors(running):
        for name, interventions in runs.items():
            for start in range(0, len(seeds), step):
                batch = _Samples(running, asked, prompt, seeds[start : start + step])
                samples += batch.finish(name, interventions, advance)
    counted = SampleCount(request.n_samples, request.counted)
    store_texts(running, asked, samples, time.perf_counter() - started, progress, counted)
    return samples


class _Samples:
    """Continuations of one prompt, each drawn by a seed of its own."""

    def __init__(
        self,
        running: RunningModel,
        request: GenerateRequest,
        prompt: Sequence[int],
        seeds: Sequence[int],
    ) -> None:
        self._running = running
        self._request = request
        self._prompt = list(prompt)
        self._seeds = seeds
        self._random = [np.random.default_rng(seed) for seed in seeds]
        self._ids: list[list[int]] = [list(prompt) for _ in seeds]
        self._ended: list[str | None] = [None] * len(seeds)
        self._lengths = [len(prompt)] * len(seeds)
        self._cache: Any = None

    @torch.inference_mode()
    def finish(
        self, name: str, interventions: Sequence[Intervention], advance: Advance
    ) -> list[Sample]:
        """Draw tokens until every continuation has ended, and return them."""
        ends, new_rope_at = find_end_tokens(self._running), find_new_rope(self._running)
        with intervene(self._running.forward, *interventions):
            for step in range(self._request.max_new_tokens):
                length = len(self._prompt) + step
                if None not in self._ended:
                    break
                if not self._running.fits(length + 1):
                    self._end_all("context")
                    break
                if length == new_rope_at:
                    self._cache = None
                self._draw(self._logits(length), ends, advance)
        advance(sum(ended is None for ended in self._ended))
        self._end_all("length")
        return [self._make_sample(name, row) for row in range(len(self._seeds))]

    def _logits(self, length: int) -> Float[Tensor, "rows d_vocab"]:
        """Return the logits behind the last position; the prompt is read once for all rows."""
        forward, n_rows = self._running.forward, len(self._seeds)
        ids = torch.tensor(self._ids, device=forward.device)
        if self._cache is None and length == len(self._prompt):
            step = decode_step(forward.model, ids[:1])
            self._cache = step.cache
            self._cache.batch_repeat_interleave(n_rows)
            return step.logits[:, 0].double().cpu().expand(n_rows, -1)
        unread = ids if self._cache is None else ids[:, -1:]
        step = decode_step(forward.model, unread, self._cache)
        self._cache = step.cache
        return step.logits[:, 0].double().cpu()

    def _draw(
        self, logits: Float[Tensor, "rows d_vocab"], ends: frozenset[int], advance: Advance
    ) -> None:
        """Append a token to every row; to one that has ended any, which is no part of its text."""
        for row, random in enumerate(self._random):
            if self._ended[row] is not None:
                self._ids[row].append(self._prompt[-1])
                continue
            chosen = draw_token(logits[row], self._request.sampling, random.random())
            if chosen in ends:
                self._ended[row] = "eos"
                self._lengths[row] = len(self._ids[row])
                advance(1)
            self._ids[row].append(chosen)

    def _end_all(self, why: str) -> None:
        """End what goes on, and take it to be as long as it is now."""
        for row, ended in enumerate(self._ended):
            if ended is None:
                self._ended[row] = why
                self._lengths[row] = len(self._ids[row])

    def _make_sample(self, name: str, row: int) -> Sample:
        drawn = self._ids[row][len(self._prompt) : self._lengths[row]]
        streamer = TextStreamer(self._running.tokenizer, self._prompt)
        text = "".join([*map(streamer.add, drawn), streamer.flush()])
        return Sample(name, self._seeds[row], text, len(drawn), str(self._ended[row]))
