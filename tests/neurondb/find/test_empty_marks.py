"""Why no neuron is starred, listed, annotated, explained, or of an expert, said where none is."""

import re

import pytest
from sqlalchemy import Engine

from neurondb.errors import ExpressionError, UsageError
from neurondb.find import explain_empty, find

LLAMA = "model=sample-llama"
PAGE = "serve --allow-annotations"


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("starred", [f"no neuron of sample-llama is starred.*{PAGE}"]),
        ("annotated", ["no neuron of sample-llama has anything said.*`neurondb annotate FILE`"]),
        ("annotation~'dog'", ["nothing is said of any neuron of sample-llama.*annotate FILE"]),
        ("explanation~'dog'", ["explanation: run `neurondb explain sample-llama --where"]),
        ("expert=3", ["sample-llama is not divided into experts"]),
        ("expert_neuron<3", ["sample-llama is not divided into experts"]),
        ("routed_share>0.5", ["sample-llama is not divided into experts"]),
    ],
)
def test_what_no_neuron_of_the_model_has_is_told(
    sample_engine: Engine, expression: str, said: list[str]
) -> None:
    assert not list(find(sample_engine, f"{LLAMA} {expression}").rows)
    reasons = explain_empty(sample_engine, f"{LLAMA} {expression}")
    assert len(reasons) == len(said)
    assert all(map(re.search, said, reasons))


def test_each_model_is_told_of(sample_engine: Engine) -> None:
    told = explain_empty(sample_engine, "starred")
    assert [line.split()[3] for line in told] == ["sample-gpt", "sample-llama"]


def test_a_column_like_no_other_says_where_all_are(sample_engine: Engine) -> None:
    said = r"'nothing'; `neurondb sql .*neuron_overview"
    with pytest.raises(UsageError, match=said):
        find(sample_engine, "weakening", columns=["nothing"])
    with pytest.raises(UsageError, match=said):
        find(sample_engine, "weakening", order=["-nothing"])


def test_a_key_like_no_other_says_where_all_are(sample_engine: Engine) -> None:
    with pytest.raises(ExpressionError, match=r"'xyzzy' .*docs/find\.md"):
        find(sample_engine, "xyzzy=3")
