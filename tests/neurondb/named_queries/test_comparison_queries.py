"""The named queries on comparisons say what the same rows say in plain Python."""

from collections import Counter
from typing import Any

import pytest
from sqlalchemy import Engine

from neurondb import named_queries
from neurondb.errors import UnknownNameError
from tests.support.sample_facts import NEURONS, WIDTH, Row, Sample

BEFORE, AFTER = "sample-llama", "sample-gpt"


def ask(engine: Engine, name: str, **given: str) -> list[Row]:
    rows = named_queries.run(engine, name, given)
    return [dict(zip(rows.columns, row, strict=True)) for row in rows.rows]


def sides(sample: Sample, i: int) -> tuple[Row, Row]:
    return sample.neurons[i], sample.neurons[NEURONS + i]


def test_those_that_moved_most_come_first(sample_engine: Engine, sample: Sample) -> None:
    found = ask(sample_engine, "moved-neurons", before=BEFORE, limit="20")
    expected = sorted(
        range(NEURONS), key=lambda i: (-sample.compared[i]["moved"], *divmod(i, WIDTH))
    )[:20]
    for row, i in zip(found, expected, strict=True):
        a, b = sides(sample, i)
        assert (row["model_a"], row["model_b"], row["name"]) == (BEFORE, AFTER, a["name"])
        assert row["moved"] == sample.compared[i]["moved"]
        assert (row["class_a"], row["class_b"]) == (a["class"], b["class"])
        assert row["token_a"] == sample.head[a["neuron_id"]]
        assert row["token_b"] == sample.head[b["neuron_id"]]


def test_classes_are_counted_from_and_to(sample_engine: Engine, sample: Sample) -> None:
    pairs: Counter[tuple[str, str]] = Counter()
    for i in range(NEURONS):
        a, b = sides(sample, i)
        pairs[a["class"], b["class"]] += 1
    found = ask(sample_engine, "class-migration", before=BEFORE, after=AFTER)
    assert {(row["class_a"], row["class_b"]): row["n"] for row in found} == pairs
    shares: dict[str, float] = {}
    for row in found:
        shares[row["class_a"]] = shares.get(row["class_a"], 0) + row["share"]
    assert shares == pytest.approx(dict.fromkeys(shares, 1.0))


def test_kept_tokens_are_counted_by_layer(sample_engine: Engine, sample: Sample) -> None:
    found = ask(sample_engine, "token-keeping-by-layer")
    kept: Counter[int] = Counter()
    for row in sample.compared:
        kept[row["layer"]] += row["same_token"]
    assert [(row["layer"], row["n"], row["kept"]) for row in found] == [
        (layer, WIDTH, kept[layer]) for layer in range(NEURONS // WIDTH)
    ]
    assert [row["share"] for row in found] == [row["kept"] / WIDTH for row in found]
    same = ask(sample_engine, "kept-top-tokens", base=BEFORE, tuned=AFTER)
    assert [(row["layer"], row["kept"]) for row in same] == [
        (row["layer"], row["kept"]) for row in found
    ]


@pytest.mark.parametrize("name", ["moved-neurons", "class-migration", "token-keeping-by-layer"])
def test_the_order_of_the_two_matters_and_names_are_looked_up(
    sample_engine: Engine, name: str
) -> None:
    given: dict[str, Any] = {"before": AFTER, "after": BEFORE}
    assert ask(sample_engine, name, **given) == []
    assert ask(sample_engine, name, before=BEFORE.upper())
    with pytest.raises(UnknownNameError):
        ask(sample_engine, name, after="no such model")
