"""What the papers found in all the models that they looked at, looked for in a stored one.

    from neurondb.published.patterns import check_patterns
    for pattern in check_patterns(connection, find_model(connection, "smollm2")):
        print(pattern.verdict, pattern.statement, pattern.effect)

`weight_patterns`, `firing_patterns`, `vocabulary_patterns` and `ablation_patterns` have them, by
what they take. Classes are those at the τ that `neuron_overview` shows, and so are activations
those on the dataset that it shows.
"""

from collections import Counter
from collections.abc import Iterable
from itertools import chain
from typing import Final

from sqlalchemy import Connection

from neurondb.published.ablation_patterns import check_ablation_patterns
from neurondb.published.firing_patterns import check_firing_patterns
from neurondb.published.pattern import ABSENT, FAILS, HOLDS, TOO_FEW, Pattern
from neurondb.published.vocabulary_patterns import check_vocabulary_patterns
from neurondb.published.weight_patterns import check_weight_patterns
from neurondb.reading.models import Model

__all__ = ["Pattern", "check_patterns", "count_verdicts"]

VERDICTS: Final = (HOLDS, FAILS, TOO_FEW, ABSENT)
"""In the order in which they are counted."""


def check_patterns(connection: Connection, model: Model) -> tuple[Pattern, ...]:
    """Return every pattern that a model of its kind can have, with its verdict and effect.

    Those that need conditional classes or gates are left out for ungated models. A pattern whose
    numbers are not ingested is `not in this database`; nothing is computed from weights.

    Args:
        connection: an open connection.
        model: the stored model.
    """
    return tuple(
        chain(
            check_weight_patterns(connection, model),
            check_firing_patterns(connection, model),
            check_vocabulary_patterns(connection, model),
            check_ablation_patterns(connection, model),
        )
    )


def count_verdicts(patterns: Iterable[Pattern]) -> dict[str, int]:
    """Return verdict → how many patterns have it, of the verdicts that occur."""
    counts = Counter(pattern.verdict for pattern in patterns)
    return {verdict: counts[verdict] for verdict in VERDICTS if counts[verdict]}
