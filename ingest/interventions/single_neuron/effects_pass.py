"""Interventions on single neurons, divided among the workers of an executor (docs/distributed.md).

A task is some of the neurons, over all texts or, where that would leave workers idle, over some of
their batches. What comes back is a sum for each batch; they are added here in the order of the
batches, so that the effects are the same, to the bit, however the work is divided.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ingest.executors import Executor, Listener, Worker
from ingest.forward.open_model import OpenModel
from ingest.interventions.hooks import Intervention
from ingest.interventions.single_neuron.effects import (
    BatchSums,
    Effects,
    SingleNeuronRunner,
    compute_effects,
)
from ingest.text.batch_division import divide_batches


class EffectsPart(NamedTuple):
    """A shard: some neurons, over some batches.

    Attributes:
        intervention: What is done to each of the neurons alone.
        batches: The numbers of the batches.
    """

    intervention: Intervention
    batches: range


@dataclass
class EffectsPass:
    """A computation: the sums over each batch of a part, and the seconds that they took.

    Attributes:
        opened: The model.
        token_ids: The token ids of each text.
        skip_bos: Whether first positions are left out of the counts.
        metrics: The metrics to measure.
        max_tokens: Tokens of a batch, padding included: of whoever divides them, and of workers.
        used_runner: What runs the model, once it was loaded here; it stays for the next part.
    """

    opened: OpenModel
    token_ids: Sequence[NDArray[np.int64]]
    skip_bos: bool
    metrics: Sequence[str]
    max_tokens: int
    used_runner: SingleNeuronRunner | None = field(default=None, repr=False)

    def __call__(self, part: EffectsPart, worker: Worker) -> tuple[list[BatchSums], float]:
        """Run a part.

        Raises:
            ModelError: The model cannot be loaded, a text is longer than its context, or a batch
                does not fit in memory.
        """
        started = time.perf_counter()
        if self.used_runner is None:
            self.used_runner = SingleNeuronRunner(
                self.opened.move(worker.device).load(),
                self.token_ids,
                skip_bos=self.skip_bos,
                metrics=self.metrics,
                max_tokens=self.max_tokens,
            )
        sums = list(self.used_runner.run_batches(*part, worker.advance))
        return sums, time.perf_counter() - started


def run_effects_pass(
    compute: EffectsPass,
    interventions: Sequence[Intervention],
    executor: Executor,
    listener: Listener,
) -> Iterator[tuple[int, Effects, float]]:
    """Yield the place of each intervention, its neurons' effects, and the seconds they took.

    They come as they are finished, in any order.

    Args:
        compute: The model, the texts and the metrics.
        interventions: Each of some neurons.
        executor: Has the workers.
        listener: Is told of neurons × tokens, and of notes.

    Raises:
        NeuronDBError: that a worker raised, or that says how it ended.
    """
    n_ranges = -(-len(executor.devices) // max(1, len(interventions)))
    short = compute.opened.architecture.short_context
    ranges = divide_batches(compute.token_ids, compute.max_tokens, short, n_ranges)
    parts = [EffectsPart(one, some) for one in interventions for some in ranges]
    found: dict[int, dict[int, tuple[list[BatchSums], float]]] = {}
    for place, sums in executor.run(compute, parts, listener):
        which, of_texts = divmod(place, len(ranges))
        of_part = found.setdefault(which, {})
        of_part[of_texts] = sums
        if len(of_part) == len(ranges):
            in_order = [of_part[n] for n in range(len(ranges))]
            batches = [batch for sums_, _ in in_order for batch in sums_]
            yield which, compute_effects(batches), sum(seconds for _, seconds in in_order)
            del found[which]
