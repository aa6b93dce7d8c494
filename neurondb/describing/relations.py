"""What relations between neurons, tokens and heads say of a layer: best test, strongest head."""

from collections.abc import Iterator
from typing import Final

from sqlalchemy import Connection, func, select

from neurondb.describing.evidence import Family, Head
from neurondb.describing.vocabulary import TOKEN_CELLS
from neurondb.formatting.text import keep_start
from neurondb.reading.models import Model, match_neurons
from neurondb.schema import tables
from neurondb.schema.tables.families import ALL_CASES

LEAST_SCORE: Final = 0.1
"""A test that explains a smaller share of the variance is not named."""
LEAST_STANDARD_SCORE: Final = 5.0
"""Standard deviations of random directions: chance exceeds it once in two million pairs."""


def read_families(
    connection: Connection, model: Model, layer: int, dataset_id: int
) -> Iterator[tuple[int, Family]]:
    """Yield (neuron, the test that explains most of its hook_post) where that is much."""
    f, r, t = tables.neuron_families, tables.family_runs.c, tables.token_tests.c
    rows = connection.execute(
        select(f.c.neuron_id, t.name, f.c.score, f.c.inside_mean >= f.c.outside_mean)
        .join_from(f, tables.family_runs, r.run_id == f.c.run_id)
        .join(tables.token_tests, (t.run_id == f.c.run_id) & (t.test == f.c.test))
        .where(match_neurons(f.c.neuron_id, model, layer), r.dataset_id == dataset_id)
        .where(f.c.case_id == ALL_CASES, f.c.rank == 0, f.c.score >= LEAST_SCORE)
    )
    first = model.first_neuron_id + layer * model.d_mlp
    for neuron_id, name, score, higher in rows:
        yield neuron_id - first, Family(_spell(name), score, 1 if higher else -1)


def _spell(test: str) -> str:
    """Return the name of a test as a description has it: `previous: contains digit`, `word: ⏎`."""
    kind, word, text = test.partition("word: ")
    return kind.replace("_", " ") + word + keep_start(text, TOKEN_CELLS)


def read_heads(connection: Connection, model: Model, layer: int) -> Iterator[tuple[int, Head]]:
    """Yield (neuron, the head that it turns off or on the most) where chance does far less."""
    h = tables.neuron_head_rows.c
    strength = func.abs(h.standardised)
    rows = connection.execute(
        select(h.neuron_id, h.head_layer, h.head, h.score, h.standardised)
        .where(match_neurons(h.neuron_id, model, layer), strength >= LEAST_STANDARD_SCORE)
        .order_by(h.neuron_id, strength.desc(), h.head_layer, h.head)
    )
    first = model.first_neuron_id + layer * model.d_mlp
    seen: set[int] = set()
    for neuron_id, head_layer, head, score, standardised in rows:
        if neuron_id not in seen:
            seen.add(neuron_id)
            yield neuron_id - first, Head(f"{head_layer}.{head}", score, standardised)
