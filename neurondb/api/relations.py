"""Relations between neurons from Python: what `neurondb neighbours` computes, as rows."""

from collections.abc import Mapping
from typing import Any, Final

from neurondb.api.jobs import run_job
from neurondb.contracts.neighbours import NeighboursReport, NeighboursRequest
from neurondb.contracts.progress import Progress

CONNECTIONS: Final = """
    SELECT c.writer, c.reader, c.reads_with, c.cosine, c.score, c.strength, c.downstream_rank,
           c.upstream_rank, c.writer_id, c.reader_id
    FROM neighbour_runs r
    JOIN models m ON m.model_id = r.model_id
    JOIN connections c ON c.model = m.name
    WHERE r.run_id = :run
    ORDER BY c.writer_id, c.reads_with, c.reader_id"""
_NAMES: Final = {
    "top": "n_top",
    "threshold": "threshold",
    "random": "n_directions",
    "seed": "seed",
    "memory": "memory_gib",
    "device": "device",
    "force": "force",
}
"""Option, named as the command has it → the field of the request."""


def compute_neighbours(
    location: str | None, model: str, options: Mapping[str, Any], progress: Progress | None
) -> NeighboursReport:
    """Compute what `neurondb neighbours` does and store it, unless it is stored.

    Raises:
        TypeError: when an option is unknown.
        NeuronDBError: one line on what was wrong.
    """
    for name in options:
        if name not in _NAMES:
            known = ", ".join(sorted(_NAMES))
            raise TypeError(f"neighbours has no option {name!r}; it has {known}")
    given = {_NAMES[name]: value for name, value in options.items()}
    request = NeighboursRequest(model, location, **given)
    request.check()
    report: NeighboursReport = run_job("neighbours", request, progress)
    return report
