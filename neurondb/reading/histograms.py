"""How a neuron's activations are distributed over the bins of `neurondb.histogram`."""

from dataclasses import dataclass

from sqlalchemy import Connection, select

from neurondb import histogram
from neurondb.schema import tables


@dataclass(frozen=True)
class Histogram:
    """Tokens in each bin, ascending, of one quantity in canonical sign."""

    quantity: str
    counts: tuple[int, ...]


@dataclass(frozen=True)
class Histograms:
    """A neuron's histograms.

    Attributes:
        edges: between the bins, ascending, one fewer than bins: the outer ones are open.
        stride: of every text only one position in so many is counted.
        quantities: one histogram each; hook_post first.
    """

    edges: tuple[float, ...]
    stride: int
    quantities: tuple[Histogram, ...]


def histograms(connection: Connection, neuron_id: int, dataset_id: int) -> Histograms | None:
    """Return a neuron's histograms on a dataset; None where none is stored."""
    h, q = tables.activation_histograms.c, tables.quantities
    rows = connection.execute(
        select(q.c.quantity, h.counts)
        .join_from(tables.activation_histograms, q, q.c.quantity_id == h.quantity_id)
        .where((h.neuron_id == neuron_id) & (h.dataset_id == dataset_id))
        .order_by(h.quantity_id)
    )
    found = tuple(
        Histogram(row.quantity, tuple(histogram.unpack(row.counts).tolist())) for row in rows
    )
    if not found:
        return None
    return Histograms(tuple(histogram.edges().tolist()), histogram.STRIDE, found)
