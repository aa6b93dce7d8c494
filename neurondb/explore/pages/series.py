"""A series of models: paths of classes, what each step kept, who moved, medians over the steps."""

from dataclasses import dataclass
from typing import Final

from neurondb.explore.lasting_runs import find_number, make_run_page
from neurondb.explore.site import Page, Request
from neurondb.explore.sql import Sql, make_named_sql
from neurondb.reading.series import read_series
from neurondb.reading.series_page import SeriesPage, read_series_page

PATHS: Final = 20
MOVED: Final = 20


@dataclass(frozen=True)
class SeriesContent:
    """A series' page.

    Attributes:
        series: the series, summed up.
        vectors: the vectors that are compared, of ungated models without gate.
        pairs: the pairs of a neuron's own vectors, as columns of `cosines`.
        command: what compares its models again.
        steps_sql: the statement of its steps; likewise of its paths, medians and moved neurons.
    """

    series: SeriesPage
    vectors: tuple[str, ...]
    pairs: tuple[str, ...]
    command: str
    steps_sql: Sql
    paths_sql: Sql
    medians_sql: Sql
    moved_sql: Sql


def answer(request: Request) -> Page:
    """Return the page of a stored series.

    Raises:
        UnknownNameError: when there is none of this number, or one of its models has changed since
            it was compared; the message says how to compare again.
    """
    series_id = find_number(request, "series", request.path["series_id"])
    series = read_series(request.connection, series_id)
    found = request.cached(
        ("series", series_id, series.created_at),
        lambda: read_series_page(request.connection, series, PATHS, MOVED),
    )
    number = str(series_id)
    content = SeriesContent(
        found,
        tuple(found.steps[-1].cosines),
        tuple(found.layers[0].medians),
        series.command,
        make_named_sql("series-steps", series=number),
        make_named_sql("class-paths", series=number, limit=str(PATHS)),
        make_named_sql("series-medians", series=number),
        make_named_sql("series-moved", series=number, limit=str(MOVED)),
    )
    title = f"Series {series_id}: {series.title}"
    return make_run_page(request, "series", series_id, title, content)
