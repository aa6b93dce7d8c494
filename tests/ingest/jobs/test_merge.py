"""The job `merge`: shards computed apart are stored as one run over all texts would store them."""

import json
import re
import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import ingest.forward.batching
from ingest.activations.summary_file import save_summaries
from neurondb.contracts.ingest import IngestRequest, MergeRequest, Preprocessing
from neurondb.contracts.registry import load_job
from neurondb.errors import IngestError, UsageError
from tests.support.ingested import TEXTS, Silent, fresh, text_file
from tests.support.random_layers import empty, random_layer
from tests.support.real_models import BUNDLED, real_directory, real_texts
from tests.support.rows import all_rows
from tests.support.tiny_model import tiny_model

N_SHARDS = 3
PLACES = 70
"""Of a batch: two or three of the texts."""


def run(request: IngestRequest) -> Silent:
    progress = Silent()
    load_job("ingest")(request, progress)
    return progress


def merge(files: Sequence[Path], database: str | None, **options: bool) -> Any:
    request = MergeRequest(tuple(map(str, files)), database, **options)
    return load_job("merge")(request, Silent())


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Labelled texts, some without a label."""
    file = tmp_path_factory.mktemp("texts") / "tales.jsonl"
    labels = ("web", "Zeitung", "bücher", None)
    rows = [{"text": text, "label": labels[i % 4]} for i, text in enumerate(TEXTS)]
    file.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    return file


@pytest.fixture(scope="module", autouse=True)
def _several_batches() -> Iterator[None]:
    """Batches of a few texts, several a shard."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(ingest.forward.batching.BATCH_TOKENS, "cpu", PLACES)
        yield


@pytest.fixture
def request_(model: Path, texts: Path, tmp_path: Path) -> IngestRequest:
    return IngestRequest(
        model=str(model),
        name="tiny",
        database=str(tmp_path / "n.db"),
        dataset=str(texts),
        device="cpu",
        controls=True,
        stages=("weights", "activations"),
    )


def shards_of(request: IngestRequest, n: int = N_SHARDS) -> list[Path]:
    """Run every shard; return their files."""
    directory = fresh("shards")
    files = [directory / f"{i}.summary" for i in range(1, n + 1)]
    for i, file in enumerate(files, start=1):
        run(replace(request, shard=(i, n), summary=str(file)))
    return files


def assert_equal_rows(one: Path, other: Path) -> None:
    """Compare every table to the last bit."""
    mine, theirs = all_rows(one), all_rows(other)
    assert mine.keys() == theirs.keys()
    for table, rows in mine.items():
        assert list(map(repr, rows)) == list(map(repr, theirs[table])), table


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
def test_merged_shards_are_the_rows_of_one_run(
    request_: IngestRequest, tmp_path: Path, order: tuple[int, ...]
) -> None:
    files = shards_of(request_)
    merge([files[i] for i in order], request_.database)
    whole = replace(request_, database=str(tmp_path / "whole.db"))
    run(whole)
    rows = all_rows(Path(str(whole.database)))
    for table in ("label_stats", "control_example_rows", "activation_histograms", "example_rows"):
        assert rows[table], table
    assert_equal_rows(Path(str(request_.database)), Path(str(whole.database)))


def test_merged_shards_of_a_trained_model_are_the_rows_of_one_run(tmp_path: Path) -> None:
    request = IngestRequest(
        model=str(real_directory(BUNDLED)),
        database=str(tmp_path / "n.db"),
        dataset=str(text_file(real_texts(BUNDLED)[:10])),
        device="cpu",
        max_len=60,
        stages=("weights", "activations"),
    )
    merge(shards_of(request), request.database)
    run(replace(request, database=str(tmp_path / "whole.db")))
    assert_equal_rows(tmp_path / "n.db", tmp_path / "whole.db")


def ask(database: str | Path | None, sql: str) -> list[tuple[Any, ...]]:
    with sqlite3.connect(str(database)) as connection:
        return connection.execute(sql).fetchall()


def test_a_merge_that_is_done_is_not_done_again(request_: IngestRequest) -> None:
    files = shards_of(request_)
    first = merge(files, request_.database)
    before = all_rows(Path(str(request_.database)))
    again = merge(files, request_.database)
    forced = merge(files, request_.database, force=True)
    assert first.rows == forced.rows
    assert (again.rows, again.skipped) == (
        {"activations": 0, "peaks": 0, "descriptions": 0},
        {"activations": 2},
    )
    assert all_rows(Path(str(request_.database))) == before


def test_traces_are_taken_of_what_was_merged(request_: IngestRequest) -> None:
    merge(shards_of(request_), request_.database)
    run(replace(request_, stages=("traces",)))
    assert ask(request_.database, "SELECT count(*) > 0 FROM trace_rows") == [(1,)]


def test_a_shard_that_is_there_is_not_computed_again(request_: IngestRequest) -> None:
    file = fresh("shard") / "1.summary"
    shard = replace(request_, shard=(1, 2), summary=str(file))
    run(shard)
    before = file.stat().st_mtime_ns
    (said,) = (note for note in run(shard).notes if str(file) in note)
    assert "force" in said
    assert file.stat().st_mtime_ns == before
    with pytest.raises(IngestError, match=f"{re.escape(str(file))} .*summary.*force"):
        run(replace(shard, shard=(2, 2)))
    run(replace(shard, shard=(2, 2), force=True))
    assert file.stat().st_mtime_ns != before


def test_layers_of_shards_merge_without_the_others(request_: IngestRequest) -> None:
    merge(shards_of(replace(request_, layers=(1,)), 2), request_.database)
    sql = "SELECT DISTINCT layer FROM activation_stats JOIN neurons USING (neuron_id)"
    assert ask(request_.database, sql) == [(1,)]


# --- what cannot be merged --------------------------------------------------------------------


class Shards:
    """The files of the shards of a request, and a database with its weights and texts."""

    def __init__(self, request: IngestRequest) -> None:
        self.request = request
        self.files = shards_of(request, 2)

    def others(self, **changed: object) -> list[Path]:
        """Return the shards of another request, whose rows go to a database of its own."""
        database = str(fresh("database") / "n.db")
        return shards_of(replace(self.request, database=database, **changed), 2)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def shards(model: Path, texts: Path) -> Shards:
    return Shards(
        IngestRequest(
            model=str(model),
            name="tiny",
            database=str(fresh("database") / "n.db"),
            dataset=str(texts),
            device="cpu",
            stages=("weights", "activations"),
        )
    )


def assert_refused(files: Sequence[Path], database: Path, message: str) -> None:
    """One line, and nothing is written."""
    before = all_rows(database), ask(database, "SELECT * FROM ingest_runs")
    with pytest.raises(IngestError, match=message) as caught:
        merge(files, str(database))
    assert "\n" not in str(caught.value)
    assert (all_rows(database), ask(database, "SELECT * FROM ingest_runs")) == before


def test_a_missing_shard_is_named(shards: Shards) -> None:
    database = Path(str(shards.request.database))
    assert_refused(shards.files[:1], database, r"\b2 .*\btales\b.* 2\b")


def test_a_shard_given_twice_is_named(shards: Shards, tmp_path: Path) -> None:
    copy = Path(shutil.copy(shards.files[0], tmp_path / "copy"))
    database = Path(str(shards.request.database))
    assert_refused([shards.files[0], copy], database, rf"{re.escape(str(copy))} .*shard 1\b")


def test_shards_of_different_things_are_told_apart(shards: Shards, tmp_path: Path) -> None:
    other_model = tiny_model(tmp_path / "other", seed=1)
    database = Path(str(shards.request.database))
    for changed, message in (
        ({"dataset": str(text_file(TEXTS[:9]))}, "datasets"),
        ({"model": str(other_model)}, "models"),
        ({"skip_bos": True}, "settings"),
        ({"controls": True}, "settings"),
        ({"preprocessing": Preprocessing(canonicalise=False)}, "settings"),
        ({"layers": (0,)}, "layers"),
    ):
        other = shards.others(**changed)[1]
        both = rf"{re.escape(str(shards.files[0]))} .*{re.escape(str(other))} .*\b{message}\b"
        assert_refused([shards.files[0], other], database, both)
    thirds = fresh("thirds") / "2.summary"
    run(replace(shards.request, shard=(2, 3), summary=str(thirds)))
    assert_refused([shards.files[0], thirds], database, rf"{re.escape(str(thirds))} .*\bdivide\b")


def test_what_the_database_lacks_is_named(shards: Shards, tmp_path: Path) -> None:
    """The model, its texts, weights of a layer, weights of these choices."""
    request = replace(shards.request, stages=("weights",))
    only_other = tmp_path / "other.db"
    run(replace(request, model=str(tiny_model(tmp_path / "m", seed=1)), database=str(only_other)))
    assert_refused(shards.files, only_other, r"weights of tiny\b.*\bvocab\b")
    weights = tmp_path / "weights.db"
    run(replace(request, database=str(weights)))
    assert_refused(shards.files, weights, r"\btales\b")
    layer = tmp_path / "layer.db"
    run(replace(shards.request, layers=(0,), database=str(layer)))
    assert_refused(shards.files, layer, r"\btiny\b.*\blayer 1\b")
    raw = tmp_path / "raw.db"
    run(replace(shards.request, preprocessing=Preprocessing.raw(), database=str(raw)))
    assert_refused(
        shards.files, raw, rf"\btiny\b.*\blayer 0\b.*{re.escape(str(shards.files[0]))}.*\bname\b"
    )


def test_activations_stored_with_other_settings_are_not_replaced(
    shards: Shards, tmp_path: Path
) -> None:
    database = tmp_path / "controls.db"
    run(replace(shards.request, controls=True, database=str(database)))
    assert_refused(shards.files, database, "controls = True.*force")
    merge(shards.files, str(database), force=True)
    assert ask(database, "SELECT count(*) FROM control_example_rows") == [(0,)]


def test_the_state_of_an_interrupted_pass_is_no_shard(shards: Shards, tmp_path: Path) -> None:
    save_summaries(tmp_path / "n.db.pass-1", {"batches": 3}, {0: empty(random_layer(0, 1))})
    database = Path(str(shards.request.database))
    assert_refused([tmp_path / "n.db.pass-1"], database, r"n\.db\.pass-1: .*\binterrupted\b")
    request = replace(shards.request, shard=(1, 2), summary=str(tmp_path / "n.db.pass-1"))
    with pytest.raises(IngestError, match=r"n\.db\.pass-1 .*summary.*force"):
        run(request)


def test_a_damaged_shard_is_named(shards: Shards, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged"
    damaged.write_bytes(shards.files[1].read_bytes()[:-100])
    database = Path(str(shards.request.database))
    assert_refused([shards.files[0], damaged], database, f"{re.escape(str(damaged))}: ")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"shard": None}, "summary.*shard"),
        ({"stages": ("weights",)}, "shard.*activations.*stages"),
        ({"stages": ("activations", "traces")}, "traces.*`neurondb merge`"),
    ],
)
def test_options_that_exclude_each_other_are_refused(
    request_: IngestRequest, changed: dict[str, object], message: str
) -> None:
    asked = replace(request_, **({"shard": (1, 2), "summary": "x"} | changed))  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=message):
        run(asked)


def test_a_summary_goes_where_a_directory_is(request_: IngestRequest, tmp_path: Path) -> None:
    nowhere = str(tmp_path / "nowhere" / "s")
    with pytest.raises(IngestError, match=f"'{re.escape(str(tmp_path / 'nowhere'))}'"):
        run(replace(request_, shard=(1, 2), summary=nowhere))
