"""The page of a concept run, and where other pages lead to it."""

from sqlalchemy import Engine

from tests.neurondb.explore.site_client import Site, looks_right
from tests.support.sample_concepts import CLAMP_RUN, CLAMPED, CONCEPT, CONCEPT_RUN, N_RANDOM
from tests.support.sample_facts import WIDTH


def test_a_run_shows_its_candidates_and_random_neurons(site: Site, sample_engine: Engine) -> None:
    answer = looks_right(site.get(f"/concept/{CONCEPT_RUN + 1}"))
    content = site.get(f"/concept/{CONCEPT_RUN + 1}.json").json
    page = content["page"]
    assert page["run"]["concept"] == CONCEPT
    with sample_engine.connect() as connection:
        rows = connection.exec_driver_sql(
            "SELECT name, random, change, stronger FROM concept_neurons WHERE run_id = ? "
            "ORDER BY rank",
            (CONCEPT_RUN + 1,),
        ).all()
    candidates = [row for row in rows if not row.random]
    assert [one["name"] for one in page["candidates"]] == [row.name for row in candidates]
    assert len(page["random_neurons"]) == N_RANDOM
    assert content["beyond"] == sum(r.stronger == 0 and r.change > 0 for r in candidates)
    assert CONCEPT in answer.text  # as text: its <b> is no element
    for row in candidates:
        assert f"/neuron/sample-llama/{row.name}" in answer.links


def test_the_run_of_an_ungated_model(site: Site) -> None:
    answer = looks_right(site.get(f"/concept/{CONCEPT_RUN + 2}"))
    assert "--from -2 --to 2" in answer.text


def test_a_run_that_is_not_there(site: Site) -> None:
    answer = site.get("/concept/7")
    assert answer.status == 404
    assert "no concept run 7" in answer.text


def test_a_models_page_lists_its_runs(site: Site) -> None:
    for number, name in ((1, "sample-llama"), (2, "sample-gpt")):
        assert f"/concept/{CONCEPT_RUN + number}" in site.get(f"/model/{name}").page.links


def test_a_neurons_page_has_what_it_was_tried_for(site: Site, sample_engine: Engine) -> None:
    with sample_engine.connect() as connection:
        names = connection.exec_driver_sql(
            "SELECT name, random FROM concept_neurons WHERE run_id = ?", (CONCEPT_RUN + 1,)
        ).all()
    for is_random in (0, 1):
        name = next(row.name for row in names if row.random == is_random)
        answer = looks_right(site.get(f"/neuron/sample-llama/{name}"))
        assert f"/concept/{CONCEPT_RUN + 1}" in answer.links
        assert ("a random neuron" in answer.text) is bool(is_random)
        (one,) = site.get(f"/neuron/sample-llama/{name}.json").json["concepts"]
        assert one["concept"] == CONCEPT


def test_a_neurons_page_has_its_sweeps(site: Site) -> None:
    place = CLAMPED[1]
    name = f"{place // WIDTH}.{place % WIDTH}"
    answer = looks_right(site.get(f"/neuron/sample-llama/{name}"))
    assert "held with 1 more" in answer.text
    (sweep,) = site.get(f"/neuron/sample-llama/{name}.json").json["clamps"]
    assert sweep["run"]["run_id"] == CLAMP_RUN + 11
    assert len(sweep["targets"]) == 2


def test_a_neuron_that_was_never_held_has_no_such_part(site: Site) -> None:
    content = site.get("/neuron/sample-llama/3.63.json").json
    if not content["concepts"] and not content["clamps"]:
        assert "Held at values" not in site.get("/neuron/sample-llama/3.63").text
