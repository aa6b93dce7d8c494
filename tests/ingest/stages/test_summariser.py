"""The summariser on a device that works behind the processor: the same numbers, and no waiting."""

from collections.abc import Mapping, Sequence

import pytest
import torch
from torch import Tensor

from ingest.activations import fixed_room
from ingest.activations.fixed_room import Room
from ingest.activations.summary import LayerSummary
from ingest.forward import Batch, Consumer, MLPActivations
from ingest.stages.summariser import Summariser
from tests.support.random_layers import (
    CPU,
    EXTREME,
    NO_NUMBERS,
    NUMBERS,
    Layer,
    activations,
    random_layer,
)
from tests.support.watched_device import WATCHED, WatchedDevice

N_TEXTS, A_BATCH = 60, 12
LISTED = (0, 2, 3)


class FakeForward:
    """A model whose layers do on a batch what was drawn at random."""

    def __init__(self, layers: Mapping[int, Layer], device: torch.device) -> None:
        self.layers, self.device = layers, device
        self.n_runs = 0

    def run(self, batch: Batch, consumers: Sequence[Consumer]) -> None:
        """Feed the consumers; on the watched device by copies that nobody waits for."""
        self.n_runs += 1
        ordinals = batch.on_host.ordinals.tolist()
        for number, layer in self.layers.items():
            for consumer in consumers:
                if number in consumer.layers:
                    found = activations(layer, ordinals, 7.0)
                    parts = (found.gate, found.in_, found.post)
                    there = (
                        p if p is None else p.to(self.device, non_blocking=True) for p in parts
                    )
                    consumer.consume(batch, number, MLPActivations(*there))  # type: ignore[arg-type]


def make_batches(layer: Layer) -> list[Batch]:
    """Return the texts in batches, with ids of few tokens."""
    ids = torch.arange(N_TEXTS * 6).view(N_TEXTS, 6) % 5
    lengths = torch.tensor([len(text.in_) for text in layer.texts])
    batches = []
    for number, rows in enumerate(torch.split(torch.arange(N_TEXTS), A_BATCH)):
        width = int(lengths[rows].max())
        batches.append(Batch(ids[rows, :width], lengths[rows], rows, number=number))
    return batches


class Case:
    """Layers, and how they are summarised on a device."""

    def __init__(self, pool: Sequence[float], *, gated: bool) -> None:
        # The same lengths and labels: one dataset.
        self.layers = {
            n: random_layer(1, N_TEXTS, gated=gated, pool=pool, n_labels=2, controls=True, number=n)
            for n in (0, 1)
        }

    def summarise(
        self,
        device: torch.device,
        watched: WatchedDevice | None = None,
        runs_on: torch.device | None = None,
    ) -> "Result":
        """Return the summaries, the waits by batch, and how often the model ran."""
        runs_on = runs_on or device
        first = self.layers[0]
        listed = torch.tensor(LISTED)
        summaries, signs = {}, {}
        for number, layer in self.layers.items():
            summaries[number] = LayerSummary.empty(
                len(layer.sign),
                gated=layer.gated,
                device=device,
                layer=number,
                n_labels=layer.n_labels,
                controls=True,
                listed=listed.to(device),
            )
            signs[number] = layer.sign.to(device)
        labels = torch.tensor([text.label for text in first.texts])
        summariser = Summariser(summaries, signs, first.activation, labels=labels, listed=listed)
        forward, waits = FakeForward(self.layers, runs_on), []
        for batch in make_batches(first):
            there = batch.to(runs_on)
            if watched is not None:
                watched.take_waits()
            summariser.run(forward, there)  # type: ignore[arg-type]
            if watched is not None:
                waits.append(watched.take_waits())
        summariser.finish(forward)  # type: ignore[arg-type]
        return summaries, waits, forward.n_runs


Result = tuple[dict[int, LayerSummary], list[list[str]], int]


def tensors_on_host(summaries: Mapping[int, LayerSummary]) -> dict[str, Tensor]:
    """Return the tensors of all summaries, on the processor."""
    return {
        f"{layer}.{name}": tensor.cpu()
        for layer, summary in summaries.items()
        for name, tensor in summary.tensors().items()
        # On the processor there is no room for what is not finite before there is any.
        if name != "by_token.nonfinite"
    }


def assert_same(case: Case, *, n_again: int | None = None) -> list[list[str]]:
    """Assert that both ways give the same to the bit; return the waits by batch."""
    expected = tensors_on_host(case.summarise(CPU)[0])
    with WatchedDevice() as watched:
        summaries, waits, n_runs = case.summarise(WATCHED, watched)
        found = tensors_on_host(summaries)
    assert set(found) == set(expected)
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, rtol=0, atol=0, equal_nan=True, msg=name)
    if n_again is not None:
        assert n_runs == N_TEXTS // A_BATCH + n_again
    return waits


@pytest.mark.parametrize("gated", [True, False])
@pytest.mark.parametrize("pool", [NUMBERS, NUMBERS + NO_NUMBERS])
def test_the_processor_waits_once_a_batch(pool: Sequence[float], gated: bool) -> None:
    waits = assert_same(Case(pool, gated=gated), n_again=0)
    # The first batch also sends the few numbers that stay there.
    assert [len(of_batch) for of_batch in waits[1:]] == [1] * (len(waits) - 1)


def test_sums_beyond_float32_are_summed_again() -> None:
    assert_same(Case(NUMBERS + EXTREME, gated=True))


def test_what_has_no_room_is_offered_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fixed_room, "LEAST", 1)
    monkeypatch.setattr(Room, "after", lambda self, needed: Room(2, 3))
    assert_same(Case(NUMBERS, gated=True), n_again=N_TEXTS // A_BATCH - 2)


def test_what_runs_elsewhere_is_summed_on_the_processor() -> None:
    case = Case(NUMBERS, gated=True)
    expected = tensors_on_host(case.summarise(CPU)[0])
    with WatchedDevice() as watched:
        found = tensors_on_host(case.summarise(CPU, watched, runs_on=WATCHED)[0])
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())


@pytest.mark.gpu
@pytest.mark.parametrize("pool", [NUMBERS, NUMBERS + NO_NUMBERS])
def test_a_gpu_gives_the_processors_summary(pool: Sequence[float]) -> None:
    if not torch.cuda.is_available():
        pytest.skip("needs CUDA")
    case = Case(pool, gated=True)
    expected = tensors_on_host(case.summarise(CPU)[0])
    found = tensors_on_host(case.summarise(torch.device("cuda", 0))[0])
    for name, tensor in expected.items():
        torch.testing.assert_close(
            found[name], tensor, rtol=1e-6, atol=1e-9, equal_nan=True, msg=name
        )
