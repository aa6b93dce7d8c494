"""What the sample database holds of neighbours and connections: those of vectors drawn at random.

The lists are worked out by sorting all cosines.
"""

import numpy as np
from numpy.typing import NDArray

from neurondb.schema import codes, tables
from tests.support.sample_drawing import ModelDrawing
from tests.support.sample_facts import LAYERS, NEURONS, WIDTH, Row

NEIGHBOUR_RUN = 120
"""Before the number of the model."""
N_TOP, D_DRAWN, RANDOM_STD, BEYOND = 2, 8, 0.25, 0.9
QUANTILES = (0.0, 0.01, 0.25, 0.5, 0.75, 0.99, 1.0)
TWIN, ANTIPODE = 3 * WIDTH + 9, WIDTH + 7
"""Neurons whose out is twice that of neuron 0.5, and its opposite."""

Cosines = NDArray[np.float64]


def draw_neighbours(model: ModelDrawing) -> None:
    """Add a run, and the lists of all neurons."""
    chance = np.random.default_rng(model.model_id)
    vectors = codes.VECTORS if model.gated else codes.VECTORS[1:]
    drawn = {vector: chance.normal(size=(NEURONS, D_DRAWN)) for vector in vectors}
    drawn["out"][TWIN], drawn["out"][ANTIPODE] = 2 * drawn["out"][5], -drawn["out"][5]
    unit = {name: rows / np.linalg.norm(rows, axis=1)[:, None] for name, rows in drawn.items()}
    _describe(model)
    rows = {row["neuron_id"]: row for row in model.sample.neurons if row["model"] == model.name}
    for vector in codes.VECTORS:
        columns = {f"{word}_{vector}": None for word in ("nearest", "opposite")}
        for row in rows.values():
            row.update(columns)
    for vector in vectors:
        _list_neighbours(model, vector, unit[vector] @ unit[vector].T, rows)
    for vector in vectors[:-1]:
        _list_connections(model, vector, unit["out"] @ unit[vector].T)


def _describe(model: ModelDrawing) -> None:
    run_id = NEIGHBOUR_RUN + model.model_id
    model.add(
        tables.neighbour_runs,
        run_id=run_id,
        model_id=model.model_id,
        n_top=N_TOP,
        threshold=BEYOND,
        n_directions=20,
        seed=0,
        random_std=RANDOM_STD,
        n_cut=0,
        seconds=1.5,
        request=f"neighbours {run_id}",
        dtype="float32",
        device="cpu",
        tool_version="0",
        torch_version="2",
        fingerprint="f",
        created_at="2026-01-03T04:05:06+00:00",
    )
    for vector_id, vector in enumerate(codes.VECTORS):
        if vector == "gate" and not model.gated:
            continue
        kinds = [("neighbour", -1)]
        if vector != "out":
            kinds += [("downstream", layer) for layer in range(LAYERS - 1)]
            kinds += [("upstream", layer) for layer in range(1, LAYERS)]
        for relation, layer in kinds:
            for quantile in QUANTILES:
                key: Row = {"run_id": run_id, "relation": relation, "vector_id": vector_id}
                level = {"layer": layer, "quantile": quantile, "cosine": 0.6 + quantile / 8}
                model.add(tables.neighbour_baselines, **key, **level)


def _list_neighbours(
    model: ModelDrawing, vector: str, cosines: Cosines, rows: dict[int, Row]
) -> None:
    for i, of_one in enumerate(cosines.round(4)):
        for side, word in ((1, "nearest"), (-1, "opposite")):
            order = [int(j) for j in np.argsort(-side * of_one, kind="stable") if j != i]
            n = max(N_TOP, int((side * of_one[order] >= BEYOND).sum()))
            for rank, j in enumerate(order[:n]):
                model.add(
                    tables.neighbour_rows,
                    neuron_id=model.first + i,
                    vector_id=codes.VECTORS.index(vector),
                    side=side,
                    rank=rank,
                    other_id=model.first + j,
                    cosine=float(of_one[j]),
                )
            rows[model.first + i][f"{word}_{vector}"] = float(of_one[order[0]])


def _list_connections(model: ModelDrawing, vector: str, cosines: Cosines) -> None:
    layer = np.arange(NEURONS) // WIDTH
    allowed = layer[:, None] < layer
    cosines = cosines.round(4)
    found: dict[tuple[int, int], list[int | None]] = {}
    for side in (1, -1):
        masked = np.where(allowed & (side * cosines > 0), side * cosines, -np.inf)
        for place, (axis, of_side) in enumerate(((1, masked), (0, masked.T))):
            for i, of_one in enumerate(of_side):
                for rank, j in enumerate(np.argsort(-of_one, kind="stable")[:N_TOP].tolist()):
                    if np.isfinite(of_one[j]):
                        pair = (i, j) if axis else (j, i)
                        found.setdefault(pair, [None, None])[place] = rank
    for (writer, reader), ranks in sorted(found.items()):
        model.add(
            tables.connection_rows,
            writer_id=model.first + writer,
            vector_id=codes.VECTORS.index(vector),
            reader_id=model.first + reader,
            cosine=float(cosines[writer, reader]),
            downstream_rank=ranks[0],
            upstream_rank=ranks[1],
        )
    for writer in range(LAYERS):
        for reader in range(writer + 1, LAYERS):
            block = cosines[layer == writer][:, layer == reader]
            model.add(
                tables.connection_layers,
                run_id=NEIGHBOUR_RUN + model.model_id,
                vector_id=codes.VECTORS.index(vector),
                writer_layer=writer,
                reader_layer=reader,
                mean=float(block.mean()),
                rms=float(np.sqrt((block**2).mean())),
                smallest=float(block.min()),
                largest=float(block.max()),
            )
