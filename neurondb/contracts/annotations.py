"""What is said of neurons: labels, notes, stars and lists, and what makes two of them the same.

An annotation is what it says: who (`source`), about what (`key`), what (`value`), and a note. Two
that agree in all four are one, whichever database they are in; a changed one is another. That is
why databases can be merged without ids: what either has is kept, and what was removed is told by
its digest, so that it does not come back.

Two keys mean more than their words. `list` puts the neuron on the list that the value names; `star`
marks it.
"""

import hashlib
import json
from dataclasses import dataclass
from typing import Final

LIST_KEY: Final = "list"
"""The key of what puts a neuron on a list; the value is the list's name."""
STAR_KEY: Final = "star"
"""The key of what marks a neuron."""
STAR: Final = "★"
"""The value of what marks a neuron."""
LONGEST_LIST_NAME: Final = 80
"""Characters that the name of a list has at most."""


@dataclass(frozen=True)
class Annotation:
    """A label, a score, a remark, a star or a place on a list that is stored for a neuron.

    Attributes:
        source: who or what it comes from.
        key: what it is about, such as `label`.
        made_at: when it was said, in UTC; None where that is not known.
    """

    source: str
    key: str
    value: str | None
    note: str | None
    made_at: str | None = None

    @property
    def digest(self) -> str:
        """What tells it from all others of its neuron."""
        return compute_digest(self.source, self.key, self.value, self.note)


def compute_digest(source: str, key: str, value: str | None, note: str | None) -> str:
    """Return the sha256 over what an annotation says; no value and no note are empty ones."""
    words = json.dumps([source, key, value or "", note or ""], ensure_ascii=True)
    return hashlib.sha256(words.encode()).hexdigest()


def normalise_list_name(name: str) -> str:
    """Return the name of a list with single blanks between its words."""
    return " ".join(name.split())
