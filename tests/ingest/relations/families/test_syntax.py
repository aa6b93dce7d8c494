"""Tags by spaCy itself: a pipeline that knows some words by rule stands for its trained models."""

import importlib.util
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from ingest.relations.families.syntax import load_tagger, tag_tokens
from neurondb.errors import IngestError
from tests.support.absent import absent

RULES = {
    "the": {"POS": "DET", "MORPH": "Definite=Def"},
    "dogs": {"POS": "NOUN", "MORPH": "Number=Plur", "DEP": "nsubj"},
    "bark": {"POS": "VERB"},
}
TEXT = "The dogs bark."
SPANS = np.array([[0, 0], [0, 3], [3, 6], [6, 8], [8, 13], [13, 14]])
"""The prefix token, "The", " do", "gs", " bark" and "."."""
TAGS = {
    "pos: DET": [1],
    "morph: Definite=Def": [1],
    "pos: NOUN": [2, 3],
    "morph: Number=Plur": [2, 3],
    "dep: nsubj": [2, 3],
    "pos: VERB": [4],
}
"""Tag → positions whose tokens are of a word that has it."""


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pipeline of spaCy in a folder, as its packages of models are."""
    if importlib.util.find_spec("spacy") is None:
        absent("spaCy is not installed: pip install 'neurondb[syntax]'")
    made = import_module("spacy").blank("en")
    ruler = made.add_pipe("attribute_ruler")
    for word, attributes in RULES.items():
        ruler.add(patterns=[[{"LOWER": word}]], attrs=attributes)
    folder = tmp_path_factory.mktemp("spacy") / "rules"
    made.to_disk(folder)
    return folder


def test_tokens_have_the_tags_of_their_words(pipeline: Path) -> None:
    tags = tag_tokens(load_tagger(str(pipeline)), [TEXT, "the"], [SPANS, np.array([[0, 3]])])

    first, second = tags.of_text
    found = {one.name: first[:, i].nonzero()[0].tolist() for i, one in enumerate(tags.names)}
    assert found == TAGS
    assert [one.name for one, holds in zip(tags.names, second[0], strict=True) if holds] == [
        "pos: DET",
        "morph: Definite=Def",
    ]


def test_a_model_that_is_not_there_is_one_line(pipeline: Path) -> None:
    with pytest.raises(IngestError, match="spaCy has no such model here") as caught:
        load_tagger(str(pipeline.parent / "nothing"))
    assert "\n" not in str(caught.value)
