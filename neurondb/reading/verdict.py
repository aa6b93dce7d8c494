"""What a neuron does, in one line: its read-write class and what to beware of."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, select

from neurondb.reading.activations import Activations
from neurondb.reading.cosines import CosineReading
from neurondb.reading.models import Model
from neurondb.schema import tables

DENSE: Final = 0.9
"""A neuron that fires on a larger share of tokens than this is called dense."""

ATYPICAL: Final = "atypical "
MEANINGS: Final = {
    "strengthening": "adds more of what it reads",
    "conditional strengthening": "adds more of what `in` reads, when `gate` finds its own",
    "proportional change": "writes along `gate`, as much as `in` finds, either sign",
    "orthogonal output": "writes a direction nearly unrelated to what it reads (|cos| ≤ τ)",
    "weakening": "removes what it reads",
    "conditional weakening": "removes what `in` reads, when `gate` finds its own",
    "undefined": "reads or writes nothing",
}
"""Class → what its neurons do (weakening-neurons §2.2)."""


@dataclass(frozen=True)
class ClassAt:
    """A neuron's read-write class at one threshold τ, under both published names."""

    threshold: float
    name: str
    io_name: str


@dataclass(frozen=True)
class Caution:
    """Something to know before reading anything into a neuron.

    Attributes:
        kind: undefined, not significant, not finite, dead or dense.
        reason: the number behind it.
    """

    kind: str
    reason: str


@dataclass(frozen=True)
class Verdict:
    """A neuron's class and its cautions.

    Attributes:
        read_write: class at the model's τ; None while the weights are not ingested.
        meaning: what neurons of that class do.
        elsewhere: classes at the other stored thresholds.
    """

    read_write: ClassAt | None
    meaning: str | None
    elsewhere: tuple[ClassAt, ...]
    cautions: tuple[Caution, ...]


def verdict(
    connection: Connection,
    model: Model,
    neuron_id: int,
    cosines: Sequence[CosineReading],
    activations: Activations | None,
) -> Verdict:
    """Return the verdict on one neuron."""
    c, k = tables.classes.c, tables.rw_classes
    rows = connection.execute(
        select(c.threshold, k.c.name, k.c.io_name)
        .join_from(tables.classes, k, k.c.class_id == c.class_id)
        .where(c.neuron_id == neuron_id)
        .order_by(c.threshold)
    )
    classes = [ClassAt(*row) for row in rows]
    chosen = next((found for found in classes if found.threshold == model.threshold), None)
    return Verdict(
        chosen,
        None if chosen is None else meaning(chosen.name),
        tuple(found for found in classes if found is not chosen),
        tuple(_cautions(chosen, cosines, activations)),
    )


def meaning(class_name: str) -> str:
    """Say what neurons of a class do; of the atypical ones, what sets them apart."""
    said = MEANINGS[class_name.removeprefix(ATYPICAL)]
    if class_name.startswith(ATYPICAL):
        return f"{said}, though cos(gate, in) does not fit"
    return said


def _cautions(
    chosen: ClassAt | None, cosines: Sequence[CosineReading], activations: Activations | None
) -> Iterator[Caution]:
    if chosen is not None and chosen.name == "undefined":
        yield Caution("undefined", "a weight vector is zero, so cosines have no value")
    if cosines and all(reading.significant is False for reading in cosines):
        yield Caution("not significant", "no cosine leaves its random region")
    if activations is None:
        return
    if activations.n_nonfinite:
        n, all_ = activations.n_nonfinite, activations.n_tokens + activations.n_nonfinite
        yield Caution(
            "not finite",
            f"{n:,} of {all_:,} tokens are left out: gate, in or post was NaN or infinite there",
        )
    fires = activations.fires
    if fires is None:
        return
    if fires == 0:
        yield Caution("dead", f"fires on none of {activations.n_tokens:,} tokens")
    elif fires > DENSE:
        yield Caution("dense", f"fires on {fires:.1%} of the tokens")
