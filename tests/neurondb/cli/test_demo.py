"""The demo as a newcomer meets it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ingest.bundled import DATASETS, SAMPLER
from neurondb.cli.demo import demo
from neurondb.errors import UsageError
from tests.support.gguf_files import gguf_model


@pytest.mark.slow
def test_the_demo_answers_a_question_and_shows_a_neuron(tmp_path: Path) -> None:
    script = (
        "from ingest.jobs import demo; demo.N_TEXTS = 20\nfrom neurondb.cli import main; main()"
    )
    result = subprocess.run(
        [sys.executable, "-c", script, "demo", "--db", str(tmp_path / "n.db")],
        env=os.environ | {"COLUMNS": "110"},
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    assert 'neurondb find "weakening freq>0.6 model=tinyworld-2m"' in result.stdout
    assert " role " in result.stdout  # the question that the small model answers is one of roles
    assert "cosines" in result.stdout
    assert "sign cases on tinyworld-heldout" in result.stdout
    suggestions = result.stdout.split("\n\n")[-1]
    assert "What to type next" in suggestions
    for line in suggestions.splitlines()[1:4]:
        command = [sys.executable, *_words(line)[1:]]
        assert subprocess.run(command, capture_output=True, check=True).stdout


def _words(line: str) -> list[str]:
    import shlex

    return shlex.split(line)


SMALL_REAL = """
import sys
from hashlib import sha256
from pathlib import Path
from ingest.jobs import demo
from ingest.text import datasets
demo.SHA256 = sha256(Path(sys.argv[3]).read_bytes()).hexdigest()
datasets.DATASETS = {"sampler": Path("few.jsonl")}
from neurondb.cli import main
main()
"""


@pytest.mark.slow
def test_the_demo_of_a_real_model_adds_its_classes_by_layer(tmp_path: Path) -> None:
    gguf_model(tmp_path, "llama").rename(tmp_path / "real.gguf")
    lines = DATASETS[SAMPLER].read_text(encoding="utf-8").splitlines()[:4]
    (tmp_path / "few.jsonl").write_text("\n".join(lines))
    checkout = str(Path(__file__).parents[3])
    result = subprocess.run(
        [sys.executable, "-c", SMALL_REAL, "demo", "--model", "real.gguf", "--real", "--db=n.db"],
        env=os.environ | {"COLUMNS": "110", "PYTHONPATH": checkout},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert "Apache-2.0" in result.stderr
    model = "smollm2-135m-instruct"
    answer, *_, picture, page = result.stdout.split("\n$ neurondb ")
    assert answer.startswith(f'$ neurondb find "weakening freq>0.6 model={model}" --order -freq')
    assert " role " not in answer  # weakening neurons of so small a model have none
    assert picture.startswith(f"plot classes-by-layer {model} -o classes.svg")
    assert [line.split()[0] for line in picture.splitlines()[2:4]] == ["0", "1"]
    assert "(left out: orthogonal output)" in picture
    assert page.startswith(f"show {model} ")
    assert "sign cases on sampler" in page
    assert f"ablate {model} --neurons" in page
    assert "--dataset sampler" in page


def test_a_file_without_real_is_wrong_usage() -> None:
    with pytest.raises(UsageError, match="--real"):
        demo.main(["--model", "x.gguf"], standalone_mode=False)
