"""A stored model held against the literature: all comparisons, the patterns, and what to know.

What `neurondb verify MODEL --published` shows, and `Database.verify_published` returns.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

from sqlalchemy import Connection

from neurondb.published.class_counts import classify_model, compare_class_counts
from neurondb.published.comparison import AGREES, DIFFERS, Comparison
from neurondb.published.effects import compare_ablations, compare_kept_tokens
from neurondb.published.firing import (
    compare_correlations,
    compare_frequencies,
    compare_medians,
    read_firing,
)
from neurondb.published.literature import identify_model
from neurondb.published.pattern import FAILS, HOLDS
from neurondb.published.patterns import Pattern, check_patterns
from neurondb.published.single_neurons import compare_neuron_cosines, compare_sign_cases
from neurondb.reading.models import Model, find_model
from neurondb.reading.provenance import find_latest_run


@dataclass(frozen=True)
class Verification:
    """What the literature says of a model, and what the database holds.

    Attributes:
        model: the stored model.
        published_as: its name in the literature; None where it is in no table.
        comparisons: published figures and ours; none where it is in no table.
        patterns: what the papers found in all models, instead of comparisons.
        cautions: sentences on why figures may differ although nothing is wrong.
    """

    model: Model
    published_as: str | None
    comparisons: tuple[Comparison, ...]
    patterns: tuple[Pattern, ...]
    cautions: tuple[str, ...]

    @property
    def agrees(self) -> bool:
        """Whether something could be compared, and all of that agrees or holds."""
        verdicts = {
            *(comparison.verdict for comparison in self.comparisons),
            *(pattern.verdict for pattern in self.patterns),
        }
        return bool(verdicts & {AGREES, HOLDS}) and not verdicts & {DIFFERS, FAILS}


def verify_published(
    connection: Connection, name: str, published_as: str | None = None, *, patterns: bool = False
) -> Verification:
    """Return what the literature says of a stored model beside what the database holds.

    Args:
        connection: an open connection.
        name: the model, as the database knows it.
        published_as: which model of the literature it is; None finds out by name and source.
        patterns: whether to look for the patterns instead, which a model in no table gets anyway.

    Raises:
        UnknownNameError: when the database has no such model.
        UsageError: when no table has a model of the name given.
        ModelError: when the model of that name has another shape.
    """
    model = find_model(connection, name)
    known_as = identify_model(model, published_as)
    by_figures = known_as is not None and not patterns
    return Verification(
        model,
        known_as,
        tuple(_compare(connection, known_as or "", model)) if by_figures else (),
        () if by_figures else check_patterns(connection, model),
        tuple(_list_cautions(connection, model)),
    )


def _compare(connection: Connection, name: str, model: Model) -> Iterator[Comparison]:
    classified = classify_model(connection, model)
    firing = read_firing(connection, model)
    return chain(
        compare_class_counts(name, classified, model),
        compare_medians(connection, name, model),
        compare_neuron_cosines(connection, name, model),
        compare_frequencies(name, classified, firing),
        compare_correlations(connection, name, model, firing),
        compare_sign_cases(connection, name, model, firing),
        compare_kept_tokens(connection, name, model),
        compare_ablations(connection, name, model),
    )


def _list_cautions(connection: Connection, model: Model) -> Iterator[str]:
    """Yield a sentence for each choice of ours that the published figures were not made with."""
    if model.quantisation is not None:
        yield f"the weights are those of a {model.quantisation} file, the published ones' are not"
    run = find_latest_run(connection, model)
    if run is None:
        return
    if run.fold is False:
        yield "the weights were stored as they are (--raw); the published ones have the norm folded"
    if run.fold_post_norm:
        yield "the norm after the MLP was folded into out; the published weights are without it"
    if run.center_gate:
        yield "gates were centred; the published ones were not"
