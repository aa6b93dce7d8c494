"""The weights stage against reading the same tensors once, and its peak memory.

    python -m benchmarks.weights llama-3.2-3b --layers 4

Prints seconds of both a layer, by the clock and of the processor, the medians of their ratios, and
the peak resident memory of a process that runs the stage over 1 layer and over all of them, above
that of one which only imports it.
"""

import multiprocessing
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from benchmarks.shapes import SHAPES, shape_options, write_checkpoint
from ingest.checkpoint.reader import Checkpoint
from ingest.forward.runtime import keep_freed_blocks
from ingest.weights.analysis import analyse_layer
from ingest.weights.baselines import Sampling
from neurondb.contracts.ingest import Preprocessing

REPEATS = 3
Seconds = tuple[float, float]


def read_layer(checkpoint: Checkpoint, layer: int) -> None:
    """Read a layer's MLP tensors once: every page is touched by a sum."""
    weights = checkpoint.read_layer(layer)
    for tensor in (weights.gate, weights.in_, weights.out):
        assert tensor is not None
        tensor.clone()


def analyse(checkpoint: Checkpoint, layer: int) -> None:
    """Run the stage's computation on a layer; its sums would show NaN and infinity."""
    weights = checkpoint.read_unexamined_layer(layer)
    record = analyse_layer(weights, checkpoint.architecture, Preprocessing(), Sampling())
    assert np.isfinite(record.penalty).all()


def measure(run: Callable[[Checkpoint, int], None], checkpoint: Checkpoint, layer: int) -> Seconds:
    """Return how long one layer takes by the clock, and of the processor."""
    started, started_processor = time.perf_counter(), time.process_time()
    run(checkpoint, layer)
    return time.perf_counter() - started, time.process_time() - started_processor


def peak_mib(path: Path, n_layers: int) -> float:
    """Return the peak memory, in MiB, of a fresh process that analyses `n_layers` layers."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return pool.apply(_peak, (path, n_layers))


def _peak(path: Path, n_layers: int) -> float:
    keep_freed_blocks()
    checkpoint = Checkpoint.open(path)
    for layer in range(n_layers):
        analyse(checkpoint, layer)
    status = Path("/proc/self/status").read_text(encoding="ascii")
    (peak,) = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")]
    return int(peak) / 1024


def main() -> int:
    """Measure and print."""
    asked = shape_options(__doc__).parse_args()
    shape = SHAPES[asked.shape]
    keep_freed_blocks()
    with tempfile.TemporaryDirectory() as directory:
        path = write_checkpoint(Path(directory), shape, asked.layers)
        checkpoint = Checkpoint.open(path)
        analyse(checkpoint, 0)  # compiled by now
        pairs = [
            (measure(read_layer, checkpoint, layer), measure(analyse, checkpoint, layer))
            for _ in range(REPEATS)
            for layer in range(asked.layers)
        ]
        base, one, every = (peak_mib(path, n) for n in (0, 1, asked.layers))
    mlp = 3 * shape.d_model * shape.d_mlp * 2 / 2**20
    print(f"{asked.shape}, {asked.layers} layers, {torch.get_num_threads()} threads")
    for clock, name in enumerate(("by the clock", "processor")):
        floor = statistics.median(read[clock] for read, _ in pairs)
        stage = statistics.median(analysed[clock] for _, analysed in pairs)
        ratio = statistics.median(analysed[clock] / read[clock] for read, analysed in pairs)
        print(f"{name}: read {floor:.3f} s a layer, stage {stage:.3f} s, ratio {ratio:.2f}")
    print(
        f"peak above the imports: 1 layer {one - base:,.0f} MiB, {asked.layers} layers "
        f"{every - base:,.0f} MiB; a layer's MLP in bfloat16 {mlp:,.0f} MiB"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
