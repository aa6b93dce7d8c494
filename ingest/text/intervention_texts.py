"""The texts that interventions are run over: from files or from the database, tokenised."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, Engine, select

from ingest.checkpoint.reader import Architecture
from ingest.text.datasets import read_dataset, read_sample, sample_texts, take_first_texts
from ingest.text.rows import LabelledText
from ingest.text.sampling import BLOCK, CountTokens, SampleRequest, Tell
from ingest.text.tokenizer import Tokenizer
from neurondb.contracts.inputs import TextsRequest
from neurondb.contracts.texts import DatasetRecord
from neurondb.errors import LackingModelError, TextError
from neurondb.name_matching import suggest_names
from neurondb.schema import tables
from neurondb.spelling import option
from neurondb.text_decoding import format_path, is_text
from neurondb.writing import datasets
from neurondb.writing.rows import transaction

DEFAULT_MAX_LEN = 1024


@dataclass(frozen=True)
class TokenTexts:
    """Texts that interventions are run over, and their tokens.

    Attributes:
        dataset: The texts that are run.
        dataset_id: The stored dataset that begins with them; None where there is none yet.
        token_ids: The token ids of each text, the prefix token first.
        n_truncated: Texts that were cut at `max_len`.
    """

    dataset: DatasetRecord
    dataset_id: int | None
    token_ids: list[NDArray[np.int64]]
    n_truncated: int
    max_len: int
    skip_bos: bool

    @property
    def n_tokens(self) -> int:
        """How many tokens count, first positions left out where they are skipped."""
        skipped = int(self.skip_bos)
        return sum(max(0, len(ids) - skipped) for ids in self.token_ids)

    def store(self, engine: Engine) -> int:
        """Return the id of its dataset, which is stored where it is not yet."""
        if self.dataset_id is not None:
            return self.dataset_id
        return datasets.store_dataset(engine, self.dataset)


def read_texts(
    engine: Engine,
    request: TextsRequest,
    tokenizer: Tokenizer,
    architecture: Architecture,
    tell: Tell = lambda _: None,
) -> TokenTexts:
    """Read and tokenise texts, as many as were asked for.

    A dataset that is a path is read from there, else one stored under this name, else the hub's.

    Args:
        engine: the database.
        request: names the dataset, and says how much of it is wanted.
        tokenizer: the model's.
        architecture: the model's.
        tell: is told how far the drawing of texts is, now and then.

    Raises:
        TextError: when there is no such dataset, it holds no token to count, or token ids that the
            model has no rows for.
        LackingModelError: when texts of `max_len` tokens are longer than what the model can run.
    """
    max_len = _max_len(request.max_len, architecture)
    if request.sample_tokens is None:
        dataset, dataset_id = _dataset(engine, request)
    else:
        sample = SampleRequest(request.sample_tokens, request.seed)
        count_tokens = partial(tokenizer.count_tokens, max_len=max_len)
        dataset, dataset_id = _sample(engine, request.dataset, sample, count_tokens, tell), None
    ids, _ = tokenizer.encode(dataset.texts, max_len + 1)
    if request.max_tokens is not None:
        ends = np.cumsum([min(len(text), max_len) for text in ids])
        n_texts = int(np.searchsorted(ends, request.max_tokens, side="right"))
        if n_texts == 0:
            raise TextError(
                f"the first text has {ends[0]} tokens, more than "
                f"{option('max_tokens')} {request.max_tokens}"
            )
        dataset, ids = take_first_texts(dataset, n_texts), ids[:n_texts]
    cut_ids = [text[:max_len] for text in ids]
    token_texts = TokenTexts(
        dataset,
        dataset_id,
        cut_ids,
        sum(len(text) > max_len for text in ids),
        max_len,
        request.skip_bos,
    )
    _check(token_texts, architecture)
    if dataset_id is None:
        with transaction(engine) as connection:
            return _match_stored_dataset(connection, token_texts)
    return token_texts


def _max_len(requested: int | None, architecture: Architecture) -> int:
    context = architecture.context
    if requested is None:
        return min(DEFAULT_MAX_LEN, context or DEFAULT_MAX_LEN)
    if context is not None and requested > context:
        raise LackingModelError(
            f"{option('max_len')} {requested} is more than the {context} tokens that the model "
            "can run"
        )
    return requested


def _dataset(engine: Engine, request: TextsRequest) -> tuple[DatasetRecord, int | None]:
    if is_text(request.dataset) and not _is_path(request.dataset):
        with transaction(engine) as connection:
            stored = _read_stored(connection, request.dataset, request.max_texts)
        if stored is not None:
            return stored
    with _suggesting_stored(engine, request.dataset):
        return read_dataset(request.dataset, request.max_texts), None


def _sample(
    engine: Engine, source: str, request: SampleRequest, count_tokens: CountTokens, tell: Tell
) -> DatasetRecord:
    """Draw texts from a stored dataset, or from a source that is none."""
    if is_text(source) and not _is_path(source):
        with engine.connect() as connection:
            stored = _find_stored(connection, source)
            if stored is not None:
                record, dataset_id = stored
                texts = _stream_stored(connection, dataset_id)
                return sample_texts(record, texts, request, count_tokens)
    with _suggesting_stored(engine, source):
        return read_sample(source, request, count_tokens, tell=tell)


def _stream_stored(connection: Connection, dataset_id: int) -> Iterator[LabelledText]:
    """Yield the texts of a stored dataset and their labels, without holding all of them."""
    t, names = tables.texts.c, tables.labels.c
    statement = (
        select(t.text, names.label)
        .outerjoin_from(tables.texts, tables.labels, names.label_id == t.label_id)
        .where(t.dataset_id == dataset_id)
        .order_by(t.ordinal)
    )
    for text, label in connection.execute(statement.execution_options(yield_per=BLOCK)):
        yield LabelledText(text, label)


@contextmanager
def _suggesting_stored(engine: Engine, source: str) -> Iterator[None]:
    """Add to the error on a source that cannot be read the stored dataset that may be meant."""
    try:
        yield
    except TextError as error:
        with transaction(engine) as connection:
            names = connection.scalars(select(tables.dataset_rows.c.name)).all()
        raise TextError(f"{error}{suggest_names(format_path(source), names)}") from error


def _is_path(name: str) -> bool:
    try:
        return Path(name).expanduser().exists()
    except (OSError, RuntimeError):  # too long for a path, or of a user that is not there
        return False


def _read_stored(
    connection: Connection, name: str, max_texts: int | None
) -> tuple[DatasetRecord, int] | None:
    stored = _find_stored(connection, name)
    if stored is None:
        return None
    record, dataset_id = stored
    return replace(record, texts=_read_first_texts(connection, dataset_id, max_texts)), dataset_id


def _find_stored(connection: Connection, name: str) -> tuple[DatasetRecord, int] | None:
    """Return a stored dataset, still without its texts, and its id; None where there is none."""
    d = tables.dataset_rows.c
    row = connection.execute(
        select(d.dataset_id, d.name, d.source, d.fingerprint).where(d.name == name)
    ).first()
    if row is None:
        return None
    return DatasetRecord(row.name, row.source, row.fingerprint, texts=()), row.dataset_id


def _read_first_texts(connection: Connection, dataset_id: int, n_texts: int | None) -> list[str]:
    t = tables.texts.c
    texts = select(t.text).where(t.dataset_id == dataset_id).order_by(t.ordinal).limit(n_texts)
    return list(connection.scalars(texts).all())


def _match_stored_dataset(connection: Connection, texts: TokenTexts) -> TokenTexts:
    """Return the texts as the beginning of a stored dataset, where there is one."""
    d, t = tables.dataset_rows.c, tables.texts.c
    first_texts = list(texts.dataset.texts)
    candidates = connection.scalars(
        select(d.dataset_id)
        .join_from(tables.dataset_rows, tables.texts, t.dataset_id == d.dataset_id)
        .where(t.ordinal == 0, t.text == first_texts[0], d.n_texts >= len(first_texts))
        .order_by(d.n_texts)
    ).all()
    for dataset_id in candidates:
        if _read_first_texts(connection, dataset_id, len(first_texts)) == first_texts:
            return TokenTexts(**(vars(texts) | {"dataset_id": int(dataset_id)}))
    return texts


def _check(texts: TokenTexts, architecture: Architecture) -> None:
    if texts.n_tokens <= 0:
        raise TextError(f"{texts.dataset.source}: no token to count; give longer texts")
    largest = max(int(ids.max()) for ids in texts.token_ids if len(ids))
    if largest >= architecture.d_vocab:
        raise TextError(
            f"the tokenizer gives token {largest}, the model has only {architecture.d_vocab} "
            "rows for tokens; the tokenizer does not belong to this model"
        )
