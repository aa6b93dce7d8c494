"""The activation pass of a mixture of experts against its forward passes, of random weights.

    python -m benchmarks.mixtures
    python -m benchmarks.mixtures --experts 64 --d-model 2048 --width 1024
    python -m benchmarks.mixtures --memory

The model has OLMoE's layout. Three ways take turns, batch by batch: transformers' own forward pass
with its experts fused, ours, which runs them one after another, and the stage's, which counts what
their neurons do. Seconds are of the processor; ratios are medians over the turns.

`--memory` runs the weights stage instead, in fresh processes: with a layer of experts in memory
whole, and in parts as `ingest` reads it. Peaks are above that of a process which opens the files.
"""

import argparse
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import torch
import transformers

from ingest.activations.native import load_native_kernels
from ingest.activations.summary import LayerSummary
from ingest.checkpoint.reader import Checkpoint
from ingest.executors import Worker
from ingest.forward import Batch, Forward, make_batches
from ingest.forward.activation_functions import find_activation
from ingest.forward.open_model import OpenModel
from ingest.forward.runtime import keep_freed_blocks
from ingest.stages import weights as weights_stage
from ingest.stages.expert_summaries import make_summaries
from ingest.stages.summariser import Summariser
from ingest.weights.baselines import Sampling
from neurondb.contracts.ingest import Preprocessing
from neurondb.contracts.progress import Advance

CPU = torch.device("cpu")
VOCABULARY = 1000
Step = Callable[[], object]


def write_checkpoint(directory: Path, options: argparse.Namespace) -> Path:
    """Write a random model of OLMoE's layout."""
    config = transformers.OlmoeConfig(
        vocab_size=VOCABULARY,
        hidden_size=options.d_model,
        intermediate_size=options.width,
        num_hidden_layers=options.layers,
        num_attention_heads=16,
        num_key_value_heads=16,
        num_experts=options.experts,
        num_experts_per_tok=options.per_token,
        max_position_embeddings=options.length,
    )
    torch.manual_seed(0)
    transformers.OlmoeForCausalLM(config).save_pretrained(directory)
    return directory


def make_summariser(forward: Forward) -> Summariser:
    """Return what the stage counts with, of nothing yet."""
    shape = forward.architecture
    layers = range(shape.n_layers)

    def make(number: int, n_neurons: int) -> LayerSummary:
        return LayerSummary.empty(n_neurons, gated=True, device=CPU, layer=number, controls=True)

    signs = {layer: torch.ones(shape.count_neurons(layer)) for layer in layers}
    summaries = make_summaries(shape, layers, make)
    activation = find_activation(shape.activation)
    kernels = load_native_kernels()
    return Summariser(summaries, signs, activation, architecture=shape, kernels=kernels)


def prepare_summary(forward: Forward, batch: Batch) -> Step:
    """Return the step that counts what a batch does, as a pass of one batch."""
    summariser = make_summariser(forward)

    def summarise() -> None:
        summariser.run(forward, batch)
        summariser.finish(forward)

    return summarise


def time_step(prepare: Callable[[Batch], Step], batch: Batch) -> float:
    """Return the seconds of the processor that a step takes, without its preparation."""
    step = prepare(batch)
    started = time.process_time()
    with torch.inference_mode():
        step()
    return time.process_time() - started


def measure(directory: Path, options: argparse.Namespace) -> None:
    """Print seconds a thousand tokens, and ratios to both forward passes."""
    fused = transformers.AutoModel.from_pretrained(directory, dtype=torch.float32).eval()
    forward = Forward(Checkpoint.open(directory), CPU, torch.float32)
    draw = np.random.default_rng(0)
    texts = [draw.integers(0, VOCABULARY, options.length) for _ in range(options.texts)]
    batches = list(make_batches(texts, CPU, options.length * options.texts // 2))
    ways: dict[str, Callable[[Batch], Step]] = {
        "transformers, fused": lambda batch: partial(fused, batch.token_ids),
        "forward, expert by expert": lambda batch: partial(forward.run, batch, []),
        "activation pass": lambda batch: prepare_summary(forward, batch),
    }
    for prepare in ways.values():  # first uses are not counted
        time_step(prepare, batches[0])
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(options.repeats):
        for batch in batches:
            for name, prepare in ways.items():
                seconds[name].append(time_step(prepare, batch))
    floor, own = (seconds[name] for name in list(ways)[:2])
    n_tokens = batches[0].n_tokens
    print(f"{'way':28}{'s/1k tokens':>12}{'÷ fused':>10}{'÷ forward':>11}")
    for name, taken in seconds.items():
        ratios = [
            statistics.median(a / b for a, b in zip(taken, other, strict=True))
            for other in (floor, own)
        ]
        a_thousand = 1000 * statistics.median(taken) / n_tokens
        print(f"{name:28}{a_thousand:12.2f}{ratios[0]:10.2f}{ratios[1]:11.2f}")


def measure_memory(directory: Path) -> None:
    """Print the peak memory of the weights stage, and its seconds, whole and in parts."""
    idle, _ = run_apart(directory, None)
    ways = {"whole": 2**62, "parts, as in `ingest`": weights_stage.PART_ELEMENTS, "one expert": 1}
    for name, elements in ways.items():
        peak, seconds = run_apart(directory, elements)
        print(f"{name:24}{peak - idle:9.0f} MiB{seconds:9.2f} s of the processor", flush=True)


def run_apart(directory: Path, elements: int | None) -> tuple[float, float]:
    """Return peak memory in MiB and seconds of a process; None only opens the files."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_analyse_all, (directory, elements))


def _analyse_all(directory: Path, elements: int | None) -> tuple[float, float]:
    torch.set_num_threads(1)
    keep_freed_blocks()
    checkpoint, started = Checkpoint.open(directory), time.process_time()
    if elements is not None:
        vars(weights_stage)["PART_ELEMENTS"] = elements
        opened = OpenModel(checkpoint, CPU, torch.float32, None)
        compute = weights_stage.WeightsAnalysis(opened, Preprocessing(), Sampling())
        for layer in range(checkpoint.architecture.n_layers):
            compute(layer, Worker(CPU, lambda *_: None, Silent()))
    status = Path("/proc/self/status").read_text(encoding="ascii")
    (peak,) = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")]
    return int(peak) / 1024, time.process_time() - started


class Silent:
    """Progress that nobody watches."""

    @contextmanager
    def stage(self, title: str, total: int, unit: str, *, done: int = 0) -> Iterator[Advance]:
        """Open a bar that is not drawn."""
        yield lambda n, detail="": None

    def note(self, message: str) -> None:
        """Say nothing."""


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name, default in (
        *(("experts", 32), ("per-token", 8), ("d-model", 1024), ("width", 512), ("layers", 2)),
        *(("length", 256), ("texts", 8), ("repeats", 3)),
    ):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--memory", action="store_true", help="measure the weights stage")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        directory = write_checkpoint(Path(scratch) / "model", options)
        if options.memory:
            measure_memory(directory)
        else:
            measure(directory, options)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
