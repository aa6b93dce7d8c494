"""The words of the language cover the database and are documented."""

import re
import sqlite3
from pathlib import Path

import pytest

from neurondb import named_queries
from neurondb.find.columns import NUMBER_COLUMNS, OTHER_COLUMNS
from neurondb.find.keywords import BARE_WORDS, QUALIFIERS, ROLES, TOKEN_KEYS
from neurondb.find.values import PROPERTY_KEYS
from neurondb.paths import is_checkout
from tests.support.sample_facts import Sample

DOCS = Path(__file__).parents[3] / "docs"


def test_every_column_of_the_view_can_be_compared(sample: Sample) -> None:
    connection = sqlite3.connect(sample.path)
    cursor = connection.execute("SELECT * FROM neuron_overview WHERE model = 'sample-llama'")
    names = [column[0] for column in cursor.description]
    row = cursor.fetchall()
    connection.close()
    types = {name: {type(r[i]) for r in row} - {type(None)} for i, name in enumerate(names)}
    assert {name for name, found in types.items() if found <= {int, float}} == set(NUMBER_COLUMNS)
    assert {name for name, found in types.items() if found == {str}} == set(OTHER_COLUMNS)


@pytest.mark.skipif(not is_checkout(), reason="docs/ is not part of the wheel")
def test_every_word_is_documented() -> None:
    text = (DOCS / "find.md").read_text(encoding="utf-8")
    documented = set(re.findall(r"`([^`]+)`", text))
    words = {*NUMBER_COLUMNS, *OTHER_COLUMNS, *ROLES, *TOKEN_KEYS, *QUALIFIERS, *PROPERTY_KEYS}
    assert {word.replace("lm_head.", "lm-head.") for word in words} <= documented
    assert {word.replace(" ", "-") for word in BARE_WORDS} <= {
        word.replace(" ", "-") for word in documented
    }


@pytest.mark.skipif(not is_checkout(), reason="docs/ is not part of the wheel")
def test_every_query_is_documented() -> None:
    text = (DOCS / "queries.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `([\w-]+)` \|", text, re.MULTILINE)) == set(
        named_queries.list_names()
    )
