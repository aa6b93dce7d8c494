"""`neurondb export FORMAT`: what is asked for is written, what went wrong is one line."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from neurondb.cli import cli
from neurondb.errors import NeuronDBError
from tests.support.sample_facts import Sample

LLAMA = "sample-llama"


def export(sample: Sample, *arguments: str) -> Result:
    return CliRunner().invoke(cli, ["export", *arguments, "--db", sample.url])


@pytest.mark.parametrize(
    ("form", "name", "said"),
    [
        ("circuitsvis", "page.html", "exported 2 neurons, "),
        ("neuronpedia", "out", "exported 2 neurons, "),
        ("sae-dashboard", "out", "exported 2 neurons to "),
        ("gluscope", "out", "exported 2 neurons to "),
    ],
)
def test_a_format_takes_a_model_and_an_expression(
    sample: Sample, tmp_path: Path, form: str, name: str, said: str
) -> None:
    result = export(sample, form, LLAMA, str(tmp_path / name), "--where", "layer=1", "--limit", "2")
    assert result.exception is None, result.output
    assert said in result.stderr
    assert result.stdout == ""
    assert (tmp_path / name).exists()


def test_the_hub_is_told_where_and_under_which_licence(sample: Sample, tmp_path: Path) -> None:
    result = export(
        sample, "hub", str(tmp_path / "out"), "--relations", "models", "--repo", "me/neurons"
    )
    assert result.exception is None, result.output
    assert "hf upload me/neurons" in result.stderr
    assert "the card names no licence" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("neuronpedia", "nobody", "out"), "no model 'nobody'"),
        (("circuitsvis", LLAMA, "out", "--where", "in_norm<0"), "no neuron fits 'in_norm<0'"),
        (("gluscope", LLAMA, "out", "--dataset", "nothing"), "no dataset 'nothing'"),
        (("hub", "out", "--relations", "nothing"), "no relation 'nothing'"),
        (("sae-dashboard", LLAMA, "out", "--where", "freq>>1"), "expected a value at character 6"),
    ],
)
def test_what_went_wrong_is_one_line_and_leaves_nothing(
    sample: Sample,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    error = export(sample, *arguments).exception
    assert isinstance(error, NeuronDBError), error
    assert message in str(error)
    assert list(tmp_path.iterdir()) == []
