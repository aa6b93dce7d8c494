"""`neurondb tokens` end to end."""

import csv
import io
import json
import re
import shutil
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

import neurondb.cli.tokens
import neurondb.find.token_names
from ingest.bundled import model_directory
from neurondb.cli import cli
from neurondb.errors import IngestError, UnknownNameError, UsageError
from neurondb.terminal.tokens import ROW_COLUMNS
from tests.support.sample_facts import DECODED, NEURONS, Sample
from tests.support.tiny_model import tiny_model

ROOT = Path(__file__).resolve().parents[3]
Ask = Callable[..., Result]
JOBS = {"tokens": "ingest.jobs.tokens", "split": "ingest.jobs.split"}


@pytest.fixture(autouse=True)
def _jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The jobs of this checkout, whatever an older installation has registered."""
    for module in (neurondb.cli.tokens, neurondb.find.token_names):
        monkeypatch.setattr(module, "load_job", lambda name: import_module(JOBS[name]).run)


@pytest.fixture
def ask(sample: Sample) -> Ask:
    def invoke(*arguments: str, width: int = 80) -> Result:
        command = ["tokens", "--db", sample.url, *arguments]
        return CliRunner().invoke(cli, command, env={"COLUMNS": str(width)})

    return invoke


def table(result: Result) -> str:
    assert result.exception is None, result.exception
    return result.stdout


def test_the_jobs_are_registered() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    points = project["entry-points"]["neurondb.jobs"]
    for name, module in JOBS.items():
        assert points[name] == f"{module}:run"
        assert callable(import_module(module).run)


@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize(
    "arguments",
    [
        ("sample-llama", " dog"),
        ("sample-gpt", " dog", "\n", "été"),
        ("sample-llama", *(f"#{i}" for i in range(20))),
        ("sample-llama", " dog", "--lm-head"),
        ("sample-llama", "\x1b[31m", "\u202e", "🐕"),
    ],
)
def test_pages_fit_the_terminal_and_are_harmless(
    arguments: tuple[str, ...], width: int, ask: Ask
) -> None:
    text = table(ask(*arguments, "--format", "table", width=width))
    assert max(cell_len(line) for line in text.splitlines()) <= width
    assert not set(text) & {"\x1b", "\x07", "\r", "\u202e"}


def test_the_page_names_the_best_of_every_section(ask: Ask) -> None:
    text = table(ask("sample-llama", " dog", "--format", "table", "--limit", "3"))
    rows = json.loads(table(ask("sample-llama", " dog", "--format", "json")))
    for effect in ("reads", "writes", "suppresses"):
        section = text.split(f"{effect}: ")[1].split("\n\n")[0].splitlines()
        order = dict.fromkeys(row["name"] for row in rows if row["effect"] == effect)
        assert [line.split()[0] for line in section[2:5]] == [*order][:3]
        assert section[-1] == f"and {len(order) - 3} more"


def test_rows_are_all_places(ask: Ask, sample: Sample) -> None:
    rows = json.loads(table(ask("sample-llama", " dog", " cat", "--format", "json")))
    ids = {n["neuron_id"] for n in sample.neurons[:NEURONS]}
    expected = sum(
        token in top
        for (neuron_id, _), top in sample.top.items()
        if neuron_id in ids
        for token in (" dog", " cat")
    )
    fires = [row for row in rows if row["effect"].startswith("fires_")]
    assert len(rows) - len(fires) == expected
    assert tuple(rows[0]) == ROW_COLUMNS
    assert {row["n_tokens"] for row in rows if row not in fires} == {1, 2}
    keys = ("neuron_id", "token", "sign_case", "place", "rank", "count", "list_size", "value")
    assert {tuple(row[key] for key in keys) for row in fires} == {
        tuple(row[key] for key in keys)
        for row in sample.peaks
        if row["model"] == "sample-llama" and row["token"] in (" dog", " cat")
    }
    effects = {"peak": "fires_on", "previous": "fires_after", "next": "fires_before"}
    assert all(row["effect"] == effects[row["place"]] for row in fires)


def test_the_page_says_who_fires_on_a_token(ask: Ask, sample: Sample, tmp_path: Path) -> None:
    text = table(ask("sample-llama", " dog", "--format", "table", "--limit", "2", width=100))
    for place, words in {"peak": "on", "previous": "after", "next": "before"}.items():
        neurons = {
            row["neuron_id"]
            for row in sample.peaks
            if (row["model"], row["place"], row["token"]) == ("sample-llama", place, " dog")
        }
        (line,) = (line for line in text.splitlines() if f"fires {words} it" in line)
        assert f" {len(neurons)} neuron" in line
    lists_only = table(ask("sample-llama", " dog", "--vector", "out", "--format", "table"))
    assert "fires" not in lists_only
    assert "one of them" in table(ask("sample-llama", " dog", " cat", "--format", "table"))
    file = shutil.copy(sample.path, tmp_path / "without.db")
    with sqlite3.connect(file) as connection:
        connection.execute("DELETE FROM peak_token_rows")
    result = ask("sample-llama", " dog", "--format", "table", "--db", str(file))
    assert "fires" not in result.stdout
    assert "peak tokens were not ingested for sample-llama: run" in result.stderr


def test_formats_and_files(ask: Ask, tmp_path: Path) -> None:
    file = tmp_path / "dog.csv"
    table(ask("sample-llama", " dog", "-o", str(file)))
    piped = table(ask("sample-llama", " dog", "--format", "csv"))
    assert file.read_text(encoding="utf-8") == piped
    assert len([*csv.DictReader(io.StringIO(piped))]) == piped.count("\n") - 1
    assert table(ask("sample-llama", " dog", "--limit", "2")).count("\n") == 3  # tsv in a pipe


def test_options_narrow(ask: Ask) -> None:
    narrowed = ("--vector", "out", "--basis", "embed", "--layer", "-1,0")
    rows = json.loads(table(ask("sample-llama", " dog", *narrowed, "--format", "json")))
    assert {(r["vector"], r["basis"]) for r in rows} == {("out", "embed")}
    assert {r["layer"] for r in rows} == {0, 3}
    text = table(ask("sample-llama", " dog", *narrowed, "--format", "table"))
    assert "reads" not in text
    assert "writes: out points" in text


def test_an_ungated_model_has_no_gate(ask: Ask) -> None:
    text = table(ask("sample-gpt", " only-gpt", "--format", "table"))
    assert "reads: in points along it" in text


def test_a_stored_token_needs_no_weights(ask: Ask, sample: Sample) -> None:
    rows = json.loads(table(ask("sample-llama", DECODED, "--lm-head", "--format", "json")))
    decoded = {
        (r["neuron_id"], r["side"]): r["probability"] for r in rows if r["effect"] == "lm_head"
    }
    by_side = {1: sample.decoded, -1: sample.decoded_turned}
    assert decoded == {(i, side): p[i] for side, p in by_side.items() for i in range(NEURONS)}
    text = table(ask("sample-llama", DECODED, "--lm-head", "--format", "table"))
    best, side = max(decoded, key=lambda place: decoded[place])
    panel = text.split("LM head on ±in")[1]
    first = panel.split("class")[1].split()[:2]
    assert first == [sample.neurons[best]["name"], "+in" if side == 1 else "−in"]
    assert "already" in ask("sample-llama", DECODED, "--lm-head", "--store").stderr


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        (("sample-llama",), UsageError, "' dog'"),
        (("sample-llama", "a|b", "--store"), UsageError, "--lm-head"),
        (("sample-llama", "a|b", "--layer", "4"), UnknownNameError, "0 to 3"),
        (("sample-lama", " dog"), UnknownNameError, "'sample-llama'"),
        (("sample-llama", " dog", " dgo"), UnknownNameError, "' dgo'"),
        (("sample-llama", "a|b", "--lm-head"), IngestError, "from here"),
    ],
)
def test_what_cannot_be_is_one_line(
    arguments: tuple[str, ...], error: type[Exception], said: str, ask: Ask
) -> None:
    result = ask(*arguments)
    assert isinstance(result.exception, error)
    assert said in str(result.exception)
    assert "\n" not in str(result.exception)
    assert result.stdout == ""


def test_a_question_loads_nothing_that_computes(sample: Sample) -> None:
    script = (
        "import sys\n"
        "from neurondb.cli import cli\n"
        f"cli(['tokens', '--db', {sample.url!r}, 'sample-llama', ' dog', '--lm-head'],"
        " standalone_mode=False)\n"
        "heavy = {'torch', 'transformers', 'ingest', 'alembic', 'datasette'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


# --- a real model --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bundled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tokens") / "n.db"
    command = ["ingest", str(model_directory()), "--name", "bundled", "--db", str(path)]
    assert CliRunner().invoke(cli, command).exit_code == 0
    return path


def on_bundled(database: Path, *arguments: str) -> Result:
    return CliRunner().invoke(cli, ["tokens", "bundled", *arguments, "--db", str(database)])


def lm_head_rows(result: Result) -> list[Any]:
    return [row for row in json.loads(table(result)) if row["effect"] == "lm_head"]


def test_what_is_stored_is_what_was_computed(bundled: Path, tmp_path: Path) -> None:
    database = Path(shutil.copy(bundled, tmp_path / "n.db"))
    command = (" dog", "--lm-head", "--format", "json")
    computed = lm_head_rows(on_bundled(database, *command, "--store"))
    with sqlite3.connect(database) as connection:
        connection.execute("UPDATE models SET source = '/nowhere'")
    assert lm_head_rows(on_bundled(database, *command)) == computed
    assert len(computed) == 6 * 512 * 2  # +in and −in
    moved = on_bundled(database, " cat", "--lm-head")
    assert isinstance(moved.exception, IngestError)
    assert "/nowhere" in str(moved.exception)


def test_progress_goes_to_stderr(bundled: Path) -> None:
    result = on_bundled(bundled, " dog", "--lm-head", "--format", "json")
    assert "6 layers" in result.stderr
    json.loads(result.stdout)


def test_several_tokens_are_told_with_their_ids(bundled: Path) -> None:
    error = on_bundled(bundled, " the dog").exception
    assert isinstance(error, UnknownNameError)
    said = str(error)
    assert re.search(r"' the dog'.*' the' #\d+.*' dog' #\d+", said)
    (the, dog) = re.findall(r"#\d+", said)
    assert f"' dog' {dog}" in table(on_bundled(bundled, dog, the, "--format", "table"))


def test_every_token_of_a_real_vocabulary_can_be_named_as_it_is_shown(bundled: Path) -> None:
    with sqlite3.connect(bundled) as connection:
        tokens = connection.execute("SELECT token_id, token FROM tokens").fetchall()
    result = on_bundled(bundled, *(repr(token) for _, token in tokens), "--layer", "0")
    found = {row["token_id"] for row in csv.DictReader(io.StringIO(result.stdout), delimiter="\t")}
    assert result.exception is None
    assert len(found) > len(tokens) / 2  # of the others no neuron of layer 0 takes notice


def test_a_model_without_a_tokenizer(tmp_path: Path) -> None:
    model, database = tiny_model(tmp_path / "bare"), tmp_path / "n.db"
    (model / "tokenizer.json").unlink()
    command = ["ingest", str(model), "--db", str(database)]
    assert CliRunner().invoke(cli, command).exit_code == 0
    named = CliRunner().invoke(cli, ["tokens", "bare", " dog", "--db", str(database)])
    assert isinstance(named.exception, UnknownNameError)
    assert "#5" in str(named.exception)
    by_id = ["tokens", "bare", "#5", "--db", str(database), "--lm-head", "--format", "table"]
    assert "'[token 5]' #5" in table(CliRunner().invoke(cli, by_id))


def test_weights_alone_say_what_to_run(tmp_path: Path) -> None:
    model, database = tiny_model(tmp_path / "tiny"), tmp_path / "n.db"
    command = ["ingest", str(model), "--db", str(database), "--stages", "weights"]
    assert CliRunner().invoke(cli, command).exit_code == 0
    result = CliRunner().invoke(cli, ["tokens", "tiny", " the", "--db", str(database)])
    assert isinstance(result.exception, UnknownNameError)
    assert f"`neurondb ingest {model} --name tiny --stages vocab`" in str(result.exception)
