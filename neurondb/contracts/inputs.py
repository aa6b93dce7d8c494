"""What several requests are made of: which neurons, which texts, and where a model runs."""

import re
from dataclasses import dataclass
from typing import Final, Literal

from neurondb.errors import UsageError
from neurondb.spelling import option

SelectionKind = Literal["where", "sql", "neurons", "class", "set"]
EXECUTORS: Final = re.compile(r"local|ray(:.+)?")
"""How an executor is written: this machine, or Ray, with the address of a cluster."""


@dataclass(frozen=True)
class NeuronSelection:
    """Which neurons of a model are meant, said in one of five ways."""

    kind: SelectionKind
    text: str
    """A `find` expression, a query, a list like `27.8000,26.1`, a class, or a stored set's name."""
    count: int | None = None
    """How many neurons of a class to draw at random; None takes all of them."""


@dataclass(frozen=True)
class TextsRequest:
    """The texts that an intervention is run over."""

    dataset: str
    """A file, a directory, the name of a stored dataset, or a hub id."""
    max_texts: int | None = None
    """Read only the first so many texts."""
    max_tokens: int | None = None
    """Stop before the text that would exceed so many tokens."""
    max_len: int | None = None
    """Tokens a text at most, the prefix token included; None is 1,024 or the model's context."""
    skip_bos: bool = False
    """Leave the first position of each text out of what is counted."""
    sample_tokens: int | None = None
    """Draw texts at random over the whole dataset until they have so many tokens."""
    seed: int = 0
    """Seed of the draw."""

    def __post_init__(self) -> None:
        """Refuse a sample that cannot be drawn; `check_sample` says which."""
        check_sample(self.sample_tokens, self.seed, self.max_texts, self.max_tokens)


def check_sample(
    sample_tokens: int | None, seed: int, max_texts: int | None, max_tokens: int | None
) -> None:
    """Refuse a sample without tokens, with a negative seed, or of the first texts only.

    Raises:
        UsageError: says which of them it is.
    """
    if sample_tokens is None:
        return
    if sample_tokens < 1:
        raise UsageError(f"{option('sample_tokens')} {sample_tokens}: draw one token at least")
    if seed < 0:
        raise UsageError(f"{option('seed')} {seed}: a seed is 0 or more")
    for name, limit in (("max_texts", max_texts), ("max_tokens", max_tokens)):
        if limit is not None:
            raise UsageError(
                f"{option('sample_tokens')} draws over the whole dataset, {option(name)} reads "
                "its beginning; give one of the two"
            )


def check_executor(name: str) -> None:
    """Refuse an executor that there is none of.

    Raises:
        UsageError: says how executors are written.
    """
    if not EXECUTORS.fullmatch(name):
        raise UsageError(
            f"{option('executor', name)}: local, ray, or ray:ADDRESS such as ray:10.0.0.1:6379"
        )


@dataclass(frozen=True)
class Machine:
    """Which stored model runs, on which device and in which precision."""

    model: str
    """The model's name in the database."""
    database: str | None = None
    """Path or URL; None is the default database."""
    device: str = "auto"
    """One of auto, cpu, cuda, cuda:1, mps."""
    dtype: str = "auto"
    """Precision of the forward pass; auto is that of the checkpoint, float32 on CPU."""
