"""The weights stage against reading the same tensors once, and its peak memory.

    python -m benchmarks.weights llama-3.2-3b --layers 4

Prints seconds of both a layer, their ratio, and the peak resident memory of a process that runs
the stage over 1 layer and over all of them, above that of one which only imports it.
"""

import multiprocessing
import statistics
import sys
import tempfile
import time
from pathlib import Path

import torch

from benchmarks.shapes import SHAPES, shape_options, write_checkpoint
from ingest.checkpoint.reader import Checkpoint
from ingest.forward.runtime import keep_freed_blocks
from ingest.weights.analysis import analyse_layer
from ingest.weights.baselines import Sampling
from neurondb.contracts.ingest import Preprocessing

REPEATS = 3


def read_layer(checkpoint: Checkpoint, layer: int) -> None:
    """Read a layer's MLP tensors once: every page is touched by a sum."""
    weights = checkpoint.read_layer(layer)
    for tensor in (weights.gate, weights.in_, weights.out):
        assert tensor is not None
        tensor.clone()


def analyse(checkpoint: Checkpoint, layer: int) -> None:
    """Run the stage's computation on a layer."""
    analyse_layer(
        checkpoint.read_layer(layer), checkpoint.architecture, Preprocessing(), Sampling()
    )


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
        floors, ratios = [], []
        for _ in range(REPEATS):
            for layer in range(asked.layers):
                started = time.perf_counter()
                read_layer(checkpoint, layer)
                read = time.perf_counter()
                analyse(checkpoint, layer)
                floors.append(read - started)
                ratios.append((time.perf_counter() - read) / floors[-1])
        floor, ratio = statistics.median(floors), statistics.median(ratios)
        base, one, every = (peak_mib(path, n) for n in (0, 1, asked.layers))
    mlp = 3 * shape.d_model * shape.d_mlp * 2 / 2**20
    print(f"{asked.shape}, {asked.layers} layers, {torch.get_num_threads()} threads")
    print(f"read {floor:.3f} s a layer, stage {floor * ratio:.3f} s, ratio {ratio:.2f}")
    print(
        f"peak above the imports: 1 layer {one - base:,.0f} MiB, {asked.layers} layers "
        f"{every - base:,.0f} MiB; a layer's MLP in bfloat16 {mlp:,.0f} MiB"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
