"""Neighbours and connections against the bare matrix products that they need, and peak memory.

    python -m benchmarks.neighbours smollm2-135m --layers 4
    python -m benchmarks.neighbours llama-3.1-8b --layers 4 --device cuda

The products are those of the same tiles: of neighbours each pair of layers once, by one vector; of
connections out with gate of every later layer. Vectors are random, of the real size. Prints the
seconds of the products, of a sweep that keeps the lists, and of one whose lists are decided in
float64; ratios as medians of alternating repeats; and the peak memory above the vectors.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from math import isqrt
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.shapes import SHAPES, shape_options
from ingest.forward.runtime import keep_freed_blocks
from ingest.relations.neighbours.exact import MARGIN, settle_lists
from ingest.relations.neighbours.relation import Relation, iterate_layer_pairs
from ingest.relations.neighbours.tiles import sweep_pairs
from ingest.relations.neighbours.unit_rows import UnitRows
from neurondb.contracts.neighbours import DEFAULT_THRESHOLD, DEFAULT_TOP

MIB = 2**20
RELATIONS = {
    "neighbours": Relation("gate", "gate", "any"),
    "connections": Relation("out", "gate", "later"),
}


def make_rows(asked: argparse.Namespace) -> UnitRows:
    """Return random vectors of a few layers, all of them kept."""
    shape, device = SHAPES[asked.shape], torch.device(asked.device)

    def read_layer(_layer: int) -> dict[str, Tensor]:
        size = asked.neurons or shape.d_mlp, shape.d_model
        return {name: torch.randn(size, device=device) for name in ("gate", "out")}

    rows = UnitRows(read_layer, asked.layers, 1e12)
    for layer in range(asked.layers):
        rows.read(layer, "gate")
    return rows


def multiply(rows: UnitRows, relation: Relation, tile_bytes: float) -> None:
    """Multiply the tiles of a sweep, and nothing else."""
    side = isqrt(int(tile_bytes) // 4)
    for own, other in iterate_layer_pairs(relation, rows.n_layers):
        left, right = rows.read(own, relation.own), rows.read(other, relation.other)
        for start in range(0, len(left), side):
            for start_other in range(0, len(right), side):
                if own != other or start_other >= start:
                    left[start : start + side] @ right[start_other : start_other + side].T


def sweep(rows: UnitRows, relation: Relation, tile_bytes: float, *, settle: bool) -> None:
    """Keep the lists of all neurons, and decide them where that is asked for."""
    swept = sweep_pairs(rows, relation, DEFAULT_TOP + MARGIN, tile_bytes, lambda *_: None)
    if settle:
        settle_lists(rows, relation, swept.there, DEFAULT_TOP, tile_bytes, DEFAULT_THRESHOLD)
        if not relation.is_symmetric:
            settle_lists(rows, relation.reverse, swept.back, DEFAULT_TOP, tile_bytes)


def measure_seconds(work: Callable[[], None], device: str) -> float:
    """Return how long `work` takes: seconds of the processor, or by the clock on a GPU."""
    read = time.perf_counter if device.startswith("cuda") else time.process_time
    started = read()
    work()
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    return read() - started


def measure_peak_mib(work: Callable[[], None]) -> float:
    """Return how much memory `work` takes at its peak, on a processor, in MiB."""
    status = Path("/proc/self/status")

    def read(name: str) -> int:
        lines = status.read_text(encoding="ascii").splitlines()
        return int(next(line.split()[1] for line in lines if line.startswith(name)))

    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # forget the peak so far
    before = read("VmRSS")
    work()
    return (read("VmHWM") - before) / 1024


def measure(rows: UnitRows, name: str, asked: argparse.Namespace) -> None:
    """Print seconds, ratios and memory of one relation."""
    relation, tile = RELATIONS[name], asked.tile * MIB
    ways: dict[str, Callable[[], None]] = {
        "products": lambda: multiply(rows, relation, tile),
        "lists": lambda: sweep(rows, relation, tile, settle=False),
        "decided": lambda: sweep(rows, relation, tile, settle=True),
    }
    if asked.device == "cpu":
        print(f"{name}: peak {measure_peak_mib(ways['decided']):,.0f} MiB above the vectors")
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(asked.repeats):
        for way, work in ways.items():
            seconds[way].append(measure_seconds(work, asked.device))
    for way, measured in seconds.items():
        ratios = [s / f for s, f in zip(measured, seconds["products"], strict=True)]
        print(
            f"{name}, {way}: {statistics.median(measured):.3f} s, least {min(measured):.3f}; ratio "
            f"{statistics.median(ratios):.2f}, of the least "
            f"{min(measured) / min(seconds['products']):.2f}",
            flush=True,
        )


def options() -> argparse.ArgumentParser:
    """Return the options."""
    parser = shape_options(__doc__)
    parser.add_argument("--neurons", type=int, help="of a layer; all of them unless given")
    parser.add_argument("--tile", type=float, default=32, help="MiB of cosines at a time")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--repeats", type=int, default=5)
    return parser


@torch.inference_mode()
def main() -> int:
    """Measure and print."""
    asked = options().parse_args()
    keep_freed_blocks()
    rows = make_rows(asked)
    print(
        f"{asked.shape}: {asked.layers} layers of {rows.n_neurons} neurons × {rows.d_model}, "
        f"{asked.device}, {torch.get_num_threads()} threads, tiles of {asked.tile:g} MiB"
    )
    for name in RELATIONS:
        measure(rows, name, asked)
    return 0


if __name__ == "__main__":
    sys.exit(main())
