"""Texts and facts of the bundled model's little world, as its generator wrote them.

The files beside this module are the output of the generator, `tools/tinyworld`, which is in the
repository alone; a test compares them with it. The held-out texts are in no training corpus; the
training texts are the first that the bundled model was trained on.
"""

import gzip
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

DIRECTORY: Final = Path(__file__).parent
FACTS_FILE: Final = "facts.json"
HELDOUT_FILE: Final = "heldout.jsonl.gz"
TRAINING_FILE: Final = "training.jsonl.gz"
N_HELDOUT: Final = 600
"""Number of held-out texts that there are."""
N_TRAINING: Final = 2_000
"""Number of training texts that there are."""
SEPARATOR: Final = "<|endoftext|>"
"""What stands between two texts in a file of many, on a line of its own."""


class Fact(NamedTuple):
    """One fact; `prompt` is a sentence that breaks off before the space and the answer."""

    subject: str
    relation: str
    answer: str
    prompt: str


@cache
def read_facts() -> tuple[Fact, ...]:
    """Return every fact of the world, relation by relation."""
    rows = json.loads((DIRECTORY / FACTS_FILE).read_text(encoding="utf-8"))
    return tuple(Fact(**row) for row in rows)


def read_heldout_texts(n: int) -> Iterator[str]:
    """Return the first `n` held-out texts.

    Raises:
        ValueError: when `n` is more than N_HELDOUT.
    """
    return iter(_first(n, HELDOUT_FILE))


def read_training_texts(n: int) -> Iterator[str]:
    """Return the first `n` texts that the bundled model was trained on.

    Raises:
        ValueError: when `n` is more than N_TRAINING.
    """
    return iter(_first(n, TRAINING_FILE))


def join_texts(texts: Iterator[str]) -> str:
    """Return one file's content: the texts, with the separator between them."""
    return f"\n{SEPARATOR}\n".join(texts) + "\n"


def write_heldout(path: Path, n: int) -> None:
    """Write the first `n` held-out texts to a file, separated by `<|endoftext|>`."""
    path.write_text(join_texts(read_heldout_texts(n)), encoding="utf-8")


def _first(n: int, file: str) -> list[str]:
    texts = _texts(file)
    if n > len(texts):
        raise ValueError(f"{file} has {len(texts)} texts, not {n}")
    return list(texts[:n])


@cache
def _texts(file: str) -> tuple[str, ...]:
    with gzip.open(DIRECTORY / file, "rt", encoding="utf-8") as lines:
        return tuple(json.loads(line)["text"] for line in lines)
