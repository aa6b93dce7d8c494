"""A model is stored with one preprocessing: another one is refused unless all of it is redone."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from neurondb.contracts.ingest import IngestRequest, Preprocessing
from neurondb.contracts.registry import load_job
from neurondb.errors import IngestError
from tests.support.ingested import Silent
from tests.support.rows import all_rows
from tests.support.tiny_model import write_texts

RAW = Preprocessing.raw()
UNSIGNED = Preprocessing(canonicalise=False)
Ingest = Callable[..., None]


@pytest.fixture
def texts(tmp_path: Path) -> str:
    return str(write_texts(tmp_path / "texts.txt"))


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "n.db"


@pytest.fixture
def ingest(model: Path, database: Path) -> Ingest:
    plain = IngestRequest(str(model), str(database), name="tiny", device="cpu")

    def run(**options: Any) -> None:
        load_job("ingest")(replace(plain, **options), Silent())

    return run


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"stages": ("weights",)}, {"stages": ("vocab",), "preprocessing": RAW}),
        ({"stages": ("weights",)}, {"preprocessing": Preprocessing(fold=False)}),
        (
            {"stages": ("weights",), "layers": (0,)},
            {"stages": ("weights",), "layers": (1,), "preprocessing": RAW},
        ),
        ({"layers": (0,)}, {"layers": (1,), "preprocessing": UNSIGNED}),
    ],
)
def test_another_preprocessing_is_refused(
    ingest: Ingest, database: Path, first: dict[str, Any], second: dict[str, Any]
) -> None:
    ingest(**first)
    before = all_rows(database)
    with pytest.raises(IngestError, match=r"weights of layer 0\b.* = True.* = False.*force"):
        ingest(**second)
    assert all_rows(database) == before


@pytest.mark.parametrize(
    ("options", "left"),
    [
        ({"stages": ("weights",)}, "tokens"),
        ({"layers": (1,)}, "weights of layer 0"),
        ({"thresholds": (0.3,)}, "classes 0.5 of layer 0"),
    ],
)
def test_force_that_would_leave_some_as_it_is_is_refused(
    ingest: Ingest, database: Path, options: dict[str, Any], left: str
) -> None:
    ingest()
    before = all_rows(database)
    with pytest.raises(IngestError, match=rf"tiny: force .* {left}\b.* = True.* = False.*name"):
        ingest(force=True, preprocessing=RAW, **options)
    assert all_rows(database) == before


def test_force_leaves_no_activations_in_another_sign(
    ingest: Ingest, texts: str, tmp_path: Path
) -> None:
    ingest(dataset=texts)
    with pytest.raises(IngestError, match=r"force .* activations of layer 0\b"):
        ingest(force=True, preprocessing=RAW)
    others = tmp_path / "others.txt"
    others.write_text("The dog sat.\n\nThe sun came up.")
    with pytest.raises(IngestError, match=r"force .* activations of layer 0\b"):
        ingest(force=True, preprocessing=RAW, dataset=str(others))
    ingest(force=True, preprocessing=RAW, dataset=texts)


def test_force_of_everything_is_what_a_fresh_run_gives(
    ingest: Ingest, database: Path, tmp_path: Path
) -> None:
    ingest()
    ingest(force=True, preprocessing=RAW)
    fresh = tmp_path / "fresh.db"
    ingest(database=str(fresh), preprocessing=RAW)
    assert all_rows(database) == all_rows(fresh)


def test_the_same_preprocessing_goes_on(ingest: Ingest, database: Path) -> None:
    ingest(stages=("weights",), layers=(0,), preprocessing=RAW)
    ingest(stages=("vocab",), layers=(0,), preprocessing=RAW)
    ingest(preprocessing=RAW)
    ingest(force=True, stages=("weights",), layers=(1,), preprocessing=RAW)


def test_another_name_may_have_another_preprocessing(ingest: Ingest) -> None:
    ingest()
    ingest(name="raw", preprocessing=RAW)
