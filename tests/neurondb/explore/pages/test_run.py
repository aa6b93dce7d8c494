"""Run pages, and what the neuron page says of removing the neuron alone."""

import re

import numpy as np
import pytest

from tests.neurondb.explore.site_client import Site, looks_right
from tests.support.sample_facts import (
    ATTRIBUTION_RUN,
    CHANGED,
    CLASS_RUN,
    EACH_RUN,
    METRICS,
    RANDOM_RUN,
    WIDTH,
    Row,
    Sample,
)

LLAMA = "sample-llama"


def neurons(sample: Sample) -> list[Row]:
    return [row for row in sample.neurons if row["model"] == LLAMA]


def test_a_run_on_a_set_shows_set_results_and_random_neurons(site: Site, sample: Sample) -> None:
    answer = looks_right(site.get(f"/run/{CLASS_RUN + 1}"))
    content = site.get(f"/run/{CLASS_RUN + 1}.json").json
    weakening = [row for row in neurons(sample) if row["class"] == "weakening"]
    page = content["page"]
    assert page["run"]["n_neurons"] == len(weakening) == sum(page["layers"].values())
    assert [one["name"] for one in page["members"]] == [row["name"] for row in weakening]
    assert [one["metric"] for one in page["metrics"]] == list(METRICS)
    for one in page["metrics"]:
        assert one["clean"] - one["ablated"] == pytest.approx(one["mean"])
        assert one["changed"] == pytest.approx(40 / 60)
        (baseline,) = one["baselines"]
        assert baseline["run_id"] == RANDOM_RUN + 1
    assert f"/run/{RANDOM_RUN + 1}" in answer.links
    members = site.rows_of(content["members_sql"])
    assert [row["name"] for row in members] == [row["name"] for row in weakening]
    results = site.rows_of(content["results_sql"])
    assert len(results) == 2 * 2 * len(METRICS)
    whole = {
        row["metric"]: row
        for row in results
        if (row["run_id"], row["filter"]) == (CLASS_RUN + 1, "all")
    }
    assert whole.keys() == {one["metric"] for one in page["metrics"]}
    for one in page["metrics"]:
        row = whole[one["metric"]]
        assert [row[name] for name in ("n", "mean", "std", "q25", "q50", "q75")] == [
            one[name] for name in ("n", "mean", "std", "q25", "median", "q75")
        ]
        assert (row["clean_mean"], row["ablated_mean"]) == (one["clean"], one["ablated"])


def test_the_definition_leads_to_the_neurons_it_finds_now(site: Site, sample: Sample) -> None:
    content = site.get(f"/run/{CLASS_RUN + 1}.json").json
    (link,) = {x for x in site.get(f"/run/{CLASS_RUN + 1}").page.links if x.startswith("/find?")}
    assert content["found"] == "(class='weakening') model=sample-llama"
    found = site.get(link.replace("/find?", "/find.json?")).json
    assert found["n"] == sum(row["class"] == "weakening" for row in neurons(sample))


def test_the_tokens_that_changed_most_stand_in_their_texts(site: Site) -> None:
    answer = looks_right(site.get(f"/run/{CLASS_RUN + 1}"))
    content = site.get(f"/run/{CLASS_RUN + 1}.json").json
    changed = content["page"]["changed"]
    assert [one["metric"] for one in changed] == list(METRICS)
    rows = site.rows_of(content["changed_sql"])
    assert len(rows) == CHANGED * len(METRICS)
    for of_metric in changed:
        listed = [row for row in rows if row["metric"] == of_metric["metric"]]
        assert len(of_metric["tokens"]) == 20 < len(listed)
        for one, row in zip(of_metric["tokens"], listed, strict=False):
            for name in ("rank", "clean", "ablated", "ordinal", "position", "text_id"):
                assert one[name] == row[name]
            excerpt = one["excerpt"]
            assert excerpt["peak"] is not None
            assert len(excerpt["tokens"]) <= 12
            place = f"/text/sample/{one['ordinal']}?model={LLAMA}&position={one['position']}"
            assert place in answer.links
    first = changed[0]["tokens"][0]
    reached = site.get(f"/text/{first['text_id']}?model={LLAMA}&position={first['position']}")
    looks_right(reached)


def test_a_run_without_changed_tokens_says_how_to_get_them(site: Site) -> None:
    text = looks_right(site.get(f"/run/{CLASS_RUN + 2}")).text
    assert "Where it changed most" in text  # of an ungated model, whose tokens are not stored
    text = looks_right(site.get(f"/run/{EACH_RUN + 1}")).text
    assert "changed most" not in text


def test_a_baseline_leads_to_its_run(site: Site) -> None:
    answer = looks_right(site.get(f"/run/{RANDOM_RUN + 1}"))
    assert f"/run/{CLASS_RUN + 1}" in answer.links
    assert f"neurondb ablate --rerun {CLASS_RUN + 1}" in answer.text


@pytest.mark.parametrize(
    ("first", "prefix"), [(EACH_RUN, "ablated"), (ATTRIBUTION_RUN, "attribution")]
)
def test_a_run_on_single_neurons_shows_both_ends(
    first: int, prefix: str, site: Site, sample: Sample
) -> None:
    looks_right(site.get(f"/run/{first + 1}"))
    content = site.get(f"/run/{first + 1}.json").json
    page = content["page"]
    for end in page["ends"]:
        column = f"{prefix}_{end['metric']}"
        values = sorted(row[column] for row in neurons(sample) if row[column] is not None)
        n = len(end["lowest"])
        assert [one["mean"] for one in end["lowest"]] == values[:n]
        assert [one["mean"] for one in end["highest"]] == values[::-1][:n]
        rows = site.rows_of(content["results_sql"])
        of_metric = [(r["name"], r["mean"]) for r in rows if r["metric"] == end["metric"]]
        for shown, listed in ((end["lowest"], of_metric), (end["highest"], of_metric[::-1])):
            means = [(one["neuron"]["name"], one["mean"]) for one in shown]
            assert sorted(means) == sorted(listed[:n])
    assert page["other"] == {EACH_RUN: ATTRIBUTION_RUN, ATTRIBUTION_RUN: EACH_RUN}[first] + 1


def test_a_neurons_removal_stands_beside_its_layers(site: Site, sample: Sample) -> None:
    row = next(r for r in neurons(sample) if r["ablated_loss"] is not None and r["layer"] == 2)
    text = looks_right(site.get(f"/neuron/{LLAMA}/{row['name']}")).text
    assert "Without it" in text
    removal = site.get(f"/neuron/{LLAMA}/{row['name']}.json").json["removal"]
    assert removal["measured"]["run_id"] == EACH_RUN + 1
    layer = [r for r in neurons(sample) if r["layer"] == row["layer"]]
    for one in removal["metrics"]:
        column = f"ablated_{one['metric']}"
        known = np.array([r[column] for r in layer if r[column] is not None])
        spread = one["spreads"][0]
        assert one["mean"] == row[column]
        assert one["estimate"] == row.get(f"attribution_{one['metric']}")
        assert spread["n"] == len(known) < WIDTH
        assert spread["below"] == (known < row[column]).mean()
        wanted = np.quantile(known, (0.05, 0.25, 0.5, 0.75, 0.95))
        assert spread["quantiles"] == pytest.approx(wanted)


def test_a_neuron_that_was_not_removed_has_its_estimate_only(site: Site, sample: Sample) -> None:
    row = next(r for r in neurons(sample) if r["ablated_loss"] is None)
    text = looks_right(site.get(f"/neuron/{LLAMA}/{row['name']}")).text
    assert "not measured" in text
    content = site.get(f"/neuron/{LLAMA}/{row['name']}.json").json
    removal = content["removal"]
    assert removal["measured"] is None
    shown = [(one["metric"], one["estimate"]) for one in removal["metrics"]]
    returned = [(row["metric"], row["estimate"]) for row in site.rows_of(content["sql"]["removal"])]
    assert returned == shown
    assert [one["estimate"] for one in removal["metrics"]] == [
        row["attribution_loss"],
        row["attribution_entropy"],
    ]


def test_the_permalink_names_what_was_asked_for(site: Site) -> None:
    answer = site.get(f"/run/{CLASS_RUN + 1}")
    (link,) = {x for x in answer.page.links if re.fullmatch("/run/[0-9a-f]{16}", x)}
    assert 'rel="bookmark"' in answer.text
    digest = link.removeprefix("/run/")
    by_digest = site.get(link).text.replace(f"{digest}.json", "")
    assert by_digest == answer.text.replace(f"{CLASS_RUN + 1}.json", "")
    assert site.get(f"{link}.json").json == site.get(f"/run/{CLASS_RUN + 1}.json").json
    absent = site.get(f"/run/{16 * '0'}")
    assert absent.status == 404
    assert "no run of this database was asked for" in absent.text
