"""Excerpts put the tokens of a text together again, whatever they are."""

import struct
from collections.abc import Sequence

import pytest
from sqlalchemy import Connection, insert

from neurondb.reading.excerpts import Excerpt, Place, encode_token, read_excerpts
from neurondb.reading.models import find_model
from neurondb.schema import tables

TEXT = 70  # tokens 0 to 9 in order: <s>, once, dog, newline, three bytes of €, \x41 in earnest, …


def at(connection: Connection, position: int, radius: int = 20, text: int = TEXT) -> Excerpt:
    model = find_model(connection, "gate-model")
    return read_excerpts(connection, model, [Place(text, position)], radius)[0]


def stretch(found: Excerpt) -> tuple[str, str | None, str, bool, bool]:
    return found.before, found.peak, found.after, found.starts, found.ends


def rewrite(connection: Connection, *ids: int) -> None:
    t = tables.text_token_ids
    connection.execute(t.update().values(token_ids=struct.pack(f"<{len(ids)}I", *ids)))


def test_the_whole_text_around_a_peak(connection: Connection) -> None:
    assert stretch(at(connection, 2)) == ("<s> once", " dog", "\n€\\x41s red", True, True)


def test_the_prefix_token_has_position_zero(connection: Connection) -> None:
    assert at(connection, 0).peak == "<s>"


def test_a_window_says_whether_it_reaches_the_ends(connection: Connection) -> None:
    assert stretch(at(connection, 2, radius=1)) == (" once", " dog", "\n", False, False)


@pytest.mark.parametrize("position", [4, 5, 6])
def test_a_peak_amid_a_character_is_that_character(connection: Connection, position: int) -> None:
    found = at(connection, position)

    assert (found.before, found.peak, found.after) == ("<s> once dog\n", "€", "\\x41s red")


def test_windows_cut_amid_a_character_drop_its_pieces(connection: Connection) -> None:
    assert at(connection, 7, radius=2).before == ""
    assert at(connection, 3, radius=2).after == ""


def test_bytes_that_are_no_character_stay_visible(connection: Connection) -> None:
    rewrite(connection, 1, 5, 2)

    assert stretch(at(connection, 2)) == (" once\\x82", " dog", "", True, True)
    assert at(connection, 1).peak == "\\x82"


def test_a_character_cut_off_at_the_end_of_the_text_stays_visible(connection: Connection) -> None:
    rewrite(connection, 1, 2, 4, 5)

    assert at(connection, 1).after == "\\xe2\\x82"


def test_an_id_outside_the_vocabulary_shows_as_itself(connection: Connection) -> None:
    rewrite(connection, 1, 4_000_000_000, 2)

    assert at(connection, 2).before == " once⟨4000000000⟩"


def test_without_stored_tokens_the_text_starts_the_excerpt(connection: Connection) -> None:
    found = at(connection, 2, text=71)

    assert found.peak is None
    assert found.after == "once " * 80
    assert (found.starts, found.ends) == (True, False)


def test_a_position_beyond_the_tokens_falls_back_to_the_text(connection: Connection) -> None:
    found = at(connection, 10)

    assert (found.peak, found.after) == (None, "once dog\n€A s red")


def test_a_text_that_is_gone_gives_an_empty_excerpt(connection: Connection) -> None:
    assert stretch(at(connection, 2, text=999)) == ("", None, "", True, True)


def test_many_places_come_back_in_order(connection: Connection) -> None:
    model = find_model(connection, "gate-model")
    places = [Place(TEXT, 9), Place(71, 0), Place(TEXT, 1), Place(TEXT, 9)]

    found = read_excerpts(connection, model, places, 3)

    assert [one.peak for one in found] == [" red", None, " once", " red"]


def test_another_models_tokens_are_not_taken(connection: Connection) -> None:
    row = {"model_id": 2, "text_id": 71, "token_ids": struct.pack("<2I", 1, 2)}
    connection.execute(insert(tables.text_token_ids), row)

    assert at(connection, 1, text=71).peak is None


@pytest.mark.parametrize(
    ("token", "piece", "expected"),
    [
        (" dog", "Ġdog", b" dog"),
        ("\\xE2", "<0xE2>", b"\xe2"),
        (" \\xe2\\x82", "ĠâĤ", b" \xe2\x82"),
        ("\\xE2", "\\xE2", b"\\xE2"),
        ("\\xE2", None, b"\xe2"),
        ("\\x4", "x", b"\\x4"),
        ("", "", b""),
    ],
)
def test_bytes_of_a_token(token: str, piece: str | None, expected: bytes) -> None:
    assert encode_token(token, piece) == expected


def test_tokens_join_to_the_excerpt_and_a_character_is_its_last_tokens(
    connection: Connection,
) -> None:
    found = at(connection, 5)

    assert found.first == 0
    assert found.tokens == ("<s>", " once", " dog", "\n", "", "", "€", "\\x41", "s", " red")


@pytest.mark.parametrize("radius", range(10))
@pytest.mark.parametrize("ids", [range(10), (4, 4, 5, 6, 1, 5, 4, 5), (6, 6, 9, 4)])
def test_tokens_join_to_the_excerpt_whatever_is_cut_or_broken(
    connection: Connection, ids: Sequence[int], radius: int
) -> None:
    rewrite(connection, *ids)

    for position in range(len(ids)):
        found = at(connection, position, radius)
        assert found.peak is not None
        assert "".join(found.tokens) == found.before + found.peak + found.after
        assert found.first == max(0, position - radius)
        assert len(found.tokens) == min(len(ids), position + radius + 1) - found.first


def test_an_excerpt_without_stored_tokens_has_none(connection: Connection) -> None:
    found = at(connection, 2, text=71)

    assert (found.first, found.tokens) == (None, ())
