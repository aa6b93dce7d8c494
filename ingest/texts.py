"""Datasets: where texts come from, and what becomes of them before a tokenizer sees them.

`.txt` is split at `<|endoftext|>` where that occurs and otherwise at blank lines; `.jsonl` has a
`text` field; `.parquet` a `text` column; a directory gives one text a file; anything else is a
dataset of the hub. Texts are stripped; empty ones are dropped.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Final

from neurondb.errors import TextError
from neurondb.records import DatasetRecord

END_OF_TEXT: Final = "<|endoftext|>"


def read_dataset(source: str, max_texts: int | None = None) -> DatasetRecord:
    """Read a dataset; only its first `max_texts` texts when given.

    Raises:
        TextError: when it cannot be read or holds no text.
    """
    texts = list(islice(_stripped(_texts(source)), max_texts))
    if not texts:
        raise TextError(f"{source}: no text in it; give a file with at least one non-blank text")
    name = re.sub(r"[^a-z0-9._]+", "-", Path(source).stem.lower()).strip("-") or "texts"
    return DatasetRecord(name=name, source=source, fingerprint=fingerprint(texts), texts=texts)


def first_texts(dataset: DatasetRecord, n_texts: int) -> DatasetRecord:
    """Return the dataset of its first `n_texts` texts."""
    texts = dataset.texts[:n_texts]
    return DatasetRecord(dataset.name, dataset.source, fingerprint(texts), texts)


def fingerprint(texts: Iterable[str]) -> str:
    """Return the sha256 over the texts in order, each preceded by its length in bytes."""
    digest = hashlib.sha256()
    for text in texts:
        data = text.encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(8, "little"))
        digest.update(data)
    return digest.hexdigest()


def _stripped(texts: Iterable[str]) -> Iterator[str]:
    return (stripped for text in texts if (stripped := text.strip()))


def _texts(source: str) -> Iterator[str]:
    path = Path(source).expanduser()
    if path.is_dir():
        return _from_directory(path)
    if path.is_file():
        reader = _READERS.get(path.suffix.lower())
        if reader is None:
            known = ", ".join(_READERS)
            raise TextError(
                f"{source}: cannot read {path.suffix or 'a file without ending'!r}; "
                f"give one of {known}, a directory, or a hub dataset id"
            )
        return reader(path)
    if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", source) or path.suffix.lower() in _READERS:
        raise TextError(f"there is no file or directory {source!r}")
    return _from_hub(source)


def _decoded(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise TextError(f"{path}: not UTF-8 at byte {error.start}; convert it first") from error
    except OSError as error:
        raise TextError(f"{path}: {error.strerror}") from error


def _from_text(path: Path) -> Iterator[str]:
    content = _decoded(path)
    if END_OF_TEXT in content:
        return iter(content.split(END_OF_TEXT))
    return iter(re.split(r"\n[ \t]*\n", content.replace("\r\n", "\n")))


def _from_jsonl(path: Path) -> Iterator[str]:
    for number, line in enumerate(_decoded(path).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            text = json.loads(line)["text"]
        except (ValueError, KeyError, TypeError) as error:
            raise TextError(
                f"{path}, line {number}: not an object with a field 'text' ({error})"
            ) from error
        if not isinstance(text, str):
            raise TextError(f"{path}, line {number}: 'text' is {type(text).__name__}, no string")
        yield text


def _from_parquet(path: Path) -> Iterator[str]:
    import pyarrow
    from pyarrow import parquet

    try:
        file = parquet.ParquetFile(path)
        if "text" not in file.schema_arrow.names:
            columns = ", ".join(file.schema_arrow.names)
            raise TextError(f"{path}: no column 'text'; it has {columns}")
        for batch in file.iter_batches(columns=["text"]):
            yield from (text for text in batch.column(0).to_pylist() if text is not None)
    except (pyarrow.ArrowException, OSError) as error:
        raise TextError(f"{path}: cannot be read as Parquet ({error})") from error


def _from_directory(path: Path) -> Iterator[str]:
    for file in sorted(p for p in path.rglob("*") if p.is_file() and not p.name.startswith(".")):
        yield _decoded(file)


def _from_hub(dataset: str) -> Iterator[str]:
    import datasets

    try:
        stream = datasets.load_dataset(dataset, split="train", streaming=True)
        for row in stream:
            if "text" not in row:
                raise TextError(
                    f"hub dataset {dataset!r} has no column 'text'; it has {', '.join(row)}"
                )
            yield row["text"] or ""
    except TextError:
        raise
    # The hub's client raises a dozen unrelated types for: no network, no such name, gated, ...
    except Exception as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise TextError(
            f"{dataset!r} is no file here, and as a hub dataset it cannot be read: {reason}"
        ) from error


_READERS: Final[dict[str, Callable[[Path], Iterator[str]]]] = {
    ".txt": _from_text,
    ".jsonl": _from_jsonl,
    ".parquet": _from_parquet,
}
