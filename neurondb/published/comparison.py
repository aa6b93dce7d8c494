"""One line of a comparison: what was published, what the database holds, and whether they agree."""

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

AGREES: Final = "agrees"
DIFFERS: Final = "differs"
ABSENT: Final = "not in this database"
Verdict = Literal["agrees", "differs", "not in this database"]


@dataclass(frozen=True)
class Comparison:
    """A published figure beside the database's own.

    Attributes:
        group: what kind of figure it is, such as `class count`.
        item: which of them, such as `weakening` or `31.9634 gate+_in+`.
        layer: the layer that it is about; None for a figure of the whole model or of one neuron.
        published: the figure as published.
        ours: the same from the database; None where it is not there.
        low: the least value of `ours` that agrees; None where there is no such bound.
        high: the greatest one.
        source: paper and section, or the table.
        note: what a reader must know, such as what to run where `ours` is missing.
    """

    group: str
    item: str
    layer: int | None
    published: float
    ours: float | None
    low: float | None
    high: float | None
    source: str
    note: str = ""

    @property
    def difference(self) -> float | None:
        """Ours − published."""
        return None if self.ours is None else self.ours - self.published

    @property
    def verdict(self) -> Verdict:
        """Whether ours lies between `low` and `high`, both included."""
        if self.ours is None:
            return ABSENT
        above = self.low is None or self.ours >= self.low
        below = self.high is None or self.ours <= self.high
        return AGREES if above and below else DIFFERS


def compare_within(
    group: str,
    item: str,
    published: float,
    ours: float | None,
    tolerance: float,
    source: str,
    *,
    layer: int | None = None,
    note: str = "",
) -> Comparison:
    """Return a figure that agrees within a tolerance on both sides; NaN counts as missing."""
    known = None if ours is None or math.isnan(ours) else float(ours)
    return Comparison(
        group, item, layer, published, known, published - tolerance, published + tolerance,
        source, note,
    )  # fmt: skip


def count_verdicts(comparisons: Iterable[Comparison]) -> dict[str, int]:
    """Return verdict → how many figures have it, all three verdicts in their order."""
    counts = Counter(comparison.verdict for comparison in comparisons)
    return {verdict: counts[verdict] for verdict in (AGREES, DIFFERS, ABSENT)}
