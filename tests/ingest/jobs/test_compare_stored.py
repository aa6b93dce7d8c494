"""What the job `compare` stores: whole or not at all, and found again while it is up to date."""

import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ingest.jobs import compare
from neurondb.errors import ModelError
from neurondb.reading.models import open_readonly
from neurondb.reading.pairs import find_pair, find_stored_comparison
from tests.ingest.jobs.compared_models import ask, compared, ingest, only_llama, page_of
from tests.support.model_pairs import tiny_pair
from tests.support.tiny_model import tiny_model

ROOT = Path(__file__).resolve().parents[3]

WRITING = """
import os, signal
import neurondb.writing.comparisons as writing
from ingest.jobs.compare import run
from neurondb.contracts.compare import CompareRequest
from tests.support.ingested import Silent

insert, calls = writing.insert_columns, []

def killed(*arguments):
    calls.append(1)
    if len(calls) == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return insert(*arguments)

writing.insert_columns = killed
run(CompareRequest("base", "tuned", {database!r}), Silent())
"""


def fresh(database: Path) -> bool:
    with open_readonly(str(database)) as connection:
        return (
            find_stored_comparison(connection, find_pair(connection, "base", "tuned")) is not None
        )


@only_llama
def test_a_second_run_replaces_the_first(compared_database: Path) -> None:
    before = ask(compared_database, "SELECT * FROM compared_neurons")
    compared(compared_database)
    assert ask(compared_database, "SELECT * FROM compared_neurons") == before
    assert len(ask(compared_database, "SELECT * FROM comparisons")) == 1


@only_llama
@pytest.mark.parametrize(
    "change",
    [
        "UPDATE ingest_steps SET finished_at = '2999' WHERE stage = 'weights' AND layer = 1",
        "UPDATE models SET threshold = 0.5 WHERE name = 'base'",
        "UPDATE comparisons SET share_same_token = NULL",
    ],
)
def test_what_changed_since_is_compared_again(
    compared_database: Path, compared_pair: tuple[Path, Path, Path], change: str
) -> None:
    ingest(compared_database, compared_pair[0], stages=("weights",), thresholds=(0.5, 0.2))
    ask(compared_database, "UPDATE models SET threshold = 0.2")
    assert fresh(compared_database)
    ask(compared_database, change)
    assert not fresh(compared_database)


@only_llama
def test_texts_read_since_do_not_matter(compared_database: Path) -> None:
    ask(
        compared_database,
        "UPDATE ingest_steps SET finished_at = '2999' WHERE stage LIKE 'classes%'",
    )
    assert fresh(compared_database)


def test_without_tokens_the_rest_is_compared(tmp_path: Path) -> None:
    base, tuned = tiny_pair(tmp_path)
    database = tmp_path / "n.db"
    ingest(database, base, tuned, stages=("weights",))
    compared(database)
    page = page_of(database)
    assert page.whole.share_kept is None
    assert [model.name for model in page.without_vocab] == ["base", "tuned"]
    ingest(database, base, tuned)
    assert not fresh(database)
    compared(database)
    assert page_of(database).whole.n_tokens == 110


def test_other_tokenizers_are_told_and_tokens_compared_by_text(tmp_path: Path) -> None:
    base = tiny_model(tmp_path / "base")
    tuned = Path(shutil.copytree(base, tmp_path / "tuned"))
    file = tuned / "tokenizer.json"
    written = file.read_text(encoding="utf-8")
    file.write_text(written.replace('"</s>"', '"<end>"'), encoding="utf-8")
    config = tuned / "tokenizer_config.json"
    config.write_text(config.read_text().replace("</s>", "<end>"))
    database = tmp_path / "n.db"
    ingest(database, base, tuned)
    compared(database)
    page = page_of(database)
    assert (page.vocabularies.same, page.vocabularies.n_other) == (False, 1)
    ends = ask(
        database,
        "SELECT COUNT(*) FROM lm_head_tokens JOIN neurons USING (neuron_id)"
        " WHERE token_id = 1 AND model_id = 1 AND side = 1",
    )
    assert page.whole.n_kept == 112 - ends[0][0]


def test_a_tokenizer_on_one_side_only_keeps_no_tokens(tmp_path: Path) -> None:
    base, tuned = tiny_pair(tmp_path)
    for file in tuned.glob("tokenizer*"):
        file.unlink()
    database = tmp_path / "n.db"
    ingest(database, base, tuned)
    compared(database)
    page = page_of(database)
    assert page.vocabularies.one_sided
    assert page.whole.n_tokens == 0
    assert fresh(database)


@only_llama
def test_a_kill_while_it_is_written_leaves_no_half(compared_database: Path) -> None:
    for earlier in (True, False):
        if not earlier:
            ask(compared_database, "DELETE FROM comparisons")
            ask(compared_database, "DELETE FROM comparison_neurons")
        before = ask(compared_database, "SELECT * FROM compared_neurons")
        script = WRITING.format(database=str(compared_database))
        done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=False)
        assert done.returncode == -signal.SIGKILL
        assert ask(compared_database, "SELECT * FROM compared_neurons") == before
        assert len(ask(compared_database, "SELECT * FROM comparisons")) == earlier
    compared(compared_database)
    assert len(ask(compared_database, "SELECT * FROM compared_neurons")) == 112


@only_llama
def test_a_layer_that_cannot_be_read_leaves_what_was_there(
    compared_database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = ask(compared_database, "SELECT * FROM comparisons")

    def broken(*_: object) -> Iterator[None]:
        raise ModelError("torn")

    monkeypatch.setattr(compare, "_vectors", broken)
    with pytest.raises(ModelError, match="torn"):
        compared(compared_database)
    assert ask(compared_database, "SELECT * FROM comparisons") == before
