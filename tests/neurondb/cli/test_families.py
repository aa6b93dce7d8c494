"""`neurondb families` and `Database.families` on the bundled model."""

import csv
import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import neurondb as ndb
from neurondb.cli import cli
from neurondb.errors import TextError, UnknownNameError, UsageError
from tests.support.ingested import TEXTS
from tests.support.real_models import BUNDLED
from tests.support.steering import stored

ROOT = Path(__file__).resolve().parents[3]
SMALL = ("--min-count", "5", "--words", "10", "--device", "cpu", "--tagger", "none")


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("families") / "texts.txt"
    file.write_text("\n\n".join(text.replace("\n", " ") for text in TEXTS), encoding="utf-8")
    return file


def invoke(*arguments: str) -> Result:
    model = stored(BUNDLED, ("weights", "vocab"))
    given = ["families", model.machine.model, *arguments, "--db", model.database]
    return CliRunner().invoke(cli, given, env={"COLUMNS": "100"})


def test_it_asks_without_torch() -> None:
    code = (
        "import sys, neurondb.cli.families, neurondb.api.families\n"
        "assert not {'torch', 'ingest', 'altair'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_a_page_then_rows_of_what_is_stored(texts: Path) -> None:
    page = invoke("--dataset", str(texts), *SMALL, "--format", "table")
    assert page.exit_code == 0, page.exception
    assert "first positions left out" in page.stdout
    assert "best explained by spelling" in page.stdout
    assert ", stored, " in page.stderr
    again = invoke("--dataset", str(texts), *SMALL, "--format", "csv")
    assert "stored already; --force runs it again" in again.stderr
    rows = list(csv.DictReader(io.StringIO(again.stdout)))
    scores = [float(row["score"]) for row in rows]
    assert scores == sorted(scores, reverse=True)
    assert {row["rank"] for row in rows} == {"0"}
    with ndb.open(stored(BUNDLED, ("weights", "vocab")).database) as database:
        options: dict[str, Any] = {"min_count": 5, "words": 10, "device": "cpu", "tagger": "none"}
        asked = database.families(rows[0]["model"], dataset=str(texts), **options)
        assert [row[1] for row in asked] == [row["name"] for row in rows]
        with pytest.raises(TypeError, match="families has no option 'tests'"):
            database.families(rows[0]["model"], dataset=str(texts), tests=3)


def test_a_limit_is_of_the_neurons_of_each_family(texts: Path) -> None:
    given = ("--dataset", str(texts), *SMALL, "--format", "table", "--limit")
    few, more, all_of_them = (
        len(invoke(*given, limit).stdout.splitlines()) for limit in ("1", "3", "0")
    )
    assert few < more < all_of_them


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((), UsageError, "say which texts by --dataset"),
        (("--dataset", "nowhere.txt"), TextError, "nowhere.txt"),
        (("--dataset", "sample", "--max-len", "1"), SystemExit, ""),
        (("--dataset", "texts", "--least-score", "2"), SystemExit, ""),
    ],
)
def test_what_cannot_be_asked(arguments: tuple[str, ...], error: Any, message: str) -> None:
    result = invoke(*arguments)
    assert result.exit_code != 0
    assert isinstance(result.exception, error)
    assert message in str(result.exception)


def test_a_model_that_is_not_there(texts: Path) -> None:
    model = stored(BUNDLED, ("weights", "vocab"))
    given = ["families", "nobody", "--dataset", str(texts), "--db", model.database]
    assert isinstance(CliRunner().invoke(cli, given).exception, UnknownNameError)
