"""`neurondb ingest` as a user meets it: exit codes, one clear line, nothing half-written."""

import io
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from neurondb.cli import main
from tests.support.tiny_model import tiny_model, write_texts

Result = subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture
def model(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "tiny"))


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    return write_texts(tmp_path / "texts.txt")


def neurondb(*arguments: object, cwd: Path, **environment: str) -> Result:
    """Run a command line in this process, which has imported what takes seconds."""
    out, error = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(error):
        patch.chdir(cwd)
        for name, value in ({"NEURONDB_URL": str(cwd / "n.db")} | environment).items():
            patch.setenv(name, value)
        patch.setattr(sys, "argv", ["neurondb", *map(str, arguments)])
        try:
            main()
            code = 0
        except SystemExit as ended:
            code = int(ended.code or 0)
    return Result([*map(str, arguments)], code, out.getvalue(), error.getvalue())


def neurondb_process(*arguments: object, cwd: Path, **environment: str) -> Result:
    return subprocess.run(
        [sys.executable, "-m", "neurondb", *map(str, arguments)],
        cwd=cwd,
        env=os.environ | {"NEURONDB_URL": str(cwd / "n.db")} | environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def counts(directory: Path, table: str) -> list[tuple[int, int]]:
    """Rows of a table of the neurons, by layer."""
    sql = f"SELECT layer, count(*) FROM {table} JOIN neurons USING (neuron_id) GROUP BY layer"
    with sqlite3.connect(directory / "n.db") as connection:
        return connection.execute(sql).fetchall()


def assert_refused(result: Result, *parts: str, code: int = 1) -> None:
    assert result.returncode == code, result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout == ""
    said = result.stderr.strip().splitlines()[-1]
    for part in parts:
        assert part in said


def spoil(model: Path, change: Callable[[dict[str, np.ndarray]], None]) -> None:
    tensors = load_file(model / "model.safetensors")
    change(tensors)
    save_file(tensors, model / "model.safetensors")


def test_a_model_is_ingested_and_results_stay_off_stdout(model: Path, texts: Path) -> None:
    result = neurondb_process("ingest", model, "--dataset", texts, cwd=texts.parent)
    assert (result.returncode, result.stdout) == (0, "")
    assert "activations" in result.stderr
    assert "tokens" in result.stderr


def test_nothing_was_stored_already_in_a_new_database_and_cut_texts_are_told_once(
    model: Path, texts: Path
) -> None:
    stages = ("--stages", "activations,peaks,traces")
    cut = ("--dataset", texts, "--max-len", "4")
    first = neurondb("ingest", model, *cut, *stages, cwd=model.parent)
    assert first.returncode == 0, first.stderr
    assert "stored already" not in first.stderr
    assert first.stderr.count("texts cut at 4 tokens") == 1


def test_only_the_layers_asked_for_are_stored(model: Path) -> None:
    result = neurondb("ingest", model, "--layers", "-1", cwd=model.parent)
    assert result.returncode == 0, result.stderr
    assert [layer for layer, _ in counts(model.parent, "cosines")] == [1]
    assert [layer for layer, _ in counts(model.parent, "top_token_rows")] == [1]


def test_a_layer_that_the_model_lacks_costs_no_work(model: Path) -> None:
    result = neurondb("ingest", model, "--layers", "0-3", cwd=model.parent)
    assert_refused(result, "layer 2", "0 to 1")
    assert not (model.parent / "n.db").exists()


@pytest.mark.parametrize("shard", ["9/9", "1/9"])
def test_more_shards_than_batches_cost_no_work(model: Path, texts: Path, shard: str) -> None:
    result = neurondb("ingest", model, "--dataset", texts, "--shard", shard, cwd=model.parent)
    assert_refused(result, shard, "into no more shards")
    assert not (model.parent / "n.db").exists()


def test_an_unknown_model_names_the_nearest(tmp_path: Path) -> None:
    result = neurondb("ingest", "llama-3.2-3", cwd=tmp_path)
    assert_refused(result, "llama-3.2-3", "llama-3.2-3b")
    assert not (tmp_path / "n.db").exists()


def test_a_directory_without_config(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert_refused(neurondb("ingest", tmp_path / "empty", cwd=tmp_path), "config.json")


def test_a_truncated_shard(model: Path) -> None:
    file = model / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1000])
    assert_refused(neurondb("ingest", model, cwd=model.parent), "model.safetensors")
    assert not (model.parent / "n.db").exists()


def test_nan_weights_leave_no_model_behind(model: Path) -> None:
    def spoiled(tensors: dict[str, np.ndarray]) -> None:
        tensors["model.layers.0.mlp.up_proj.weight"][3, 4] = np.nan

    spoil(model, spoiled)
    result = neurondb("ingest", model, cwd=model.parent)
    assert_refused(result, "model.layers.0.mlp.up_proj.weight", "NaN")
    with sqlite3.connect(model.parent / "n.db") as connection:
        assert connection.execute("SELECT count(*) FROM models").fetchone() == (0,)
        assert connection.execute("SELECT count(*) FROM ingest_runs").fetchone() == (0,)


def test_an_unknown_mixture_of_experts_is_refused_by_name(model: Path) -> None:
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(config | {"model_type": "granitemoe"}))
    assert_refused(neurondb("ingest", model, cwd=model.parent), "granitemoe")


def test_a_tokenizer_that_does_not_fit(model: Path) -> None:
    tokenizer = json.loads((model / "tokenizer.json").read_text())
    tokenizer["model"]["vocab"]["alien"] = 9999
    (model / "tokenizer.json").write_text(json.dumps(tokenizer))
    result = neurondb("ingest", model, cwd=model.parent)
    assert_refused(result, "9999")
    assert not (model.parent / "n.db").exists()


def test_a_tokenizer_that_is_no_json(model: Path) -> None:
    (model / "tokenizer.json").write_text("{")
    assert_refused(neurondb("ingest", model, cwd=model.parent), "tokenizer")


def test_a_model_without_tokenizer_still_has_its_weights(model: Path, texts: Path) -> None:
    (model / "tokenizer.json").unlink()
    assert neurondb("ingest", model, cwd=model.parent).returncode == 0
    result = neurondb("ingest", model, "--dataset", texts, cwd=model.parent)
    assert_refused(result, "tokenizer")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("empty.txt", "", "no text"),
        ("blank.txt", " \n\n \n", "no text"),
        ("bytes.txt", b"\xff\xfe\x00", "not UTF-8"),
        ("broken.jsonl", '{"text": "a"}\n{"txt": 1}', "line 2"),
        ("picture.png", "x", ".png"),
        ("broken.parquet", "PAR1", "Parquet"),
    ],
)
def test_texts_that_cannot_be_read_cost_no_work(
    model: Path, name: str, content: str | bytes, said: str
) -> None:
    file = model.parent / name
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    assert_refused(neurondb("ingest", model, "--dataset", file, cwd=model.parent), said)
    assert not (model.parent / "n.db").exists()


def test_a_missing_text_file(model: Path) -> None:
    result = neurondb("ingest", model, "--dataset", "absent.txt", cwd=model.parent)
    assert_refused(result, "absent.txt")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--tau", "1.5"], "1.5"),
        (["--stages", "wieghts"], "wieghts"),
        (["--stages", "activations"], "--dataset"),
        (["--max-texts", "0"], "0"),
        (["--sample-tokens", "0"], "0"),
        (["--sample-tokens", "9"], "--dataset"),
        (["--sample-tokens", "9", "--dataset", "t.txt", "--max-texts", "2"], "--max-texts"),
        (["--nonsense"], "nonsense"),
        (["--where", "weakening"], "traces"),
        (["--shard", "3/2"], "3/2"),
    ],
)
def test_wrong_usage_exits_2(model: Path, arguments: list[str], said: str) -> None:
    result = neurondb("ingest", model, *arguments, cwd=model.parent)
    assert_refused(result, said, code=2)


@pytest.mark.parametrize(("option", "value"), [("--device", "abacus"), ("--dtype", "float7")])
def test_unknown_device_or_dtype(model: Path, option: str, value: str) -> None:
    assert_refused(neurondb("ingest", model, option, value, cwd=model.parent), value)
    assert not (model.parent / "n.db").exists()


def test_a_locked_database_is_said_so(model: Path) -> None:
    assert neurondb("ingest", model, "--stages", "weights", cwd=model.parent).returncode == 0
    with sqlite3.connect(model.parent / "n.db", isolation_level=None) as connection:
        connection.execute("BEGIN IMMEDIATE")
        result = neurondb_process("ingest", model, cwd=model.parent, NEURONDB_BUSY_TIMEOUT="0.2")
    assert_refused(result, "locked")


def test_a_newer_database_is_refused(model: Path) -> None:
    assert neurondb("ingest", model, "--stages", "weights", cwd=model.parent).returncode == 0
    with sqlite3.connect(model.parent / "n.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    assert_refused(neurondb("ingest", model, cwd=model.parent), "9999", "newer")


def test_a_file_that_is_no_database(model: Path) -> None:
    (model.parent / "n.db").write_text("no database at all, but long enough to be looked at" * 40)
    assert_refused(neurondb("ingest", model, cwd=model.parent), "n.db", "SQLite")


def test_another_programs_database_is_left_alone(model: Path) -> None:
    with sqlite3.connect(model.parent / "n.db") as connection:
        connection.execute("CREATE TABLE theirs (x)")
    assert_refused(neurondb("ingest", model, cwd=model.parent), "n.db", "NeuronDB")


def test_a_full_disk_is_one_line_and_no_damage(model: Path) -> None:
    limited = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, 600_000)); "
        "from neurondb.cli import main; main()"
    )
    result = subprocess.run(
        [sys.executable, "-c", limited, "ingest", str(model), "--db", "n.db"],
        cwd=model.parent,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert_refused(result, "disk")
    assert neurondb("ingest", model, cwd=model.parent).returncode == 0
    with sqlite3.connect(model.parent / "n.db") as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_ctrl_c_is_one_line(model: Path) -> None:
    script = (
        "import os, signal, sys, ingest.weights.analysis as w\n"
        "import ingest.stages.weights as stage\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # ignored in a background job
        "def interrupt(*_): os.kill(os.getpid(), signal.SIGINT)\n"
        "stage.analyse_parts = interrupt\n"
        "from neurondb.cli import main; main()"
    )
    result = subprocess.run(
        [sys.executable, "-c", script, "ingest", str(model), "--db", "n.db"],
        cwd=model.parent,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.returncode == 128 + signal.SIGINT
    assert "Traceback" not in result.stderr
    assert result.stderr.splitlines()[-1].startswith("neurondb: ")


def test_weights_and_vocabulary_wait_for_no_library_of_forward_passes(model: Path) -> None:
    script = (
        "import sys\nfrom neurondb.cli import main\nmain()\n"
        "print({'transformers', 'accelerate', 'sympy', 'scipy.stats'} & set(sys.modules))"
    )
    arguments = ["ingest", str(model), "--stages", "weights,vocab", "--db", "n.db"]
    result = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        cwd=model.parent,
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.strip() == "set()"


def test_help_answers_without_torch(tmp_path: Path) -> None:
    script = (
        "import sys\nfrom neurondb.cli import cli\n"
        "try: cli.main(['--help'])\nexcept SystemExit: pass\n"
        "print({'torch', 'transformers', 'ingest', 'sqlalchemy'} & set(sys.modules))"
    )
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip().endswith("set()")
