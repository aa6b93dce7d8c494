"""The sections of `benchmarks.gpu`, each run in a process of its own.

    python -m benchmarks.gpu_sections activations-8b figures.json --device cuda
    python -m benchmarks.gpu_sections reduction figures.json --device cpu --tiny

Writes the figures as JSON: numbers by what they are. `problem` is there when one is not as it must
be, `skipped` where a section needs a GPU.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

import torch

from benchmarks import vocabulary
from benchmarks.gpu_model import CardSubject, read_peak_gib, wait_for
from benchmarks.shapes import SHAPES, Shape
from ingest.activations.compiled import PLAIN_KERNELS, Kernels, make_compiled_kernels
from ingest.activations.counted_batch import CountedBatch
from ingest.activations.native import load_native_kernels
from ingest.activations.reduction import (
    GATED,
    UNGATED,
    NeuronKind,
    compute_batch_totals,
    compute_centres,
)
from ingest.forward import MLPActivations, make_batches
from ingest.vocabulary.lm_head import LmHead
from ingest.weights.token_rows import TokenRows
from neurondb.schema.codes import SIDES

Figures = dict[str, Any]

TINY: Final = Shape(64, 128, 2, 512, 4, 2)
JOBS: Final = "tests/ingest/jobs/test_on_cards.py"
LONGEST: Final = 512
CORPUS: Final = 20_000_000
"""Tokens that a pass is extrapolated to."""
SUM_TOLERANCE: Final = 1e-5
"""Relative to the sum of absolute values: float32 within a text, float64 beyond."""


class Asked(NamedTuple):
    """Where to measure, and whether on tiny shapes."""

    device: torch.device
    tiny: bool
    path: Path | None = None
    """The file of the figures; None keeps them nowhere."""

    def keep(self, figures: Figures) -> Figures:
        """Write the figures that there are so far: what fails later takes none of them along."""
        if self.path is not None:
            self.path.write_text(json.dumps(figures), encoding="utf-8")
        return figures

    def shape(self, name: str) -> Shape:
        """Return a published shape, or the tiny one."""
        return TINY if self.tiny else SHAPES[name]

    @property
    def kernels(self) -> Kernels:
        """What a long pass on the device sums with."""
        return load_native_kernels() if self.device.type == "cpu" else make_compiled_kernels()


def run_tests(asked: Asked) -> Figures:
    """Run the tests that need a GPU."""
    if asked.device.type != "cuda":
        return {"skipped": True}
    command = [sys.executable, "-m", "pytest", "-m", "gpu", "-q", "-p", "no:cacheprovider"]
    # Jobs first: the others compile for minutes.
    done = subprocess.run([*command, JOBS, "tests"], stdout=subprocess.PIPE, text=True)
    last = (done.stdout.strip().splitlines() or ["nothing"])[-1]
    figures: Figures = {"pytest -m gpu": last.strip("= ")}
    if done.returncode:
        figures["problem"] = "\n".join(done.stdout.strip().splitlines()[-40:])
    return figures


@torch.inference_mode()
def compare_reductions(asked: Asked) -> Figures:
    """Compare what a compiled reduction yields with the plain one, on random bfloat16 values."""
    n_neurons, lengths = (96, (17, 9, 1)) if asked.tiny else (4096, (512, 384, 100, 1) * 8)
    figures: Figures = {}
    wrong = []
    for kind in (GATED, UNGATED):
        found, batch, sign = _draw_batch(kind, n_neurons, lengths, asked.device)
        started = time.perf_counter()
        gap = _compare(asked.kernels, kind, found, batch, sign)
        name = "gated" if kind.gated else "ungated"
        asked.keep(figures)
        figures |= {f"{name}: {what}": value for what, value in gap.items()}
        figures[f"{name}: seconds, compiling included"] = time.perf_counter() - started
        if any(value for what, value in gap.items() if what.startswith("differing")) or any(
            value > SUM_TOLERANCE for what, value in gap.items() if what.startswith("largest")
        ):
            wrong.append(name)
    if wrong:
        figures["problem"] = f"the compiled reduction differs: {', '.join(wrong)}"
    return figures


def _draw_batch(
    kind: NeuronKind, n_neurons: int, lengths: tuple[int, ...], device: torch.device
) -> tuple[MLPActivations, CountedBatch, torch.Tensor]:
    draw = torch.Generator().manual_seed(0)
    ids = [torch.zeros(n, dtype=torch.int64).numpy() for n in lengths]
    (batch,) = make_batches(ids, device, len(lengths) * max(lengths))
    shape = (*batch.token_ids.shape, n_neurons)
    gate, in_ = (torch.randn(shape, generator=draw).bfloat16().to(device) for _ in range(2))
    act = torch.nn.functional.silu
    post = act(gate) * in_ if kind.gated else act(in_)
    sign = torch.randn(n_neurons, generator=draw).sign().to(device)
    found = MLPActivations(gate if kind.gated else None, in_, post)
    return found, CountedBatch.from_batch(batch), sign if kind.gated else torch.ones_like(sign)


def _compare(
    kernels: Kernels,
    kind: NeuronKind,
    found: MLPActivations,
    batch: CountedBatch,
    sign: torch.Tensor,
) -> dict[str, float]:
    centre = compute_centres(found, sign, batch.centre_tokens)
    inputs = (kind, torch.nn.functional.silu, found, sign, batch.counted)
    (plain, peaks), (fused, fused_peaks) = (
        k.reduce_batch(*inputs, centre) for k in (PLAIN_KERNELS, kernels)
    )
    (counts, sums), (fused_counts, fused_sums) = (
        compute_batch_totals(kind, one, centre) for one in (plain, fused)
    )
    places, fused_places = (
        k.find_histogram_bins(kind, found, sign, batch.drawn_tokens)
        for k in (PLAIN_KERNELS, kernels)
    )
    # swish is rounded anew where it is computed anew.
    exact = torch.tensor([quantity != 3 for _, quantity in kind.peaks], device=peaks.device)
    differing = sum(
        int((getattr(counts, name) != getattr(fused_counts, name)).sum())
        for name in ("finite", "nonfinite", "positive", "in_case")
    )
    n_tokens = batch.counted.sum()
    gaps = {
        name: (getattr(sums, name) - getattr(fused_sums, name)).abs().max() / n_tokens
        for name in ("mean", "power2", "power3", "power4", "sum")
    }
    return {
        "differing counts": differing,
        "differing peaks": int((peaks != fused_peaks)[exact].sum()),
        "differing bins": int((places != fused_places).sum()),
        **{f"largest gap of {name}, a token": float(gap) for name, gap in gaps.items()},
    }


def count_waits(asked: Asked) -> Figures:
    """Count what torch says it waits for in batches of a pass, once all is compiled."""
    subject = CardSubject(asked.shape("smollm2-135m"), asked.device, n_batches=6, longest=LONGEST)
    summariser = subject.summariser(asked.kernels)
    waits: list[int] = []
    for batch in subject.host_batches:
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            if asked.device.type == "cuda":
                torch.cuda.set_sync_debug_mode("warn")
            summariser.run(subject.forward, batch.to(asked.device))
            if asked.device.type == "cuda":
                torch.cuda.set_sync_debug_mode("default")
        waits.append(sum("synchroniz" in str(one.message) for one in told))
    summariser.finish(subject.forward)
    bare = subject.bare()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        if asked.device.type == "cuda":
            torch.cuda.set_sync_debug_mode("warn")
        bare(subject.batches[-1])
        if asked.device.type == "cuda":
            torch.cuda.set_sync_debug_mode("default")
    of_model = sum("synchroniz" in str(one.message) for one in told)
    later = max(waits[2:])
    figures: Figures = {
        "waits a batch, in order": " ".join(map(str, waits)),
        "of these, transformers' own": of_model,
    }
    if later > of_model + 1:
        figures["problem"] = f"{later} waits in a batch, {of_model} of them transformers' own"
    return figures


def measure_activations(asked: Asked, name: str, n_batches: int) -> Figures:
    """Measure the pass with everything that is counted of it, and the bare one."""
    shape = asked.shape(name)
    n_batches = 3 if asked.tiny else n_batches
    started = time.perf_counter()
    subject = CardSubject(shape, asked.device, n_batches, 40 if asked.tiny else LONGEST)
    made = time.perf_counter() - started
    bare, warm = subject.bare(), subject.summariser(asked.kernels)
    started = time.perf_counter()
    for batch in subject.batches[:2]:
        bare(batch)
        warm.run(subject.forward, batch)
    warm.finish(subject.forward)
    wait_for(asked.device)
    compiling = time.perf_counter() - started
    del warm
    floor, floor_late = subject.time_pass(bare)
    n_tokens = sum(batch.n_tokens for batch in subject.batches)
    figures: Figures = {
        "layers × neurons": f"{shape.n_layers} × {shape.d_mlp}",
        "tokens": n_tokens,
        "model made on the device, s": made,
        "first two batches, compiling included, s": compiling,
        "bare forward pass, tokens/s": n_tokens / floor,
        "peak memory of the bare pass, GiB": read_peak_gib(asked.device),
    }
    asked.keep(figures)
    summariser = subject.summariser(asked.kernels)
    took, late = subject.time_pass(
        lambda batch: summariser.run(subject.forward, batch),
        lambda: summariser.finish(subject.forward),
    )
    again, _ = subject.time_pass(bare)
    floor = min(floor, again)
    return figures | {
        "bare forward pass, tokens/s": n_tokens / floor,
        "activation pass, tokens/s": n_tokens / took,
        "activation pass × bare": took / floor,
        "over the last quarter ×": late / floor_late,
        "20 M tokens, minutes": CORPUS / (n_tokens / took) / 60,
        "peak memory of the pass, GiB": read_peak_gib(asked.device),
    }


@torch.inference_mode()
def measure_vocabulary(asked: Asked, name: str, repeats: int = 3) -> Figures:
    """Measure a layer's projections and the bare products that they need."""
    shape = asked.shape(name)
    started = time.perf_counter()
    subject = vocabulary.Subject(shape, shape.d_mlp, asked.device)
    wait_for(asked.device)
    ready = time.perf_counter() - started
    block = subject.block()
    ways: dict[str, Callable[[], object]] = {
        "products": lambda: subject.bare([block]),
        "stage": lambda: subject.project(block),
    }
    read_peak_gib(asked.device)
    figures: Figures = {
        "tokens × d_model, neurons": f"{shape.d_vocab} × {shape.d_model}, {shape.d_mlp}",
        "scores by": subject.precision.value,
        "beginning, s": ready,
    }
    least: dict[str, float] = {}
    for repeat in range(repeats + 1):
        for way, work in ways.items():
            took, _ = subject.seconds(work)
            if repeat:  # the first warms up
                least[way] = min(took, least.get(way, took))
                asked.keep(figures | {f"{name} of a layer, s": s for name, s in least.items()})
    return figures | {
        "products of a layer, s": least["products"],
        "projections of a layer, s": least["stage"],
        "projections × products": least["stage"] / least["products"],
        "all layers, s": ready + shape.n_layers * least["stage"],
        "peak memory, GiB": read_peak_gib(asked.device),
    }


@torch.inference_mode()
def measure_lm_head(asked: Asked) -> Figures:
    """Measure the decoding of every in vector of an 8B model, on both sides."""
    shape = asked.shape("llama-3.1-8b")
    unembed = torch.empty(shape.d_vocab, shape.d_model, device=asked.device).normal_(0, 0.02)
    head = LmHead(unembed.bfloat16(), TokenRows(shape.d_vocab))
    in_ = torch.empty(shape.d_mlp, shape.d_model, device=asked.device).normal_(0, 0.02)
    in_ = in_.bfloat16().float()
    n_layers = min(shape.n_layers, 8)
    head.decode(in_, SIDES)
    wait_for(asked.device)
    read_peak_gib(asked.device)
    started = time.perf_counter()
    for _ in range(n_layers):
        head.decode(in_, SIDES)
    wait_for(asked.device)
    a_layer = (time.perf_counter() - started) / n_layers
    return {
        "neurons of a layer": shape.d_mlp,
        "a layer, both sides, s": a_layer,
        f"all {shape.n_layers} layers, s": shape.n_layers * a_layer,
        "peak memory, GiB": read_peak_gib(asked.device),
    }


MEASURES: Final[dict[str, Callable[[Asked], Figures]]] = {
    "vocabulary-8b": lambda asked: measure_vocabulary(asked, "llama-3.1-8b"),
    "activations-8b": lambda asked: measure_activations(asked, "llama-3.1-8b", 12),
    "lm-head-8b": measure_lm_head,
    "reduction": compare_reductions,
    "waits": count_waits,
    "activations-1b": lambda asked: measure_activations(asked, "llama-3.2-1b", 32),
    "vocabulary-1b": lambda asked: measure_vocabulary(asked, "llama-3.2-1b"),
    "tests": run_tests,
}


def main() -> int:
    """Measure one section and write its figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("section", choices=MEASURES)
    parser.add_argument("figures", type=Path)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--tiny", action="store_true")
    options = parser.parse_args()
    torch.manual_seed(0)
    asked = Asked(torch.device(options.device), options.tiny, options.figures)
    asked.keep(MEASURES[options.section](asked))
    return 0


if __name__ == "__main__":
    sys.exit(main())
