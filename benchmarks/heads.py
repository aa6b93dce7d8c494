"""Neurons against attention heads: scores beside their products, texts beside the forward pass.

    python -m benchmarks.heads smollm2-135m
    python -m benchmarks.heads llama-3.2-1b --layers 4 --device cuda

Scores: the product of a layer's unit vectors with the directions of all later heads, and the same
with the strongest of each neuron and head and both distributions. Texts: a bare forward pass over a
batch, the same with attention watched and what heads write and attend to summed, and with ten path
ablations besides. Weights are random, of the real shape. Ratios are medians of alternating repeats.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.shapes import SHAPES, Shape, write_checkpoint
from ingest.checkpoint.reader import Checkpoint
from ingest.forward.batching import Batch
from ingest.forward.model import Forward
from ingest.relations.heads.directions import find_attention, read_outputs
from ingest.relations.heads.head_norms import HeadSums
from ingest.relations.heads.path_ablation import NeuronWatch, Pair, ablate_path
from ingest.relations.heads.places import find_others, find_second_halves, list_places
from ingest.relations.heads.scores import HeadDirections, ScoreScan, normalise
from ingest.relations.heads.watching import WatchedAttention, watch_attention

N_PAIRS = 10


def make_scores(shape: Shape, device: torch.device) -> dict[str, Callable[[], object]]:
    """Return the bare products of all layers, and the whole scan."""
    d, heads = shape.d_model, shape.n_heads
    of_layers = [
        torch.randn(heads, d, dtype=torch.float64, device=device) for _ in range(shape.n_layers)
    ]
    directions = HeadDirections.stack(of_layers, centred=False)
    whole = directions.direction.float()
    vectors = torch.randn(shape.d_mlp, d, device=device)

    def multiply() -> None:
        for layer in range(shape.n_layers - 1):
            _ = normalise(vectors) @ whole[directions.first_after(layer) :].T

    def scan() -> None:
        found = ScoreScan(directions, per_neuron=2, per_head=16)
        for layer in range(shape.n_layers):
            found.add_layer(layer, vectors)

    return {"products": multiply, "scan": scan}


class Texts:
    """A random model and a batch."""

    def __init__(self, directory: Path, device: torch.device, shape: tuple[int, int]) -> None:
        self.checkpoint = Checkpoint.open(directory)
        self.forward = Forward(self.checkpoint, device, torch.float32)
        self.attention = find_attention(self.checkpoint.layout)
        n_texts, length = shape
        ids = torch.randint(10, 1000, shape, device=device)
        lengths = torch.full((n_texts,), length, device=device)
        self.batch = Batch(ids, lengths, torch.arange(n_texts, device=device))
        n_layers = self.forward.architecture.n_layers
        self.pairs = [
            Pair(0, i, 1 + i % (n_layers - 1), i % self.attention.n_heads) for i in range(N_PAIRS)
        ]
        self.outputs = [
            read_outputs(self.forward, self.attention, layer) for layer in range(n_layers)
        ]

    def run(self) -> None:
        """Run the batch, and nothing else."""
        self.forward.run(self.batch, [])

    def measure(self, pairs: list[Pair]) -> None:
        """Run it with heads summed, and paths of some pairs ablated."""
        halves = find_second_halves(self.batch)
        others, chosen = list_places(find_others(self.batch)), list_places(halves)
        sums = [HeadSums(of_layer) for of_layer in self.outputs]
        neurons = NeuronWatch(self.forward, self.checkpoint.layout, self.attention, pairs)
        found: list[Tensor] = []

        def receive(watched: WatchedAttention) -> None:
            sums[watched.layer].add(watched.call, others, halves)
            for pair in pairs:
                if pair.head_layer == watched.layer:
                    output = self.outputs[watched.layer][pair.head]
                    written = neurons.find_written(pair)
                    found.append(ablate_path(watched, pair.head, written, output, 1, chosen))

        with ExitStack() as stack, torch.inference_mode():
            stack.enter_context(neurons.watch(self.batch))
            layers = dict.fromkeys(range(len(self.outputs)), receive)
            stack.enter_context(watch_attention(self.forward, self.attention, layers))
            self.run()


def measure_seconds(work: Callable[[], object], device: torch.device) -> float:
    """Return how long `work` takes: seconds of the processor, or by the clock on a GPU."""
    read = time.perf_counter if device.type == "cuda" else time.process_time
    if device.type == "cuda":
        torch.cuda.synchronize()
    started = read()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return read() - started


def compare(works: dict[str, Callable[[], object]], device: torch.device, repeats: int) -> None:
    """Print seconds, and ratios to the first, as medians of alternating repeats."""
    for work in works.values():
        work()
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(repeats):
        for name, work in works.items():
            seconds[name].append(measure_seconds(work, device))
    first = next(iter(works))
    for name, of_work in seconds.items():
        ratios = [a / b for a, b in zip(of_work, seconds[first], strict=True)]
        print(
            f"{name:>28}: {statistics.median(of_work):8.3f} s, {statistics.median(ratios):.2f} ×"
            f" {first}"
        )


def main(arguments: list[str]) -> None:
    """Measure one shape."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shape", choices=SHAPES)
    parser.add_argument("--layers", type=int, help="layers of the model that runs")
    parser.add_argument("--texts", type=int, default=8)
    parser.add_argument("--length", type=int, default=256)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args(arguments)
    shape, device = SHAPES[given.shape], torch.device(given.device)
    compare(make_scores(shape, device), device, given.repeats)
    with tempfile.TemporaryDirectory() as directory:
        n_layers = given.layers or shape.n_layers
        write_checkpoint(Path(directory) / "model", shape, n_layers, attention=True)
        texts = Texts(Path(directory) / "model", device, (given.texts, given.length))
        works: dict[str, Callable[[], object]] = {
            "forward pass": texts.run,
            "with heads": lambda: texts.measure([]),
            f"with {N_PAIRS} path ablations": lambda: texts.measure(texts.pairs),
        }
        compare(works, device, given.repeats)


if __name__ == "__main__":
    main(sys.argv[1:])
