"""Commands on a mixture of experts take and print `L.E.N`."""

import json
import re
import shutil
import sqlite3
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from neurondb.cli import cli
from neurondb.errors import NeuronDBError
from neurondb.reading.effects import find_shown_run, read_effect_rows
from neurondb.reading.models import find_model, open_readonly
from tests.support.sample_facts import WIDTH
from tests.support.sample_mixture import MIXTURE, NAMES


def run(mixture: Path, *arguments: str) -> Result:
    return CliRunner().invoke(cli, [*arguments, "--db", str(mixture)], catch_exceptions=False)


def names_in(result: Result) -> set[str]:
    """Return the names of the mixture's neurons in rows of NDJSON."""
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    return {row["name"] for row in rows if row["model"] == MIXTURE}


@pytest.mark.parametrize(
    "arguments",
    [
        ("find", "class=weakening or layer=2"),
        ("find", "1.2.3,2.5.1,0.4"),
        ("find", "downstream(1.2.3)"),
        ("find", "upstream(2.5.1 gate)"),
        ("find", "neighbours(1.2.3)"),
        ("find", "expert=2 layer=1"),
        ("tokens", MIXTURE, " dog"),
        ("tokens", MIXTURE, " dog", "--lm-head"),
    ],
)
def test_rows_have_names_with_experts(mixture: Path, arguments: tuple[str, ...]) -> None:
    found = names_in(run(mixture, *arguments, "--format", "ndjson"))
    assert found
    assert found <= NAMES[MIXTURE]


def test_effects_of_single_neurons_have_names_with_experts(mixture: Path) -> None:
    with open_readonly(str(mixture)) as connection:
        model = find_model(connection, MIXTURE)
        run = find_shown_run(connection, model, "each")
        assert run is not None
        found = {row.name for row in read_effect_rows(connection, model, run, ("loss",))}
    assert found
    assert found <= NAMES[MIXTURE]


def test_related_neurons_are_those_of_the_number_in_the_layer(mixture: Path) -> None:
    for relation in ("downstream", "upstream", "neighbours"):
        of_layer, of_expert = (
            names_in(
                run(mixture, "find", f"{relation}({name}) model={MIXTURE}", "--format", "ndjson")
            )
            for name in ("1.27", "1.2.3")
        )
        assert of_layer == of_expert


@pytest.mark.parametrize("asked", ["1.5.4", "1.9.0", "0.1.2", "downstream(1.5.4)", "1.64"])
def test_a_neuron_that_no_model_has_is_told(mixture: Path, asked: str) -> None:
    with pytest.raises(
        NeuronDBError,
        match=rf"no neuron .*: .*{MIXTURE}: its layers are 0 to 3, their experts 0 to 4",
    ):
        run(mixture, "find", f"{asked},0.1" if asked[0].isdigit() else asked)


def test_pages_of_the_terminal_name_experts(mixture: Path) -> None:
    shown = run(mixture, "show", MIXTURE, "1.2.3").stdout
    assert f"{MIXTURE} 1.2.3" in shown
    assert "1.27" not in re.findall(r"(?<![\d.])\d+\.\d+(?![\d.])", shown.partition("\n")[0])


def test_documents_name_experts(mixture: Path, tmp_path: Path) -> None:
    out = tmp_path / "study.md"
    run(mixture, "case-study", MIXTURE, "1.2.3", "2.60", "-o", str(out))
    text = out.read_text()
    assert "1.2.3" in text
    assert "2.5.0" in text
    assert "2.60" not in text
    assert "4 layers of 5 experts of 12 neurons, 2 a token, and a shared one of 4;" in text


@pytest.fixture(scope="module")
def report(mixture: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A report of the mixture, as Markdown."""
    folder = tmp_path_factory.mktemp("reported") / "report"
    run(mixture, "report", MIXTURE, "-o", str(folder))
    return (folder / "report.md").read_text()


def test_a_report_says_how_layers_are_divided(report: str) -> None:
    """The sizes are those of `sample_mixture`: layer 0 is whole, the others divided."""
    divided = (
        "5 experts of 12 neurons, 2 a token, and a shared one of 4; undivided, of 64 neurons: 0"
    )
    assert report.count(f"4 layers of {divided} (256 in all), 16 dimensions") == 2


def test_a_report_names_neurons_by_their_experts(report: str) -> None:
    tables = [line for line in report.splitlines() if line.startswith("| ")]
    named = set(re.findall(r"<b>(\d+(?:\.\d+)+)</b>", "\n".join(tables)))
    assert len(named) > 20
    assert named <= NAMES[MIXTURE]


def test_descriptions_are_written_of_every_neuron(mixture: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copy(mixture, tmp_path / "copy.db"))
    run(copy, "describe", MIXTURE, "--force")
    with sqlite3.connect(copy) as connection:
        ((n,),) = connection.execute(
            "SELECT COUNT(*) FROM descriptions d JOIN named_neurons n ON n.neuron_id = d.neuron_id"
            " WHERE n.model_id = 1 AND n.name LIKE '1._.%'"
        )
    assert n == WIDTH
