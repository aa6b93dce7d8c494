"""Where a search leads."""

import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.neurondb.explore.site_client import Site, looks_right

LLAMA, GPT = "sample-llama", "sample-gpt"


@pytest.mark.parametrize(
    ("asked", "leads_to"),
    [
        ("sample-llama 0.5", "/neuron/sample-llama/0.5"),
        ("sample-llama/0.5", "/neuron/sample-llama/0.5"),
        ("SAMPLE-LLAMA  3.63 ", "/neuron/sample-llama/3.63"),
        ("sample-gpt", "/model/sample-gpt"),
        ("sample-llama ' dog'", "/token/sample-llama/0"),
        ("sample-llama #3", "/token/sample-llama/3"),
        ("' only-gpt'", "/token/sample-gpt/26"),
        ("only-gpt", "/token/sample-gpt/26"),
        ("weakening 0.5", "/find?q=weakening%200.5"),
        ("cond-weak or freq>0.5", "/find?q=cond-weak%20or%20freq%3E0.5"),
        ("promotes=' dog'", "/find?q=promotes%3D%27%20dog%27"),
        ("", "/"),
    ],
)
def test_a_search_leads_to_what_it_means(site: Site, asked: str, leads_to: str) -> None:
    answer = site.get(f"/search?q={quote(asked)}")

    assert (answer.status, answer.headers["location"]) == (302, leads_to)


def test_a_search_with_several_meanings_shows_them(site: Site) -> None:
    neuron = site.get("/search.json?q=0.5").json["options"]
    token = site.get("/search.json?q=%27%20dog%27").json["options"]

    assert [one["model"] for one in neuron] == [GPT, LLAMA]
    assert [one["address"] for one in token] == ["/token/sample-gpt/25", "/token/sample-llama/0"]


def test_words_are_found_in_texts(site: Site) -> None:
    page = looks_right(site.get("/search?q=upon%20a%20time"))
    assert "/text/sample/0?search=upon%20a%20time" in page.links
    assert "<mark>upon</mark>" in site.get("/search?q=upon%20a%20time").text
    found = site.get("/search.json?q=upon%20a%20time").json
    assert ([one["text_id"] for one in found["texts"]], found["n_texts"]) == ([1], 1)


def test_a_word_that_is_a_token_too_may_mean_either(site: Site) -> None:
    found = site.get("/search.json?q=dog").json
    assert {one["kind"] for one in found["options"]} == {"token"}
    assert [one["text_id"] for one in found["texts"]] == [1]
    assert site.get("/search?q=dog").status == 200
    only = site.get("/search.json?q=weakening&in=texts").json
    assert (only["options"], only["texts"]) == ([], [])
    assert site.get("/search?q=html&in=texts").status == 200


@pytest.mark.parametrize(
    "asked", ["NEAR(", '"', "**", "<script>", "a\0b", "'; --", "🐕 犬", "x" * 3000]
)
def test_hostile_searches_are_answers_or_one_line(site: Site, asked: str) -> None:
    for address in (f"/search?q={quote(asked)}", f"/search?in=texts&q={quote(asked)}"):
        answer = site.get(address)
        assert answer.status in (200, 302, 400, 404)
        assert "<script>" not in answer.text.replace('<script type="module"', "")


def test_annotations_are_found(open_path: Path) -> None:
    statement = "INSERT INTO annotations (neuron_id, source, key, value) VALUES (?, 'me', 'k', ?)"
    with closing(sqlite3.connect(open_path)) as connection:
        (key,) = connection.execute("SELECT neuron_id FROM neurons LIMIT 1").fetchone()
        connection.execute(statement, (key, "a quokka & <b>"))
        connection.commit()
    served = Site(open_path)
    try:
        found = served.get("/search.json?q=quokka").json
        page = looks_right(served.get("/search?q=quokka"))
    finally:
        served.close()
    assert [one["value"] for one in found["annotations"]] == ["a quokka & <b>"]
    assert "Found in annotations" in page.text
    assert "0 texts" not in page.text
    assert any("/neuron/" in link for link in page.links)
