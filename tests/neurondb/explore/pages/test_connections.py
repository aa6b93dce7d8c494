"""The graph around a neuron: who is in it, its lines, its links, and what it says without any."""

import re
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.neurondb.explore.site_client import Site, looks_right
from tests.support.sample_facts import LAYERS, WIDTH, Sample

LLAMA, GPT = "sample-llama", "sample-gpt"
NAME, KEY = "1.4", WIDTH + 4
ADDRESS = f"/connections/{LLAMA}/{NAME}"


def ask(sample: Sample, sql: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(sample.path)) as connection:
        return connection.execute(sql).fetchall()


def test_both_sides_are_the_lists_of_the_neuron(site: Site, sample: Sample) -> None:
    content = site.get(f"{ADDRESS}.json").json
    for side, own, other, rank in (
        ("upstream", "reader_id", "writer_id", "upstream_rank"),
        ("downstream", "writer_id", "reader_id", "downstream_rank"),
    ):
        stored = ask(
            sample,
            f"SELECT {other}, vector_id, cosine FROM connection_rows WHERE {own} = {KEY} "
            f"AND {rank} IS NOT NULL",
        )
        shown = [
            (node["other"]["neuron_id"], ["gate", "in"].index(one["reads_with"]), one["cosine"])
            for node in content[side]["nodes"]
            for one in node["connections"]
        ]
        assert sorted(shown) == sorted(stored)
        names = [node["other"]["name"] for node in content[side]["nodes"]]
        assert len(set(names)) == len(names)
        best = [
            max(abs(x["cosine"]) for x in node["connections"]) for node in content[side]["nodes"]
        ]
        assert best == sorted(best, reverse=True)
        (total,) = ask(sample, f"SELECT COUNT(*) FROM connection_rows WHERE {own} = {KEY}")
        assert content[side]["n_stored"] == total[0]


def test_a_line_for_each_connection_meets_its_neuron(site: Site) -> None:
    content = site.get(f"{ADDRESS}.json").json
    page = looks_right(site.get(ADDRESS))
    paths = [given for tag, given in page.tags if tag == "path" and given.get("stroke-width")]
    lines = [line for side in ("upstream", "downstream") for line in content[side]["lines"]]
    assert len(paths) == len(lines) > 8
    for side in ("upstream", "downstream"):
        nodes = content[side]["nodes"]
        ends = iter(content[side]["lines"])
        for row, node in enumerate(nodes):
            for one in node["connections"]:
                line = next(ends)
                assert row < line["start"] < row + 1
                assert line["end"] == len(nodes) / 2
                assert (line["reads_with"], line["positive"]) == (
                    one["reads_with"],
                    one["cosine"] > 0,
                )


def test_every_neuron_can_be_put_into_the_middle(site: Site) -> None:
    """Walk by the first link downstream, from the first layer on."""
    address, names = f"/connections/{LLAMA}/0.0", []
    for _ in range(LAYERS - 1):
        links = [x for x in looks_right(site.get(address)).links if x.startswith("/connections/")]
        later = [
            x
            for x in links
            if int(re.findall(r"/([0-9]+)\.", x)[-1]) > int(re.findall(r"/([0-9]+)\.", address)[-1])
        ]
        if not later:
            break
        address = later[0]
        names.append(address)
    assert names
    assert any(
        x.startswith(f"/find?q=upstream%28{address.rsplit('/', 1)[1]}")
        for x in site.get(address).page.links
    )


def test_the_sql_returns_what_is_shown(site: Site) -> None:
    content = site.get(f"{ADDRESS}.json").json
    rows = site.rows_of(content["sql"]["connections"])
    shown = [
        (side, node["other"]["name"], *(one[name] for name in CONNECTION))
        for side in ("upstream", "downstream")
        for node in content[side]["nodes"]
        for one in node["connections"]
    ]
    of_rows = [(row["relation"], row["other"], *(row[n] for n in CONNECTION)) for row in rows]
    assert sorted(of_rows) == sorted(shown)
    near = {
        (row["other"], row["vector"], row["side"], row["rank"], row["cosine"])
        for row in site.rows_of(content["sql"]["neighbours"])
    }
    for one in content["neighbours"]:
        found = (one["other"]["name"], one["vector"], one["side"], one["rank"], one["cosine"])
        assert found in near


CONNECTION = ("reads_with", "cosine", "score", "strength")


def test_one_vector_can_be_chosen(site: Site) -> None:
    only = site.get(f"{ADDRESS}.json?by=gate").json
    reads = {
        one["reads_with"]
        for side in ("upstream", "downstream")
        for node in only[side]["nodes"]
        for one in node["connections"]
    }
    assert reads == {"gate"}
    page = looks_right(site.get(f"{ADDRESS}?by=gate"))
    assert all("by=gate" in x for x in page.links if x.startswith("/connections/") and "3." in x)
    assert "by='out'" in looks_right(site.get(f"{ADDRESS}?by=out"), 400).text
    assert site.get(f"/connections/{GPT}/{NAME}?by=gate").status == 400


@pytest.mark.parametrize("name", ["0.3", f"{LAYERS - 1}.3"])
def test_the_ends_of_the_model_have_one_side(site: Site, name: str) -> None:
    content = site.get(f"/connections/{LLAMA}/{name}.json").json
    empty = "upstream" if name == "0.3" else "downstream"
    assert content[empty]["nodes"] == []
    assert "none" in looks_right(site.get(f"/connections/{LLAMA}/{name}")).text


def test_without_connections_the_command_is_named(sample: Sample, tmp_path: Path) -> None:
    file = Path(shutil.copy(sample.path, tmp_path / "bare.db"))
    with closing(sqlite3.connect(file)) as connection:
        connection.executescript("DELETE FROM neighbour_runs;")
    bare = Site(file)
    page = looks_right(bare.get(ADDRESS))
    assert f"neurondb neighbours {LLAMA}" in page.text
    assert "Reads from" not in page.text
    neuron = looks_right(bare.get(f"/neuron/{LLAMA}/{NAME}"))
    assert "Other neurons, by weights" not in neuron.text
    bare.close()


def test_the_neurons_page_shows_the_strongest_and_leads_here(site: Site) -> None:
    content = site.get(ADDRESS + ".json").json
    page = looks_right(site.get(f"/neuron/{LLAMA}/{NAME}"))
    assert ADDRESS in page.links
    for title in ("Reads from", "Writes to", "Like it, or opposite"):
        assert title in page.text
    first = content["downstream"]["nodes"][0]["other"]["name"]
    assert f"/neuron/{LLAMA}/{first}" in page.links
