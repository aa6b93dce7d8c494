"""What `export` writes in a format, `import` of the format reads back."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from neurondb.cli import cli
from tests.support import gluscope_files as files
from tests.support.sample_facts import Sample


def run(*arguments: str | Path) -> None:
    done = CliRunner().invoke(cli, list(map(str, arguments)))
    assert done.exit_code == 0, (done.exception, done.output)


def test_gluscope_goes_in_and_out(db: Path, tmp_path: Path) -> None:
    source = files.write_dataset(tmp_path / "a.parquet", files.make_columns(files.draw()))
    run("import", "gluscope", source, "--model", "toy", "--dataset", "dolma", "--db", db)
    run("export", "gluscope", "toy", tmp_path / "out", "--db", db)
    theirs = pq.read_table(source)
    ours = pq.read_table(next((tmp_path / "out").rglob("*.parquet")))
    assert sorted(ours.column_names) == sorted(theirs.column_names)
    for name in theirs.column_names:
        one, other = theirs[name].to_pylist(), ours[name].to_pylist()
        if name.endswith("_values"):
            # Zeros fill up lists that fewer texts qualify for; they are no examples.
            one = [[value for value in values if value] for values in one]
        elif name.endswith("_indices"):
            values = theirs[name.removesuffix("indices") + "values"].to_pylist()
            one = [
                [i for i, value in zip(indices, of_neuron, strict=True) if value]
                for indices, of_neuron in zip(one, values, strict=True)
            ]
        else:
            np.testing.assert_array_equal(
                np.array(one, np.float32), np.array(other, dtype=np.float32), err_msg=name
            )
            continue
        assert one == other, name


def test_neuronpedia_reads_what_is_exported(
    sample: Sample, db: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run("export", "neuronpedia", "sample-gpt", tmp_path / "np", "--db", sample.path)
    run("import", "neuronpedia", tmp_path / "np", "--model", "again", "--db", db)
    run("show", "again", "1.2", "--db", db)


def test_the_sample_goes_out_and_in_as_gluscope(sample: Sample, db: Path, tmp_path: Path) -> None:
    run("export", "gluscope", "sample-llama", tmp_path / "one", "--db", sample.path)
    run("import", "gluscope", tmp_path / "one", "--model", "again", "--tokens", "10", "--db", db)
    run("export", "gluscope", "again", tmp_path / "two", "--db", db)
    one, two = (pq.read_table(tmp_path / name / "data") for name in ("one", "two"))
    assert one.equals(two)
