"""Numbers in a checkpoint's own signs, made canonical by the signs of the ingested weights.

GLUScope's runs without `--refactor_glu` count and keep x_in and x_post as the checkpoint has them.
In a neuron of sign −1 the canonical ones are their negatives (METHODS §1), so that its cases of
in+ and in− change places; x_gate, and with it swish, stays what it is.
"""

from collections.abc import Mapping
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, select

from neurondb.errors import UsageError
from neurondb.exchange.imports.gluscope.columns import (
    name_extremes,
    name_frequency,
    name_mean,
)
from neurondb.exchange.imports.gluscope.rows import Batch
from neurondb.reading.models import Model
from neurondb.schema import tables
from neurondb.schema.codes import GATED_CASES, QUANTITIES, SIGN_CASES

_Number = TypeVar("_Number", np.float64, np.int64)
_NEGATED: Final = ("hook_post", "hook_pre_linear")
"""What has the sign of x_in."""
_OTHER_CASE: Final = {
    case: SIGN_CASES.index(
        f"{SIGN_CASES[case][:-1]}{'-' if SIGN_CASES[case].endswith('+') else '+'}"
    )
    for case in GATED_CASES
}
"""Each case → that of the other sign of x_in."""


def read_signs(connection: Connection, model: Model, file: str) -> NDArray[np.int64]:
    """Return the sign of each neuron of a model, by its id from the model's first.

    Raises:
        UsageError: when the weights of a neuron are not ingested, which alone tell its sign.
    """
    n = tables.neurons.c
    rows = connection.execute(select(n.neuron_id, n.sign).where(n.model_id == model.model_id))
    signs = np.zeros(model.n_layers * model.d_mlp, np.int64)
    for neuron_id, sign in rows:
        signs[neuron_id - model.first_neuron_id] = sign
    if not signs.all():
        raise UsageError(
            f"{file} is of a run without --refactor_glu, in the checkpoint's own signs, which only "
            f"its weights tell: run `neurondb ingest` for {model.name} into this database before, "
            "or rename the file to summary_refactored.pt if its signs are canonical"
        )
    return signs


def make_canonical(batch: Batch, signs: NDArray[np.int64]) -> Batch:
    """Return a batch in canonical signs.

    Args:
        batch: neurons in the checkpoint's own signs.
        signs: the sign of each of them.
    """
    numbers, values, texts = dict(batch.numbers), dict(batch.values), dict(batch.texts)
    is_changed = signs < 0
    for case, other in _OTHER_CASE.items():
        frequencies = (name_frequency(case), name_frequency(other))
        _take(numbers, batch.numbers, frequencies, is_changed)
        for quantity, name in enumerate(QUANTITIES):
            factor = -1 if name in _NEGATED else 1
            means = (name_mean(case, quantity), name_mean(other, quantity))
            _take(numbers, batch.numbers, means, is_changed, factor)
            one, another = name_extremes(case, quantity), name_extremes(other, quantity)
            _take(values, batch.values, (one.values, another.values), is_changed, factor)
            _take(texts, batch.texts, (one.indices, another.indices), is_changed)
    return Batch(batch.ids, numbers, values, texts)


def _take(
    into: dict[str, NDArray[_Number]],
    columns: Mapping[str, NDArray[_Number]],
    names: tuple[str, str],
    is_changed: NDArray[np.bool_],
    factor: int = 1,
) -> None:
    """Take a column of one case from the other where the sign changes; a file has both or none."""
    own, other = (columns.get(name) for name in names)
    if own is not None and other is not None:
        where = is_changed.reshape(-1, *[1] * (own.ndim - 1))
        into[names[0]] = np.where(where, factor * other, own)
