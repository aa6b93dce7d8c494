"""Figures of a mixture of experts name neurons by their experts, and draw what the sample's do."""

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Engine

from neurondb import figures
from neurondb.errors import UnknownNameError, UsageError
from tests.neurondb.figures.specs import PARAMETERS, rates_file, specification
from tests.support.sample_mixture import MIXTURE, NAMES

OF_COMPARISONS = frozenset(
    name
    for name in figures.FIGURES
    if name.startswith(("comparison-", "series-")) or name == "class-paths"
)


def _draw(engine: Engine, name: str, **more: Any) -> Any:
    given = PARAMETERS.get(name, {}) | more
    if name == "attribute-curves":
        given |= {"file": rates_file()}
    return specification(engine, name, MIXTURE, **given)


def _list_rows(spec: Any) -> Iterator[dict[str, Any]]:
    for rows in spec.get("datasets", {}).values():
        yield from rows


@pytest.mark.parametrize("name", figures.FIGURES)
def test_neurons_in_a_figure_have_their_experts(mixture_engine: Engine, name: str) -> None:
    if name in OF_COMPARISONS:
        with pytest.raises((UnknownNameError, UsageError), match=r"neurondb compare|in common"):
            _draw(mixture_engine, name)
        return
    for row in _list_rows(_draw(mixture_engine, name)):
        shown = str(row.get("name", ""))
        if shown.count(".") and shown.replace(".", "").isdecimal() and "head" not in row:
            assert shown in NAMES[MIXTURE], (name, row)
        if row.get("href"):
            assert row["href"].rpartition("/")[2] in NAMES[MIXTURE] or "/search?" in row["href"]


@pytest.mark.parametrize("neuron", ["2.3", 27])
def test_a_neuron_is_given_by_its_expert_or_its_number(
    mixture_engine: Engine, neuron: str | int
) -> None:
    spec = _draw(mixture_engine, "layer-scatter", layer=1, neuron=neuron)
    assert "1.2.3" in {
        row.get("name") for row in _list_rows(spec) if set(row) == {"x", "y", "name"}
    }


def test_class_vectors_take_names(mixture_engine: Engine) -> None:
    asked = {"neurons": "1.2.3,1.28,0.5"}
    rows = list(_list_rows(_draw(mixture_engine, "class-vectors", **asked)))
    assert rows
    with mixture_engine.connect() as connection:
        statement = figures.fill_statement(connection, "class-vectors", MIXTURE, **asked)
    assert statement is not None
    assert '"1.2.3,1.2.4,0.5"' in statement


@pytest.mark.parametrize("neuron", ["5.4", "9.0", "64", "x"])
def test_a_neuron_that_is_not_there_is_told(mixture_engine: Engine, neuron: str) -> None:
    with pytest.raises((UnknownNameError, UsageError), match="neuron"):
        _draw(mixture_engine, "neuron-distribution", layer=1, neuron=neuron)
