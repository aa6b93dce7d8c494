"""Two models run side by side over the same texts, layer beside layer, in as many passes as needed.

Of a batch, the layers of A that a pass needs are kept until B has run over it; a layer of B is used
as it comes and gone afterwards. So raw activations exist for one batch only, and what stays are
sums (METHODS §8).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import torch
from jaxtyping import Int
from numpy.typing import NDArray
from torch import Tensor

from ingest.forward import Batch, Forward, MLPActivations, batch_tokens, make_batches
from ingest.forward.transfers import copy_to
from ingest.relations.universality.alignment import AlignedTexts, Positions
from ingest.relations.universality.layer_pairs import Pass
from ingest.relations.universality.matching import Matcher, Signs
from ingest.relations.universality.products import PassSums
from ingest.relations.universality.sign_cases import CaseActivations, CaseReader
from neurondb.contracts.progress import Advance

KEPT_BYTES: Final = 512_000_000
"""Activations of A that a batch may keep; with many wide layers its batches are smaller."""
_CPU: Final = torch.device("cpu")


@dataclass(frozen=True)
class Side:
    """One of the two models: how it runs, its texts, and which of their positions are compared."""

    forward: Forward
    token_ids: Sequence[Positions]
    places: Sequence[Positions]

    def run(self, ordinals: NDArray[np.int64], consumer: _Keeper | _Adder) -> None:
        """Run over some texts, as one batch."""
        ids = [self.token_ids[i] for i in ordinals]
        size = len(ids) * max(map(len, ids))
        (batch,) = make_batches(ids, _CPU, size, ordinals)
        for part in self.forward.split_batch(batch):
            rows, places = self._locate(part, ordinals)
            device = self.forward.device
            consumer.rows, consumer.places = copy_to(rows, device), copy_to(places, device)
            self.forward.run(part.to(device), [consumer])

    def _locate(
        self, part: Batch, ordinals: NDArray[np.int64]
    ) -> tuple[Int[Tensor, " tokens"], Int[Tensor, " tokens"]]:
        """Return where a batch's compared tokens are, positions on one axis, and their numbers.

        A token's number is its place among all compared tokens of the texts `ordinals`.
        """
        firsts = np.cumsum([0, *(len(self.places[i]) for i in ordinals)])
        first_of = dict(zip(ordinals.tolist(), firsts[:-1].tolist(), strict=True))
        width = part.token_ids.shape[1]
        rows, numbers = [], []
        for row, ordinal in enumerate(part.ordinals.tolist()):
            places = self.places[ordinal]
            rows.append(places + row * width)
            numbers.append(np.arange(len(places)) + first_of[ordinal])
        return torch.from_numpy(np.concatenate(rows)), torch.from_numpy(np.concatenate(numbers))


@dataclass
class _Keeper:
    """Keeps what the neurons of A do at a batch's compared tokens, and adds up their sums."""

    sums: PassSums
    n_tokens: int
    layers: Collection[int]
    reader: CaseReader
    kept: dict[int, CaseActivations] = field(default_factory=dict)
    rows: Tensor = field(default_factory=lambda: torch.empty(0))
    places: Tensor = field(default_factory=lambda: torch.empty(0))

    def consume(self, batch: Batch, layer: int, activations: MLPActivations) -> None:
        """Take one layer's activations."""
        values = self.reader.read(layer, activations, self.rows)
        self.sums.add_a(layer, values)
        if len(values) == self.n_tokens:  # the usual case: the batch was not split
            self.kept[layer] = values
            return
        if layer not in self.kept:
            self.kept[layer] = values.make_room(self.n_tokens)
        self.kept[layer].put(self.places, values)


@dataclass
class _Adder:
    """Adds the products of B's activations with those that were kept of A."""

    sums: PassSums
    kept: dict[int, CaseActivations]
    n_tokens: int
    layers: Collection[int]
    reader: CaseReader
    rows: Tensor = field(default_factory=lambda: torch.empty(0))
    places: Tensor = field(default_factory=lambda: torch.empty(0))

    def consume(self, batch: Batch, layer: int, activations: MLPActivations) -> None:
        """Take one layer's activations."""
        values = self.reader.read(layer, activations, self.rows)
        beside = self.kept
        if len(values) < self.n_tokens:
            beside = {a: kept.at(self.places) for a, kept in self.kept.items()}
        self.sums.add_b(layer, values, beside)


@torch.inference_mode()
def compare_models(
    a: Forward,
    b: Forward,
    texts: AlignedTexts,
    passes: Sequence[Pass],
    matcher: Matcher,
    advance: Advance,
) -> None:
    """Run two models over texts and hand the matcher the sums of each pass.

    Args:
        a: the model whose neurons are matched.
        b: the other one, on the same device.
        texts: their tokens, aligned.
        passes: what each pass over the texts adds up.
        matcher: takes the sums.
        advance: is told of the tokens that each pass compares.

    Raises:
        ModelError: when a text is longer than a model's context or a batch does not fit in memory.
    """
    for number, chosen in enumerate(passes, start=1):
        advance(0, f"pass {number} of {len(passes)}")
        matcher.take(add_pass(a, b, texts, chosen, advance, (matcher.sign_a, matcher.sign_b)))


@torch.inference_mode()
def add_pass(
    a: Forward,
    b: Forward,
    texts: AlignedTexts,
    chosen: Pass,
    advance: Advance,
    signs: tuple[Signs, Signs] | None = None,
) -> PassSums:
    """Return the sums of one pass over the texts.

    `signs` are the canonical signs of both models' neurons, by which sign cases are told apart;
    they are needed in a pass that has some.
    """
    device = a.device if a.device.type != "mps" else _CPU  # which knows no float64
    reader_a = reader_b = CaseReader()
    if chosen.tells_cases and signs is not None:
        of_a, of_b = (torch.from_numpy(sign).float() for sign in signs)
        reader_a, reader_b = CaseReader(of_a.to(a.device)), CaseReader(of_b.to(b.device))
    sums = PassSums(chosen, a.architecture.d_mlp, b.architecture.d_mlp, device)
    side_a, side_b = Side(a, texts.ids_a, texts.places_a), Side(b, texts.ids_b, texts.places_b)
    for ordinals in _batch_texts(a, texts, len(chosen.layers_a)):
        n_tokens = sum(len(texts.places_a[i]) for i in ordinals)
        if n_tokens:
            keeper = _Keeper(sums, n_tokens, chosen.layers_a, reader_a)
            side_a.run(ordinals, keeper)
            side_b.run(ordinals, _Adder(sums, keeper.kept, n_tokens, chosen.layers_b, reader_b))
            sums.n += n_tokens
            advance(n_tokens)
    return sums


def _batch_texts(a: Forward, texts: AlignedTexts, n_layers: int) -> Iterator[NDArray[np.int64]]:
    """Yield the texts of each batch, of similar length, so that A's activations fit."""
    bytes_a_token = a.architecture.d_mlp * n_layers * a.dtype.itemsize
    most = min(batch_tokens(a.device), max(1, KEPT_BYTES // bytes_a_token))
    for batch in make_batches(texts.ids_a, _CPU, most):
        yield batch.ordinals.numpy()
