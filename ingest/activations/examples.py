"""Running lists of texts: the most extreme ones of every neuron, and texts drawn at random.

Each list keeps the texts with the largest keys. A key is a score of 31 bits above the text's
ordinal counted down, so that equal scores go by text and no two keys are equal: what a list
keeps does not depend on the order in which texts come. Source: METHODS §5.
"""

from collections.abc import Callable
from typing import Final

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from neurondb.contracts.activations import Examples
from neurondb.schema.codes import CONTROL_KINDS

N_EXAMPLES: Final = 16
"""Texts of a list of extremes, and of the random examples."""
N_DRAWN: Final = 64
"""Texts drawn at random, from which the bands are filled."""
N_BAND: Final = 4
"""Texts of a band."""
LAST_ORDINAL: Final = 2**32 - 1

FindPositions = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Maps peaks, given by list, text (its row in the batch) and neuron, to their positions."""

InsertTexts = Callable[["BestTexts", Tensor, Tensor, Tensor, Tensor], None]
"""Offers texts to lists, given their scores, values, ordinals and peaks' positions."""


class BestTexts:
    """The texts with the largest keys in each of some lists of every neuron, best first.

    `key`, `position` and `value` are (lists, neurons, k); a key of 0 is an empty place.
    """

    def __init__(self, n_lists: int, n_neurons: int, k: int, device: torch.device) -> None:
        shape = (n_lists, n_neurons, k)
        self.key = torch.zeros(shape, dtype=torch.int64, device=device)
        self.position = torch.zeros(shape, dtype=torch.int32, device=device)
        self.value = torch.zeros(shape, device=device)

    def add(
        self,
        scores: Int[Tensor, "lists texts neurons"],
        values: Float[Tensor, "lists texts neurons"],
        ordinals: Int[Tensor, " texts"],
        positions: FindPositions,
        known_positions: Int[Tensor, "lists texts neurons"] | None = None,
        insert: InsertTexts | None = None,
    ) -> None:
        """Offer new texts to the lists; a score of 0 offers nothing.

        Most texts soon fall below the last place of most lists: only the lists that change are
        sorted, and only texts that get in are searched for the position. Where all positions are
        known, `insert` does it.
        """
        if known_positions is not None and insert is not None:
            insert(self, scores, values, ordinals, known_positions)
            return
        last = (self.key[..., -1] >> 32).int()[:, None]
        enters = ((scores >= last) & (scores > 0)).any(1)
        lists, neurons = enters.nonzero(as_tuple=True)
        if len(lists) == 0:
            return
        k = self.key.shape[2]
        offered = scores[lists, :, neurons].long()
        offered = torch.where(offered > 0, (offered << 32) | (LAST_ORDINAL - ordinals), 0)
        key, place = torch.cat([self.key[lists, neurons], offered], dim=1).topk(k, dim=1)
        kept_place = place.clamp(max=k - 1)
        position = self.position[lists, neurons].gather(1, kept_place)
        value = self.value[lists, neurons].gather(1, kept_place)
        row, column = ((place >= k) & (key > 0)).nonzero(as_tuple=True)
        text = place[row, column] - k
        position[row, column] = positions(lists[row], text, neurons[row]).int()
        value[row, column] = values[lists[row], text, neurons[row]]
        self.key[lists, neurons] = key
        self.position[lists, neurons] = position
        self.value[lists, neurons] = value

    def merge(self, other: "BestTexts") -> None:
        """Merge the lists of other texts into these."""
        key = torch.cat([self.key, other.key], dim=2)
        self.key, place = key.topk(self.key.shape[2], dim=2)
        self.position = torch.cat([self.position, other.position], dim=2).gather(2, place)
        self.value = torch.cat([self.value, other.value], dim=2).gather(2, place)

    def record(self) -> list[Examples]:
        """Return the lists as they are stored; ordinal −1 where fewer texts qualified."""
        ordinal = self.ordinals()
        position, value = self.position.cpu().numpy(), self.value.double().cpu().numpy()
        return [Examples(*columns) for columns in zip(ordinal, position, value, strict=True)]

    def ordinals(self) -> NDArray[np.int64]:
        """Return the texts' ordinals in the dataset (lists, neurons, k), −1 for an empty place."""
        ordinal = LAST_ORDINAL - (self.key & LAST_ORDINAL)
        filled: NDArray[np.int64] = ordinal.where(self.key > 0, -1).cpu().numpy()
        return filled


def score_by_size(peaks: Float[Tensor, "*shape"]) -> Int[Tensor, "*shape"]:
    """Return scores that order peaks by |peak|: the bits of a float that is not negative."""
    return peaks.abs().view(torch.int32)


def score_at_random(
    seed: int, layer: int, ordinals: Int[Tensor, " texts"], n_neurons: int
) -> Int[Tensor, "texts neurons"]:
    """Return a score from 1 to 2³¹ − 1 for each text and neuron, a hash of both, layer and seed.

    So every part of a dataset, on any machine, gives a text the same score.
    """
    neurons = torch.arange(n_neurons, device=ordinals.device)
    start = _mixed(torch.full((), seed * 0x1_0000 + layer + 1, device=ordinals.device))
    mixed = _mixed(_mixed(start + neurons)[None, :] + ordinals[:, None] * _ODD)
    return ((mixed >> 33) & 0x7FFFFFFF).clamp(min=1).int()


_ODD: Final = -0x61C8864680B583EB  # 2⁶⁴ divided by the golden ratio, as SplitMix64 adds it
_FACTORS: Final = (-0x40A7B892E31B1A47, -0x6B2FB644ECCEEE15)  # of SplitMix64


def _mixed(bits: Tensor) -> Tensor:
    """Return the finalizer of SplitMix64 (Steele et al. 2014), in wrapping 64-bit arithmetic."""
    bits = bits * _ODD
    bits = (bits ^ ((bits >> 30) & (2**34 - 1))) * _FACTORS[0]
    bits = (bits ^ ((bits >> 27) & (2**37 - 1))) * _FACTORS[1]
    return bits ^ ((bits >> 31) & (2**33 - 1))


def select_control_examples(drawn: BestTexts) -> dict[int, Examples]:
    """Return the control examples among the texts drawn, by codes of `CONTROL_KINDS`.

    The random ones are the first drawn; a band has the first drawn of its quarter by |peak|,
    strongest first.
    """
    ordinal, key = drawn.ordinals()[0], drawn.key[0].cpu().numpy()
    position, value = drawn.position[0].cpu().numpy(), drawn.value[0].double().cpu().numpy()

    def take_texts(place: NDArray[np.int64], has_text: NDArray[np.bool_]) -> Examples:
        columns = (np.take_along_axis(a, place, 1) for a in (ordinal, position, value))
        texts, positions, values = columns
        return Examples(np.where(has_text, texts, -1), positions, values)

    first = np.broadcast_to(np.arange(N_EXAMPLES), (len(key), N_EXAMPLES))
    examples = {0: take_texts(first, np.take_along_axis(key, first, 1) > 0)}
    has_text = key > 0
    by_size = np.argsort(np.where(has_text, np.abs(value), np.inf), axis=1, kind="stable")
    rank = np.argsort(by_size, axis=1)
    band = np.where(has_text, rank * 4 // np.maximum(has_text.sum(1, keepdims=True), 1), -1)
    for code in range(1, len(CONTROL_KINDS)):
        of_band = np.where(band == code - 1, key, 0)
        place = np.argsort(-of_band, axis=1, kind="stable")[:, :N_EXAMPLES]
        sizes = np.abs(np.take_along_axis(value, place, 1))
        # as wide as the random ones, but no more than these places are filled
        filled = (np.take_along_axis(of_band, place, 1) > 0) & (np.arange(N_EXAMPLES) < N_BAND)
        strongest = np.argsort(np.where(filled, -sizes, np.inf), axis=1, kind="stable")
        place = np.take_along_axis(place, strongest, 1)
        examples[code] = take_texts(place, np.take_along_axis(filled, strongest, 1))
    return examples
