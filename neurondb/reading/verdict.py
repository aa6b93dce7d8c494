"""What a neuron's weights say of it: three cosines, its read-write class, and cautions.

Cosines are compared with the regions that cosines of random directions fill (METHODS §2, §3). The
class follows from the cosines and a threshold τ. A caution is a reason not to read much into the
neuron, such as that it never fires.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, select

from neurondb.formatting.numbers import format_count
from neurondb.reading.activations import Activations
from neurondb.reading.models import Model
from neurondb.schema import tables

PAIRS: Final = ("gate_in", "gate_out", "in_out")
"""The cosines of a gated neuron, as a page shows them; an ungated one has the last only."""

DENSE: Final = 0.9
"""A neuron that fires on a larger share of the tokens than this is called dense."""

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
"""Class → what a neuron of that class does (weakening-neurons §2.2)."""


@dataclass(frozen=True)
class Region:
    """The interval that 95% of the random cosines of a layer fall into (METHODS §3).

    Attributes:
        kind: gaussian, of random directions; or mismatched, of vectors of different neurons.
        n_pairs: how many mismatched pairs were looked at; None for a gaussian one, a closed form.
        standard_error: estimated error of the worse end; 0 where the region is exact.
    """

    kind: str
    low: float
    high: float
    n_pairs: int | None
    standard_error: float | None


@dataclass(frozen=True)
class CosineReading:
    """One cosine of a neuron and the random regions of its layer.

    Attributes:
        pair: one of `PAIRS`.
        value: None before the weights are ingested, or where a vector is zero.
        regions: gaussian before mismatched; the last one decides, as in `neuron_overview`.
        significant: whether the value lies outside that region; None where either is missing.
    """

    pair: str
    value: float | None
    regions: tuple[Region, ...]
    significant: bool | None


def read_cosines(
    connection: Connection, model: Model, layer: int, neuron_id: int
) -> tuple[CosineReading, ...]:
    """Return the cosines of a neuron: all three, or only cos(in, out) for an ungated one."""
    c = tables.cosines.c
    row = connection.execute(
        select(c.gate_in, c.gate_out, c.in_out).where(c.neuron_id == neuron_id)
    ).first()
    values = {} if row is None else row._asdict()
    regions = _read_regions(connection, model.model_id, layer)
    return tuple(
        _compare_with_regions(pair, values.get(pair), tuple(regions.get(pair, ())))
        for pair in (PAIRS if model.gated else PAIRS[2:])
    )


def _compare_with_regions(
    pair: str, value: float | None, regions: tuple[Region, ...]
) -> CosineReading:
    if value is None or not regions:
        return CosineReading(pair, value, regions, None)
    deciding = regions[-1]
    return CosineReading(pair, value, regions, not deciding.low <= value <= deciding.high)


def _read_regions(connection: Connection, model_id: int, layer: int) -> dict[str, list[Region]]:
    b = tables.baselines.c
    rows = connection.execute(
        select(b.pair, b.kind, b.low, b.high, b.n_pairs, b.standard_error)
        .where((b.model_id == model_id) & (b.layer == layer))
        .order_by(b.kind)
    )
    regions: dict[str, list[Region]] = {}
    for pair, *region in rows:
        regions.setdefault(pair, []).append(Region(*region))
    return regions


@dataclass(frozen=True)
class ClassAt:
    """A neuron's read-write class at one threshold τ.

    Attributes:
        name: its name in weakening-neurons.
        io_name: the other published name (METHODS §2).
    """

    threshold: float
    name: str
    io_name: str


@dataclass(frozen=True)
class Caution:
    """Something to know before reading anything into a neuron.

    Attributes:
        kind: `undefined`, `not significant`, `not finite`, `dead` or `dense`.
        reason: what was found, with its number.
    """

    kind: str
    reason: str


@dataclass(frozen=True)
class Verdict:
    """A neuron's read-write class and its cautions.

    Attributes:
        read_write: the class at the model's τ; None while the weights are not ingested.
        meaning: what neurons of that class do; None without a class.
        elsewhere: the classes at the other stored thresholds, by τ.
    """

    read_write: ClassAt | None
    meaning: str | None
    elsewhere: tuple[ClassAt, ...]
    cautions: tuple[Caution, ...]


def read_verdict(
    connection: Connection,
    model: Model,
    neuron_id: int,
    cosines: Sequence[CosineReading],
    activations: Activations | None,
) -> Verdict:
    """Return a neuron's class at every stored threshold, and what to beware of.

    Args:
        connection: an open connection.
        model: the neuron's model, whose τ decides which class is shown first.
        neuron_id: id of the neuron.
        cosines: what `read_cosines` returned for it.
        activations: what `read_activations` returned for it.
    """
    c, k = tables.classes.c, tables.rw_classes
    rows = connection.execute(
        select(c.threshold, k.c.name, k.c.io_name)
        .join_from(tables.classes, k, k.c.class_id == c.class_id)
        .where(c.neuron_id == neuron_id)
        .order_by(c.threshold)
    )
    # A model known from imports alone has all its neurons in neuron_overview, of no class.
    classes = [ClassAt(*row) for row in rows] if has_cosines(connection, neuron_id) else []
    class_shown = next(
        (candidate for candidate in classes if candidate.threshold == model.threshold), None
    )
    return Verdict(
        class_shown,
        None if class_shown is None else describe_class(class_shown.name),
        tuple(candidate for candidate in classes if candidate is not class_shown),
        tuple(_list_cautions(class_shown, cosines, activations)),
    )


def has_cosines(connection: Connection, neuron_id: int) -> bool:
    """Tell whether a neuron's cosines are stored; those of one known from imports are not."""
    c = tables.cosines.c
    stored = connection.execute(select(c.neuron_id).where(c.neuron_id == neuron_id)).first()
    return stored is not None


def describe_class(class_name: str) -> str:
    """Return what neurons of a class do; for an atypical class also what sets it apart."""
    meaning = MEANINGS[class_name.removeprefix(ATYPICAL)]
    if class_name.startswith(ATYPICAL):
        return f"{meaning}, though cos(gate, in) does not fit"
    return meaning


def _list_cautions(
    class_shown: ClassAt | None, cosines: Sequence[CosineReading], activations: Activations | None
) -> Iterator[Caution]:
    if class_shown is not None and class_shown.name == "undefined":
        yield Caution("undefined", "a weight vector is zero, so cosines have no value")
    if cosines and all(reading.significant is False for reading in cosines):
        yield Caution("not significant", "no cosine leaves its random region")
    if activations is None:
        return
    if activations.n_nonfinite:
        n_left_out = activations.n_nonfinite
        n_all = (activations.n_tokens or 0) + n_left_out
        yield Caution(
            "not finite",
            f"{n_left_out:,} of {n_all:,} tokens are left out: gate, in or post was NaN or infinite"
            " there",
        )
    fires = activations.fires
    if fires is None:
        return
    if fires == 0:
        yield Caution("dead", f"fires on none of {format_count(activations.n_tokens, 'token')}")
    elif fires > DENSE:
        yield Caution("dense", f"fires on {fires:.1%} of the tokens")
