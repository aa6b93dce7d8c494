"""`neurondb prompt` and `activations`, and the same from Python, on the bundled model."""

import csv
import io
import json
import sqlite3
import subprocess
import sys
import tomllib
from collections.abc import Callable
from contextlib import closing
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from rich.cells import cell_len

import neurondb as ndb
from neurondb.cli import cli
from neurondb.errors import (
    IngestError,
    LackingModelError,
    NeuronDBError,
    UnknownNameError,
    UsageError,
)
from tests.ingest.jobs.ablation_requests import copy_of
from tests.support.ingested import fresh
from tests.support.real_models import BUNDLED
from tests.support.steering import stored

ROOT = Path(__file__).resolve().parents[3]
JOBS = {"prompt": "ingest.jobs.prompt:run", "activations": "ingest.jobs.activations:run"}
NAME, PROMPT = "tinyworld-2m", "Once upon a time there was a little"
Invoke = Callable[..., Result]


def this_checkouts(name: str) -> Any:
    module, function = {**JOBS, "split": "ingest.jobs.split:run"}[name].split(":")
    return getattr(import_module(module), function)


@pytest.fixture(autouse=True)
def _jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The jobs of this checkout, whatever an older installation has registered."""
    for module in ("neurondb.api.jobs", "neurondb.find.token_names"):
        monkeypatch.setattr(import_module(module), "load_job", this_checkouts)


@cache
def database() -> str:
    return str(copy_of(BUNDLED, fresh("prompt")))


@pytest.fixture
def invoke() -> Invoke:
    def run(*arguments: str, columns: int = 80, db: str | None = None) -> Result:
        given = [*arguments, "--db", db or database()]
        return CliRunner().invoke(cli, given, env={"COLUMNS": str(columns)})

    return run


def rows(result: Result) -> list[dict[str, str]]:
    assert result.exit_code == 0, result.exception
    return list(csv.DictReader(io.StringIO(result.stdout)))


def test_the_jobs_are_registered() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert JOBS.items() <= project["entry-points"]["neurondb.jobs"].items()


def test_the_commands_ask_without_torch() -> None:
    code = (
        "import sys\nfor name in ('prompt', 'activations'):\n"
        "    __import__(f'neurondb.cli.{name}')\n"
        "assert not {'torch', 'transformers', 'ingest'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


@pytest.mark.parametrize("columns", [60, 80, 160])
def test_the_page_fits_the_terminal_and_names_what_it_shows(invoke: Invoke, columns: int) -> None:
    result = invoke("prompt", NAME, PROMPT, "--top", "5", "--gradient", columns=columns)
    assert result.exit_code == 0, result.exception
    page = result.stdout
    assert max(map(cell_len, page.splitlines())) <= columns
    for word in ("9 tokens", "neurons", "attention", "embeddings", "= logit", "position 8"):
        assert word in page
    assert "␣little█" in page.replace("\n", "") or "␣little" in page
    assert sum("gate" in line and "." in line for line in page.splitlines()) >= 5 or columns < 80


def test_json_is_one_document_with_positions(invoke: Invoke) -> None:
    result = invoke("prompt", NAME, PROMPT, "--at", "all", "--top", "3", "--format", "json")
    page = json.loads(result.stdout)
    assert [token["token"] for token in page["tokens"]][:3] == ["<|bos|>", "Once", " upon"]
    assert len(page["positions"]) == len(page["tokens"]) == 9
    for at in page["positions"]:
        parts = at["parts"]
        named = (parts[key] for key in ("neurons", "attention", "embeddings", "bias", "rest"))
        assert sum(named) == pytest.approx(parts["logit"], abs=1e-5)
        by_layer = sum(parts["neurons_by_layer"]) + parts["mlp_bias"]
        assert by_layer == pytest.approx(parts["neurons"], abs=1e-6)
        assert len(at["neurons"]) == 3
        sizes = [abs(one["effect"]) for one in at["neurons"]]
        assert sizes == sorted(sizes, reverse=True)
        for one in at["neurons"]:
            assert one["class_name"]
            assert 0 <= one["freq"] <= 1
            written = one["promotes"] if one["hook_post"] > 0 else one["suppresses"]
            assert len(written) == 3
            assert one["surprise"] is not None
            assert one["gradient"] is None
    with closing(sqlite3.connect(database())) as connection:
        first = page["positions"][-1]["neurons"][0]
        (token,) = connection.execute(
            "SELECT token FROM top_tokens JOIN tokens USING (token_id) WHERE neuron_id = ? AND "
            "vector = 'out' AND basis = 'unembed' AND direction = 'top' AND rank = 0",
            [first["neuron_id"]],
        ).fetchone()
    assert (first["promotes"] + first["suppresses"])[0] == token


def test_a_neuron_fires_on_the_peak_tokens_of_its_case(invoke: Invoke) -> None:
    result = invoke("prompt", NAME, PROMPT, "--top", "40", "--format", "json")
    neurons = json.loads(result.stdout)["positions"][0]["neurons"]
    with closing(sqlite3.connect(database())) as connection:
        for one in neurons:
            stored_tokens = connection.execute(
                "SELECT token, count FROM peak_tokens WHERE "
                "neuron_id = ? AND sign_case = ? AND place = 'peak' ORDER BY rank LIMIT 3",
                [one["neuron_id"], one["sign_case"]],
            ).fetchall()
            assert [(peak["token"], peak["count"]) for peak in one["fires_on"]] == stored_tokens
    assert sum(bool(one["fires_on"]) for one in neurons) > 30
    page = invoke("prompt", NAME, PROMPT, columns=160).stdout
    assert "fires on" in page


def test_rows_are_those_of_the_document(invoke: Invoke) -> None:
    asked = ("prompt", NAME, PROMPT, "--at", "-2", "--top", "4", "--by", "surprise", "--gradient")
    found = rows(invoke(*asked, "--format", "csv"))
    at = json.loads(invoke(*asked, "--format", "json").stdout)["positions"][0]
    assert len(found) == 4
    for row, one in zip(found, at["neurons"], strict=True):
        assert (row["name"], row["position"], row["target"]) == (one["name"], "7", " little")
        for key in ("hook_post", "hook_pre", "effect", "norm", "gradient", "surprise"):
            assert float(row[key]) == pytest.approx(one[key])


@pytest.mark.parametrize("form", ["table", "ndjson", "tsv", "parquet", "markdown"])
def test_every_format_can_be_written(invoke: Invoke, tmp_path: Path, form: str) -> None:
    for number, more in enumerate([("prompt", NAME, PROMPT), ("activations", NAME, "0.1", PROMPT)]):
        file = tmp_path / f"{number}.out"
        result = invoke(*more, "--format", form, "-o", str(file))
        assert result.exit_code == 0, result.exception
        assert file.stat().st_size > 100


def test_a_target_is_named_as_everywhere(invoke: Invoke) -> None:
    found = rows(invoke("prompt", NAME, PROMPT, "--target", "' dog'", "--format", "csv"))
    assert {row["target"] for row in found} == {" dog"}
    assert len(found) == 20


def test_where_and_store_make_a_set_to_ablate(invoke: Invoke, tmp_path: Path) -> None:
    own = str(copy_of(BUNDLED, tmp_path))
    asked = ("prompt", NAME, PROMPT, "--where", "layer=4", "--top", "6", "--store", "at work")
    page = invoke(*asked, db=own)
    assert page.exit_code == 0, page.exception
    assert "6 neurons kept as 'at work'" in page.stderr
    with closing(sqlite3.connect(own)) as connection:
        stored_set = connection.execute(
            "SELECT n.layer FROM neuron_sets JOIN neuron_set_members USING (set_id) "
            "JOIN neurons n USING (neuron_id) WHERE name = 'at work'"
        ).fetchall()
    assert stored_set == [(4,)] * 6
    without = invoke("prompt", NAME, PROMPT, "--without-set", "at work", "--format", "csv", db=own)
    assert {row["changed"].count(".") for row in rows(without)} == {6}
    again = invoke(*asked, "--by", "norm", db=own)
    assert isinstance(again.exception, NeuronDBError)
    assert "'at work'" in str(again.exception)


def test_without_neurons_shows_both_runs(invoke: Invoke) -> None:
    found = rows(invoke("prompt", NAME, PROMPT, "--without", "5.279,4.41", "--format", "csv"))
    assert sum(row["is_target"] == "True" for row in found) == 1
    assert any(float(row["logit_before"]) != float(row["logit_after"]) for row in found)
    page = invoke("prompt", NAME, PROMPT, "--without", "5.279,4.41").stdout
    assert "without 5.279, 4.41: logit" in page
    assert "p before" in page


def test_activations_token_by_token(invoke: Invoke) -> None:
    found = rows(invoke("activations", NAME, "5.279,4.41", PROMPT, "--format", "csv"))
    assert len(found) == 18
    one = json.loads(invoke("activations", NAME, "5.279", PROMPT, "--format", "json").stdout)
    assert (one["name"], len(one["tokens"])) == ("5.279", 9)
    for row, token in zip(found, one["tokens"], strict=False):
        assert float(row["hook_post"]) == pytest.approx(token["hook_post"])
        assert row["sign_case"] == token["sign_case"]
    page = invoke("activations", NAME, "5.279", PROMPT).stdout
    assert "hook_post ÷ the largest but the first token's" in page
    assert "fires on" in page


def test_hostile_text_stays_text(invoke: Invoke) -> None:
    text = "[bold]\x1b[31m<|endoftext|>\u202e:smile:\n\t"
    for command in (("prompt", NAME), ("activations", NAME, "0.1")):
        page = invoke(*command, text)
        assert page.exit_code == 0, page.exception
        assert not {"\x1b", "\u202e", "\t"} & set(page.stdout)
        assert r"\x1b" in page.stdout
    tokens = json.loads(invoke("prompt", NAME, text, "--format", "json").stdout)["tokens"]
    assert "".join(token["token"] for token in tokens[1:4]) in text


@pytest.mark.parametrize(
    ("arguments", "kind", "said"),
    [
        (("prompt", "nobody", "x"), UnknownNameError, "no model 'nobody'"),
        (("prompt", NAME, "x", "--at", "9"), IngestError, "no position 9"),
        (("prompt", NAME, "x", "--target", "no such token"), UnknownNameError, "no such token"),
        (("prompt", NAME, "x", "--without", "9.1"), UnknownNameError, "no neuron 9.1"),
        (("prompt", NAME, "x", "--without", "1.1,1.1"), UsageError, "1.1 is named twice"),
        (("prompt", NAME, "x", "--without-set", "none"), UnknownNameError, "no set 'none'"),
        (("prompt", NAME, "x", "--where", "freq>"), UsageError, "expected a value"),
        (("prompt", NAME, "x", "--chat"), LackingModelError, "no chat template"),
        (("prompt", NAME, "a b " * 25_000), LackingModelError, "tokens, the context of"),
        (("activations", NAME, "1.9999", "x"), UnknownNameError, "no neuron 1.9999"),
        (("activations", NAME, "1.1,1.1", "x"), UsageError, "1.1 is named twice"),
    ],
)
def test_what_cannot_be_is_one_line(
    invoke: Invoke, arguments: tuple[str, ...], kind: type[NeuronDBError], said: str
) -> None:
    error = invoke(*arguments).exception
    assert isinstance(error, kind)
    assert said in str(error)
    assert "\n" not in str(error)


@pytest.mark.parametrize("arguments", [("--at", "first"), ("--by", "size"), ("--top", "0")])
def test_wrong_usage_is_told_by_the_option(invoke: Invoke, arguments: tuple[str, ...]) -> None:
    result = invoke("prompt", NAME, "x", *arguments)
    assert result.exit_code == 2
    assert arguments[0] in result.stderr


def test_without_activations_one_line_says_so(invoke: Invoke) -> None:
    own = stored(BUNDLED, ("weights", "vocab")).database
    page = invoke("prompt", "m", PROMPT, db=own)
    assert page.exit_code == 0, page.exception
    assert "surprise: not ingested" in page.stdout
    error = invoke("prompt", "m", PROMPT, "--by", "surprise", db=own).exception
    assert isinstance(error, IngestError)
    assert "--stages activations" in str(error)


# --- the same from Python ------------------------------------------------------------------


def test_from_python() -> None:
    with ndb.open(database()) as db:
        page = db.prompt(NAME, PROMPT, top=3, at="all", without=["5.279", (4, 41)], target="#706")
        assert {at.target.token for at in page.positions} == {" dog"}
        assert page.changed == "without 5.279, 4.41"
        assert len(page.neuron_ids) <= 27
        few = db.prompt(NAME, PROMPT, where="layer=5", by="norm").positions[-1].neurons
        assert {one.layer for one in few} == {5}
        (first, second) = db.activations(NAME, "5.279,4.41", PROMPT)
        assert (first.name, second.name, len(first.tokens)) == ("5.279", "4.41", 9)
        whole = db.prompt(NAME, PROMPT, top=3072).positions[-1].neurons
        seen = next(one for one in whole if one.name == "5.279")
        assert seen.hook_post == pytest.approx(first.tokens[-1].hook_post, abs=1e-5)
        with pytest.raises(UsageError, match="say the same thing twice"):
            db.prompt(NAME, PROMPT, without="1.1", without_set="x")
        with pytest.raises(TypeError, match="no_such_option"):
            db.prompt(NAME, PROMPT, no_such_option=1)


def test_frames_are_made_of_neurons() -> None:
    pandas = pytest.importorskip("pandas")
    with ndb.open(database()) as db:
        frame = pandas.DataFrame(db.prompt(NAME, PROMPT, top=5).positions[-1].neurons)
    assert list(frame.columns[:3]) == ["rank", "name", "layer"]
    assert len(frame) == 5
