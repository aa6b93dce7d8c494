"""The page of a series of models, of the sample's two, and the links that lead there."""

import statistics
from collections import Counter

from neurondb.taxonomy import CLASSES, UNDEFINED
from tests.neurondb.explore.site_client import Site, looks_right
from tests.support.sample_facts import NEURONS, Sample

LLAMA, GPT = "sample-llama", "sample-gpt"
NAMES = {entry.class_id: entry.name for entry in (*CLASSES, UNDEFINED)}


def test_the_page_says_what_stayed_and_what_moved(site: Site, sample: Sample) -> None:
    page = site.get("/series/1.json").json
    found, rows = page["series"], sample.compared
    kept = sum(row["class_a"] == row["class_b"] for row in rows)
    most = sorted(rows, key=lambda row: (-row["moved"], row["layer"], row["neuron"]))

    assert (found["n"], found["n_classified"], found["n_kept"]) == (NEURONS, NEURONS, kept)
    paths = Counter((NAMES[row["class_a"]], NAMES[row["class_b"]]) for row in rows)
    shown = {tuple(one["classes"]): one["n"] for one in found["paths"]}
    assert shown.items() <= paths.items()
    assert list(shown.values()) == sorted(paths.values(), reverse=True)[: len(shown)]
    assert [one["n_settled"] for one in found["steps"]] == [kept, NEURONS]
    assert found["steps"][1]["first_cosines"]["in"] == statistics.median(
        row["in_cosine"] for row in rows
    )
    assert [(one["layer"], one["neuron"]) for one in found["moved"]] == [
        (row["layer"], row["neuron"]) for row in most[:20]
    ]
    assert page["command"] == f"neurondb compare {LLAMA} {GPT}"


def test_its_figures_and_statements_are_there(site: Site) -> None:
    page = looks_right(site.get("/series/1"))

    specs = [str(given["data-spec"]) for _, given in page.tags if given.get("data-spec")]
    assert len(specs) == 3
    for spec in specs:
        assert site.get(spec).json["$schema"]
    statements = [link for link in page.links if "?sql=" in link and ".csv" not in link]
    assert len(statements) == 4
    for link in statements:
        path, _, query = link.partition("?")
        assert site.get(f"{path}.json?{query}").json["rows"]


def test_a_neurons_page_has_its_way_through_the_series(site: Site, sample: Sample) -> None:
    row = sample.compared[0]
    name = f"{row['layer']}.{row['neuron']}"
    page = looks_right(site.get(f"/neuron/{LLAMA}/{name}"))
    assert "/series/1" in page.links
    panel = page.text.partition("Through series of models")[2]
    assert f"{LLAMA} {NAMES[row['class_a']]}" in " ".join(panel.split())


def test_pages_of_its_models_lead_there(site: Site) -> None:
    for model in (LLAMA, GPT):
        assert "/series/1" in looks_right(site.get(f"/model/{model}")).links
