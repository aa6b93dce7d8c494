"""The stage `peaks`: what is stored follows from the stored examples and texts."""

import random
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

import ingest.forward.batching
import ingest.forward.open_model
import ingest.stages.activations
from neurondb.contracts.ingest import IngestRequest, MergeRequest
from neurondb.contracts.registry import load_job
from neurondb.errors import IngestError, UsageError
from tests.support.ingested import Silent
from tests.support.peaks_reference import assert_counted
from tests.support.planted_models import (
    AFTER,
    ANY,
    BEFORE,
    ON,
    ON_ANY,
    PEAK,
    TOKEN_ID,
    WORDS,
    write_gated,
    write_ungated,
)
from tests.support.tiny_model import tiny_model
from tests.support.tiny_requests import ask, run

STORED = "SELECT * FROM peak_token_rows ORDER BY neuron_id, dataset_id, list_id, rank"


def requested(model: Path, texts: Path, database: Path) -> IngestRequest:
    return IngestRequest(
        model=str(model),
        name="tiny",
        database=str(database),
        dataset=str(texts),
        device="cpu",
        stages=("activations",),
    )


@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma2", "phi3"])
def test_every_layer_has_the_tokens_of_its_examples(
    family: str, texts: Path, tmp_path: Path
) -> None:
    request = requested(tiny_model(tmp_path / "m", family), texts, tmp_path / "n.db")
    report = run(request)
    n_rows = assert_counted(tmp_path / "n.db")
    assert report.rows["peaks"] == n_rows > 100
    assert report.skipped.get("peaks", 0) == 0
    assert ask(request, "SELECT layer, settings FROM ingest_steps WHERE stage = 'peaks'") == [
        (0, '{"peak_count": 2}'),
        (1, '{"peak_count": 2}'),
    ]
    index = "SELECT count(*) FROM sqlite_master WHERE name = 'ix_peak_token_rows_token'"
    assert ask(request, index) == [(1,)]


@pytest.mark.parametrize(("peak_count", "skip_bos"), [(1, False), (3, True)])
def test_the_count_is_a_choice(request_: IngestRequest, peak_count: int, skip_bos: bool) -> None:
    request = replace(request_, stages=("activations",), peak_count=peak_count, skip_bos=skip_bos)
    run(request)
    assert assert_counted(str(request.database), peak_count) > 100
    other = replace(request, peak_count=2)
    with pytest.raises(IngestError, match=r"peak_count = [13], asked for with peak_count = 2"):
        run(other)
    run(replace(other, force=True))
    assert_counted(str(request.database), 2)


def test_a_database_without_them_is_filled_from_its_examples(
    request_: IngestRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = replace(request_, stages=("activations",))
    run(request)
    expected = ask(request, STORED)
    for stage in ("peaks", "activations"):
        with sqlite3.connect(str(request.database)) as connection:
            connection.execute("DELETE FROM peak_token_rows")
            connection.execute("DELETE FROM ingest_steps WHERE stage = 'peaks'")
            connection.execute("DROP INDEX ix_peak_token_rows_token")
        with monkeypatch.context() as patch:
            patch.setattr(ingest.forward.open_model, "Forward", None)  # no pass of the model
            report = run(replace(request, stages=(stage,)))
        assert report.rows["peaks"] == len(expected)
        assert ask(request, STORED) == expected


def test_peak_tokens_of_former_activations_go_with_them(
    request_: IngestRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped between a layer's activations and its peak tokens, they are filled by the next."""
    request = replace(request_, stages=("activations",))
    run(request)
    expected = ask(request, STORED)

    def stop(*_: object) -> int:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(ingest.stages.activations, "store_from_record", stop)
        with pytest.raises(KeyboardInterrupt):
            run(replace(request, force=True))
    assert 0 < len(ask(request, STORED)) < len(expected)  # layer 1 is as it was
    run(request)
    assert ask(request, STORED) == expected


def test_without_activations_there_is_nothing_to_look_at(request_: IngestRequest) -> None:
    with pytest.raises(IngestError, match="layer 0 has no examples on this dataset"):
        run(replace(request_, stages=("peaks",)))


@pytest.mark.parametrize("peak_count", [1, 2])
def test_merged_shards_have_those_of_one_run(
    request_: IngestRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, peak_count: int
) -> None:
    monkeypatch.setitem(ingest.forward.batching.BATCH_TOKENS, "cpu", 70)
    whole = replace(request_, stages=("activations",), database=str(tmp_path / "whole.db"))
    run(replace(whole, peak_count=peak_count))
    files = []
    for number in (1, 2):
        files.append(str(tmp_path / f"{number}.summary"))
        run(replace(request_, stages=None, shard=(number, 2), summary=files[-1]))
    assert ask(request_, STORED) == []
    merged = MergeRequest(tuple(files), request_.database, peak_count=peak_count)
    report = load_job("merge")(merged, Silent())
    assert ask(request_, STORED) == ask(whole, STORED)
    assert report.rows["peaks"] == len(ask(whole, STORED))
    with sqlite3.connect(str(request_.database)) as connection:
        connection.execute("DELETE FROM peak_token_rows")
        connection.execute("DELETE FROM ingest_steps WHERE stage = 'peaks'")
    load_job("merge")(merged, Silent())  # of a database that was merged before there were any
    assert ask(request_, STORED) == ask(whole, STORED)


def test_a_shard_has_none(request_: IngestRequest) -> None:
    shard = replace(request_, stages=None, shard=(1, 2))
    for asked in (replace(shard, stages=("activations", "peaks")), replace(shard, peak_count=1)):
        with pytest.raises(UsageError, match="a shard has no peak tokens: `neurondb merge`"):
            run(asked)


def test_the_count_is_of_a_stage(request_: IngestRequest) -> None:
    with pytest.raises(UsageError, match="peak_count is of the stages activations and peaks"):
        run(replace(request_, stages=("traces",), peak_count=1))


# --- planted neurons -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def planted_texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Texts of ten words, in 12 of which each planted word stands once, between others."""
    draw = random.Random(0)
    others = WORDS[10:]
    lines = []
    for number in range(48):
        words = draw.sample(others, 10)
        words[draw.randrange(2, 8)] = (PEAK, BEFORE, ANY[number // 4 % 4], words[0])[number % 4]
        if number % 4 == 2:  # after whichever word it is, the same comes next
            words[words.index(ANY[number // 4 % 4]) + 1] = "w9"
        lines.append(" ".join(words))
    file = tmp_path_factory.mktemp("planted") / "texts.txt"
    file.write_text("\n\n".join(lines), encoding="utf-8")
    return file


def peak_tokens(database: Path, neuron: int, case: str) -> dict[str, tuple[str, int, int]]:
    """Return place → the most frequent token, in how many examples it stands, of how many."""
    names = {number: word for word, number in TOKEN_ID.items()}
    with sqlite3.connect(database) as connection:
        rows = connection.execute(
            "SELECT place, token_id, count, list_size "
            "FROM peak_tokens JOIN neurons USING (neuron_id) "
            "WHERE layer = 0 AND neuron = ? AND sign_case = ? AND rank = 0",
            (neuron, case),
        )
        return {place: (names[token], count, size) for place, token, count, size in rows}


@pytest.mark.parametrize(
    ("write", "case"), [(write_gated, "gate+_in+"), (write_ungated, "in+")], ids=["llama", "gpt2"]
)
def test_planted_neurons_are_found_at_their_places(
    write: object, case: str, planted_texts: Path, tmp_path: Path
) -> None:
    assert callable(write)
    run(requested(write(tmp_path / "m"), planted_texts, tmp_path / "n.db"))
    assert_counted(tmp_path / "n.db")
    on = peak_tokens(tmp_path / "n.db", ON, case)
    assert on["peak"] == (PEAK, 12, 16)
    assert on["previous"][1] < 6 > on["next"][1]
    before_one = peak_tokens(tmp_path / "n.db", ON_ANY, case)
    assert before_one["next"] == ("w9", 12, 16)
    assert before_one["peak"][1] < 6 > before_one["previous"][1]
    if case == "in+":
        after = peak_tokens(tmp_path / "n.db", AFTER, case)
        assert after["previous"] == (BEFORE, 12, 16)
        assert after["peak"][1] < 6 > after["next"][1]
