"""A prompt explained, against one bare forward and backward pass of the same model.

    python -m benchmarks.prompt smollm2-135m
    python -m benchmarks.prompt llama-3.2-1b --layers 4 --tokens 100 --device cuda

Random weights of a published shape, with the bundled tokenizer and texts, so that surprise has
histograms. The model is loaded once. The bare pass is transformers' own: logits at the positions
that are shown, the last or all, and the gradient of the last position's largest by the embeddings,
which passes through every layer and no weight. The two are run in turn; prints the median seconds
of each and the median ratio of pairs, for what `neurondb prompt` is asked by default and for its
other measures.
"""

import argparse
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchmarks.shapes import SHAPES, shape_options, write_checkpoint
from ingest import bundled
from ingest.interventions.explaining.session import PromptSession, open_session
from ingest.jobs.demo import write_bundled_texts
from ingest.jobs.prompt import explain
from neurondb.contracts.ingest import IngestRequest
from neurondb.contracts.inputs import Machine
from neurondb.contracts.prompt import PromptRequest
from neurondb.contracts.registry import load_job
from neurondb.neurons import NeuronPlace
from tests.support.ingested import Silent

REQUESTS: dict[str, dict[str, Any]] = {
    "effect, at the last": {},
    "effect, at all": {"at": "all"},
    "norm, at all": {"by": "norm", "at": "all"},
    "gradient, at the last": {"by": "gradient"},
    "gradient, at all": {"by": "gradient", "at": "all"},
    "surprise, at the last": {"by": "surprise"},
    "surprise, at all": {"by": "surprise", "at": "all"},
    "effect, without two": {"without": (NeuronPlace(0, 1), NeuronPlace(1, 1))},
}


def prepare(directory: Path, options: argparse.Namespace) -> PromptSession:
    """Write a model, ingest it with some texts, and load it."""
    shape = SHAPES[options.shape]
    path = write_checkpoint(directory / "model", shape, options.layers, attention=True)
    for file in bundled.model_directory().glob("*token*"):
        shutil.copy(file, path / file.name)
    request = IngestRequest(
        str(path),
        str(directory / "n.db"),
        name="m",
        stages=("weights", "activations"),
        dataset=str(write_bundled_texts(directory)),
        max_texts=8,
        max_len=64,
        device=options.device,
    )
    load_job("ingest")(request, Silent())
    machine = Machine("m", str(directory / "n.db"), options.device, options.dtype)
    return open_session(machine)


def bare(session: PromptSession, ids: list[int], n_logits: int) -> None:
    """Run the model forward and backward, with logits at so many positions; 0 is all."""
    model: Any = session.forward.model
    batch = torch.tensor([ids], device=session.forward.device)
    embedded = model.get_input_embeddings()(batch).detach().requires_grad_()
    logits = model(inputs_embeds=embedded, use_cache=False, logits_to_keep=n_logits).logits[0, -1]
    (gradient,) = torch.autograd.grad(logits.max(), embedded)
    assert bool(gradient.isfinite().all())


def seconds(session: PromptSession, call: Callable[[], object]) -> float:
    """Return how long a call takes: the process' own time on a processor, which others use too."""
    on_gpu = session.forward.device.type == "cuda"
    clock = time.perf_counter if on_gpu else time.process_time
    started = clock()
    call()
    if on_gpu:
        torch.cuda.synchronize()
    return clock() - started


def measure(session: PromptSession, text: str, rounds: int) -> None:
    """Print seconds and ratios of every request."""
    ids = session.encode(text, chat=False)
    n_neurons = session.stored.n_neurons
    print(f"{len(ids)} tokens, {n_neurons:,} neurons, d = {session.stored.d_model}")
    for name, how in REQUESTS.items():
        request = PromptRequest(session.machine, text, **how)
        pairs, n_logits = [], 0 if request.at == "all" else 1
        for _ in range(rounds + 1):  # the first round warms up
            floor = seconds(session, partial(bare, session, ids, n_logits))
            pairs.append((seconds(session, partial(explain, session, request)), floor))
        ours, floors = (statistics.median(column) for column in zip(*pairs[1:], strict=True))
        ratio = statistics.median(one / floor for one, floor in pairs[1:])
        print(f"{name:24} {ours:.3f} s, bare {floors:.3f} s, ratio {ratio:.2f}")


def main() -> int:
    """Measure and print."""
    parser = shape_options(__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.set_defaults(layers=None)
    parser.add_argument("--tokens", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="auto")
    options = parser.parse_args()
    options.layers = options.layers or SHAPES[options.shape].n_layers
    with tempfile.TemporaryDirectory() as scratch:
        session = prepare(Path(scratch), options)
        text = "Once upon a time there was a little dog named Ben. " * options.tokens
        ids = session.running.tokenizer.encode_plain_prompt(text)[: options.tokens]
        measure(session, session.running.tokenizer.decode(ids), options.rounds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
