"""SAEDashboard's batches: the JSON files that its Neuronpedia runner writes, a folder a layer.

The layout is that of `neuronpedia_runner.py` and `neuronpedia_dashboard.py` in
`sae_dashboard/neuronpedia` of jbloomAus/SAEDashboard, which Neuronpedia's converter reads:

    MODEL_SET_blocks.L.mlp.hook_post_D/batch-N.json

with D the neurons of the layer, and in each file `model_id`, `layer`, `sae_set`, `sae_id_suffix`
and `features`, a dictionary a neuron (`dashboards.py`).
"""

import json
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any, Final, NamedTuple

from neurondb.contracts.progress import Progress
from neurondb.exchange.exports.dashboards import make_dashboard
from neurondb.exchange.exports.evidence import ChosenModel, Evidence
from neurondb.exchange.parquet.exporting import write_folder
from neurondb.reading.provenance import find_reading

BATCH: Final = 128
"""Neurons of a file, as many as the runner puts into one."""
SET: Final = "neurondb"


class Exported(NamedTuple):
    """What was exported: files, neurons, and examples of which only the peak's value is known."""

    files: int
    neurons: int
    peaks_only: int


def export_sae_dashboard(
    chosen: ChosenModel, folder: Path, progress: Progress, name: str = SET
) -> Exported:
    """Write the chosen neurons into a new folder.

    Raises:
        NeuronDBError: when the folder is there, or cannot be written.
    """
    reading = find_reading(chosen.connection, chosen.model)
    max_len = 0 if reading is None else reading.max_len or 0
    n_files = n_neurons = n_peaks = 0
    with (
        write_folder(folder) as partial,
        progress.stage("exporting", chosen.n_neurons, "neurons") as advance,
    ):
        for layer, batch, found in _divide(chosen.read()):
            features = [make_dashboard(evidence, max_len) for evidence in found]
            place = partial / _name_folder(chosen, name, layer)
            place.mkdir(exist_ok=True)
            content = {
                "model_id": chosen.model.name,
                "layer": layer,
                "sae_set": name,
                "sae_id_suffix": None,
                "features": features,
            }
            _write_json(place / f"batch-{batch}.json", content)
            n_files, n_neurons = n_files + 1, n_neurons + len(features)
            n_peaks += sum(not passage.whole for one in found for passage in one.passages)
            advance(len(features), f"layer {layer}")
    return Exported(n_files, n_neurons, n_peaks)


def _divide(neurons: Iterator[Evidence]) -> Iterator[tuple[int, int, list[Evidence]]]:
    """Yield layer, number of the batch in it, and the neurons of the batch."""
    numbers: dict[int, int] = {}
    for layer, of_layer in groupby(neurons, lambda one: one.layer):
        waiting: list[Evidence] = []
        for evidence in of_layer:
            waiting.append(evidence)
            if len(waiting) == BATCH:
                yield layer, numbers.setdefault(layer, 0), waiting
                numbers[layer] += 1
                waiting = []
        if waiting:
            yield layer, numbers.setdefault(layer, 0), waiting
            numbers[layer] += 1


def _name_folder(chosen: ChosenModel, name: str, layer: int) -> str:
    model = chosen.model
    return f"{model.name}_{name}_blocks.{layer}.mlp.hook_post_{model.count_neurons(layer)}"


def _write_json(file: Path, content: dict[str, Any]) -> None:
    file.write_text(json.dumps(content, ensure_ascii=False, allow_nan=False), encoding="utf-8")
