"""The pages of entropy runs, attribute rates and generated texts, and what leads to them."""

import re

import pytest
from sqlalchemy import Engine

from tests.neurondb.explore.site_client import Site, looks_right
from tests.support.sample_concepts import CONCEPT_RUN
from tests.support.sample_facts import WIDTH
from tests.support.sample_runs import (
    ATTRIBUTE_RUN,
    DEFINITION,
    ENTROPY_RUN,
    FIXED,
    FIXED_AT,
    GENERATION_RUN,
    HELD,
    N_SAMPLES,
    PROMPT,
    PROMPTS,
    RANDOM,
)


def name(place: int) -> str:
    return f"{place // WIDTH}.{place % WIDTH}"


def test_an_entropy_run(site: Site, sample_engine: Engine) -> None:
    answer = looks_right(site.get(f"/entropy/{ENTROPY_RUN + 1}"))
    content = site.get(f"/entropy/{ENTROPY_RUN + 1}.json").json
    assert [one["name"] for one in content["neurons"]] == list(map(name, (*FIXED, *RANDOM)))
    with sample_engine.connect() as connection:
        effects = connection.exec_driver_sql(
            "SELECT name, metric, total, through_norm FROM entropy_effects "
            "WHERE run_id = ? AND value = ?",
            (ENTROPY_RUN + 1, FIXED_AT[-1]),
        ).all()
    shown = {one["name"]: one for one in content["neurons"]}
    for row in effects:
        assert shown[row.name]["changes"][row.metric] == row.total
        if row.metric == "entropy":
            assert shown[row.name]["through_norm"] == row.through_norm / row.total
    assert f"/neuron/sample-llama/{name(FIXED[0])}" in answer.links
    assert "--values=0,2,4 --random 3" in answer.text
    assert len(site.rows_of(content["effects_sql"])) == 4 * 5 * len(FIXED_AT)


@pytest.mark.parametrize(
    ("kind", "run_id"),
    [
        ("entropy", ENTROPY_RUN + 1),
        ("attributes", ATTRIBUTE_RUN + 1),
        ("generation", GENERATION_RUN + 1),
        ("concept", CONCEPT_RUN + 1),
        ("series", 1),
    ],
)
def test_every_run_has_an_address_that_lasts(site: Site, kind: str, run_id: int) -> None:
    links = site.get(f"/{kind}/{run_id}").page.links
    (link,) = {x for x in links if re.fullmatch(rf"/{kind}/[0-9a-f]{{16}}", x)}
    assert site.get(f"{link}.json").json == site.get(f"/{kind}/{run_id}.json").json


def test_attribute_rates(site: Site, sample_engine: Engine) -> None:
    answer = looks_right(site.get(f"/attributes/{ATTRIBUTE_RUN + 1}"))
    content = site.get(f"/attributes/{ATTRIBUTE_RUN + 1}.json").json
    assert content["treatment"] == "zero where gate-_post+"
    assert PROMPTS in answer.text  # as text: its <i> is no element
    assert DEFINITION in answer.text
    rows = site.rows_of(content["rates_sql"])
    for shown, row in zip(content["layers"], rows, strict=True):
        assert (shown["layer"], shown["clean"], shown["ablated"]) == (
            *(row["layer"], row["clean"], row["ablated"]),
        )
        if shown["baseline"]:
            assert shown["baseline"][0] == row["baseline_least"]
            assert shown["baseline"][2] == row["baseline_most"]
    assert content["layers"][1]["clean"] is None
    assert len(content["answers"]) == len(site.rows_of(content["answers_sql"])) == 4


def test_texts_and_samples(site: Site) -> None:
    answer = looks_right(site.get(f"/generation/{GENERATION_RUN + 1}"))
    assert PROMPT in answer.text
    assert "--side-by-side" in answer.text
    content = site.get(f"/generation/{GENERATION_RUN + 11}.json").json
    assert {run: len(texts) for run, texts in content["texts"].items()} == {
        "clean": N_SAMPLES,
        "steered": N_SAMPLES,
    }
    assert len(site.rows_of(content["texts_sql"])) == 2 * N_SAMPLES
    assert [row["name"] for row in site.rows_of(content["held_sql"])] == list(map(name, HELD))
    assert [(one["counted"], one["run"], one["share"]) for one in content["shares"]] == [
        (row["counted"], row["run"], row["share"]) for row in site.rows_of(content["shares_sql"])
    ]
    assert "<cat>" in looks_right(site.get(f"/generation/{GENERATION_RUN + 11}")).text


def test_runs_that_are_not_there(site: Site) -> None:
    for address in ("/entropy/7", "/attributes/7", "/generation/7"):
        answer = site.get(address)
        assert answer.status == 404
        assert "7 in this database, which has" in answer.text


def test_other_pages_lead_to_them(site: Site) -> None:
    links = site.get("/model/sample-gpt").page.links
    for address in (f"/entropy/{ENTROPY_RUN + 2}", f"/attributes/{ATTRIBUTE_RUN + 2}"):
        assert address in links
    assert f"/generation/{GENERATION_RUN + 12}" in links
    fixed = looks_right(site.get(f"/neuron/sample-llama/{name(RANDOM[0])}"))
    assert f"/entropy/{ENTROPY_RUN + 1}" in fixed.links
    assert "as a random neuron" in fixed.text
    held = looks_right(site.get(f"/neuron/sample-gpt/{name(HELD[1])}"))
    assert f"/generation/{GENERATION_RUN + 2}" in held.links
    assert "set to zero with others" in held.text
