"""The example notebooks run from beginning to end, and show what they say they do."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"

pytestmark = pytest.mark.slow


def run(directory: Path, *arguments: str) -> str:
    """Run Python in a process of its own, and return what it prints."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", *arguments],
        cwd=directory,
        env=os.environ | {"PYTHONPATH": str(EXAMPLES.parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where both run, so that the second finds what the first has stored."""
    return tmp_path_factory.mktemp("notebooks")


@pytest.fixture(scope="module")
def outputs(directory: Path) -> list[dict[str, str]]:
    """What the cells of the Jupyter notebook put out, in order: MIME type → content."""
    executed = directory / "executed.ipynb"
    program = ("-m", "tests.support.execute_notebook")
    run(directory, *program, str(EXAMPLES / "neurons.ipynb"), str(executed))
    notebook: Any = nbformat.read(executed, as_version=4)
    shown = []
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            if output.output_type == "execute_result":
                shown.append(dict(output.data))
            elif output.get("name") == "stdout":
                shown.append({"stdout": output.text})
    return shown


def of_kind(outputs: list[dict[str, str]], kind: str) -> list[str]:
    return [output[kind] for output in outputs if kind in output]


def test_model_rows_and_neuron_show_themselves_as_html(outputs: list[dict[str, str]]) -> None:
    pages = of_kind(outputs, "text/html")
    model, rows, *_ = pages
    assert "tinyworld-2m" in model
    assert "5.251" in rows
    assert any("gate+_in+" in page and "5.251" in page for page in pages[2:])


def test_the_chart_is_an_altair_chart(outputs: list[dict[str, str]]) -> None:
    assert any("vegaEmbed" in page for page in of_kind(outputs, "text/html"))


def test_frames_have_tokens_as_lists(outputs: list[dict[str, str]]) -> None:
    texts = of_kind(outputs, "text/plain")
    assert any("out_top_tokens" in text and "[" in text for text in texts)
    assert any("out_top_tokens: list<" in text for text in texts)


def test_the_loop_misses_the_chosen_neurons_more_than_random_ones(
    outputs: list[dict[str, str]],
) -> None:
    (printed,) = [line for line in of_kind(outputs, "stdout") if "neurons; loss" in line]
    clean, chosen, random = map(float, re.findall(r"\d\.\d{4}", printed))
    assert chosen - clean > abs(random - clean)


def test_the_committed_notebook_has_no_outputs() -> None:
    notebook: Any = nbformat.read(EXAMPLES / "neurons.ipynb", as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells)
    assert not any(cell.get("execution_count") for cell in notebook.cells)


RUN_MARIMO = """
import runpy, sys
_, values = runpy.run_path(sys.argv[1])["app"].run()
found = values["found"]
print(len(found), found["in_out"].max(), values["neuron"].identity.name == found["name"].iloc[0])
"""


def test_the_marimo_notebook_runs(directory: Path, outputs: list[dict[str, str]]) -> None:
    # In a process of its own: marimo does not load beside everything that other tests load.
    printed = run(directory, "-c", RUN_MARIMO, str(EXAMPLES / "explore.py"))
    n_found, highest, is_first = printed.splitlines()[-1].split()
    assert int(n_found) > 5
    assert float(highest) < -0.2
    assert is_first == "True"
