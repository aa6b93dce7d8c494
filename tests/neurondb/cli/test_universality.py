"""`neurondb universality`: what is refused before any model is opened, and what it prints."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import neurondb.cli.universality
from neurondb.cli import cli, main
from neurondb.contracts.universality import UniversalityReport, UniversalityRequest
from tests.support.sample_facts import Sample
from tests.support.sample_universality import NEW_RUN

ASKED = ("universality", "sample-llama", "sample-gpt")
Job = Callable[[UniversalityRequest, object], UniversalityReport]


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch) -> list[UniversalityRequest]:
    """What the job is asked for, which answers with the sample's newest run."""
    asked: list[UniversalityRequest] = []

    def job(request: UniversalityRequest, _progress: object) -> UniversalityReport:
        asked.append(request)
        return UniversalityReport(NEW_RUN, is_new=False)

    def load(_name: str) -> Job:
        return job

    monkeypatch.setattr(neurondb.cli.universality, "load_job", load)
    return asked


def run(sample: Sample, *words: str) -> Any:
    return CliRunner().invoke(cli, [*ASKED, "--db", sample.url, *words])


def test_options_become_the_request(sample: Sample, requests: list[UniversalityRequest]) -> None:
    assert run(sample, "--dataset", "sample", "--max-tokens", "500").exit_code == 0
    more = ("--all-layers", "--memory", "0.5", "--seed", "3", "--force")
    assert run(sample, "--dataset", "sample", *more).exit_code == 0
    assert run(sample, "--dataset", "sample", "--layer-window", "0").exit_code == 0
    assert run(sample, "--dataset", "sample", "--sign-cases").exit_code == 0
    first, second, third, by_case = requests
    assert [one.sign_cases for one in requests] == [False, False, False, True]
    assert by_case.layer_window == 1
    assert first.others == ("sample-gpt",)
    assert (first.layer_window, first.memory, first.texts.max_tokens) == (1, 4.0, 500)
    assert (second.layer_window, second.memory, second.seed, second.force) == (None, 0.5, 3, True)
    assert third.layer_window == 0


def test_a_page_or_rows(
    sample: Sample, requests: list[UniversalityRequest], tmp_path: Path
) -> None:
    page = run(sample, "--dataset", "sample", "--limit", "2")
    assert "of the neurons are universal (excess > 0.5)" in page.output
    assert "sign cases: neurons that are in one at 20 tokens or more" in page.output
    assert f"run {NEW_RUN}, stored already; --force runs it again" in page.output
    file = tmp_path / "matches.csv"
    assert run(sample, "--dataset", "sample", "--limit", "2", "-o", str(file)).exit_code == 0
    header, *rows = file.read_text().splitlines()
    assert header.startswith("model,name,layer,neuron,excess,other_model,correlation,best_name")
    assert len(rows) == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "--dataset"),
        (("--dataset", "sample", "--all-layers", "--layer-window", "1"), "give one of the two"),
        (("--dataset", "sample", "--memory", "0"), "--memory"),
        (("--dataset", "sample", "--layer-window", "-1"), "--layer-window"),
    ],
)
def test_what_makes_no_sense_is_refused_with_exit_code_2(
    words: tuple[str, ...],
    said: str,
    sample: Sample,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["neurondb", *ASKED, "--db", sample.url, *words])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert said in error
    assert "Traceback" not in error
