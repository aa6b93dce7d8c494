"""Neuronpedia's directory: JSON lines of features, activations and explanations, gzipped.

The layout is that of its exports in `neuronpedia-datasets/v1` and of what its tools upload
(`utils/neuronpedia-utils/neuronpedia_utils/export-data.py` of hijohnnylin/neuronpedia, and
`sae_dashboard/neuronpedia/neuronpedia_export.py` of jbloomAus/SAEDashboard):

    MODEL/SOURCE/release.jsonl, model.jsonl, sourceset.jsonl, source.jsonl
    MODEL/SOURCE/features/batch-N.jsonl.gz          a row a neuron
    MODEL/SOURCE/activations/batch-N.jsonl.gz       a row an example
    MODEL/SOURCE/explanations/batch-N.jsonl.gz      a row a description or explanation

SOURCE is the layer, `6`, as Neuronpedia calls the neurons of an MLP, or `6-NAME` for a set of that
name. Explanations are the stored description (type `neurondb-describe`) and annotations whose key
says that they explain.
"""

import gzip
import hashlib
import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from neurondb import __version__
from neurondb.contracts.progress import Progress
from neurondb.exchange.exports.dashboards import make_dashboard
from neurondb.exchange.exports.evidence import EXPLAINING_KEYS, ChosenModel, Evidence
from neurondb.exchange.parquet.exporting import write_folder
from neurondb.reading.models import Model
from neurondb.reading.provenance import find_reading
from neurondb.writing.copying import strip_directory

BATCH: Final = 1024
"""Neurons of a file, as in Neuronpedia's own exports."""
PUBLIC_CREATOR: Final = "clkht01d40000jv08hvalcvly"
"""The id of the creator that Neuronpedia's tools write where none is given."""
_KINDS: Final = ("features", "activations", "explanations")
_NOTES: Final = (
    "hook_post in canonical sign (cos(gate, in) is not negative); where values token by token are "
    "not stored, those beside the peak are 0"
)
_DESCRIBED: Final = "neurondb-describe"


@dataclass(frozen=True)
class Publisher:
    """Who exports, and what the neurons are called there.

    Attributes:
        source_set: name of the source set; empty for the neurons of an MLP, whose source is the
            number of the layer.
        creator: the name that the release tells.
        creator_id: its id at Neuronpedia.
        model_id: what Neuronpedia calls the model; None is the model's name.
    """

    source_set: str = ""
    creator: str = ""
    creator_id: str = PUBLIC_CREATOR
    model_id: str | None = None

    def name_source(self, layer: int) -> str:
        """Return the id of a layer's source."""
        return f"{layer}-{self.source_set}" if self.source_set else str(layer)


@dataclass
class Exported:
    """What was exported, in rows."""

    features: int = 0
    activations: int = 0
    explanations: int = 0
    peaks_only: int = 0
    """Activations of which the peak's value alone is known."""


def export_neuronpedia(
    chosen: ChosenModel, folder: Path, publisher: Publisher, progress: Progress
) -> Exported:
    """Write the chosen neurons into a new folder.

    Raises:
        NeuronDBError: when the folder is there, or cannot be written.
    """
    with write_folder(folder) as partial:
        writer = _Writer(chosen, partial, publisher)
        with (
            closing(writer),
            progress.stage("exporting", chosen.n_neurons, "neurons") as advance,
        ):
            for evidence in chosen.read():
                writer.add(evidence)
                advance(1, evidence.name)
    return writer.exported


class _Batch:
    """One gzipped file of rows."""

    def __init__(self, file: Path, batch: int) -> None:
        self.batch = batch
        self._file = file.open("wb")
        # without a name or a time in it, the same rows are the same bytes
        self.stream = gzip.GzipFile("", "wb", 5, self._file, mtime=0)

    def close(self) -> None:
        """Write what is not written yet."""
        self.stream.close()
        self._file.close()


class _Writer:
    """Writes rows into the files of their source, a batch after another."""

    def __init__(self, chosen: ChosenModel, folder: Path, publisher: Publisher) -> None:
        self._publisher = publisher
        self._model_id = publisher.model_id or chosen.model.name
        self._folder = folder / self._model_id
        reading = find_reading(chosen.connection, chosen.model)
        self._max_len = 0 if reading is None else reading.max_len or 0
        self._now = datetime.now(UTC).isoformat()
        self._written: dict[str, int] = {}
        """Source → how many of its neurons are written."""
        self._open: dict[tuple[str, str], _Batch] = {}
        self.exported = Exported()

    def add(self, evidence: Evidence) -> None:
        """Write what is known of a neuron."""
        source = self._publisher.name_source(evidence.layer)
        if source not in self._written:
            self._written[source] = 0
            self._write_source(source, evidence)
        batch = self._written[source] // BATCH
        self._written[source] += 1
        rows = {
            "features": [self._make_feature(source, evidence)],
            "activations": list(self._make_activations(source, evidence)),
            "explanations": list(self._make_explanations(source, evidence)),
        }
        for kind in _KINDS:
            stream = self._choose_file(source, kind, batch)
            for row in rows[kind]:
                stream.write(_write_line(row))
        self.exported.features += 1
        self.exported.activations += len(rows["activations"])
        self.exported.explanations += len(rows["explanations"])
        self.exported.peaks_only += sum(not one.whole for one in evidence.passages)

    def _choose_file(self, source: str, kind: str, batch: int) -> gzip.GzipFile:
        """Return the file of a batch, after closing the one of the batch before."""
        found = self._open.get((source, kind))
        if found is None or found.batch != batch:
            if found is not None:
                found.close()
            place = self._folder / source / kind
            place.mkdir(exist_ok=True)
            found = _Batch(place / f"batch-{batch}.jsonl.gz", batch)
            self._open[source, kind] = found
        return found.stream

    def close(self) -> None:
        """Close what is open."""
        for batch in self._open.values():
            batch.close()

    def _write_source(self, source: str, evidence: Evidence) -> None:
        place = self._folder / source
        place.mkdir(parents=True)
        for name, row in self._describe(source, evidence).items():
            (place / f"{name}.jsonl").write_bytes(_write_line(row))

    def _describe(self, source: str, evidence: Evidence) -> dict[str, dict[str, Any]]:
        model, creator = evidence.model, self._publisher.creator
        ours = {"creatorId": self._publisher.creator_id, "createdAt": self._now}
        sets = self._publisher.source_set or "neurons"
        dataset = None if evidence.activations is None else evidence.activations.dataset
        return {
            "release": {
                "name": f"{self._model_id}-{sets}",
                "description": f"Neurons of {model.name}, by NeuronDB {__version__}",
                "descriptionShort": f"Neurons of {model.name}",
                "urls": [],
                "visibility": "PUBLIC",
                "creatorName": creator,
                "creatorNameShort": creator,
                **ours,
            },
            "model": self._describe_model(model) | ours | {"updatedAt": self._now},
            "sourceset": {
                "modelId": self._model_id,
                "name": sets,
                "description": "MLP neurons",
                "type": "mlp",
                "hasDashboards": True,
                "visibility": "PUBLIC",
                "creatorName": creator,
                "releaseName": f"{self._model_id}-{sets}",
                **ours,
            },
            "source": {
                "id": source,
                "modelId": self._model_id,
                "setName": sets,
                "hasDashboards": True,
                "visibility": "PUBLIC",
                "dataset": None if dataset is None else dataset.name,
                "num_prompts": None if dataset is None else dataset.n_texts,
                "num_tokens_in_prompt": self._max_len or None,
                "notes": _NOTES,
                **ours,
            },
        }

    def _describe_model(self, model: Model) -> dict[str, Any]:
        return {
            "id": self._model_id,
            "displayName": model.name,
            "displayNameShort": model.name,
            "instruct": "instruct" in model.name or model.name.endswith("-it"),
            "layers": model.n_layers,
            "neuronsPerLayer": model.d_mlp,
            "dimension": model.d_model,
            "owner": "",
            "visibility": "PUBLIC",
            "website": _find_website(model),
        }

    def _identify(self, source: str, evidence: Evidence) -> dict[str, str]:
        return {"modelId": self._model_id, "layer": source, "index": str(evidence.neuron)}

    def _make_feature(self, source: str, evidence: Evidence) -> dict[str, Any]:
        found = make_dashboard(evidence, self._max_len)
        largest = max((max(passage.values) for passage in evidence.passages), default=0.0)
        dropped = ("feature_index", "activations", "n_prompts_total", "n_tokens_in_prompt")
        kept = {name: found[name] for name in found if name not in (*dropped, "dataset")}
        return {
            **self._identify(source, evidence),
            "creatorId": self._publisher.creator_id,
            "createdAt": self._now,
            "maxActApprox": max(largest, 0.0),
            "hasVector": False,
            "vector": [],
            "vectorLabel": None,
            "hookName": f"blocks.{evidence.layer}.mlp.hook_post",
            "topkCosSimIndices": [],
            "topkCosSimValues": [],
            "sourceSetName": self._publisher.source_set or None,
            **kept,
        }

    def _make_activations(self, source: str, evidence: Evidence) -> Iterator[dict[str, Any]]:
        shown = make_dashboard(evidence, self._max_len)["activations"]
        for number, (passage, one) in enumerate(zip(evidence.passages, shown, strict=True)):
            values = one["values"]
            yield {
                "id": self._make_id(source, evidence.neuron, "activation", number),
                **self._identify(source, evidence),
                "tokens": one["tokens"],
                "values": values,
                "maxValue": max(values),
                "maxValueTokenIndex": values.index(max(values)),
                "minValue": min(values),
                "qualifyingTokenIndex": one["qualifying_token_index"],
                "binMin": one["bin_min"],
                "binMax": one["bin_max"],
                "binContains": one["bin_contains"],
                "dataSource": passage.sign_case,
                "dataIndex": None if passage.text is None else str(passage.text),
                "dfaValues": [],
                "lossValues": [],
                "creatorId": self._publisher.creator_id,
                "createdAt": self._now,
            }

    def _make_explanations(self, source: str, evidence: Evidence) -> Iterator[dict[str, Any]]:
        said = [(evidence.description, _DESCRIBED, "neurondb")] if evidence.description else []
        said += [
            (one.value, one.key, one.source)
            for one in evidence.annotations
            if one.key in EXPLAINING_KEYS and one.value
        ]
        for number, (text, kind, author) in enumerate(said):
            yield {
                "id": self._make_id(source, evidence.neuron, "explanation", number),
                **self._identify(source, evidence),
                "authorId": self._publisher.creator_id,
                "description": text,
                "embedding": None,
                "typeName": kind,
                "explanationModelName": author,
                "umap_x": 0,
                "umap_y": 0,
                "umap_cluster": 0,
                "umap_log_feature_sparsity": 0,
            }

    def _make_id(self, source: str, neuron: int, kind: str, number: int) -> str:
        """Return an id of 25 characters, the same for every export of the same thing."""
        what = json.dumps([self._model_id, source, neuron, kind, number])
        return "c" + hashlib.sha256(what.encode()).hexdigest()[:24]


def _find_website(model: Model) -> str | None:
    """Return the hub's page of a model that was read from there."""
    is_hub_id = model.source.count("/") == 1 and strip_directory(model.source) == model.source
    return f"https://huggingface.co/{model.source}" if is_hub_id else None


def _write_line(row: dict[str, Any]) -> bytes:
    return json.dumps(row, ensure_ascii=False, allow_nan=False).encode() + b"\n"
