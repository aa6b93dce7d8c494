"""Put the parts of a description together: one line, the most telling part first."""

from collections.abc import Sequence
from typing import Final

from rich.cells import cell_len

from neurondb.describing.evidence import Evidence
from neurondb.describing.parts import (
    MOSTLY,
    RARELY,
    Part,
    describe_frequency,
    format_signed_number,
    list_parts,
)
from neurondb.formatting.text import DOT

LONGEST: Final = 120
"""Columns that a description takes at most."""
LEAST_STRENGTH: Final = 0.3
"""What is less telling than this does not stand out."""
NOTHING: Final = "nothing stands out"


def compose(evidence: Evidence) -> str:
    """Return the description of a neuron; the same evidence gives the same line."""
    frequency = describe_frequency(evidence)
    if evidence.frequency == 0:
        return _join(_fit(list_parts(evidence), "never active"), first="never active")
    parts = [part for part in list_parts(evidence) if part.strength >= LEAST_STRENGTH]
    if not parts:
        return _describe_nothing(evidence, frequency)
    telling = evidence.frequency is not None and not RARELY < evidence.frequency < MOSTLY
    chosen = _fit(parts, frequency if telling and frequency else "")
    if frequency and (telling or cell_len(_join([*chosen, frequency])) <= LONGEST):
        chosen.append(frequency)
    return _join(chosen)


def is_nothing(description: str) -> bool:
    """Tell whether a description says that nothing stands out."""
    return description.startswith(NOTHING)


def _fit(parts: Sequence[Part], reserved: str) -> list[str]:
    """Return the wordings of the parts that fit into a line beside what is reserved, in order."""
    chosen: list[str] = []
    taken = [reserved] if reserved else []
    for part in parts:
        for wording in part.wordings:
            if cell_len(_join([*chosen, wording, *taken])) <= LONGEST:
                chosen.append(wording)
                break
    return chosen


def _join(parts: Sequence[str], first: str = "") -> str:
    return DOT.join([first, *parts] if first else parts)


def _describe_nothing(evidence: Evidence, frequency: str | None) -> str:
    """Return the line of a neuron of which nothing is beyond chance: its plain numbers."""
    known = []
    if evidence.class_name is not None and evidence.in_out is not None:
        known.append(f"{evidence.class_name} (in·out {format_signed_number(evidence.in_out)})")
    if frequency:
        known.append(frequency)
    return f"{NOTHING}: {DOT.join(known)}" if known else f"{NOTHING} of what is stored"
