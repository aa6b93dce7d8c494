"""`neurondb concept` and `Database.concept`, and `generate --samples`, on small stored models."""

import csv
import io
import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import neurondb as ndb
from neurondb.cli import cli
from neurondb.errors import LackingModelError, TextError, UnknownNameError, UsageError
from neurondb.reading.concepts import read_concept_page
from neurondb.reading.models import open_readonly
from neurondb.terminal.concept import describe_verdict, draw_concept_page
from neurondb.terminal.console import open_console
from tests.support.real_models import BUNDLED
from tests.support.sample_concepts import CONCEPT, CONCEPT_RUN
from tests.support.sample_facts import Sample
from tests.support.steering import stored

ROOT = Path(__file__).resolve().parents[3]
JOBS = {"concept": "ingest.jobs.concept", "sample": "ingest.jobs.sample"}
SMALL = (
    *("--candidates", "1", "--random", "4", "--steps", "3", "--sweeps", "1"),
    *("--from", "-20", "--to", "20", "--prompt", "Mira Holt has a pet", "--context", "Once a"),
    *("--device", "cpu"),
)


def this_checkouts(name: str) -> Any:
    return import_module(JOBS[name]).run


@pytest.fixture(autouse=True)
def _jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The jobs of this checkout, whatever an older installation has registered."""
    for module in ("neurondb.api.jobs", "neurondb.cli.generate"):
        monkeypatch.setattr(import_module(module), "load_job", this_checkouts)


def invoke(*arguments: str, columns: int = 130) -> Result:
    database = stored(BUNDLED, ("weights", "vocab")).database
    given = [*arguments, "--db", database]
    return CliRunner().invoke(cli, given, env={"COLUMNS": str(columns)})


def rows(result: Result) -> list[dict[str, str]]:
    assert result.exit_code == 0, result.exception
    return list(csv.DictReader(io.StringIO(result.stdout)))


def test_it_asks_without_torch() -> None:
    code = (
        "import sys, neurondb.cli.concept, neurondb.api.concepts\n"
        "assert not {'torch', 'transformers', 'ingest'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_rows_and_page_of_one_run(monkeypatch: pytest.MonkeyPatch) -> None:
    first = invoke("concept", "m", "cat", *SMALL, "--format", "csv")
    found = rows(first)
    assert "1 run stored" in first.stderr
    assert {row["concept"] for row in found} == {"cat"}
    candidates = [row for row in found if row["random"] == "0"]
    assert [int(row["rank"]) for row in candidates] == list(range(len(candidates)))
    assert len(found) - len(candidates) == 4
    for row in candidates:
        assert float(row["p_value"]) == pytest.approx((int(row["stronger"]) + 1) / 5)
        assert row["sign"] == ("-1" if float(row["cosine"]) < 0 else "1")

    def refuse(name: str) -> Any:
        raise AssertionError(f"the job {name} was run again")

    monkeypatch.setattr(import_module("neurondb.api.jobs"), "load_job", refuse)
    again = invoke("concept", "m", "cat", *SMALL, "--format", "table")
    assert again.exit_code == 0
    assert "stored already" in again.stderr
    assert "'cat'" in again.stdout
    assert candidates[0]["name"] in again.stdout
    assert "random neurons of the same layers" in again.stdout
    narrow = invoke("concept", "m", "cat", *SMALL, "--format", "table", columns=60)
    assert all(len(line) <= 100 for line in narrow.stdout.splitlines())


def test_a_file_of_names(tmp_path: Path) -> None:
    names = tmp_path / "names.txt"
    names.write_text("# pets\ncat\n\n  Mira Holt # a person\ncat\n", encoding="utf-8")
    found = rows(invoke("concept", "m", "--file", str(names), *SMALL, "--format", "csv"))
    assert list(dict.fromkeys(row["concept"] for row in found)) == ["cat", "Mira Holt"]


def test_python_returns_the_same_rows() -> None:
    said = rows(invoke("concept", "m", "cat", *SMALL, "--format", "csv"))
    with ndb.open(stored(BUNDLED, ("weights", "vocab")).database) as db:
        options: dict[str, Any] = {"candidates": 1, "random": 4, "steps": 3, "sweeps": 1}
        options |= {"from_": -20.0, "to": 20.0, "device": "cpu"}
        options |= {"prompts": ["Mira Holt has a pet"], "contexts": ["Once a"]}
        found = db.concept("m", "cat", **options)
        assert [row["name"] for row in found.to_dicts()] == [row["name"] for row in said]
        with pytest.raises(TypeError, match="'n_candidates'"):
            db.concept("m", "cat", n_candidates=3)
        with pytest.raises(UsageError, match="empty"):
            db.concept("m", " ")


def test_any_text_is_a_concept() -> None:
    """What no token is for is spelled by bytes."""
    result = invoke("concept", "m", "犬 <b>", *SMALL, "--format", "json")
    assert result.exit_code == 0, result.exception
    assert {row["concept"] for row in json.loads(result.stdout)} == {"犬 <b>"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "no concept"),
        (("",), "empty"),
        (("ab " * 300,), "32"),
        (("cat", "--from", "1"), "to are the two ends"),
        (("cat", "--from", "2", "--to", "1"), "2 is not below"),
        (("cat", "--from", "nan", "--to", "1"), "finite"),
        (("cat", "--from", "-1", "--to", "1", "--scale", "3"), "--scale"),
        (("cat", "--prompt", " "), "empty prompt"),
        (("cat", "--prompt", "a b " * 2000), "context"),
    ],
)
def test_refusals(arguments: tuple[str, ...], said: str) -> None:
    result = invoke("concept", "m", *arguments, "--device", "cpu")
    wanted = LackingModelError if said == "context" else UsageError
    assert isinstance(result.exception, wanted), result.exception
    assert said in str(result.exception)
    assert "\n" not in str(result.exception)


def test_a_file_without_names(tmp_path: Path) -> None:
    names = tmp_path / "names.txt"
    names.write_text("# nothing\n")
    result = invoke("concept", "m", "--file", str(names))
    assert isinstance(result.exception, TextError)
    assert str(names) in str(result.exception)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    result = invoke("concept", "m", "--file", str(tmp_path / "absent.txt"))
    assert isinstance(result.exception, TextError)
    assert "absent.txt" in str(result.exception)


def test_a_model_that_is_not_there() -> None:
    assert isinstance(invoke("concept", "n", "cat").exception, UnknownNameError)


def test_hostile_texts_are_shown_and_do_nothing(sample: Sample) -> None:
    with open_readonly(sample.url) as connection:
        page = read_concept_page(connection, CONCEPT_RUN + 1)
    for width in (92, 140):
        console = open_console(width=width)
        with console.capture() as captured:
            console.print(draw_concept_page(page, width), crop=False)
        text = captured.get()
        assert CONCEPT in text
        assert "\x1b[31m" not in text
        assert max(map(len, text.splitlines())) <= width


def test_the_verdict_says_what_chance_would_do(sample: Sample) -> None:
    with open_readonly(sample.url) as connection:
        page = read_concept_page(connection, CONCEPT_RUN + 1)
    beyond = sum(one.stronger == 0 and one.change > 0 for one in page.candidates)
    said = describe_verdict(page)
    if beyond:
        assert said.startswith(f"{beyond} of 12 candidates")
        assert "1.2 would by chance" in said
    else:
        assert said.startswith("no candidate of 12")


# --- generate --samples --------------------------------------------------------------------

SAMPLES = (
    *("generate", "m", "Mira Holt has a pet", "--samples", "12", "--max-new-tokens", "6"),
    *("--device", "cpu", "--clamp", "4.10=30"),
)


def test_shares_of_samples() -> None:
    found = rows(invoke(*SAMPLES, "--count", " cat", "--count", "zzz", "--format", "csv"))
    assert [(row["run"], row["counted"]) for row in found] == [
        (run, text) for run in ("clean", "steered") for text in (" cat", "zzz")
    ]
    for row in found:
        share, low, high = (float(row[name]) for name in ("share", "low", "high"))
        assert share == int(row["hits"]) / int(row["samples"])
        assert 0 <= low <= share <= high <= 1
    assert {row["hits"] for row in found if row["counted"] == "zzz"} == {"0"}
    assert [row["steering"] for row in found[::2]] == ["", "4.10=30 in canonical sign"]


def test_samples_as_rows_agree_with_their_shares() -> None:
    shares = rows(invoke(*SAMPLES, "--count", " cat", "--format", "csv"))
    texts = rows(invoke(*SAMPLES, "--format", "csv"))
    assert [row["seed"] for row in texts] == [str(i) for i in range(12)] * 2
    for share in shares:
        hits = sum(" cat" in row["text"] for row in texts if row["run"] == share["run"])
        assert hits == int(share["hits"])


def test_samples_as_a_page() -> None:
    page = invoke(*SAMPLES, "--count", " cat", "--format", "table").stdout
    assert "95% interval" in page
    assert "/12" in page
    assert "the first 5 of 12" in page


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--count", " cat"), "--samples"),
        (("--samples", "3", "--side-by-side"), "--side-by-side"),
        (("--samples", "3", "--greedy"), "greedy draws nothing"),
        (("--samples", "3", "--count", ""), "--count"),
    ],
)
def test_what_makes_no_sense_together(more: tuple[str, ...], said: str) -> None:
    result = invoke("generate", "m", "Once", "--device", "cpu", *more)
    assert isinstance(result.exception, UsageError), result.exception
    assert said in str(result.exception)
