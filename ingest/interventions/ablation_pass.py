"""Interventions over texts, divided among the workers of an executor (docs/distributed.md).

A task is some of the batches under some of the interventions. What comes back is the metrics of
every token, which follow from its batch alone: the values are the same, to the bit, however the
batches are divided, and so is all that is computed of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ingest.executors import Executor, Listener, Worker
from ingest.forward import batch_tokens
from ingest.forward.open_model import OpenModel
from ingest.interventions.hooks import Intervention
from ingest.interventions.runner import BatchValues, InterventionRunner
from ingest.interventions.token_values import TokenPlaces, TokenValues
from ingest.text.batch_division import divide_batches
from ingest.text.intervention_texts import TokenTexts
from neurondb.interventions import METRICS

PART_BYTES: Final = 1 << 28
"""Bytes of the values that a task sends back at once, at most, whole batches apart."""


class AblationPart(NamedTuple):
    """A shard: some batches, under some interventions.

    Attributes:
        interventions: The interventions, each of which is a run.
        batches: The numbers of the batches.
    """

    interventions: Sequence[Intervention]
    batches: range


@dataclass
class AblationPass:
    """A computation: the metrics of every token of some batches, clean and under interventions.

    Attributes:
        opened: The model.
        token_ids: The token ids of each text.
        skip_bos: Whether first positions are left out.
        max_tokens: Tokens of a batch, padding included: of whoever divides them, and of workers.
        used_runner: What runs the model, once it was loaded here; it stays for the next part.
    """

    opened: OpenModel
    token_ids: Sequence[NDArray[np.int64]]
    skip_bos: bool
    max_tokens: int
    used_runner: InterventionRunner | None = field(default=None, repr=False)

    def __call__(self, part: AblationPart, worker: Worker) -> list[BatchValues]:
        """Run the model over the batches of a part.

        Raises:
            ModelError: The model cannot be loaded, a text is longer than its context, or a batch
                does not fit in memory.
        """
        if self.used_runner is None:
            forward = self.opened.move(worker.device).load()
            self.used_runner = InterventionRunner(
                forward, self.token_ids, skip_bos=self.skip_bos, max_tokens=self.max_tokens
            )
        return list(self.used_runner.run_batches(*part, worker.advance))


class DividedRunner:
    """Runs interventions over texts on an executor, and keeps the metrics of every token.

    Args:
        opened: The model.
        texts: The texts.
        executor: Has the workers.

    Attributes:
        places: The place of each token among the values.
        clean: The values of the clean run: there once the first interventions were run.
    """

    def __init__(self, opened: OpenModel, texts: TokenTexts, executor: Executor) -> None:
        size = batch_tokens(opened.device)
        self._pass = AblationPass(opened, texts.token_ids, texts.skip_bos, size)
        self._executor = executor
        counts = [len(ids) for ids in texts.token_ids]
        self.places = TokenPlaces(counts, skip_bos=texts.skip_bos)
        self.clean = TokenValues(1, self.places.n_tokens)

    def run(self, interventions: Sequence[Intervention], listener: Listener) -> TokenValues:
        """Run interventions, and return their values, in the order of the interventions.

        Args:
            interventions: The interventions, each of which is a run.
            listener: Is told of tokens that an intervention has finished, and of notes.

        Raises:
            NeuronDBError: that a worker raised, or that says how it ended.
        """
        values = TokenValues(len(interventions), self.places.n_tokens)
        parts = self._divide(interventions)
        for _, found in self._executor.run(self._pass, parts, listener):
            for batch in found:
                self.clean.put_runs(batch.places, batch.clean[None])
                values.put_runs(batch.places, batch.values)
        return values

    def _divide(self, interventions: Sequence[Intervention]) -> list[AblationPart]:
        """Return as many parts as workers, or as often as many where they would be too large."""
        n_values = (1 + len(interventions)) * len(METRICS) * self.places.n_tokens
        n_workers = len(self._executor.devices)
        rounds = -(-n_values * np.dtype(np.float32).itemsize // (n_workers * PART_BYTES)) or 1
        of, short = self._pass, self._pass.opened.architecture.short_context
        batches = divide_batches(of.token_ids, of.max_tokens, short, n_workers * rounds)
        return [AblationPart(interventions, some) for some in batches]

    def list_counted_token_ids(self) -> NDArray[np.int64]:
        """Return the tokens that count, in the order of their values."""
        return self.places.select_counted(self._pass.token_ids)
