"""A neuron's three cosines against the regions that random directions fill (METHODS §2, §3)."""

from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, select

from neurondb.reading.models import Model
from neurondb.schema import tables

PAIRS: Final = ("gate_in", "gate_out", "in_out")


@dataclass(frozen=True)
class Region:
    """The interval that 95% of random cosines of a layer fall into."""

    kind: str
    low: float
    high: float
    n_pairs: int | None
    standard_error: float | None


@dataclass(frozen=True)
class CosineReading:
    """One cosine; `significant` is None where the value or every region is missing.

    Attributes:
        regions: gaussian before mismatched; the last one decides, as in neuron_overview.
    """

    pair: str
    value: float | None
    regions: tuple[Region, ...]
    significant: bool | None


def cosines(
    connection: Connection, model: Model, layer: int, neuron_id: int
) -> tuple[CosineReading, ...]:
    """Return the cosines of a neuron: three, or only cos(in, out) when it is ungated."""
    c = tables.cosines.c
    row = connection.execute(
        select(c.gate_in, c.gate_out, c.in_out).where(c.neuron_id == neuron_id)
    ).first()
    values = {} if row is None else row._asdict()
    regions = _regions(connection, model.model_id, layer)
    return tuple(
        _reading(pair, values.get(pair), tuple(regions.get(pair, ())))
        for pair in (PAIRS if model.gated else PAIRS[2:])
    )


def _reading(pair: str, value: float | None, regions: tuple[Region, ...]) -> CosineReading:
    if value is None or not regions:
        return CosineReading(pair, value, regions, None)
    decides = regions[-1]
    return CosineReading(pair, value, regions, not decides.low <= value <= decides.high)


def _regions(connection: Connection, model_id: int, layer: int) -> dict[str, list[Region]]:
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
