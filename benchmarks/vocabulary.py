"""The vocabulary stage against the bare matrix products that it needs, and its peak memory.

    python -m benchmarks.vocabulary llama-3.2-1b --layers 1 --neurons 1024
    python -m benchmarks.vocabulary llama-3.1-8b --layers 32 --device cuda

The products are those of `ingest.vocabulary.products`, on a processor in float32 whatever it has
beside that: three vectors with two bases, and `in` with the raw unembedding. A block is `--neurons`
neurons, a layer unless told otherwise; the vocabulary is random, of the real size. Prints seconds a
block of the products, of the projector, and of computing and storing (in SQLite, in a thread, the
time in which nothing is computed included, and the index on tokens, which is built after a load),
ratios as medians of alternating repeats, of the processor's time too, and the peak memory above the
vocabulary. The database is there before, without rows.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from benchmarks.shapes import SHAPES, Shape, shape_options
from ingest.forward.runtime import keep_freed_blocks
from ingest.stages.background_writer import write_in_background
from ingest.vocabulary import Operand, Precision, Projector, multiply_tiles
from ingest.vocabulary.products import NEURON_TILE
from ingest.weights.preprocess import NeuronVectors
from neurondb import migrate
from neurondb.contracts.model import ModelRecord, RunRecord
from neurondb.contracts.vocabulary import VocabularyRecord
from neurondb.schema import tables
from neurondb.writing import indexes, models, vocabulary
from neurondb.writing.ledger import Ledger, Step


class Block(NamedTuple):
    """Neurons of a layer."""

    vectors: NeuronVectors
    raw_in: Tensor


class Subject:
    """A random vocabulary, and random neurons, on a device."""

    def __init__(self, shape: Shape, n_neurons: int, device: torch.device) -> None:
        self.shape, self.n_neurons, self.device = shape, n_neurons, device
        self.precision = Precision.for_device(device, shape.d_vocab)
        size = shape.d_vocab, shape.d_model
        raw = torch.randn(size, device=device).mul_(0.02).bfloat16()
        unembed = raw.float()
        self.projector = Projector(unembed, unembed, raw)
        self.bases = [Operand.at_precision(basis, self.precision) for basis in (unembed, raw)]

    def block(self) -> Block:
        """Return random neurons."""
        shape = self.n_neurons, self.shape.d_model
        gate, in_, out = (
            torch.randn(shape, device=self.device).bfloat16().float() for _ in range(3)
        )
        sign = torch.ones(self.n_neurons, dtype=torch.int8)
        return Block(NeuronVectors(gate, in_, out, None, None, sign), in_)

    def bare(self, blocks: list[Block]) -> None:
        """Multiply, and nothing else."""
        for block in blocks:
            self._multiply(block)

    def _multiply(self, block: Block) -> None:
        basis, raw = self.bases
        gate, in_, out = block.vectors.gate, block.vectors.in_, block.vectors.out
        assert gate is not None
        for rows, right in [*((v, basis) for v in (gate, in_, out) for _ in range(2)), (in_, raw)]:
            for tile in torch.split(rows, NEURON_TILE.get(self.device.type, 1024)):
                for _ in multiply_tiles(Operand(tile, right.half), right):
                    pass

    def project(self, block: Block) -> VocabularyRecord:
        """Compute all that is stored."""
        return self.projector.project(*block)

    def seconds(self, work: Callable[[], object]) -> tuple[float, float]:
        """Return how long `work` takes, on the device too, and the processor's time for it."""
        self._wait()
        started, spent = time.perf_counter(), time.process_time()
        work()
        self._wait()
        return time.perf_counter() - started, time.process_time() - spent

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()


class Store:
    """A database that blocks are stored in as layers."""

    def __init__(self, directory: Path, subject: Subject, n_layers: int) -> None:
        engine = migrate.create_or_open(str(directory / "benchmark.db"))
        shape = subject.shape
        model = models.store_model(
            engine,
            ModelRecord(
                name="benchmark",
                source="random",
                revision=None,
                architecture="llama",
                gated=True,
                activation="silu",
                n_layers=n_layers,
                d_model=shape.d_model,
                d_mlp=subject.n_neurons,
                d_vocab=shape.d_vocab,
                fingerprint="random",
                tokenizer_fingerprint=None,
            ),
            0.5,
            force=False,
        )
        run = RunRecord(
            stages="vocab",
            torch_version=str(torch.__version__),
            fingerprint="random",
            fold=True,
            center=True,
            center_gate=False,
            canonicalise=True,
            fold_post_norm=False,
            dtype="float32",
            device=str(subject.device),
            seed=0,
        )
        self._ledger = Ledger(engine, model, models.start_run(engine, model, run), force=False)
        indexes.prepare_load(engine, tables.top_token_rows, "vocab", model)
        self._layer = 0

    def write(self, record: VocabularyRecord) -> None:
        """Store a block as the next layer."""
        with self._ledger.finishing(Step("vocab", self._layer, {})) as writer:
            vocabulary.write_vocabulary(writer, self._layer, record)
        self._layer += 1

    def finish(self) -> None:
        """Build the indexes that were dropped before the load, and count rows."""
        indexes.finish_load(self._ledger.engine)


def stage(subject: Subject, blocks: list[Block], store: Store) -> None:
    """Compute every block and store it while the next is being computed."""
    with write_in_background(store.write) as put:
        for block in blocks:
            put(subject.project(block))
    store.finish()


def resident_mib(name: str) -> float:
    """Return this process's memory (VmRSS) or its peak so far (VmHWM), in MiB."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    (found,) = [line.split()[1] for line in status.splitlines() if line.startswith(name)]
    return int(found) / 1024


def peak_mib(subject: Subject, block: Block) -> float:
    """Return how much memory projecting takes above the vocabulary and the neurons."""
    if subject.device.type == "cuda":
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        subject.project(block)
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # forget the peak so far
    before_mib = resident_mib("VmRSS")
    subject.project(block)
    return resident_mib("VmHWM") - before_mib


def measure(subject: Subject, asked: argparse.Namespace) -> None:
    """Print the seconds and ratios."""
    blocks = [subject.block() for _ in range(asked.layers)]
    print(f"peak memory above the inputs: {peak_mib(subject, blocks[0]):,.0f} MiB", flush=True)
    ways: dict[str, Callable[[Store], object]] = {
        "products": lambda _: subject.bare(blocks),
        "projector": lambda _: [subject.project(block) for block in blocks],
        "stage": partial(stage, subject, blocks),
    }
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for _ in range(asked.repeats):
        with tempfile.TemporaryDirectory() as directory:
            store = Store(Path(directory), subject, len(blocks))
            for name, way in ways.items():
                seconds[name].append(subject.seconds(partial(way, store)))
    for name, measured in seconds.items():
        clock, processor = (
            statistics.median(
                s[i] / f[i] for s, f in zip(measured, seconds["products"], strict=True)
            )
            for i in range(2)
        )
        walls = [wall / len(blocks) for wall, _ in measured]
        print(
            f"{name}: {statistics.median(walls):.2f} s a block, least {min(walls):.2f}; "
            f"ratio {clock:.3f}, of the processor's time {processor:.3f}",
            flush=True,
        )


def options() -> argparse.ArgumentParser:
    """Return the options."""
    parser = shape_options(__doc__)
    parser.add_argument("--neurons", type=int, help="of a layer; all of them unless given")
    parser.add_argument("--vocabulary", type=int, help="tokens; the model's unless given")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--repeats", type=int, default=3)
    return parser


@torch.inference_mode()
def main() -> int:
    """Measure and print."""
    asked = options().parse_args()
    keep_freed_blocks()
    shape = SHAPES[asked.shape]
    if asked.vocabulary:
        shape = shape._replace(d_vocab=asked.vocabulary)
    started = time.perf_counter()
    subject = Subject(shape, asked.neurons or shape.d_mlp, torch.device(asked.device))
    print(
        f"{asked.shape}: {shape.d_vocab} tokens × {shape.d_model}, {subject.n_neurons} neurons, "
        f"{asked.layers} layers, {subject.device}, {torch.get_num_threads()} threads, "
        f"scores by {subject.precision.value}; ready in {time.perf_counter() - started:.0f} s"
    )
    measure(subject, asked)
    return 0


if __name__ == "__main__":
    sys.exit(main())
