"""Families of neurons: sums by test against their matrix products and a bare forward pass.

    python -m benchmarks.families smollm2-135m --layers 4
    python -m benchmarks.families llama-3.2-1b --layers 2 --device cuda

A random model of a published shape runs over a batch of random tokens in texts of 160; 600 random
tests hold for a twentieth of the tokens each. Prints seconds a layer and batch of the bare forward
pass, of the float64 products alone (tests × tokens by tokens × neurons, once for each sign case),
and of `FamilySums.add`, the medians of alternating repeats, and the memory of a layer's sums.
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from benchmarks.shapes import SHAPES, shape_options, write_checkpoint
from ingest.checkpoint.reader import Checkpoint
from ingest.forward import Batch, Forward, MLPActivations, batch_tokens
from ingest.forward.runtime import keep_freed_blocks
from ingest.relations.families.sums import FamilySums, LabelledTokens, count_bytes

N_TESTS, SHARE, TEXT = 600, 0.05, 160


def main() -> None:
    """Measure, and print a line for each."""
    parser = shape_options(__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    shape, device = SHAPES[given.shape], torch.device(given.device)
    keep_freed_blocks()
    n_texts = batch_tokens(device) // TEXT
    with tempfile.TemporaryDirectory() as directory:
        path = write_checkpoint(Path(directory), shape, given.layers, attention=True)
        dtype = torch.float32 if device.type == "cpu" else torch.bfloat16
        forward = Forward(Checkpoint.open(path), device, dtype)
        ids = torch.randint(0, shape.d_vocab, (n_texts, TEXT), device=device)
        lengths = torch.full((n_texts,), TEXT, device=device)
        batch = Batch(ids, lengths, torch.arange(n_texts, device=device))
        seconds = _measure(forward, batch, shape.d_mlp, given.repeats)
    bare = seconds["forward"] / given.layers
    print(f"{given.shape}, {n_texts * TEXT} tokens, {N_TESTS} tests, a layer:")
    print(f"  bare forward pass   {bare:.3f} s")
    for name in ("products", "sums"):
        print(f"  {name:<19} {seconds[name]:.3f} s, {seconds[name] / bare:.2f} of the pass")
    print(f"  sums beside their products: {seconds['sums'] / seconds['products']:.2f}")
    n_bytes = count_bytes(N_TESTS, shape.d_mlp, TEXT, gated=True)
    print(f"  memory of the sums: {n_bytes / 2**20:.0f} MiB")


def _measure(forward: Forward, batch: Batch, n: int, repeats: int) -> dict[str, float]:
    device, shape = batch.token_ids.device, (*batch.token_ids.shape, n)
    gate, in_ = torch.randn(shape, device=device), torch.randn(shape, device=device)
    activations = MLPActivations(gate, in_, torch.nn.functional.silu(gate) * in_)
    counted = torch.ones(shape[:2], dtype=torch.bool, device=device)
    holds = torch.rand(counted.numel(), N_TESTS, device=device) < SHARE
    matrix, tests = holds.double(), LabelledTokens.prepare(holds)
    sign = torch.ones(n, device=device)
    sums = FamilySums.empty((N_TESTS, n, shape[1]), gated=True, device=device)
    values = activations.post.flatten(0, 1).double()

    def multiply() -> None:
        for part in sums.by_test:
            part.addmm_(matrix.T, values)

    tasks: dict[str, Callable[[], object]] = {
        "forward": lambda: forward.run(batch, []),
        "products": multiply,
        "sums": lambda: sums.add(activations, sign, counted, tests),
    }
    taken: dict[str, list[float]] = {name: [] for name in tasks}
    read = time.perf_counter if device.type == "cuda" else time.process_time
    for number in range(repeats + 1):
        for name, task in tasks.items():
            started = read()
            task()
            if device.type == "cuda":
                torch.cuda.synchronize()
            if number:  # the first one warms up
                taken[name].append(read() - started)
    return {name: statistics.median(values) for name, values in taken.items()}


if __name__ == "__main__":
    main()
