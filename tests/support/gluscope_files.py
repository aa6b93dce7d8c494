"""GLUScope's files of a small random model, computed from activations as its code says.

The activations are drawn, not computed by a model: what is tested is where each number goes.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

CASES = ("gate+_in+", "gate+_in-", "gate-_in+", "gate-_in-")
QUANTITIES = ("hook_post", "hook_pre_linear", "hook_pre", "swish")
LAYERS, NEURONS, TEXTS, LENGTH, K = 3, 5, 24, 40, 16
N_TOKENS = TEXTS * LENGTH


@dataclass(frozen=True)
class Drawn:
    """The activations behind a dataset: (texts, positions, layers, neurons), float32."""

    gate: NDArray[np.float32]
    in_: NDArray[np.float32]

    def quantity(self, name: str) -> NDArray[np.float32]:
        swish = self.gate / (1 + np.exp(-self.gate))
        by_name = {"hook_pre": self.gate, "hook_pre_linear": self.in_, "swish": swish}
        return np.asarray(by_name.get(name, swish * self.in_), np.float32)

    def inside(self, case: str) -> NDArray[np.bool_]:
        gate = self.gate > 0 if case.startswith("gate+") else self.gate < 0
        return gate & (self.in_ > 0 if case.endswith("in+") else self.in_ < 0)


def draw(seed: int = 0) -> Drawn:
    """Draw activations; neuron 0.0 never has a positive gate, and 0.1 is in no case at all."""
    rng = np.random.default_rng(seed)
    shape = (TEXTS, LENGTH, LAYERS, NEURONS)
    # Rare cases, so that there are small counts: neurons differ in how often they are positive.
    shift = rng.normal(0, 1.5, (LAYERS, NEURONS))
    gate = (rng.normal(size=shape) + shift).astype(np.float32)
    in_ = (rng.normal(size=shape) + shift[::-1]).astype(np.float32)
    gate[..., 0, 0] = -np.abs(gate[..., 0, 0])
    gate[..., 0, 1] = 0
    return Drawn(gate, in_)


def make_columns(drawn: Drawn) -> dict[str, Any]:
    """Return the columns of the activation dataset, as `summary_dict_to_hf_dataset.py` does."""
    columns: dict[str, Any] = {
        "layer": np.repeat(np.arange(LAYERS), NEURONS),
        "neuron": np.tile(np.arange(NEURONS), LAYERS),
    }
    for case in CASES:
        inside = drawn.inside(case)
        count = inside.sum((0, 1)).astype(np.float32)
        columns[f"{case}_freq"] = (count / np.float32(N_TOKENS)).ravel()
        for name in QUANTITIES:
            values = np.where(inside, drawn.quantity(name), 0)
            with np.errstate(invalid="ignore"):
                mean = values.astype(np.float64).sum((0, 1)) / count
            columns[f"{case}_{name}_mean"] = mean.astype(np.float32).ravel()
            if name == "swish" and case.startswith("gate+"):
                continue
            sign = -1 if values.sum() < 0 else 1
            largest = np.abs(values).max(1)  # (texts, layers, neurons)
            order = np.argsort(-largest, axis=0, kind="stable")[:K]
            top = np.take_along_axis(largest, order, 0) * sign
            columns[f"{case}_{name}_max_values"] = list(top.reshape(K, -1).T)
            columns[f"{case}_{name}_max_indices"] = list(order.reshape(K, -1).T)
    return columns


def write_dataset(path: Path, columns: dict[str, Any], **more: Any) -> Path:
    """Write columns as the Parquet that the hub has."""
    pq.write_table(pa.table(columns | more), path, row_group_size=4)
    return path


def write_texts(path: Path) -> Path:
    """Write the texts, the first of them empty."""
    texts = ["" if i == 0 else f"text number {i} is about apples" for i in range(TEXTS)]
    pq.write_table(pa.table({"id": list(range(TEXTS)), "text": texts}), path)
    return path


def make_summary(drawn: Drawn, *, by_layer: bool = False) -> dict[Any, Any]:
    """Return the dictionary of `summary_refactored.pt`, arrays in place of tensors."""
    columns, shape = make_columns(drawn), (LAYERS, NEURONS)
    summary: dict[Any, Any] = {}
    for case in CASES:
        summary[case, "freq"] = columns[f"{case}_freq"].reshape(shape)
        for name in QUANTITIES:
            mean = columns[f"{case}_{name}_mean"].reshape(shape)
            ends = {
                kind: np.array(columns[f"{case}_{name}_max_{kind}"]).T.reshape(K, *shape)
                for kind in ("values", "indices")
                if f"{case}_{name}_max_{kind}" in columns
            }
            for layer in range(LAYERS) if by_layer else ():
                key = f"blocks.{layer}.mlp.{name}"
                summary[case, key, "sum"] = mean[layer]
                if ends:
                    one = {kind: end[:, layer] for kind, end in ends.items()}
                    summary[case, key, "max"] = one
            if not by_layer:
                summary[case, name, "sum"] = mean
                if ends:
                    summary[case, name, "max"] = ends
    return summary
