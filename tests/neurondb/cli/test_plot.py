"""`neurondb plot` as a user meets it."""

import csv
import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import neurondb.cli.plot
import neurondb.find.token_names
from ingest.jobs.ingest import run
from neurondb import figures
from neurondb.cli import cli, main
from neurondb.contracts.ingest import IngestRequest
from neurondb.errors import NeuronDBError, UnknownNameError, UsageError
from tests.support.ingested import Silent
from tests.support.sample_facts import Sample
from tests.support.tiny_model import tiny_model

JOBS = {"tokens": "ingest.jobs.tokens", "split": "ingest.jobs.split"}


@pytest.fixture(autouse=True)
def _jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The jobs of this checkout, whatever an older installation has registered."""
    for module in (neurondb.cli.plot, neurondb.find.token_names):
        monkeypatch.setattr(module, "load_job", lambda name: import_module(JOBS[name]).run)


def ran(sample: Sample, *arguments: str) -> Result:
    return CliRunner().invoke(cli, ["plot", *arguments, "--db", sample.url])


def test_list_shows_every_figure_with_its_parameters() -> None:
    lines = CliRunner().invoke(cli, ["plot", "--list"]).stdout.splitlines()
    listed = {row["name"]: row for row in csv.DictReader(lines, delimiter="\t")}
    assert list(listed) == list(figures.FIGURES)
    assert listed["layer-scatter"]["parameters"] == "layer [neuron] [base_url]"


def test_figures_are_listed_and_not_drawn_without_the_extra(sample: Sample) -> None:
    without = "import sys; sys.modules['altair'] = None; from neurondb.cli import main; main()"
    command = [sys.executable, "-c", without, "plot"]
    listed = subprocess.run([*command, "--list"], capture_output=True, text=True, check=True)
    assert [line.split("\t")[0] for line in listed.stdout.splitlines()[1:]] == list(figures.FIGURES)
    drawn = ("classes-by-layer", "sample-llama", "-o", "a.svg", "--db", sample.url)
    ended = subprocess.run([*command, *drawn], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "neurondb[site]" in ended.stderr


@pytest.mark.parametrize("suffix", ["svg", "png", "pdf", "html", "json"])
def test_a_figure_goes_to_a_file(suffix: str, sample: Sample, tmp_path: Path) -> None:
    path = tmp_path / f"classes.{suffix}"
    ended = ran(sample, "classes-by-layer", "sample-llama", "-o", str(path))
    assert (ended.exception, ended.stdout) == (None, "")
    assert str(path) in ended.stderr
    assert path.stat().st_size > 1_000
    assert list(tmp_path.iterdir()) == [path]


def test_the_sql_of_a_figure_runs_as_it_is_printed(sample: Sample) -> None:
    plain = CliRunner().invoke(cli, ["plot", "layer-scatter", "--explain"])
    assert (plain.exception, plain.stdout) == (
        None,
        f"{(figures.FIGURES['layer-scatter'].sql or '').rstrip()}\n",
    )
    filled = ran(sample, "layer-scatter", "sample-llama", "--explain", "--layer", "-1")
    assert '-- param model = "sample-llama": model\n-- param layer = 3: integer' in filled.stdout
    arguments = ["sql", "-", "--db", sample.url, "--format", "json"]
    answer = CliRunner().invoke(cli, arguments, input=filled.stdout)
    expected = [
        n["name"]
        for n in sample.neurons
        if (n["model"], n["layer"]) == ("sample-llama", 3) and n["in_out"] is not None
    ]
    assert [row["name"] for row in json.loads(answer.stdout)] == expected


def spec_of(sample: Sample, tmp_path: Path, *arguments: str) -> dict[str, object]:
    path = tmp_path / "figure.json"
    ended = ran(sample, *arguments, "-o", str(path))
    assert ended.exception is None, ended.exception
    found: dict[str, object] = json.loads(path.read_text(encoding="utf-8"))
    return found


def test_options_reach_the_figure(sample: Sample, tmp_path: Path) -> None:
    scatter = ("layer-scatter", "sample-llama")
    by_two = spec_of(sample, tmp_path, *scatter, "--layer", "2", "--neuron", "5")
    assert spec_of(sample, tmp_path, *scatter, "--neuron", "2.5") == by_two
    assert spec_of(sample, tmp_path, *scatter, "--layer", "2", "--neuron", "2.5") == by_two
    assert spec_of(sample, tmp_path, *scatter, "--param", "layer=2", "--neuron", "5") == by_two


def test_theme_and_size_reach_the_file(sample: Sample, tmp_path: Path) -> None:
    options = ("--theme", "dark", "--width", "333", "--height", "222")
    spec = spec_of(sample, tmp_path, "classes-by-layer", "sample-llama", *options)
    assert (spec["width"], spec["height"]) == (333, 222)
    config = spec["config"]
    assert isinstance(config, dict)
    assert config["background"] != "#ffffff"


def test_several_models_stand_below_each_other(sample: Sample, tmp_path: Path) -> None:
    spec = spec_of(sample, tmp_path, "median-cosines-by-layer", "sample-llama", "sample-gpt")
    assert isinstance(spec["vconcat"], list)
    titles = [one["title"]["subtitle"][0].split(" · ")[0] for one in spec["vconcat"]]
    assert titles == ["sample-llama", "sample-gpt"]


def test_a_comparison_takes_both_models_as_arguments(sample: Sample, tmp_path: Path) -> None:
    both = spec_of(sample, tmp_path, "comparison-migration", "sample-llama", "sample-gpt")
    named = ("comparison-migration", "sample-llama", "--param", "other=sample-gpt")
    assert spec_of(sample, tmp_path, *named) == both


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        ([], UsageError, "`neurondb plot --list`"),
        (["classes-by-layers", "m"], UsageError, "'classes-by-layer'"),
        (["classes-by-layer"], UsageError, "MODEL -o"),
        (["classes-by-layer", "sample-lama"], UnknownNameError, "'sample-llama'"),
        (["layer-scatter", "sample-llama"], UsageError, "needs layer"),
        (["layer-scatter", "a", "b", "--layer", "0"], UsageError, "one model"),
        (["layer-scatter", "a", "--layer", "1", "--neuron", "2.3"], UsageError, "two layers"),
        (["layer-scatter", "a", "--layer", "1", "--param", "layer=1"], UsageError, "twice"),
        (["layer-scatter", "sample-llama", "--neuron", "1.x"], UsageError, "'x'"),
        (["classes-by-layer", "a", "--layer", "1"], UsageError, "--layer"),
        (["classes-by-layer", "sample-gpt", "--param", "x=1"], UsageError, "'x'"),
        (["comparison-migration", "sample-llama"], UsageError, "both"),
        (["token-spikes", "sample-llama"], UsageError, "needs token"),
        (["class-heatmap", "--explain"], UsageError, "a.svg"),
    ],
)
def test_what_cannot_be_drawn_is_one_line(
    arguments: list[str], error: type[NeuronDBError], said: str, sample: Sample, tmp_path: Path
) -> None:
    ended = ran(sample, *arguments, "-o", str(tmp_path / "a.svg"))
    assert type(ended.exception) is error
    assert said in str(ended.exception)
    assert "\n" not in str(ended.exception)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        (["class-heatmap", "sample-llama", "sample-gpt"], UsageError, "one model"),
        (["layer-scatter", "--layer", "1"], UsageError, "layer needs the model"),
        (
            ["attribute-curves", "sample-llama", "--param", "file=rates.json"],
            UnknownNameError,
            "draws a file",
        ),
    ],
)
def test_sql_that_cannot_be_printed_is_one_line(
    arguments: list[str], error: type[NeuronDBError], said: str, sample: Sample
) -> None:
    ended = ran(sample, *arguments, "--explain")
    assert (type(ended.exception), ended.stdout) == (error, "")
    assert said in str(ended.exception)


def test_no_file_and_an_unknown_suffix_are_wrong_usage(sample: Sample) -> None:
    for given, said in (([], "-o classes-by-layer.svg"), (["-o", "a.gif"], "a.gif")):
        ended = ran(sample, "classes-by-layer", "sample-llama", *given)
        assert isinstance(ended.exception, UsageError)
        assert said in str(ended.exception)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["classes-by-layer", "sample-gpt", "-o", "/none/a.svg"], 1),
        (["classes-by-layer", "none", "-o", "a.svg"], 1),
        (["classes-by-layer", "sample-gpt", "-o", "a.gif"], 2),
    ],
)
def test_errors_become_a_line_and_a_code(
    arguments: list[str],
    code: int,
    sample: Sample,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("sys.argv", ["neurondb", "plot", *arguments, "--db", sample.url])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == code
    said = capsys.readouterr().err
    assert said.startswith("neurondb: ")
    assert said.count("\n") == 1


def test_a_token_that_is_not_stored_is_decoded(tmp_path: Path) -> None:
    model, path = tiny_model(tmp_path / "model"), str(tmp_path / "tiny.db")
    run(IngestRequest(str(model), path, name="tiny"), Silent())
    file = tmp_path / "spikes.json"
    arguments = ["plot", "token-spikes", "tiny", "--token", "#5", "-o", str(file), "--db", path]
    ended = CliRunner().invoke(cli, arguments)
    assert ended.exception is None, ended.exception
    assert "(#5)" in json.loads(file.read_text(encoding="utf-8"))["title"]["text"]
