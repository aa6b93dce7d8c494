"""Neurons fixed at values over texts, divided among the workers of an executor.

A task is some of the batches under all settings. What comes back are sums of each batch, which are
added here in the batches' order: so the means are the same, to the bit, however that is divided.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ingest.executors import Executor, Listener, Worker
from ingest.forward.open_model import OpenModel
from ingest.interventions.frozen_norm import FixedNeuron, FrozenNormRunner, MetricSums
from ingest.interventions.running_model import explain_device_memory
from ingest.text.batch_division import divide_batches
from neurondb.neurons import NeuronPlace
from neurondb.reading.models import Model


@dataclass
class EntropyPass:
    """A computation: the sums over each of some batches, given by their numbers.

    Attributes:
        model: The stored model.
        opened: Its checkpoint, opened.
        token_ids: The token ids of each text.
        skip_bos: Whether first positions are left out.
        sign: Canonical signs of the neurons.
        settings: The neurons and their values.
        max_tokens: Tokens of a batch, padding included: of whoever divides them, and of workers.
        used_runner: What runs the model, once it was loaded here; it stays for the next part.
    """

    model: Model
    opened: OpenModel
    token_ids: Sequence[NDArray[np.int64]]
    skip_bos: bool
    sign: Mapping[NeuronPlace, int]
    settings: Sequence[FixedNeuron]
    max_tokens: int
    used_runner: FrozenNormRunner | None = field(default=None, repr=False)

    def __call__(self, batches: range, worker: Worker) -> list[MetricSums]:
        """Run the model over some batches under each setting.

        Raises:
            LackingModelError: The model has no final norm.
            ModelError: It cannot be loaded, or a batch does not fit in memory.
        """
        if self.used_runner is None:
            self.used_runner = FrozenNormRunner(
                self.opened.move(worker.device).load(),
                self.model,
                self.sign,
                skip_bos=self.skip_bos,
                max_tokens=self.max_tokens,
            )
        with explain_device_memory(worker.device):
            sums = self.used_runner.run_batches(
                self.token_ids, self.settings, batches, worker.advance
            )
            return list(sums)


def run_entropy_pass(compute: EntropyPass, executor: Executor, listener: Listener) -> MetricSums:
    """Return the sums over all texts.

    Args:
        compute: The model, the texts and the settings.
        executor: Has the workers.
        listener: Is told of tokens × settings, and of notes.

    Raises:
        NeuronDBError: that a worker raised, or that says how it ended.
    """
    short, n_workers = compute.opened.architecture.short_context, len(executor.devices)
    parts = divide_batches(compute.token_ids, compute.max_tokens, short, n_workers)
    found = dict(executor.run(compute, parts, listener))
    total = MetricSums.zeros(len(compute.settings))
    for place in range(len(parts)):
        for of_batch in found[place]:
            total.add(of_batch)
    return total
