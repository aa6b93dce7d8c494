"""`neurondb sql` as a user meets it."""

import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from neurondb.cli.sql import sql
from neurondb.errors import DatabaseError
from tests.support.sample_facts import Sample


def out(sample: Sample, *arguments: str, given: str | None = None) -> str:
    ended = CliRunner().invoke(
        sql, [*arguments, "--db", sample.url], input=given, catch_exceptions=False
    )
    assert ended.exit_code == 0
    return ended.stdout


def test_the_sentence_of_the_contract(sample: Sample) -> None:
    sentence = (
        "SELECT name FROM neuron_overview "
        "WHERE model = 'sample-llama' AND class = 'weakening' AND freq > 0.3"
    )
    expected = [
        r["name"]
        for r in sample.neurons
        if r["model"] == "sample-llama" and r["class"] == "weakening" and r["freq"] > 0.3
    ]
    assert expected
    assert sorted(out(sample, sentence).split()) == sorted(["name", *expected])


def test_parameters_are_bound(sample: Sample) -> None:
    found = out(
        sample,
        "SELECT name FROM models WHERE d_mlp = :n AND gated = :g",
        *("--param", "n=64", "--param", "g=0"),
    )
    assert found == "name\nsample-gpt\n"


def test_sql_comes_from_stdin_or_a_file_with_its_parameters(sample: Sample, tmp_path: Path) -> None:
    source = "-- param n = 2: integer, a number\nSELECT :n + 1 AS m"
    path = tmp_path / "q.sql"
    path.write_text(source)
    assert out(sample, "-", given=source) == "m\n3\n"
    assert out(sample, f"@{path}", "--param", "n=5") == "m\n6\n"


def test_a_statement_may_begin_with_a_comment(sample: Sample) -> None:
    assert out(sample, "-- param n = 2: integer\nSELECT :n AS m") == "m\n2\n"


def test_writing_is_refused(sample: Sample) -> None:
    with pytest.raises(DatabaseError, match=r"read-only.*DELETE.*neurons"):
        out(sample, "DELETE FROM neurons")
    with pytest.raises(DatabaseError, match=r"read-only.*VACUUM"):
        out(sample, "VACUUM")


def _command(sample: Sample, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "neurondb", "sql", "--db", sample.url, *arguments]


def test_a_reader_that_leaves_ends_it_quietly(sample: Sample) -> None:
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n"
    with subprocess.Popen(
        _command(sample, endless), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        assert running.stdout.readline() == b"i\n"
        running.stdout.close()
        assert running.stderr.read() == b""
        assert running.wait(timeout=20) == 1


def test_ctrl_c_among_the_rows_ends_it_in_a_line(sample: Sample) -> None:
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n"
    with subprocess.Popen(
        _command(sample, endless), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "i\n"
        running.send_signal(signal.SIGINT)
        _, said = running.communicate(timeout=20)
    assert running.returncode == 130
    (line,) = said.strip().splitlines()
    assert line.startswith("neurondb: ")


@pytest.mark.parametrize(
    ("form", "code", "shown"),
    [((), 0, "─"), (("--format", "parquet"), 2, "terminal")],
    ids=["table", "parquet"],
)
def test_a_terminal_gets_a_table_and_no_parquet(
    sample: Sample, form: tuple[str, ...], code: int, shown: str
) -> None:
    ours, theirs = pty.openpty()
    command = _command(sample, "SELECT ' dog' AS token", *form)
    running = subprocess.Popen(command, stdout=theirs, stderr=theirs)
    os.close(theirs)
    assert running.wait(timeout=20) == code
    assert shown in os.read(ours, 10_000).decode()
    os.close(ours)


def test_output_is_utf8_whatever_the_locale(sample: Sample) -> None:
    ended = subprocess.run(
        _command(sample, "SELECT '犬' AS token"),
        capture_output=True,
        check=True,
        env=os.environ | {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"},
    )
    assert ended.stdout.decode() == "token\n犬\n"
