"""The text page: the text as the model read it, and the neurons that peak in it."""

import shutil
import sqlite3
import struct
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from neurondb.reading import texts
from neurondb.schema import codes
from tests.neurondb.explore.site_client import Site, looks_right
from tests.support.sample_facts import LABELS, NEURONS, TEXT_TOKENS, TEXTS, Sample

TEXT = 2
ADDRESS = f"/text/sample/{TEXT - 1}"


@pytest.fixture(scope="module")
def read(sample: Sample, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy that knows that the gated model read the dataset, text 3 being long."""
    path = Path(shutil.copy(sample.path, tmp_path_factory.mktemp("texts") / "texts.db"))
    ids = struct.pack("<1100I", *(i % 26 for i in range(1100)))
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript("INSERT INTO tokenizations VALUES (1, 1, 1024, 0, 0, 60, 0)")
        connection.execute("UPDATE text_token_ids SET token_ids = ? WHERE text_id = 3", (ids,))
        connection.commit()
    return path


@pytest.fixture(scope="module")
def reading(read: Path) -> Iterator[Site]:
    served = Site(read)
    yield served
    served.close()


@pytest.fixture
def unread(open_path: Path) -> Iterator[Site]:
    """The site of a copy in which no model has read a text."""
    with closing(sqlite3.connect(open_path)) as connection:
        connection.execute("DELETE FROM text_token_ids")
        connection.commit()
    served = Site(open_path)
    yield served
    served.close()


def peaks(sample: Sample) -> set[tuple[str, str, str, int, int, float]]:
    cases = {code: words for code, *words in codes.EXAMPLE_LISTS}
    return {
        (
            f"{x['neuron_id'] // 64}.{x['neuron_id'] % 64}",
            *cases[x["list_id"]],
            x["rank"],
            x["position"],
            x["value"],
        )
        for x in sample.examples
        if x["neuron_id"] < NEURONS and x["text_id"] == TEXT
    }


def test_the_neurons_are_those_with_the_text_among_their_examples(
    reading: Site, sample: Sample
) -> None:
    found = reading.get(f"{ADDRESS}.json").json["peaks"]
    assert {tuple(one.values()) for one in found["peaks"]} == peaks(sample)
    assert found["count"] == len(peaks(sample))
    positions = [one[4] for one in peaks(sample)]
    assert found["by_position"] == [[p, positions.count(p)] for p in sorted(set(positions))]


def test_a_position_leads_to_the_neurons_that_peak_there(reading: Site, sample: Sample) -> None:
    position = min(one[4] for one in peaks(sample))
    page = looks_right(reading.get(ADDRESS))
    assert f"?model=sample-llama&position={position}#peaks" in page.links
    found = reading.get(f"{ADDRESS}.json?position={position}").json["peaks"]["peaks"]
    assert {tuple(one.values()) for one in found} == {
        one for one in peaks(sample) if one[4] == position
    }
    text = looks_right(reading.get(f"{ADDRESS}?position={position}")).text
    assert f"those at position {position}" in text


def test_the_text_stands_in_its_dataset(reading: Site) -> None:
    text = reading.get(f"{ADDRESS}.json").json["text"]
    assert (text["ordinal"], text["label"]) == (TEXT - 1, LABELS[(TEXT - 1) % 2])
    assert (text["previous"], text["next"]) == (TEXT - 1, TEXT + 1)
    assert text["characters"] == len(TEXTS[TEXT - 1])
    ends = [reading.get(f"/text/{i}.json").json["text"] for i in (1, len(TEXTS))]
    assert (ends[0]["previous"], ends[1]["next"]) == (None, None)
    looks_right(reading.get("/text/1"))
    looks_right(reading.get(f"/text/{len(TEXTS)}"))


def test_a_neuron_colours_the_text(reading: Site, sample: Sample) -> None:
    with closing(sqlite3.connect(sample.path)) as connection:
        query = (
            "SELECT start, n_tokens, trace FROM trace_rows WHERE neuron_id = 128 AND text_id = ?"
        )
        traces = connection.execute(query, (TEXT,)).fetchall()
    known = {start + i for start, n, _ in traces for i in range(n)}
    content = reading.get(f"{ADDRESS}.json?neuron=2.0").json
    assert {int(position) for position in content["path"]["hook_post"]} == known
    answer = reading.get(f"{ADDRESS}?neuron=2.0")
    titles = [given.get("title") or "" for _, given in looks_right(answer).tags]
    assert sum("post " in title for title in titles) == min(len(known), TEXT_TOKENS)
    text = looks_right(reading.get(f"{ADDRESS}?neuron=2.5")).text
    assert "No values of 2.5 are stored along this text" in text


def test_a_long_text_is_shown_a_stretch_at_a_time(reading: Site) -> None:
    first = reading.get("/text/3.json").json["stretch"]
    assert (first["first"], first["of"], len(first["tokens"])) == (0, 1100, 512)
    last = reading.get("/text/3.json?position=9999").json["stretch"]
    assert (last["first"], len(last["tokens"])) == (1024, 76)
    assert last["token_ids"] == [i % 26 for i in range(1024, 1100)]
    page = looks_right(reading.get("/text/3?position=600"))
    assert "tokens 512 to 1023 of 1,100" in page.text


def test_a_large_model_is_looked_at_a_layer_at_a_time(
    reading: Site, sample: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(texts, "MAX_ROWS", 1000)
    content = reading.get(f"{ADDRESS}.json?layer=2").json
    assert content["peaks"]["layers"] == [2]
    expected = {one for one in peaks(sample) if one[0].startswith("2.")}
    assert {tuple(one.values()) for one in content["peaks"]["peaks"]} == expected
    of_neuron = reading.get(f"{ADDRESS}.json?neuron=3.1").json
    assert of_neuron["peaks"]["layers"] == [3]
    page = looks_right(reading.get(f"{ADDRESS}?layer=2"))
    assert "Layer 2 of sample-llama" in page.text
    assert f"{ADDRESS}?model=sample-llama&layer=3#peaks" in page.links


def test_a_text_that_no_model_has_read_is_shown_as_it_is(unread: Site) -> None:
    page = looks_right(unread.get("/text/1"))
    assert TEXTS[0] in page.text
    assert "Its tokens are not stored" in page.text


@pytest.mark.parametrize("at_one_position", [False, True])
def test_the_sql_returns_the_peaks(reading: Site, sample: Sample, *, at_one_position: bool) -> None:
    position = min(one[4] for one in peaks(sample)) if at_one_position else None
    query = "" if position is None else f"?position={position}"
    content = reading.get(f"{ADDRESS}.json{query}").json
    rows = reading.rows_of(content["sql"])
    expected = {one for one in peaks(sample) if position in (None, one[4])}
    assert len(rows) == len(expected) == len(content["peaks"]["peaks"])
    assert {tuple(row.values()) for row in rows} == expected


def test_a_text_has_a_lasting_address_beside_the_one_by_its_id(reading: Site) -> None:
    by_id, lasting = reading.get(f"/text/{TEXT}.json").json, reading.get(f"{ADDRESS}.json").json
    assert by_id == lasting
    page = looks_right(reading.get(f"/text/{TEXT}"))
    (permalink,) = [g["href"] for tag, g in page.tags if g.get("rel") == "bookmark"]
    assert str(permalink).startswith(f"{ADDRESS}?model=sample-llama")


@pytest.mark.parametrize(
    ("address", "status", "said"),
    [
        ("/text/99", 404, "text 99"),
        ("/text/sample/99", 404, "sample has no text 99"),
        ("/text/nothing/0", 404, "no dataset 'nothing'"),
        (f"{ADDRESS}?model=nobody", 404, "'nobody'"),
        (f"{ADDRESS}?model=sample-gpt", 404, "not read"),
        (f"{ADDRESS}?neuron=x", 400, "LAYER.NEURON"),
        (f"{ADDRESS}?neuron=9.9", 404, "neuron 9.9"),
        (f"{ADDRESS}?layer=9", 400, "layer '9'"),
        (f"{ADDRESS}?position=-1", 400, "position"),
    ],
)
def test_what_is_not_there_is_said_in_one_line(
    reading: Site, address: str, status: int, said: str
) -> None:
    assert said in looks_right(reading.get(address), status).text


def test_what_was_searched_is_highlighted(reading: Site) -> None:
    plain = reading.get(f"{ADDRESS}.json").json
    assert (plain["search"], plain["found"]) == (None, [])
    tokens = plain["stretch"]["tokens"]
    word = next(word for token in tokens for word in token.split() if word.isalpha())
    found = reading.get(f"{ADDRESS}.json?search={word}").json
    expected = [place for place, token in enumerate(tokens) if word.lower() in token.lower()]
    assert found["search"] == word
    assert set(found["found"]) <= set(expected)
    page = looks_right(reading.get(f"{ADDRESS}?search={word}"))
    assert f"/search?q={word}&in=texts" in page.links
    for nothing in ("", "**", "%22"):
        assert reading.get(f"{ADDRESS}.json?search={nothing}").json["search"] is None


def test_a_text_whose_tokens_are_not_stored_is_highlighted_too(unread: Site) -> None:
    assert "<mark>dog</mark>" in unread.get("/text/1?search=dog").text
    assert "<mark>" not in unread.get("/text/1?search=quokka").text
