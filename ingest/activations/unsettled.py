"""What a batch offers to lists, and what of it waits until the processor has seen that it fits."""

from dataclasses import dataclass

from jaxtyping import Float, Int
from torch import Tensor

from ingest.activations.counted_batch import CountedBatch
from ingest.activations.examples import FindPositions
from ingest.activations.fixed_room import Room
from ingest.activations.reduction import FloatSums


@dataclass(frozen=True)
class Offer:
    """Texts that a batch offers to lists, with their scores, and how their positions are found."""

    scores: Int[Tensor, "lists texts neurons"]
    values: Float[Tensor, "lists texts neurons"]
    ordinals: Int[Tensor, " texts"]
    positions: FindPositions
    known_positions: Int[Tensor, "lists texts neurons"] | None


@dataclass(frozen=True)
class Unsettled:
    """What a batch has not added to a summary before the processor has seen whether it may.

    `report` has a 1 where sums overflowed in float32, else 0, and of each set of lists the room
    that the batch takes.
    """

    batch: CountedBatch
    sums: FloatSums
    rooms: tuple[Room, ...]
    report: Int[Tensor, " numbers"]


@dataclass(frozen=True)
class Missing:
    """What is to be added from a batch's activations once more: sums, or texts to sets of lists."""

    unsettled: Unsettled
    sums: bool
    lists: tuple[int, ...]
