"""Transluce's neuron descriptions: rows of its database, or what its pipeline saves.

Its observatory keeps descriptions in a table (`neurondb/schemas`, `SQLANeuronDescription`):
`neuron_id`, which is `{model}_{layer}_{neuron}_{expert}` with `None` for no expert, `polarity`, 1
for what makes the neuron's activation large and −1 for what makes it small, `description`,
`description_summary`, `is_interesting`, `version`, and `description_metadata`, whose `score` is
that of its simulator. Rows of that table as CSV, JSON lines or Parquet are read, and so are rows
with `layer` and `neuron` in place of `neuron_id`.

Its `expgen` saves a `NeuronExplanations` a neuron, JSON: `neuron_id` with `layer_index` and
`neuron_index`, and `explanations`, lists by sign, each with `explanation` and, by split of the
texts, `simulations` with `ev_correlation_score`. It is read too.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from neurondb.errors import TextError
from neurondb.exchange.imports.facts import Facts, Reader, Remark, read_place, read_real
from neurondb.exchange.imports.files import list_files, read_rows

FORM: Final = "transluce"
ENDINGS: Final = (
    *(".jsonl", ".jsonl.gz", ".json", ".json.gz"),
    *(".csv", ".csv.gz", ".tsv", ".parquet"),
)
_NEURON_ID: Final = re.compile(r".*_([0-9]{1,9})_([0-9]{1,9})_(?:None|)")
_POSITIVE: Final = frozenset(("1", "+1", "1.0", "pos", "positive", "max"))
_NEGATIVE: Final = frozenset(("-1", "-1.0", "neg", "negative", "min"))
_TEXTS: Final = {"description": "description", "description_summary": "summary"}
_KNOWN: Final = frozenset(
    (
        *("id", "neuron_id", "model_id", "model", "layer", "neuron", "expert", "polarity"),
        *("version", "is_interesting", "description_metadata", "score", "explanations", *_TEXTS),
    )
)


def find_files(path: Path) -> list[Path]:
    """Return the files of a folder of descriptions, or the one file."""
    return list_files(path, *ENDINGS)


def make_reader(files: Sequence[Path], source: str) -> Reader:
    """Return the reader of some files; annotations say that they come from `source`."""

    def read(count: Callable[[str, int], None]) -> Iterator[Facts]:
        for file in files:
            for place, row in read_rows(file):
                layer, neuron = _read_place(row, place)
                remarks = list(
                    _read_explanations(row, place, source)
                    if "explanations" in row
                    else _read_description(row, place, source)
                )
                for name, value in row.items():
                    if name not in _KNOWN and value not in (None, ""):
                        count(str(name), 1)
                yield Facts(place, layer, neuron, remarks)

    return read


def _read_place(row: Mapping[str, Any], place: str) -> tuple[int, int]:
    said = row.get("neuron_id")
    if isinstance(said, str) and (named := _NEURON_ID.fullmatch(said)):
        return int(named[1]), int(named[2])
    if isinstance(said, Mapping):
        row = {"layer": said.get("layer_index"), "neuron": said.get("neuron_index")}
    return read_place(row, place)


def _read_description(row: Mapping[str, Any], place: str, source: str) -> Iterator[Remark]:
    if "description" not in row:
        raise TextError(f"{place}: no column 'description'")
    sign = _read_sign(row.get("polarity"), place)
    version = str(row.get("version") or "")
    who = f"{source} {version}" if version else source
    note = "not interesting, says its author" if _is_false(row.get("is_interesting")) else None
    for name, key in _TEXTS.items():
        yield Remark(who, f"{key}{sign}", str(row.get(name) or ""), note)
    metadata = row.get("description_metadata")
    if isinstance(metadata, str) and metadata.startswith("{"):
        metadata = json.loads(metadata)
    score = read_real(row.get("score"))
    if score is None and isinstance(metadata, Mapping):
        score = read_real(metadata.get("score"))
    if score is not None:
        yield Remark(who, f"score{sign}", f"{score:g}")


def _read_explanations(row: Mapping[str, Any], place: str, source: str) -> Iterator[Remark]:
    for polarity, explanations in (row["explanations"] or {}).items():
        sign = _read_sign(polarity, place)
        for one in explanations or []:
            yield Remark(source, f"description{sign}", str(one.get("explanation") or ""))
            for split, simulation in (one.get("simulations") or {}).items():
                score = read_real((simulation or {}).get("ev_correlation_score"))
                if score is not None:
                    yield Remark(source, f"score{sign}", f"{score:g}", f"{split} texts")


def _read_sign(polarity: Any, place: str) -> str:
    """Return what a key ends in: which end of the activation is described."""
    if polarity in (None, ""):
        return ""
    said = str(polarity).lower()
    if said in _POSITIVE:
        return " (+)"
    if said in _NEGATIVE:
        return " (−)"
    raise TextError(f"{place}: polarity is {polarity!r}, not 1 or -1")


def _is_false(value: Any) -> bool:
    return value is False or str(value).lower() in ("false", "f", "0")
