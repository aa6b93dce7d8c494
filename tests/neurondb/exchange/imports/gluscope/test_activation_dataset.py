"""GLUScope's numbers become the rows that the activations themselves give."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from neurondb.errors import IngestError, NeuronDBError, TextError, UsageError
from neurondb.exchange.imports.gluscope.activation_dataset import (
    ActivationDataset,
    open_activation_file,
)
from neurondb.exchange.imports.gluscope.storing import (
    ActivationRequest,
    import_activations,
)
from neurondb.exchange.imports.gluscope.token_count import Frequencies
from neurondb.exchange.imports.report import ImportReport
from neurondb.exchange.imports.target import ModelRequest
from tests.support import gluscope_files as files
from tests.support.copies import contents
from tests.support.gluscope_files import CASES, LAYERS, N_TOKENS, NEURONS, QUANTITIES, TEXTS
from tests.support.ingested import Silent

DRAWN = files.draw()
COLUMNS = {"hook_post": "post", "hook_pre_linear": "pre_linear", "hook_pre": "pre"}


def run(path: Path, db: Path, **options: Any) -> ImportReport:
    name = options.pop("model", "toy")
    sizes = {key: options.pop(key) for key in ("layers", "neurons") if key in options}
    request = ActivationRequest(ModelRequest(name, **sizes), "dolma", **options)
    return import_activations(str(db), open_activation_file(path), request, Silent())


def ask(db: Path, sql: str, *values: Any) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(db)) as connection:
        return connection.execute(sql, values).fetchall()


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gluscope")
    files.write_texts(folder / "texts.parquet")
    more = {"cluster": list(range(LAYERS * NEURONS))}
    return files.write_dataset(folder / "activations.parquet", files.make_columns(DRAWN), **more)


@pytest.fixture(scope="module")
def imported(dataset: Path) -> tuple[Path, ImportReport]:
    db = dataset.with_name("n.db")
    return db, run(dataset, db, texts=dataset.with_name("texts.parquet"))


def test_cases_are_those_of_the_activations(imported: tuple[Path, ImportReport]) -> None:
    rows = ask(
        imported[0],
        "SELECT n.layer, n.neuron, s.* FROM sign_cases s JOIN neurons n USING (neuron_id)",
    )
    assert len(rows) == LAYERS * NEURONS * len(CASES)
    names = ("layer", "neuron", "neuron_id", "dataset_id", "sign_case", "count", "freq")
    for row in rows:
        one = dict(zip(names, row[:7], strict=True))
        at = (..., one["layer"], one["neuron"])
        inside = DRAWN.inside(one["sign_case"])[at]
        assert one["count"] == inside.sum()
        assert one["freq"] == pytest.approx(inside.mean(), abs=1e-7)


def test_means_and_extremes_are_those_of_the_activations(
    imported: tuple[Path, ImportReport],
) -> None:
    for quantity, column in COLUMNS.items():
        rows = ask(
            imported[0],
            f"SELECT n.layer, n.neuron, s.sign_case, s.{column}_mean, s.{column}_min, "
            f"s.{column}_max FROM sign_cases s JOIN neurons n USING (neuron_id)",
        )
        for layer, neuron, case, mean, low, high in rows:
            values = DRAWN.quantity(quantity)[..., layer, neuron]
            values = values[DRAWN.inside(case)[..., layer, neuron]].astype(np.float64)
            if not len(values):
                assert (mean, low, high) == (None, None, None)
                continue
            assert mean == pytest.approx(values.mean(), rel=1e-5)
            end = max(values, key=abs)
            assert (low, high) == ((None, end) if end > 0 else (end, None))


def test_moments_of_all_tokens_follow_from_the_cases(imported: tuple[Path, ImportReport]) -> None:
    rows = ask(
        imported[0],
        "SELECT n.layer, n.neuron, a.n_tokens, a.freq, a.pre_mean, a.post_mean, a.post_positive "
        "FROM activation_stats a JOIN neurons n USING (neuron_id)",
    )
    for layer, neuron, n_tokens, freq, pre, post, positive in rows:
        gate, out = (
            DRAWN.quantity(name)[..., layer, neuron].astype(np.float64)
            for name in ("hook_pre", "hook_post")
        )
        assert n_tokens == N_TOKENS
        assert freq == pytest.approx((gate > 0).mean(), abs=1e-6)
        assert post == pytest.approx(out.mean(), abs=1e-5)
        assert positive == pytest.approx((out > 0).mean(), abs=1e-6)
        if (layer, neuron) != (0, 1):  # a gate that is always zero is in no case
            assert pre == pytest.approx(gate.mean(), abs=1e-5)


def test_examples_are_the_largest_texts_in_order(imported: tuple[Path, ImportReport]) -> None:
    for layer, neuron, case, quantity in (
        (1, 2, "gate+_in-", "hook_post"),
        (2, 4, "gate-_in+", "swish"),
        (0, 0, "gate-_in-", "hook_pre"),
    ):
        rows = ask(
            imported[0],
            "SELECT t.ordinal, t.text, e.position, e.value FROM examples e "
            "JOIN neurons n USING (neuron_id) JOIN texts t USING (text_id) "
            "WHERE n.layer = ? AND n.neuron = ? AND e.sign_case = ? AND e.quantity = ? "
            "ORDER BY e.rank",
            *(layer, neuron, case, quantity),
        )
        values = DRAWN.quantity(quantity)[..., layer, neuron]
        values = np.where(DRAWN.inside(case)[..., layer, neuron], values, 0)
        peaks = values[np.arange(TEXTS), np.abs(values).argmax(1)]
        best = [i for i in np.argsort(-np.abs(peaks), kind="stable") if peaks[i]][:16]
        assert [row[0] for row in rows] == best
        assert [row[3] for row in rows] == [peaks[i] for i in best]
        assert all("apples" in text for ordinal, text, *_ in rows if ordinal)
        assert {row[2] for row in rows} == {None}


def test_no_case_without_tokens_has_examples(imported: tuple[Path, ImportReport]) -> None:
    """GLUScope fills lists up with zeros."""
    query = (
        "SELECT COUNT(*) FROM examples JOIN neurons USING (neuron_id) "
        "WHERE layer = 0 AND neuron = 1 OR value = 0"
    )
    assert ask(imported[0], query) == [(0,)]


def test_the_report_says_what_had_no_place(imported: tuple[Path, ImportReport]) -> None:
    report = imported[1]
    assert report.created
    assert report.no_place == {"cluster": LAYERS * NEURONS}
    assert report.rows["sign_case"] == LAYERS * NEURONS * len(CASES)
    assert f"{N_TOKENS} tokens were counted, as its frequencies tell" in report.notes


def test_the_same_file_again_changes_nothing(dataset: Path, tmp_path: Path) -> None:
    db = tmp_path / "n.db"
    run(dataset, db)
    before = contents(db)
    report = run(dataset, db)
    assert report.same
    assert contents(db) == before


def test_texts_given_later_fill_in(dataset: Path, imported: Any, tmp_path: Path) -> None:
    db = tmp_path / "n.db"
    run(dataset, db)
    assert ask(db, "SELECT DISTINCT text FROM texts") == [("",)]
    run(dataset, db, texts=dataset.with_name("texts.parquet"))
    assert ask(db, "SELECT ordinal, text FROM texts") == ask(
        imported[0], "SELECT ordinal, text FROM texts"
    )


def test_arrow_files_of_a_folder_are_read(imported: Any, dataset: Path, tmp_path: Path) -> None:
    table = pq.read_table(dataset)
    for i, part in enumerate((table.slice(0, 6), table.slice(6))):
        path = tmp_path / f"data-0000{i}-of-00002.arrow"
        with path.open("wb") as sink, pa.ipc.new_stream(sink, part.schema) as stream:
            stream.write_table(part)
    (tmp_path / "state.json").write_text("{}")
    run(tmp_path, tmp_path / "n.db")
    query = "SELECT * FROM sign_case_rows"
    assert ask(tmp_path / "n.db", query) == ask(imported[0], query)


def test_neurons_that_the_model_has_not_are_left_out(dataset: Path, tmp_path: Path) -> None:
    report = run(dataset, tmp_path / "n.db", layers=2, neurons=4)
    assert sum(report.left_out.values()) == LAYERS * NEURONS - 2 * 4
    assert report.rows["sign_case"] == 2 * 4 * len(CASES)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"gate+_in+_freq": None}, "no column 'gate\\+_in\\+_freq'"),
        ({"layer": [0] * LAYERS * NEURONS}, "row 6 has neuron 0.0, as a row before it"),
        ({"neuron": [0.5] * LAYERS * NEURONS}, "'neuron' is not all whole numbers"),
    ],
)
def test_bad_files_are_one_line(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    columns = files.make_columns(DRAWN) | change
    path = tmp_path / "bad.parquet"
    files.write_dataset(path, {k: v for k, v in columns.items() if v is not None})
    with pytest.raises(TextError, match=message):
        run(path, tmp_path / "n.db")
    assert not (tmp_path / "n.db").exists()


def test_what_is_no_parquet_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "bad.parquet").write_text("no")
    with pytest.raises(TextError, match="cannot be read as Parquet"):
        ActivationDataset(tmp_path / "bad.parquet")
    with pytest.raises(TextError, match="no such file"):
        ActivationDataset(tmp_path / "none")


def test_an_error_half_way_leaves_nothing(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    db = tmp_path / "n.db"
    run(dataset, db, model="other")
    before = contents(db)
    read, n_read = ActivationDataset.batches, 0

    def fail(self: ActivationDataset) -> Any:
        nonlocal n_read
        for batch in read(self):
            n_read += 1
            yield batch
            raise KeyboardInterrupt

    monkeypatch.setattr(ActivationDataset, "batches", fail)
    with pytest.raises(KeyboardInterrupt):
        run(dataset, db)
    assert n_read
    assert contents(db) == before


def test_ingested_activations_are_not_replaced(dataset: Path, tmp_path: Path) -> None:
    db = tmp_path / "n.db"
    run(dataset, db)
    with closing(sqlite3.connect(db)) as connection, connection:
        connection.execute("UPDATE ingest_steps SET settings = '{}'")
    with pytest.raises(IngestError, match="activations of its own on 'dolma'"):
        run(dataset, db)


def test_other_sizes_than_the_stored_are_refused(dataset: Path, tmp_path: Path) -> None:
    run(dataset, tmp_path / "n.db")
    with pytest.raises(UsageError, match="layers is 4, but the database has toy with 3"):
        run(dataset, tmp_path / "n.db", layers=4)


@pytest.mark.parametrize("n", [2_999, 123_457, 16_777_216])
def test_token_counts_are_inferred_from_frequencies(n: int) -> None:
    rng = np.random.default_rng(n)
    counts = np.unique(rng.integers(1, 2000, 400))
    found = Frequencies()
    for part in np.array_split(rng.permutation(counts), 3):
        found.add([(part.astype(np.float32) / np.float32(n)).astype(np.float64)])
    assert found.infer_token_count() == n


def test_frequencies_that_do_not_tell_give_none() -> None:
    found = Frequencies()
    found.add([np.random.default_rng(0).random(1000)])
    assert found.infer_token_count() is None


def test_quantities_are_those_of_the_schema() -> None:
    from neurondb.schema import codes

    assert (codes.QUANTITIES, codes.SIGN_CASES[:4]) == (QUANTITIES, CASES)
    assert issubclass(TextError, NeuronDBError)
