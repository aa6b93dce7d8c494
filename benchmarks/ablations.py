"""A suite of thirty interventions against thirty pairs of passes with plain hooks.

    python -m benchmarks.ablations bundled
    python -m benchmarks.ablations DIRECTORY --texts stories.txt --max-texts 100
    python -m benchmarks.ablations llama-3.2-1b --layers 4 --length 1024 --device cuda

A model is `bundled`, a directory in hub format, or the name of a published shape, which gets random
weights and random token ids. Its three largest classes but orthogonal output, under no condition
and the four published ones, each with a random baseline: thirty runs. Of a shape, three random sets
stand for the classes. The suite is what `neurondb ablate-suite` does from the loaded model to the
statistics. The other way runs the model twice for each, once clean and once with a hook that sets
the neurons, and takes loss, entropy, rank and scale from its logits. Prints seconds of both, their
ratio, and by how much the means differ.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmarks.shapes import SHAPES, write_checkpoint
from ingest import bundled
from ingest.checkpoint.reader import Checkpoint
from ingest.forward import Batch, Forward, batch_tokens, make_batches, pick_device, pick_dtype
from ingest.forward.prefix_cache import compute_norm_divisor
from ingest.forward.runtime import keep_freed_blocks, use_threads_for
from ingest.interventions import Intervention, Targets
from ingest.interventions.runner import InterventionRunner
from ingest.interventions.statistics import compute_results, count_bins
from ingest.jobs.demo import write_bundled_texts
from ingest.text.datasets import read_dataset
from ingest.text.tokenizer import Tokenizer, tokenize
from ingest.weights.preprocess import preprocess_neurons
from neurondb.contracts.ingest import Preprocessing
from neurondb.interventions import ALWAYS, METRICS, PUBLISHED_CONDITIONS, Condition
from neurondb.taxonomy import ORTHOGONAL, classify

N_CLASSES = 3
CONDITIONS = (ALWAYS, *map(Condition.parse, PUBLISHED_CONDITIONS))
OF_A_SHAPE = 0.01
"""Share of all neurons that are in a set, where there are no classes."""


class Neurons(NamedTuple):
    """Places of neurons, layer · d_mlp + neuron, and the signs of all."""

    places: NDArray[np.int64]
    signs: Tensor
    d_mlp: int

    def intervention(self, condition: Condition) -> Intervention:
        """Return what removes them."""
        layers, neurons = np.divmod(self.places, self.d_mlp)
        targets = {}
        for layer in np.unique(layers).tolist():
            here = torch.from_numpy(neurons[layers == layer])
            signs = self.signs[layer * self.d_mlp + here]
            targets[layer] = Targets(here, signs, torch.zeros(len(here)))
        return Intervention(targets, "hook_post", condition)


def sets(checkpoint: Checkpoint, random: np.random.Generator) -> list[Neurons]:
    """Return three sets, and after each a random one of the same layers."""
    shape = checkpoint.architecture
    n = shape.n_layers * shape.d_mlp
    classes, signs = classified(checkpoint)
    sizes = np.bincount(classes, minlength=ORTHOGONAL + 1)
    sizes[ORTHOGONAL] = 0
    largest = np.argsort(-sizes)[:N_CLASSES]
    found = []
    for class_id in largest:
        members = np.flatnonzero(classes == class_id)
        if sizes[class_id] == 0:
            members = np.sort(random.choice(n, int(n * OF_A_SHAPE), replace=False))
        found += [Neurons(members, signs, shape.d_mlp)]
        found += [Neurons(counterpart(members, shape.d_mlp, random), signs, shape.d_mlp)]
    return found


def classified(checkpoint: Checkpoint) -> tuple[NDArray[np.int64], Tensor]:
    """Return the class and the sign of every neuron."""
    shape, classes, signs = checkpoint.architecture, [], []
    for layer in range(shape.n_layers):
        found = preprocess_neurons(checkpoint.read_layer(layer), shape, Preprocessing())
        assert found.gate is not None
        pairs = ((found.gate, found.in_), (found.gate, found.out), (found.in_, found.out))
        gate_in, gate_out, in_out = (torch.cosine_similarity(a, b).numpy() for a, b in pairs)
        classes.append(classify(gate_in, gate_out, in_out).astype(np.int64))
        signs.append(found.sign.float())
    return np.concatenate(classes), torch.cat(signs)


def counterpart(
    members: NDArray[np.int64], d_mlp: int, random: np.random.Generator
) -> NDArray[np.int64]:
    """Return as many other neurons of the same layers."""
    drawn = []
    for layer, n in zip(*np.unique(members // d_mlp, return_counts=True), strict=True):
        rest = np.setdiff1d(np.arange(layer * d_mlp, (layer + 1) * d_mlp), members)
        drawn.append(random.choice(rest, n, replace=False))
    return np.sort(np.concatenate(drawn))


def token_ids(
    options: argparse.Namespace, path: Path, checkpoint: Checkpoint
) -> list[NDArray[np.int64]]:
    """Return the texts' token ids, or random ones."""
    if options.texts is None:
        size = (options.max_texts, options.length)
        return list(np.random.default_rng(0).integers(0, checkpoint.architecture.d_vocab, size))
    dataset = read_dataset(str(options.texts), options.max_texts)
    max_len = min(options.length, checkpoint.architecture.context or options.length)
    return list(tokenize(Tokenizer(path), dataset, max_len, skip_bos=False).token_ids)


class Plain:
    """What one would write first: a hook a layer, logits of the whole batch, both passes."""

    def __init__(self, forward: Forward, token_ids: Sequence[NDArray[np.int64]]) -> None:
        self._forward = forward
        device = forward.device
        self._batches = list(make_batches(token_ids, device, batch_tokens(device)))

    @torch.inference_mode()
    def pair(self, intervention: Intervention) -> dict[str, float]:
        """Return the mean of clean − ablated of each metric."""
        differences: dict[str, list[Tensor]] = {metric: [] for metric in METRICS}
        placed = intervention.to(self._forward.device)
        for batch in self._batches:
            clean = self._measured(batch)
            hooks = [hook for layer in placed.layers for hook in self._hooks(layer, placed)]
            after = self._measured(batch)
            for hook in hooks:
                hook.remove()
            for metric in METRICS:
                differences[metric].append((clean[metric] - after[metric]).cpu())
        return {m: float(torch.cat(d).double().nanmean()) for m, d in differences.items()}

    def _hooks(
        self, layer: int, intervention: Intervention
    ) -> list[torch.utils.hooks.RemovableHandle]:
        places, targets = self._forward.hook_points[layer], intervention.targets[layer]
        gates: list[Tensor] = []
        condition = intervention.condition

        def keep(_module: nn.Module, _inputs: object, output: Tensor) -> None:
            gates[:] = [output[..., targets.neurons]]

        def change(_module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor]:
            post = inputs[0].clone()
            chosen = post[..., targets.neurons]
            if condition == ALWAYS:
                post[..., targets.neurons] = 0
            else:
                here = (gates[0] * condition.gate > 0) & (
                    chosen * targets.signs * condition.post > 0
                )
                post[..., targets.neurons] = chosen.masked_fill(here, 0)
            return (post,)

        assert places.gate is not None
        return [
            places.gate.module.register_forward_hook(keep),
            places.out.module.register_forward_pre_hook(change),
        ]

    def _measured(self, batch: Batch) -> dict[str, Tensor]:
        streams: list[Tensor] = []
        norm = self._forward.final_norm
        assert norm is not None
        hook = norm.register_forward_pre_hook(lambda _m, x: streams.append(x[0]))
        logits = self._forward.logits(batch).float()
        hook.remove()
        counted = torch.arange(logits.shape[1], device=logits.device) < batch.lengths[:, None]
        log_p = logits.log_softmax(-1)
        following = batch.token_ids[:, 1:, None]
        correct = logits[:, :-1].gather(-1, following)
        return {
            "loss": -log_p[:, :-1].gather(-1, following)[..., 0][counted[:, 1:]],
            "entropy": -(log_p.exp() * log_p).sum(-1)[counted],
            "rank": (logits[:, :-1] > correct).sum(-1)[counted[:, 1:]].float(),
            "scale": compute_norm_divisor(norm, streams[0], self._forward.architecture.norm)[
                counted
            ],
        }


def suite(
    forward: Forward, ids: Sequence[NDArray[np.int64]], wanted: Sequence[Intervention]
) -> list[dict[str, float]]:
    """Return the means of what `ablate-suite` computes, its bins and quantiles too."""
    runner = InterventionRunner(forward, ids, skip_bos=False)
    values = runner.run(wanted, lambda n: None)
    found = []
    for run in range(len(wanted)):
        count_bins(runner.clean, values, run)
        of_run = compute_results(runner.clean, values, run)
        found.append({one.metric: one.mean for one in of_run if one.filter == "all"})
    return found


def measure(
    forward: Forward, ids: Sequence[NDArray[np.int64]], wanted: Sequence[Intervention]
) -> None:
    """Run both ways, print seconds, ratio and the largest difference of a mean."""
    plain = Plain(forward, ids)
    plain.pair(wanted[0])
    suite(forward, ids, wanted[:1])
    # On a processor that others use too, the time that this process got is what tells.
    clock = time.process_time if forward.device.type == "cpu" else time.perf_counter
    started = clock()
    ours = suite(forward, ids, wanted)
    middle = clock()
    theirs = [plain.pair(one) for one in wanted]
    ended = clock()
    worst = {m: max(abs(a[m] - b[m]) for a, b in zip(ours, theirs, strict=True)) for m in METRICS}
    n_tokens = sum(map(len, ids))
    print(f"{len(wanted)} runs over {n_tokens:,} tokens")
    rate = n_tokens * len(wanted) / (middle - started)
    print(f"suite: {middle - started:.2f} s, {rate:,.0f} tokens/s")
    print(f"pairs with plain hooks: {ended - middle:.2f} s")
    print(f"ratio: {(middle - started) / (ended - middle):.3f}")
    print("largest difference of a mean: " + ", ".join(f"{m} {d:.1e}" for m, d in worst.items()))


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model")
    parser.add_argument("--texts", type=Path)
    parser.add_argument("--max-texts", type=int, default=60)
    parser.add_argument("--length", type=int, default=1024)
    parser.add_argument("--layers", type=int, help="of a published shape (default: all)")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="auto")
    options = parser.parse_args()
    keep_freed_blocks()
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(options.model)
        if options.model == "bundled":
            path, options.texts = bundled.model_directory(), str(write_bundled_texts(Path(scratch)))
        elif options.model in SHAPES:
            shape = SHAPES[options.model]
            n_layers = options.layers or shape.n_layers
            path = write_checkpoint(Path(scratch) / "model", shape, n_layers, attention=True)
        checkpoint = Checkpoint.open(path)
        use_threads_for(checkpoint.architecture)
        device = pick_device(options.device)
        forward = Forward(checkpoint, device, pick_dtype(options.dtype, device, checkpoint.config))
        chosen = sets(checkpoint, np.random.default_rng(0))
        print(
            f"{options.model}: sets of {', '.join(str(len(one.places)) for one in chosen)} neurons"
        )
        wanted = [one.intervention(c) for one, c in product(chosen, CONDITIONS)]
        measure(forward, token_ids(options, path, checkpoint), wanted)
    return 0


if __name__ == "__main__":
    sys.exit(main())
