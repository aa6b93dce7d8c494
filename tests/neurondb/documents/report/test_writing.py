"""Reports hold what the database has, are whole pages, and say what is missing."""

import re
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from neurondb.contracts.report import ReportRequest
from neurondb.documents.report import write_report
from neurondb.errors import NeuronDBError, UnknownNameError, UsageError
from tests.neurondb.documents.pages import OUR_TAGS, read_tags
from tests.neurondb.documents.report.conftest import (
    HOSTILE,
    STAGES_BESIDE_WEIGHTS,
    Report,
    write,
)
from tests.neurondb.figures.specs import GATED
from tests.support.ingested import Silent
from tests.support.sample_facts import Sample

MEGABYTE = 1_000_000


def test_nothing_is_loaded_and_nothing_runs(report: Report) -> None:
    for tag, attributes in report.page.elements:
        assert tag not in {"script", "link", "iframe", "object", "embed"}
        assert not any(key.startswith("on") for key in attributes)
        assert (attributes.get("src") or "data:").startswith("data:")
        assert (attributes.get("href") or "#").startswith("#")
    page = report.written.page.read_text(encoding="utf-8")
    outside = set(re.findall(r"""(?:url\(|@import |https?:)[^)\s"']*""", page))
    assert {one for one in outside if not one.startswith("url(#")} <= {"http://www.w3.org/2000/svg"}


def test_headings_go_down_one_by_one_and_pictures_say_what_they_show(report: Report) -> None:
    levels = [int(tag[1]) for tag, _ in report.page.elements if re.fullmatch("h[1-6]", tag)]
    assert levels.count(1) == 1
    assert all(below <= above + 1 for above, below in pairwise(levels))
    drawn = [a for a in report.page.find("div") if a.get("role") == "img"]
    assert len(drawn) + len(report.page.find("img")) == len(report.written.figures)
    assert all(attributes["aria-label"] for attributes in drawn)
    assert all(attributes["alt"] for attributes in report.page.find("img"))


def test_ids_are_unique_and_every_link_leads_to_one(report: Report) -> None:
    ids = Counter(a["id"] for _, a in report.page.elements if "id" in a)
    assert [name for name, n in ids.items() if n > 1] == []
    assert {str(a["href"])[1:] for a in report.page.find("a")} <= ids.keys()


def test_a_report_is_small_and_its_markdown_finds_its_figures(report: Report) -> None:
    assert report.written.n_bytes == report.written.page.stat().st_size < 3 * MEGABYTE
    linked = set(re.findall(r"\]\((figures/[^)]+)\)", report.markdown))
    folder = report.written.markdown.parent
    assert {f"figures/{path.name}" for path in (folder / "figures").iterdir()} == linked
    assert len(linked) == len(report.written.figures) > 3


def test_classes_are_counted(sample: Sample, report: Report) -> None:
    for model in report.models:
        counts = Counter(n["class"] for n in sample.neurons if n["model"] == model)
        for name, n in counts.items():
            assert re.search(rf"\| {name} \|.*\b{n:,}\b", report.markdown)


def test_missing_stages_are_told_with_their_commands(
    change_sample: Callable[..., Path], tmp_path: Path
) -> None:
    path = change_sample(
        *(f"DELETE FROM {table}" for table in STAGES_BESIDE_WEIGHTS),
        "UPDATE models SET dataset_id = NULL, each_run_id = NULL, attribution_run_id = NULL",
    )
    report = write(path, tmp_path / "out", GATED)
    assert "classes-by-layer" in report.written.figures
    assert "frequency-by-class" not in report.written.figures
    said = " ".join(report.written.missing)
    for command in ("--stages vocab", "--stages activations", "neurondb concept", "ablate"):
        assert command in said
    assert "Not in this database" in report.page.text
    assert "When neurons fire" not in report.page.text


def test_hostile_names_stay_names_and_paths_are_not_told(
    change_sample: Callable[..., Path], tmp_path: Path
) -> None:
    path = change_sample(
        f"UPDATE models SET name = '{HOSTILE}', source = '/home/somebody/secret/weights.gguf' "
        f"WHERE name = '{GATED}'",
        f"UPDATE tokens SET token = '{HOSTILE}' || token_id",
        "DELETE FROM clamp_runs",
    )
    report = write(path, tmp_path / "out", HOSTILE)
    assert "script" not in {tag for tag, _ in report.page.elements}
    assert HOSTILE in report.page.text
    assert read_tags(report.markdown) <= OUR_TAGS
    assert "weights.gguf" in report.page.text
    assert "somebody" not in report.page.text + report.markdown + str(report.written.missing)


@pytest.mark.parametrize(
    ("models", "error", "said"),
    [
        ((), UsageError, "of which model"),
        ((GATED, GATED), UsageError, "named twice"),
        (("nobody",), UnknownNameError, "no model 'nobody'"),
    ],
)
def test_models_are_those_of_the_database(
    sample: Sample, tmp_path: Path, models: tuple[str, ...], error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        write_report(ReportRequest(models, tmp_path / "out", sample.url), Silent())
    assert not (tmp_path / "out").exists()


def test_other_files_are_kept(sample: Sample, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(NeuronDBError, match=r"holds other files \(thesis.tex\)"):
        write_report(ReportRequest((GATED,), tmp_path, sample.url), Silent())
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
