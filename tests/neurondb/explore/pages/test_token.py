"""The token page: which neurons read, write and suppress it, as the records have it."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from neurondb.schema import codes
from tests.neurondb.explore.site_client import Site, looks_right
from tests.support.sample_facts import (
    DECODED,
    LAYERS,
    NEURONS,
    PROPERTIES,
    VOCABULARY,
    WIDTH,
    Sample,
)

TOKEN = VOCABULARY.index(DECODED)
ADDRESS = f"/token/sample-llama/{TOKEN}"
LISTS = {
    "read by gate": ("gate", "top"),
    "read by in": ("in", "top"),
    "written": ("out", "top"),
    "suppressed": ("out", "bottom"),
}


def having(sample: Sample, basis: str, effect: str, first: int = 0) -> dict[int, int]:
    """Return neuron_id → rank of the token, of the neurons of one model that have it."""
    code = next(c for c, *words in codes.TOKEN_LISTS if words == [LISTS[effect][0], basis,
                                                                  LISTS[effect][1]])  # fmt: skip
    return {
        key: tokens.index(DECODED)
        for (key, of_list), tokens in sample.top.items()
        if of_list == code and DECODED in tokens and first <= key < first + NEURONS
    }


@pytest.mark.parametrize("basis", codes.BASES)
def test_neurons_are_counted_by_layer(site: Site, sample: Sample, basis: str) -> None:
    found = site.get(f"{ADDRESS}.json?basis={basis}").json["effects"]
    assert [one["effect"] for one in found] == list(LISTS)
    for one in found:
        keys = having(sample, basis, one["effect"])
        assert one["by_layer"] == [
            sum(key // WIDTH == layer for key in keys) for layer in range(LAYERS)
        ]


def test_neurons_come_with_rank_cosine_and_class(site: Site, sample: Sample) -> None:
    for one in site.get(f"{ADDRESS}.json").json["effects"]:
        ranks = having(sample, "unembed", one["effect"])
        names = {neuron["neuron_id"]: neuron for neuron in sample.neurons[:NEURONS]}
        expected = sorted(ranks, key=lambda key: (-round(0.9 - ranks[key] / 10, 1), key))[:25]
        assert [place["name"] for place in one["places"]] == [names[k]["name"] for k in expected]
        for place, key in zip(one["places"], expected, strict=True):
            assert place["rank"] == ranks[key]
            assert place["cosine"] == round(0.9 - ranks[key] / 10, 1)
            assert place["class_name"] == names[key]["class"]


def test_one_layer_can_be_chosen(site: Site, sample: Sample) -> None:
    for one in site.get(f"{ADDRESS}.json?layer=2").json["effects"]:
        keys = [k for k in having(sample, "unembed", one["effect"]) if k // WIDTH == 2]
        assert len(one["places"]) == min(len(keys), 25)
        assert all(place["name"].startswith("2.") for place in one["places"])
    page = looks_right(site.get(f"{ADDRESS}?layer=2"))
    assert "Layer 2 only" in page.text
    assert all(f"{ADDRESS}?basis=unembed&layer={layer}#lists" in page.links for layer in range(4))


def test_neurons_that_fire_on_it_are_those_of_the_records(site: Site, sample: Sample) -> None:
    found = site.get(f"{ADDRESS}.json").json["firings"]
    assert [one["effect"] for one in found] == ["fires on", "fires after", "fires before"]
    keys = ("neuron_id", "sign_case", "rank", "count", "list_size", "value")
    for one in found:
        rows = [
            row
            for row in sample.peaks
            if (row["model"], row["place"], row["token"]) == ("sample-llama", one["place"], DECODED)
        ]
        neurons = {row["neuron_id"] for row in rows}
        assert one["by_layer"] == [sum(k // WIDTH == n for k in neurons) for n in range(LAYERS)]
        assert {tuple(x[key] for key in keys) for x in one["firings"]} == {
            tuple(row[key] for key in keys) for row in rows
        }
    page = looks_right(site.get(ADDRESS))
    for one in found:
        assert one["effect"].capitalize() + " it" in page.text
        for firing in one["firings"]:
            assert f"{firing['count']}/{firing['list_size']}" in page.text
    of_layer = site.get(f"{ADDRESS}.json?layer=1").json["firings"]
    assert all(x["layer"] == 1 for one in of_layer for x in one["firings"])


def test_where_peak_tokens_are_not_ingested_the_command_is_shown(
    sample: Sample, tmp_path: Path
) -> None:
    file = shutil.copy(sample.path, tmp_path / "without.db")
    with sqlite3.connect(file) as connection:
        connection.execute("DELETE FROM peak_token_rows")
    text = looks_right(Site(Path(file)).get(ADDRESS)).text
    assert "--stages peaks --dataset TEXTS" in text


def encoding(sample: Sample) -> int:
    """How often DECODED is the top token of a side of the gated model's neurons."""
    return sum(sample.heads(k).count(DECODED) for k in range(NEURONS))


def test_the_lm_head_says_whose_top_token_it_is(site: Site, sample: Sample) -> None:
    content = site.get(f"{ADDRESS}.json").json
    assert content["encoded_by"]["count"] == encoding(sample)
    places = content["decoded"]["places"]
    by_side = {1: sample.decoded, -1: sample.decoded_turned}
    all_sides = [(k, side) for k in range(NEURONS) for side in by_side]
    best = sorted(all_sides, key=lambda place: -by_side[place[1]][place[0]])[: len(places)]
    assert [(one["name"], one["side"]) for one in places] == [
        (f"{k // WIDTH}.{k % WIDTH}", side) for k, side in best
    ]
    assert {side for _, side in best} == {1, -1}
    assert (
        "Neurons of largest normalised probability, of all" in looks_right(site.get(ADDRESS)).text
    )


def test_a_token_that_is_not_decoded_comes_with_the_command(site: Site) -> None:
    text = looks_right(site.get("/token/sample-llama/3")).text
    assert "neurondb tokens sample-llama '#3' --lm-head --store" in text


def test_properties_and_like_spellings_are_shown(site: Site) -> None:
    content = site.get(f"{ADDRESS}.json").json
    names = {name for name, has_it in PROPERTIES.items() if has_it(DECODED)}
    assert {one["name"] for one in content["properties"]} == names
    assert {one["token"] for one in content["alike"]} == {"dog", " Dog"}
    assert (content["previous"], content["next"]) == (None, 1)


@pytest.mark.parametrize("token_id", range(len(VOCABULARY)))
def test_every_token_has_a_page(site: Site, token_id: int) -> None:
    looks_right(site.get(f"/token/sample-llama/{token_id}"))


def test_an_ungated_model_has_no_gate_lists(site: Site) -> None:
    found = site.get("/token/sample-gpt/3.json").json["effects"]
    assert [one["effect"] for one in found] == ["read by in", "written", "suppressed"]
    looks_right(site.get("/token/sample-gpt/3"))


@pytest.mark.parametrize(
    ("address", "status", "said"),
    [
        ("/token/sample-llama/26", 404, "#26"),
        ("/token/nobody/0", 404, "'nobody'"),
        (f"{ADDRESS}?layer=4", 400, "layer '4'"),
        (f"{ADDRESS}?layer=x", 400, "layer 'x'"),
        (f"{ADDRESS}?basis=x", 400, "basis 'x'"),
    ],
)
def test_what_is_not_there_is_said_in_one_line(
    site: Site, address: str, status: int, said: str
) -> None:
    assert said in looks_right(site.get(address), status).text


def test_without_a_vocabulary_the_command_is_given(sample: Sample, tmp_path: Path) -> None:
    path = shutil.copy(sample.path, tmp_path / "bare.db")
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript("DELETE FROM tokens")
    bare = Site(path)
    assert "--stages vocab" in looks_right(bare.get(ADDRESS), 404).text
    bare.close()


def test_rows_that_no_token_has_are_passed_over(sample: Sample, tmp_path: Path) -> None:
    path = shutil.copy(sample.path, tmp_path / "holes.db")
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript("DELETE FROM tokens WHERE token_id IN (0, 2, 3)")
    holes = Site(path)
    found = [holes.get(f"/token/sample-llama/{i}.json").json for i in (1, 4)]
    assert [(one["previous"], one["next"]) for one in found] == [(None, 4), (1, 5)]
    missing = looks_right(holes.get("/token/sample-llama/2"), 404).text
    assert "that row of its embedding is no token" in missing
    holes.close()


@pytest.mark.parametrize("basis", codes.BASES)
@pytest.mark.parametrize("layer", ["", "2"])
def test_the_sql_returns_the_lists(site: Site, sample: Sample, basis: str, layer: str) -> None:
    content = site.get(f"{ADDRESS}.json?basis={basis}&layer={layer}").json
    rows = site.rows_of(content["sql"]["lists"])
    for one in content["effects"]:
        listed = [
            (row["name"], row["rank"], row["cosine"])
            for row in rows
            if (row["vector"], row["direction"]) == (one["vector"], one["direction"])
        ]
        places = [(place["name"], place["rank"], place["cosine"]) for place in one["places"]]
        assert places
        assert places == listed[:25]
        expected = having(sample, basis, one["effect"])
        assert len(listed) == sum(layer in ("", str(key // WIDTH)) for key in expected)


def test_the_sql_returns_the_neurons_whose_top_token_it_is(site: Site, sample: Sample) -> None:
    content = site.get(f"{ADDRESS}.json").json
    rows = site.rows_of(content["sql"]["head"])
    columns = ("name", "side", "probability", "normalised")
    shown = [{name: place[name] for name in columns} for place in content["encoded_by"]["places"]]
    assert rows[: len(shown)] == shown
    assert len(rows) == content["encoded_by"]["count"] == encoding(sample)
