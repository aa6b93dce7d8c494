"""The metrics of every token of several runs: in memory, or in a file where they are many."""

import tempfile
from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from torch import Tensor

from ingest.forward import Batch
from neurondb.interventions import METRICS

MEMORY_BYTES: Final = 1 << 30
"""Bytes of values from which on they lie in a temporary file."""


class TokenPlaces:
    """Where the tokens of each text stand among all that count, in the order of the texts.

    Args:
        lengths: Tokens of each text.
        skip_bos: Whether first positions are left out.
    """

    def __init__(self, lengths: Sequence[int], *, skip_bos: bool) -> None:
        self.first_position = int(skip_bos)
        counted = np.maximum(np.asarray(lengths, dtype=np.int64) - self.first_position, 0)
        self.counts: NDArray[np.int64] = counted
        self.starts: NDArray[np.int64] = np.cumsum(counted) - counted
        self.n_tokens = int(counted.sum())

    def find(self, batch: Batch, mask: Bool[Tensor, "texts positions"]) -> NDArray[np.int64]:
        """Return the places of a batch's tokens that count, text by text."""
        texts, positions = np.nonzero(mask.cpu().numpy())
        ordinals = batch.ordinals.cpu().numpy()
        places: NDArray[np.int64] = self.starts[ordinals[texts]] + positions - self.first_position
        return places

    def select_counted(self, token_ids: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
        """Return those of all texts' tokens that count, in the order of their places."""
        return np.concatenate([ids[self.first_position :] for ids in token_ids])

    def has_next(self) -> NDArray[np.bool_]:
        """Tell of each token whether there is one after it in its text."""
        has_next_token = np.ones(self.n_tokens, dtype=np.bool_)
        has_next_token[(self.starts + self.counts - 1)[self.counts > 0]] = False
        return has_next_token

    def texts(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the ordinal of each token's text, and its position there."""
        ordinals = np.repeat(np.arange(len(self.counts)), self.counts)
        positions = np.arange(self.n_tokens) - np.repeat(self.starts, self.counts)
        return ordinals, positions + self.first_position


class TokenValues:
    """Loss, entropy, rank and scale of every token of some runs; NaN where there is none.

    Args:
        n_runs: The runs.
        n_tokens: Tokens that count.
        memory: Bytes from which on a file that nobody sees holds them.
    """

    def __init__(self, n_runs: int, n_tokens: int, memory: int = MEMORY_BYTES) -> None:
        shape = (n_runs, len(METRICS), n_tokens)
        if np.prod(shape, dtype=np.int64) * np.dtype(np.float32).itemsize <= memory:
            self._values: NDArray[np.float32] = np.full(shape, np.nan, dtype=np.float32)
        else:
            # It has no name, and is gone with the process, however that ends.
            with tempfile.TemporaryFile() as file:
                self._values = np.memmap(file, dtype=np.float32, mode="w+", shape=shape)

    def put(self, run: int, places: NDArray[np.int64], metrics: Float[Tensor, "m tokens"]) -> None:
        """Store the metrics of the tokens at `places` of a run."""
        self._values[run][:, places] = metrics.cpu().numpy()

    def put_runs(self, places: NDArray[np.int64], metrics: NDArray[np.float32]) -> None:
        """Store the metrics of the tokens at `places` of every run: runs × metrics × tokens."""
        self._values[:, :, places] = metrics

    def read_tokens(self, run: int, places: NDArray[np.int64]) -> Float[Tensor, "m tokens"]:
        """Return the metrics of the tokens at `places` of a run."""
        return torch.from_numpy(self._values[run][:, places])

    def read_metric(self, run: int, metric: str) -> NDArray[np.float32]:
        """Return a metric of every token of a run."""
        values: NDArray[np.float32] = self._values[run, METRICS.index(metric)]
        return values
