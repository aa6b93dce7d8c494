"""What a batch offers to lists, and what of it waits until the processor has seen that it fits."""

from dataclasses import dataclass

from jaxtyping import Float, Int
from torch import Tensor

from ingest.activations.counted_batch import CountedBatch
from ingest.activations.examples import BestTexts, FindPositions, InsertTexts
from ingest.activations.fixed_room import Room, offer_in_room
from ingest.activations.reduction import FloatSums


@dataclass(frozen=True)
class Offer:
    """Texts that a batch offers to lists, with their scores, and how their positions are found."""

    scores: Int[Tensor, "lists texts neurons"]
    values: Float[Tensor, "lists texts neurons"]
    ordinals: Int[Tensor, " texts"]
    positions: FindPositions
    known_positions: Int[Tensor, "lists texts neurons"] | None

    def add_to(self, best: BestTexts, insert: InsertTexts | None) -> None:
        """Offer them, looking at what changes."""
        best.add(
            self.scores,
            self.values,
            self.ordinals,
            self.positions,
            self.known_positions,
            insert,
        )

    def add_in_room(self, best: BestTexts, room: Room) -> Int[Tensor, "2"]:
        """Offer them where there is room, and return how much they take, looking at nothing."""
        return offer_in_room(best, self.scores, self.values, self.ordinals, self.positions, room)


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
