"""GLUScope's `summary.pt` or `summary_refactored.pt`: what its activation dataset is made of.

It is a dictionary that torch pickled, as `b_activations.py` of sjgerstner/gluscope saves it:
`(case, "freq")` and `(case, quantity, "sum")`, the mean in spite of its name, are tensors of
(layers, neurons); `(case, quantity, "max")` has `values` and `indices` of (16, layers, neurons).
Later versions save each layer on its own, as `(case, "blocks.0.mlp.hook_post", "sum")`.

The job `tensor-file` of `ingest` unpickles it with `weights_only`, which runs no code of the
file's. `summary.pt` without `_refactored` is of a run in the checkpoint's own signs, which those of
the ingested weights make canonical (`signs.py`). The files of versions before sign cases, with
`summary_mean` and `max_activations`, do not have what our relations hold.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from neurondb.contracts.registry import load_job
from neurondb.errors import TextError
from neurondb.exchange.imports.gluscope.columns import ALL_EXTREMES, CASES, name_frequency
from neurondb.exchange.imports.gluscope.rows import Batch
from neurondb.exchange.imports.gluscope.storing import Outline
from neurondb.exchange.imports.gluscope.token_count import Frequencies
from neurondb.exchange.imports.provenance import compute_digest
from neurondb.schema.codes import QUANTITIES
from neurondb.text_decoding import format_path

JOB: Final = "tensor-file"
_BEFORE_CASES: Final = frozenset(("summary_freq", "summary_mean", "max_activations"))
"""Names in the summaries of versions that had no sign cases."""
_FREQ, _SUM, _MAX = "freq", "sum", "max"


class SummaryFile:
    """The tensors of a summary, a layer a batch."""

    def __init__(self, path: Path) -> None:
        """Unpickle the file.

        Raises:
            TextError: when it is none.
        """
        self.name = format_path(path.name)
        self.canonical = "refactored" in path.name or not path.name.startswith("summary")
        self._path = path
        self._content: Mapping[Any, Any] = load_job(JOB)(path)
        self._shape = self._find_shape()

    def _find_shape(self) -> tuple[int, int]:
        if isinstance(self._content, dict) and _BEFORE_CASES & self._content.keys():
            raise TextError(
                f"{format_path(self._path)} is of a version of GLUScope before sign cases; run its "
                "b_activations.py of today, and give the summary that it writes"
            )
        for case in CASES:
            found = self._content.get((case, _FREQ)) if isinstance(self._content, dict) else None
            if not isinstance(found, np.ndarray) or found.ndim != 2:
                raise TextError(
                    f"{format_path(self._path)} is no summary of GLUScope: it has no tensor "
                    f"({case!r}, 'freq') of layers and neurons"
                )
        layers, neurons = self._content[CASES[0], _FREQ].shape
        return int(layers), int(neurons)

    def outline(self) -> Outline:
        """Return its neurons: all of the model."""
        layers, neurons = np.indices(self._shape)
        frequencies = Frequencies()
        frequencies.add(np.asarray(self._content[case, _FREQ], np.float64) for case in CASES)
        known: set[tuple[str, ...]] = {(case, _FREQ) for case in CASES}
        for case in CASES:
            for quantity in QUANTITIES:
                names = {quantity, *(f"{_name_block(i)}{quantity}" for i in range(self._shape[0]))}
                known |= {(case, name, end) for name in names for end in (_SUM, _MAX)}
        unknown = {str(key): 1 for key in self._content if key not in known}
        digest = compute_digest([self._path])
        return Outline(layers.ravel(), neurons.ravel(), frequencies, unknown, digest)

    def batches(self) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], Batch]]:
        """Yield the neurons layer by layer."""
        n_layers, n_neurons = self._shape
        for layer in range(n_layers):
            yield np.full(n_neurons, layer), np.arange(n_neurons), self._make_batch(layer)

    def _make_batch(self, layer: int) -> Batch:
        numbers: dict[str, NDArray[np.float64]] = {}
        values: dict[str, NDArray[np.float64]] = {}
        texts: dict[str, NDArray[np.int64]] = {}
        for i, case in enumerate(CASES):
            numbers[name_frequency(i)] = _as_real(self._content[case, _FREQ][layer])
        for one in ALL_EXTREMES:
            case, quantity = CASES[one.case], QUANTITIES[one.quantity]
            if (mean := self._get(case, quantity, _SUM, layer)) is not None:
                numbers[f"{case}_{quantity}_mean"] = _as_real(mean)
            if (extremes := self._get(case, quantity, _MAX, layer)) is not None:
                values[one.values] = _as_real(extremes["values"]).T
                texts[one.indices] = extremes["indices"].astype(np.int64).T
        return Batch(np.empty(0, np.int64), numbers, values, texts)

    def _get(self, case: str, quantity: str, end: str, layer: int) -> Any:
        """Return what the file has of a layer, as a whole or on its own; None where it has none."""
        found = self._content.get((case, quantity, end))
        if found is None:
            return self._content.get((case, f"{_name_block(layer)}{quantity}", end))
        if end == _SUM:
            return found[layer]
        return {name: tensor[:, layer] for name, tensor in found.items()}


def _name_block(layer: int) -> str:
    return f"blocks.{layer}.mlp."


def _as_real(tensor: NDArray[Any]) -> NDArray[np.float64]:
    return np.asarray(tensor, np.float64)
