"""A mixture of experts from files to answers: its rows, its names, and what is refused of it."""

import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch

import neurondb
from ingest.checkpoint.reader import Checkpoint
from ingest.jobs import verify
from ingest.weights.preprocess import preprocess_neurons
from neurondb.contracts.ingest import IngestRequest, Preprocessing
from neurondb.contracts.registry import load_job
from neurondb.errors import UnknownNameError, UnsupportedModelError
from neurondb.reading.integrity import find_problems
from tests.support.ingested import TEXTS, Silent, text_file, write_tokenizer
from tests.support.random_mixtures import MIXTURES, N_EXPERTS, PER_TOKEN, WIDTH

NAME = "mixture"
DENSE = 40
FLAT = N_EXPERTS * WIDTH + WIDTH  # DeepSeek-V3's one shared expert is as wide as the others
STAGES = ("weights", "vocab", "activations", "peaks")


class Stored(NamedTuple):
    """A random DeepSeek-V3 with everything ingested: a dense layer, then two of experts."""

    request: IngestRequest
    database: neurondb.Database

    def ask(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        with sqlite3.connect(str(self.request.database)) as connection:
            return connection.execute(sql, values).fetchall()


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stored]:
    directory = MIXTURES["deepseek_v3"](tmp_path_factory.mktemp("mixture"), 5)
    write_tokenizer(directory)
    request = IngestRequest(
        model=str(directory),
        name=NAME,
        database=str(tmp_path_factory.mktemp("database") / "m.db"),
        dataset=str(text_file(TEXTS[:8])),
        stages=STAGES,
        top_k=3,
    )
    load_job("ingest")(request, Silent())
    with neurondb.open(str(request.database)) as database:
        yield Stored(request, database)


def test_the_model_says_how_it_is_divided(stored: Stored) -> None:
    sizes = "d_mlp, n_experts, d_expert, experts_per_token, d_shared_expert, dense_layers, d_dense"
    assert stored.ask(f"SELECT {sizes} FROM models") == [
        (FLAT, N_EXPERTS, WIDTH, PER_TOKEN, WIDTH, "[0]", DENSE)
    ]
    assert stored.ask("SELECT layer, COUNT(*) FROM neurons GROUP BY layer ORDER BY layer") == [
        (0, DENSE),
        (1, FLAT),
        (2, FLAT),
    ]
    (model,) = stored.database.models
    assert model.model.n_neurons == DENSE + 2 * FLAT


def test_neurons_are_named_by_their_expert(stored: Stored) -> None:
    rows = stored.ask(
        "SELECT name, layer, neuron, expert, expert_neuron FROM neuron_overview"
        " ORDER BY layer, neuron"
    )
    assert len(rows) == DENSE + 2 * FLAT
    for name, layer, neuron, expert, of_expert in rows:
        if layer == 0:
            assert (name, expert, of_expert) == (f"0.{neuron}", None, None)
        else:
            assert (expert, of_expert) == divmod(neuron, WIDTH)
            assert name == f"{layer}.{expert}.{of_expert}"


def test_weights_are_those_of_the_experts(stored: Stored) -> None:
    checkpoint = Checkpoint.open(Path(stored.request.model))
    vectors = preprocess_neurons(checkpoint.read_layer(2), checkpoint.architecture, Preprocessing())
    expected = torch.cosine_similarity(vectors.in_.double(), vectors.out.double(), dim=1)
    rows = stored.ask(
        "SELECT in_out FROM neuron_overview WHERE layer = 2 ORDER BY expert, expert_neuron"
    )
    torch.testing.assert_close(
        torch.tensor([row[0] for row in rows], dtype=torch.float64), expected, rtol=0, atol=1e-6
    )


def test_tokens_are_counted_by_expert(stored: Stored) -> None:
    ((n_all,),) = stored.ask("SELECT n_tokens FROM tokenizations")
    routing = stored.ask(
        "SELECT layer, SUM(n_tokens), SUM(share), COUNT(*), MIN(n_all_tokens), MAX(n_all_tokens)"
        " FROM expert_routing WHERE expert < 4 GROUP BY layer ORDER BY layer"
    )
    assert routing == [
        (layer, PER_TOKEN * n_all, pytest.approx(PER_TOKEN), N_EXPERTS, n_all, n_all)
        for layer in (1, 2)
    ]
    shared = stored.ask("SELECT share, mean_weight FROM expert_routing WHERE expert = 4")
    assert shared == [(1.0, None)] * 2
    # METHODS §5: what is counted of an expert's neurons is counted over the tokens routed to it.
    differing = stored.ask(
        "SELECT COUNT(*) FROM activation_stats a JOIN neurons n ON n.neuron_id = a.neuron_id"
        " JOIN expert_routing r ON r.layer = n.layer AND r.expert = n.expert"
        " WHERE a.n_tokens <> r.n_tokens"
    )
    assert differing == [(0,)]
    assert stored.ask(
        "SELECT COUNT(*) FROM activation_stats a JOIN neurons n ON n.neuron_id = a.neuron_id"
        " WHERE n.layer = 0 AND a.n_tokens = ?",
        n_all,
    ) == [(DENSE,)]
    assert stored.ask(
        "SELECT COUNT(*) FROM neuron_overview WHERE (routed_share IS NULL) = (layer = 0)"
    ) == [(DENSE + 2 * FLAT,)]


@pytest.mark.parametrize(
    ("name", "number"), [("1.2.3", 2 * WIDTH + 3), ("2.4.11", FLAT - 1), ("0.39", 39)]
)
def test_a_neuron_is_found_by_either_name(stored: Stored, name: str, number: int) -> None:
    layer = int(name[0])
    for asked in (name, f"{layer}.{number}"):
        page = stored.database.neuron(NAME, asked)
        assert (page.identity.layer, page.identity.neuron) == (layer, number)
        assert page.identity.name == name
        assert [row["name"] for row in stored.database.find(asked).to_dicts()] == [name]
    both = stored.database.find(f"{name},0.1").to_dicts()
    assert {row["name"] for row in both} == {name, "0.1"}


@pytest.mark.parametrize("name", ["0.1.2", "1.5.0", "1.4.12", "1.60", "3.0.0", "0.40"])
def test_a_neuron_that_is_not_there_is_told(stored: Stored, name: str) -> None:
    with pytest.raises(UnknownNameError) as error:
        stored.database.neuron(NAME, name)
    assert f"no neuron {name}: its layers are 0 to 2" in str(error.value)
    assert "layers without experts, of 40 neurons: 0" in str(error.value)


def test_nothing_is_missing(stored: Stored) -> None:
    with stored.database.connect() as connection:
        assert list(find_problems(connection)) == []


JOBS: dict[str, Callable[[neurondb.Database], object]] = {
    "heads": lambda db: db.heads(NAME),
    "families": lambda db: db.families(NAME, dataset=str(text_file(TEXTS[:4]))),
    "universality": lambda db: db.universality(NAME, [NAME], dataset=str(text_file(TEXTS[:4]))),
}


@pytest.mark.parametrize("job", JOBS)
def test_jobs_that_cannot_are_refused_in_one_line(stored: Stored, job: str) -> None:
    with pytest.raises(
        UnsupportedModelError, match=r"^mixture is a mixture of experts, .*; `neurondb "
    ):
        JOBS[job](stored.database)


@pytest.mark.parametrize(
    ("options", "words"),
    [({"stages": ("traces",)}, "traces"), ({"stages": None, "shard": (1, 2)}, "shard")],
)
def test_what_is_not_computed_is_refused_first(
    stored: Stored, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(
        UnsupportedModelError, match=f"experts, of which .*{words} cannot be had yet"
    ):
        load_job("ingest")(replace(stored.request, **options), Silent())


def test_verify_compares_the_cosines_of_experts(stored: Stored) -> None:
    with stored.database.connect() as connection:
        assert verify.run(connection, NAME, 0, Silent()).n_layers == 3
