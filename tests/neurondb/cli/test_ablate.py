"""`neurondb ablate` and `ablate-suite` as a user types them."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ingest.bundled import MODEL_NAME
from neurondb.cli import cli
from neurondb.errors import NeuronDBError, UsageError
from tests.support.ingested import subject
from tests.support.real_models import BUNDLED


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cli") / "neurondb.db"
    with closing(sqlite3.connect(path)) as copy:
        subject(BUNDLED).connection.backup(copy)
    return path


def run(file: Path, *words: str) -> Result:
    result = CliRunner().invoke(cli, [*words, "--db", str(file)])
    if isinstance(result.exception, NeuronDBError):
        raise result.exception
    return result


def n_members() -> int:
    sql = "SELECT COUNT(*) FROM neuron_overview WHERE class = 'conditional weakening'"
    ((n,),) = subject(BUNDLED).rows(sql)
    return int(n)


TEXTS = ("--dataset", "texts", "--max-texts", "5", "--max-len", "60", "--device", "cpu")


def test_the_page_says_what_was_done_and_what_changed(file: Path) -> None:
    asked = ("ablate", MODEL_NAME, "--class", "cond-weak", "--baseline", "2", *TEXTS)
    result = run(file, *asked, "--format", "table")
    assert result.exit_code == 0, result.output
    page = result.stdout
    assert f"{MODEL_NAME}: {n_members()} neurons, zero" in page
    assert "class='conditional weakening'" in page
    assert "5 texts" in page
    assert "× 2 seeds" in page
    assert [line.split()[0] for line in page.splitlines() if "±" in line] == [
        "loss",
        "entropy",
        "rank",
        "scale",
    ]
    assert "With these neurons set to zero, entropy" in page
    assert "3 runs" in result.stderr
    assert "--force" in run(file, *asked, "--format", "table").stderr


def test_rows_for_programs(file: Path) -> None:
    asked = ("ablate", MODEL_NAME, "--neurons", "1.2", "--mode", "fix", "--value", "2")
    result = run(file, *asked, "--baseline", *TEXTS, "--format", "json", "--metrics", "loss,scale")
    found = json.loads(result.stdout)
    assert [(row["metric"], row["filter"]) for row in found] == [
        (metric, which)
        for _ in range(2)
        for metric in ("loss", "scale")
        for which in ("all", "changed")
    ]
    assert found[0]["value"] == 2
    assert found[0]["baseline_of"] is None
    assert found[4]["baseline_of"] == found[0]["run_id"]
    assert found[0]["clean_mean"] - found[0]["ablated_mean"] == pytest.approx(found[0]["mean"])


def test_a_run_is_repeated(file: Path) -> None:
    asked = ("ablate", MODEL_NAME, "--neurons", "2.2", *TEXTS, "--format", "json")
    run_id = json.loads(run(file, *asked).stdout)[0]["run_id"]
    result = run(file, "ablate", "--rerun", str(run_id), "--format", "json")
    assert json.loads(result.stdout)[0]["run_id"] == run_id
    assert "to the bit" in result.stderr
    more = run(file, "ablate", "--rerun", str(run_id), "--max-texts", "8", "--format", "json")
    assert json.loads(more.stdout)[0]["run_id"] > run_id


def test_a_suite_has_a_line_a_run(file: Path) -> None:
    words = ("ablate-suite", MODEL_NAME, *TEXTS, "--classes", "weakening,cond-weak")
    result = run(file, *words, "--conditions", "always,gate-_post+", "--format", "table")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert sum("zero gate-_post+" in line for line in lines) == 2
    assert f"class='conditional weakening': {n_members()} neurons" in lines
    assert "runs stored" in result.stderr


def test_a_suite_draws_as_many_of_each_class(file: Path) -> None:
    words = ("ablate-suite", MODEL_NAME, *TEXTS, "--classes", "cond-weak,weakening", "--draw", "2")
    result = run(file, *words, "--conditions", "all", "--format", "json", "--metrics", "loss")
    found = json.loads(result.stdout)
    assert {row["n_neurons"] for row in found} == {2}
    conditions = {row["condition"] for row in found}
    assert conditions == {"gate+_post+", "gate+_post-", "gate-_post+", "gate-_post-"}


def test_the_tokens_that_changed_most_stand_on_the_page_and_are_rows(file: Path) -> None:
    words = ("ablate", MODEL_NAME, *TEXTS, "--neurons", "5.251,5.180", "--baseline")
    page = run(file, *words, "--format", "table", "--metrics", "loss").stdout
    (head,) = [line for line in page.splitlines() if "the tokens that changed most" in line]
    assert head == "loss: the tokens that changed most, clean → ablated"
    assert len([line for line in page.splitlines() if "→" in line and "@" in line]) == 5
    assert "«" in page
    none = run(file, *words, "--format", "table", "--changed-tokens", "0").stdout
    assert "changed most" not in none
    asked = ("--changed-tokens", "7", "--format", "json", "--metrics", "entropy,loss")
    found = json.loads(run(file, *words, *asked).stdout)
    runs = {row["run_id"]: row["baseline_of"] for row in found}
    assert len(runs) == 2
    assert {*runs.values()} == {None, min(runs)}
    assert len(found) == 2 * 2 * 7
    for row in found:
        assert row["difference"] == row["clean"] - row["ablated"]
    for metric in ("loss", "entropy"):
        of_metric = [r for r in found if r["metric"] == metric and r["baseline_of"] is None]
        assert [row["rank"] for row in of_metric] == list(range(7))
        sizes = [abs(row["difference"]) for row in of_metric]
        assert sizes == sorted(sizes, reverse=True)
    query = ("query", "changed-tokens", "--param", f"run={min(runs)}", "--param", "limit=7")
    rows = json.loads(run(file, *query, "--format", "json").stdout)
    mine = [r for r in found if r["metric"] == "loss" and r["run_id"] == min(runs)]
    for row, own in zip(rows, mine, strict=True):
        for name in ("rank", "difference", "clean", "ablated", "text", "position"):
            assert row[name] == own[name]
        assert row["token"].strip() == own["token"].strip()
    tokens = run(file, *words, "--changed-tokens", "99").exit_code
    assert tokens == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("ablate", "m"), "--where.*--neurons"),
        (("ablate",), "MODEL.*--rerun"),
        (("ablate", "m", "--class", "a", "--neurons", "1.2"), "--where.*--neurons"),
        (("ablate", "m", "--neurons", "1.2"), "--dataset"),
        (("ablate", "m", "--neurons", "1.2", "--draw", "3"), "--draw.*--class"),
        (("ablate", "m", "--mode", "fix", "--neurons", "1.2"), "fix.*--value"),
        (("ablate", "m", "--metrics", "accuracy"), "'accuracy'.*loss"),
        (("ablate", "m", "--rerun", "3"), "--rerun.*MODEL"),
        (("ablate", "--rerun", "3", "--class", "weak"), "--rerun.*--class"),
        (("ablate", "--rerun", "3", "--baseline"), "--rerun.*--baseline"),
        (("ablate-suite", "m"), "--dataset"),
        (("ablate-suite", "m", "--dataset", "t", "--modes", "fix"), "fix.*`neurondb ablate`"),
        (("ablate-suite", "m", "--dataset", "t", "--modes", "erase"), "'erase'"),
        (("ablate-suite", "m", "--dataset", "t", "--conditions", "in+"), r"'in\+'"),
    ],
)
def test_wrong_usage_is_said_before_anything_is_loaded(
    tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        run(tmp_path / "none.db", *words)
