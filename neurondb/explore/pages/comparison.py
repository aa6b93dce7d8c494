"""Two models compared neuron by neuron: what stayed, what moved."""

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from neurondb.errors import UnknownNameError
from neurondb.explore.site import Page, Request
from neurondb.explore.sql import Sql, make_named_sql
from neurondb.formatting.text import format_ingest_command
from neurondb.reading import comparisons
from neurondb.reading.comparisons import ComparisonPage, Migration, MovedNeuron, Summary
from neurondb.reading.models import Model
from neurondb.reading.pairs import Pair, find_pair, find_stored_comparison
from neurondb.reading.series import Series, list_stored_series

MOVED: Final = 20


@dataclass(frozen=True)
class Comparison:
    """Two models compared.

    Attributes:
        created_at: when they were compared, in UTC.
        threshold: the τ of the read-write classes.
        cautions: what to know before drawing conclusions.
        migration: how many neurons went from which class to which.
        moved: the neurons that moved most.
        series: the series that both models are part of.
    """

    before: Model
    after: Model
    created_at: str
    threshold: float
    cautions: tuple[str, ...]
    whole: Summary
    layers: tuple[Summary, ...]
    migration: tuple[Migration, ...]
    moved: tuple[MovedNeuron, ...]
    series: tuple[Series, ...]
    sql: tuple[Sql, ...]


def answer(request: Request) -> Page:
    """Return the page of a stored comparison.

    Raises:
        UnknownNameError: when there is no such model, or no comparison that still holds; the
            message says how to make it.
        IngestError: when the two models have no neurons in common.
    """
    pair = find_pair(request.connection, request.path["before"], request.path["after"])
    comparison_id = find_stored_comparison(request.connection, pair)
    if comparison_id is None:
        raise UnknownNameError(_say_not_compared(request, pair))
    page = request.cached(
        ("comparison", comparison_id),
        lambda: comparisons.read_comparison_page(request.connection, pair, comparison_id, MOVED),
    )
    names = {"before": pair.before.name, "after": pair.after.name}
    content = Comparison(
        page.before,
        page.after,
        page.created_at,
        page.threshold,
        tuple(_list_cautions(page)),
        page.whole,
        page.layers,
        page.migration,
        page.moved,
        tuple(
            series
            for series in list_stored_series(request.connection, pair.before)
            if pair.after in series.models
        ),
        (
            make_named_sql("class-migration", **names),
            make_named_sql("moved-neurons", **names, limit=str(MOVED)),
        ),
    )
    return Page("comparison", f"{pair.before.name} → {pair.after.name}", content)


def _say_not_compared(request: Request, pair: Pair) -> str:
    turned = find_stored_comparison(request.connection, Pair(pair.after, pair.before))
    names = " ".join(shlex.quote(model.name) for model in pair)
    if turned is not None:
        return (
            f"{pair.after.name} has been compared with {pair.before.name}, not the other way: see "
            f"{request.site.links.comparison(pair.after.name, pair.before.name)}"
        )
    return (
        f"{pair.before.name} and {pair.after.name} are not compared, or were before one of them "
        f"changed; run `neurondb compare {names}`"
    )


def _list_cautions(page: ComparisonPage) -> Iterator[str]:
    for model in page.without_vocab:
        command = format_ingest_command(model.name, model.source, "vocab")
        yield f"top tokens unknown: run `{command}`, then compare again"
    ids = page.vocabularies
    if ids.one_sided:
        yield "only one of them has a tokenizer: their tokens cannot be compared"
    elif not ids.same:
        yield (
            f"the tokenizers differ, {ids.n_other:,} of {ids.n_ids:,} ids in what text they stand "
            "for; tokens are compared by text"
        )
    if page.after.threshold != page.threshold:
        yield f"{page.after.name} shows its classes at τ = {page.after.threshold:g}"
    if page.n_negated:
        yield f"{page.n_negated:,} neurons have in and out both negated"
