"""The jobs `ablate` and `rerun` on the bundled model: what is and is not stored."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from ingest.interventions.ablation_pass import DividedRunner
from ingest.jobs import ablate
from neurondb.contracts.ablate import RerunRequest
from neurondb.contracts.inputs import NeuronSelection, TextsRequest
from neurondb.errors import IngestError
from neurondb.interventions import Condition, Treatment
from tests.ingest.jobs.ablation_requests import (
    N_TEXTS,
    refused,
    request,
    rows,
    run,
)
from tests.support.ablation_reference import Edit, reference
from tests.support.ingested import Silent, encode, subject, text_file
from tests.support.real_models import BUNDLED, real_texts


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
    assert sets[1][2].startswith("baseline of 1.3,1.5,3.100")
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
    with pytest.raises(IngestError, match=r"'mine'.*save_set"):
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
    monkeypatch.setattr(DividedRunner, "run", None)
    with refused(IngestError, "'mine'.*save_set"):
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
    with pytest.raises(IngestError, match=rf"{re.escape(str(source))} .*run {few.run_ids[0]}\b"):
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


KILLED = """
import sys
from ingest.interventions.runner import InterventionRunner
from ingest.jobs import ablate
from neurondb.contracts.ablate import AblationRequest
from neurondb.contracts.inputs import NeuronSelection, TextsRequest
from tests.support.ingested import Silent
def slow(self, *args):
    print("running", flush=True)
    import time; time.sleep(60)
InterventionRunner._intervene = slow
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
