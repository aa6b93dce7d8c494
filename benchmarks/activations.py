"""The activations stage against the bare forward pass on the same batches, and the obvious way.

    python -m benchmarks.activations bundled
    python -m benchmarks.activations DIRECTORY --texts stories.txt
    python -m benchmarks.activations qwen2.5-0.5b --layers 4 --length 1024
    python -m benchmarks.activations llama-3.2-1b --device cuda --tokens 1000000 --profile
    python -m benchmarks.activations smollm2-135m --token-stats 64 256 1024
    python -m benchmarks.activations small --threads 1 --also gemma-3-270m.gguf

`small` measures jobs of a few thousand tokens, a line each, on one thread and on two: of the
bundled model, of the shape of SmolLM2 135M with texts of 20 to 250 tokens, and of models that
`--also` names, 8,000 tokens of the bundled texts. Else a model is
`bundled`, a directory in hub format, or the name of a published shape, which gets random weights
and random token ids. Prints seconds of the bare forward pass, of the stage (as it runs on the
device, and with the plain functions by `--plain`), of transformer_lens' run_with_cache with a copy
to the processor and a top-k a neuron (`--obvious`), and their ratios: the ways take turns batch by
batch, and the median of the repeats is given. `--memory` adds the peak memory of fresh processes
over the tokens and over four times as many, `--profile` where the time goes.
"""

import argparse
import multiprocessing
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from transformers.activations import ACT2FN

from benchmarks.shapes import SHAPES, write_checkpoint
from ingest import bundled
from ingest.activations.compiled import PLAIN_KERNELS, Kernels, make_compiled_kernels
from ingest.activations.native import load_native_kernels
from ingest.activations.reduction import choose_frequent_tokens
from ingest.activations.summary import LayerSummary
from ingest.checkpoint.reader import Checkpoint
from ingest.forward import (
    Batch,
    Forward,
    MLPActivations,
    batch_tokens,
    make_batches,
    pick_device,
    pick_dtype,
)
from ingest.forward.runtime import keep_freed_blocks, use_threads_for
from ingest.forward.transformer_lens_reference import Bridge
from ingest.jobs.demo import write_bundled_texts
from ingest.stages.summariser import Summariser
from ingest.text.datasets import read_dataset
from ingest.text.tokenizer import Tokenizer, tokenize

WARM_UP = 2
"""Batches that a way of doing it sees before it is timed."""


class Asked(NamedTuple):
    """What to measure, as it travels to other processes."""

    path: Path
    texts: Path | None
    tokens: int
    length: int
    device: str
    dtype: str
    shortest: int | None = None
    """Of random texts, in tokens; None: all are of one length."""
    zipf: bool = False
    """Whether random tokens are as frequent as words are: the n-th as 1/n."""


def token_ids(asked: Asked, checkpoint: Checkpoint) -> list[NDArray[np.int64]]:
    """Return the texts' token ids, or random ones of the length asked for."""
    if asked.texts is None:
        random = np.random.default_rng(0)
        n_texts = max(1, asked.tokens // asked.length)
        d_vocab = checkpoint.architecture.d_vocab
        if asked.zipf:
            frequency = 1 / np.arange(1, d_vocab + 1)
            share = frequency / frequency.sum()
            return list(random.choice(d_vocab, (n_texts, asked.length), p=share))
        if asked.shortest is None:
            return list(random.integers(0, d_vocab, (n_texts, asked.length)))
        lengths = random.integers(asked.shortest, asked.length + 1, asked.tokens)
        lengths = lengths[: 1 + int(np.searchsorted(np.cumsum(lengths), asked.tokens))]
        return [random.integers(0, d_vocab, length) for length in lengths]
    dataset = read_dataset(str(asked.texts))
    max_len = min(asked.length, checkpoint.architecture.context or asked.length)
    read = tokenize(Tokenizer(checkpoint.settings), dataset, max_len, skip_bos=False)
    within = np.cumsum([len(ids) for ids in read.token_ids]) <= asked.tokens
    return [ids for ids, use in zip(read.token_ids, within, strict=True) if use]


Step = Callable[[Batch], object]
"""One way of doing it, on one batch after another."""


class _Idle(NamedTuple):
    """A consumer that does nothing."""

    layers: range

    def consume(self, batch: Batch, layer: int, found: MLPActivations) -> None:
        """Let go of the activations."""


class Subject:
    """A model with its batches on a device."""

    def __init__(self, asked: Asked) -> None:
        keep_freed_blocks()
        checkpoint = Checkpoint.open(asked.path)
        self.shape = checkpoint.architecture
        use_threads_for(self.shape)
        self.device = pick_device(asked.device)
        dtype = pick_dtype(asked.dtype, self.device, checkpoint.config)
        self.forward = Forward(checkpoint, self.device, dtype)
        ids = token_ids(asked, checkpoint)
        self.batches = list(make_batches(ids, self.device, batch_tokens(self.device)))
        self.activation = ACT2FN[self.shape.activation]
        self.sign = torch.ones(self.shape.d_mlp, device=self.device)
        self.checkpoint, self.dtype = checkpoint, dtype

    def bare(self) -> Step:
        """Run the model as far as the stage does, which needs no `out` of the last layer."""
        idle = [_Idle(range(self.shape.n_layers))]
        return lambda batch: self.forward.run(batch, idle)

    def empty_summaries(self, listed: torch.Tensor | None = None) -> dict[int, LayerSummary]:
        """Return summaries of no texts of all layers."""
        return {
            layer: LayerSummary.empty(
                self.shape.d_mlp,
                gated=self.shape.gated,
                device=self.device,
                layer=layer,
                listed=listed,
            )
            for layer in range(self.shape.n_layers)
        }

    def stage(
        self,
        kernels: Kernels,
        n_listed: int = 0,
        summaries: dict[int, LayerSummary] | None = None,
    ) -> Step:
        """Run the model and summarise all layers, with statistics of so many tokens."""
        summariser = self.summariser(kernels, n_listed, summaries)
        return lambda batch: summariser.run(self.forward, batch)

    def summariser(
        self,
        kernels: Kernels,
        n_listed: int = 0,
        summaries: dict[int, LayerSummary] | None = None,
    ) -> Summariser:
        """Return what summarises all layers, with statistics of so many tokens."""
        listed = None
        if n_listed:
            ids = [row.cpu().numpy() for batch in self.batches for row in batch.token_ids]
            chosen = choose_frequent_tokens(ids, n_listed, skip_bos=False)
            listed = torch.from_numpy(chosen).to(self.device)
        if summaries is None:
            summaries = self.empty_summaries(listed)
        signs = dict.fromkeys(summaries, self.sign)
        return Summariser(summaries, signs, self.activation, kernels=kernels, listed=listed)

    def seconds(self, work: Callable[[], object]) -> float:
        """Return how long `work` takes, on the device too."""
        self._wait()
        started = time.perf_counter()
        work()
        self._wait()
        return time.perf_counter() - started

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()


class Obvious:
    """What one would write first: keep everything, copy it, sort it."""

    def __init__(self, subject: Subject) -> None:
        self._last = subject.batches[-1]
        self._bridge = Bridge(subject.checkpoint, subject.device, subject.dtype)

    def begin(self) -> Step:
        """Collect |hook_post| of every token on the processor; in the end each neuron's top 16."""
        kept: dict[int, list[torch.Tensor]] = {}

        def step(batch: Batch) -> None:
            for layer, found in enumerate(self._bridge.compute_activations(batch)):
                kept.setdefault(layer, []).append(found.post.flatten(0, 1).cpu())
            if batch is self._last:
                for values in kept.values():
                    everything = torch.cat(values).float()
                    for neuron in range(everything.shape[1]):
                        everything[:, neuron].abs().topk(16)

        return step


def peak_mib(asked: Asked) -> float:
    """Return the peak memory of a fresh process that runs the plain stage, in MiB."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_peak, (asked,))


def _peak(asked: Asked) -> float:
    subject = Subject(asked)
    step = subject.stage(PLAIN_KERNELS)
    for batch in subject.batches:
        step(batch)
    if subject.device.type == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    status = Path("/proc/self/status").read_text(encoding="ascii")
    (peak,) = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")]
    return int(peak) / 1024


def kernels_for(device: torch.device) -> Kernels:
    """Return what a long job on the device sums with."""
    return load_native_kernels() if device.type == "cpu" else make_compiled_kernels()


def small_jobs(scratch: Path, options: argparse.Namespace) -> None:
    """Print what small jobs cost beside their forward pass: medians of ways that take turns."""
    texts = write_bundled_texts(scratch)
    shape = SHAPES["smollm2-135m"]
    smol = write_checkpoint(scratch / "smollm2", shape, shape.n_layers, attention=True)
    own = Asked(bundled.model_directory(), texts, 0, 1024, "cpu", "float32")
    random = Asked(smol, None, 0, 250, "cpu", "float32", shortest=20)
    jobs = [("bundled", own, n) for n in (2_000, 5_000, 10_000, 40_000)]
    jobs += [("smollm2-135m", random, n) for n in (2_000, 4_000)]
    jobs += [(path.name, own._replace(path=path), 8_000) for path in options.also]
    for name, asked, n_tokens in jobs:
        subject = Subject(asked._replace(tokens=n_tokens))
        for threads in options.threads:
            torch.set_num_threads(threads)
            floor, stage = _small(subject, options.repeats)
            wall, busy = (
                sorted(s[clock] / f[clock] for s, f in zip(stage, floor, strict=True))
                for clock in (0, 1)
            )
            print(
                f"{name}, {n_tokens:,} tokens, {threads} threads: bare forward"
                f" {statistics.median(f[0] for f in floor):.2f} s,"
                f" stage × {statistics.median(wall):.2f} ({wall[0]:.2f} to {wall[-1]:.2f});"
                f" of processor time × {statistics.median(busy):.2f}"
                f" ({busy[0]:.2f} to {busy[-1]:.2f})",
                flush=True,
            )


Seconds = tuple[float, float]
"""By the clock, and of the processor."""


def _small(subject: Subject, repeats: int) -> tuple[list[Seconds], list[Seconds]]:
    """Return seconds of the bare forward pass and of the stage from nothing on."""
    found: tuple[list[Seconds], list[Seconds]] = ([], [])
    for repeat in range(repeats + 1):
        steps = (subject.bare(), subject.stage(load_native_kernels()))
        wall, busy = [0.0, 0.0], [0.0, 0.0]
        for batch in subject.batches:
            for way, step in enumerate(steps):
                began = time.process_time()
                wall[way] += subject.seconds(partial(step, batch))
                busy[way] += time.process_time() - began
        if repeat:  # the first warms up
            for way in (0, 1):
                found[way].append((wall[way], busy[way]))
    return found


def measure(subject: Subject, options: argparse.Namespace) -> None:
    """Print the seconds and ratios; the ways take turns batch by batch."""
    ways: dict[str, Callable[[], Step]] = {
        "bare forward": subject.bare,
        "stage": lambda: subject.stage(kernels_for(subject.device)),
    }
    for n_listed in options.token_stats:
        kernels = kernels_for(subject.device)
        ways[f"stage, {n_listed} tokens"] = partial(subject.stage, kernels, n_listed)
    if options.plain:
        ways["stage, plain"] = lambda: subject.stage(PLAIN_KERNELS)
    if options.obvious:
        ways["run_with_cache, copy, top-k"] = Obvious(subject).begin
    for name, begin in ways.items():
        step = begin()
        first = sum(subject.seconds(partial(step, batch)) for batch in subject.batches[:WARM_UP])
        print(f"{name}: first {min(WARM_UP, len(subject.batches))} batches {first:.1f} s")
    totals: dict[str, list[float]] = {name: [] for name in ways}
    late: dict[str, float] = dict.fromkeys(ways, 0.0)
    for _ in range(options.repeats):
        steps = {name: begin() for name, begin in ways.items()}
        seconds = dict.fromkeys(ways, 0.0)
        for number, batch in enumerate(subject.batches):
            for name, step in steps.items():
                took = subject.seconds(partial(step, batch))
                seconds[name] += took
                late[name] += took if number >= len(subject.batches) * 3 // 4 else 0
        for name, took in seconds.items():
            totals[name].append(took)
    n_tokens = sum(batch.n_tokens for batch in subject.batches)
    floor, stage = totals["bare forward"], totals["stage"]
    for name, measured in totals.items():
        ratio = statistics.median(s / f for s, f in zip(measured, floor, strict=True))
        of_stage = statistics.median(s / f for s, f in zip(measured, stage, strict=True))
        median = statistics.median(measured)
        print(
            f"{name}: {median:.2f} s, {n_tokens / median:,.0f} tokens/s, × {ratio:.2f} "
            f"(of the stage × {of_stage:.2f}); "
            f"over the last quarter × {late[name] / late['bare forward']:.2f}"
        )


def profile(subject: Subject) -> None:
    """Print which operations the stage's time goes to."""
    from torch.profiler import profile as profiler

    step = subject.stage(kernels_for(subject.device))
    with profiler() as found:
        for batch in subject.batches[: 4 * WARM_UP]:
            step(batch)
    key = "self_cuda_time_total" if subject.device.type == "cuda" else "self_cpu_time_total"
    print(found.key_averages().table(sort_by=key, row_limit=25, max_name_column_width=60))


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model")
    parser.add_argument("--texts", type=Path)
    parser.add_argument("--tokens", type=int, default=40_000)
    parser.add_argument("--length", type=int, default=1024)
    parser.add_argument("--layers", type=int, help="of a published shape (default: all)")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument(
        "--plain", action="store_true", help="the stage with the plain functions, too"
    )
    parser.add_argument(
        "--token-stats",
        type=int,
        nargs="+",
        default=[],
        metavar="K",
        help="the stage with statistics of K tokens, too; random tokens are then as frequent as "
        "Zipf's law has them",
    )
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="of `small`")
    parser.add_argument("--also", type=Path, nargs="+", default=[], help="models of `small`, too")
    parser.add_argument("--obvious", action="store_true", help="run_with_cache, too")
    parser.add_argument("--memory", action="store_true", help="peak memory at 1× and 4× tokens")
    parser.add_argument("--profile", action="store_true", help="where the time goes")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        if options.model == "small":
            small_jobs(Path(scratch), options)
            return 0
        path, texts = Path(options.model), options.texts
        if options.model == "bundled":
            path, texts = bundled.model_directory(), write_bundled_texts(Path(scratch))
        elif options.model in SHAPES:
            shape = SHAPES[options.model]
            n_layers = options.layers or shape.n_layers
            path = write_checkpoint(Path(scratch) / "model", shape, n_layers, attention=True)
        asked = Asked(path, texts, options.tokens, options.length, options.device, options.dtype)
        asked = asked._replace(zipf=bool(options.token_stats))
        subject = Subject(asked)
        print(
            f"{options.model}: {subject.shape.n_layers} layers, d_model {subject.shape.d_model}, "
            f"d_mlp {subject.shape.d_mlp}, {subject.dtype}, {subject.device}, "
            f"{torch.get_num_threads()} threads, {len(subject.batches)} batches"
        )
        measure(subject, options)
        if options.profile:
            profile(subject)
        if options.memory:
            one, four = (peak_mib(asked._replace(tokens=n * options.tokens)) for n in (1, 4))
            print(f"peak memory: {one:,.0f} MiB, with four times the tokens {four:,.0f} MiB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
