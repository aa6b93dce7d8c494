"""`neurondb clamp`, `generate`, `attributes` and `entropy` end to end, on small stored models."""

import csv
import io
import json
import re
import sqlite3
import subprocess
import sys
import tomllib
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from rich.cells import cell_len

from neurondb.cli import cli
from neurondb.errors import (
    ExpressionError,
    IngestError,
    LackingModelError,
    NeuronDBError,
    UnknownNameError,
    UsageError,
)
from tests.support.ingested import TEXTS, text_file
from tests.support.real_models import BUNDLED
from tests.support.steering import stored

ROOT = Path(__file__).resolve().parents[3]
JOBS = {
    "clamp": "ingest.jobs.clamp:run",
    "generate": "ingest.jobs.generate:run",
    "sample": "ingest.jobs.sample:run",
    "entropy": "ingest.jobs.entropy:run",
    "attributes": "ingest.jobs.attribute_rate:run",
    "attribute-sets": "ingest.attributes.building:run",
    "attribute-demo": "ingest.attributes.demo:run",
}
Invoke = Callable[..., Result]


def this_checkouts(name: str) -> Any:
    module, function = {**JOBS, "split": "ingest.jobs.split:run"}[name].split(":")
    return getattr(import_module(module), function)


@pytest.fixture(autouse=True)
def _jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The jobs of this checkout, whatever an older installation has registered."""
    commands = ("attributes", "clamp", "entropy", "generate")
    for module in (*(f"neurondb.cli.{name}" for name in commands), "neurondb.find.token_names"):
        monkeypatch.setattr(import_module(module), "load_job", this_checkouts)


@pytest.fixture
def invoke() -> Invoke:
    database = stored(BUNDLED, ("weights", "vocab")).database

    def run(*arguments: str, columns: int = 80, db: str = database) -> Result:
        first, *rest = arguments
        group = first.split()
        given = [*group, *rest, *(["--db", db] if group[-1] not in ("build", "demo") else [])]
        return CliRunner().invoke(cli, given, env={"COLUMNS": str(columns)})

    return run


def rows(result: Result) -> list[dict[str, str]]:
    assert result.exit_code == 0, result.exception
    return list(csv.DictReader(io.StringIO(result.stdout)))


def test_the_jobs_are_registered() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    registered = project["entry-points"]["neurondb.jobs"]
    assert JOBS.items() <= registered.items()


def test_the_commands_ask_without_torch() -> None:
    code = (
        "import sys\nfor name in ('attributes', 'clamp', 'entropy', 'generate'):\n"
        "    __import__(f'neurondb.cli.{name}')\n"
        "assert not {'torch', 'transformers', 'ingest', 'bm25s'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


@pytest.mark.parametrize(
    "command",
    ["clamp", "generate", "entropy", *(f"attributes {n}" for n in ("rate", "build", "demo"))],
)
def test_every_option_is_in_the_help(command: str) -> None:
    result = CliRunner().invoke(cli, [*command.split(), "--help"])
    assert result.exit_code == 0
    assert "--" in result.stdout


# --- clamp ---------------------------------------------------------------------------------

PROMPT = "Mira Holt has a pet"
SWEEP = ("clamp", "m", "4.10", PROMPT, "--from", "-40", "--to", "40", "--steps", "5")


def test_a_sweep_as_rows(invoke: Invoke) -> None:
    found = rows(invoke(*SWEEP, "--target", " cat", "--target", " dog", "--format", "csv"))
    assert [row["value"] for row in found[::2]] == ["", "-40.0", "-20.0", "0.0", "20.0", "40.0"]
    assert [row["token"] for row in found[:2]] == [" cat", " dog"]
    assert found[0]["rank"] == "0"
    assert float(found[0]["probability"]) > 0.9
    assert {row["hook"] for row in found} == {"hook_pre_linear"}


def test_a_sweep_as_a_page(invoke: Invoke) -> None:
    page = invoke(*SWEEP, "--target", " cat", "--format", "table").stdout
    assert page.startswith(
        "m 4.10\nhook_pre_linear at every position · 5 values in canonical sign · "
    )
    assert "p(' cat')" in page
    assert "clean 0.9" in page
    assert "▲" in page
    heads = page[page.index("next token") :].splitlines()[1]
    assert heads.split("  ")[0].strip() == "at -40"
    assert all(word in heads for word in ("clean", "at 0", "at 40"))


@pytest.mark.parametrize("columns", [60, 80, 120, 160])
@pytest.mark.parametrize("steps", ["1", "2", "41", "301"])
def test_no_line_of_a_sweep_runs_over(invoke: Invoke, columns: int, steps: str) -> None:
    ends = ("0", "0") if steps == "1" else ("-3", "500")
    given = ("--steps", steps, "--from", ends[0], "--to", ends[1], "--format", "table")
    page = invoke("clamp", "m", "5.1,4.2", PROMPT, *given, columns=columns).stdout
    assert "next token" in page
    assert max(map(cell_len, page.splitlines())) <= columns


def test_more_neurons_are_held_together(invoke: Invoke) -> None:
    short = ("--steps", "3", "--target", " cat", "--format", "csv")
    together = rows(invoke("clamp", "m", "4.10,5.7", PROMPT, *short))
    again = rows(invoke("clamp", "m", "4.10", PROMPT, "--neuron", "5.7", *short))
    assert [row["probability"] for row in together] == [row["probability"] for row in again]
    assert together[0]["neurons"] == "4.10,5.7"


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        (("clamp", "m", "9.1", PROMPT), UnknownNameError, "9.1"),
        (("clamp", "m", "4.1,4.1", PROMPT), UsageError, "twice"),
        (("clamp", "m", "4.1", PROMPT, "--target", " Tarsk"), UnknownNameError, "' T' #"),
        (("clamp", "m", "4.1", PROMPT, "--target", "cat"), UnknownNameError, "' cat'"),
        (("clamp", "m", "4.1", "a " * 300), LackingModelError, "256"),
        (("clamp", "m", "4.1", PROMPT, "--chat"), LackingModelError, "--chat"),
        (("clamp", "m", "4.1", PROMPT, "--steps", "1"), UsageError, "one step"),
        (("clamp", "m", "4.1", PROMPT, "--from", "nan"), UsageError, "finite"),
        (("clamp", "n", "4.1", PROMPT), UnknownNameError, "'n'"),
        (("generate", "m", PROMPT, "--clamp", "4.999=1"), UnknownNameError, "4.999"),
        (("generate", "m", PROMPT, "--ablate", "layer=77"), UnknownNameError, "'layer=77'"),
        (("generate", "m", PROMPT, "--ablate", "wekening"), ExpressionError, "'weakening'"),
        (("generate", "m", PROMPT, "--greedy", "--top-p", "0.3"), UsageError, "--top-p"),
        (("entropy", "m"), UsageError, "--dataset"),
        (
            ("entropy", "m", "--dataset", "x.txt", "--neurons", "4.1", "--candidates", "2"),
            UsageError,
            "--candidates",
        ),
    ],
)
def test_refusals_are_one_line(
    invoke: Invoke, given: tuple[str, ...], error: type[NeuronDBError], said: str
) -> None:
    result = invoke(*given)
    assert isinstance(result.exception, error)
    assert said in str(result.exception)
    assert "\n" not in str(result.exception)
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("clamp", "m", "4", PROMPT), "'4' is not LAYER.NEURON"),
        (("generate", "m", PROMPT, "--clamp", "4.1"), "LAYER.NEURON=VALUE"),
        (("generate", "m", PROMPT, "--clamp", "4.1=x"), "'4.1=x'"),
        (("generate", "m", PROMPT, "--clamp", "4.1=inf"), "'4.1=inf'"),
        (("generate", "m", PROMPT, "--temperature", "0"), "--temperature"),
        (("entropy", "m", "--values", "1,x"), "'1,x'"),
        (("entropy", "m", "--values", "1,inf"), "'1,inf'"),
    ],
)
def test_slips_are_usage_errors(invoke: Invoke, given: tuple[str, ...], said: str) -> None:
    result = invoke(*given)
    assert result.exit_code == 2
    assert said in result.stderr


def test_an_ungated_model_is_clamped_at_hook_post(invoke: Invoke) -> None:
    database = stored("gpt2", ("weights", "vocab")).database
    found = rows(invoke("clamp", "m", "1.3", "the cat", "--format", "csv", db=database))
    assert {row["hook"] for row in found} == {"hook_post"}
    refused = invoke("clamp", "m", "1.3", "x", "--hook", "hook_pre_linear", db=database)
    assert isinstance(refused.exception, LackingModelError)
    assert "hook_pre_linear" in str(refused.exception)


def test_a_checkpoint_that_is_gone_is_one_line(invoke: Invoke, tmp_path: Path) -> None:
    database = tmp_path / "n.db"
    with (
        sqlite3.connect(stored(BUNDLED, ("weights", "vocab")).database) as source,
        sqlite3.connect(database) as copy,
    ):
        source.backup(copy)
        copy.execute("UPDATE models SET source = '/nowhere/model'")
    for given in (
        ("clamp", "m", "4.1", PROMPT),
        ("generate", "m", PROMPT, "--clamp", "4.1=3"),
        ("entropy", "m", "--dataset", str(text_file(TEXTS))),
    ):
        error = invoke(*given, db=str(database)).exception
        assert isinstance(error, IngestError)
        assert "/nowhere/model" in str(error)


# --- generate ------------------------------------------------------------------------------


def test_a_run_is_a_row(invoke: Invoke) -> None:
    given = ("--clamp", "4.10=60", "--max-new-tokens", "8", "--side-by-side", "--format", "json")
    found = json.loads(invoke("generate", "m", PROMPT, *given).stdout)
    assert [(row["run"], row["steering"]) for row in found] == [
        ("clean", ""),
        ("steered", "4.10=60 in canonical sign"),
    ]
    assert all(row["n_tokens"] == 8 and row["ended"] == "length" for row in found)
    alone = json.loads(invoke("generate", "m", PROMPT, *given[:4], "--format", "json").stdout)
    assert alone == found[1:]


def test_which_sign_is_meant_is_said(invoke: Invoke) -> None:
    own = invoke(*SWEEP, "--target", " cat", "--sign", "model", "--format", "table").stdout
    assert "5 values in the model's own sign" in own
    given = ("--clamp", "4.10=60", "--max-new-tokens", "2", "--greedy", "--format", "table")
    assert "4.10=60 in canonical sign" in invoke("generate", "m", PROMPT, *given).stdout


def test_a_text_is_printed_after_its_prompt(invoke: Invoke) -> None:
    given = ("--greedy", "--max-new-tokens", "5", "--format", "table")
    page = invoke("generate", "m", PROMPT, *given).stdout
    assert page.startswith(PROMPT)
    assert page.rstrip().endswith("5 tokens, cut at --max-new-tokens")


@pytest.mark.parametrize("columns", [60, 120])
def test_two_texts_stand_side_by_side(invoke: Invoke, columns: int) -> None:
    given = ("--clamp", "4.10=60", "--side-by-side", "--seed", "4", "--format", "table")
    page = invoke("generate", "m", PROMPT, *given, columns=columns).stdout
    lines = page.splitlines()
    assert lines[0] == PROMPT
    assert lines[2].split()[:2] == ["clean", "4.10=60"]
    assert max(map(cell_len, lines)) <= columns


def test_ablating_an_expression(invoke: Invoke) -> None:
    given = ("--greedy", "--max-new-tokens", "12", "--format", "json")
    clean = json.loads(invoke("generate", "m", PROMPT, *given).stdout)
    without = json.loads(invoke("generate", "m", PROMPT, *given, "--ablate", "layer=4").stdout)
    assert without[0]["steering"] == "without layer=4"
    assert without[0]["text"] != clean[0]["text"]


# --- entropy -------------------------------------------------------------------------------


def test_entropy_as_rows_and_as_a_page(invoke: Invoke) -> None:
    given = ("--dataset", str(text_file(TEXTS)), "--max-texts", "4", "--values", "0,4")
    more = ("--candidates", "2", "--baseline", "3")
    found = rows(invoke("entropy", "m", *given, *more, "--format", "csv"))
    assert len(found) == 5 * 2 * 4
    assert [row["kind"] for row in found[::8]] == ["asked"] * 2 + ["baseline"] * 3
    for row in found:
        parts = float(row["direct"]) + float(row["through_norm"])
        assert parts == pytest.approx(float(row["total"]), abs=1e-15)
        change = float(row["fixed"]) - float(row["clean"])
        assert change == pytest.approx(float(row["total"]), abs=1e-15)
    page = invoke("entropy", "m", *given, *more, "--format", "table").stdout
    assert all(f"{metric}, " in page for metric in ("scale", "entropy", "rank", "loss"))
    assert "random: mean" in page


@pytest.mark.parametrize("columns", [60, 80, 160])
def test_no_line_of_entropy_runs_over(invoke: Invoke, columns: int) -> None:
    values = ",".join(map(str, range(-9, 10)))
    given = ("--dataset", str(text_file(TEXTS)), "--max-texts", "2", f"--values={values}")
    page = invoke("entropy", "m", *given, "--format", "table", columns=columns).stdout
    assert max(map(cell_len, page.splitlines())) <= max(columns, 80)


# --- attributes ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("world")
    this_checkouts("attribute-demo")(directory)
    return directory


def test_from_the_demo_to_the_rates(invoke: Invoke, tmp_path: Path) -> None:
    directory = tmp_path / "world"
    made = invoke("attributes demo", "-o", str(directory))
    assert made.stdout.split() == [
        str(directory / name) for name in ("prompts.json", "sets.json", "paragraphs.txt")
    ]
    prompts, built = str(directory / "prompts.json"), str(directory / "bm25.json")
    given = ("--subjects", prompts, "--top-k", "8", "--mentioning", "-o", built)
    said = invoke("attributes build", str(directory / "paragraphs.txt"), *given).stdout
    assert "267 subjects" in said
    assert re.search(r"answers in their subject's set: \d+ of the \d+ ", said)
    report = tmp_path / "report.csv"
    quiet = invoke(
        "attributes build", str(directory / "paragraphs.txt"), *given, "--report", str(report)
    )
    assert quiet.stdout == ""
    rows = {row["subject"]: row for row in csv.DictReader(report.read_text().splitlines())}
    assert len(rows) == 267
    assert rows["Norvelia"]["n_paragraphs"] == rows["Norvelia"]["n_mentioning"]
    assert "Tarsk" in rows["Norvelia"]["found"].split("; ")
    assert {"tarsk", "orskan"} <= set(json.loads(Path(built).read_text())["Norvelia"])
    rated = ("--prompts", prompts, "--sets", built, "--max-prompts", "60")
    page = invoke("attributes rate", "m", *rated, "--format", "table").stdout
    assert "60 prompts · " in page
    assert "● clean" in page
    assert "p(first token of the answer), 60 prompts" in page


def test_rates_as_rows(invoke: Invoke, world: Path) -> None:
    given = ("--prompts", str(world / "prompts.json"), "--sets", str(world / "sets.json"))
    more = ("--max-prompts", "30", "--neurons", "4.1,4.2", "--baseline", "2", "--format", "csv")
    found = rows(invoke("attributes rate", "m", *given, *more))
    assert len(found) == 4 * 6
    assert [row["run"] for row in found[::6]] == ["clean", "ablated", "baseline", "baseline"]
    assert [row["draw"] for row in found[::6]] == ["", "", "0", "1"]
    assert {row["treatment"] for row in found[6:]} == {"zero"}


@pytest.mark.parametrize("columns", [60, 80, 160])
def test_no_line_of_rates_runs_over(invoke: Invoke, world: Path, columns: int) -> None:
    given = ("--prompts", str(world / "prompts.json"), "--sets", str(world / "sets.json"))
    names = ",".join(f"3.{n}" for n in range(90))
    more = ("--max-prompts", "30", "--neurons", names, "--baseline", "2", "--format", "table")
    page = invoke("attributes rate", "m", *given, *more, columns=columns).stdout
    assert "baseline" in page
    assert max(map(cell_len, page.splitlines())) <= columns


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--mode", "mean"), "--mode"),
        (("--baseline", "2"), "--baseline"),
        (("--neurons", "1.1", "--where", "layer=1"), "--where, --sql, --neurons"),
        (("--draw", "3"), "--draw"),
        (("--neurons", "1.1", "--mode", "fix"), "--value"),
        (("--neurons", "1.1", "--condition", "gate"), "'gate'"),
    ],
)
def test_rates_that_make_no_sense(
    invoke: Invoke, world: Path, more: tuple[str, ...], said: str
) -> None:
    given = ("--prompts", str(world / "prompts.json"), "--sets", str(world / "sets.json"))
    result = invoke("attributes rate", "m", *given, *more)
    assert isinstance(result.exception, UsageError)
    assert said in str(result.exception)


def test_files_that_are_not_there(invoke: Invoke, world: Path, tmp_path: Path) -> None:
    prompts, none = str(world / "prompts.json"), str(tmp_path / "none.json")
    for given in (
        ("attributes rate", "m", "--prompts", none, "--sets", none),
        ("attributes rate", "m", "--prompts", prompts, "--sets", none),
        ("attributes build", none, "--subjects", prompts, "-o", str(tmp_path / "o.json")),
    ):
        result = invoke(*given)
        assert isinstance(result.exception, NeuronDBError)
        assert "\n" not in str(result.exception)
    assert not (tmp_path / "o.json").exists()
