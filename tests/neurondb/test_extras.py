"""Without the extras: questions are answered, and the rest says in a line what to install."""

import subprocess
import sys
from pathlib import Path

import pytest

from neurondb.extras import EXTRAS, MissingExtraError, find_extra, name_missing_extras
from tests.support.sample_facts import Sample

BARE = f"""
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {sorted(set().union(*EXTRAS.values()))!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Missing())
sys.argv = ["neurondb", *sys.argv[1:]]
from neurondb.cli import main
main()
"""
"""What `neurondb` is in an environment without any extra."""


def without_extras(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", BARE, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd)


QUESTIONS = (
    ("find", "weakening freq>0.3"),
    ("find", "weakening", "--format", "parquet"),
    ("sql", "SELECT COUNT(*) FROM neurons"),
    ("query", "class-counts-by-layer", "--param", "model=sample-llama"),
    ("models",),
    ("show", "sample-llama", "1.7"),
    ("status",),
    ("tokens", "sample-llama", " dog"),
    ("check",),
)


def test_asking_needs_no_extra(sample: Sample) -> None:
    asked = f"""
from neurondb.cli import cli
for arguments in {QUESTIONS!r}:
    cli.main([*arguments, "--db", {sample.url!r}], standalone_mode=False)
"""
    command = [sys.executable, "-c", BARE.replace("from neurondb.cli import main\nmain()", asked)]
    ended = subprocess.run(command, capture_output=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert b"sample-gpt" in ended.stdout


@pytest.mark.parametrize(
    ("extra", "arguments"),
    [
        ("ingest", ("ingest", "llama-3.2-1b")),
        ("ingest", ("demo",)),
        ("ingest", ("verify", "sample-llama")),
        ("ingest", ("ablate", "sample-llama", "--neurons", "1.7", "--dataset", "sampler")),
        ("ingest", ("generate", "sample-llama", "Once")),
        ("site", ("serve",)),
        ("site", ("publish", "-o", "site")),
        ("site", ("plot", "classes-by-layer", "sample-llama", "-o", "x.svg")),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_a_missing_extra_is_one_line_and_no_traceback(
    sample: Sample, tmp_path: Path, extra: str, arguments: tuple[str, ...]
) -> None:
    ended = without_extras(*arguments, "--db", sample.url, cwd=tmp_path)
    assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (1, "", 1)
    assert ended.stderr.startswith("neurondb: ")
    assert f"pip install 'neurondb[{extra}]'" in ended.stderr
    assert list(tmp_path.iterdir()) == []


def test_figures_are_listed_without_an_extra() -> None:
    ended = without_extras("plot", "--list")
    assert ended.returncode == 0
    assert "classes-by-layer" in ended.stdout


def test_help_needs_no_extra() -> None:
    assert without_extras("ingest", "--help").returncode == 0
    assert without_extras("serve", "--help").returncode == 0


def test_a_module_lies_in_the_extra_of_its_package() -> None:
    assert find_extra("torch") == find_extra("torch.nn.functional") == "ingest"
    assert find_extra("torchvision") is None
    assert find_extra(None) is None


def test_another_missing_module_stays_what_it_is() -> None:
    with pytest.raises(ModuleNotFoundError), name_missing_extras():
        raise ModuleNotFoundError("No module named 'nobody'", name="nobody")
    with pytest.raises(MissingExtraError, match="postgres"), name_missing_extras():
        raise ModuleNotFoundError("No module named 'psycopg'", name="psycopg")
