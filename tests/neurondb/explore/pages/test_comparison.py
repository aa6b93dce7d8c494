"""The page of two compared models, and that of a neuron in both of them."""

import json
import statistics
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest
from sqlalchemy import Connection, insert, select

from neurondb.contracts.ingest import Preprocessing
from neurondb.database import connect, parse_url
from neurondb.schema import tables
from tests.neurondb.explore.site_client import Site, looks_right
from tests.support.sample_database import build
from tests.support.sample_facts import LAYERS, NEURONS, Row, Sample

LLAMA, TUNED = "sample-llama", "tuned"
EARLIER, LATER = "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    """The sample, with a model of the shape of `sample-llama` that is compared with it."""
    sample = build(tmp_path_factory.mktemp("compared") / "n.db")
    engine = connect(parse_url(sample.url), writing=True)
    with engine.begin() as connection:
        _tune(connection, sample)
    engine.dispose()
    return sample


def _tune(connection: Connection, sample: Sample) -> None:
    m = tables.models
    row = dict(connection.execute(select(m).where(m.c.model_id == 1)).mappings().one())
    row |= {"model_id": 3, "name": TUNED, "first_neuron_id": 2 * NEURONS, "dataset_id": None}
    connection.execute(insert(m), [row])
    settings = json.dumps(asdict(Preprocessing()))
    run: Row = {"tool_version": "0", "torch_version": "0", "fingerprint": "f", "stages": "weights"}
    run |= {"dtype": "float32", "device": "cpu", "seed": 0, "started_at": EARLIER}
    step: Row = {"stage": "weights", "settings": settings, "n_rows": 1, "seconds": 1.0}
    step |= {"finished_at": EARLIER}
    for model_id in (1, 3):
        connection.execute(
            insert(tables.ingest_runs), [run | {"model_id": model_id, "run_id": model_id}]
        )
        steps = [
            step | {"run_id": model_id, "model_id": model_id, "layer": n} for n in range(LAYERS)
        ]
        connection.execute(insert(tables.ingest_steps), steps)
    made = {"comparison_id": 2, "model_a": 1, "model_b": 3, "created_at": LATER}
    connection.execute(insert(tables.comparisons), [made | {"tool_version": "0"}])
    connection.execute(insert(tables.comparison_neurons), compared(sample))


def compared(sample: Sample) -> list[Row]:
    """The rows of the comparison: those of the sample's own, with a gate."""
    return [row | {"comparison_id": 2, "gate_cosine": 0.5} for row in sample.compared]


@pytest.fixture(scope="module")
def site(sample: Sample) -> Iterator[Site]:
    served = Site(sample.path)
    yield served
    served.close()


def test_the_page_says_what_stayed_and_what_moved(site: Site, sample: Sample) -> None:
    page = site.get(f"/compare/{LLAMA}/{TUNED}.json").json
    rows = compared(sample)
    most = sorted(rows, key=lambda row: (-row["moved"], row["layer"], row["neuron"]))

    assert page["whole"]["out"] == pytest.approx(statistics.median(r["out_cosine"] for r in rows))
    assert page["whole"]["n_kept"] == sum(row["same_token"] for row in rows)
    assert [one["n"] for one in page["layers"]] == [NEURONS // LAYERS] * LAYERS
    assert sum(one["n"] for one in page["migration"]) == NEURONS
    changed = Counter(row["class_a"] != row["class_b"] for row in rows)[True]
    assert page["whole"]["n_changed"] == changed
    assert [(one["layer"], one["neuron"]) for one in page["moved"]] == [
        (row["layer"], row["neuron"]) for row in most[:20]
    ]
    assert len(page["cautions"]) >= 1


def test_it_is_whole_and_its_figures_and_statements_are_there(site: Site) -> None:
    page = looks_right(site.get(f"/compare/{LLAMA}/{TUNED}"))

    specs = [str(given["data-spec"]) for _, given in page.tags if given.get("data-spec")]
    assert len(specs) == 2
    for spec in specs:
        assert site.get(spec).json["$schema"]
    statements = [link for link in page.links if link.startswith("/n?sql=")]
    assert len(statements) == 2
    for link in statements:
        assert site.get(link.replace("/n?", "/n.json?")).json["rows"]


def test_the_sql_returns_the_classes_and_the_neurons_that_moved(site: Site) -> None:
    page = site.get(f"/compare/{LLAMA}/{TUNED}.json").json
    migration, moved = (site.rows_of(sql) for sql in page["sql"])

    assert {(row["class_a"], row["class_b"]): row["n"] for row in migration} == {
        (one["before"], one["after"]): one["n"] for one in page["migration"]
    }
    assert [(row["name"], row["moved"]) for row in moved] == [
        (f"{one['layer']}.{one['neuron']}", one["moved"]) for one in page["moved"]
    ]


def test_models_lead_to_their_comparisons(site: Site) -> None:
    for name in (LLAMA, TUNED):
        assert f"/compare/{LLAMA}/{TUNED}" in site.get(f"/model/{name}").page.links


def test_the_other_way_round_is_told(site: Site) -> None:
    said = looks_right(site.get(f"/compare/{TUNED}/{LLAMA}"), 404).text

    assert f"/compare/{LLAMA}/{TUNED}" in said


def test_a_comparison_that_no_longer_holds_says_how_to_make_it_anew(
    tmp_path: Path, sample: Sample
) -> None:
    path = tmp_path / "n.db"
    path.write_bytes(sample.path.read_bytes())
    engine = connect(parse_url(str(path)), writing=True)
    with engine.begin() as connection:
        later: Row = {
            "stage": "weights",
            "settings": json.dumps(asdict(Preprocessing())),
            "layer": 0,
        }
        later |= {"run_id": 1, "model_id": 1, "n_rows": 1, "seconds": 1.0}
        connection.execute(insert(tables.ingest_steps), [later | {"finished_at": "2027-01-01"}])
    engine.dispose()
    site = Site(path)

    said = looks_right(site.get(f"/compare/{LLAMA}/{TUNED}"), 404).text

    assert f"neurondb compare {LLAMA} {TUNED}" in said
    site.close()


def test_a_neuron_beside_itself_in_another_model_has_the_stored_cosines(
    site: Site, sample: Sample
) -> None:
    row = next(one for one in compared(sample) if (one["layer"], one["neuron"]) == (1, 3))
    address = f"left={LLAMA}/1.3&right={TUNED}/1.3"
    page = site.get(f"/pair.json?{address}").json

    assert page["between"] == {"gate": 0.5, "in_": row["in_cosine"], "out": row["out_cosine"]}
    looks_right(site.get(f"/pair?{address}"))
