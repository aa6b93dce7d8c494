"""The figures of families, against plain counts of the sample."""

from collections import Counter

import pytest
from sqlalchemy import Engine

from neurondb.errors import UnknownNameError, UsageError
from tests.neurondb.figures.specs import GATED, UNGATED, rows, specification
from tests.neurondb.figures.test_statements import ask
from tests.support.sample_facts import WIDTH, Sample

MODELS = pytest.mark.parametrize("model", [GATED, UNGATED])


def best(sample: Sample, model: str) -> dict[int, tuple[str, float]]:
    """Neuron → its best family over all tokens, and the score."""
    return {
        f["neuron_id"]: (f["family"], f["score"])
        for f in sample.families
        if (f["model"], f["sign_case"], f["rank"]) == (model, "all", 0)
    }


@MODELS
@pytest.mark.parametrize("least", [None, "0.7"])
def test_a_bar_is_the_share_of_a_layer_that_a_family_explains_best(
    model: str, least: str | None, sample: Sample, sample_engine: Engine
) -> None:
    first = {n["neuron_id"]: n["layer"] for n in sample.neurons}
    wanted = Counter(
        (first[neuron_id], family)
        for neuron_id, (family, score) in best(sample, model).items()
        if score > float(least or 0.1)
    )
    drawn = rows(specification(sample_engine, "families-by-layer", model, least=least), "share")
    assert {(row["layer"], row["family"]): row["n"] for row in drawn} == wanted
    assert all(row["share"] == pytest.approx(row["n"] / WIDTH, abs=1e-5) for row in drawn)
    asked = ask(sample_engine, "families-by-layer", model, least=float(least or 0.1))
    assert {(row["layer"], row["family"]): row["n"] for row in asked} == wanted


@pytest.mark.parametrize("by", ["test", "position", "next_token"])
def test_boxes_are_the_stored_quantiles(by: str, sample: Sample, sample_engine: Engine) -> None:
    families = {family for family, _ in best(sample, GATED).values()}
    asked = [
        row
        for family in sorted(families)
        for row in ask(sample_engine, "family-activations", GATED, family=family, by=by)
    ]
    drawn = []
    for family in sorted({row["test"] and family for family in families for row in asked}):
        try:
            spec = specification(sample_engine, "family-activations", family=family, by=by)
        except UnknownNameError:  # none of its neurons is shown
            continue
        for data in spec["datasets"].values():
            drawn += data
    columns = ("name", "place", "n", "q05", "q25", "q50", "q75", "q95")
    assert sorted(tuple(row[c] for c in columns) for row in asked) == sorted(
        tuple({**row, "name": row["neuron"]}[c] for c in columns) for row in drawn
    )
    assert len(asked) > 5


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("family-activations", {"family": "nobody"}, "of the family 'nobody'.*there are those of"),
        ("families-by-layer", {"least": "much"}, "least is a score between 0 and 1, not 'much'"),
    ],
)
def test_what_cannot_be_drawn(
    name: str, parameters: dict[str, str], message: str, sample_engine: Engine
) -> None:
    with pytest.raises((UnknownNameError, UsageError), match=message):
        specification(sample_engine, name, **parameters)
