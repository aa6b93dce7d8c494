"""Exports in the layouts of Neuronpedia, SAEDashboard, CircuitsVis and GLUScope."""

import gzip
import json
import re
import sqlite3
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from neurondb.errors import LackingModelError, NeuronDBError, UnknownNameError
from neurondb.exchange.exports.chosen import Choice
from neurondb.exchange.exports.circuitsvis import export_circuitsvis
from neurondb.exchange.exports.evidence import ChosenModel, open_chosen
from neurondb.exchange.exports.gluscope import export_gluscope
from neurondb.exchange.exports.neuronpedia import Publisher, export_neuronpedia
from neurondb.exchange.exports.sae_dashboard import export_sae_dashboard
from tests.support.ingested import Silent
from tests.support.sample_facts import Sample

LLAMA, GPT = "sample-llama", "sample-gpt"
WHERE = "(layer=1 neuron<3) or 3.5"
NAMES = ("1.0", "1.1", "1.2", "3.5")
FEATURE_FIELDS = {
    *("modelId", "layer", "index", "creatorId", "createdAt", "maxActApprox", "hasVector", "vector"),
    *("vectorLabel", "hookName", "topkCosSimIndices", "topkCosSimValues", "sourceSetName"),
    *("neuron_alignment_indices", "neuron_alignment_values", "neuron_alignment_l1"),
    *("correlated_neurons_indices", "correlated_neurons_pearson", "correlated_neurons_l1"),
    *("correlated_features_indices", "correlated_features_pearson", "correlated_features_l1"),
    *("neg_str", "neg_values", "pos_str", "pos_values", "frac_nonzero", "decoder_weights_dist"),
    *("freq_hist_data_bar_heights", "freq_hist_data_bar_values"),
    *("logits_hist_data_bar_heights", "logits_hist_data_bar_values"),
}
"""What `Feature` of SAEDashboard's neuronpedia_export.py has."""
DASHBOARD_FIELDS = {
    *("feature_index", "neuron_alignment_indices", "neuron_alignment_values"),
    *("neuron_alignment_l1", "correlated_neurons_indices", "correlated_neurons_l1"),
    *("correlated_neurons_pearson", "correlated_features_indices", "correlated_features_l1"),
    *("correlated_features_pearson", "neg_str", "neg_values", "pos_str", "pos_values"),
    *("frac_nonzero", "freq_hist_data_bar_values", "freq_hist_data_bar_heights"),
    *("logits_hist_data_bar_heights", "logits_hist_data_bar_values", "n_prompts_total"),
    *("n_tokens_in_prompt", "dataset", "decoder_weights_dist", "activations"),
}
"""What `NeuronpediaDashboardFeature.to_dict` of SAEDashboard has."""


@pytest.fixture
def chosen(sample: Sample) -> Iterator[ChosenModel]:
    with open_chosen(str(sample.path), LLAMA, Choice(WHERE)) as found:
        yield found


def ask(sample: Sample, sql: str, *values: Any) -> list[tuple[Any, ...]]:
    with sqlite3.connect(sample.path) as connection:
        return connection.execute(sql, values).fetchall()


def key_of(sample: Sample, name: str) -> int:
    """Return the id of a neuron of the gated model."""
    layer, neuron = map(int, name.split("."))
    return next(
        int(n["neuron_id"])
        for n in sample.neurons
        if (n["model"], n["layer"], n["neuron"]) == (LLAMA, layer, neuron)
    )


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in gzip.decompress(file.read_bytes()).splitlines()]


def test_neuronpedia_has_its_layout_and_our_numbers(
    sample: Sample, chosen: ChosenModel, tmp_path: Path
) -> None:
    done = export_neuronpedia(chosen, tmp_path / "out", Publisher(creator="me"), Silent())

    place = tmp_path / "out" / LLAMA
    assert sorted(path.name for path in place.iterdir()) == ["1", "3"]
    assert sorted(str(path.relative_to(place / "1")) for path in (place / "1").rglob("*.*")) == [
        *("activations/batch-0.jsonl.gz", "explanations/batch-0.jsonl.gz"),
        *("features/batch-0.jsonl.gz", "model.jsonl", "release.jsonl", "source.jsonl"),
        "sourceset.jsonl",
    ]
    features = [row for n in "13" for row in lines(place / n / "features/batch-0.jsonl.gz")]
    assert [f"{row['layer']}.{row['index']}" for row in features] == list(NAMES)
    assert all(row.keys() == FEATURE_FIELDS for row in features)
    activations = [row for n in "13" for row in lines(place / n / "activations/batch-0.jsonl.gz")]
    for feature in features:
        key = key_of(sample, f"{feature['layer']}.{feature['index']}")
        stored = ask(
            sample, "SELECT value FROM examples WHERE neuron_id = ? AND quantity = 'hook_post'", key
        )
        shown = [
            row
            for row in activations
            if (row["layer"], row["index"]) == (feature["layer"], feature["index"])
        ]
        peaks = [row["values"][row["qualifyingTokenIndex"]] for row in shown]
        assert sorted(peaks) == pytest.approx(sorted(v for (v,) in stored), abs=1e-4)
        assert feature["maxActApprox"] == pytest.approx(
            max([0.0, *(r["maxValue"] for r in shown)]), abs=1e-4
        )
        tokens = ask(
            sample,
            "SELECT t.token FROM top_tokens p JOIN tokens t ON t.token_id = p.token_id AND "
            "t.model_id = 1 WHERE neuron_id = ? AND vector = 'out' AND basis = 'unembed' AND "
            "direction = 'top'",
            key,
        )
        assert sorted(feature["pos_str"]) == sorted(token for (token,) in tokens)
        assert feature["pos_values"] == sorted(feature["pos_values"], key=lambda v: -abs(v))
    assert all(len(row["tokens"]) == len(row["values"]) for row in activations)
    assert (done.features, done.activations) == (4, len(activations))
    explained = [row for n in "13" for row in lines(place / n / "explanations/batch-0.jsonl.gz")]
    assert len(explained) == done.explanations > 0
    assert len({row["id"] for row in (*activations, *explained)}) == len(activations) + len(
        explained
    )


def test_neuronpedias_sources_and_batches_are_named_as_asked(
    chosen: ChosenModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("neurondb.exchange.exports.neuronpedia.BATCH", 2)
    publisher = Publisher("mlp-me", model_id="llama3")
    export_neuronpedia(chosen, tmp_path / "out", publisher, Silent())
    place = tmp_path / "out" / "llama3"
    assert len(lines(place / "1-mlp-me/features/batch-0.jsonl.gz")) == 2
    assert [row["index"] for row in lines(place / "1-mlp-me/features/batch-1.jsonl.gz")] == ["2"]
    source = json.loads((place / "1-mlp-me/source.jsonl").read_text())
    assert (source["id"], source["setName"], source["modelId"]) == ("1-mlp-me", "mlp-me", "llama3")


def test_sae_dashboard_has_its_batches(chosen: ChosenModel, tmp_path: Path) -> None:
    assert export_sae_dashboard(chosen, tmp_path / "out", Silent())[:2] == (2, 4)
    file = tmp_path / f"out/{LLAMA}_neurondb_blocks.1.mlp.hook_post_64/batch-0.json"
    batch = json.loads(file.read_text())
    assert batch.keys() == {"model_id", "layer", "sae_set", "sae_id_suffix", "features"}
    assert (batch["model_id"], batch["layer"]) == (LLAMA, 1)
    assert [feature["feature_index"] for feature in batch["features"]] == [0, 1, 2]
    for feature in batch["features"]:
        assert feature.keys() == DASHBOARD_FIELDS
        heights, values = (feature[f"freq_hist_data_bar_{n}"] for n in ("heights", "values"))
        assert len(heights) == len(values) > 0
        assert values == sorted(values)
        assert all(
            {"bin_min", "bin_max", "bin_contains", "tokens", "values"} <= one.keys()
            for one in feature["activations"]
        )


class Page(HTMLParser):
    """The texts of a page's examples, and what is handed to CircuitsVis."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.neurons: list[str] = []
        self.arguments: list[dict[str, Any]] = []
        self._is_data = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        assert not {"src", "href"} & given.keys()
        self._is_data = tag == "script"
        assert tag != "script" or given["type"] == "application/json"
        if tag == "section":
            self.neurons.append(str(given["id"]))

    def handle_data(self, data: str) -> None:
        if self._is_data:
            self.arguments.append(json.loads(data))
            self._is_data = False


def test_circuitsvis_is_one_file_that_asks_for_nothing(
    sample: Sample, chosen: ChosenModel, tmp_path: Path
) -> None:
    n = export_circuitsvis(chosen, tmp_path / "page.html", Silent())
    html = (tmp_path / "page.html").read_text()
    page = Page(html)
    assert page.neurons == [f"n{name}" for name in NAMES]
    assert len(page.arguments) == n > 10
    assert not re.search(r"https?://|url\(|@import", html)
    assert "\x1b" not in html
    for one in page.arguments:
        assert len(one["tokens"]) == len(one["activations"])
        assert all(len(layers) == 1 and len(layers[0]) == 1 for layers in one["activations"])


def test_gluscope_has_its_columns_rows_and_numbers(sample: Sample, tmp_path: Path) -> None:
    with open_chosen(str(sample.path), LLAMA, Choice()) as every:
        assert export_gluscope(every, tmp_path / "out", Silent()) == 4 * 64
    table = pq.read_table(tmp_path / "out/data/train-00000-of-00001.parquet")
    cases = ("gate+_in+", "gate+_in-", "gate-_in+", "gate-_in-")
    quantities = ("hook_post", "hook_pre_linear", "hook_pre", "swish")
    means = {f"{case}_{quantity}_mean" for case in cases for quantity in quantities}
    lists = {
        f"{case}_{quantity}_max_{kind}"
        for case in cases
        for quantity in quantities
        for kind in ("values", "indices")
        if quantity != "swish" or case.startswith("gate-")
    }
    frequencies = {f"{case}_freq" for case in cases}
    assert set(table.column_names) == {"layer", "neuron"} | frequencies | means | lists
    rows = table.to_pylist()
    assert [(row["layer"], row["neuron"]) for row in rows] == [
        (i, j) for i in range(4) for j in range(64)
    ]
    for row in rows[64:70]:
        key = key_of(sample, f"{row['layer']}.{row['neuron']}")
        for case in cases:
            ((freq, mean),) = ask(
                sample,
                "SELECT freq, pre_linear_mean FROM sign_cases "
                "WHERE neuron_id = ? AND sign_case = ?",
                *(key, case),
            )
            assert row[f"{case}_freq"] == pytest.approx(freq, rel=1e-6)
            assert row[f"{case}_hook_pre_linear_mean"] == (
                None if mean is None else pytest.approx(mean, rel=1e-6)
            )
            for quantity in ("hook_post", "hook_pre"):
                stored = ask(
                    sample,
                    "SELECT t.ordinal, e.value FROM examples e JOIN texts t USING (text_id) WHERE "
                    "e.neuron_id = ? AND sign_case = ? AND quantity = ? ORDER BY rank",
                    *(key, case, quantity),
                )
                stem = f"{case}_{quantity}_max"
                assert row[f"{stem}_indices"] == [ordinal for ordinal, _ in stored]
                assert row[f"{stem}_values"] == pytest.approx([v for _, v in stored], rel=1e-6)


def test_what_cannot_be_exported_is_said_in_a_line(
    sample: Sample, chosen: ChosenModel, tmp_path: Path
) -> None:
    with (
        open_chosen(str(sample.path), GPT, Choice()) as ungated,
        pytest.raises(LackingModelError, match="sample-gpt has no gate"),
    ):
        export_gluscope(ungated, tmp_path / "gpt", Silent())
    with (
        pytest.raises(UnknownNameError, match="no neuron fits 'in_norm<0'"),
        open_chosen(str(sample.path), LLAMA, Choice("in_norm<0")),
    ):
        raise AssertionError
    (tmp_path / "there").mkdir()
    with pytest.raises(NeuronDBError, match="is there already"):
        export_sae_dashboard(chosen, tmp_path / "there", Silent())
    assert [path.name for path in tmp_path.iterdir()] == ["there"]


def test_a_stopped_export_leaves_nothing(
    chosen: ChosenModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("neurondb.exchange.exports.neuronpedia.make_dashboard", stop)
    with pytest.raises(KeyboardInterrupt):
        export_neuronpedia(chosen, tmp_path / "out", Publisher(), Silent())
    assert list(tmp_path.iterdir()) == []
