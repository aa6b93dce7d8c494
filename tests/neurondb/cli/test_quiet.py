import os
import subprocess
import sys
from pathlib import Path

import pytest

from ingest.bundled import model_directory

NOISY = """
import logging, sys, types, warnings
import click
import neurondb.cli

@click.command()
def models():
    warnings.simplefilter("always")  # as libraries do when they are imported
    warnings.warn("an argument is deprecated", FutureWarning)
    logging.getLogger("somebody.else").warning("some advice")
    handler = logging.StreamHandler()
    own = logging.getLogger("with_a_handler")
    own.addHandler(handler)
    own.error("an error that is none")
    click.echo("the answer")

module = types.ModuleType("neurondb.cli.models")
module.models = models
sys.modules["neurondb.cli.models"] = module
sys.argv = ["neurondb", "models"]
neurondb.cli.main()
"""


def run(*command: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONWARNINGS",)}
    return subprocess.run(
        [sys.executable, *command],
        env={**environment, **variables},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )


def test_warnings_and_logs_of_libraries_do_not_reach_the_terminal() -> None:
    done = run("-c", NOISY)
    assert (done.stdout, done.stderr, done.returncode) == ("the answer\n", "", 0)


@pytest.mark.parametrize("variable", ["NEURONDB_TRACEBACK", "PYTHONWARNINGS"])
def test_whoever_looks_for_a_fault_hears_them(variable: str) -> None:
    done = run("-c", NOISY, **{variable: "default" if variable == "PYTHONWARNINGS" else "1"})
    assert done.stdout == "the answer\n"
    assert "deprecated" in done.stderr
    assert "an error that is none" in done.stderr


def test_generated_text_is_all_that_generate_writes(tmp_path: Path) -> None:
    database = str(tmp_path / "n.db")
    ingest = (
        "ingest",
        str(model_directory()),
        "--name",
        "m",
        "--stages",
        "weights",
        "--layers",
        "0",
    )
    assert run("-m", "neurondb", *ingest, "--db", database).returncode == 0
    shown = ("--max-new-tokens", "4", "--greedy", "--format", "table")
    done = run("-m", "neurondb", "generate", "m", "The cat", *shown, "--db", database)
    assert done.returncode == 0
    assert done.stderr == "run 1, stored\n"
    assert done.stdout.startswith("The cat")
