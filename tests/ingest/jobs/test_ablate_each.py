"""The jobs `ablate-each` and `attribute` on the bundled model: what is stored, resumed, refused."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ingest.bundled import MODEL_NAME
from ingest.jobs import ablate_each, attribution
from neurondb.contracts.inputs import NeuronSelection, TextsRequest
from neurondb.contracts.single_neuron import EffectReport, EffectRequest
from neurondb.errors import IngestError, LackingModelError, UnknownNameError, UsageError
from neurondb.interventions import METRICS, Condition, Treatment
from neurondb.writing.effects import store_effects
from tests.ingest.jobs.ablation_requests import copy_of, rows
from tests.support.ablation_reference import Edit, reference
from tests.support.ingested import Silent, encode, subject
from tests.support.real_models import BUNDLED, real_texts

MODEL = MODEL_NAME
N_TEXTS, MAX_LEN = 3, 40
NAMES = ("0.3", "1.3", "1.5", "3.100")
WIDTH = 512


def request(file: Path, **more: Any) -> EffectRequest:
    ((dataset,),) = rows(file, "SELECT name FROM dataset_rows")
    texts = TextsRequest(dataset, max_texts=N_TEXTS, max_len=MAX_LEN)
    usual: dict[str, Any] = {
        "metrics": METRICS,
        "selection": NeuronSelection("neurons", ",".join(NAMES)),
        "device": "cpu",
        "database": str(file),
    }
    return EffectRequest(MODEL, texts, **(usual | more))


def each(asked: EffectRequest) -> EffectReport:
    return ablate_each.run(asked, Silent())


def differences(file: Path, name: str, value: float = 0.0, condition: str = "") -> dict[str, Any]:
    """Clean − edited of every token by the reference, which has the stored sign."""
    layer, neuron = map(int, name.split("."))
    ((sign,),) = rows(
        file, "SELECT sign FROM neurons WHERE layer = ? AND neuron = ?", layer, neuron
    )
    directory = Path(subject(BUNDLED).request.model)
    of, edit = reference(directory), Edit(layer, neuron, float(sign), value)
    found: dict[str, list[Any]] = {}
    for text in real_texts(BUNDLED)[:N_TEXTS]:
        ids = encode(directory, text)[:MAX_LEN]
        clean, after = of.metrics(ids), of.metrics(ids, [edit], condition=condition)
        for metric in ("loss", "entropy", "scale"):
            found.setdefault(metric, []).append(clean[metric] - after[metric])
    return {metric: np.concatenate(parts) for metric, parts in found.items()}


def stored(file: Path, run_id: int) -> dict[tuple[str, str], tuple[Any, ...]]:
    sql = """SELECT n.layer || '.' || n.neuron, e.metric, e.n, e.mean, e.std, e.changed
             FROM neuron_effects e JOIN neurons n USING (neuron_id) WHERE e.run_id = ?"""
    return {(name, metric): tuple(values) for name, metric, *values in rows(file, sql, run_id)}


def check(file: Path, run_id: int, name: str, **how: Any) -> None:
    wanted = differences(file, name, **how)
    found = stored(file, run_id)
    for metric, values in wanted.items():
        known = values[np.isfinite(values)]
        n, mean, std, _ = found[name, metric]
        assert n == len(known)
        assert mean == pytest.approx(known.mean(), abs=1e-5)
        assert std == pytest.approx(known.std(), abs=1e-5)


def test_each_neuron_has_a_row_for_each_metric(file: Path) -> None:
    report = each(request(file))
    assert (report.n_neurons, report.n_new) == (len(NAMES), len(NAMES))
    assert set(stored(file, report.run_id)) == {(n, m) for n in NAMES for m in METRICS}
    for name in NAMES:
        check(file, report.run_id, name)
    columns = "kind, finished, mode, n_texts, device, baseline_of"
    ((*run, seconds),) = rows(file, f"SELECT {columns}, seconds FROM ablation_runs")
    assert run == ["each", 1, "zero", N_TEXTS, "cpu", None]
    assert seconds > 0
    assert rows(file, "SELECT each_run_id FROM models") == [(report.run_id,)]


def test_means_and_conditions_are_those_of_the_dataset(file: Path) -> None:
    treatment = Treatment("mean", Condition.parse("gate-_post+"))
    report = each(request(file, treatments=(treatment,)))
    for name in NAMES:
        layer, neuron = map(int, name.split("."))
        ((mean,),) = rows(
            file,
            """SELECT c.post_mean FROM sign_cases c JOIN neurons n USING (neuron_id)
               WHERE n.layer = ? AND n.neuron = ? AND c.sign_case = 'gate-_in-'""",
            layer,
            neuron,
        )
        check(file, report.run_id, name, value=mean, condition="gate-_post+")


def test_what_is_stored_is_not_run_again(file: Path) -> None:
    first = each(request(file))
    again = each(request(file))
    assert (again.run_id, again.n_new) == (first.run_id, 0)
    forced = each(request(file, force=True))
    assert forced.run_id != first.run_id
    assert stored(file, forced.run_id) == stored(file, first.run_id)
    assert rows(file, "SELECT each_run_id FROM models") == [(forced.run_id,)]


def test_other_metrics_texts_or_treatments_are_other_runs(file: Path) -> None:
    first = each(request(file)).run_id
    texts = replace(request(file).texts, max_texts=2)
    others = (
        request(file, metrics=("loss",)),
        replace(request(file), texts=texts),
        request(file, treatments=(Treatment("zero", Condition(post=1)),)),
        request(file, selection=NeuronSelection("neurons", "0.3")),
    )
    assert len({first, *(each(other).run_id for other in others)}) == 1 + len(others)


class _Interrupted(Exception):
    pass


def test_an_interrupted_run_goes_on_where_it_was(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = stored(file, each(request(file, force=True)).run_id)
    monkeypatch.setattr(ablate_each, "MIN_NEURONS", 1)
    monkeypatch.setattr(ablate_each, "NEURON_TOKENS", 1)
    real, parts = store_effects, list[int]()

    def failing(*args: Any, **kwargs: Any) -> None:
        if len(parts) == 2:
            raise _Interrupted
        real(*args, **kwargs)
        parts.append(1)

    monkeypatch.setattr(ablate_each, "store_effects", failing)
    with pytest.raises(_Interrupted):
        each(request(file, force=True))
    ((run_id, finished),) = rows(
        file, "SELECT run_id, finished FROM ablation_runs ORDER BY run_id DESC LIMIT 1"
    )
    assert not finished
    assert rows(file, "SELECT each_run_id FROM models") != [(run_id,)]  # not shown yet
    monkeypatch.setattr(ablate_each, "store_effects", real)
    report = each(request(file))
    assert (report.run_id, report.n_new) == (run_id, len(NAMES) - 2)
    for key, values in stored(file, run_id).items():
        assert values == pytest.approx(whole[key], abs=1e-6)


KILLED = """
import sys
from pathlib import Path
from ingest.jobs import ablate_each as job
from tests.ingest.jobs.test_ablate_each import each, request
job.MIN_NEURONS = job.NEURON_TOKENS = 1
from neurondb.contracts.inputs import NeuronSelection
each(request(Path(sys.argv[1]), selection=NeuronSelection("where", "layer=1")))
"""


def test_a_killed_run_leaves_whole_parts_and_goes_on(file: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(file)], cwd=Path(__file__).parents[3]
    )
    until = time.monotonic() + 120
    while time.monotonic() < until and process.poll() is None:
        ((n,),) = rows(file, "SELECT COUNT(*) FROM neuron_effects")
        if n >= 5 * len(METRICS):
            os.kill(process.pid, signal.SIGKILL)
            break
        time.sleep(0.05)
    process.wait()
    by_neuron = rows(file, "SELECT COUNT(*) FROM neuron_effects GROUP BY run_id, neuron_id")
    assert set(by_neuron) == {(len(METRICS),)}
    assert rows(file, "PRAGMA integrity_check") == [("ok",)]
    layer = request(file, selection=NeuronSelection("where", "layer=1"))
    report = each(layer)
    assert report.n_new == WIDTH - len(by_neuron)
    alone = each(replace(layer, force=True))
    found, wanted = stored(file, report.run_id), stored(file, alone.run_id)
    assert found.keys() == wanted.keys()
    for key, values in found.items():
        assert values == pytest.approx(wanted[key], abs=1e-6)


def test_estimates_of_every_neuron_are_stored_at_once(file: Path) -> None:
    asked = request(file, selection=None, metrics=("loss", "entropy"))
    report = attribution.run(asked, Silent())
    ((n,),) = rows(file, "SELECT COUNT(*) FROM neurons")
    assert report.n_neurons == report.n_new == n
    counts = rows(file, "SELECT metric, COUNT(*) FROM neuron_attributions GROUP BY metric")
    assert counts == [("entropy", n), ("loss", n)]
    assert attribution.run(asked, Silent()).n_new == 0
    assert rows(file, "SELECT attribution_run_id FROM models") == [(report.run_id,)]


@pytest.mark.parametrize("treatment", [Treatment("zero"), Treatment("mean")])
def test_estimates_correlate_with_what_is_measured(file: Path, treatment: Treatment) -> None:
    layer = NeuronSelection("where", "layer=4")
    measured = each(request(file, selection=layer, treatments=(treatment,), metrics=("loss",)))
    estimated = attribution.run(
        request(file, selection=None, treatments=(treatment,), metrics=("loss",)), Silent()
    )
    pairs = rows(
        file,
        """SELECT e.mean, a.mean FROM neuron_effects e
           JOIN neuron_attributions a USING (neuron_id, metric)
           WHERE e.run_id = ? AND a.run_id = ?""",
        measured.run_id,
        estimated.run_id,
    )
    assert len(pairs) == WIDTH
    assert np.corrcoef(np.array(pairs).T)[0, 1] > 0.7


REFUSED: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"treatments": (Treatment("fix", value=1.0),)}, UsageError, r"\bfix\b.*`neurondb ablate`"),
    ({"metrics": ("lose",)}, UsageError, "'lose'.*loss"),
    ({"selection": NeuronSelection("neurons", "9.1")}, UnknownNameError, r"\b9\.1\b.*\b0 to 5\b"),
    ({"selection": NeuronSelection("where", "layer=77")}, UnknownNameError, "'layer=77'"),
    ({"device": "cuda:9"}, IngestError, "'cuda:9'.*device="),
]


@pytest.mark.parametrize(("more", "error", "said"), REFUSED)
def test_a_refusal_is_one_line_and_stores_nothing(
    file: Path, more: dict[str, Any], error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said) as raised:
        each(request(file, **more))
    assert "\n" not in str(raised.value)
    assert rows(file, "SELECT * FROM ablation_runs") == []


def test_only_loss_and_entropy_are_estimated(file: Path) -> None:
    with pytest.raises(UsageError, match=r"'rank'.*loss, entropy"):
        attribution.run(request(file, metrics=("rank",)), Silent())


def test_a_gate_condition_needs_a_gate(tmp_path: Path) -> None:
    path = copy_of("gpt2", tmp_path)
    ((name,),) = rows(path, "SELECT name FROM models")
    asked = request(path, treatments=(Treatment("zero", Condition(gate=1)),))
    with pytest.raises(LackingModelError, match=r"gate\+.*post\+.*post-"):
        each(replace(asked, model=name, selection=NeuronSelection("neurons", "0.1")))
