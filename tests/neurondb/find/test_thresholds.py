"""Classes at another threshold than 0.5 are not shown without a word."""

import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import create_engine, text

from neurondb.cli.find import find
from neurondb.cli.query import query
from neurondb.contracts.ingest import IngestRequest
from neurondb.contracts.registry import load_job
from tests.support.ingested import Silent, random_model
from tests.support.sample_database import build

LLAMA, GPT = "sample-llama", "sample-gpt"
SAID = re.compile(rf"{LLAMA}\b.*\b0\.3\b.*\b0\.5\b")


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The sample database; sample-llama shows classes at 0.3, which are all weakening."""
    sample = build(tmp_path_factory.mktemp("tau") / "sample.db")
    engine = create_engine(f"sqlite:///{sample.path}")
    with engine.begin() as connection:
        connection.execute(
            text("INSERT INTO classes SELECT neuron_id, 0.3, 7 FROM neurons WHERE model_id = 1")
        )
        connection.execute(text("UPDATE models SET threshold = 0.3 WHERE model_id = 1"))
    engine.dispose()
    return sample.url


def ran(command: object, database: str, *arguments: str) -> Result:
    result = CliRunner().invoke(command, [*arguments, "--db", database])  # type: ignore[arg-type]
    assert result.exit_code == 0
    return result


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((f"model={LLAMA}",), True),
        (("weakening", "--columns", "name"), True),
        ((f"model={LLAMA}", "--columns", "name,in_out"), False),
        ((f"model={GPT}",), False),
    ],
)
def test_find_says_at_which_threshold(
    database: str, arguments: tuple[str, ...], says: bool
) -> None:
    assert bool(SAID.search(ran(find, database, *arguments).stderr)) is says


def test_queries_say_at_which_threshold(database: str) -> None:
    counts = "class-counts-by-layer"
    assert SAID.search(ran(query, database, counts).stderr)
    assert SAID.search(ran(query, database, counts, "--param", f"model={LLAMA.upper()}").stderr)
    assert ran(query, database, counts, "--param", f"model={GPT}").stderr == ""
    assert ran(query, database, "roles-by-layer").stderr == ""


def test_ingest_says_what_a_threshold_changes(tmp_path: Path) -> None:
    def notes(*thresholds: float) -> list[str]:
        progress = Silent()
        request = IngestRequest(
            model=str(random_model("llama")),
            database=str(tmp_path / "n.db"),
            stages=("weights",),
            thresholds=thresholds,
        )
        load_job("ingest")(request, progress)
        return [note for note in progress.notes if "τ" in note]

    assert notes() == []
    (note,) = notes(0.2, 0.5)
    assert re.search(r"0\.2\b.*no longer.*\b0\.5\b.*tau 0\.5", note)
    assert notes() == []
    (note,) = notes(0.2)
    assert re.search(r"0\.2\b.*tau 0\.5", note)
    assert "no longer" not in note
    (note,) = notes(0.5)
    assert re.search(r"0\.5\b.*no longer.*\b0\.2\b.*tau 0\.2", note)
