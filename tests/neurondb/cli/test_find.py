"""`neurondb find` as a user meets it."""

import json
import subprocess
import sys

import pytest
from click.testing import CliRunner

from neurondb.cli.find import find
from neurondb.cli.sql import sql
from neurondb.errors import ExpressionError, UnknownNameError
from tests.support.sample_database import Sample, sample

__all__ = ["sample"]


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
    assert "--limit 0 shows all" in err


def test_limit_zero_shows_all(sample: Sample) -> None:
    out, err = ran(sample, "--limit", "0", "--format", "ndjson")
    assert len(out.splitlines()) == len(sample.neurons)
    assert err == ""


def test_nothing_found_says_so_on_stderr(sample: Sample) -> None:
    out, err = ran(sample, "freq>2")
    assert len(out.splitlines()) == 1
    assert "no neuron matches" in err


def test_count_is_a_bare_number(sample: Sample) -> None:
    out, _ = ran(sample, "model=sample-gpt", "--count")
    assert out == "256\n"


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
        (["weakning"], 2, "did you mean 'weakening'"),
        (["model=nobody"], 1, "sample-gpt, sample-llama"),
        (["--format", "yaml"], 2, "'yaml' is not one of"),
        (["--columns", "nme"], 2, "did you mean 'name'"),
        (["--db", "/nowhere/x.db"], 1, "there is no database at /nowhere/x.db"),
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


HEAVY = ("torch", "transformers", "alembic", "pyarrow", "sqlite_utils", "datasette", "ingest")


def test_finding_loads_nothing_heavy(sample: Sample) -> None:
    code = (
        "import sys; from neurondb.cli import cli; "
        f"cli.main(['find', 'weakening', '--db', {sample.url!r}], standalone_mode=False); "
        f"print([m for m in {HEAVY} if m in sys.modules], file=sys.stderr)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stderr.splitlines()[-1] == "[]"
