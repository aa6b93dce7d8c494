"""A dataset as one model reads it: its texts and their token ids, checked before work begins."""

from dataclasses import dataclass

import numpy as np

from ingest.checkpoint import Architecture
from ingest.texts import first_texts, read_dataset
from ingest.tokenizer import Tokenizer, tokenize
from neurondb.errors import TextError
from neurondb.jobs import IngestRequest
from neurondb.records import DatasetRecord, TokenizationRecord


@dataclass(frozen=True)
class Corpus:
    """Texts and their token ids."""

    dataset: DatasetRecord
    tokenization: TokenizationRecord


def read_corpus(request: IngestRequest, tokenizer: Tokenizer, architecture: Architecture) -> Corpus:
    """Read and tokenise the dataset of a request, as much of it as was asked for.

    Raises:
        TextError: when it holds nothing to count, or token ids that the model has no rows for.
    """
    assert request.dataset is not None
    dataset = read_dataset(request.dataset, request.max_texts)
    max_len = min(request.max_len, architecture.context or request.max_len)
    read = tokenize(tokenizer, dataset, max_len, skip_bos=request.skip_bos)
    _check_ids(read, architecture)
    if request.max_tokens is None:
        return Corpus(dataset, read)
    lengths = [len(ids) for ids in read.token_ids]
    n_texts = int(np.searchsorted(np.cumsum(lengths), request.max_tokens, side="right"))
    if n_texts == 0:
        raise TextError(
            f"the first text has {lengths[0]} tokens, more than --max-tokens {request.max_tokens}"
        )
    dataset = first_texts(dataset, n_texts)
    return Corpus(dataset, tokenize(tokenizer, dataset, max_len, skip_bos=request.skip_bos))


def _check_ids(read: TokenizationRecord, architecture: Architecture) -> None:
    largest = max(int(ids.max()) for ids in read.token_ids if len(ids))
    if largest >= architecture.d_vocab:
        raise TextError(
            f"the tokenizer gives token {largest}, the model has only {architecture.d_vocab} "
            "rows for tokens; the tokenizer does not belong to this model"
        )
