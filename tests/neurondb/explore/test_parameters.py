"""What addresses name is read, and what means nothing is refused with what there is."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Engine

from neurondb.errors import UsageError
from neurondb.explore.parameters import read_choice, read_layer, read_position
from neurondb.reading.models import Model, find_model
from tests.support.sample_facts import LAYERS


@pytest.fixture
def model(sample_engine: Engine) -> Iterator[Model]:
    with sample_engine.connect() as connection:
        yield find_model(connection, "sample-llama")


def test_a_layer_is_one_of_the_models(model: Model) -> None:
    assert [read_layer(written, model) for written in (None, "", "0", str(LAYERS - 1))] == [
        *(None, None, 0, LAYERS - 1)
    ]
    for written in (str(LAYERS), "-1", "x", "1" * 10):
        with pytest.raises(UsageError, match=rf"'{re.escape(written)}'.*\b{LAYERS - 1}\b"):
            read_layer(written, model)


def test_a_position_is_a_whole_number() -> None:
    assert [read_position(written) for written in (None, "", "0", "12")] == [None, None, 0, 12]
    for written in ("-1", "1.5", "x", "1" * 10):
        with pytest.raises(UsageError, match=rf"'{re.escape(written)}'.*position"):
            read_position(written)


@pytest.mark.parametrize(("written", "chosen"), [(None, "a"), ("", "a"), ("a", "a"), ("b", "b")])
def test_the_first_is_chosen_where_nothing_is_named(written: Any, chosen: str) -> None:
    assert read_choice("letter", written, ("a", "b")) == chosen


def test_what_is_no_choice_is_refused_with_those_there_are() -> None:
    with pytest.raises(UsageError, match=r"letter.*'c'.*a, b"):
        read_choice("letter", "c", ("a", "b"))
