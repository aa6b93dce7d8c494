"""Options become the request of a job, the same from Python and from the command line."""

from typing import Any

import pytest
from click.testing import CliRunner

import neurondb as ndb
from neurondb.api.database import Database
from neurondb.api.jobs import ingest
from neurondb.api.requests import make_ablation_request
from neurondb.cli import cli
from neurondb.contracts.ablate import AblationReport, AblationRequest
from neurondb.contracts.ingest import IngestReport, IngestRequest
from neurondb.errors import UsageError
from tests.support.sample_facts import CHANGED, CLASS_RUN, METRICS, RANDOM_RUN, Sample


class Jobs:
    """Stands in for the jobs, which need weights, and keeps what each was asked for."""

    def __init__(self, report: object) -> None:
        self.report = report
        self.requests: list[Any] = []

    def __call__(self, _name: str) -> Any:
        def run(request: object, _progress: object) -> object:
            self.requests.append(request)
            return self.report

        return run


def test_a_few_options_and_the_rest_by_default() -> None:
    made = make_ablation_request(
        "m", "n.db", {"class_": "weakening", "draw": 3, "dataset": "t", "condition": "gate-_post+"}
    )
    assert isinstance(made, AblationRequest)
    assert (made.model, made.database) == ("m", "n.db")
    assert (made.selection.kind, made.selection.text, made.selection.count) == (
        *("class", "weakening"),
        3,
    )
    assert str(made.treatment) == "zero where gate-_post+"
    assert (made.texts.dataset, made.texts.max_texts, made.texts.skip_bos) == ("t", None, False)
    assert (made.baseline, made.seed, made.device, made.force) == (0, 0, "auto", False)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"dataset": "t"}, "where.*neurons"),
        ({"dataset": "t", "where": "dead", "neurons": "1.2"}, "where.*neurons"),
        ({"dataset": "t", "where": "dead", "draw": 2}, "draw.*class"),
        ({"where": "dead"}, "dataset"),
        ({"where": "dead", "dataset": "t", "mode": "fix"}, "fix.*value"),
    ],
)
def test_what_makes_no_sense_is_wrong_usage(options: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        make_ablation_request("m", None, options)


def test_an_unknown_option_is_named() -> None:
    with pytest.raises(TypeError, match=r"'wher'.*class_.*where"):
        make_ablation_request("m", None, {"wher": "dead"})


def test_ablate_asks_the_job_what_the_command_asks_it(
    sample: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = CLASS_RUN + 1
    jobs = Jobs(AblationReport((run_id,), 0, 0.0))
    monkeypatch.setattr("neurondb.api.jobs.load_job", jobs)
    monkeypatch.setattr("neurondb.cli.ablate.load_job", jobs)
    options: dict[str, Any] = {
        "where": "weakening",
        "dataset": "sample",
        "baseline": 2,
        "condition": "gate-_post+",
    }
    with ndb.open(sample.url) as db:
        found = db.ablate("sample-llama", **options)
    written = ("--where", "weakening", "--dataset", "sample", "--baseline", "2")
    command = ["ablate", "sample-llama", *written, "--condition", "gate-_post+", "--db", sample.url]
    CliRunner().invoke(cli, command, catch_exceptions=False)
    assert jobs.requests[0] == jobs.requests[1]
    assert found.columns[:2] == ("run_id", "baseline_of")
    assert run_id in {row[0] for row in found}
    assert {row[1] for row in found} <= {None, run_id}


def test_ablate_returns_what_the_command_writes(
    sample: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = Jobs(AblationReport((CLASS_RUN + 1,), 0, 0.0))
    monkeypatch.setattr("neurondb.api.jobs.load_job", jobs)
    monkeypatch.setattr("neurondb.cli.ablate.load_job", jobs)
    command = ["ablate", "m", "--neurons", "1.7", "--dataset", "t", "--format", "csv"]
    said = CliRunner().invoke(cli, [*command, "--db", sample.url], catch_exceptions=False)
    with Database(sample.url) as db:
        found = db.ablate("m", neurons="1.7", dataset="t")
        tokens = found.changed_tokens
        by_run = {row[tokens.columns.index("run_id")] for row in tokens}
    assert by_run == {CLASS_RUN + 1, RANDOM_RUN + 1}
    assert len(tokens) == 2 * len(METRICS) * CHANGED
    assert len(said.stdout.splitlines()) - 1 == len(found) > 0
    assert set(found.columns) <= set(said.stdout.splitlines()[0].split(","))


def test_ingest_asks_the_job_for_what_it_was_given(monkeypatch: pytest.MonkeyPatch) -> None:
    report = IngestReport("m", "n.db", {}, {}, 0.0)
    jobs = Jobs(report)
    monkeypatch.setattr("neurondb.api.jobs.load_job", jobs)
    assert ingest("m", "n.db", dataset="t.txt", max_texts=3) is report
    assert jobs.requests == [IngestRequest("m", "n.db", dataset="t.txt", max_texts=3)]
    with pytest.raises(UsageError, match=r"traces.*dataset"):
        ingest("m", stages=("traces",))
    with pytest.raises(TypeError, match="datset"):
        ingest("m", datset="t.txt")
