"""Summaries as files: what is written comes back, what is none is said in one line."""

import json
import math
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import save_file

from ingest.activations.summary import LayerSummary
from ingest.activations.summary_file import FORMAT, SummaryFile, save_summaries
from neurondb.errors import IngestError
from tests.support.ingested import fresh
from tests.support.random_layers import NO_NUMBERS, NUMBERS, Layer, empty, random_layer, summarised

ABOUT = {"identity": {"shard": [1, 2]}, "model": "m", "ü": [None, 1.5, "…"]}


def assert_identical(one: LayerSummary, other: LayerSummary) -> None:
    """Compare everything that summaries consist of, to the bit."""
    assert (one.layer, one.kind, one.seed) == (other.layer, other.kind, other.seed)
    mine, theirs = one.tensors(), other.tensors()
    assert mine.keys() == theirs.keys()
    for name, tensor in mine.items():
        assert tensor.dtype == theirs[name].dtype
        assert torch.equal(tensor, theirs[name]), name


@given(
    seed=st.integers(0, 1000),
    gated=st.booleans(),
    controls=st.booleans(),
    n_labels=st.integers(0, 2),
    n_texts=st.integers(0, 20),
)
@settings(max_examples=25, deadline=None)
def test_summaries_come_back_from_their_tensors_and_from_a_file(
    seed: int, gated: bool, controls: bool, n_labels: int, n_texts: int
) -> None:
    layer = random_layer(
        seed,
        max(1, n_texts),
        gated=gated,
        pool=NUMBERS + NO_NUMBERS,
        controls=controls,
        n_labels=n_labels,
        seed=seed,
    )
    parts = [range(n_texts)] if n_texts else []
    first, second = (summarised(replace(layer, number=n), parts) for n in (1, 11))
    assert_identical(LayerSummary.from_tensors(1, seed, first.tensors(), gated=gated), first)
    path = fresh("summary") / "s"
    save_summaries(path, ABOUT, {1: first, 11: second})
    file = SummaryFile.open(path)
    assert file.about == ABOUT
    assert file.layers == {1: (seed, gated), 11: (seed, gated)}
    loaded = file.load([11])
    assert list(loaded) == [11]
    assert_identical(loaded[11], second)
    assert_identical(file.load([1, 11])[1], first)
    assert [p.name for p in path.parent.iterdir()] == ["s"]


def test_a_loaded_summary_goes_on_as_the_one_that_was_saved(tmp_path: Path) -> None:
    layer = random_layer(1, 20, pool=None, controls=True, n_labels=1)
    whole = summarised(layer, [range(9), range(9, 20)])
    save_summaries(tmp_path / "s", {}, {0: summarised(layer, [range(9)])})
    loaded = SummaryFile.open(tmp_path / "s").load([0])[0]
    added = _with(loaded, layer, range(9, 20))
    assert_identical(added, whole)


def _with(summary: LayerSummary, layer: Layer, part: range) -> LayerSummary:
    from tests.support.random_layers import activations, counted

    found = activations(layer, part, math.nan)
    summary.add(counted(layer, part), found, layer.sign, layer.activation)
    return summary


# --- what is no such file ---------------------------------------------------------------------


@pytest.fixture
def written(tmp_path: Path) -> Path:
    path = tmp_path / "part.summary"
    save_summaries(path, ABOUT, {0: empty(random_layer(0, 1))})
    return path


def assert_refused(path: Path, message: str) -> None:
    with pytest.raises(IngestError, match=message) as caught:
        SummaryFile.open(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("share", [0.0, 0.001, 0.1, 0.5, 0.999])
def test_a_truncated_file_is_said(written: Path, share: float) -> None:
    data = written.read_bytes()
    written.write_bytes(data[: int(len(data) * share)])
    assert_refused(written, "summaries")


def test_a_file_that_goes_on_is_said(written: Path) -> None:
    written.write_bytes(written.read_bytes() + b"more")
    assert_refused(written, "summaries")


@pytest.mark.parametrize("content", [b"", b"a text\n" * 50, b"\xff" * 4096, b"{}"])
def test_a_foreign_file_is_said(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "foreign").write_bytes(content)
    assert_refused(tmp_path / "foreign", "summaries")


def test_no_file_and_a_directory_are_said(tmp_path: Path) -> None:
    assert_refused(tmp_path / "nowhere", "summaries")
    assert_refused(tmp_path, "summaries")


@pytest.mark.parametrize(
    "metadata", [None, {"format": "pt"}, {"format": re.sub(r"\d+$", "0", FORMAT), "header": "{}"}]
)
def test_weights_and_files_of_other_versions_are_said(
    tmp_path: Path, metadata: dict[str, str] | None
) -> None:
    save_file({"x": torch.zeros(2)}, tmp_path / "other", metadata=metadata)
    assert_refused(tmp_path / "other", "`neurondb ingest --shard`")


def test_writing_fails_as_a_disk_does(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="nowhere"):
        save_summaries(tmp_path / "nowhere" / "s", {}, {0: empty(random_layer(0, 1))})


def test_a_file_that_is_there_is_replaced_whole(written: Path) -> None:
    save_summaries(written, {"new": 1}, {2: empty(random_layer(0, 1, gated=False))})
    file = SummaryFile.open(written)
    assert (file.about, file.layers) == ({"new": 1}, {2: (0, False)})
    with safe_open(written, framework="pt") as opened:
        assert json.loads(opened.metadata()["header"])["about"] == {"new": 1}
