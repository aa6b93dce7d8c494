"""Traces: the forward pass's values around the peaks of the stored examples."""

import sqlite3
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import ingest.stages.traces
from ingest.checkpoint.reader import Checkpoint
from ingest.forward import Batch, Forward, MLPActivations
from neurondb.contracts.ingest import IngestRequest
from neurondb.contracts.registry import load_job
from neurondb.errors import ExpressionError, IngestError, UsageError
from tests.support.ingested import TEXTS, Silent, text_file
from tests.support.real_models import REAL, real_directory, real_texts
from tests.support.rows import all_rows
from tests.support.tiny_model import tiny_model

CPU = torch.device("cpu")
WINDOW = (4, 2)


class Kept:
    """A consumer that keeps what it is given."""

    def __init__(self, layers: Collection[int]) -> None:
        self.layers = layers
        self.found: dict[int, MLPActivations] = {}

    def consume(self, batch: Batch, layer: int, activations: MLPActivations) -> None:
        self.found[layer] = activations


def run(request: IngestRequest) -> Silent:
    progress = Silent()
    load_job("ingest")(request, progress)
    return progress


def ask(request: IngestRequest, sql: str) -> list[tuple[Any, ...]]:
    with sqlite3.connect(str(request.database)) as connection:
        return connection.execute(sql).fetchall()


def requested(model: Path, database: Path, **options: Any) -> IngestRequest:
    options = {"dataset": str(text_file(TEXTS)), "stages": ("activations", "traces")} | options
    return IngestRequest(
        model=str(model),
        name="tiny",
        database=str(database),
        device="cpu",
        window=WINDOW,
        controls=True,
        **options,
    )


@pytest.fixture(scope="module", params=["llama", "gpt2", "gemma2", "bfloat16", *REAL])
def traced(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> IngestRequest:
    """A model with traces: gated and not, in half precision, a trained one."""
    directory, options = tmp_path_factory.mktemp("traced"), dict[str, Any]()
    if request.param in REAL:
        model = real_directory(request.param)
        options = {"dataset": str(text_file(real_texts(request.param)[:6])), "max_len": 60}
    else:
        half = request.param == "bfloat16"
        model = tiny_model(directory / "m", "llama" if half else str(request.param))
        options = {"dtype": "bfloat16"} if half else {}
    asked = requested(model, directory / "n.db", **options)
    run(asked)
    return asked


@pytest.fixture
def request_(model: Path, tmp_path: Path) -> IngestRequest:
    return requested(model, tmp_path / "n.db")


def token_ids(request: IngestRequest) -> dict[int, NDArray[np.int64]]:
    rows = ask(request, "SELECT text_id, token_ids FROM text_token_ids")
    return {text: np.frombuffer(ids, "<u4").astype(np.int64) for text, ids in rows}


def values(request: IngestRequest) -> dict[tuple[int, int], NDArray[np.float64]]:
    """Return (text, layer) → (quantities, positions, neurons) of each text run by itself."""
    dtype = torch.bfloat16 if request.dtype == "bfloat16" else torch.float32
    forward = Forward(Checkpoint.open(Path(request.model)), CPU, dtype)
    layers = range(forward.architecture.n_layers)
    rows = ask(request, "SELECT layer, sign FROM neurons ORDER BY layer, neuron")
    sign = {n: np.array([s for layer, s in rows if layer == n]) for n in layers}
    found = {}
    for text, ids in token_ids(request).items():
        kept = Kept(layers)
        batch = Batch(torch.from_numpy(ids)[None], torch.tensor([len(ids)]), torch.tensor([0]))
        forward.run(batch, [kept])
        for layer, seen in kept.found.items():
            in_, post = (part[0].double().numpy() for part in (seen.in_, seen.post))
            if seen.gate is None:
                found[text, layer] = np.stack([in_, post])
            else:
                gate = seen.gate[0].double().numpy()
                found[text, layer] = np.stack([gate, in_ * sign[layer], post * sign[layer]])
    return found


TRACES = (
    "SELECT layer, neuron, text_id, position, start, n_tokens, trace FROM trace_rows"
    " JOIN neurons USING (neuron_id)"
)


def test_a_trace_has_the_values_of_the_forward_pass(traced: IngestRequest) -> None:
    expected = values(traced)
    tolerance = 2e-2 if traced.dtype == "bfloat16" else 1e-3
    rows = ask(traced, TRACES)
    assert len(rows) > 500
    for layer, neuron, text, _, start, n_tokens, packed in rows:
        whole = expected[text, layer][:, :, neuron]
        stored = np.frombuffer(packed, "<f2").reshape(len(whole), n_tokens).astype(np.float64)
        window = whole[:, start : start + n_tokens]
        scale = np.abs(whole).max()
        np.testing.assert_allclose(stored, window, rtol=tolerance, atol=tolerance * scale)


def test_a_window_is_clipped_at_the_borders_of_its_text(traced: IngestRequest) -> None:
    lengths = {text: len(ids) for text, ids in token_ids(traced).items()}
    clipped = 0
    for _, _, text, position, start, n_tokens, _ in ask(traced, TRACES):
        first, last = position - WINDOW[0], position + WINDOW[1]
        assert (start, start + n_tokens) == (max(first, 0), min(last + 1, lengths[text]))
        clipped += first < 0 or last >= lengths[text]
    assert clipped


def test_every_peak_has_one_trace_and_nothing_else_has(traced: IngestRequest) -> None:
    """Also where several lists have the same peak, and the controls'."""
    columns = "neuron_id, dataset_id, text_id, position"
    peaks = f"SELECT {columns} FROM example_rows UNION SELECT {columns} FROM control_example_rows"
    wanted = set(ask(traced, peaks))
    stored = ask(traced, f"SELECT {columns} FROM trace_rows")
    assert len(stored) == len(set(stored))
    assert set(stored) == wanted
    assert ask(traced, "SELECT count(*) FROM example_rows") > [(len(wanted),)]


def test_the_traced_value_is_that_of_the_example(traced: IngestRequest) -> None:
    rows = ask(
        traced,
        "SELECT e.value, t.trace, t.n_tokens, t.position - t.start FROM examples e"
        " JOIN trace_rows t USING (neuron_id, dataset_id, text_id, position)"
        " WHERE e.quantity = 'hook_post'",
    )
    assert rows
    for value, packed, n_tokens, place in rows:
        post = np.frombuffer(packed, "<f2").reshape(-1, n_tokens)[-1]
        assert post[place] == pytest.approx(value, rel=2e-2 if traced.dtype != "auto" else 1e-3)


def test_layers_go_through_together_as_far_as_memory_lasts(
    request_: IngestRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(request_)
    apart = replace(request_, database=str(tmp_path / "apart.db"))
    monkeypatch.setattr(ingest.stages.traces, "PEAKS_AT_ONCE", 1)
    run(apart)
    assert all_rows(Path(str(apart.database))) == all_rows(Path(str(request_.database)))


# --- for some neurons -------------------------------------------------------------------------


def test_an_expression_restricts_the_neurons(request_: IngestRequest) -> None:
    run(replace(request_, where="layer=1 freq>0.5"))
    wanted = ask(request_, "SELECT neuron_id FROM neuron_overview WHERE layer = 1 AND freq > 0.5")
    assert 0 < len(wanted) < 56
    stored = ask(request_, "SELECT DISTINCT neuron_id FROM trace_rows ORDER BY 1")
    assert stored == sorted(wanted)
    some = ask(request_, "SELECT * FROM trace_rows")
    run(request_)
    every = ask(request_, "SELECT * FROM trace_rows")
    assert set(some) < set(every)
    peaks = ask(request_, "SELECT count(DISTINCT neuron_id) FROM example_rows")
    assert ask(request_, "SELECT count(DISTINCT neuron_id) FROM trace_rows") == peaks


def test_other_neurons_keep_their_traces(request_: IngestRequest) -> None:
    run(replace(request_, where="layer=1"))
    before = ask(request_, "SELECT * FROM trace_rows")
    run(replace(request_, where="layer=0"))
    assert set(before) < set(ask(request_, "SELECT * FROM trace_rows"))


def test_an_expression_is_of_one_model(request_: IngestRequest) -> None:
    run(replace(request_, name="other", stages=("activations",)))
    run(replace(request_, where="layer=1"))
    of_neurons = "FROM trace_rows JOIN neurons USING (neuron_id)"
    sql = f"SELECT DISTINCT models.name {of_neurons} JOIN models USING (model_id)"
    assert ask(request_, sql) == [("tiny",)]


@pytest.mark.parametrize(
    ("where", "error", "message"),
    [
        ("freq>0.9999", IngestError, r"where 'freq>0\.9999'.*\btiny\b"),
        ("freq >< 2", ExpressionError, r" 7\b.*'<'"),
    ],
)
def test_an_expression_that_fits_nothing_is_said(
    request_: IngestRequest, where: str, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        run(replace(request_, where=where))
    assert ask(request_, "SELECT count(*) FROM trace_rows") == [(0,)]


def test_an_expression_without_traces_is_refused(request_: IngestRequest) -> None:
    with pytest.raises(UsageError, match=r"where.*traces.*stages"):
        run(replace(request_, stages=("activations",), where="layer=1"))


# --- again, without, afterwards ---------------------------------------------------------------


def test_a_rerun_writes_nothing(request_: IngestRequest) -> None:
    run(request_)
    before = all_rows(Path(str(request_.database)))
    run(request_)
    assert all_rows(Path(str(request_.database))) == before
    run(replace(request_, force=True, stages=("traces",)))
    assert all_rows(Path(str(request_.database))) == before


def test_another_window_is_refused_without_force(request_: IngestRequest) -> None:
    run(request_)
    wider = replace(request_, window=(9, 0))
    with pytest.raises(IngestError, match=r"window = \[4, 2\].*window = \[9, 0\].*force"):
        run(wider)
    run(replace(wider, force=True, stages=("traces",)))
    assert ask(request_, "SELECT max(n_tokens) FROM trace_rows") == [(10,)]


@pytest.mark.parametrize("stages", [("traces",), ("weights", "traces")])
def test_traces_without_activations_are_refused(
    request_: IngestRequest, stages: tuple[str, ...]
) -> None:
    with pytest.raises(IngestError, match=r"layer 0 .*stages='activations,traces'"):
        run(replace(request_, stages=stages))
    run(replace(request_, stages=("activations",), layers=(0,)))
    with pytest.raises(IngestError, match=r"layer 1 .*stages='activations,traces'"):
        run(replace(request_, stages=stages))
    run(replace(request_, stages=stages, layers=(0,)))
    sql = "SELECT DISTINCT layer FROM trace_rows JOIN neurons USING (neuron_id)"
    assert ask(request_, sql) == [(0,)]


def test_traces_of_another_dataset_are_refused(request_: IngestRequest) -> None:
    run(request_)
    other = replace(request_, dataset=str(text_file(TEXTS[:5])), stages=("traces",))
    with pytest.raises(IngestError, match=r"layer 0 .*stages='activations,traces'"):
        run(other)


def test_traces_go_when_activations_are_computed_anew(request_: IngestRequest) -> None:
    run(request_)
    run(replace(request_, where="layer=1"))
    run(replace(request_, force=True, stages=("activations",), layers=(1,)))
    sql = "SELECT DISTINCT layer FROM trace_rows JOIN neurons USING (neuron_id)"
    assert ask(request_, sql) == [(0,)]
    steps = "SELECT DISTINCT layer FROM ingest_steps WHERE stage LIKE 'traces%'"
    assert ask(request_, steps) == [(0,)]
    before = ask(request_, "SELECT count(*) FROM trace_rows")
    run(replace(request_, stages=("traces",)))
    assert ask(request_, "SELECT count(*) FROM trace_rows") > before


def test_without_peaks_there_are_no_traces(request_: IngestRequest) -> None:
    """A model of zeros has no example."""
    from safetensors.torch import load_file, save_file

    weights = Path(request_.model) / "model.safetensors"
    silent = Path(str(request_.database)).parent / "silent"
    tiny_model(silent)
    tensors = {
        name: tensor * (0 if "gate_proj" in name else 1)
        for name, tensor in load_file(weights).items()
    }
    save_file(tensors, silent / weights.name, metadata={"format": "pt"})
    run(replace(request_, model=str(silent), controls=False))
    assert ask(request_, "SELECT count(*) FROM example_rows") == [(0,)]
    assert ask(request_, "SELECT count(*) FROM trace_rows") == [(0,)]
