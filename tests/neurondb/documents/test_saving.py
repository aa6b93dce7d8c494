"""A document's files appear together, and never in the way of others."""

from pathlib import Path

import pytest

from neurondb.documents import saving
from neurondb.documents.markup import Document, Figure, Paragraph
from neurondb.documents.saving import save_document
from neurondb.errors import NeuronDBError

FIRST = Document("first", "", (Paragraph("x"), Figure("a", "a", b"\x89PNG", "png")))
SECOND = Document("second", "", (Paragraph("x"), Figure("b", "b", b"\x89PNG", "png")))


def files(directory: Path) -> set[str]:
    return {str(path.relative_to(directory)) for path in directory.rglob("*") if not path.is_dir()}


def test_an_earlier_document_is_replaced_with_all_of_its_files(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "out"
    saved = save_document(FIRST, out, "report")
    assert files(out) == {"report.html", "report.md", "figures/a.png"}
    assert (saved.page, saved.n_bytes) == (out / "report.html", saved.page.stat().st_size)
    save_document(SECOND, out, "report")
    assert files(out) == {"report.html", "report.md", "figures/b.png"}
    assert "second" in saved.page.read_text()


@pytest.mark.parametrize("name", ["thesis.tex", "figures/mine.png", ".hidden", "report.html"])
def test_a_folder_with_other_files_is_refused(tmp_path: Path, name: str) -> None:
    if "/" in name:
        save_document(FIRST, tmp_path, "report")
    (tmp_path / name).write_text("mine")
    before = files(tmp_path)
    with pytest.raises(NeuronDBError, match="holds other files"):
        save_document(SECOND, tmp_path, "report")
    assert files(tmp_path) == before


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("x")
    with pytest.raises(NeuronDBError, match="is a file"):
        save_document(FIRST, tmp_path / "out", "report")


@pytest.mark.parametrize("earlier", [True, False])
def test_what_fails_leaves_all_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, earlier: bool
) -> None:
    out = tmp_path / "out"
    if earlier:
        save_document(FIRST, out, "report")
    before = {path: (out / path).read_bytes() for path in files(out)}

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(saving, "_move", fail)
    with pytest.raises(NeuronDBError, match="No space left"):
        save_document(SECOND, out, "report")
    assert {path: (out / path).read_bytes() for path in files(out)} == before
    assert [path.name for path in tmp_path.iterdir()] == (["out"] if earlier else [])
