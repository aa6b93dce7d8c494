"""The jobs `ablate`, `rerun` and `ablate-suite` on the bundled model: what is and is not stored."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from ingest.bundled import MODEL_NAME
from ingest.interventions import ablation_session
from ingest.interventions.runner import InterventionRunner
from ingest.jobs import ablate, ablate_suite
from neurondb.conditions import Condition, Treatment
from neurondb.errors import DatabaseError, IngestError, TextError, UnknownNameError, UsageError
from neurondb.jobs import (
    AblationReport,
    AblationRequest,
    AblationSuiteRequest,
    NeuronSelection,
    RerunRequest,
    TextsRequest,
)
from neurondb.writing.ablations import store_run
from tests.support.ablation_reference import Edit, reference
from tests.support.ingested import Silent, encode, random_model, subject, text_file
from tests.support.real_models import BUNDLED, real_texts

MODEL = MODEL_NAME
N_TEXTS = 6


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A copy of the database with everything of the bundled model on its texts."""
    return copy_of(BUNDLED, tmp_path)


def copy_of(name: str, directory: Path) -> Path:
    path = directory / "neurondb.db"
    with closing(sqlite3.connect(path)) as copy:
        subject(name).connection.backup(copy)
    return path


def rows(file: Path, sql: str, *values: object) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(file)) as connection:
        return connection.execute(sql, values).fetchall()


def dataset(file: Path) -> str:
    ((name,),) = rows(file, "SELECT name FROM dataset_rows")
    return str(name)


def request(file: Path, selection: NeuronSelection | None = None, **more: Any) -> AblationRequest:
    texts = TextsRequest(dataset(file), max_texts=N_TEXTS, max_len=60)
    chosen = selection or NeuronSelection("neurons", "1.3,1.5,3.100")
    return AblationRequest(
        MODEL, chosen, **{"texts": texts, "device": "cpu", "database": str(file), **more}
    )


def run(asked: AblationRequest) -> AblationReport:
    return ablate.run(asked, Silent())


def edits(file: Path, names: list[str], values: list[float]) -> list[Edit]:
    found = []
    for name, value in zip(names, values, strict=True):
        layer, neuron = map(int, name.split("."))
        ((sign,),) = rows(
            file, "SELECT sign FROM neurons WHERE layer = ? AND neuron = ?", layer, neuron
        )
        found.append(Edit(layer, neuron, float(sign), value))
    return found


def measured(chosen: list[Edit], **how: str) -> dict[str, np.ndarray[Any, Any]]:
    """Clean − edited of every token of the first texts, by the reference."""
    directory = Path(subject(BUNDLED).request.model)
    of = reference(directory)
    found: dict[str, list[Any]] = {}
    for text in real_texts(BUNDLED)[:N_TEXTS]:
        ids = encode(directory, text)[:60]
        clean, after = of.metrics(ids), of.metrics(ids, chosen, **how)
        for metric in ("loss", "entropy", "scale"):
            found.setdefault(metric, []).append(clean[metric] - after[metric])
    return {metric: np.concatenate(parts) for metric, parts in found.items()}


NAMES = ["1.3", "1.5", "3.100"]


@pytest.mark.parametrize(
    ("treatment", "values", "how"),
    [
        (Treatment(), [0.0] * 3, {}),
        (Treatment("fix", value=1.5), [1.5] * 3, {}),
        (Treatment("fix", Condition(-1, 1), value=-2), [-2.0] * 3, {"condition": "gate-_post+"}),
        (
            Treatment("clamp", hook="hook_pre_linear", value=3),
            [3.0] * 3,
            {"hook": "hook_pre_linear"},
        ),
    ],
)
def test_stored_statistics_are_those_of_plain_hooks(
    file: Path, treatment: Treatment, values: list[float], how: dict[str, str]
) -> None:
    report = run(request(file, treatment=treatment))
    wanted = measured(edits(file, NAMES, values), **how)
    for metric, differences in wanted.items():
        known = differences[~np.isnan(differences)]
        (found,) = rows(
            file,
            "SELECT n, mean, std, q25, q50, q75, min, max FROM ablation_results "
            "WHERE run_id = ? AND metric = ? AND filter = 'all'",
            report.run_ids[0],
            metric,
        )
        quantiles = np.quantile(known, [0.25, 0.5, 0.75, 0, 1])
        assert found[0] == len(known)
        assert np.allclose(found[1:], [known.mean(), known.std(), *quantiles], rtol=0, atol=1e-5)


@pytest.mark.parametrize("condition", ["", "gate+_post-", "gate-_post+", "gate-", "post+"])
def test_means_are_those_of_the_dataset_where_the_condition_holds(
    file: Path, condition: str
) -> None:
    treatment = Treatment("mean", Condition.parse(condition or None))
    report = run(request(file, treatment=treatment))
    means = [mean_post(name, condition) for name in NAMES]
    wanted = measured(edits(file, NAMES, means), condition=condition)
    for metric, differences in wanted.items():
        found = rows(
            file,
            "SELECT mean FROM ablation_results WHERE run_id = ? AND metric = ? AND filter = 'all'",
            report.run_ids[0],
            metric,
        )
        assert found[0][0] == pytest.approx(np.nanmean(differences), abs=1e-5)
    ((used,),) = rows(file, "SELECT means_dataset_id FROM ablation_runs")
    assert used == 1


def mean_post(name: str, condition: str) -> float:
    """The mean of canonical hook_post over all tokens of the texts that fit."""
    of = subject(BUNDLED)
    layer, neuron = map(int, name.split("."))
    ((sign,),) = of.rows("SELECT sign FROM neurons WHERE layer = ? AND neuron = ?", layer, neuron)
    gates, posts = gates_and_posts(layer)
    gate, post = gates[:, neuron], posts[:, neuron] * sign
    fits = np.ones(len(gate), dtype=bool)
    for part in filter(None, condition.split("_")):
        value = gate if part.startswith("gate") else post
        fits &= value > 0 if part.endswith("+") else value < 0
    return float(post[fits].mean())


_kept: dict[int, tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]] = {}


def gates_and_posts(layer: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    if layer not in _kept:
        of = reference(Path(subject(BUNDLED).request.model))
        gates: list[Any] = []
        posts: list[Any] = []
        mlp = of.blocks[layer].mlp
        hooks = [
            mlp.gate_proj.register_forward_hook(lambda _m, _x, y: gates.append(y[0].double())),
            mlp.down_proj.register_forward_pre_hook(lambda _m, x: posts.append(x[0][0].double())),
        ]
        for ids in subject(BUNDLED).ids():
            of.metrics(ids)
        for hook in hooks:
            hook.remove()
        _kept[layer] = tuple(  # type: ignore[assignment]
            np.concatenate([part.numpy() for part in parts]) for parts in (gates, posts)
        )
    return _kept[layer]


def test_a_run_says_everything_that_made_it(file: Path) -> None:
    asked = request(
        file, name="mine", baseline=2, seed=5, treatment=Treatment("mean", Condition(1))
    )
    report = run(asked)
    columns = (
        "run_id, mode, condition, hook, value, baseline_of, seed, n_texts, max_len, skip_bos, "
        "dtype, device, means_dataset_id"
    )
    found = rows(file, f"SELECT {columns} FROM ablation_runs ORDER BY run_id")
    same = ("mean", "gate+", "hook_post", None)
    rest = (N_TEXTS, 60, 0, "float32", "cpu", 1)
    assert found == [
        (1, *same, None, None, *rest),
        (2, *same, 1, 5, *rest),
        (3, *same, 1, 6, *rest),
    ]
    assert report.run_ids == (1,)
    assert report.n_new == 3
    sets = rows(file, "SELECT set_id, name, definition FROM neuron_sets ORDER BY set_id")
    assert sets[0] == (1, "mine", "1.3,1.5,3.100")
    assert sets[1][2].startswith("baseline of 1.3,1.5,3.100: the same layers")
    members = rows(
        file,
        "SELECT layer, neuron FROM neuron_set_members JOIN neurons USING (neuron_id) "
        "WHERE set_id = 1 ORDER BY neuron_id",
    )
    assert members == [(1, 3), (1, 5), (3, 100)]
    n = rows(file, "SELECT run_id, n_tokens FROM ablation_runs")
    directory = Path(subject(BUNDLED).request.model)
    n_tokens = sum(len(encode(directory, text)[:60]) for text in real_texts(BUNDLED)[:N_TEXTS])
    assert n == [(i, n_tokens) for i in (1, 2, 3)]


def test_bins_and_results_agree(file: Path) -> None:
    run(request(file))
    for metric, n in rows(file, "SELECT metric, n FROM ablation_results WHERE filter = 'changed'"):
        ((total,),) = rows(file, "SELECT SUM(n) FROM ablation_histograms WHERE metric = ?", metric)
        assert (total or 0) == n


def test_what_is_stored_is_not_run_again_unless_forced(file: Path) -> None:
    first = run(request(file, baseline=1))
    second = run(request(file, baseline=1))
    assert (second.run_ids, second.n_new) == (first.run_ids, 0)
    more = run(request(file, baseline=2))
    assert (more.run_ids, more.n_new) == (first.run_ids, 1)
    forced = run(request(file, force=True))
    assert forced.run_ids != first.run_ids
    assert len(rows(file, "SELECT 1 FROM neuron_sets")) == 3  # the set is stored once


def test_a_set_is_found_by_its_name_and_a_name_is_of_one_set(file: Path) -> None:
    first = run(request(file, name="mine"))
    again = run(request(file, NeuronSelection("set", "mine")))
    assert (again.run_ids, again.n_new) == (first.run_ids, 0)
    with pytest.raises(UsageError, match="'mine' is stored with other neurons"):
        run(request(file, NeuronSelection("neurons", "2.2"), name="mine"))


def test_a_set_gets_its_name_although_its_run_is_stored(file: Path) -> None:
    (before,) = run(request(file)).run_ids
    again = run(request(file, name="mine"))
    assert again.run_ids == (before,)
    named = NeuronSelection("set", "mine")
    assert run(request(file, named)).run_ids == (before,)


def test_a_name_that_is_taken_is_refused_before_anything_is_run(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(request(file, name="mine"))
    monkeypatch.setattr(InterventionRunner, "run", None)
    with refused(UsageError, "'mine' is stored with other neurons; give another --name"):
        run(request(file, NeuronSelection("neurons", "0.1"), name="mine"))


def test_a_repeated_run_gives_the_same_bits_and_stores_nothing(file: Path) -> None:
    run(request(file, baseline=1, treatment=Treatment("mean")))
    before = rows(file, "SELECT * FROM ablation_runs")
    report = ablate.rerun(RerunRequest(1, database=str(file)), Silent())
    assert report.largest_difference == 0
    assert report.n_new == 0
    assert rows(file, "SELECT * FROM ablation_runs") == before


def test_a_run_can_be_extended_to_more_texts_of_the_database_and_of_its_source(
    file: Path, tmp_path: Path
) -> None:
    run(request(file, baseline=1))
    report = ablate.rerun(RerunRequest(1, max_texts=9, database=str(file)), Silent())
    assert report.n_new == 2
    assert report.largest_difference is None
    (run_id,) = report.run_ids
    shape = "SELECT dataset_id, set_id, n_texts, max_len FROM ablation_runs WHERE run_id = ?"
    assert rows(file, shape, run_id) == [(1, 1, 9, 60)]
    assert rows(file, "SELECT set_id, seed FROM ablation_runs WHERE baseline_of = ?", run_id) == [
        (2, 0)
    ]

    source = tmp_path / "tales.txt"
    source.write_text("\n\n".join(["Tom ran.", "The cat sat.", "Lily saw a dog."]))
    few = run(request(file, texts=TextsRequest(str(source), max_texts=2)))
    more = ablate.rerun(RerunRequest(few.run_ids[0], max_texts=3, database=str(file)), Silent())
    ((n_texts, n_stored),) = rows(
        file,
        "SELECT r.n_texts, d.n_texts FROM ablation_runs r JOIN dataset_rows d USING (dataset_id) "
        "WHERE run_id = ?",
        more.run_ids[0],
    )
    assert (n_texts, n_stored) == (3, 3)
    source.write_text("Another.\n\nText.\n\nHere.")
    with pytest.raises(IngestError, match="no longer begins with"):
        ablate.rerun(RerunRequest(few.run_ids[0], max_texts=3, database=str(file)), Silent())


def test_a_file_that_begins_a_stored_dataset_is_that_dataset(file: Path, tmp_path: Path) -> None:
    source = text_file(real_texts(BUNDLED))
    run(request(file, texts=TextsRequest(str(source), max_texts=3)))
    assert rows(file, "SELECT dataset_id, n_texts FROM ablation_runs") == [(1, 3)]
    assert len(rows(file, "SELECT 1 FROM dataset_rows")) == 1


def test_saved_tokens_are_what_the_statistics_are_of(file: Path, tmp_path: Path) -> None:
    target = tmp_path / "tokens.parquet"
    run(request(file, baseline=1, save_tokens=str(target)))
    table = pq.read_table(target)
    columns = {name: table[name].to_numpy() for name in table.column_names}
    directory = Path(subject(BUNDLED).request.model)
    ids = [encode(directory, text)[:60] for text in real_texts(BUNDLED)[:N_TEXTS]]
    for run_id, baseline_of in ((1, None), (2, 1)):
        here = columns["run_id"] == run_id
        assert set(table["baseline_of"].filter(here).to_pylist()) == {baseline_of}
        assert columns["token_id"][here].tolist() == [i for text in ids for i in text]
        assert columns["text"][here].tolist() == [n for n, t in enumerate(ids) for _ in t]
        assert columns["position"][here].tolist() == [n for t in ids for n in range(len(t))]
        for metric, filter_, *stored in rows(
            file,
            "SELECT metric, filter, n, mean, std, q25, q50, q75, min, max, clean_mean, "
            "ablated_mean FROM ablation_results WHERE run_id = ?",
            run_id,
        ):
            clean, after = (
                columns[f"{metric}_{which}"][here].astype(np.float64)
                for which in ("clean", "ablated")
            )
            kept = ~np.isnan(clean) & ((clean != after) | (filter_ == "all"))
            clean, after = clean[kept], after[kept]
            difference = clean - after
            quantiles = np.quantile(difference, [0.25, 0.5, 0.75, 0, 1])
            wanted = [difference.mean(), difference.std(), *quantiles, clean.mean(), after.mean()]
            assert stored[0] == len(difference)
            assert np.allclose(stored[1:], wanted, rtol=1e-12, atol=0)


def test_saving_tokens_of_a_stored_run_stores_it_no_second_time(file: Path, tmp_path: Path) -> None:
    run(request(file))
    report = run(request(file, save_tokens=str(tmp_path / "t.parquet")))
    assert (report.n_new, report.largest_difference) == (0, 0)
    assert (tmp_path / "t.parquet").is_file()


SUITE = tuple(Treatment("zero", condition) for condition in (Condition(), Condition(-1, 1)))


def suite(file: Path, **more: Any) -> AblationSuiteRequest:
    return AblationSuiteRequest(
        MODEL,
        TextsRequest(dataset(file), max_texts=N_TEXTS, max_len=60),
        **{"treatments": SUITE, "device": "cpu", "database": str(file), **more},
    )


def test_a_suite_is_every_class_and_condition_with_its_baseline(file: Path) -> None:
    report = ablate_suite.run(suite(file), Silent())
    present = rows(
        file,
        "SELECT class, COUNT(*) FROM neuron_overview WHERE class <> 'orthogonal output' GROUP BY 1",
    )
    assert report.n_new == len(present) * 2 * 2
    found = rows(
        file,
        "SELECT s.definition, r.condition, COUNT(DISTINCT m.neuron_id), COUNT(DISTINCT b.run_id) "
        "FROM ablation_runs r JOIN neuron_sets s USING (set_id) "
        "JOIN neuron_set_members m USING (set_id) "
        "JOIN ablation_runs b ON b.baseline_of = r.run_id GROUP BY r.run_id",
    )
    assert sorted(found, key=repr) == sorted(
        (
            (f"class='{name}'", condition, n, 1)
            for name, n in present
            for condition in (None, "gate-_post+")
        ),
        key=repr,
    )


def test_a_suite_gives_what_single_runs_do(file: Path, tmp_path: Path) -> None:
    ablate_suite.run(suite(file, classes=("cond-weak",)), Silent())
    (tmp_path / "alone").mkdir()
    other = copy_of(BUNDLED, tmp_path / "alone")
    for treatment in SUITE:
        run(request(other, NeuronSelection("class", "cond-weak"), baseline=1, treatment=treatment))
    results = "SELECT * FROM ablation_results ORDER BY 1, 2, 3"
    assert rows(file, results) == rows(other, results)


def test_a_suite_goes_on_where_it_was(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ablation_session, "RUNS_AT_A_TIME", 4)
    monkeypatch.setattr(ablation_session, "SECONDS", 0.0)
    stored = store_run
    left = iter(range(6))

    def breaks(*args: Any) -> int:
        if next(left, None) is None:
            raise KeyboardInterrupt
        return stored(*args)

    monkeypatch.setattr(ablation_session, "store_run", breaks)
    with pytest.raises(KeyboardInterrupt):
        ablate_suite.run(suite(file), Silent())
    assert len(rows(file, "SELECT 1 FROM ablation_runs")) == 6
    monkeypatch.setattr(ablation_session, "store_run", stored)
    report = ablate_suite.run(suite(file), Silent())
    assert len(rows(file, "SELECT 1 FROM ablation_runs")) == report.n_new + 6
    again = ablate_suite.run(suite(file), Silent())
    assert (again.run_ids, again.n_new) == (report.run_ids, 0)


KILLED = """
import sys
from ingest import ablate
from ingest.interventions.runner import Runner
from neurondb.jobs import AblationRequest, NeuronSelection, TextsRequest
from tests.support.ingested import Silent
put = Runner._intervene
def slow(self, *args):
    print("running", flush=True)
    import time; time.sleep(60)
Runner._intervene = slow
ablate.run(AblationRequest("tinyworld-2m", NeuronSelection("neurons", "1.3"),
    TextsRequest(sys.argv[2]), baseline=2, device="cpu", database=sys.argv[1]), Silent())
"""


def test_killed_in_the_middle_it_leaves_nothing(file: Path, tmp_path: Path) -> None:
    tales = tmp_path / "tales.txt"
    tales.write_text("Tom ran.\n\nThe cat sat.")
    tables = [name for (name,) in rows(file, "SELECT name FROM sqlite_master WHERE type = 'table'")]
    before = {name: rows(file, f"SELECT COUNT(*) FROM {name}") for name in tables}
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", KILLED, str(file), str(tales)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=Path(__file__).parents[3],
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"running\n"
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert {name: rows(file, f"SELECT COUNT(*) FROM {name}") for name in tables} == before
    assert rows(file, "PRAGMA integrity_check") == [("ok",)]
    assert run(request(file)).n_new == 1


@contextmanager
def refused(kind: type[Exception], said: str) -> Iterator[None]:
    started = time.monotonic()
    with pytest.raises(kind, match=said) as caught:
        yield
    assert "\n" not in str(caught.value)
    assert time.monotonic() - started < 60


@pytest.mark.parametrize(
    ("selection", "kind", "said"),
    [
        (
            NeuronSelection("neurons", "9.1"),
            UnknownNameError,
            "no neuron 9.1: its layers are 0 to 5",
        ),
        (NeuronSelection("neurons", "1.512"), UnknownNameError, "neurons 0 to 511"),
        (NeuronSelection("neurons", "one"), UsageError, "'one' is no neuron; write LAYER.NEURON"),
        (NeuronSelection("neurons", " "), UnknownNameError, "no neuron of tinyworld-2m"),
        (NeuronSelection("class", "weakest"), UnknownNameError, "no class 'weakest'; did you mean"),
        (NeuronSelection("class", "cond"), UnknownNameError, "'cond' could be several classes"),
        (
            NeuronSelection("class", "weakening", 99),
            UsageError,
            "neurons of class weakening, not 99",
        ),
        (NeuronSelection("where", "layer>7"), UnknownNameError, "no neuron of tinyworld-2m fits"),
        (NeuronSelection("set", "mine"), UnknownNameError, "no set 'mine' in this database"),
        (NeuronSelection("sql", "DELETE FROM models"), DatabaseError, "read-only"),
        (NeuronSelection("sql", "SELECT 1 AS one"), UsageError, "the query gives one; neurons are"),
        (
            NeuronSelection("sql", "SELECT 10000 AS neuron_id"),
            UsageError,
            "is not one of tinyworld-2m",
        ),
        (NeuronSelection("sql", "SELECT NULL AS layer, 1 AS neuron"), UnknownNameError, "None.1"),
        (
            NeuronSelection("sql", "SELECT 'b' AS model, '1.2' AS name"),
            UsageError,
            "also gives neurons of 'b'",
        ),
    ],
)
def test_neurons_that_are_none(
    file: Path, selection: NeuronSelection, kind: type[Exception], said: str
) -> None:
    with refused(kind, said):
        run(request(file, selection))
    assert rows(file, "SELECT * FROM ablation_runs") == []


def test_texts_that_are_none(file: Path, tmp_path: Path) -> None:
    (tmp_path / "empty.txt").write_text(" \n\n ")
    (tmp_path / "some.txt").write_text("Once upon a time.")
    for texts, kind, said in (
        (TextsRequest(str(tmp_path / "empty.txt")), TextError, "no text in it"),
        (TextsRequest(str(tmp_path / "none.txt")), TextError, "no file or directory"),
        (TextsRequest(dataset(file), max_len=9999), UsageError, "more than the 256 tokens"),
        (TextsRequest(dataset(file), max_tokens=1), TextError, "more than --max-tokens 1"),
    ):
        with refused(kind, said):
            run(request(file, texts=texts))


def test_means_need_activations(file: Path) -> None:
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("DELETE FROM activation_stats")
        connection.execute("DELETE FROM sign_case_rows")
    for condition in (Condition(), Condition(1, 1)):
        with refused(IngestError, "no activations to take means of; run `neurondb ingest"):
            run(request(file, treatment=Treatment("mean", condition)))


def test_runs_that_cannot_be_repeated(file: Path) -> None:
    run(request(file, baseline=1))
    with refused(IngestError, "run 2 is the baseline of run 1"):
        ablate.rerun(RerunRequest(2, database=str(file)), Silent())
    with refused(UnknownNameError, "no ablation run 7 in this database, which has 2"):
        ablate.rerun(RerunRequest(7, database=str(file)), Silent())


def test_ungated_models(tmp_path: Path) -> None:
    file = copy_of("gpt2", tmp_path)
    model = rows(file, "SELECT name FROM models")[0][0]
    texts = TextsRequest(dataset(file), max_texts=4)
    asked = replace(request(file, NeuronSelection("neurons", "1.3"), texts=texts), model=model)
    means = replace(asked, treatment=Treatment("mean", Condition(0, -1)), baseline=1)
    assert ablate.run(means, Silent()).n_new == 2
    with refused(UsageError, r"the condition gate\+ asks for the sign of the gate"):
        run(replace(asked, treatment=Treatment("zero", Condition(1, 0))))
    with refused(UsageError, "hook_pre_linear is what a gate multiplies"):
        run(replace(asked, treatment=Treatment("clamp", hook="hook_pre_linear", value=1)))


def test_texts_of_one_token_have_no_loss(file: Path, tmp_path: Path) -> None:
    (tmp_path / "short.txt").write_text("a\n\nb")
    report = run(request(file, texts=TextsRequest(str(tmp_path / "short.txt"), max_len=1)))
    found = rows(file, "SELECT DISTINCT metric FROM ablation_results ORDER BY 1")
    assert found == [("entropy",), ("scale",)]
    assert report.n_new == 1


def test_other_weights_are_refused(tmp_path: Path) -> None:
    file = copy_of("llama", tmp_path)
    name = rows(file, "SELECT name FROM models")[0][0]
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("UPDATE models SET fingerprint = 'other'")
    asked = replace(request(file, NeuronSelection("neurons", "1.3")), model=name)
    with refused(IngestError, f"{random_model('llama')} holds other weights"):
        run(asked)
