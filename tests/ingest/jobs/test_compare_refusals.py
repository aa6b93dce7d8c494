"""What the job `compare` refuses: what is no pair, or is stored no longer as it was compared."""

import re
from pathlib import Path

import pytest

from neurondb.contracts.ingest import Preprocessing
from neurondb.errors import IngestError, UnknownNameError, UsageError
from tests.ingest.jobs.compared_models import ask, compared, ingest, only_llama
from tests.support.model_pairs import tiny_pair
from tests.support.tiny_model import tiny_model


@only_llama
def test_one_model_is_no_pair(
    compared_database: Path, compared_pair: tuple[Path, Path, Path]
) -> None:
    with pytest.raises(UsageError, match=rf"'base' .*'{re.escape(str(compared_pair[0]))}'"):
        compared(compared_database, "base", str(compared_pair[0]))
    with pytest.raises(UnknownNameError, match=r"'tunde'.*'tuned'"):
        compared(compared_database, "base", "tunde")


@pytest.mark.parametrize(
    ("family", "said"),
    [
        ("llama-square", r"\bd_mlp 56\b.* 32\b"),
        ("gpt2", r"\bllama\b.* gpt2\b.*\bgated\b.*\bd_mlp 56\b.* 128\b"),
        ("mistral", r"\bllama\b.*\bmistral\b(?!.*\bd_mlp\b)"),
    ],
)
def test_another_shape_is_refused(family: str, said: str, tmp_path: Path) -> None:
    database = tmp_path / "n.db"
    models = [tiny_model(tmp_path / "base"), tiny_model(tmp_path / "tuned", family)]
    ingest(database, *models, stages=("weights",))
    with pytest.raises(IngestError, match=said):
        compared(database)


def test_a_layer_that_is_missing_is_refused(tmp_path: Path) -> None:
    base, tuned = tiny_pair(tmp_path)
    database = tmp_path / "n.db"
    ingest(database, base, stages=("weights",))
    ingest(database, tuned, stages=("weights",), layers=(0,))
    with pytest.raises(IngestError, match=r"tuned\b.*\blayer 1\b.*--name tuned --stages weights\b"):
        compared(database)


def test_other_preprocessing_is_refused(tmp_path: Path) -> None:
    base, tuned = tiny_pair(tmp_path)
    database = tmp_path / "n.db"
    ingest(database, base, stages=("weights",))
    ingest(database, tuned, stages=("weights",), preprocessing=Preprocessing(fold=False))
    with pytest.raises(IngestError, match=r"\bbase\b.*\bfold yes\b.*\btuned\b.*\bno\b.*force"):
        compared(database)


@only_llama
def test_a_checkpoint_that_is_gone_or_changed_is_refused(
    compared_database: Path, tmp_path: Path
) -> None:
    gone = re.escape(str(tmp_path / "gone"))
    sql = "UPDATE models SET source = ? WHERE name = 'tuned'"
    ask(compared_database, sql, str(tmp_path / "gone"))
    with pytest.raises(IngestError, match=f"tuned .*{gone}\\b"):
        compared(compared_database)
    tiny_model(tmp_path / "gone", seed=5)
    with pytest.raises(IngestError, match=f"^{gone} .*\\btuned\\b.*name"):
        compared(compared_database)
