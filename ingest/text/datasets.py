"""Datasets: where texts come from, and what becomes of them before a tokenizer sees them.

A file is read by its ending (`ingest.text.files`), a directory file by file
(`ingest.text.folders`); `sampler` is the one of this package (docs/sampler.md), anything else a
dataset of the hub. Texts are stripped; empty ones are dropped, and so are rows whose text is null,
which are counted.

A label says which part of the dataset a text is of: another field of its row, or the folder of its
file.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import count, islice
from pathlib import Path
from typing import Final

from ingest.bundled import DATASETS
from ingest.checkpoint.libraries import first_line
from ingest.text.files import COMPRESSIONS, TABLES, TEXTS, detect_format, read_file
from ingest.text.folders import read_folder
from ingest.text.rows import LabelledText, LabelledTexts, read_row
from ingest.text.sampling import CountTokens, Draw, SampleRequest, Tell, draw_texts
from neurondb.contracts.texts import DatasetRecord, TextSample
from neurondb.errors import TextError
from neurondb.spelling import option
from neurondb.text_decoding import format_path

MAX_LABELS: Final = 1_000
"""A field with more values tells something else than the part of the dataset."""
LABELS_SEPARATOR: Final = b"\xff" * 8
"""Stands between texts and labels in a fingerprint; no text is of the length that it spells."""


def read_dataset(
    source: str, max_texts: int | None = None, label_field: str = "label"
) -> DatasetRecord:
    """Read a dataset; only its first `max_texts` texts when given.

    Dots in `label_field` reach into objects; an empty one reads no labels.

    Raises:
        TextError: when it cannot be read, holds no text, or what should be labels is none.
    """
    nulls = count()
    labelled = list(islice(_read(source, label_field, nulls), max_texts))
    return replace(_name_record(source, labelled), n_null=next(nulls))


def read_sample(
    source: str,
    request: SampleRequest,
    count_tokens: CountTokens,
    label_field: str = "label",
    tell: Tell = lambda _: None,
) -> DatasetRecord:
    """Read a dataset to its end and return the one of the texts that are drawn from it.

    Args:
        source: what `read_dataset` reads.
        request: how many tokens to draw, and the seed.
        count_tokens: counts the tokens of some texts.
        label_field: as of `read_dataset`.
        tell: is told how many texts were read, now and then.

    Raises:
        TextError: when it cannot be read, holds no text, or what should be labels is none.
    """
    nulls = count()
    draw = draw_texts(_read(source, label_field, nulls), request, count_tokens, tell)
    record = replace(_name_record(source, draw.texts), n_null=next(nulls))
    return replace(record, sample=_describe_draw(draw, request))


def sample_texts(
    dataset: DatasetRecord,
    texts: Iterable[LabelledText],
    request: SampleRequest,
    count_tokens: CountTokens,
) -> DatasetRecord:
    """Return the dataset of the texts drawn from `texts`, which are those of a stored one."""
    draw = draw_texts(texts, request, count_tokens)
    record = _record(dataset.name, dataset.source, draw.texts)
    return replace(record, sample=_describe_draw(draw, request))


def _describe_draw(draw: Draw, request: SampleRequest) -> TextSample:
    return TextSample(*request, draw.n_tokens, len(draw.texts), draw.n_source_texts)


def _read(source: str, label_field: str, nulls: Iterator[int]) -> Iterator[LabelledText]:
    """Yield the texts of a source, moving `nulls` on for each row without one."""
    non_null = _drop_nulls(_texts(source, label_field), nulls)
    return _refuse_many_labels(_strip(non_null), format_path(source))


def _name_record(source: str, labelled: Sequence[LabelledText]) -> DatasetRecord:
    """Return the record of some texts of a source, called by its name; TextError for none."""
    source = format_path(source)  # from here on it is only shown and stored
    if not labelled:
        raise TextError(f"{source}: no text in it; give a file with at least one non-blank text")
    path = Path(source)
    stem = Path(path.stem).stem if path.suffix.lower() in COMPRESSIONS else path.stem
    name = re.sub(r"[^a-z0-9._]+", "-", stem.lower()).strip("-") or "texts"
    return _record(name, source, labelled)


def take_first_texts(dataset: DatasetRecord, n_texts: int) -> DatasetRecord:
    """Return the dataset of its first `n_texts` texts, with the labels that occur in these."""
    texts = dataset.texts[:n_texts]
    places = dataset.label_of[:n_texts] or [-1] * len(texts)
    labels = [dataset.labels[place] if place >= 0 else None for place in places]
    labelled = list(map(LabelledText, texts, labels))
    return replace(_record(dataset.name, dataset.source, labelled), n_null=dataset.n_null)


def fingerprint_texts(texts: Iterable[str], labels: Sequence[str | None] = ()) -> str:
    """Return the sha256 over the texts in order, each preceded by its length in bytes.

    Where there is a label, those of all texts follow in the same way.
    """
    digest = hashlib.sha256()
    for text in texts:
        digest.update(_prefix_with_length(text))
    if any(label is not None for label in labels):
        digest.update(LABELS_SEPARATOR)
        for label in labels:
            digest.update(_prefix_with_length(label or ""))
    return digest.hexdigest()


def _prefix_with_length(text: str) -> bytes:
    data = text.encode("utf-8", "surrogatepass")
    return len(data).to_bytes(8, "little") + data


def _record(name: str, source: str, labelled: Sequence[LabelledText]) -> DatasetRecord:
    texts = [text for text, _ in labelled]
    labels = [label for _, label in labelled]
    names = sorted({label for label in labels if label is not None})
    place: dict[str | None, int] = {label: n for n, label in enumerate(names)}
    return DatasetRecord(
        name=name,
        source=source,
        fingerprint=fingerprint_texts(texts, labels),
        texts=texts,
        labels=tuple(names),
        label_of=tuple(place.get(label, -1) for label in labels) if names else (),
    )


def _drop_nulls(texts: LabelledTexts, nulls: Iterator[int]) -> Iterator[LabelledText]:
    """Yield the texts that are there, moving `nulls` on for each that is null."""
    for text in texts:
        if text is None:
            next(nulls)
        else:
            yield text


def _strip(texts: Iterable[LabelledText]) -> Iterator[LabelledText]:
    for text, label in texts:
        if stripped := text.strip():
            yield LabelledText(stripped, label)


def _refuse_many_labels(texts: Iterable[LabelledText], source: str) -> Iterator[LabelledText]:
    seen: set[str | None] = {None}
    for text in texts:
        seen.add(text.label)
        if len(seen) - 1 > MAX_LABELS:
            raise TextError(
                f"{source}: more than {MAX_LABELS:,} different labels, so this is no label "
                f"field; name another with {option('label_field')}, or '' for none"
            )
        yield text


def _texts(source: str, label_field: str) -> LabelledTexts:
    path = _path(source)
    try:
        if path.is_dir():
            return read_folder(path, label_field)
        if path.is_file():
            return read_file(path, label_field)
    except OSError as error:
        raise TextError(f"{format_path(source)}: {error.strerror or error}") from error
    if source in DATASETS:
        return read_file(DATASETS[source], label_field)
    hub_id = re.fullmatch(r"[\w.-]+(/[\w.-]+)?", source)
    if not hub_id or detect_format(path) in {*TEXTS, *TABLES}:
        raise TextError(f"there is no file or directory '{format_path(source)}'")
    return _from_hub(source, label_field)


def _path(source: str) -> Path:
    try:
        return Path(source).expanduser()
    except RuntimeError as error:  # there is no such user
        raise TextError(f"{format_path(source)}: {error}") from error


def _from_hub(dataset: str, label_field: str) -> LabelledTexts:
    import datasets

    try:
        stream = datasets.load_dataset(dataset, split="train", streaming=True)
        for number, row in enumerate(stream, start=1):
            if "text" not in row:
                raise TextError(
                    f"hub dataset {dataset!r} has no column 'text'; it has {', '.join(row)}"
                )
            yield read_row(row, label_field, f"hub dataset {dataset!r}, row {number}")
    except TextError:
        raise
    # The hub's client raises a dozen unrelated types for: no network, no such name, gated, ...
    except Exception as error:
        reason = first_line(error)
        raise TextError(
            f"{dataset!r} is no file here, and as a hub dataset it cannot be read: {reason}"
        ) from error
