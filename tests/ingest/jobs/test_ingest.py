"""The job as a whole: what is stored, what is skipped, what is refused."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from neurondb.contracts.ingest import IngestRequest, Preprocessing
from neurondb.contracts.registry import load_job
from neurondb.errors import IngestError, UsageError
from tests.support.ingested import Silent
from tests.support.rows import all_rows
from tests.support.tiny_model import TEXTS, tiny_model
from tests.support.tiny_requests import ask, run


def test_every_stage_stores_rows(request_: IngestRequest) -> None:
    report = run(request_)
    vocabulary = {"tokens", "vocab", "properties", "logit_effects"}
    activations = {"texts", "activations", "peaks"}
    assert set(report.rows) == {"weights", "classes", *vocabulary, *activations, "descriptions"}
    assert all(report.rows.values())
    assert ask(request_, "SELECT count(*) FROM neuron_overview WHERE freq IS NOT NULL") == [(112,)]


def test_rerun_writes_nothing(request_: IngestRequest) -> None:
    run(request_)
    before = all_rows(Path(str(request_.database)))
    report = run(request_)
    assert not any(report.rows.values())
    assert all_rows(Path(str(request_.database))) == before


def test_force_redoes_everything_and_changes_nothing(request_: IngestRequest) -> None:
    first = run(request_)
    before = all_rows(Path(str(request_.database)))
    assert run(replace(request_, force=True)).rows == first.rows
    assert all_rows(Path(str(request_.database))) == before


def test_stages_one_by_one_equal_all_at_once(request_: IngestRequest, tmp_path: Path) -> None:
    run(request_)
    apart = replace(request_, database=str(tmp_path / "apart.db"))
    for stage in ("weights", "vocab", "activations"):
        run(replace(apart, stages=(stage,)))
    whole, parts = (all_rows(Path(str(r.database))) for r in (request_, apart))
    assert whole == parts


def test_other_settings_are_refused_without_force(request_: IngestRequest) -> None:
    run(request_)
    raw = replace(request_, preprocessing=Preprocessing.raw())
    with pytest.raises(IngestError, match=r"fold = True.*fold = False.*name.*force"):
        run(raw)
    run(replace(raw, force=True))


def test_another_model_of_the_same_name_is_refused(request_: IngestRequest, tmp_path: Path) -> None:
    run(request_)
    other = replace(request_, model=str(tiny_model(tmp_path / "other", seed=1)))
    stored = re.escape(request_.model)
    with pytest.raises(IngestError, match=rf"'tiny'.*{stored}\b.*name.*force"):
        run(other)


def test_force_replaces_a_model_of_the_same_name(request_: IngestRequest, tmp_path: Path) -> None:
    run(request_)
    other = replace(request_, model=str(tiny_model(tmp_path / "other", seed=1)))
    run(replace(other, force=True))
    fresh = replace(other, database=str(tmp_path / "fresh.db"))
    run(fresh)
    columns = "name, class, gate_in, in_out, freq, top_out_token"
    sql = f"SELECT {columns} FROM neuron_overview ORDER BY layer, neuron"
    assert ask(request_, sql) == ask(fresh, sql)
    assert ask(request_, "SELECT count(*) FROM models") == [(1,)]


def test_two_models_share_a_database(request_: IngestRequest) -> None:
    run(request_)
    run(replace(request_, name="again"))
    sql = "SELECT name, class, in_out, freq FROM neuron_overview WHERE model = '{}' ORDER BY 1"
    assert ask(request_, sql.format("tiny")) == ask(request_, sql.format("again"))
    assert ask(request_, "SELECT count(*), count(DISTINCT neuron_id) FROM neurons") == [(224, 224)]
    assert ask(request_, "SELECT count(*) FROM datasets") == [(1,)]


def test_thresholds_stand_side_by_side(request_: IngestRequest) -> None:
    run(replace(request_, thresholds=(0.5, 0.3)))
    run(replace(request_, thresholds=(0.2,)))
    counted = "SELECT threshold, count(*) FROM classes GROUP BY 1"
    assert ask(request_, counted) == [(0.2, 112), (0.3, 112), (0.5, 112)]
    assert ask(request_, "SELECT threshold FROM models") == [(0.2,)]


def test_the_shown_threshold_stays_unless_another_is_asked_for(request_: IngestRequest) -> None:
    run(replace(request_, thresholds=(0.3,), stages=("weights",)))
    run(request_)
    assert ask(request_, "SELECT DISTINCT threshold FROM classes") == [(0.3,)]
    assert ask(request_, "SELECT threshold FROM models") == [(0.3,)]


def test_a_refused_run_leaves_no_trace(request_: IngestRequest) -> None:
    run(request_)
    with pytest.raises(IngestError):
        run(replace(request_, preprocessing=Preprocessing.raw()))
    assert ask(request_, "SELECT count(*) FROM ingest_runs") == [(1,)]


def test_provenance_is_stored(request_: IngestRequest) -> None:
    run(request_)
    (row,) = ask(
        request_,
        "SELECT fold, center, center_gate, fold_post_norm, canonicalise, dtype, device, seed, "
        "finished_at IS NOT NULL, dataset_id FROM ingest_runs",
    )
    assert row == (1, 1, 0, 0, 1, "float32", "cpu", 0, 1, 1)


def test_max_tokens_takes_whole_texts(request_: IngestRequest) -> None:
    run(replace(request_, max_tokens=60))
    ((n_texts, n_tokens),) = ask(request_, "SELECT n_texts, n_tokens FROM datasets")
    assert isinstance(n_texts, int)
    assert isinstance(n_tokens, int)
    assert 0 < n_texts < 6
    assert n_tokens <= 60


def test_secondary_indexes_are_there_afterwards(request_: IngestRequest) -> None:
    run(request_)
    names = ask(request_, "SELECT name FROM sqlite_master WHERE type = 'index'")
    assert ("ix_top_token_rows_token",) in names


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"stages": ("nonsense",)}, "'nonsense'"),
        ({"stages": ("activations",)}, "dataset"),
    ],
)
def test_stages_that_cannot_be_are_refused(
    request_: IngestRequest, changed: dict[str, object], message: str
) -> None:
    asked = replace(request_, dataset=None, **changed)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=message):
        run(asked)


@pytest.mark.parametrize("layers", [(0,), (-1,), (1, 0)])
def test_layers_restrict_every_stage(request_: IngestRequest, layers: tuple[int, ...]) -> None:
    run(replace(request_, layers=layers))
    wanted = sorted({(layer % 2,) for layer in layers})
    for table in ("activation_stats", "cosines", "vocab_stat_rows", "example_rows"):
        sql = f"SELECT DISTINCT layer FROM {table} JOIN neurons USING (neuron_id) ORDER BY 1"
        assert ask(request_, sql) == wanted
    run(request_)
    sql = "SELECT DISTINCT layer FROM activation_stats JOIN neurons USING (neuron_id) ORDER BY 1"
    assert ask(request_, sql) == [(0,), (1,)]


def test_a_layer_that_is_not_there_is_said(request_: IngestRequest) -> None:
    with pytest.raises(IngestError, match=r"layer 2\b.*\b0 to 1\b"):
        run(replace(request_, layers=(2,)))


@pytest.mark.parametrize(("large", "dtype"), [(3e38, "float32"), (6e4, "float16")])
def test_what_is_no_number_is_left_out_and_told(
    request_: IngestRequest, tmp_path: Path, large: float, dtype: str
) -> None:
    """Neuron 5 of layer 1 has a gate that overflows; of float16 there is a way out."""
    broken = tiny_model(tmp_path / "broken")
    weights = load_file(broken / "model.safetensors")
    gate = weights["model.layers.1.mlp.gate_proj.weight"]
    gate[5] = gate[5].sign() * large
    save_file(weights, broken / "model.safetensors", metadata={"format": "pt"})
    progress = Silent()
    asked = replace(request_, model=str(broken), stages=("activations",), dtype=dtype)
    load_job("ingest")(asked, progress)
    sql = (
        "SELECT neuron, n_tokens, n_nonfinite FROM activation_stats JOIN neurons USING (neuron_id)"
    )
    ((neuron, n_tokens, n_nonfinite),) = ask(asked, f"{sql} WHERE n_nonfinite > 0")
    assert neuron == 5
    assert ask(asked, "SELECT n_tokens FROM tokenizations") == [(n_tokens + n_nonfinite,)]  # type: ignore[operator]
    (told,) = (note for note in progress.notes if "NaN" in note)
    assert re.match(rf"{n_nonfinite} .*\b1 .*\blayer 1\b", told)
    assert ("dtype=" in told) == (dtype == "float16")


def test_controls_and_labels_are_stored_where_they_are_asked_for(
    request_: IngestRequest, tmp_path: Path
) -> None:
    labelled = tmp_path / "labelled.jsonl"
    rows = [{"text": text, "of": "ab"[i % 2]} for i, text in enumerate(TEXTS[:5])]
    labelled.write_text("\n".join(map(json.dumps, [*rows, {"text": TEXTS[5]}])))
    asked = replace(
        request_, dataset=str(labelled), label_field="of", controls=True, stages=("activations",)
    )
    run(asked)
    sql = "SELECT label, count(*), count(DISTINCT n_tokens) FROM label_stats"
    assert ask(asked, f"{sql} JOIN labels USING (label_id) GROUP BY 1") == [
        ("a", 112, 1),
        ("b", 112, 1),
    ]
    by_label = (
        "SELECT neuron_id, sum(n_tokens * pre_mean), sum(n_tokens) FROM label_stats GROUP BY 1"
    )
    plain = replace(asked, name="five", max_texts=5, database=str(tmp_path / "five.db"))
    run(replace(plain, label_field="", controls=False))
    of_five = "SELECT neuron_id, n_tokens * pre_mean, n_tokens FROM activation_stats"
    mine, theirs = (np.array(ask(*one)) for one in ((asked, by_label), (plain, of_five)))
    np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-4)
    drawn = "SELECT kind, count(*) FROM control_examples GROUP BY 1 ORDER BY 1"
    n_random = 6 * 112
    assert ("random", n_random) in ask(asked, drawn)
    assert ask(asked, "SELECT count(*) FROM control_examples") == [(2 * n_random,)]
    assert ask(plain, drawn) == ask(plain, "SELECT * FROM label_stats") == []
