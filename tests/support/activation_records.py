"""Records of a small model, its dataset and the activations of a layer, of random numbers."""

import numpy as np

from neurondb.contracts.activations import (
    ActivationsRecord,
    Examples,
    LabelStatistics,
    Moments,
    SignCase,
)
from neurondb.contracts.model import ModelRecord
from neurondb.contracts.texts import DatasetRecord
from neurondb.schema import codes

LAYERS, WIDTH = 3, 5
TEXTS = ("one", "two", "three", "four")
LABELS = ("web", "books")
MODEL = ModelRecord("m", "s", None, "llama", True, "silu", LAYERS, 8, WIDTH, 16, "f", None)


def dataset(*, labelled: bool = True) -> DatasetRecord:
    if not labelled:
        return DatasetRecord("tales", "t", "fp", TEXTS)
    return DatasetRecord("tales", "t", "fp", TEXTS, LABELS, (1, 0, -1, 1))


def record(seed: int = 0, *, gated: bool = True) -> ActivationsRecord:
    """Return a summary of a layer; neuron 4 saw no finite token."""
    draw = np.random.default_rng(seed)
    n_tokens = np.array([100, 100, 99, 50, 0])
    cases = codes.GATED_CASES if gated else codes.UNGATED_CASES
    quantities = range(4) if gated else (0, 2)

    def real() -> np.ndarray:
        return draw.normal(size=WIDTH)

    def count() -> np.ndarray:
        return n_tokens // int(draw.integers(2, 5))

    def examples(k: int) -> Examples:
        ordinal = draw.permuted(np.tile(np.arange(len(TEXTS)), (WIDTH, 1)), axis=1)[:, :k]
        ordinal[-1] = -1
        return Examples(ordinal, draw.integers(0, 9, (WIDTH, k)), draw.normal(size=(WIDTH, k)))

    def by_quantity() -> dict[int, np.ndarray]:
        return {quantity: real() for quantity in quantities}

    return ActivationsRecord(
        n_tokens=n_tokens,
        n_nonfinite=100 - n_tokens,
        gate_positive=count() if gated else None,
        post_positive=count(),
        pre=Moments(real(), real(), real(), real()),
        post=Moments(real(), real(), real(), real()),
        cases={
            case: SignCase(count(), by_quantity(), by_quantity(), by_quantity()) for case in cases
        },
        examples={codes.encode_example_list(case, 0): examples(3) for case in cases},
        histograms={
            quantity: draw.integers(0, 1000, (WIDTH, 60)) for quantity in quantities if quantity < 3
        },
        labels={
            place: LabelStatistics(
                n_tokens // 2, count() // 2 if gated else None, count() // 2,
                real(), real(), real(), real(),
            )
            for place in range(len(LABELS))
        },
        controls={kind: examples(2) for kind in range(len(codes.CONTROL_KINDS))},
    )  # fmt: skip
