"""The views of neighbours and of connections, in words and with what follows from the norms."""

from typing import Final

from neurondb.schema.codes import VECTORS

SIDES: Final = {1: "nearest", -1: "opposite"}
"""Code of a list of neighbours → its name."""
NEIGHBOUR_COLUMNS: Final = {
    f"{word}_{vector}": (code, side)
    for side, word in SIDES.items()
    for code, vector in enumerate(VECTORS)
}
"""Column of neuron_overview → the code of the vector and the side of the list that it heads."""


def write_neighbour_columns() -> str:
    """Return these columns for the SELECT of neuron_overview, whose neuron is `n`."""
    return ",\n       ".join(
        f"(SELECT g.cosine FROM neighbour_rows g WHERE g.neuron_id = n.neuron_id "  # noqa: S608
        f"AND g.vector_id = {code} AND g.side = {side} AND g.rank = 0) AS {column}"
        for column, (code, side) in NEIGHBOUR_COLUMNS.items()
    )


_NEIGHBOURS: Final = """
SELECT r.neuron_id, v.vector,
       CASE WHEN r.side > 0 THEN 'nearest' ELSE 'opposite' END AS side,
       r.rank, r.other_id, r.cosine, m.name AS model, n.layer, o.layer AS other_layer, n.name,
       o.name AS other
FROM neighbour_rows r
JOIN vectors v ON v.vector_id = r.vector_id
JOIN named_neurons n ON n.neuron_id = r.neuron_id
JOIN named_neurons o ON o.neuron_id = r.other_id
JOIN models m ON m.model_id = n.model_id
"""

# A dot product follows from the cosine and two norms.
_CONNECTIONS: Final = f"""
SELECT c.writer_id, c.reader_id, v.vector AS reads_with, c.cosine,
       c.cosine / k.random_std AS score,
       c.cosine * w.out_norm
       * CASE WHEN c.vector_id = {VECTORS.index("gate")} THEN d.gate_norm ELSE d.in_norm END
       AS strength,
       c.downstream_rank, c.upstream_rank, m.name AS model, w.layer AS writer_layer,
       d.layer AS reader_layer,
       w.name AS writer,
       d.name AS reader
FROM connection_rows c
JOIN vectors v ON v.vector_id = c.vector_id
JOIN named_neurons w ON w.neuron_id = c.writer_id
JOIN named_neurons d ON d.neuron_id = c.reader_id
JOIN models m ON m.model_id = w.model_id
JOIN neighbour_runs k ON k.model_id = m.model_id
"""  # noqa: S608

NEIGHBOUR_VIEWS: Final = (
    (
        "neighbours",
        _NEIGHBOURS,
        "A neuron whose vector has one of the largest cosines with that of another neuron of its "
        "model (side nearest), or one of the most negative (side opposite).",
    ),
    (
        "connections",
        _CONNECTIONS,
        "A neuron that writes, and one of a later layer that reads with gate or in: score is the "
        "cosine in standard deviations of random directions, strength the dot product of the two "
        "vectors, by which hook_post of the one moves what the other reads before the norm "
        "divides.",
    ),
)
"""Name, SELECT and description of each view."""
