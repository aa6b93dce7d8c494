"""Which layers of which models a question is about, against every neuron looked at one by one."""

import itertools
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from neurondb.find.coverage import (
    CoveredModel,
    explain_missing_stage,
    find_covered_models,
    find_named_models,
)
from neurondb.find.terms import And, Between, Compare, Expression, Not, OneOf, Or, Place
from neurondb.known_models import find_known_model
from neurondb.reading.models import Model

LAYERS, WIDTH = 3, 4
OLMO = find_known_model("olmo-7b-0424").hub_id


def model(number: int) -> Model:
    first = number * LAYERS * WIDTH
    shape = (LAYERS, 8, WIDTH, 10, first)
    return Model(number, f"m{number}", "here", None, "llama", True, "silu", *shape, 0.5, None)


MODELS = [model(n) for n in range(2)]

columns = st.sampled_from(["layer", "neuron", "neuron_id"])
numbers = st.integers(-1, 30)
leaves: st.SearchStrategy[Expression] = st.one_of(
    st.builds(OneOf, st.just("model"), st.lists(st.sampled_from(["m0", "m1"])).map(tuple)),
    st.builds(OneOf, columns, st.lists(numbers, min_size=1).map(tuple)),
    st.builds(Compare, columns, st.sampled_from(["<", "<=", ">", ">="]), numbers),
    st.builds(Between, columns, numbers, numbers),
    st.builds(Place, st.integers(0, 4), st.integers(0, 5)),
    st.just(Compare("freq", ">", 0.5)),
)
expressions = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.builds(And, st.lists(inner).map(tuple)),
        st.builds(Or, st.lists(inner, min_size=1).map(tuple)),
        st.builds(Not, inner),
    ),
    max_leaves=6,
)


def may_hold(term: Expression, of: Model, layer: int, neuron: int, freq: bool) -> bool:
    """Whether a neuron fits, if its freq term is true or false as told."""
    place = {"layer": layer, "neuron": neuron}
    place["neuron_id"] = of.first_neuron_id + layer * WIDTH + neuron
    match term:
        case And(parts):
            return all(may_hold(part, of, layer, neuron, freq) for part in parts)
        case Or(parts):
            return any(may_hold(part, of, layer, neuron, freq) for part in parts)
        case Not(part):
            return not may_hold(part, of, layer, neuron, freq)
        case OneOf("model", names):
            return of.name in names
        case OneOf(column, values):
            return place[column] in values
        case Between(column, low, high):
            return low <= place[column] <= high
        case Place(l, n):
            return (l, n) == (layer, neuron)
        case Compare("freq"):
            return freq
        case Compare(column, operator, value):
            x = place[column]
            relations = {"<": x < value, "<=": x <= value, ">": x > value, ">=": x >= value}
            return relations[operator]
    raise AssertionError(term)


@given(expressions)
def test_nothing_that_may_fit_is_left_out(expression: Expression) -> None:
    layers = {part.model.name: part.layers for part in find_covered_models(expression, MODELS)}
    for of, layer, neuron, freq in itertools.product(
        MODELS, range(LAYERS), range(WIDTH), (True, False)
    ):
        if may_hold(expression, of, layer, neuron, freq):
            assert layer in layers[of.name]


@given(leaves)
def test_of_one_term_what_is_left_out_is_all_that_cannot_fit(term: Expression) -> None:
    expected = [
        CoveredModel(of, layers)
        for of in MODELS
        if (
            layers := tuple(
                layer
                for layer in range(LAYERS)
                if any(
                    may_hold(term, of, layer, neuron, freq)
                    for neuron in range(WIDTH)
                    for freq in (True, False)
                )
            )
        )
    ]
    if not (isinstance(term, Between) and term.low > term.high):  # which no user can write
        assert find_covered_models(term, MODELS) == expected


def test_places_rule_out_no_model_by_name() -> None:
    beyond = OneOf("layer", (99,))
    assert find_named_models(beyond, MODELS) == MODELS
    assert find_covered_models(beyond, MODELS) == []
    assert find_named_models(And((OneOf("model", ("m1",)), beyond)), MODELS) == MODELS[1:]


def test_a_command_names_weights_only_where_they_are_known() -> None:
    """Of a model that an import made nobody need have said where its weights are."""
    imported = replace(MODELS[0], name="its own", source="its own", d_model=0)
    line = "the weights were not ingested for {}: run `neurondb ingest {} --stages weights`"
    for one, arguments in [
        (MODELS[0], "here --name m0"),
        (imported, "CHECKPOINT --name 'its own'"),
        (replace(imported, source="hub/one"), "hub/one --name 'its own'"),
        (replace(MODELS[0], name="olmo-7b-0424", source=OLMO), "olmo-7b-0424"),
    ]:
        assert explain_missing_stage("weights", [one]) == line.format(one.name, arguments)
