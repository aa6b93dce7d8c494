"""`Database.compare`: two models or a series, compared where they are not, and their rows."""

from collections.abc import Sequence

from neurondb.api.jobs import run_job
from neurondb.contracts.compare import CompareRequest, SeriesRequest
from neurondb.contracts.progress import Progress
from neurondb.errors import UsageError
from neurondb.reading.models import open_readonly
from neurondb.reading.pairs import find_pair, find_stored_comparison
from neurondb.reading.series import find_series_models, find_stored_series

PAIR_ROWS = """
    SELECT * FROM compared_neurons
    WHERE comparison_id = :number
    ORDER BY CASE WHEN moved IS NULL THEN 1 ELSE 0 END, moved DESC, layer, neuron"""
SERIES_ROWS = """
    SELECT * FROM series_neurons
    WHERE series_id = :number
    ORDER BY layer, neuron, step"""


def compare_models(
    location: str | None, names: Sequence[str], progress: Progress | None, *, force: bool
) -> tuple[str, int]:
    """Return the statement of the rows of a comparison or a series, and its number.

    Raises:
        MissingExtraError: when something is not compared yet and the extra is not installed.
        UsageError: when fewer than two models are named, or one twice.
        NeuronDBError: as the job does.
    """
    if len(names) < 2:
        raise UsageError(f"compare takes two models or more, not {len(names)}")
    request: CompareRequest | SeriesRequest
    with open_readonly(location) as connection:
        if len(names) == 2:
            request = CompareRequest(names[0], names[1], location)
            stored = find_stored_comparison(connection, find_pair(connection, *names))
        else:
            request = SeriesRequest(tuple(names), location, force)
            stored = find_stored_series(connection, find_series_models(connection, names))
    if force or stored is None:
        stored = int(run_job("compare", request, progress))
    return PAIR_ROWS if len(names) == 2 else SERIES_ROWS, stored
