"""Neuronpedia's exports: JSON lines of features, explanations and activations.

The layout is that of `export-data.py` of hijohnnylin/neuronpedia: `{model}/{source}/features`,
`…/explanations` and `…/activations`, each with `batch-N.jsonl.gz`, whose rows are those of its
tables: `modelId`, `layer`, `index`, and

- of an explanation `description`, `typeName`, `explanationModelName`, and `scores` where they come
  with it (`value`, `explanationScoreTypeName`, `explanationScoreModelName`);
- of a feature `frac_nonzero`, `maxActApprox`, `pos_str`, `pos_values`, `neg_str`, `neg_values`, and
  histograms and neighbours, which have no place;
- of an activation `tokens`, `values`, `maxValue`, `maxValueTokenIndex`.

The files of the older explanations-only export, a JSON array each, and an answer of its API for one
feature, an object with `explanations` and `activations` in it, are read too. `layer` is `6` for
neurons and `6-res-jb` for the features of a dictionary, which are no neurons of the model: they are
stored as a model of their own, called `gpt2-small-res-jb` unless a name is given.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

from neurondb.errors import TextError
from neurondb.exchange.imports.facts import (
    Facts,
    Reader,
    Remark,
    TextExample,
    read_number,
    read_real,
)
from neurondb.exchange.imports.files import list_files, read_json
from neurondb.spelling import option

FORM: Final = "neuronpedia"
ENDINGS: Final = (".jsonl", ".jsonl.gz", ".json", ".json.gz")
_LAYER: Final = re.compile(r"([0-9]{1,4})(?:-(.+))?")
_ABOUT_SOURCES: Final = ("model.jsonl", "release.jsonl", "source.jsonl", "sourceset.jsonl")
"""Files of an export that say nothing of a feature."""
_IDENTITY: Final = frozenset(("modelId", "layer", "index", "id", "creatorId", "authorId"))
_EXPLANATION: Final = frozenset(("description", "typeName", "explanationModelName", "scores"))
_FEATURE: Final = frozenset(
    ("frac_nonzero", "maxActApprox", "pos_str", "pos_values", "neg_str", "neg_values")
)
_ACTIVATION: Final = frozenset(
    ("tokens", "values", "maxValue", "maxValueTokenIndex", "minValue", "dataSource")
)
_NESTED: Final = frozenset(("explanations", "activations"))
_EXAMPLES_KEPT: Final = 64
"""Activations of a feature that are kept while its file is read."""


@dataclass
class _Strongest:
    """The texts of a feature that activate it most, while its file is read; each of them once."""

    by_text: dict[str, TextExample] = field(default_factory=dict)
    n_given: int = 0

    def add(self, example: TextExample) -> None:
        """Keep an example, if it is the strongest of its text and one of the strongest of all."""
        self.n_given += 1
        known = self.by_text.get(example.text)
        if known is None or abs(example.value) > abs(known.value):
            self.by_text[example.text] = example
        if len(self.by_text) > 2 * _EXAMPLES_KEPT:
            ordered = sorted(self.by_text.values(), key=lambda one: -abs(one.value))
            self.by_text = {one.text: one for one in ordered[:_EXAMPLES_KEPT]}


class FeaturePlace(NamedTuple):
    """The model that a row is of, and the feature's place in it."""

    model: str
    layer: int
    feature: int


def find_files(path: Path) -> list[Path]:
    """Return the files of an export, or of a folder in it, that say something of features."""
    files = list_files(path, *ENDINGS)
    return [file for file in files if path.is_file() or file.name not in _ABOUT_SOURCES]


def read_model_name(files: Sequence[Path]) -> str:
    """Return the name of the model that the rows of an export are of.

    Raises:
        TextError: when no row names one.
    """
    for file in files:
        for place, value in read_json(file):
            for row in value if isinstance(value, list) else [value]:
                return _read_place(row, place).model
    raise TextError(f"these files have no rows; give {option('model')}")


def make_reader(files: Sequence[Path], model: str, *, only: bool) -> Reader:
    """Return the reader of some files.

    Args:
        files: what is read.
        model: the model's name.
        only: whether rows of other models are left out; else all are of this one.
    """

    def read(count: Callable[[str, int], None]) -> Iterator[Facts]:
        for file in files:
            examples: dict[FeaturePlace, _Strongest] = {}
            for place, value in read_json(file):
                for row in value if isinstance(value, list) else [value]:
                    at = _read_place(row, place)
                    if only and at.model != model:
                        count(f"rows of {at.model}", 1)
                        continue
                    _gather(row, place, examples.setdefault(at, _Strongest()), count)
                    yield from _make_facts(row, place, at, count)
            for at, found in examples.items():
                kept = list(found.by_text.values())
                if kept:
                    weaker = found.n_given - len(kept)
                    yield Facts(f"{file}", at.layer, at.feature, examples=kept, n_weaker=weaker)

    return read


def _read_place(row: Any, place: str) -> FeaturePlace:
    if not isinstance(row, Mapping):
        raise TextError(f"{place}: a row of Neuronpedia is an object, not {type(row).__name__}")
    said = _LAYER.fullmatch(str(row.get("layer", "")))
    index = read_number(row.get("index"))
    if said is None or index is None:
        raise TextError(
            f"{place}: layer and index are {row.get('layer')!r} and {row.get('index')!r}, not like "
            "'6' or '6-res-jb' and '204'"
        )
    model = str(row.get("modelId") or "")
    if not model:
        raise TextError(f"{place}: it names no model (modelId)")
    return FeaturePlace(f"{model}-{said[2]}" if said[2] else model, int(said[1]), index)


def _gather(
    row: Mapping[str, Any],
    place: str,
    strongest: _Strongest,
    count: Callable[[str, int], None],
) -> None:
    """Keep the strongest of the activations that a row is or has."""
    rows = [row] if "tokens" in row else row.get("activations") or []
    for one in rows:
        tokens, values = one.get("tokens"), one.get("values")
        if not isinstance(tokens, list) or not isinstance(values, list):
            raise TextError(f"{place}: tokens and values are not two lists")
        peak, at = _find_peak(one, values)
        if peak and at is not None:
            text = "".join(map(str, tokens)).replace("▁", " ")
            strongest.add(TextExample(text, at, peak))
        else:
            count("texts without an activation", 1)


def _find_peak(row: Mapping[str, Any], values: Sequence[float]) -> tuple[float | None, int | None]:
    """Return the value farthest from zero, and its token: a neuron's may be a negative one."""
    peak, at = read_real(row.get("maxValue")), read_number(row.get("maxValueTokenIndex"))
    if values:
        farthest = max(range(len(values)), key=lambda i: abs(values[i]))
        if peak is None or at is None or abs(values[farthest]) > abs(peak):
            peak, at = float(values[farthest]), farthest
    return peak, at


def _make_facts(
    row: Mapping[str, Any], place: str, at: FeaturePlace, count: Callable[[str, int], None]
) -> Iterator[Facts]:
    """Yield what a row says but for its activations."""
    explanations = [row] if "description" in row else row.get("explanations") or []
    remarks = [remark for one in explanations for remark in _explain(one)]
    remarks += _describe_feature(row)
    frac = read_real(row.get("frac_nonzero"))
    known = _IDENTITY | _EXPLANATION | _FEATURE | _ACTIVATION | _NESTED
    for name, value in row.items():
        if name not in known and value not in (None, "", [], {}):
            count(name, 1)
    if remarks or frac is not None:
        statistics = {} if frac is None else {"post_positive": frac}
        yield Facts(place, at.layer, at.feature, remarks, statistics=statistics)


def _explain(one: Mapping[str, Any]) -> Iterator[Remark]:
    """Yield an explanation and its scores, said by the method and the model that made it."""
    parts = (FORM, one.get("typeName"), one.get("explanationModelName"))
    source = " ".join(str(part) for part in parts if part)
    yield Remark(source, "explanation", str(one.get("description") or ""))
    for score in one.get("scores") or []:
        value = read_real(score.get("value"))
        if value is not None:
            kind = score.get("explanationScoreTypeName") or "score"
            by = score.get("explanationScoreModelName")
            yield Remark(source, f"score {kind}", f"{value:g}", f"by {by}" if by else None)


def _describe_feature(row: Mapping[str, Any]) -> Iterator[Remark]:
    if (largest := read_real(row.get("maxActApprox"))) is not None:
        yield Remark(FORM, "maxActApprox", f"{largest:g}")
    for sign, key in (("pos", "top logits"), ("neg", "bottom logits")):
        tokens, values = row.get(f"{sign}_str") or [], row.get(f"{sign}_values") or []
        pairs = [
            f"{token!r} {number:.3g}"
            for token, value in zip(tokens, values, strict=False)
            if (number := read_real(value)) is not None
        ]
        yield Remark(FORM, key, ", ".join(pairs))
