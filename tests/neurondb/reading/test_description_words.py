"""What people type for what descriptions say."""

import pytest

from ingest.vocabulary.properties.catalogue import PROPERTIES
from neurondb.errors import UsageError
from neurondb.reading.description_words import SAID, read_description_search


def read(text: str) -> list[tuple[str, ...]]:
    return [tuple(one.text for one in any_of) for any_of in read_description_search(text)]


def test_what_is_said_stands_for_classes_of_the_catalogue() -> None:
    said_of_places = {"previous", "next"}
    assert SAID.keys() - said_of_places <= {one.name for one in PROPERTIES}
    assert all(spoken == spoken.lower() for others in SAID.values() for spoken in others)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("days of the week", "weekday"),
        ("Days of the Week", "weekday"),
        ("weekdays", "weekday"),
        ("months", "month"),
        ("numbers", "number"),
        ("numbers", "contains digit"),
        ("countries", "country"),
        ("colors", "colour"),
        ('"line break"', "newline"),
    ],
)
def test_a_persons_word_is_looked_for_in_the_descriptions_word_too(typed: str, meant: str) -> None:
    (any_of,) = read(typed)
    assert any_of[0] == typed.strip('"')
    assert meant in any_of


def test_other_words_stay_as_they_are() -> None:
    assert read("fires on days of the week, active") == [
        ("fires", "fire"),
        ("on",),
        ("days of the week", "weekday"),
        ("active",),
    ]
    assert read('"turns off" nobel* ss') == [("turns off",), ("nobel",), ("ss",)]
    assert read("dogs") == [("dogs", "dog")]
    with pytest.raises(UsageError):
        read(" , ")
