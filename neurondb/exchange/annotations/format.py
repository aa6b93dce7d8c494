"""The form of a file of annotations: JSON lines, the first of which says what it is.

Every further line is of one neuron, told by the fingerprint of its model's weights and by its name,
`L.N` or `L.E.N`; ids mean something in one database only. It is either something that is said,

    {"fingerprint": "9f…", "model": "llama-3.2-3b", "neuron": "31.9634", "source": "Ada",
     "key": "label", "value": "dogs", "note": null, "made_at": "2026-11-30T09:15:00.123456+00:00"}

or the digest of something that was removed, with the time when:

    {"fingerprint": "9f…", "model": "llama-3.2-3b", "neuron": "31.9634",
     "removed": "5c…", "removed_at": "2026-11-30T09:20:00.000000+00:00"}
"""

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from neurondb.contracts.annotations import Annotation
from neurondb.errors import UsageError
from neurondb.neurons import NeuronPlace, match_neuron

HEADER: Final = {"neurondb": "annotations", "version": 1}
"""The first line of a file."""
_DIGEST: Final = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True)
class NeuronKey:
    """A neuron, whichever database it is in; `model` is only what one of them calls its model."""

    fingerprint: str
    model: str
    neuron: str

    @property
    def place(self) -> NeuronPlace:
        """Its layer, its number, and its expert if it has one."""
        place = match_neuron(self.neuron)
        assert place is not None, self.neuron
        return place


@dataclass(frozen=True)
class Removal:
    """The digest of what was said of a neuron, and when it was removed."""

    digest: str
    removed_at: str


Entry = Annotation | Removal


def write_entry(key: NeuronKey, entry: Entry) -> str:
    """Return the line of something that was said or removed."""
    line: dict[str, Any] = {
        "fingerprint": key.fingerprint,
        "model": key.model,
        "neuron": key.neuron,
    }
    if isinstance(entry, Removal):
        line |= {"removed": entry.digest, "removed_at": entry.removed_at}
    else:
        line |= {"source": entry.source, "key": entry.key, "value": entry.value}
        line |= {"note": entry.note, "made_at": entry.made_at}
    return json.dumps(line, ensure_ascii=False)


def is_header(line: str) -> bool:
    """Tell whether a line is the first one of such a file.

    Raises:
        UsageError: when it is that of a later version.
    """
    try:
        read: Any = json.loads(line)
    except (ValueError, RecursionError):
        return False
    if not isinstance(read, dict) or read.get("neurondb") != HEADER["neurondb"]:
        return False
    if read.get("version") != HEADER["version"]:
        raise UsageError(
            f"it is of version {read.get('version')!r} and this neurondb reads "
            f"{HEADER['version']}; install a newer one"
        )
    return True


def read_entry(line: str) -> tuple[NeuronKey, Entry]:
    """Return the neuron that a line is of, and what it says.

    Raises:
        UsageError: when it says nothing that can be stored.
    """
    try:
        read: Any = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"it is no JSON: {line[:60]!r}") from error
    if not isinstance(read, dict):
        raise UsageError(f"it is no object of JSON: {line[:60]!r}")
    key = NeuronKey(*(_read_text(read, name) for name in ("fingerprint", "model", "neuron")))
    if match_neuron(key.neuron) is None:
        raise UsageError(f"neuron is {key.neuron!r}, not text like '31.9634'")
    if "removed" in read:
        digest = _read_text(read, "removed")
        if not _DIGEST.fullmatch(digest):
            raise UsageError(f"removed is {digest[:80]!r}, not a sha256 of 64 digits")
        return key, Removal(digest, _read_moment(_read_text(read, "removed_at"), "removed_at"))
    made_at = _read_optional(read, "made_at")
    return key, Annotation(
        _read_text(read, "source"),
        _read_text(read, "key"),
        _read_optional(read, "value"),
        _read_optional(read, "note"),
        None if made_at is None else _read_moment(made_at, "made_at"),
    )


def _read_text(read: dict[str, Any], name: str) -> str:
    text = _read_optional(read, name)
    if not text:
        raise UsageError(f"it has no {name}")
    return text


def _read_optional(read: dict[str, Any], name: str) -> str | None:
    text = read.get(name)
    if text is None:
        return None
    if not isinstance(text, str):
        raise UsageError(f"{name} is {text!r}, not a text")
    if "\x00" in text or any("\ud800" <= sign <= "\udfff" for sign in text):
        raise UsageError(f"{name} has something in it that is no character")
    return text


def _read_moment(text: str, name: str) -> str:
    """Return a moment as it is stored, so that moments can be compared as texts."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(f"{name} is {text[:40]!r}, not a time of ISO 8601") from error
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return aware.astimezone(UTC).isoformat(timespec="microseconds")
