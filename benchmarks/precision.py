"""What a forward pass in bfloat16 changes of the stage's numbers, and how much faster it is.

    python -m benchmarks.precision DIRECTORY-OR-GGUF --tokens 6000
    python -m benchmarks.precision bundled --tokens 10000

The model runs over the same batches in float32 and in bfloat16, batch by batch in turns. Printed
are the processor's seconds of the bare pass and of the stage, their ratios as medians of the
repeats, and of every neuron the differences that a reader of the database would see: in the
frequencies of the sign cases, in the largest |hook_post|, and in which texts are the top examples.
`--rounded` rounds the weights to bfloat16 for both, as a checkpoint stored in bfloat16 has them:
what is left then is the rounding of the pass.
"""

import argparse
import statistics
import sys
import time
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.activations import Asked, Subject, kernels_for
from ingest import bundled
from ingest.activations.summary import LayerSummary
from neurondb.contracts.activations import ActivationsRecord

PRECISIONS = ("float32", "bfloat16")
LEAST_COUNT = 20
"""Tokens of a case from which its extreme says something."""


def round_weights(subject: Subject) -> None:
    """Round the weights of a model that runs in float32 to bfloat16."""
    for parameter in subject.forward.model.parameters():
        parameter.data = parameter.data.bfloat16().float()


def summarise(subject: Subject) -> dict[int, LayerSummary]:
    """Return the summaries of all layers over all batches."""
    summaries = subject.empty_summaries()
    step = subject.stage(kernels_for(subject.device), summaries=summaries)
    for batch in subject.batches:
        step(batch)
    return summaries


def time_in_turns(subjects: list[Subject], repeats: int, n_batches: int) -> None:
    """Print seconds of the processor and of the clock, bare and of the stage."""
    for name in ("bare", "stage"):
        seconds: list[list[tuple[float, float]]] = [[], []]
        for repeat in range(repeats + 1):
            steps = [
                s.bare() if name == "bare" else s.stage(kernels_for(s.device)) for s in subjects
            ]
            totals = [[0.0, 0.0], [0.0, 0.0]]
            for pair in zip(*(s.batches[:n_batches] for s in subjects), strict=True):
                for way, (step, batch) in enumerate(zip(steps, pair, strict=True)):
                    wall, busy = time.perf_counter(), time.process_time()
                    step(batch)
                    totals[way][0] += time.perf_counter() - wall
                    totals[way][1] += time.process_time() - busy
            if repeat:  # the first warms up
                for way, total in enumerate(totals):
                    seconds[way].append((total[0], total[1]))
        for clock, label in enumerate(("clock", "processor")):
            wide, half = ([one[clock] for one in of] for of in seconds)
            ratio = statistics.median(h / w for w, h in zip(wide, half, strict=True))
            print(
                f"{name}, {label}: float32 {statistics.median(wide):.2f} s, bfloat16"
                f" {statistics.median(half):.2f} s, × {ratio:.2f}",
                flush=True,
            )


def compare(wide: ActivationsRecord, half: ActivationsRecord) -> dict[str, NDArray[np.float64]]:
    """Return by quantity the differences of a layer's neurons."""
    n = wide.n_tokens.astype(float)
    change, extremes = [], []
    for case, statistics_ in wide.cases.items():
        other = half.cases[case]
        change.append(np.abs(statistics_.count / n - other.count / half.n_tokens))
        usable = np.minimum(statistics_.count, other.count) >= LEAST_COUNT
        a, b = (np.maximum(np.abs(one.min[0]), np.abs(one.max[0])) for one in (statistics_, other))
        extremes.append((np.abs(b - a) / np.maximum(a, 1e-9))[usable])
    same_first, shared = [], []
    for of_list, examples in wide.examples.items():
        others = half.examples[of_list].ordinal
        there = examples.ordinal[:, 0] >= 0
        same_first.append((examples.ordinal[:, 0] == others[:, 0])[there])
        both = (examples.ordinal[:, :, None] == others[:, None, :]) & (
            examples.ordinal[:, :, None] >= 0
        )
        filled = (examples.ordinal >= 0).sum(1)
        shared.append((both.any(2).sum(1) / np.maximum(filled, 1))[there])
    return {
        "frequency of a case, change": np.concatenate(change),
        "largest |hook_post| of a case, relative change": np.concatenate(extremes),
        "first example the same": np.concatenate(same_first).astype(float),
        "examples shared": np.concatenate(shared),
    }


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model")
    parser.add_argument("--texts", type=Path, default=bundled.DATASETS[bundled.SAMPLER])
    parser.add_argument("--tokens", type=int, default=6000)
    parser.add_argument("--length", type=int, default=256)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--timed", type=int, default=3, help="batches that are timed")
    parser.add_argument("--rounded", action="store_true", help="weights rounded to bfloat16")
    options = parser.parse_args()
    path = bundled.model_directory() if options.model == "bundled" else Path(options.model)
    subjects = [
        Subject(Asked(path, options.texts, options.tokens, options.length, "cpu", dtype))
        for dtype in PRECISIONS
    ]
    torch.set_num_threads(options.threads)
    if options.rounded:
        round_weights(subjects[0])
    n_tokens = sum(batch.n_tokens for batch in subjects[0].batches)
    print(f"{options.model}: {n_tokens:,} tokens, {options.threads} threads")
    wide, half = (summarise(subject) for subject in subjects)
    parts = [compare(wide[n].record(), half[n].record()) for n in wide]
    for quantity in parts[0]:
        values = np.concatenate([part[quantity] for part in parts])
        q50, q95, q99 = np.quantile(values, (0.5, 0.95, 0.99))
        print(
            f"{quantity}: mean {values.mean():.5f}, median {q50:.5f}, 95% {q95:.5f}, 99% {q99:.5f},"
            f" least {values.min():.5f}, largest {values.max():.5f}",
            flush=True,
        )
    time_in_turns(subjects, options.repeats, options.timed)
    return 0


if __name__ == "__main__":
    sys.exit(main())
