"""Datasets: where texts come from, and what becomes of them before a tokenizer sees them.

`.txt` is split at `<|endoftext|>` where that occurs and otherwise at blank lines; `.jsonl` has a
`text` field; `.parquet` a `text` column; a directory gives one text a file; anything else is a
dataset of the hub. Texts are stripped; empty ones are dropped.

A label says which part of the dataset a text is of: another field of its row, or the folder of its
file.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Final, NamedTuple

from neurondb.errors import TextError
from neurondb.records import DatasetRecord

END_OF_TEXT: Final = "<|endoftext|>"
MOST_LABELS: Final = 1_000
"""A field with more values tells something else than the part of the dataset."""
LABELS_FOLLOW: Final = b"\xff" * 8
"""Stands between texts and labels in a fingerprint; no text is of the length that it spells."""


class LabelledText(NamedTuple):
    """A text, and the part of the dataset that it is of."""

    text: str
    label: str | None = None


def read_dataset(
    source: str, max_texts: int | None = None, label_field: str = "label"
) -> DatasetRecord:
    """Read a dataset; only its first `max_texts` texts when given.

    Dots in `label_field` reach into objects; an empty one reads no labels.

    Raises:
        TextError: when it cannot be read, holds no text, or what should be labels is none.
    """
    read = list(islice(_few_labels(_stripped(_texts(source, label_field)), source), max_texts))
    if not read:
        raise TextError(f"{source}: no text in it; give a file with at least one non-blank text")
    name = re.sub(r"[^a-z0-9._]+", "-", Path(source).stem.lower()).strip("-") or "texts"
    return _record(name, source, read)


def first_texts(dataset: DatasetRecord, n_texts: int) -> DatasetRecord:
    """Return the dataset of its first `n_texts` texts, with the labels that occur in these."""
    texts = dataset.texts[:n_texts]
    places = dataset.label_of[:n_texts] or [-1] * len(texts)
    labels = [dataset.labels[place] if place >= 0 else None for place in places]
    return _record(dataset.name, dataset.source, list(map(LabelledText, texts, labels)))


def fingerprint(texts: Iterable[str], labels: Sequence[str | None] = ()) -> str:
    """Return the sha256 over the texts in order, each preceded by its length in bytes.

    Where there is a label, those of all texts follow in the same way.
    """
    digest = hashlib.sha256()
    for text in texts:
        digest.update(_measured(text))
    if any(label is not None for label in labels):
        digest.update(LABELS_FOLLOW)
        for label in labels:
            digest.update(_measured(label or ""))
    return digest.hexdigest()


def _measured(text: str) -> bytes:
    data = text.encode("utf-8", "surrogatepass")
    return len(data).to_bytes(8, "little") + data


def _record(name: str, source: str, read: Sequence[LabelledText]) -> DatasetRecord:
    texts = [text for text, _ in read]
    labels = [label for _, label in read]
    names = sorted({label for label in labels if label is not None})
    place: dict[str | None, int] = {label: n for n, label in enumerate(names)}
    return DatasetRecord(
        name=name,
        source=source,
        fingerprint=fingerprint(texts, labels),
        texts=texts,
        labels=tuple(names),
        label_of=tuple(place.get(label, -1) for label in labels) if names else (),
    )


def _stripped(texts: Iterable[LabelledText]) -> Iterator[LabelledText]:
    for text, label in texts:
        if stripped := text.strip():
            yield LabelledText(stripped, label)


def _few_labels(texts: Iterable[LabelledText], source: str) -> Iterator[LabelledText]:
    seen: set[str | None] = {None}
    for text in texts:
        seen.add(text.label)
        if len(seen) - 1 > MOST_LABELS:
            raise TextError(
                f"{source}: more than {MOST_LABELS:,} different labels, so this is no label "
                "field; name another with --label-field, or '' for none"
            )
        yield text


def _texts(source: str, label_field: str) -> Iterator[LabelledText]:
    path = Path(source).expanduser()
    if path.is_dir():
        return _from_directory(path, label_field)
    if path.is_file():
        reader = _READERS.get(path.suffix.lower())
        if reader is None:
            known = ", ".join(_READERS)
            raise TextError(
                f"{source}: cannot read {path.suffix or 'a file without ending'!r}; "
                f"give one of {known}, a directory, or a hub dataset id"
            )
        return reader(path, label_field)
    if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", source) or path.suffix.lower() in _READERS:
        raise TextError(f"there is no file or directory {source!r}")
    return _from_hub(source, label_field)


def _decoded(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise TextError(f"{path}: not UTF-8 at byte {error.start}; convert it first") from error
    except OSError as error:
        raise TextError(f"{path}: {error.strerror}") from error


def _from_text(path: Path, _: str) -> Iterator[LabelledText]:
    content = _decoded(path)
    if END_OF_TEXT in content:
        return map(LabelledText, content.split(END_OF_TEXT))
    return map(LabelledText, re.split(r"\n[ \t]*\n", content.replace("\r\n", "\n")))


def _from_jsonl(path: Path, label_field: str) -> Iterator[LabelledText]:
    for number, line in enumerate(_decoded(path).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            row["text"]
        except (ValueError, KeyError, TypeError) as error:
            raise TextError(
                f"{path}, line {number}: not an object with a field 'text' ({error})"
            ) from error
        yield _from_row(row, label_field, f"{path}, line", number)


def _from_parquet(path: Path, label_field: str) -> Iterator[LabelledText]:
    import pyarrow
    from pyarrow import parquet

    try:
        file = parquet.ParquetFile(path)
        if "text" not in file.schema_arrow.names:
            columns = ", ".join(file.schema_arrow.names)
            raise TextError(f"{path}: no column 'text'; it has {columns}")
        number = 0
        # A column that is not there is left out, one with dots is read without its siblings.
        for batch in file.iter_batches(columns=["text", label_field]):
            for row in batch.to_pylist():
                number += 1
                if row["text"] is not None:
                    yield _from_row(row, label_field, f"{path}, row", number)
    except (pyarrow.ArrowException, OSError) as error:
        raise TextError(f"{path}: cannot be read as Parquet ({error})") from error


def _from_directory(path: Path, label_field: str) -> Iterator[LabelledText]:
    for file in sorted(p for p in path.rglob("*") if p.is_file() and not p.name.startswith(".")):
        folder = file.parent.relative_to(path)
        labelled = label_field and folder != Path()
        yield LabelledText(_decoded(file), folder.as_posix() if labelled else None)


def _from_hub(dataset: str, label_field: str) -> Iterator[LabelledText]:
    import datasets

    try:
        stream = datasets.load_dataset(dataset, split="train", streaming=True)
        for number, row in enumerate(stream, start=1):
            if "text" not in row:
                raise TextError(
                    f"hub dataset {dataset!r} has no column 'text'; it has {', '.join(row)}"
                )
            if row["text"] is not None:
                yield _from_row(row, label_field, f"hub dataset {dataset!r}, row", number)
    except TextError:
        raise
    # The hub's client raises a dozen unrelated types for: no network, no such name, gated, ...
    except Exception as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise TextError(
            f"{dataset!r} is no file here, and as a hub dataset it cannot be read: {reason}"
        ) from error


def _from_row(row: Mapping[str, Any], label_field: str, where: str, number: int) -> LabelledText:
    text, label = row["text"], _value(row, label_field)
    if not isinstance(text, str):
        raise TextError(f"{where} {number}: 'text' is {type(text).__name__}, no string")
    if isinstance(label, Mapping | list | bytes):
        raise TextError(
            f"{where} {number}: {label_field!r} is {type(label).__name__}, no label; "
            "name another field with --label-field, or '' for none"
        )
    # What has no value is NaN in tables that pandas wrote, and differs from itself.
    missing = label is None or label != label
    return LabelledText(text, None if missing else str(label).strip() or None)


def _value(row: Mapping[str, Any], field: str) -> Any:
    """Return a field's value, that of `a.b` from within the object `a`; None where it is absent."""
    if not field or field in row:
        return row.get(field) if field else None
    value: Any = row
    for name in field.split("."):
        if not isinstance(value, Mapping):
            return None
        value = value.get(name)
    return value


_READERS: Final[dict[str, Callable[[Path, str], Iterator[LabelledText]]]] = {
    ".txt": _from_text,
    ".jsonl": _from_jsonl,
    ".parquet": _from_parquet,
}
