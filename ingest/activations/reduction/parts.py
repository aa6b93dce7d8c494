"""The sweep over some texts at a time: what it reads sixty times stays in the processor's cache."""

from typing import Final

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ingest.activations.reduction.counting import sweep
from ingest.activations.reduction.quantities import Activation, Kind
from ingest.activations.reduction.totals import Sums
from ingest.forward import MLPActivations

VALUES_AT_ONCE: Final = 2**16
"""Of each of gate, in and post: a quarter of a megabyte."""


def sweep_in_parts(
    kind: Kind,
    activation: Activation,
    found: MLPActivations,
    sign: Float[Tensor, " neurons"],
    counted: Bool[Tensor, "texts positions"],
    about: Float[Tensor, "2 neurons"],
) -> tuple[Sums, Float[Tensor, "lists texts neurons"]]:
    """Return what `sweep` does, two to three times as fast on a processor.

    The parts follow from the batch's shape alone, so that the same batch gives the same bits.
    """
    n_texts, n_positions, n_neurons = found.in_.shape
    step = max(1, VALUES_AT_ONCE // (n_positions * n_neurons))
    if found.in_.device.type != "cpu" or step >= n_texts:
        return sweep(kind, activation, found, sign, counted, about)
    swept = [
        sweep(kind, activation, _texts(found, some), sign, counted[some], about)
        for some in (slice(first, first + step) for first in range(0, n_texts, step))
    ]
    return _together([sums for sums, _ in swept]), torch.cat([peaks for _, peaks in swept], dim=1)


def _texts(found: MLPActivations, some: slice) -> MLPActivations:
    gate = None if found.gate is None else found.gate[some]
    return MLPActivations(gate, found.in_[some], found.post[some])


def _together(parts: list[Sums]) -> Sums:
    def of_each(name: str) -> list[Tensor]:
        """The tensors of a field, each over all parts on a new first axis."""
        return [torch.stack(same) for same in zip(*(getattr(p, name) for p in parts), strict=True)]

    rows = zip(*(part.powers for part in parts), strict=True)
    return Sums(
        usable=torch.stack([part.usable for part in parts]).sum(0),
        counted=torch.stack([part.counted for part in parts]).sum(),
        positive=[one.sum(0) for one in of_each("positive")],
        powers=[[torch.stack(same).sum(0) for same in zip(*row, strict=True)] for row in rows],
        in_case=[one.sum(0) for one in of_each("in_case")],
        sum=[one.sum(0) for one in of_each("sum")],
        low=[one.amin(0) for one in of_each("low")],
        high=[one.amax(0) for one in of_each("high")],
    )
