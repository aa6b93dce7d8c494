"""`neurondb find` as a user meets it."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from neurondb.cli.find import find
from neurondb.cli.sql import sql
from neurondb.errors import ExpressionError, UnknownNameError, UsageError
from tests.support.sample_facts import Sample


def ran(sample: Sample, *arguments: str) -> tuple[str, str]:
    result = CliRunner().invoke(
        find, [*arguments, "--db", sample.url], catch_exceptions=False, standalone_mode=False
    )
    return result.stdout, result.stderr


def test_a_pipe_gets_tab_separated_values_and_nothing_else(sample: Sample) -> None:
    out, err = ran(sample, "model=sample-llama 1.7,1.8", "--columns", "name,in_out")
    expected = [sample.named("sample-llama", name) for name in ("1.7", "1.8")]
    assert out.splitlines() == ["name\tin_out", *(f"{r['name']}\t{r['in_out']}" for r in expected)]
    assert err == ""


def test_words_may_be_several_arguments(sample: Sample) -> None:
    assert ran(sample, "weakening", "layer>=2") == ran(sample, "weakening layer>=2")


def test_a_limited_answer_says_so_on_stderr(sample: Sample) -> None:
    out, err = ran(sample, "--limit", "5")
    assert len(out.splitlines()) == 6
    assert "--limit 0" in err


def test_limit_zero_shows_all(sample: Sample) -> None:
    out, err = ran(sample, "--limit", "0", "--format", "ndjson")
    assert len(out.splitlines()) == len(sample.neurons)
    assert err == ""


def test_nothing_found_says_so_on_stderr(sample: Sample) -> None:
    out, err = ran(sample, "in_out>2")
    assert len(out.splitlines()) == 1
    (said,) = err.splitlines()
    assert "no neuron" in said


@pytest.mark.parametrize("instead", [(), ("--count",)])
def test_nothing_found_beyond_the_models_says_their_ranges(
    sample: Sample, instead: tuple[str, ...]
) -> None:
    _, err = ran(sample, "model=sample-gpt 1.9999", *instead)
    assert re.search(r"sample-gpt\b.*\b0 to 3\b.*\b0 to 63\b", err)


def test_count_is_a_bare_number(sample: Sample) -> None:
    out, _ = ran(sample, "model=sample-gpt", "--count")
    assert out == "256\n"


def test_count_goes_where_and_as_it_is_told(sample: Sample, tmp_path: Path) -> None:
    path = tmp_path / "n.json"
    assert ran(sample, "model=sample-gpt", "--count", "-o", str(path)) == ("", "")
    assert json.loads(path.read_text()) == [{"count": 256}]
    out, _ = ran(sample, "model=sample-gpt", "--count", "--format", "csv")
    assert out == "count\n256\n"


def test_a_dash_means_stdout(sample: Sample) -> None:
    assert ran(sample, "1.7", "-o", "-") == ran(sample, "1.7")


def test_explain_goes_to_no_file(sample: Sample) -> None:
    with pytest.raises(UsageError, match=r"--explain.*-o"):
        ran(sample, "dead", "--explain", "-o", "x.sql")


def test_what_orders_is_shown(sample: Sample) -> None:
    out, _ = ran(sample, "1.7", "--order", "-out_kurtosis")
    assert out.splitlines()[0].endswith("\ttop_out_token\tdescription\tout_kurtosis")


def test_a_table_of_one_model_says_it_once(sample: Sample) -> None:
    lines = ran(sample, "model=sample-gpt 1.7,1.8", "--format", "table")[0].splitlines()
    assert lines[:2] == ["model: sample-gpt", ""]
    assert lines[2].split()[0] == "name"
    both = ran(sample, "1.7", "--format", "table")[0].splitlines()
    assert both[0].split()[0] == "model"
    asked = ran(sample, "model=sample-gpt 1.7", "--columns", "model,name", "--format", "table")[0]
    assert asked.splitlines()[0].split() == ["model", "name"]
    assert "model: sample-gpt" not in ran(sample, "model=sample-gpt", "--format", "markdown")[0]


def test_what_explain_prints_sql_runs(sample: Sample) -> None:
    arguments = (r"weakening freq>0.3 or token='\n'", "--order", "-in_out", "--limit", "20")
    explained, _ = ran(sample, *arguments, "--explain")
    assert '-- param p1 = "weakening": text' in explained
    assert "-- plan:" in explained
    again = CliRunner().invoke(sql, ["-", "--db", sample.url], input=explained)
    assert again.stdout == ran(sample, *arguments)[0]


def test_order_takes_several_keys(sample: Sample) -> None:
    out, _ = ran(
        sample,
        "model=sample-llama",
        "--order",
        "class,-|in_out|",
        "--format",
        "json",
        "--limit",
        "0",
    )
    keys = [(r["class"], -abs(r["in_out"] or 0)) for r in json.loads(out)]
    assert keys == sorted(keys)


def test_errors_are_of_our_tree(sample: Sample) -> None:
    with pytest.raises(ExpressionError):
        ran(sample, "weakning")
    with pytest.raises(UnknownNameError):
        ran(sample, "model=nobody")


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["weakning"], 2, "'weakening'"),
        (["model=nobody"], 1, "sample-gpt, sample-llama"),
        (["-o", "x.xlsx"], 2, ".txt, .json"),
        (["--format", "yaml"], 2, "'yaml'"),
        (["--columns", "nme"], 2, "'name'"),
        (["--db", "/nowhere/x.db"], 1, "/nowhere/x.db"),
    ],
)
def test_exit_codes_and_one_line(
    sample: Sample, arguments: list[str], code: int, said: str
) -> None:
    command = [sys.executable, "-m", "neurondb", "find", "--db", sample.url, *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (code, "")
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr


def test_an_unknown_command_has_near_ones() -> None:
    command = [sys.executable, "-m", "neurondb", "fnd", "weakening"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith("neurondb: ")
    assert ended.stderr.count("\n") == 1
    assert re.search("'fnd'.*'find'", ended.stderr)


HEAVY = ("torch", "transformers", "alembic", "pyarrow", "sqlite_utils", "datasette", "ingest")


def test_finding_loads_nothing_heavy(sample: Sample) -> None:
    code = (
        "import sys; from neurondb.cli import cli; "
        f"cli.main(['find', 'weakening', '--db', {sample.url!r}], standalone_mode=False); "
        f"print([m for m in {HEAVY} if m in sys.modules], file=sys.stderr)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stderr.splitlines()[-1] == "[]"
