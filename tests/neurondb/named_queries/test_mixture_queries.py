"""Named queries of a mixture of experts: the rows are those of the sample, but for the names."""

import pytest
from sqlalchemy import Engine

from neurondb import named_queries
from neurondb.errors import UnknownNameError, UsageError
from tests.neurondb.named_queries.test_named_queries import ARGUMENTS, ask
from tests.support.sample_facts import Row
from tests.support.sample_mixture import MIXTURE, name_place

NAME_COLUMNS = ("name", "best_name", "best_name_all", "best", "other", "reader", "writer")
OF_HEADS = "attention-heads"
OF_COMPARISONS = frozenset(
    ("class-migration", "class-paths", "moved-neurons", "token-keeping-by-layer")
)
"""`compare` refuses mixtures, so that these find nothing; those of series are others."""


def rename(row: Row) -> Row:
    """Return a row of the sample with its neurons' names as those of the mixture's."""
    of_other = row.get("other_model", row.get("model", MIXTURE))

    def convert(column: str, value: object) -> object:
        model = of_other if column.startswith("best") else row.get("model", MIXTURE)
        if column not in NAME_COLUMNS or model != MIXTURE or not isinstance(value, str):
            return value
        layer, _, neuron = value.partition(".")
        return name_place(int(layer), int(neuron)) if neuron.isdecimal() else value

    return {column: convert(column, value) for column, value in row.items()}


@pytest.mark.parametrize("name", named_queries.list_names())
def test_rows_differ_in_names_alone(
    sample_engine: Engine, mixture_engine: Engine, name: str
) -> None:
    given = ARGUMENTS.get(name, {})
    found, former = ask(mixture_engine, name, **given), ask(sample_engine, name, **given)
    if name in OF_COMPARISONS or name.startswith("series-"):
        assert found == []
        return
    expected = former if name == OF_HEADS else [rename(row) for row in former]
    assert sorted(found, key=repr) == sorted(expected, key=repr)


@pytest.mark.parametrize(
    "name", [n for n, given in ARGUMENTS.items() if "neuron" in given and n != "families-of-neuron"]
)
def test_a_neuron_is_its_number_in_the_layer_or_in_the_expert(
    mixture_engine: Engine, name: str
) -> None:
    place = {"model": MIXTURE, "layer": "1"}
    by_expert = ask(mixture_engine, name, **place, neuron="2.3")
    assert by_expert == ask(mixture_engine, name, **place, neuron="27")


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        ({"layer": "1", "neuron": "5.4"}, UnknownNameError, "no neuron 1.5.4: its layers are 0"),
        ({"layer": "0", "neuron": "1.2"}, UnknownNameError, "no neuron 0.1.2"),
        ({"neuron": "1.2"}, UsageError, "say model and layer too"),
        ({"layer": "1", "neuron": "1.2.3"}, UsageError, "nor EXPERT.NUMBER"),
    ],
)
def test_what_names_no_neuron_is_told(
    mixture_engine: Engine, given: dict[str, str], error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        ask(mixture_engine, "head-effects-by-case", model=MIXTURE, **given)
