"""Reports of the sample database, written once."""

import shutil
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from sqlite3 import connect
from typing import NamedTuple

import pytest

from neurondb.contracts.report import ReportRequest, ReportWritten
from neurondb.documents.report import write_report
from tests.neurondb.documents.pages import Reader, read_page
from tests.neurondb.figures.specs import GATED, UNGATED
from tests.support.ingested import Silent
from tests.support.sample_facts import Sample

STAGES_BESIDE_WEIGHTS = (
    *("vocab_stat_rows", "top_token_rows", "double_checking", "lm_head_tokens", "tokens"),
    *("property_effects", "activation_stats", "sign_case_rows", "example_rows"),
    *("peak_token_rows", "concept_runs", "clamp_runs", "ablation_runs", "neuron_effects"),
    *("neuron_attributions", "ablation_results", "comparisons", "comparison_neurons"),
)
"""Tables that hold what is not of the weights."""
HOSTILE = '<script>alert("x")</script>|`*[a](javascript:b)'


class Report(NamedTuple):
    """A report that was written, and its page."""

    models: tuple[str, ...]
    written: ReportWritten
    page: Reader
    markdown: str


def write(location: Path | str, directory: Path, *models: str) -> Report:
    written = write_report(ReportRequest(models, directory, str(location)), Silent())
    page = read_page(written.page.read_text(encoding="utf-8"))
    return Report(models, written, page, written.markdown.read_text(encoding="utf-8"))


@pytest.fixture(scope="session", params=[(GATED,), (UNGATED,), (GATED, UNGATED)], ids="+".join)
def report(
    request: pytest.FixtureRequest, sample: Sample, tmp_path_factory: pytest.TempPathFactory
) -> Report:
    """A report of a gated model, of an ungated one, and of both."""
    return write(sample.path, tmp_path_factory.mktemp("report"), *request.param)


@pytest.fixture
def change_sample(sample: Sample, tmp_path: Path) -> Callable[..., Path]:
    """A function that returns a copy of the sample database after these statements."""

    def change(*statements: str) -> Path:
        path = tmp_path / "changed.db"
        shutil.copyfile(sample.path, path)
        with closing(connect(path)) as connection:
            for statement in statements:
                connection.execute(statement)
            connection.commit()
        return path

    return change
