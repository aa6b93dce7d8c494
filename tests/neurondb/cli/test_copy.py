"""`copy`, `export` and `import`: what they say, and how they end."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from neurondb.cli import cli
from neurondb.errors import NeuronDBError, UsageError
from tests.support.copies import contents
from tests.support.sample_facts import Sample

GPT = "sample-gpt"


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, list(map(str, arguments)))


def test_a_model_goes_out_as_files_and_comes_in_again(sample: Sample, tmp_path: Path) -> None:
    one, other, folder = tmp_path / "one.db", tmp_path / "other.db", tmp_path / "out"
    copied = run("copy", sample.path, one, "--model", GPT)
    assert copied.exit_code == 0, copied.output
    assert f"copied 1 model to {one}: " in copied.stderr
    assert "by their checksums" in copied.stderr
    exported = run("export", "parquet", folder, "--db", one)
    assert exported.exit_code == 0, exported.output
    assert f"exported 1 model to {folder}: " in exported.stderr
    imported = run("import", "parquet", folder, "--db", other)
    assert imported.exit_code == 0, imported.output
    assert "imported 1 model: " in imported.stderr
    assert contents(one) == contents(other)
    again = run("import", "parquet", folder, "--db", other)
    assert isinstance(again.exception, NeuronDBError)
    assert f"has {GPT} already, nothing was copied" in str(again.exception)


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        (("copy", "DB", "DB"), UsageError, "both the source and the destination"),
        (("copy", "DB", "mysql://x/y"), NeuronDBError, "no support for"),
        (("copy", "none.db", "DB"), NeuronDBError, "there is no database at none.db to copy"),
        (
            ("export", "parquet", "out", "--db", "DB", "--relations", "neuron"),
            UsageError,
            "neurons",
        ),
        (("import", "parquet", "nothing", "--db", "DB"), NeuronDBError, "has no neurondb.json"),
        (("upgrade", "--db", "DB", "--read-role", "me"), UsageError, "SQLite knows no roles"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line(
    arguments: tuple[str, ...],
    error: type[NeuronDBError],
    said: str,
    sample: Sample,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    done = run(*(str(sample.path) if one == "DB" else one for one in arguments))
    assert isinstance(done.exception, error)
    assert said in str(done.exception)
    assert "\n" not in str(done.exception)
    assert list(tmp_path.iterdir()) == []
