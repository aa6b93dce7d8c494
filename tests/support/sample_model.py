"""What the sample database holds of a whole model: its layers, tokens and runs."""

import struct

from neurondb.schema import codes, tables
from tests.support.sample_concepts import draw_held_neurons
from tests.support.sample_descriptions import draw_descriptions
from tests.support.sample_drawing import ModelDrawing
from tests.support.sample_explanations import draw_explanations
from tests.support.sample_facts import (
    ATTRIBUTION_RUN,
    CHANGED,
    CLASS_RUN,
    DATASET,
    EACH_RUN,
    LAYERS,
    METRICS,
    NEURONS,
    PROPERTIES,
    RANDOM_RUN,
    REGION,
    TEXT_TOKENS,
    TEXTS,
    THRESHOLD,
    WIDTH,
    Insertions,
    Row,
    Sample,
)
from tests.support.sample_families import draw_families
from tests.support.sample_heads import draw_heads
from tests.support.sample_neighbours import draw_neighbours
from tests.support.sample_neurons import draw_neuron
from tests.support.sample_peaks import draw_peaks
from tests.support.sample_runs import draw_runs


def draw_model(model_id: int, gated: bool, sample: Sample) -> Insertions:
    """Return the rows of one model, and remember in the sample what they are."""
    model = ModelDrawing(model_id, gated, sample)
    _describe(model)
    for i in range(NEURONS):
        draw_neuron(model, i)
    draw_peaks(model)
    _class_run(model)
    draw_held_neurons(model)
    draw_runs(model)
    draw_neighbours(model)
    draw_heads(model)
    draw_families(model)
    draw_descriptions(model)
    draw_explanations(model)
    return model.rows


def _describe(model: ModelDrawing) -> None:
    model.add(
        tables.models,
        model_id=model.model_id,
        name=model.name,
        source="here",
        architecture="llama" if model.gated else "gpt2",
        gated=model.gated,
        activation="silu" if model.gated else "relu",
        n_layers=LAYERS,
        d_model=16,
        d_mlp=WIDTH,
        d_vocab=len(model.vocabulary),
        fingerprint="f",
        first_neuron_id=model.first,
        threshold=THRESHOLD,
        dataset_id=DATASET,
        each_run_id=EACH_RUN + model.model_id,
        attribution_run_id=ATTRIBUTION_RUN + model.model_id,
    )
    _runs(model)
    for layer in range(LAYERS):
        model.add(tables.layers, model_id=model.model_id, layer=layer)
        for kind in ("gaussian", "mismatched"):
            for pair in ("gate_in", "gate_out", "in_out") if model.gated else ("in_out",):
                where = {"model_id": model.model_id, "layer": layer, "kind": kind, "pair": pair}
                model.add(tables.baselines, **where, low=-REGION, high=REGION)
    for token_id, token in enumerate(model.vocabulary):
        norms = {f"{b}_norm": round(model.more.uniform(0.5, 2), 2) for b in codes.BASES}
        key = {"model_id": model.model_id, "token_id": token_id}
        model.add(tables.tokens, **key, token=token, **norms)
        for basis in codes.BASES:
            model.sample.norms[model.name, token, basis] = norms[f"{basis}_norm"]
        for property_id, of_property in enumerate(PROPERTIES.values(), 1):
            if of_property(token):
                model.add(tables.token_property_rows, **key, property_id=property_id)
    for text_id in range(1, len(TEXTS) + 1) if model.gated else ():
        ids = [model.more.randrange(len(model.vocabulary)) for _ in range(TEXT_TOKENS)]
        model.add(
            tables.text_token_ids,
            model_id=model.model_id,
            text_id=text_id,
            token_ids=struct.pack(f"<{len(ids)}I", *ids),
        )


def _runs(model: ModelDrawing) -> None:
    """One run that removed neurons one at a time, and one that estimated it."""
    for first, kind in ((EACH_RUN, "each"), (ATTRIBUTION_RUN, "attribution")):
        run_id = first + model.model_id
        run = {"run_id": run_id, "set_id": run_id, "kind": kind, "mode": "zero"}
        model.add(tables.neuron_sets, set_id=run_id, definition=f"{kind} of {model.name}")
        where = {"model_id": model.model_id, "dataset_id": DATASET}
        size = {"n_texts": 5, "n_tokens": 60, "max_len": 64}
        more: Row = {"baseline_of": None, "seconds": 2.5}
        model.add(tables.ablation_runs, **run, **where, **size, **more)


def _class_run(model: ModelDrawing) -> None:
    """A run that removed the weakening neurons together, and one on random ones instead."""
    own = [n for n in model.sample.neurons if n["model"] == model.name]
    weakening = [n["neuron_id"] for n in own if n["class"] == "weakening"]
    others = [n["neuron_id"] for n in own if n["class"] == "undefined"]
    definitions = ("class='weakening'", "baseline of class='weakening'")
    for first, ids, definition in zip(
        (CLASS_RUN, RANDOM_RUN), (weakening, others), definitions, strict=True
    ):
        run_id = first + model.model_id
        run = {"run_id": run_id, "set_id": run_id, "mode": "zero", "max_len": 64}
        parent = None if first == CLASS_RUN else CLASS_RUN + model.model_id
        model.add(tables.neuron_sets, set_id=run_id, definition=definition)
        for neuron_id in ids:
            model.add(tables.neuron_set_members, set_id=run_id, neuron_id=neuron_id)
        where = {"model_id": model.model_id, "dataset_id": DATASET, "baseline_of": parent}
        more: Row = {"kind": "together", "n_texts": 5, "n_tokens": 60, "seconds": None}
        model.add(tables.ablation_runs, **run, **where, **more)
        _class_results(model, run_id)


def _class_results(model: ModelDrawing, run_id: int) -> None:
    for metric in METRICS:
        mean = round(model.effect.gauss(0, 1), 3)
        for filter_, n in (("all", 60), ("changed", 40)):
            values = dict.fromkeys(("mean", "q25", "q50", "q75", "min", "max"), mean)
            row = {"run_id": run_id, "metric": metric, "filter": filter_, "n": n, "std": 1.0}
            model.add(
                tables.ablation_results, **row, **values, clean_mean=2.0, ablated_mean=2 - mean
            )
        for rank in range(CHANGED):
            clean, ablated = 3.0, 3.0 + (-1) ** rank * (CHANGED - rank) / 8
            model.add(
                tables.changed_tokens,
                run_id=run_id,
                metric=metric,
                rank=rank,
                token_id=rank,
                text_id=1 + rank % len(TEXTS),
                position=rank % TEXT_TOKENS,
                clean=clean,
                ablated=ablated,
            )
        for low, high, n in ((-0.5, -0.25, 10), (0.25, 0.375, 30)):
            row = {"run_id": run_id, "metric": metric, "low": low, "high": high, "n": n}
            model.add(tables.ablation_histograms, **row)
