"""Matching the neurons of two models against the bare forward passes and matrix products.

    python -m benchmarks.universality smollm2-135m --layers 6 --texts 16 [--sign-cases]

Two checkpoints of the published shape with random weights run over the same random tokens. Bare are
the forward passes of both, up to the last MLP, and the products in float64 that the correlations
are made of, n · d_mlp² for each pair of layers compared and for the second moments of each layer.
What ours adds to that are hooks, the choice of tokens, conversions and the other sums. With sign
cases each pair and each layer has five such products, over all tokens and in each case. At the end
correlations are made of the sums once: beside that stand its products, d_mlp³ for each pair and
each layer. Prints medians of alternating repeats in seconds of the processor, and ratios.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch

from benchmarks.shapes import SHAPES, Shape, write_checkpoint
from ingest.checkpoint.reader import Checkpoint
from ingest.forward import Batch, Forward, MLPActivations
from ingest.relations.universality.alignment import TOKENS, AlignedTexts
from ingest.relations.universality.comparison import Side, add_pass
from ingest.relations.universality.layer_pairs import Pass, pair_layers, plan_passes
from ingest.relations.universality.matching import Matcher
from ingest.relations.universality.products import PassSums
from neurondb.schema.codes import GATED_CASES
from neurondb.schema.tables.families import ALL_CASES

CPU = torch.device("cpu")


class Nothing:
    """A consumer that wants all layers and does nothing with them."""

    def __init__(self, n_layers: int) -> None:
        self.layers = range(n_layers)
        self.rows = self.places = torch.empty(0)

    def consume(self, batch: Batch, layer: int, activations: MLPActivations) -> None:
        """Take one layer's activations and drop them."""


class Subject:
    """Two random models, their texts, and what one pass compares."""

    def __init__(
        self, shape: Shape, n_layers: int, n_texts: int, length: int, *, sign_cases: bool
    ) -> None:
        self.shape = shape
        self.models = (self._write(shape, n_layers, 0), self._write(shape, n_layers, 1))
        draw = np.random.default_rng(0)
        ids = [draw.integers(0, shape.d_vocab, length) for _ in range(n_texts)]
        places = [np.arange(1, length) for _ in ids]
        self.texts = AlignedTexts(ids, ids, places, places, TOKENS, 0)
        self.signs = np.ones((n_layers, shape.d_mlp))
        cases = (ALL_CASES, *GATED_CASES) if sign_cases else (ALL_CASES,)
        (self.chosen,) = plan_passes(
            pair_layers(n_layers, n_layers, 1), shape.d_mlp, shape.d_mlp, 1e12, cases
        )

    def _write(self, shape: Shape, n_layers: int, seed: int) -> Forward:
        torch.manual_seed(seed)
        directory = Path(tempfile.mkdtemp(prefix="neurondb-benchmark-"))
        write_checkpoint(directory, shape, n_layers, attention=True)
        return Forward(Checkpoint.open(directory), CPU, torch.float32)

    def add(self) -> PassSums:
        """Do what the job does in one pass."""
        signs = (self.signs, self.signs)
        return add_pass(*self.models, self.texts, self.chosen, _advance, signs)

    def run_forward(self) -> None:
        """Run both models up to the last MLP, and nothing else."""
        ordinals = np.arange(len(self.texts.ids_a))
        for model in self.models:
            side = Side(model, self.texts.ids_a, self.texts.places_a)
            side.run(ordinals, Nothing(model.architecture.n_layers))  # type: ignore[arg-type]

    def multiply(self) -> None:
        """Multiply as often as the sums of products need it, in float64, and nothing else."""
        n = self.texts.n_tokens
        x = torch.randn(n, self.shape.d_mlp, dtype=torch.float64)
        y = torch.randn(n, self.shape.d_mlp, dtype=torch.float64)
        total = torch.zeros(self.shape.d_mlp, self.shape.d_mlp, dtype=torch.float64)
        for _ in range(len(self.chosen.tiles) + len(self.chosen.second_moments)):
            total.addmm_(x.T, y)

    def multiply_at_end(self) -> None:
        """Multiply as often as the baseline needs it, and nothing else."""
        square = torch.randn(self.shape.d_mlp, self.shape.d_mlp, dtype=torch.float64)
        for _ in range(len(self.chosen.tiles) + len(self.chosen.second_moments)):
            square @ square


def _advance(n: int, detail: str = "") -> None:
    """Tell nobody."""


def finish(subject: Subject, sums: PassSums) -> None:
    """Make correlations of sums, which are used up."""
    Matcher(subject.signs, subject.signs, seed=0).take(sums)


def measure(call: Callable[[], object]) -> float:
    """Return the seconds of the processor that a call takes."""
    started = time.process_time()
    with torch.inference_mode():
        call()
    return time.process_time() - started


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shape", choices=SHAPES)
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--texts", type=int, default=16)
    parser.add_argument("--length", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--sign-cases", action="store_true")
    asked = parser.parse_args()
    subject = Subject(
        SHAPES[asked.shape], asked.layers, asked.texts, asked.length, sign_cases=asked.sign_cases
    )
    seconds: dict[str, list[float]] = {}
    for _ in range(asked.repeats):
        for name in ("run_forward", "multiply", "add", "multiply_at_end"):
            seconds.setdefault(name, []).append(measure(getattr(subject, name)))
        sums = subject.add()
        seconds.setdefault("finish", []).append(measure(partial(finish, subject, sums)))
    found = {name: statistics.median(values) for name, values in seconds.items()}
    chosen: Pass = subject.chosen
    n_products = len(chosen.tiles) + len(chosen.second_moments)
    print(f"{subject.texts.n_tokens} tokens, {n_products} products")
    for name, value in found.items():
        print(f"{name:16} {value:8.2f} s")
    bare = found["run_forward"] + found["multiply"]
    print(f"sums ÷ (forward passes + products)   {found['add'] / bare:.2f}")
    print(f"correlations ÷ their products        {found['finish'] / found['multiply_at_end']:.2f}")


if __name__ == "__main__":
    main()
