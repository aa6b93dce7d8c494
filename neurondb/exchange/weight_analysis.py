"""The weight analysis of the read-write papers, `data.pt`: read into a database, and written.

Gerstner & Schütze's code (sjgerstner/RW_functionalities, `main.py`, `weight_analysis_utils`) saves,
for a model, a dictionary by torch: `linout`, `gatelin` and `gateout`, the cosines of in and out,
gate and in, gate and out, tensors of (layers, neurons); `d_model`; `beta`, the ends of the Gaussian
region; `randomness`, those of the mismatched region of each layer, (layers, 2), of `gatelin` one
quantile of absolute values; `categories`, the class as three numbers a neuron, (a(in, out),
|a(gate, out)|, typical), or a(in, out) alone without gates; `category_stats`, neurons of each class
in each layer; and `norm_gate`, `norm_in`, `norm_out` in later versions.

Without `--refactor_glu` cosines are in the checkpoint's sign. They are made canonical here (METHODS
§1): cos(gate, in) ≥ 0, and cos(gate, out) turns with it; the sign is stored.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, select

from neurondb.contracts.registry import load_job
from neurondb.database import format_url, open_existing, translate_errors
from neurondb.errors import IngestError, NeuronDBError, TextError
from neurondb.exchange.imports.provenance import ImportedStage, compute_digest, store_import
from neurondb.exchange.imports.report import ImportReport
from neurondb.exchange.imports.target import ModelRequest, find_or_make_model, open_target
from neurondb.reading.arrays import (
    has_cosines,
    read_all_cosines,
    read_class_ids,
    read_neuron_values,
)
from neurondb.reading.models import Model, find_model
from neurondb.schema import tables
from neurondb.taxonomy import CLASSES, DEFAULT_THRESHOLD, classify
from neurondb.text_decoding import format_path
from neurondb.writing.ledger import StepWriter
from neurondb.writing.models import find_model as find_stored_model
from neurondb.writing.rows import Columns

FORM: Final = "weight-analysis"
LOAD, SAVE = "tensor-file", "tensor-file-save"
PAIRS: Final = {"gatelin": "gate_in", "gateout": "gate_out", "linout": "in_out"}
"""What the file calls two vectors → what we do."""
NORMS: Final = {"norm_gate": "gate_norm", "norm_in": "in_norm", "norm_out": "out_norm"}
_KNOWN: Final = frozenset((*PAIRS, *NORMS, "beta", "randomness", "categories", "category_stats"))
_TRIPLES: Final = (
    *((1, 1, 1), (1, 1, 0), (1, 0, 1), (1, 0, 0)),
    *((0, 1, 1), (0, 1, 0), (0, 0, 1)),
    *((-1, 1, 1), (-1, 1, 0), (-1, 0, 1), (-1, 0, 0)),
)
"""The file's numbers of each class, by our id."""
_UNDEFINED: Final = (0, 0, 1)
"""A neuron with a zero vector is orthogonal output there: its comparisons with NaN are false."""
Array = NDArray[np.float64]


@dataclass(frozen=True)
class WeightAnalysis:
    """What a file says of a model, in canonical sign; None where it does not say.

    Attributes:
        cosines: our name of a pair → (layers, neurons).
        signs: s of METHODS §1, 0 where the file's own sign is canonical.
        norms: our name of a norm → (layers, neurons).
        gaussian: the ends of the Gaussian region.
        mismatched: our name of a pair → (layers, 2), the ends of each layer's mismatched region.
        categories: the classes as the file has them.
    """

    cosines: Mapping[str, Array]
    signs: NDArray[np.int64]
    norms: Mapping[str, Array]
    gaussian: tuple[float, float] | None
    mismatched: Mapping[str, Array]
    categories: NDArray[np.int64] | None


def read_weight_analysis(file: Path) -> tuple[WeightAnalysis, list[str]]:
    """Return what a file has, and the names of what it has beside.

    Raises:
        TextError: when it cannot be read, or is none.
    """
    content, name = load_job(LOAD)(file), format_path(file)
    shape = getattr(content.get("linout"), "shape", ()) if isinstance(content, dict) else ()
    if len(shape) != 2:
        raise TextError(f"{name} is no data.pt of read-write analysis: it has no tensor 'linout'")
    cosines = {}
    for theirs, ours in (*PAIRS.items(), *NORMS.items()):
        if theirs in content:
            cosines[ours] = np.asarray(content[theirs], np.float64)
            if cosines[ours].shape != shape:
                raise TextError(f"{name}: {theirs!r} has another shape than 'linout'")
    norms = {ours: cosines.pop(ours) for ours in NORMS.values() if ours in cosines}
    signs = np.zeros(shape, np.int64)
    if "gate_in" in cosines and (cosines["gate_in"] < 0).any():
        signs = np.where(cosines["gate_in"] < 0, -1, 1)
        cosines = {p: c if p == "in_out" else c * signs for p, c in cosines.items()}
    beta, categories = content.get("beta"), content.get("categories")
    analysis = WeightAnalysis(
        cosines,
        signs,
        norms,
        None if beta is None else (float(beta[0]), float(beta[1])),
        {PAIRS[k]: _read_region(v) for k, v in (content.get("randomness") or {}).items()},
        None if categories is None else np.asarray(categories).astype(np.int64),
    )
    return analysis, [str(key) for key in content if key not in _KNOWN]


def _read_region(ends: Any) -> Array:
    """Return (layers, 2); one quantile of absolute values is both ends."""
    region = np.asarray(ends, np.float64)
    return np.stack([-region, region], axis=1) if region.ndim == 1 else region


def import_weight_analysis(location: str | None, file: Path, request: ModelRequest) -> ImportReport:
    """Store a `data.pt`: cosines, classes at τ = 0.5, norms and random regions; all or nothing.

    Raises:
        TextError: when it cannot be read.
        IngestError: when the model's own weights are ingested.
        DatabaseError: when the database cannot be written.
    """
    analysis, beside = read_weight_analysis(file)
    report = ImportReport(format_path(file.name))
    report.no_place.update(beside)
    n_layers, d_mlp = analysis.cosines["in_out"].shape
    with open_target(location) as connection:
        model = find_or_make_model(connection, request, (n_layers, d_mlp), report, whole=True)
        _refuse_unfit(model, analysis, file)
        writer = StepWriter(connection, find_stored_model(connection, model.model_id))
        for layer in range(n_layers):
            _write_layer(writer, layer, analysis)
        _write_regions(writer, model, analysis)
        report.rows["neurons"] = n_layers * d_mlp
        settings: dict[str, object] = {"imported": FORM, "file": compute_digest([file])}
        layers = range(n_layers)
        stages = [
            ImportedStage(stage, layers, settings, [d_mlp] * n_layers)
            for stage in ("weights", f"classes {DEFAULT_THRESHOLD}")
        ]
        store_import(connection, model, FORM, stages)
    n_other = _count_other_classes(analysis)
    if n_other:
        report.notes.append(
            f"{n_other:,} neurons have another class by their cosines than the file says"
        )
    return report


def _refuse_unfit(model: Model, analysis: WeightAnalysis, file: Path) -> None:
    if model.d_model:
        raise IngestError(
            f"the weights of {model.name} are ingested; what {format_path(file)} says of them "
            "would replace what was read from the checkpoint"
        )
    if analysis.cosines["in_out"].shape != (model.n_layers, model.d_mlp):
        n_layers, d_mlp = analysis.cosines["in_out"].shape
        raise TextError(
            f"{format_path(file)} is of {n_layers} layers of {d_mlp:,} neurons; {model.name} has "
            f"{model.n_layers} of {model.d_mlp:,}"
        )
    if model.gated != ("gate_in" in analysis.cosines):
        words = ("no gates", "gates") if model.gated else ("gates", "none")
        raise TextError(f"{format_path(file)} has {words[0]}, {model.name} has {words[1]}")


def _write_layer(writer: StepWriter, layer: int, analysis: WeightAnalysis) -> None:
    ids = writer.neuron_ids(layer)
    n = len(ids)
    of_layer = {pair: cosine[layer] for pair, cosine in analysis.cosines.items()}
    norms = {name: norm[layer] for name, norm in analysis.norms.items()}
    neurons: Columns = {
        "neuron_id": ids,
        "model_id": np.full(n, writer.model.model_id),
        "layer": np.full(n, layer),
        "neuron": np.arange(n),
        "sign": analysis.signs[layer],
        **norms,
    }
    if all(name in norms for name in ("in_norm", "out_norm")):
        neurons["penalty"] = sum(norm**2 for norm in norms.values())
    writer.replace_neurons(layer, neurons)
    writer.replace_layer(tables.cosines, layer, {"neuron_id": ids, **of_layer})
    class_ids = classify(of_layer.get("gate_in"), of_layer.get("gate_out"), of_layer["in_out"])
    classes = {
        "neuron_id": ids,
        "threshold": np.full(n, DEFAULT_THRESHOLD),
        "class_id": class_ids,
    }
    writer.replace_layer(tables.classes, layer, classes, threshold=DEFAULT_THRESHOLD)


def _write_regions(writer: StepWriter, model: Model, analysis: WeightAnalysis) -> None:
    rows: list[tuple[Any, ...]] = []
    for pair in analysis.cosines:
        for layer in range(model.n_layers):
            if analysis.gaussian is not None:
                rows.append((layer, "gaussian", pair, *analysis.gaussian, 0.0))
            if pair in analysis.mismatched:
                low, high = analysis.mismatched[pair][layer].tolist()
                rows.append((layer, "mismatched", pair, low, high, None))
    b = tables.baselines
    names = ("layer", "kind", "pair", "low", "high", "standard_error")
    columns = {name: [row[i] for row in rows] for i, name in enumerate(names)}
    columns["model_id"] = [model.model_id] * len(rows)
    of_model = b.c.model_id == model.model_id
    writer.connection.execute(b.delete().where(of_model))
    if rows:
        writer.insert(b, columns)


def _count_other_classes(analysis: WeightAnalysis) -> int:
    """Return how many neurons the file puts in another class than their cosines do."""
    if analysis.categories is None or analysis.categories.ndim != 3:
        return 0
    cosines = {pair: cosine.ravel() for pair, cosine in analysis.cosines.items()}
    ids = classify(cosines["gate_in"], cosines["gate_out"], cosines["in_out"])
    ours = np.array([*_TRIPLES, _UNDEFINED])[ids]
    return int((ours != analysis.categories.reshape(-1, 3)).any(axis=1).sum())


def export_weight_analysis(location: str | None, name: str, file: Path) -> int:
    """Write what a database has of a model's weights as a `data.pt`; return how many neurons.

    Raises:
        NeuronDBError: when the weights are not ingested, or the file is there.
    """
    if file.exists():
        raise NeuronDBError(f"{format_path(file)} is there already; give another name")
    engine = open_existing(location)
    try:
        with translate_errors(format_url(engine.url)), engine.connect() as connection:
            model = find_model(connection, name)
            if not has_cosines(connection, model):
                raise NeuronDBError(f"the weights of {model.name} are not in this database")
            content = _collect(connection, model)
    finally:
        engine.dispose()
    partial = file.with_name(f"{file.name}.partial")
    try:
        load_job(SAVE)(partial, content)
        partial.replace(file)
    finally:
        partial.unlink(missing_ok=True)
    return model.n_neurons


def _collect(connection: Connection, model: Model) -> dict[str, Any]:
    cosines = read_all_cosines(connection, model)
    of_model = {k: v for k, v in PAIRS.items() if model.gated or k == "linout"}
    content: dict[str, Any] = {"d_model": model.d_model}
    content |= {k: cosines[v].astype(np.float32) for k, v in of_model.items()}
    n = tables.neurons.c
    for theirs, ours in NORMS.items():
        (norm,) = read_neuron_values(connection, model, [n[ours]])
        if not np.isnan(norm).all():
            content[theirs] = np.asarray(norm, np.float32)
    ids = np.nan_to_num(read_class_ids(connection, model), nan=len(CLASSES)).astype(np.int64)
    triples = np.array([*_TRIPLES, _UNDEFINED])[ids]
    content["categories"] = triples if model.gated else triples[..., 0]
    content["category_stats"] = {
        triple if model.gated else triple[0]: (ids == class_id).sum(axis=1)
        for class_id, triple in enumerate(_TRIPLES)
        if model.gated or triple[1:] == (1, 1) or triple == (0, 0, 1)
    }
    return content | _collect_regions(connection, model, of_model)


def _collect_regions(
    connection: Connection, model: Model, pairs: Mapping[str, str]
) -> dict[str, Any]:
    b = tables.baselines.c
    rows = connection.execute(
        select(b.layer, b.kind, b.pair, b.low, b.high).where(b.model_id == model.model_id)
    )
    regions = {(row.kind, row.pair, row.layer): (row.low, row.high) for row in rows}
    found: dict[str, Any] = {}
    if ("gaussian", "in_out", 0) in regions:
        found["beta"] = regions["gaussian", "in_out", 0]
    randomness = {}
    for theirs, ours in pairs.items():
        ends = [regions.get(("mismatched", ours, layer)) for layer in range(model.n_layers)]
        if all(end is not None for end in ends):
            region = np.array(ends, np.float32)
            randomness[theirs] = region[:, 1] if ours == "gate_in" else region
    return found | ({"randomness": randomness} if randomness else {})
