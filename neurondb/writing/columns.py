"""Columns of a layer's rows, put together from the arrays of a record."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from neurondb.writing.ledger import StepWriter

Columns = dict[str, Any]


def neuron_ids(writer: StepWriter, layer: int) -> Int[np.ndarray, " neurons"]:
    """Return the ids of a layer's neurons."""
    return np.arange(*writer.model.neuron_ids(layer))


def real(values: np.ndarray | None, like: np.ndarray) -> Float[np.ndarray, " neurons"]:
    """Return values as float64, NaN throughout (written as NULL) for a column there is none of."""
    return np.full(len(like), np.nan) if values is None else values.astype(np.float64)


def share(
    count: np.ndarray | None, of: Int[np.ndarray, " neurons"]
) -> Float[np.ndarray, " neurons"]:
    """Return a count's share of another, NaN where that is 0 or there is no count."""
    none = np.full(len(of), np.nan)
    return none if count is None else np.divide(count, of, out=none, where=of > 0)


def interleave(arrays: Sequence[np.ndarray]) -> np.ndarray:
    """Return rows in the order (neuron, list, rank), that of the keys.

    Args:
        arrays: one a list, each with one row a neuron.
    """
    return np.stack(arrays, axis=1).ravel()
