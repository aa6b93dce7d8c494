"""What an import took and what had no place, counted while it runs."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

_RELATIONS: Final = {
    "activation_stats": ("neuron's statistics", "neurons' statistics"),
    "sign_case": ("sign case", "sign cases"),
    "example": ("example", "examples"),
    "trace": ("trace", "traces"),
    "control": ("random text", "random texts"),
    "annotations": ("annotation", "annotations"),
    "neurons": ("neuron", "neurons"),
}
"""What is stored → what a reader calls one, and several."""


@dataclass
class ImportReport:
    """What became of a file.

    Attributes:
        what: what was read, such as a file's name.
        model: the name of the model.
        created: whether this import made the model.
        same: whether the same file had been imported before, so that nothing was done.
        rows: relation → rows stored.
        replaced: relation → rows of an earlier import that these took the place of.
        no_place: field of the file → how often it said something that no relation holds.
        left_out: reason → how many entries of the file were left out for it.
        notes: what else a reader should know, a line each.
    """

    what: str
    model: str = ""
    created: bool = False
    same: bool = False
    rows: Counter[str] = field(default_factory=Counter)
    replaced: Counter[str] = field(default_factory=Counter)
    no_place: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)

    def describe(self) -> Iterator[str]:
        """Yield the lines that say all of it, the stored rows first."""
        if self.same:
            yield f"{self.what}: imported before into {self.model}; nothing changed"
            return
        stored = _join(self.rows) or "nothing"
        made = ", a new model known from imports alone" if self.created else ""
        yield f"{self.what}: stored {stored} of {self.model}{made}"
        if +self.replaced:
            yield f"replaced: {_join(self.replaced)}"
        if +self.no_place:
            yield f"had no place: {_join(self.no_place)}"
        for reason, n in sorted(self.left_out.items()):
            if n:
                yield f"left out, {n:,}: {reason}"
        yield from self.notes


def _join(counts: Counter[str]) -> str:
    """Return counts with what they are of; fields of a file have no plural."""
    named = ((n, _RELATIONS.get(name, (name, name))) for name, n in counts.items() if n)
    return ", ".join(f"{n:,} {words[n != 1]}" for n, words in named)
